//! The plan that approvers see.

use crate::case::Case;
use crate::gate::{GateReport, Verdict};
use crate::gates;
use crate::plan::{PublishedPlan, bound_hash};
use crate::time::whole_seconds;

/// It is made when everything but time and people is settled, and kept while its content and the guards stay the same. One that is overtaken is kept too, for what is said of the
/// next one: what changed since.
pub(super) fn published(case: &Case<'_>, gates: &[GateReport]) -> Option<PublishedPlan> {
    let asked = gates
        .iter()
        .any(|gate| gate.name == "approval" && gate.verdict != Verdict::NotRequired);
    let known = case.promotion.memory.plan.as_ref().filter(|_| asked);
    let Some(minted) = case.plan.as_ref().filter(|_| asked) else {
        // What it consists of cannot be seen right now; if it is the same afterwards, so is the plan.
        return known.cloned();
    };
    let same = known.filter(|plan| plan.content == minted.content);
    let same = same.map(|plan| PublishedPlan {
        overtaken: false,
        ..plan.clone()
    });
    let settled = gates
        .iter()
        .filter(|gate| gate.name != "approval" && gate.name != "window")
        .all(|gate| gate.verdict.is_open());
    let guard = case
        .facts
        .guard
        .known()
        .filter(|guard| guard.problem.is_none());
    match (guard, same) {
        (Some(guard), Some(plan)) if plan.guard_epoch == guard.epoch => Some(plan),
        (Some(guard), _) if settled => Some(PublishedPlan {
            hash: bound_hash(&minted.content, &guard.epoch),
            content: minted.content.clone(),
            preimage: minted.preimage.clone(),
            minted_at: whole_seconds(case.now),
            guard_epoch: guard.epoch.clone(),
            changed: gates::changed_since(case, minted),
            overtaken: false,
        }),
        (_, Some(plan)) => Some(plan),
        (_, None) => known.map(|plan| PublishedPlan {
            overtaken: true,
            ..plan.clone()
        }),
    }
}
