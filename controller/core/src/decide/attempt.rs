//! An open intent: carried out, watched, undone or closed.

use jiff::{SignedDuration, Timestamp};

use super::Input;
use super::claimed::{Step, rolling_progress};
use super::ending::{
    UNDER_WAY, close_unlanded, end, fence, finished, give_up, hidden, refusal, silent_from,
    turn_back, withdrawn,
};
use super::landing::{Landing, consents, is_fenced, landings, pods_in_trouble, trouble};
use super::revoked::revoked;
use crate::decision::Mutation;
use crate::promotion::{Claim, Intent, Promotion};
use crate::reason::Reason;
use crate::record::Outcome;
use crate::revocation;
use crate::time::whole_seconds;

/// The open intent is carried out, watched, undone or closed.
pub(super) fn carry_out(input: &Input<'_>, claim: &Claim, promotion: &Promotion) -> Step {
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

/// How long after its intent a roll-out says what is wrong with its pods: what starts well does so
/// within seconds, and a report of that would cost a write each time.
const TROUBLE_TOLD_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// How long after its intent a roll-out says how far it is, though nothing seems wrong.
const SLOWNESS_TOLD_AFTER: SignedDuration = SignedDuration::from_secs(30);

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
        let (workload, target) =
            pairs.find_map(|(landing, target)| Some((landing.not_yet()?, target)))?;
        let refused = refusal(input, claim);
        let revoked = revoked(input, claim);
        if self.aborting || self.is_overdue() || revoked.is_some() {
            let forbidden = refused.filter(|refusal| refusal.forbidden);
            let silent = forbidden.map(|refusal| (refusal, silent_from(refusal)));
            if let Some((refusal, silent)) = silent.filter(|(_, silent)| input.now < *silent) {
                let mut said = self.report(refusal.message.clone()).aloud();
                said.wake = Some(silent);
                return Some(said);
            }
            let fence = fence(input, claim, &self.seen);
            let closed = fence.or_else(|| close_unlanded(input, claim, self.aborting, revoked));
            return Some(Step::change(closed));
        }
        if !consents(input.environment, workload) {
            return Some(Step::change(withdrawn(input, claim, target)));
        }
        let (uid, attempt) = (self.promotion.uid.clone(), claim.intent.attempt);
        if is_fenced(&self.seen, &uid, attempt) {
            return Some(self.report("a fence closed this attempt; reading again why".to_owned()));
        }
        if let Some((name, problem)) = revocation::unreadable(&input.facts.revocations) {
            let text = format!(
                "nothing is set while Revocation {name} cannot be read, since nobody knows what it \
                 covers: {problem}; kubectl edit revocations.lockmaster.dev {name}"
            );
            return Some(self.report(text).aloud());
        }
        if claim.intent.undo.is_none() && revocation::may_be_in(input.facts, &target.to) {
            let text = format!(
                "nothing is set while nobody knows whether an image that is revoked is in {}: what it \
                 is made of is asked of {}, by itself",
                target.to,
                target.to.registry()
            );
            return Some(self.report(text));
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
        match trouble(self.input.facts, &self.seen, &claim.intent.targets) {
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
            trouble => self.watched(trouble.unwrap_or_default()),
        }
    }

    /// Not healthy yet. Where pods say what is wrong, a person should hear of it before the deadline;
    /// a roll-out that only takes its time is told of a little later. Both cost a write.
    fn watched(&self, trouble: String) -> Step {
        let begun = self.claim.intent.at;
        let instants =
            [TROUBLE_TOLD_AFTER, SLOWNESS_TOLD_AFTER].map(|after| begun.checked_add(after));
        let [Ok(trouble_from), Ok(slowness_from)] = instants else {
            return self.report(trouble);
        };
        let now = self.input.now;
        let told = now >= slowness_from || (now >= trouble_from && pods_in_trouble(&self.seen));
        let name = &self.promotion.name;
        let namespace = &self.promotion.namespace;
        let mut text = format!("{trouble}; it has until {}", whole_seconds(self.deadline));
        // The way back is not called off: there is nothing better to go to.
        if self.claim.intent.undo.is_none() {
            let how = format!("; to end it before: kubectl promote abort {name} -n {namespace}");
            text.push_str(&how);
        }
        let mut said = self.report(text);
        let next = [trouble_from, slowness_from].into_iter();
        let next = next.filter(|at| *at > now).min();
        said.wake = next.into_iter().chain(said.wake).min();
        if told { said.aloud() } else { said }
    }
}
