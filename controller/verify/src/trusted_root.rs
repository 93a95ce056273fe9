//! Sigstore trusted roots, and what verifies under one: certificates, log entries, timestamps.
//!
//! The only module that calls `sigstore-verify`. None of its switches that leave out a check is
//! ever called: a certificate must chain to the root at every verified time, carry an SCT of a known
//! log, and its signature must be proven to be in a transparency log that is bound to exactly this
//! signature, artifact and certificate.

mod logs;
mod windows;

use jiff::Timestamp;
use lockmaster_core::evidence::{BuildClaims, Identity, KeyId, Signer, Verified};
use lockmaster_core::release::{Digest, clip};
use sigstore_types::{Artifact, Bundle, DerPublicKey, SignatureBytes};
use sigstore_verify::crypto::CertificateInfo;
use sigstore_verify::trust_root;
use sigstore_verify::tsa::{TsaAuthority, verify_timestamp_for_authority};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use crate::document;
use logs::Logs;

/// Longest trusted root that is read. That of the public instance has 7 KiB.
pub const TRUSTED_ROOT_LIMIT: usize = 256 << 10;

/// The trusted root of the public Sigstore instance, as it was when this program was built. For files
/// that somebody names on a command line; a policy names its own root.
pub const PUBLIC_GOOD_ROOT: &str = trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

/// The same of the public staging instance, which is good for tests only.
pub const PUBLIC_STAGING_ROOT: &str = trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;

/// Longest text that is kept of a certificate: identity, issuer, claims. Fulcio's own are URLs.
const CLAIM_LIMIT: usize = 1024;

/// A trusted root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Not readable as one.
    #[error(
        "failed to read the trusted root: {0}; expected the JSON that `cosign trusted-root create` writes"
    )]
    Malformed(String),
    /// Something in it cannot be used, such as a log named twice or a window that ends before it
    /// begins.
    #[error("failed to use the trusted root: {0}")]
    Unusable(String),
    /// It trusts nobody.
    #[error(
        "the trusted root names neither a certificate authority, nor a log, nor a timestamp authority"
    )]
    Empty,
}

/// A trusted root, ready to verify under.
pub struct TrustedRoot {
    verifier: sigstore_verify::Verifier,
    logs: Logs,
    timestamp_authorities: Vec<TsaAuthority>,
}

impl TrustedRoot {
    /// Reads a trusted root (`TrustedRoot` of sigstore/protobuf-specs, JSON).
    pub fn parse(json: &str) -> Result<Self, RootError> {
        let malformed = |text: String| RootError::Malformed(clip(&text));
        document::check(json.as_bytes(), TRUSTED_ROOT_LIMIT)
            .map_err(|error| malformed(error.to_string()))?;
        let mut root = trust_root::TrustedRoot::from_json(json)
            .map_err(|error| malformed(error.to_string()))?;
        if root.certificate_authorities.is_empty()
            && root.tlogs.is_empty()
            && root.timestamp_authorities.is_empty()
        {
            return Err(RootError::Empty);
        }
        windows::narrow(&mut root).map_err(RootError::Unusable)?;
        let verifier = sigstore_verify::Verifier::new(&root)
            .map_err(|error| RootError::Unusable(clip(&error.to_string())))?;
        let logs = Logs::of(&root).map_err(RootError::Unusable)?;
        let timestamp_authorities = root.tsa_authorities();
        Ok(Self {
            verifier,
            logs,
            timestamp_authorities,
        })
    }

    /// What a bundle with a certificate proves about `artifact`; `root` is this root's name.
    pub(crate) fn verify_certificate(
        &self,
        root: &Digest,
        artifact: Artifact<'_>,
        bundle: &Bundle,
    ) -> Result<Verified, String> {
        // Who may sign is for the gates: here it is only established who did.
        let policy = VerificationPolicy::any_identity();
        let verified = self.verifier.verify(artifact, bundle, &policy);
        let verified = verified.map_err(|error| clip(&error.to_string()))?;
        // Said once more, because everything rests on these three.
        if !(verified.certificate_verified() && verified.sct_verified() && verified.tlog_verified())
        {
            return Err("the certificate was not verified in full".to_owned());
        }
        let identity = identity(&verified)?;
        let times = times(verified.verified_timestamps());
        let entries = &bundle.verification_material.tlog_entries;
        self.logs.own(entries, &times)?;
        Ok(Verified {
            signer: Signer::Identity(identity),
            root: Some(root.clone()),
            times,
            logged: true,
        })
    }

