//! What may be evidence, as it was found in a registry, whatever its format.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockmaster_core::evidence::Bundle;
use lockmaster_core::release::Digest;

use crate::judge::{Subject, judge};
use crate::legacy;
use crate::statement::Statement;
use crate::trust::Trust;

/// Annotations of a layer.
pub type Annotations = BTreeMap<String, String>;

/// Bytes that a registry lists as evidence, with what stands beside them. All of it is hostile.
#[derive(Debug, Clone)]
pub enum Candidate {
    /// A Sigstore bundle.
    Bundle(Arc<Vec<u8>>),
    /// Simple signing, as cosign wrote it before version 3.
    LegacySignature {
        /// The layer: what is signed.
        payload: Arc<Vec<u8>>,
        /// The layer's annotations: the signature, and what proves who made it.
        annotations: Annotations,
    },
    /// A DSSE envelope in a layer, as cosign wrote it before version 3.
    LegacyAttestation {
        /// The layer: the envelope with its signature.
        envelope: Arc<Vec<u8>>,
        /// The layer's annotations: what proves who made it.
        annotations: Annotations,
    },
}

impl Candidate {
    /// What it says, whom it is about, and under what of `trust` its signature verifies; as
    /// [`judge()`] does, for every format.
    #[must_use]
    pub fn judge(&self, subject: &Subject<'_>, trust: &Trust) -> Bundle {
        self.judge_with(subject, trust, &mut Reading::default())
    }

    /// The same, where `reading` is that of the candidates before it, of the same artifact.
    #[must_use]
    pub fn judge_with(
        &self,
        subject: &Subject<'_>,
        trust: &Trust,
        reading: &mut Reading,
    ) -> Bundle {
        match self {
            Self::Bundle(bytes) => judge(subject, bytes, trust),
            Self::LegacySignature {
                payload,
                annotations,
            } => legacy::judge_signature(payload, annotations, trust),
            Self::LegacyAttestation {
                envelope,
                annotations,
            } => legacy::judge_attestation(subject, (envelope, annotations), trust, reading),
        }
    }
}

/// What the last envelope says: several signatures of one layer differ only in what stands beside it,
/// and cost one reading.
#[derive(Debug, Default)]
pub struct Reading {
    last: Option<(Digest, Statement)>,
}

impl Reading {
    /// The statement of the envelope with this digest; `read` is asked where it is not the last one.
    pub(crate) fn statement(
        &mut self,
        envelope: &Digest,
        read: impl FnOnce() -> Statement,
    ) -> Statement {
        match &self.last {
            Some((digest, statement)) if digest == envelope => statement.clone(),
            Some(_) | None => {
                let statement = read();
                self.last = Some((envelope.clone(), statement.clone()));
                statement
            }
        }
    }
}

/// Of these annotations those that [`Candidate::judge`] looks at. What is left out changes no
/// verdict.
#[must_use]
pub fn judged_annotations(mut all: Annotations) -> Annotations {
    all.retain(|key, _| legacy::ANNOTATIONS.contains(&key.as_str()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement;

    #[test]
    fn what_one_envelope_says_is_read_once() {
        let (mut reading, mut read) = (Reading::default(), 0);
        let mut ask = |envelope: &[u8]| {
            let digest = Digest::of(envelope);
            let found = reading.statement(&digest, || {
                read += 1;
                statement::read("application/vnd.in-toto+json", envelope)
            });
            (found.content, read)
        };
        let (first, _) = ask(b"one");
        assert_eq!(ask(b"one"), (first, 1));
        assert_eq!(ask(b"{}").1, 2);
    }
}
