//! What a pass of the world sees, and what is decided on it.

use super::{Decision, Input, Promotion, Snapshot};
use crate::decide::decide;

/// Sees the promotions as they were; one that did not exist then is not seen.
pub(super) fn see_then(seen: &mut Snapshot, then: &Snapshot) {
    let exist = |promotion: &&Promotion| {
        seen.promotions
            .iter()
            .any(|other| other.uid == promotion.uid)
    };
    let stale: Vec<_> = then.promotions.iter().filter(exist).cloned().collect();
    seen.promotions = stale;
}

/// The decision sees unfinished promotions only.
pub(super) fn decide_unfinished(seen: &Snapshot) -> Decision {
    let unfinished = seen
        .promotions
        .iter()
        .filter(|promotion| !promotion.is_finished());
    let promotions: Vec<_> = unfinished.cloned().collect();
    let environment = &seen.environment;
    decide(&Input {
        promotions: &promotions,
        environment,
        facts: &seen.facts,
        now: seen.now,
    })
}
