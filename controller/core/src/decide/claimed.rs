//! The promotion that holds the Environment: from its claim to its record, step by step.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::ending::{UNDER_WAY, end, fence, hidden, refusal, silent_from};
use super::known::{Start, is_pending, start};
use super::landing::{self, Landing, landings};
use super::waiting::conclude;
use super::{Input, attempt};
use crate::case::Case;
use crate::decision::{Mutation, Progress};
use crate::promotion::{Claim, Promotion, ReleaseReference};
use crate::reason::Reason;
use crate::record::Outcome;
use crate::release::ImageReference;
use crate::status::State;

/// What the holder comes to.
pub(super) struct Step {
    /// uid of the promotion that this step speaks for; none where the waiting ones do.
    pub(super) promotion: Option<String>,
    pub(super) progress: Option<Progress>,
    pub(super) mutation: Option<Mutation>,
    pub(super) wake: Option<Timestamp>,
    /// See [`crate::decision::Decision::relist`].
    pub(super) relist: BTreeSet<ImageReference>,
}

impl Step {
    pub(super) fn change(mutation: Option<Mutation>) -> Self {
        Self {
            promotion: None,
            progress: None,
            mutation,
            wake: None,
            relist: BTreeSet::new(),
        }
    }

    /// The same, written to the Promotion: a person must mend something before it goes on.
    pub(super) fn aloud(mut self) -> Self {
        if let Some(progress) = &mut self.progress {
            progress.report = true;
        }
        self
    }
}

/// The next step of the promotion that holds the Environment.
pub(super) fn step(input: &Input<'_>, claim: &Claim) -> Step {
    let uid = &claim.account.promotion.uid;
    let promotion = input
        .promotions
        .iter()
        .find(|promotion| promotion.uid == *uid);
    let holder = Some(uid.clone());
    if let Some(problem) = &input.facts.records_problem {
        let text = format!(
            "nothing is done until the records can be relied on: {problem}; the cluster's administrators mend it (docs/how-to/mend-records.md)"
        );
        let said = promotion.map(|promotion| rolling_progress(promotion, claim, text));
        let still = Step {
            promotion: holder,
            progress: said,
            ..Step::change(None)
        };
        return still.aloud();
    }
    let step = match (promotion, input.facts.record_of(uid)) {
        (Some(promotion), Some(record)) if !promotion.is_finished() => {
            Step::change(Some(conclude(promotion, record)))
        }
        (_, Some(_)) => Step::change(Some(Mutation::Release { uid: uid.clone() })),
        (None, None) => vanished(input, claim),
        (Some(promotion), None) => match &promotion.memory.intent {
            Some(intent) if intent.attempt == claim.intent.attempt => {
                attempt::carry_out(input, claim, promotion)
            }
            // The claim is written first: with an intent ahead of it, the Environment was read as it
            // was before. The newer one wakes the pass.
            Some(intent) if intent.attempt > claim.intent.attempt => Step::change(None),
            // Only a first attempt may be given back: a later one follows on what was changed already.
            // Where its promotion seems to have no intent, it was read as it was before, or lost it.
            None if claim.intent.attempt == 1 => return begin(input, claim, promotion),
            Some(_) | None => Step {
                progress: Some(rolling_progress(promotion, claim, rolling(claim))),
                ..Step::change(Some(write_intent(claim)))
            },
        },
    };
    Step {
        promotion: holder,
        ..step
    }
}

fn write_intent(claim: &Claim) -> Mutation {
    Mutation::Intent {
        promotion: claim.account.promotion.name.clone(),
        uid: claim.account.promotion.uid.clone(),
        intent: claim.intent.clone(),
    }
}

