//! Manifests that carry what may be evidence, and which of their layers that is.
//!
//! A referrer carries Sigstore bundles. What lies under the tags `sha256-<hex>.sig` and
//! `sha256-<hex>.att` carries the older formats of cosign: there, a part of what is to be judged
//! stands in annotations of the layer, so that one layer may stand several times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockmaster_core::evidence::{Carrier, SbomFormat};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Annotations, Candidate};

use super::cache::Cached;
use super::document::{self, Descriptor, Document};
use super::problem::Problem;

/// Candidates of one predicate annotation that are read. The annotation is not signed, so that this
/// keeps an honest pipeline that signs too often from crowding out the rest, and nobody else.
const PER_KIND_LIMIT: usize = 32;

/// Signatures that are read in one blob. What makes them several stands beside it, unsigned: an honest
/// one has two or three, and each costs a judgement of the whole blob.
const PER_BLOB_LIMIT: usize = 32;

/// Candidates that are read, whatever they are annotated with, over all formats.
const COUNT_LIMIT: usize = 128;

/// Every version's media type begins so; the older versions are fetched to be named as refused.
const BUNDLE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";

/// A layer of the older signatures (cosign, specification of signatures).
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A layer of the older attestations.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// Annotation by which older cosign says what an attestation's predicate is. Unsigned: a hint.
const PREDICATE_TYPE: &str = "predicateType";

/// A manifest that carried something, so that it can be read again from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub(super) carrier: Carrier,
    pub(super) manifest: Digest,
}

/// A layer that may be evidence.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    carrier: Carrier,
    pub(super) digest: Digest,
    pub(super) size: u64,
    annotations: Annotations,
    /// What it is said to be, without proof.
    kind: Option<String>,
}

/// What may be evidence. Nothing has been verified but its hash.
#[derive(Debug, Clone)]
pub struct CandidateBundle {
    /// Names it among what is attached to the image: with the older formats, one layer's bytes may
    /// stand for several signatures.
    pub id: Digest,
    /// What was found.
    pub candidate: Candidate,
}

impl Place {
    /// The layers of this place's manifest that may be evidence.
    pub(super) fn layers(&self, cached: &Cached) -> Result<Vec<Layer>, Problem> {
        let document = document::read(&cached.bytes, cached.content_type.as_deref())?;
        let (layers, predicate) = match (document, self.carrier) {
            (
                Document::Manifest {
                    layers, predicate, ..
                },
                _,
            ) => (layers, predicate),
            // It was listed as a manifest; its bytes say otherwise, and carry no bundle.
            (Document::Index { .. }, Carrier::Bundle) => return Ok(Vec::new()),
            (Document::Index { .. }, Carrier::LegacySignature | Carrier::LegacyAttestation) => {
                return Err(Problem::Document("it is no manifest".to_owned()));
            }
        };
        let layers = layers.into_iter();
        let found = layers.filter_map(|layer| self.layer(layer, predicate.as_ref()));
        Ok(found.collect())
    }

    fn layer(&self, layer: Descriptor, predicate: Option<&String>) -> Option<Layer> {
        let media_type = layer.media_type();
        let is_ours = match self.carrier {
            Carrier::Bundle => media_type.starts_with(BUNDLE_PREFIX),
            Carrier::LegacySignature => media_type == SIMPLE_SIGNING,
            Carrier::LegacyAttestation => media_type == ENVELOPE,
        };
        let digest = layer.digest().filter(|_| is_ours)?;
        let size = layer.size;
        let annotations = layer.into_annotations();
        let (kind, annotations) = match self.carrier {
            Carrier::Bundle => (predicate.cloned(), Annotations::new()),
            Carrier::LegacySignature => (None, annotations),
            Carrier::LegacyAttestation => (annotations.get(PREDICATE_TYPE).cloned(), annotations),
        };
        Some(Layer {
            carrier: self.carrier,
            digest,
            size,
            annotations: lockmaster_verify::judged_annotations(annotations),
            kind,
        })
    }
}

impl Layer {
    /// Whether it says that it is a bill of materials.
    pub(super) fn is_bill(&self) -> bool {
        let kind = self.kind.as_deref();
        kind.is_some_and(|kind| SbomFormat::of_predicate(kind).is_some())
    }

    /// With these bytes, which hash to its digest.
    pub(super) fn holding(self, bytes: Arc<Vec<u8>>) -> CandidateBundle {
        let id = self.id();
        let annotations = self.annotations;
        let candidate = match self.carrier {
            Carrier::Bundle => Candidate::Bundle(bytes),
            Carrier::LegacySignature => Candidate::LegacySignature {
                payload: bytes,
                annotations,
            },
            Carrier::LegacyAttestation => Candidate::LegacyAttestation {
                envelope: bytes,
                annotations,
            },
        };
        CandidateBundle { id, candidate }
    }

    /// Equal for what is the same to whoever judges it, and for nothing else.
    fn id(&self) -> Digest {
        match self.carrier {
            Carrier::Bundle => self.digest.clone(),
            Carrier::LegacySignature | Carrier::LegacyAttestation => {
                // Values are counted before they follow each other: no two of these have one text.
                let mut text = format!("{:?} {}", self.carrier, self.digest);
                for (key, value) in &self.annotations {
                    let (key_length, length) = (key.len(), value.len());
                    text = format!("{text} {key_length} {key} {length} {value}");
                }
                Digest::of(text.as_bytes())
            }
        }
    }
}

/// The layers of all places, each once, where they are no more than are read.
pub(super) fn within_limits(layers: impl Iterator<Item = Layer>) -> Result<Vec<Layer>, Problem> {
    let mut kinds: BTreeMap<(&'static str, Option<String>), usize> = BTreeMap::new();
    let mut blobs: BTreeMap<Digest, usize> = BTreeMap::new();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for layer in layers {
        let format = match layer.carrier {
            Carrier::Bundle => "bundle",
            Carrier::LegacySignature => "signature",
            Carrier::LegacyAttestation => "attestation",
        };
        let count = kinds.entry((format, layer.kind.clone())).or_default();
        *count += 1;
        if *count > PER_KIND_LIMIT {
            return Err(Problem::Limit {
                what: "bundles of one kind",
                limit: PER_KIND_LIMIT,
            });
        }
        if seen.insert(layer.id()) {
            let count = blobs.entry(layer.digest.clone()).or_default();
            *count += 1;
            if *count > PER_BLOB_LIMIT {
                return Err(Problem::Limit {
                    what: "signatures in one blob",
                    limit: PER_BLOB_LIMIT,
                });
            }
            found.push(layer);
        }
        if found.len() > COUNT_LIMIT {
            return Err(Problem::Limit {
                what: "bundles",
                limit: COUNT_LIMIT,
            });
        }
    }
    Ok(found)
}
