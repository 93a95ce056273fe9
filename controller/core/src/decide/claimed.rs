//! The promotion that holds the Environment: from its claim to its record, step by step.

use jiff::Timestamp;

use super::Input;
use super::ending::{
    UNDER_WAY, close_unlanded, end, fence, finished, give_up, hidden, refusal, silent_from,
    turn_back, withdrawn,
};
use super::landing::{self, Landing, consents, is_fenced, landings, trouble};
use super::waiting::{conclude, is_pending, look};
use crate::case::Case;
use crate::decision::{Mutation, Progress};
use crate::promotion::{Claim, Intent, Promotion, ReleaseReference};
use crate::reason::Reason;
use crate::record::Outcome;
use crate::status::State;

/// What the holder comes to.
pub(super) struct Step {
    /// uid of the promotion that this step speaks for; none where the waiting ones do.
    pub(super) promotion: Option<String>,
    pub(super) progress: Option<Progress>,
    pub(super) mutation: Option<Mutation>,
    pub(super) wake: Option<Timestamp>,
}

impl Step {
    fn change(mutation: Option<Mutation>) -> Self {
        Self {
            promotion: None,
            progress: None,
            mutation,
            wake: None,
        }
    }

    /// The same, written to the Promotion: a person must mend something before it goes on.
    fn aloud(mut self) -> Self {
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
                carry_out(input, claim, promotion)
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
    let case = Case::new(promotion, input);
    let mut progress = look(&case);
    let unchanged = case.changes.as_ref() == Some(&claim.intent.targets);
    let cleared = progress.state == State::Pending
        && progress.latch.is_empty()
        && !promotion.request.abort
        && unchanged;
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
    if is_pending(&case) && !promotion.request.abort {
        // Right after a start nothing is known yet; the first answers wake the pass.
        return Step {
            promotion: Some(promotion.uid.clone()),
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

/// The open intent is carried out, watched, undone or closed.
fn carry_out(input: &Input<'_>, claim: &Claim, promotion: &Promotion) -> Step {
    let Intent { at, undo, .. } = &claim.intent;
    let deadline = at
        .checked_add(input.environment.deadline.duration())
        .unwrap_or(*at);
    let attempt = Attempt {
        input,
        claim,
        promotion,
        deadline,
        aborting: promotion.request.abort && undo.is_none(),
        seen: landings(input, claim),
    };
    attempt
        .interrupted()
        .or_else(|| attempt.unlanded())
        .unwrap_or_else(|| attempt.landed())
}

/// An open intent, and where it stands at its targets.
struct Attempt<'a> {
    input: &'a Input<'a>,
    claim: &'a Claim,
    promotion: &'a Promotion,
    deadline: Timestamp,
    /// Whether a person wants it ended, and it is not on the way back already.
    aborting: bool,
    seen: Vec<Landing<'a>>,
}

impl Attempt<'_> {
    fn is_overdue(&self) -> bool {
        self.input.now >= self.deadline
    }

    /// Nothing is changed; this is how it stands.
    fn report(&self, summary: String) -> Step {
        Step {
            progress: Some(rolling_progress(self.promotion, self.claim, summary)),
            wake: (!self.is_overdue()).then_some(self.deadline),
            ..Step::change(None)
        }
    }

    /// A workload cannot be seen, is gone, or is in somebody else's hand.
    fn interrupted(&self) -> Option<Step> {
        let (input, claim) = (self.input, self.claim);
        self.seen.iter().find_map(|landing| match landing {
            Landing::Unseen(why) => Some(self.report(why.clone())),
            Landing::Hidden(why) if self.aborting || self.is_overdue() => {
                Some(Step::change(hidden(input, claim, why)))
            }
            Landing::Hidden(why) => Some(self.report(why.clone()).aloud()),
            Landing::Later(why) => Some(self.later(why)),
            Landing::Gone => {
                let text = "the workload was deleted during the roll-out; nothing is re-created";
                let (outcome, reason) = (Outcome::Failed, Reason::TargetNotFound);
                Some(Step::change(end(
                    input,
                    claim,
                    outcome,
                    reason,
                    text.into(),
                )))
            }
            Landing::Foreign(reason, text) => {
                let outcome = Outcome::Failed;
                Some(Step::change(end(
                    input,
                    claim,
                    outcome,
                    *reason,
                    text.clone(),
                )))
            }
            Landing::Landed(_) | Landing::NotYet(_) => None,
        })
    }

    /// A later attempt than the claimed one seems to have been made. Where the claim was read as it
    /// was before, the newer one shows within seconds; where it does not, somebody else wrote that.
    fn later(&self, why: &str) -> Step {
        let (input, claim) = (self.input, self.claim);
        let waited = if self.aborting {
            claim.intent.at
        } else {
            self.deadline
        };
        let believed_until = waited.checked_add(UNDER_WAY).unwrap_or(waited);
        if input.now < believed_until {
            let mut said = self.report(why.to_owned());
            said.wake = Some(believed_until);
            return said;
        }
        let text = format!("somebody else wrote what only the operator writes: {why}");
        Step::change(end(input, claim, Outcome::Failed, Reason::Raced, text))
    }

    /// A workload does not carry the image yet: it is set, or the attempt is closed.
    fn unlanded(&self) -> Option<Step> {
        let (input, claim) = (self.input, self.claim);
        let targets = &claim.intent.targets;
        let mut pairs = self.seen.iter().zip(targets);
        let (workload, target) = pairs.find_map(|(landing, target)| match landing {
            Landing::NotYet(workload) => Some((*workload, target)),
            Landing::Unseen(_)
            | Landing::Hidden(_)
            | Landing::Later(_)
            | Landing::Gone
            | Landing::Landed(_)
            | Landing::Foreign(..) => None,
        })?;
        let refused = refusal(input, claim);
        if self.aborting || self.is_overdue() {
            let forbidden = refused.filter(|refusal| refusal.forbidden);
            let silent = forbidden.map(|refusal| (refusal, silent_from(refusal)));
            if let Some((refusal, silent)) = silent.filter(|(_, silent)| input.now < *silent) {
                let mut said = self.report(refusal.message.clone()).aloud();
                said.wake = Some(silent);
                return Some(said);
            }
            let fence = fence(input, claim, &self.seen);
            let closed = fence.or_else(|| close_unlanded(input, claim, self.aborting));
            return Some(Step::change(closed));
        }
        if !consents(input.environment, workload) {
            return Some(Step::change(withdrawn(input, claim, target)));
        }
        let (uid, attempt) = (self.promotion.uid.clone(), claim.intent.attempt);
        if is_fenced(&self.seen, &uid, attempt) {
            return Some(self.report("a fence closed this attempt; reading again why".to_owned()));
        }
        let target = target.clone();
        let apply = Some(Mutation::Apply {
            uid,
            attempt,
            target,
        });
        let Some(refusal) = refused else {
            return Some(Step::change(apply));
        };
        let mut said = self.report(refusal.message.clone()).aloud();
        if input.now < refusal.retry_at {
            said.wake = Some(refusal.retry_at.min(self.deadline));
        } else {
            said.mutation = apply;
        }
        Some(said)
    }

    /// Every workload carries the image: it is watched until it is healthy, or too late.
    fn landed(&self) -> Step {
        let (input, claim) = (self.input, self.claim);
        match trouble(&self.seen, &claim.intent.targets) {
            None if !self.aborting => Step::change(finished(input, claim)),
            _ if self.aborting => {
                let text = "aborted".to_owned();
                Step::change(turn_back(input, claim, Reason::Aborted, text))
            }
            Some(trouble) if self.is_overdue() => {
                let text = format!(
                    "not healthy within {}: {trouble}",
                    input.environment.deadline
                );
                Step::change(give_up(input, claim, text))
            }
            trouble => self.report(trouble.unwrap_or_default()),
        }
    }
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
        latch: Vec::new(),
        // The intent's write already said so; what happens until the outcome is in the log.
        report: false,
    }
}