/// Claimed, but no intent yet: nothing can have been changed. The gates are asked once more, since
/// time may have passed; if one is closed now, the claim is given back.
fn begin(input: &Input<'_>, claim: &Claim, promotion: &Promotion) -> Step {
    let mut case = Case::new(promotion, input);
    let pending = is_pending(&case);
    let Start {
        mut progress,
        relist,
        wake,
    } = start(&mut case);
    let unchanged = case.changes.as_ref() == Some(&claim.intent.targets);
    let cleared = progress.is_clear() && !promotion.request.abort && unchanged;
    if cleared {
        progress = Progress {
            gates: progress.gates,
            ..rolling_progress(promotion, claim, rolling(claim))
        };
        return Step {
            promotion: Some(promotion.uid.clone()),
            progress: Some(progress),
            ..Step::change(Some(write_intent(claim)))
        };
    }
    let said = !relist.is_empty();
    if (pending || said) && !promotion.request.abort {
        // Right after a start nothing is known yet; the first answers wake the pass.
        return Step {
            promotion: Some(promotion.uid.clone()),
            progress: said.then_some(progress),
            wake,
            relist,
            ..Step::change(None)
        };
    }
    Step::change(Some(Mutation::Release {
        uid: promotion.uid.clone(),
    }))
}

/// The Promotion object is gone without a record. Deleting one never changes what a workload runs:
/// nothing is applied or undone, an apply still under way is fenced off, and the end is recorded.
fn vanished(input: &Input<'_>, claim: &Claim) -> Step {
    let seen = landings(input, claim);
    if let Some(mutation) = fence(input, claim, &seen) {
        return Step::change(Some(mutation));
    }
    if let Some(why) = landing::hidden(&seen) {
        return Step::change(hidden(input, claim, why));
    }
    if let Some(until) = unsettled(input, claim, &seen).filter(|until| input.now < *until) {
        return Step {
            wake: Some(until),
            ..Step::change(None)
        };
    }
    if seen
        .iter()
        .any(|landing| matches!(landing, Landing::Unseen(_)))
    {
        return Step::change(None);
    }
    let text = "the Promotion was deleted while it held the Environment; nothing was undone";
    Step::change(end(
        input,
        claim,
        Outcome::Aborted,
        Reason::PromotionDeleted,
        text.into(),
    ))
}

/// Until when it may still turn out that a write of this attempt, or of a later one, was made.
fn unsettled(input: &Input<'_>, claim: &Claim, seen: &[Landing<'_>]) -> Option<Timestamp> {
    let later = seen
        .iter()
        .any(|landing| matches!(landing, Landing::Later(_)));
    let later = later
        .then(|| claim.intent.at.checked_add(UNDER_WAY).ok())
        .flatten();
    let refused = refusal(input, claim).filter(|refusal| refusal.forbidden);
    later.max(refused.map(silent_from))
}

/// What an attempt does, for a person.
pub(super) fn rolling(claim: &Claim) -> String {
    let texts: Vec<_> = claim
        .intent
        .targets
        .iter()
        .map(|target| format!("{} to {}", target.workload, target.to.digest().short()))
        .collect();
    let why = claim
        .intent
        .undo
        .as_ref()
        .map(|undo| format!(" ({})", undo.message));
    format!("setting {}{}", texts.join(", "), why.unwrap_or_default())
}

pub(super) fn rolling_progress(promotion: &Promotion, claim: &Claim, summary: String) -> Progress {
    let back = claim.intent.undo.is_some();
    let (state, reason) = if back {
        (State::RollingBack, Reason::RollingBack)
    } else {
        (State::RollingOut, Reason::RollingOut)
    };
    Progress {
        name: promotion.name.clone(),
        uid: promotion.uid.clone(),
        generation: promotion.generation,
        gates: promotion.memory.gates.clone(),
        state,
        reason,
        summary,
        blocked_by: None,
        artifact: claim.account.release.as_ref().map(ReleaseReference::short),
        requested_by: promotion.requester(),
        plan: promotion.memory.plan.clone(),
        overtaken_plan: promotion.memory.overtaken_plan.clone(),
        latch: Vec::new(),
        // The intent's write already said so; what happens until the outcome is in the log.
        report: false,
    }
}
