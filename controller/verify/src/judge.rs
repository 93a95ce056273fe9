//! One bundle, one subject, some keys: the facts.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_core::evidence::{Bundle, Carrier, Content, Verified};
use lockmaster_core::release::Digest;

use crate::bundle::{self, Opened, Over, Proven, Signed, Versions};
use crate::statement::{self, Statement};
use crate::trust::Trust;

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

/// Says what the bundle in `bytes` holds, whom it is about, and under what of `trust` its signature
/// verifies. Total: bytes that are no bundle are [`Content::Unreadable`].
///
/// `verified_by` does not depend on the subjects: a good signature over another digest, copied onto
/// this artifact, shows as verified with that other digest among its subjects. Callers compare.
/// Of the subjects, the artifact's own digest is always kept, of the others the first three.
#[must_use]
pub fn judge(subject: &Subject<'_>, bytes: &[u8], trust: &Trust) -> Bundle {
    let digest = Digest::of(bytes);
    match bundle::open(bytes, Versions::Newest) {
        Err(problem) => Bundle {
            digest,
            payload: None,
            carrier: Carrier::Bundle,
            key_hint: None,
            verified_by: BTreeSet::new(),
            failures: BTreeMap::new(),
            key_problem: None,
            subjects: Vec::new(),
            content: Content::Unreadable {
                predicate: None,
                problem,
            },
        },
        Ok(opened) => {
            let key_hint = opened.key_hint.clone();
            let payload = opened.payload();
            let key_problem = key_hint.as_ref().and_then(|hint| trust.key_problem(hint));
            let (Proven { by, failures }, subjects, content) = judge_opened(subject, opened, trust);
            Bundle {
                digest,
                payload,
                carrier: Carrier::Bundle,
                key_hint,
                key_problem: key_problem.filter(|_| by.is_empty()).map(str::to_owned),
                verified_by: by,
                failures,
                subjects,
                content,
            }
        }
    }
}

fn judge_opened(
    subject: &Subject<'_>,
    opened: Opened,
    trust: &Trust,
) -> (Proven, Vec<Digest>, Content) {
    match &opened.signed {
        Signed::Message { names, .. } => {
            let names = *names;
            judge_message(subject, opened, names.as_ref(), trust)
        }
        Signed::Envelope(envelope) => {
            let statement = statement::read(&envelope.payload_type, envelope.payload.as_bytes());
            judge_statement(subject, opened, statement, trust)
        }
    }
}

/// The same for an envelope whose statement was read.
pub(crate) fn judge_statement(
    subject: &Subject<'_>,
    opened: Opened,
    statement: Statement,
    trust: &Trust,
) -> (Proven, Vec<Digest>, Content) {
    // Whose subject it is about is compared by the callers, from `subjects`.
    let about = statement.subjects.first().unwrap_or(subject.digest);
    let about = about.sha256();
    let proven = opened.verify(Over::Sha256(&about), trust);
    let subjects = keep(statement.subjects, subject.digest);
    (proven, subjects, statement.content)
}

/// A message signature is over the manifest's bytes. When the bundle names another digest, the
/// signature is checked over that one, so that a copied signature can be told from a broken one.
fn judge_message(
    subject: &Subject<'_>,
    opened: Opened,
    names: Option<&[u8; 32]>,
    trust: &Trust,
) -> (Proven, Vec<Digest>, Content) {
    let other = names.filter(|names| bundle::named_digest(names) != *subject.digest);
    let over = other.map_or(Over::Bytes(subject.manifest), Over::Sha256);
    let proven = opened.verify(over, trust);
    let about = other.map_or_else(|| subject.digest.clone(), bundle::named_digest);
    let subjects = if proven.by.is_empty() {
        Vec::new()
    } else {
        vec![about]
    };
    (proven, subjects, Content::Signature)
}

/// What a detached bundle of any version proves about a file, or about the SHA-256 of one; the
/// error says why it proves nothing. For files that somebody names, as `cosign verify-blob` takes
/// them; what comes from a registry goes through [`judge()`].
pub fn judge_detached(
    bytes: &[u8],
    file: Detached<'_>,
    trust: &Trust,
) -> Result<BTreeSet<Verified>, String> {
    let opened = bundle::open(bytes, Versions::Any)?;
    let over = match &file {
        Detached::Bytes(bytes) => Over::Bytes(bytes),
        Detached::Sha256(digest) => Over::Sha256(digest),
    };
    if let Signed::Message {
        names: Some(names), ..
    } = &opened.signed
        && *names != file.sha256()
    {
        return Err("the bundle names another digest than that of the file".to_owned());
    }
    if let Signed::Envelope(envelope) = &opened.signed {
        let statement = statement::read(&envelope.payload_type, envelope.payload.as_bytes());
        if !statement
            .subjects
            .contains(&Digest::from_sha256(&file.sha256()))
        {
            return Err("the statement is not about the file".to_owned());
        }
    }
    let Proven { by, failures } = opened.verify(over, trust);
    if by.is_empty() {
        let why = failures.into_values().next();
        return Err(why.unwrap_or_else(|| "nothing that is trusted signed it".to_owned()));
    }
    Ok(by)
}

/// What a detached bundle is about.
#[derive(Debug, Clone, Copy)]
pub enum Detached<'a> {
    /// The file.
    Bytes(&'a [u8]),
    /// Its SHA-256.
    Sha256([u8; 32]),
}

impl Detached<'_> {
    fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => Digest::of(bytes).sha256(),
            Self::Sha256(digest) => *digest,
        }
    }
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
