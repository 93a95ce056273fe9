//! One bundle, one subject, some keys: the facts.

use std::collections::BTreeSet;

use lockmaster_core::evidence::{Bundle, Content, KeyId, PublicKey};
use lockmaster_core::release::Digest;

use crate::bundle::{self, Opened, Signed};
use crate::key::Verifier;
use crate::statement;

/// Subjects that are kept besides the artifact's own digest: what a message names. A statement may
/// list hundreds, and what is known of a bundle stays in memory.
const OTHER_SUBJECTS: usize = 3;

/// The artifact that evidence is wanted for: its manifest and, computed from it, its digest.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    manifest: &'a [u8],
    digest: &'a Digest,
}

impl<'a> Subject<'a> {
    /// The artifact with this manifest, or `None` when the manifest does not hash to `digest`.
    #[must_use]
    pub fn new(digest: &'a Digest, manifest: &'a [u8]) -> Option<Self> {
        (Digest::of(manifest) == *digest).then_some(Self { manifest, digest })
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        self.digest
    }
}

/// Says what the bundle in `bytes` holds, whom it is about, and under which of `keys` its
/// signature verifies. Total: bytes that are no bundle are [`Content::Unreadable`].
///
/// `verified_by` does not depend on the subjects: a good signature over another digest, copied onto
/// this artifact, shows as verified with that other digest among its subjects. Callers compare.
/// Of the subjects, the artifact's own digest is always kept, of the others the first three.
#[must_use]
pub fn judge(subject: &Subject<'_>, bytes: &[u8], keys: &[PublicKey]) -> Bundle {
    let digest = Digest::of(bytes);
    match bundle::open(bytes) {
        Err(problem) => Bundle {
            digest,
            key_hint: None,
            verified_by: BTreeSet::new(),
            subjects: Vec::new(),
            content: Content::Unreadable {
                predicate: None,
                problem,
            },
        },
        Ok(Opened { key_hint, signed }) => {
            let (verified_by, subjects, content) = match &signed {
                Signed::Message { signature, names } => {
                    judge_message(subject, signature, names.as_ref(), keys)
                }
                Signed::Envelope(envelope) => {
                    let message = envelope.pae();
                    let statement =
                        statement::read(&envelope.payload_type, envelope.payload.as_bytes());
                    let signature = &envelope.signature.sig;
                    let verified = verified_by(keys, |key| key.verifies(&message, signature));
                    let subjects = keep(statement.subjects, subject.digest);
                    (verified, subjects, statement.content)
                }
            };
            Bundle {
                digest,
                key_hint,
                verified_by,
                subjects,
                content,
            }
        }
    }
}

/// A message signature is over the manifest's bytes. When the bundle names another digest, the
/// signature is checked over that one, so that a copied signature can be told from a broken one.
fn judge_message(
    subject: &Subject<'_>,
    signature: &sigstore_types::SignatureBytes,
    names: Option<&[u8; 32]>,
    keys: &[PublicKey],
) -> (BTreeSet<KeyId>, Vec<Digest>, Content) {
    let other = names.filter(|names| bundle::named_digest(names) != *subject.digest);
    let verified = verified_by(keys, |key| match other {
        None => key.verifies(subject.manifest, signature),
        Some(names) => key.verifies_sha256(names, signature),
    });
    let about = other.map_or_else(|| subject.digest.clone(), bundle::named_digest);
    let subjects = if verified.is_empty() {
        Vec::new()
    } else {
        vec![about]
    };
    (verified, subjects, Content::Signature)
}

/// The subjects that anyone asks about, in the statement's order, the artifact's own once.
fn keep(mut subjects: Vec<Digest>, own: &Digest) -> Vec<Digest> {
    let (mut seen, mut others) = (false, 0);
    subjects.retain(|subject| {
        if subject == own {
            return !std::mem::replace(&mut seen, true);
        }
        others += 1;
        others <= OTHER_SUBJECTS
    });
    subjects.shrink_to_fit();
    subjects
}

fn verified_by(keys: &[PublicKey], check: impl Fn(&Verifier) -> bool) -> BTreeSet<KeyId> {
    keys.iter()
        .filter_map(Verifier::new)
        .filter(|verifier| check(verifier))
        .map(|verifier| verifier.id().clone())
        .collect()
}
