//! What may be evidence, as it was found in a registry, whatever its format.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockmaster_core::evidence::Bundle;

use crate::judge::{Subject, judge};
use crate::legacy;
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
        match self {
            Self::Bundle(bytes) => judge(subject, bytes, trust),
            Self::LegacySignature {
                payload,
                annotations,
            } => legacy::judge_signature(payload, annotations, trust),
            Self::LegacyAttestation {
                envelope,
                annotations,
            } => legacy::judge_attestation(subject, envelope, annotations, trust),
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
