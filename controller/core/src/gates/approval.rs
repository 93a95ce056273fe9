//! Have the people agreed who must agree? (M29 to M36)

mod voided;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::approval::{self, Approval as Latched, ApprovalSource, Vote, Written};
use crate::case::Case;
use crate::facts::Observed;
use crate::gate::{Finding, Gate};
use crate::promotion::RequesterKind;
use crate::reason::Reason;
use crate::record::Outcome;
use crate::release::Digest;
use crate::time::whole_seconds;

pub(crate) use self::voided::changed_since;

/// See the module.
#[derive(Debug)]
pub(super) struct Approval;

impl Gate for Approval {
    fn name(&self) -> &'static str {
        "approval"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::QuorumReached,
            Reason::AwaitingApproval,
            Reason::Rejected,
            Reason::GuardNotReady,
        ]
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        let required = required(case);
        if required.is_empty() {
            return Finding::not_required("no matching policy asks for approvals");
        }
        if let Some(finding) = rejected_before(case) {
            return finding;
        }
        // Without proven guards nobody knows who wrote a decision, the latched ones included.
        if let Some(finding) = unguarded(case) {
            return finding;
        }
        let Some(plan) = &case.plan else {
            return unplanned(case);
        };
        let counted = counted(case, &plan.content);
        if let Some(rejection) = counted
            .iter()
            .find(|latched| latched.decision == Vote::Reject)
        {
            let text = format!(
                "{} ({}): {}",
                rejection.by, rejection.role, rejection.reason
            );
            return Finding::deny(Reason::Rejected, format!("rejected by {text}"));
        }
        let missing = missing(case, &required, &counted);
        if missing.is_empty() {
            let people: Vec<_> = people(case, &counted).into_iter().collect();
            let expires = counted.iter().map(|latched| expiry(case, latched)).min();
            let text = format!("approved by {}", people.join(", "));
            return Finding::pass(Reason::QuorumReached, text).until(expires);
        }
        waiting(case, &missing)
    }
}

/// A role that needs people.
struct Need<'a> {
    policy: &'a str,
    role: &'a str,
    min: usize,
}

/// The roles that matching policies ask for. Where it is not known that a person asked, each policy
/// costs one approver more: the approver could be the requester.
fn required<'a>(case: &Case<'a>) -> Vec<Need<'a>> {
    let extra = usize::from(case.promotion.requester().kind != RequesterKind::Person);
    let mut needs = Vec::new();
    for (fact, content) in &case.policies {
        for (position, rule) in content.policy.approvals.iter().enumerate() {
            let extra = if position == 0 { extra } else { 0 };
            let min = rule.min.max(1) as usize + extra;
            needs.push(Need {
                policy: &fact.name,
                role: &rule.role,
                min,
            });
        }
    }
    needs
}

/// Latched decisions that still count for this plan; per slot the newest one.
fn counted<'a>(case: &Case<'a>, content: &Digest) -> Vec<&'a Latched> {
    let latched = &case.promotion.memory.approvals;
    let newest = |candidate: &Latched| {
        latched
            .iter()
            .rev()
            .find(|other| other.slot == candidate.slot && other.content == *content)
    };
    latched
        .iter()
        .filter(|candidate| candidate.content == *content && case.now < expiry(case, candidate))
        .filter(|candidate| newest(candidate) == Some(*candidate))
        .collect()
}

/// People who approved and count: never the requester.
fn people<'a>(case: &Case<'_>, counted: &[&'a Latched]) -> BTreeSet<&'a str> {
    let requester = case.promotion.requester().name;
    let approvals = counted
        .iter()
        .filter(|latched| latched.decision == Vote::Approve);
    approvals
        .map(|latched| latched.by.as_str())
        .filter(|by| *by != requester)
        .collect()
}

struct Missing {
    policy: String,
    role: String,
    have: usize,
    min: usize,
}

/// What is still missing. Policies are satisfied each by itself; within one policy a person counts
/// for one role only, however many slots carry that person's name.
fn missing(case: &Case<'_>, required: &[Need<'_>], counted: &[&Latched]) -> Vec<Missing> {
    let allowed = people(case, counted);
    let mut found = Vec::new();
    let mut used: BTreeSet<(&str, &str)> = BTreeSet::new();
    for need in required {
        let mut have = 0;
        for latched in counted {
            let fits = latched.decision == Vote::Approve
                && latched.role == need.role
                && allowed.contains(latched.by.as_str());
            if fits && have < need.min && used.insert((need.policy, latched.by.as_str())) {
                have += 1;
            }
        }
        if have < need.min {
            let (policy, role) = (need.policy.to_owned(), need.role.to_owned());
            found.push(Missing {
                policy,
                role,
                have,
                min: need.min,
            });
        }
    }
    found
}

/// Why no decision counts, where the guards are not proven alive.
fn unguarded(case: &Case<'_>) -> Option<Finding> {
    let text = match &case.facts.guard {
        Observed::Known(guard) => {
            let problem = guard.problem.as_ref()?;
            format!("no approval can be counted: {problem}")
        }
        Observed::Pending => "the approval guard is being probed".to_owned(),
        Observed::Unavailable(why) => format!("no approval can be counted: {}", why.message),
    };
    Some(Finding::unknown(Reason::GuardNotReady, text))
}

/// There is nothing yet that anybody could agree to.
fn unplanned(case: &Case<'_>) -> Finding {
    let text = if case.release.is_some() && case.changes.is_some() {
        "nobody can approve: the plan would be larger than 8 KiB; let fewer policies match this \
         Environment"
    } else {
        "nobody can approve yet: the plan is made once Release and target are known"
    };
    Finding::hold(Reason::AwaitingApproval, text)
}

