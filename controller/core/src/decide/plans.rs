//! The plan that approvers see.

use crate::case::Case;
use crate::gate::{GateReport, Verdict};
use crate::gates;
use crate::plan::{PublishedPlan, bound_hash};
use crate::time::whole_seconds;

/// One of them, or neither.
#[derive(Default)]
pub(super) struct Plans {
    /// What approvers see.
    pub(super) plan: Option<PublishedPlan>,
    /// What they saw last, while there is nothing to see.
    pub(super) overtaken: Option<PublishedPlan>,
}

/// A plan is published when everything but time and people is settled, and kept while its content and
/// the guards stay the same. Where its content changes while something else is not settled, nobody can
/// decide; what the plan was is kept, so that with the next one is told what changed.
pub(super) fn plans(case: &Case<'_>, gates: &[GateReport]) -> Plans {
    let mut approval = gates.iter().filter(|gate| gate.name == "approval");
    if !approval.any(|gate| gate.verdict != Verdict::NotRequired) {
        return Plans::default();
    }
    let memory = &case.promotion.memory;
    let before = memory.plan.as_ref().or(memory.overtaken_plan.as_ref());
    let Some(minted) = &case.plan else {
        // What it consists of cannot be seen right now; if it is the same afterwards, so is the plan.
        return Plans {
            plan: memory.plan.clone(),
            overtaken: memory.overtaken_plan.clone(),
        };
    };
    let guard = case.facts.guard.known();
    let guard = guard.filter(|guard| guard.problem.is_none());
    let same = before.filter(|plan| plan.content == minted.content);
    let plan = match (guard, same) {
        (Some(guard), Some(plan)) if plan.guard_epoch == guard.epoch => Some(plan.clone()),
        (Some(guard), _) if is_settled(gates) => Some(PublishedPlan {
            hash: bound_hash(&minted.content, &guard.epoch),
            content: minted.content.clone(),
            preimage: minted.preimage.clone(),
            minted_at: whole_seconds(case.now),
            guard_epoch: guard.epoch.clone(),
            changed: gates::changed_since(case, minted),
        }),
        (_, same) => same.cloned(),
    };
    let overtaken = before.filter(|_| plan.is_none()).cloned();
    Plans { plan, overtaken }
}

/// Whether everything but time and people is.
fn is_settled(gates: &[GateReport]) -> bool {
    let counts = |gate: &&GateReport| gate.name != "approval" && gate.name != "window";
    let mut others = gates.iter().filter(counts);
    others.all(|gate| gate.verdict.is_open())
}
