//! Past bugs of such verifiers that concern log entries, in the older formats, and with certificates
//! in every version of the bundle: an entry counts for exactly one payload, signature and signer.

use lockmaster_core::evidence::{Anchor, COSIGN_SIGN, Verified};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Detached, Subject, Trust, judge, judge_detached};
use serde_json::json;

use crate::legacy::{candidate, payload, payload_of};
use crate::signing::{MANIFEST, statement, statement_about};
use crate::sigstore::{Entry, Person, Signed, Sigstore};

const OTHER: &[u8] = b"another manifest";

/// Every format in which a log entry may come.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Format {
    Signature,
    Attestation,
    /// A file, of one version.
    Detached(&'static str),
    /// From a registry.
    Bundle,
}

const FORMATS: [Format; 5] = [
    Format::Signature,
    Format::Attestation,
    Format::Detached("0.1"),
    Format::Detached("0.2"),
    Format::Bundle,
];

impl Format {
    /// The person's signature of the image.
    fn sign(self, person: &Person) -> Signed {
        self.sign_other(person, MANIFEST)
    }

    fn sign_other(self, person: &Person, manifest: &[u8]) -> Signed {
        match self {
            Self::Signature => person.sign(&payload(manifest)),
            Self::Attestation | Self::Detached(_) | Self::Bundle => {
                person.attest(&statement_about(manifest, COSIGN_SIGN, &json!({})))
            }
        }
    }

    /// Another payload with the same meaning.
    fn sign_again_otherwise(self, person: &Person) -> Signed {
        match self {
            Self::Signature => {
                let mut other = payload_of(MANIFEST, "cosign container image signature");
                other["optional"] = json!({"again": "yes"});
                person.sign(other.to_string().as_bytes())
            }
            Self::Attestation | Self::Detached(_) | Self::Bundle => {
                person.attest(&statement(COSIGN_SIGN, &json!({"again": "yes"})))
            }
        }
    }

    /// What is proven of the signature by this entry.
    fn judge(self, signed: &Signed, entry: &Entry, anchors: &[Anchor]) -> Vec<Verified> {
        let trust = Trust::new(anchors);
        let digest = Digest::of(MANIFEST);
        let subject = Subject::new(&digest, MANIFEST).unwrap();
        let found = match self {
            Self::Signature | Self::Attestation => {
                let found = candidate(signed, Some(entry)).judge(&subject, &trust);
                found.verified_by
            }
            Self::Detached(version) => {
                let bundle = signed.bundle(version, Some(entry)).to_string();
                let file = Detached::Bytes(MANIFEST);
                judge_detached(bundle.as_bytes(), file, &trust).unwrap_or_default()
            }
            Self::Bundle => {
                let bundle = signed.bundle("0.3", Some(entry)).to_string();
                judge(&subject, bundle.as_bytes(), &trust).verified_by
            }
        };
        found.into_iter().collect()
    }
}

/// Plays one case in every format, with a certificate and with a managed key: what `entry` makes is
/// the entry that is attached to the person's signature.
#[track_caller]
fn refuses(entry: impl Fn(&Sigstore, Format, &Person, &Signed) -> (Signed, Entry)) {
    for format in FORMATS {
        let sigstore = Sigstore::new();
        for (person, keyless) in [(sigstore.person(), true), (Person::with_key(), false)] {
            let anchor = if keyless {
                sigstore.anchor()
            } else {
                sigstore.anchor_of(&person)
            };
            let anchors = [anchor];
            let signed = format.sign(&person);
            let honest = sigstore.entry(&signed);
            let good = format.judge(&signed, &honest, &anchors);
            assert_eq!(good.len(), 1, "{format:?} {keyless}: what is right");
            assert!(good[0].logged, "{format:?} {keyless}");
            let (attached, entry) = entry(&sigstore, format, &person, &signed);
            let found = format.judge(&attached, &entry, &anchors);
            assert!(found.is_empty(), "{format:?} {keyless}: {found:?}");
        }
    }
}

/// cosign took any valid entry for proof that the signature is in the log.
#[test]
fn cve_2022_23649_an_entry_of_another_artifact_proves_nothing() {
    refuses(|sigstore, format, person, signed| {
        let other = format.sign_other(person, OTHER);
        (signed.clone(), sigstore.entry(&other))
    });
}

/// cosign did not compare certificate, signature and digest of an entry with what it verified: each
/// of them alone is put wrong.
#[test]
fn cve_2022_36056_an_entry_must_agree_in_signer_signature_and_digest() {
    refuses(|sigstore, _, _, signed| {
        let mut other = signed.clone();
        let stranger = if signed.certificate.is_some() {
            sigstore.person()
        } else {
            Person::with_key()
        };
        other.verifier = stranger.sign(b"").verifier;
        (signed.clone(), sigstore.entry(&other))
    });
    refuses(|sigstore, _, _, signed| {
        let mut other = signed.clone();
        other.signature[10] ^= 1;
        (signed.clone(), sigstore.entry(&other))
    });
    refuses(|sigstore, _, _, signed| {
        let mut other = signed.clone();
        other.payload.push(b' ');
        (signed.clone(), sigstore.entry(&other))
    });
}

/// The same class came back: any valid entry, by anybody, was accepted.
#[test]
fn cve_2026_22703_an_entry_of_somebody_else_proves_nothing() {
    refuses(|sigstore, format, _, signed| {
        let stranger = if signed.certificate.is_some() {
            sigstore.person()
        } else {
            Person::with_key()
        };
        let other = format.sign_other(&stranger, OTHER);
        (signed.clone(), sigstore.entry(&other))
    });
}

/// gitsign took the entry of another signature by the same signer for that of this one.
#[test]
fn cve_2024_51746_an_entry_of_another_signature_by_the_same_signer_proves_nothing() {
    refuses(|sigstore, format, person, signed| {
        let again = format.sign(person);
        assert_ne!(again.signature, signed.signature);
        (signed.clone(), sigstore.entry(&again))
    });
    refuses(|sigstore, format, person, signed| {
        let again = format.sign_again_otherwise(person);
        (signed.clone(), sigstore.entry(&again))
    });
}

/// The whole of another bundle in the place of this one is another signature, and says whose.
#[test]
fn an_entry_of_a_log_that_is_not_trusted_proves_nothing() {
    refuses(|_, _, _, signed| (signed.clone(), Sigstore::new().entry(signed)));
}
