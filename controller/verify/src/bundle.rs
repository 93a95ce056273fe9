//! The Sigstore bundle: what is in it, and under what it verifies.
//!
//! Format: `sigstore_bundle.proto` of sigstore/protobuf-specs. From a registry only version 0.3 is
//! taken, because the media type is not signed and the older versions ask for less.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{KeyId, Verified};
use lockmaster_core::release::{Digest, clip};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use sigstore_types::bundle::VerificationMaterial;
use sigstore_types::{
    Artifact, Bundle, DsseEnvelope, HashAlgorithm, MediaType, MessageSignature, Sha256Hash,
    SignatureContent,
};

use crate::document::{self, DocumentError};
use crate::key::Verifier;
use crate::trust::{Ready, Trust};
use crate::trusted_root::TrustedRoot;

/// Longest bundle that is read; an SBOM of 12 MiB fits into it in base64.
pub const BUNDLE_LIMIT: usize = 16 << 20;

/// Longest bundle with a bill of materials that may be let in: whoever reads them may have set the
/// limit for those higher than [`BUNDLE_LIMIT`].
pub const SBOM_CEILING: usize = 64 << 20;

/// Log entries and timestamps of one bundle that are verified. cosign writes one of each.
const PROOF_LIMIT: usize = 8;

/// Longest verification material: a log entry may hold a whole envelope, and has a megabyte at most
/// then.
const MATERIAL_LIMIT: usize = 2 << 20;

/// Longest list of signatures of an envelope, of which there may be but one.
const SIGNATURES_LIMIT: usize = 64 << 10;

/// Which versions of the format are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// From a registry.
    Newest,
    /// From a file that somebody names, and of older signatures that are read as bundles.
    Any,
}

/// A bundle that was read, not verified.
pub(crate) struct Opened {
    pub(crate) key_hint: Option<KeyId>,
    pub(crate) signed: Signed,
    media_type: MediaType,
    /// With a managed key alone log entries and timestamps are not looked at, readable or not.
    material: Result<VerificationMaterial, String>,
    has_certificate: bool,
}

/// What the signature is over.
pub(crate) enum Signed {
    /// The artifact itself; `names` is the digest that the bundle gives for it, unsigned.
    Message {
        message: MessageSignature,
        names: Option<[u8; 32]>,
    },
    /// A DSSE envelope.
    Envelope(DsseEnvelope),
}

/// The ways in which a bundle verifies, and why it does not under some trusted root.
#[derive(Default)]
pub(crate) struct Proven {
    pub(crate) by: BTreeSet<Verified>,
    pub(crate) failures: BTreeMap<Digest, String>,
}

/// The artifact that a signature is checked over.
#[derive(Clone, Copy)]
pub(crate) enum Over<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// Any bytes with this SHA-256.
    Sha256(&'a [u8; 32]),
}