/// When a decision stops counting: after a day or, where it was given in a window that was open
/// for longer, at the end of that occurrence.
fn expiry(case: &Case<'_>, latched: &Latched) -> Timestamp {
    let occurrence = super::window::open_until(case, latched.at);
    latched.expires().max(occurrence.unwrap_or(Timestamp::MIN))
}

fn waiting(case: &Case<'_>, missing: &[Missing]) -> Finding {
    let lines: Vec<_> = missing
        .iter()
        .map(|need| {
            let Missing {
                policy,
                role,
                have,
                min,
            } = need;
            format!("{role} needs {min}, has {have} (policy {policy})")
        })
        .collect();
    let (expired, voided) = (expired(case), voided::voided(case, missing));
    let role = missing.first().map_or("", |need| need.role.as_str());
    let requester = case.promotion.requester();
    let who = match requester.kind {
        RequesterKind::Person => format!(", not {}, who requested it", requester.name),
        RequesterKind::Robot | RequesterKind::Unknown => {
            "; one more than the policy says, because no person is known to have requested it"
                .into()
        }
    };
    Finding::hold(
        Reason::AwaitingApproval,
        format!(
            "{}{expired}{voided}; somebody with that role{who}, runs: kubectl promote approve {} -n {} --role \
             {role} --reason \"...\"",
            lines.join("; "),
            case.promotion.name,
            case.promotion.namespace
        ),
    )
}

/// Who approved this very plan, but too long ago.
fn expired(case: &Case<'_>) -> String {
    let Some(plan) = &case.plan else {
        return String::new();
    };
    let latched = case.promotion.memory.approvals.iter();
    let expired: BTreeSet<_> = latched
        .filter(|latched| latched.content == plan.content && case.now >= expiry(case, latched))
        .map(|latched| latched.by.as_str())
        .collect();
    if expired.is_empty() {
        return String::new();
    }
    let people: Vec<_> = expired.into_iter().collect();
    format!(
        "; the decision of {} expired and may be given again, with another reason",
        people.join(", ")
    )
}

/// A rejection holds for the same artifacts, Environment and requester until it expires: deleting
/// the Promotion and creating it again is no second try.
fn rejected_before(case: &Case<'_>) -> Option<Finding> {
    let set = case.release?.artifact_set().ok()?;
    let requester = case.promotion.requester();
    let rejection = case.facts.records.iter().rev().find(|record| {
        let content = &record.content;
        content.outcome == Outcome::Rejected
            && content.promotion.uid != case.promotion.uid
            && content.is_about(&set)
            && content.promotion.requested_by == requester
            && content.environment.uid == case.environment.uid
            && case.now < expires(content.times.finished)
    })?;
    let until = expires(rejection.content.times.finished);
    Some(
        Finding::deny(
            Reason::Rejected,
            format!(
                "these artifacts were rejected here for the same requester ({}): {}; that holds \
                 until {until}",
                rejection.object_name(),
                rejection.content.message
            ),
        )
        .until(Some(until)),
    )
}

fn expires(finished: Timestamp) -> Timestamp {
    let valid: SignedDuration = approval::VALID_FOR;
    finished.checked_add(valid).unwrap_or(Timestamp::MAX)
}

/// Decisions in annotations that are valid and not latched yet. They were made under the guards of
/// the plan they name: where others are in force now, they are dead, because nobody knows what was
/// let through in between. The writer reads the guards live, after this, and latches only if they
/// are still those of the published plan.
#[must_use]
pub fn latches(case: &Case<'_>) -> Vec<Latched> {
    let memory = &case.promotion.memory;
    let (Some(published), Some(plan)) = (&memory.plan, &case.plan) else {
        return Vec::new();
    };
    let guard = case.facts.guard.known();
    let guarded =
        guard.is_some_and(|guard| guard.problem.is_none() && guard.epoch == published.guard_epoch);
    if !guarded || published.content != plan.content {
        return Vec::new();
    }
    let written = case
        .promotion
        .annotations
        .iter()
        .filter_map(|(key, value)| {
            approval::parse(key, value).filter(|written| written.plan == published.hash)
        });
    let requester = case.promotion.requester();
    written
        .filter(|written| written.by != requester.name && !written.by.starts_with("system:"))
        .filter(|written| !is_latched(case, written, &plan.content))
        .map(|written| latch(written, plan.content.clone(), case.now))
        .collect()
}

/// Whether this decision is remembered already. One that expired may be given again, by other words:
/// the annotation alone, still standing there, must not live for ever.
fn is_latched(case: &Case<'_>, written: &Written, content: &Digest) -> bool {
    let latched = &case.promotion.memory.approvals;
    let newest = latched
        .iter()
        .rev()
        .find(|latched| latched.slot == written.slot);
    newest.is_some_and(|latched| {
        let same = latched.content == *content
            && latched.by == written.by
            && latched.decision == written.decision;
        let words = latched.reason == written.reason && latched.reference == written.reference;
        same && (words || case.now < expiry(case, latched))
    })
}

fn latch(written: Written, content: Digest, now: Timestamp) -> Latched {
    let Written {
        slot,
        role,
        decision,
        by,
        plan: _,
        reference,
        reason,
    } = written;
    let at = whole_seconds(now);
    let source = ApprovalSource::Annotation;
    Latched {
        role,
        slot,
        decision,
        by,
        reference,
        reason,
        content,
        at,
        source,
    }
}

#[cfg(test)]
mod tests;
