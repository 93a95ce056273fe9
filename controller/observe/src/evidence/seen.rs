//! What a look at one image found.

use std::collections::BTreeSet;

use lockmaster_core::evidence::{Anchor, AnchorId, Form};
use lockmaster_core::release::Digest;

use super::judging::Judged;
use crate::registry::{Listing, Place, Reach};

/// Manifests that are remembered of one image: what one look finds, and as much of what is gone.
const PLACES_LIMIT: usize = 256;

/// What a look that succeeded found, and where it looked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub(super) form: Form,
    pub(super) judged: Vec<Judged>,
    /// Where the bytes may still be in memory.
    pub(super) places: Vec<Place>,
    pub(super) reach: Reach,
    /// What the lists named, and when.
    pub(super) listing: Listing,
}

impl Seen {
    /// Whether all that is attached was tried with all of these.
    pub(super) fn is_judged_under(&self, anchors: &[Anchor]) -> bool {
        let ids: BTreeSet<AnchorId> = anchors.iter().map(Anchor::id).collect();
        self.judged.iter().all(|one| ids.is_subset(&one.tried))
    }
    /// Adds what was known before and was not listed now. Its bytes may be gone, so that under anchors
    /// that were not asked about before it counts as not verifying, unless they are in memory. What
    /// nobody signed was never more than a hint, and is let go.
    pub(super) fn add_withdrawn(&mut self, before: &Self, anchors: &[Anchor]) {
        let listed: BTreeSet<Digest> = self.judged.iter().map(|one| one.id.clone()).collect();
        let known = before.judged.iter();
        let lost = known.filter(|one| !listed.contains(&one.id));
        let lost: Vec<_> = lost
            .filter(|one| !one.bundle.verified_by.is_empty())
            .collect();
        if lost.is_empty() {
            return;
        }
        for one in lost {
            let mut one = one.clone();
            one.tried.extend(anchors.iter().map(Anchor::id));
            one.withdrawn = true;
            self.judged.push(one);
        }
        for place in &before.places {
            if self.places.len() < PLACES_LIMIT && !self.places.contains(place) {
                self.places.push(place.clone());
            }
        }
    }
}