    /// What the log entries and timestamps of a bundle that verifies under the managed key `key`
    /// prove about `artifact`. A bundle without any proves nothing about its time. Whatever is there
    /// must verify.
    pub(crate) fn verify_key(
        &self,
        root: &Digest,
        artifact: Artifact<'_>,
        bundle: &Bundle,
        key: (&KeyId, &DerPublicKey),
    ) -> Result<Verified, String> {
        let (id, key) = key;
        let signer = Signer::Key(id.clone());
        let root = Some(root.clone());
        let entries = &bundle.verification_material.tlog_entries;
        if entries.is_empty() {
            let (times, logged) = (self.timestamps(bundle)?, false);
            return Ok(Verified {
                signer,
                root,
                times,
                logged,
            });
        }
        let policy = PublicKeyVerificationPolicy::new(key.clone());
        let verified = self.verifier.verify(artifact, bundle, &policy);
        let verified = verified.map_err(|error| clip(&error.to_string()))?;
        let times = times(verified.verified_timestamps());
        self.logs.own(entries, &times)?;
        Ok(Verified {
            signer,
            root,
            times,
            logged: verified.tlog_verified(),
        })
    }

    /// The times of all RFC 3161 timestamps; each must be by a timestamp authority of this root,
    /// within its validity (CVE-2026-39984).
    fn timestamps(&self, bundle: &Bundle) -> Result<Vec<Timestamp>, String> {
        let data = &bundle.verification_material.timestamp_verification_data;
        let signature = signature(bundle)?;
        let stamps = data.rfc3161_timestamps.iter().map(|stamp| {
            let mut why = "the trusted root names no timestamp authority".to_owned();
            for authority in &self.timestamp_authorities {
                match verify_timestamp_for_authority(&stamp.signed_timestamp, signature, authority)
                {
                    Ok(time) => return Ok(time),
                    Err(error) => why = clip(&error.to_string()),
                }
            }
            Err(format!("a timestamp does not verify: {why}"))
        });
        let verified: Vec<_> = stamps.collect::<Result<_, _>>()?;
        Ok(times(&verified))
    }
}

fn signature(bundle: &Bundle) -> Result<&SignatureBytes, String> {
    use sigstore_types::SignatureContent::{DsseEnvelope, MessageSignature};
    match &bundle.content {
        MessageSignature(message) => Ok(&message.signature),
        DsseEnvelope(envelope) => Ok(&envelope.signature.sig),
        // The enumeration is open.
        _ => Err("the bundle has a kind of signature that is not known here".to_owned()),
    }
}

fn times(verified: &[Timestamp]) -> Vec<Timestamp> {
    let mut times = verified.to_vec();
    times.sort();
    times.dedup();
    times
}

fn identity(verified: &VerificationResult) -> Result<Identity, String> {
    let (Some(subject), Some(issuer), Some(certificate)) = (
        verified.identity(),
        verified.issuer(),
        verified.certificate(),
    ) else {
        return Err("the certificate names no identity or no issuer".to_owned());
    };
    let identity = Identity {
        issuer: issuer.to_owned(),
        subject: subject.as_str().to_owned(),
        claims: claims(certificate),
    };
    if longest_text(&identity) > CLAIM_LIMIT {
        return Err(format!(
            "a text of the certificate is longer than {CLAIM_LIMIT} bytes"
        ));
    }
    Ok(identity)
}

fn longest_text(identity: &Identity) -> usize {
    let Identity {
        issuer,
        subject,
        claims:
            BuildClaims {
                build_signer,
                source_repository,
                source_commit,
                source_reference,
                trigger,
                invocation,
            },
    } = identity;
    let claims = [
        build_signer,
        source_repository,
        source_commit,
        source_reference,
        trigger,
        invocation,
    ];
    let named = [issuer, subject].into_iter();
    let texts = named.chain(claims.into_iter().flatten());
    texts.map(String::len).max().unwrap_or_default()
}

/// The provider-neutral claims; where only the deprecated ones of GitHub stand, these, as they are:
/// a repository without its host is then no repository that a policy lists.
fn claims(certificate: &CertificateInfo) -> BuildClaims {
    let all = certificate.ci_claims.clone();
    let old = all.deprecated_github;
    BuildClaims {
        build_signer: all.build_signer_uri,
        source_repository: all.source_repository_uri.or(old.workflow_repository),
        source_commit: all.source_repository_digest.or(old.workflow_sha),
        source_reference: all.source_repository_ref.or(old.workflow_ref),
        trigger: all.build_trigger.or(old.workflow_trigger),
        invocation: all.run_invocation_uri,
    }
}
