//! How content by digest is read, and up to which length.

use lockmaster_verify::BUNDLE_LIMIT;

use super::cache::Collection;
use super::carriers::Layer;
use super::config::Limits;
use super::document::{ACCEPT_MANIFEST, ACCEPT_SUBJECT, MANIFEST_LIMIT};
use super::problem::Problem;

/// What the two kinds of content by digest differ in.
pub(super) struct Part {
    pub(super) collection: Collection,
    pub(super) accept: Option<&'static str>,
    /// In bytes.
    pub(super) limit: usize,
    /// What there are too many of beyond that.
    what: &'static str,
}

impl Part {
    /// A bundle or layer. What says that it is a bill of materials has a limit of its own, which the
    /// registry sets: that is a hint, and decides only how much is read.
    pub(super) fn of(layer: &Layer, limits: &Limits) -> Self {
        if !layer.is_bill() {
            return BLOB;
        }
        Self {
            limit: limits.sbom_bytes(),
            what: BILL,
            ..BLOB
        }
    }

    /// Refuses what is announced to be longer than is read.
    pub(super) fn fits(&self, size: u64) -> Result<(), Problem> {
        if size > self.limit as u64 {
            return Err(self.too_long());
        }
        Ok(())
    }

    fn too_long(&self) -> Problem {
        Problem::Limit {
            what: self.what,
            limit: self.limit,
        }
    }

    /// What is longer than was announced is told like what was announced.
    pub(super) fn named(&self, problem: Problem) -> Problem {
        let beyond = Problem::Limit {
            what: BYTES,
            limit: self.limit,
        };
        if problem == beyond {
            self.too_long()
        } else {
            problem
        }
    }
}

/// Of what is too long, as whoever reads an answer says it.
const BYTES: &str = "bytes";

/// Of a bill of materials that is too long: says what to do about it.
const BILL: &str = "bytes in a bill of materials, the limit that limits.sbomMebibytes of its \
                    registry sets for the operator";

/// The image itself.
pub(super) const SUBJECT: Part = Part {
    collection: Collection::Manifests,
    accept: Some(ACCEPT_SUBJECT),
    limit: MANIFEST_LIMIT,
    what: BYTES,
};
/// What carries evidence.
pub(super) const CARRIER: Part = Part {
    collection: Collection::Manifests,
    accept: Some(ACCEPT_MANIFEST),
    limit: MANIFEST_LIMIT,
    what: BYTES,
};
/// A bundle, or an older format's layer.
const BLOB: Part = Part {
    collection: Collection::Blobs,
    accept: None,
    limit: BUNDLE_LIMIT,
    what: BYTES,
};