impl<'a> Over<'a> {
    fn artifact(self) -> Artifact<'a> {
        match self {
            Self::Bytes(bytes) => Artifact::from(bytes),
            Self::Sha256(digest) => Artifact::from(Sha256Hash::new(*digest)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    media_type: Option<String>,
    #[serde(borrow)]
    verification_material: Option<&'a RawValue>,
    message_signature: Option<MessageSignature>,
    #[serde(borrow)]
    dsse_envelope: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<KeyHint>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct KeyHint {
    hint: Option<String>,
}

/// Reads a bundle; the error is the problem in words.
pub(crate) fn open(bytes: &[u8], versions: Versions) -> Result<Opened, String> {
    let wire: Wire<'_> = document::parse(bytes, SBOM_CEILING)
        .map_err(|error| format!("the bundle cannot be read: {error}"))?;
    let media_type = media_type(&wire.media_type.unwrap_or_default(), versions)?;
    let raw = wire
        .verification_material
        .ok_or("the bundle has no verification material")?;
    if raw.get().len() > MATERIAL_LIMIT {
        let length = raw.get().len();
        return Err(format!(
            "the bundle's verification material has {length} bytes, the limit is {MATERIAL_LIMIT}"
        ));
    }
    let unreadable = |error: serde_json::Error| {
        let why = clip(&error.to_string());
        format!("the bundle's verification material cannot be read: {why}")
    };
    let named: Material = serde_json::from_str(raw.get()).map_err(unreadable)?;
    let certificates = [
        named.certificate.is_some(),
        named.x509_certificate_chain.is_some(),
    ];
    let has_certificate = certificates.contains(&true);
    if certificates == [true, true] {
        return Err("the bundle has both a certificate and a chain of certificates".to_owned());
    }
    match (has_certificate, &named.public_key) {
        (true, Some(_)) => return Err("the bundle has both a key and a certificate".to_owned()),
        (false, None) => return Err("the bundle names neither a key nor a certificate".to_owned()),
        (true, None) | (false, Some(_)) => {}
    }
    let material = serde_json::from_str(raw.get()).map_err(unreadable);
    let material = material.and_then(few_proofs);
    let signed = match (wire.message_signature, wire.dsse_envelope) {
        (Some(message), None) => message_signature(message)?,
        (None, Some(raw)) => Signed::Envelope(
            envelope(raw.get()).map_err(|error| format!("the bundle cannot be read: {error}"))?,
        ),
        (Some(_), Some(_)) => {
            return Err("the bundle has both a message signature and an envelope".to_owned());
        }
        (None, None) => return Err("the bundle has no signature".to_owned()),
    };
    let hint = named.public_key.and_then(|key| key.hint);
    Ok(Opened {
        key_hint: hint.as_deref().and_then(read_hint),
        signed,
        media_type,
        material,
        has_certificate,
    })
}

/// The lists of signatures and of proofs are measured before they are read: what is short as text
/// may be long in memory.
#[derive(Deserialize)]
struct Signatures<'a> {
    #[serde(borrow)]
    signatures: &'a RawValue,
}

/// Reads a DSSE envelope, which stands in a document that was checked.
pub(crate) fn envelope(text: &str) -> Result<DsseEnvelope, DocumentError> {
    let malformed = |error: serde_json::Error| DocumentError::malformed(&error);
    let Signatures { signatures } = serde_json::from_str(text).map_err(malformed)?;
    let length = signatures.get().len();
    if length > SIGNATURES_LIMIT {
        return Err(DocumentError::Malformed(format!(
            "the list of signatures has {length} bytes, the limit is {SIGNATURES_LIMIT}"
        )));
    }
    serde_json::from_str(text).map_err(malformed)
}

fn few_proofs(material: VerificationMaterial) -> Result<VerificationMaterial, String> {
    let stamps = &material.timestamp_verification_data.rfc3161_timestamps;
    if material.tlog_entries.len() + stamps.len() > PROOF_LIMIT {
        return Err(format!(
            "the bundle has more than {PROOF_LIMIT} log entries and timestamps"
        ));
    }
    Ok(material)
}

fn media_type(text: &str, versions: Versions) -> Result<MediaType, String> {
    let known: Option<MediaType> = text.parse().ok();
    match (known, versions) {
        (Some(MediaType::Bundle0_3), _) => Ok(MediaType::Bundle0_3),
        (Some(known), Versions::Any) => Ok(known),
        (Some(_) | None, _) => Err(format!(
            "the bundle's media type is \"{}\"; only version 0.3 is accepted from a registry",
            clip(text)
        )),
    }
}

impl Opened {
    /// Digest of an envelope's payload.
    pub(crate) fn payload(&self) -> Option<Digest> {
        match &self.signed {
            Signed::Message { .. } => None,
            Signed::Envelope(envelope) => Some(Digest::of(envelope.payload.as_bytes())),
        }
    }

    /// An older signature, read as a bundle of version 0.1.
    pub(crate) fn older(
        signed: Signed,
        material: Result<VerificationMaterial, String>,
        has_certificate: bool,
    ) -> Self {
        Self {
            key_hint: None,
            signed,
            media_type: MediaType::Bundle0_1,
            material,
            has_certificate,
        }
    }

    /// Under what of `trust` it verifies. `over` is what a message signature is checked over; an
    /// envelope names its subjects itself, and any one of them serves to look at its proofs.
    pub(crate) fn verify(self, over: Over<'_>, trust: &Trust) -> Proven {
        let signs = Signs::of(&self.signed, over);
        let Self {
            key_hint: _,
            signed,
            media_type,
            material,
            has_certificate,
        } = self;
        let content = match signed {
            Signed::Message { message, names: _ } => SignatureContent::MessageSignature(message),
            Signed::Envelope(envelope) => SignatureContent::DsseEnvelope(envelope),
        };
        let bundle = material.map(|material| Bundle::new(media_type, material, content));
        let mut proven = Proven::default();
        for anchor in trust.ready() {
            match anchor {
                Ready::Key(key) if !has_certificate && signs.verifies(key) => {
                    proven.by.insert(Verified::by_key(key.id().clone()));
                }
                Ready::KeyUnderRoot(key, name, root) if !has_certificate && signs.verifies(key) => {
                    let verified = both(root, &bundle).and_then(|(root, bundle)| {
                        root.verify_key(name, over.artifact(), bundle, (key.id(), key.spki()))
                    });
                    proven.take(name, verified);
                }
                Ready::Root(name, root) if has_certificate => {
                    let verified = both(root, &bundle).and_then(|(root, bundle)| {
                        root.verify_certificate(name, over.artifact(), bundle)
                    });
                    proven.take(name, verified);
                }
                Ready::Key(_) | Ready::KeyUnderRoot(..) | Ready::Root(..) => {}
            }
        }
        proven
    }
}

/// The root and the bundle, where both could be read.
fn both<'a>(
    root: Result<&'a TrustedRoot, &str>,
    bundle: &'a Result<Bundle, String>,
) -> Result<(&'a TrustedRoot, &'a Bundle), String> {
    let root = root.map_err(str::to_owned)?;
    let bundle = bundle.as_ref().map_err(Clone::clone)?;
    Ok((root, bundle))
}

impl Proven {
    fn take(&mut self, root: &Digest, verified: Result<Verified, String>) {
        match verified {
            Ok(verified) => {
                self.by.insert(verified);
            }
            Err(why) => {
                self.failures.insert(root.clone(), why);
            }
        }
    }
}

/// The message that a managed key must have signed.
enum Signs<'a> {
    Bytes(&'a [u8], sigstore_types::SignatureBytes),
    Sha256(&'a [u8; 32], sigstore_types::SignatureBytes),
    Envelope(Vec<u8>, sigstore_types::SignatureBytes),
}

impl<'a> Signs<'a> {
    fn of(signed: &Signed, over: Over<'a>) -> Self {
        match (signed, over) {
            (Signed::Message { message, .. }, Over::Bytes(bytes)) => {
                Self::Bytes(bytes, message.signature.clone())
            }
            (Signed::Message { message, .. }, Over::Sha256(digest)) => {
                Self::Sha256(digest, message.signature.clone())
            }
            (Signed::Envelope(envelope), _) => {
                Self::Envelope(envelope.pae(), envelope.signature.sig.clone())
            }
        }
    }

    fn verifies(&self, key: &Verifier) -> bool {
        match self {
            Self::Bytes(bytes, signature) => key.verifies(bytes, signature),
            Self::Sha256(digest, signature) => key.verifies_sha256(digest, signature),
            Self::Envelope(message, signature) => key.verifies(message, signature),
        }
    }
}

/// cosign writes base64 of the SHA-256 of the SubjectPublicKeyInfo; other hints mean nothing here.
fn read_hint(hint: &str) -> Option<KeyId> {
    let bytes = STANDARD.decode(hint).ok()?;
    <[u8; 32]>::try_from(bytes)
        .ok()
        .map(|bytes| KeyId::from_sha256(&bytes))
}

fn message_signature(message: MessageSignature) -> Result<Signed, String> {
    let names = match &message.message_digest {
        None => None,
        Some(named) if named.algorithm == HashAlgorithm::Sha2256 => Some(
            <[u8; 32]>::try_from(named.digest.as_bytes())
                .map_err(|_| "the bundle's message digest has not 32 bytes")?,
        ),
        Some(named) => {
            return Err(format!(
                "the bundle's message digest is {}, not SHA2_256",
                named.algorithm
            ));
        }
    };
    Ok(Signed::Message { message, names })
}

/// The digest that a message signature names.
pub(crate) fn named_digest(names: &[u8; 32]) -> Digest {
    Digest::from_sha256(names)
}
