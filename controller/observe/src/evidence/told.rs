//! What passes are told of one image, shared among those that ask the same.

use std::collections::BTreeSet;
use std::sync::Weak;

use lockmaster_core::evidence::{AnchorId, Bundle, Bundles};

/// Bundles as they were told of some anchors, for as long as a pass has them: many passes look at one
/// image, and each has its facts until it ends.
#[derive(Default)]
pub(super) struct Told {
    known: Vec<(BTreeSet<AnchorId>, Weak<Vec<Bundle>>)>,
}

impl Told {
    /// The bundles, with nothing in them about anchors that are not wanted. Who wants the same gets the
    /// same memory.
    pub(super) fn of<'a>(
        &mut self,
        wanted: BTreeSet<AnchorId>,
        facts: impl Iterator<Item = &'a Bundle>,
    ) -> Bundles {
        self.known.retain(|(_, bundles)| bundles.strong_count() > 0);
        let mut told = self.known.iter().filter(|(anchors, _)| *anchors == wanted);
        if let Some(known) = told.find_map(|(_, bundles)| Bundles::upgrade(bundles)) {
            return known;
        }
        let bundles = facts.map(|bundle| {
            let mut bundle = bundle.clone();
            bundle
                .verified_by
                .retain(|verified| wanted.contains(&verified.anchor()));
            bundle
                .failures
                .retain(|root, _| wanted.iter().any(|id| id.root.as_ref() == Some(root)));
            bundle
        });
        let bundles: Bundles = bundles.collect();
        self.known.push((wanted, bundles.downgrade()));
        bundles
    }
}
