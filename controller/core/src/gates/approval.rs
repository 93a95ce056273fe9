//! Have the people agreed who must agree? (M29 to M36)

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
        let Some(plan) = &case.plan else {
            let text = "nobody can approve yet: the plan is made once Release and target are known";
            return Finding::hold(Reason::AwaitingApproval, text);
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
            let expires = counted.iter().map(|latched| latched.expires()).min();
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
        .filter(|candidate| candidate.counts(content, case.now))
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

fn waiting(case: &Case<'_>, missing: &[Missing]) -> Finding {
    match &case.facts.guard {
        Observed::Known(guard) if guard.problem.is_none() => {}
        Observed::Known(guard) => {
            let problem = guard.problem.as_deref().unwrap_or_default();
            return Finding::unknown(
                Reason::GuardNotReady,
                format!("no approval can be counted: {problem}"),
            );
        }
        Observed::Pending => {
            let text = "the approval guard is being probed";
            return Finding::unknown(Reason::GuardNotReady, text);
        }
        Observed::Unavailable(why) => {
            return Finding::unknown(
                Reason::GuardNotReady,
                format!("no approval can be counted: {}", why.message),
            );
        }
    }
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
    let expired = expired(case);
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
            "{}{expired}; somebody with that role{who}, runs: kubectl promote approve {} -n {} --role \
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
        .filter(|latched| latched.content == plan.content && case.now >= latched.expires())
        .map(|latched| latched.by.as_str())
        .collect();
    if expired.is_empty() {
        return String::new();
    }
    let people: Vec<_> = expired.into_iter().collect();
    format!(
        "; the decision of {} expired and may be given again",
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

/// Decisions in annotations that are valid and not latched yet. The writer reads the guards live,
/// after this, and latches only if they are those of the published plan.
#[must_use]
pub fn latches(case: &Case<'_>) -> Vec<Latched> {
    let memory = &case.promotion.memory;
    let (Some(published), Some(plan)) = (&memory.plan, &case.plan) else {
        return Vec::new();
    };
    if published.content != plan.content {
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
        .filter(|written| !is_latched(&memory.approvals, written, &plan.content, case.now))
        .map(|written| latch(written, plan.content.clone(), case.now))
        .collect()
}

/// Whether this decision is remembered already. One that expired may be given again, by other words:
/// the annotation alone, still standing there, must not live for ever.
fn is_latched(latched: &[Latched], written: &Written, content: &Digest, now: Timestamp) -> bool {
    let newest = latched
        .iter()
        .rev()
        .find(|latched| latched.slot == written.slot);
    newest.is_some_and(|latched| {
        let same = latched.content == *content
            && latched.by == written.by
            && latched.decision == written.decision;
        let words = latched.reason == written.reason && latched.reference == written.reference;
        same && (words || now < latched.expires())
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
mod tests {
    use super::*;
    use crate::decide::decide;
    use crate::facts::{Cause, Unavailable};
    use crate::fixtures::{
        annotate, approve, ask, at, check, latched, now, plan_content, publish, ready, record,
        with_policy,
    };
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass, Unknown};
    use crate::gate::{GateReport, Verdict};
    use crate::policy::ApprovalRule;
    use crate::promotion::{REQUESTED_BY_ANNOTATION, Requester};
    use crate::record::Record;
    use crate::snapshot::Snapshot;

    fn unapproved(snapshot: &mut Snapshot) {
        snapshot.promotions[0].memory.approvals.clear();
    }

    fn rejected(snapshot: &mut Snapshot) {
        let no = latched(snapshot, Vote::Reject, "release-manager.2", "carol@corp");
        snapshot.promotions[0].memory.approvals.push(no);
    }

    /// A rejection on record, for the requester, at the instant.
    fn remember(snapshot: &mut Snapshot, requester: &str, finished: Timestamp) {
        let mut content = record(snapshot, 2, "1.42.0", Outcome::Rejected).content;
        content.promotion.requested_by = Requester::of_annotation(Some(requester));
        content.times.finished = finished;
        let record: Record = crate::fixtures::sealed(content);
        snapshot.facts.records.push(record);
    }

    fn problem(snapshot: &mut Snapshot) {
        unapproved(snapshot);
        match &mut snapshot.facts.guard {
            Observed::Known(guard) => guard.problem = Some("the probe was let through".into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_reason() {
        check(
            &Approval,
            &[
                (
                    |_| {},
                    Pass,
                    Reason::QuorumReached,
                    "approved by alice@corp",
                ),
                (
                    |s| with_policy(s, |policy| policy.approvals.clear()),
                    NotRequired,
                    Reason::NotRequired,
                    "no matching policy",
                ),
                (
                    unapproved,
                    Hold,
                    Reason::AwaitingApproval,
                    "release-manager needs 1, has 0 (policy production); somebody with that role, \
                     not bob@corp, who requested it, runs: kubectl promote approve \
                     checkout-1.42.0-prod -n shop --role release-manager",
                ),
                (
                    |s| s.facts.releases.clear(),
                    Hold,
                    Reason::AwaitingApproval,
                    "nobody can approve yet",
                ),
                (
                    rejected,
                    Deny,
                    Reason::Rejected,
                    "rejected by carol@corp (release-manager)",
                ),
                (
                    |s| remember(s, "bob@corp", now()),
                    Deny,
                    Reason::Rejected,
                    "checkout-prod-000002",
                ),
                (
                    problem,
                    Unknown,
                    Reason::GuardNotReady,
                    "the probe was let through",
                ),
                (
                    |s| {
                        unapproved(s);
                        s.facts.guard = Observed::Pending;
                    },
                    Unknown,
                    Reason::GuardNotReady,
                    "is being probed",
                ),
                (
                    |s| {
                        unapproved(s);
                        let (cause, message) = (Cause::Forbidden, "may not list them".into());
                        s.facts.guard = Observed::Unavailable(Unavailable { cause, message });
                    },
                    Unknown,
                    Reason::GuardNotReady,
                    "may not list them",
                ),
            ],
        );
    }

    fn report(spoil: impl FnOnce(&mut Snapshot)) -> GateReport {
        let mut snapshot = ready();
        spoil(&mut snapshot);
        ask(&Approval, &snapshot)
    }

    fn verdict(spoil: impl FnOnce(&mut Snapshot)) -> (Verdict, Reason) {
        let report = report(spoil);
        (report.verdict, report.reason)
    }

    const REACHED: (Verdict, Reason) = (Pass, Reason::QuorumReached);
    const AWAITED: (Verdict, Reason) = (Hold, Reason::AwaitingApproval);

    /// Asks for so many people of each role, and has these approve, each in the slot.
    fn quorum(roles: &[(&str, u32)], approvals: &[(&str, &str)]) -> (Verdict, Reason) {
        verdict(|s| {
            with_policy(s, |policy| {
                let rule = |(role, min): &(&str, u32)| ApprovalRule {
                    role: (*role).into(),
                    min: *min,
                };
                policy.approvals = roles.iter().map(rule).collect();
            });
            unapproved(s);
            for (slot, by) in approvals {
                approve(s, slot, by);
            }
        })
    }

    #[test]
    fn each_role_needs_its_own_people() {
        let two = [("release-manager", 1), ("security", 1)];
        let (alice, carol) = ("alice@corp", "carol@corp");
        assert_eq!(
            quorum(&two, &[("release-manager", alice), ("security", carol)]),
            REACHED
        );
        assert_eq!(
            quorum(&two, &[("release-manager", alice), ("security", alice)]),
            AWAITED
        );
        assert_eq!(
            quorum(
                &two,
                &[("release-manager", alice), ("release-manager.2", carol)]
            ),
            AWAITED
        );
        let pair = [("release-manager", 2)];
        assert_eq!(quorum(&pair, &[("release-manager", alice)]), AWAITED);
        assert_eq!(
            quorum(
                &pair,
                &[("release-manager", alice), ("release-manager.2", carol)]
            ),
            REACHED
        );
        let same = [("release-manager", alice), ("release-manager.2", alice)];
        assert_eq!(quorum(&pair, &same), AWAITED, "one person in two slots");
        assert_eq!(
            quorum(&pair[..1], &[("security", alice), ("security.2", carol)]),
            AWAITED
        );
    }

    #[test]
    fn each_policy_is_satisfied_by_itself() {
        let both = |s: &mut Snapshot| {
            let mut second = s.facts.policies[0].clone();
            second.name = "second".into();
            s.facts.policies.push(second);
            unapproved(s);
            approve(s, "release-manager", "alice@corp");
        };
        assert_eq!(
            verdict(both),
            REACHED,
            "one person may satisfy one role of each policy"
        );
        let other_role = |s: &mut Snapshot| {
            both(s);
            let rules = &mut s.facts.policies[1].content.as_mut().unwrap().policy;
            rules.approvals[0].role = "security".into();
        };
        assert_eq!(verdict(other_role), AWAITED);
    }

    #[test]
    fn who_asked_never_counts() {
        assert_eq!(
            quorum(
                &[("release-manager", 1)],
                &[("release-manager", "bob@corp")]
            ),
            AWAITED
        );
    }

    /// As if this had created the Promotion.
    fn requested_by(snapshot: &mut Snapshot, name: Option<&str>) {
        let annotations = &mut snapshot.promotions[0].annotations;
        annotations.remove(REQUESTED_BY_ANNOTATION);
        if let Some(name) = name {
            annotations.insert(REQUESTED_BY_ANNOTATION.into(), name.into());
        }
        unapproved(snapshot);
    }

    #[test]
    fn where_no_person_is_known_to_have_asked_one_more_must_agree() {
        for requester in [
            None,
            Some("system:serviceaccount:flux-system:kustomize-controller"),
        ] {
            let one = report(|s| {
                requested_by(s, requester);
                approve(s, "release-manager", "alice@corp");
            });
            assert_eq!((one.verdict, one.reason), AWAITED, "{requester:?}");
            assert!(one.message.contains("needs 2, has 1"), "{}", one.message);
            assert!(
                one.message.contains("one more than the policy says"),
                "{}",
                one.message
            );
            let two = verdict(|s| {
                requested_by(s, requester);
                approve(s, "release-manager", "alice@corp");
                approve(s, "release-manager.2", "carol@corp");
            });
            assert_eq!(two, REACHED, "{requester:?}");
        }
    }

    #[test]
    fn a_no_beats_every_yes() {
        let all = |s: &mut Snapshot| {
            approve(s, "release-manager.3", "dave@corp");
            rejected(s);
            approve(s, "release-manager.4", "erin@corp");
        };
        assert_eq!(verdict(all), (Deny, Reason::Rejected));
    }

    #[test]
    fn an_approval_is_for_one_plan_and_one_day() {
        let another_plan = verdict(|s| s.environment.automatic_rollback = false);
        assert_eq!(another_plan, AWAITED);
        let pass = report(|_| {});
        assert_eq!(pass.next_change, Some(at("2026-11-25T09:30:00Z")));
        let expired = report(|s| s.now = at("2026-11-25T09:30:00Z"));
        assert_eq!((expired.verdict, expired.reason), AWAITED);
        let text = "the decision of alice@corp expired and may be given again";
        assert!(expired.message.contains(text), "{}", expired.message);
    }

    #[test]
    fn a_rejection_is_remembered_for_the_same_requester_until_it_expires() {
        let day_before = at("2026-11-23T10:00:00Z");
        assert_eq!(
            verdict(|s| remember(s, "bob@corp", day_before)),
            REACHED,
            "expired"
        );
        assert_eq!(
            verdict(|s| remember(s, "dave@corp", now())),
            REACHED,
            "another requester"
        );
        let report = report(|s| remember(s, "bob@corp", at("2026-11-23T10:00:01Z")));
        assert_eq!((report.verdict, report.reason), (Deny, Reason::Rejected));
        assert_eq!(report.next_change, Some(at("2026-11-24T10:00:01Z")));
    }

    /// What would be latched of the annotation.
    fn latch_of(spoil: impl FnOnce(&mut Snapshot, &Digest)) -> Vec<Latched> {
        let mut snapshot = ready();
        unapproved(&mut snapshot);
        let plan = publish(&mut snapshot).hash;
        spoil(&mut snapshot, &plan);
        decide(&snapshot.input()).promotions[0].latch.clone()
    }

    #[test]
    fn a_valid_annotation_is_latched_once() {
        let mut snapshot = ready();
        unapproved(&mut snapshot);
        let plan = publish(&mut snapshot).hash;
        annotate(
            &mut snapshot,
            Vote::Approve,
            "release-manager",
            "alice@corp",
            &plan,
        );
        let latch = decide(&snapshot.input()).promotions[0].latch.clone();
        assert_eq!(latch.len(), 1);
        assert_eq!((latch[0].by.as_str(), latch[0].at), ("alice@corp", now()));
        assert_eq!(latch[0].content, plan_content(&snapshot));
        snapshot.promotions[0].memory.approvals = latch;
        assert!(decide(&snapshot.input()).promotions[0].latch.is_empty());
        assert_eq!(ask(&Approval, &snapshot).verdict, Pass);
    }

    #[test]
    fn what_is_not_for_the_published_plan_by_another_person_is_not_latched() {
        let slot = "release-manager";
        let good = latch_of(|s, plan| annotate(s, Vote::Reject, slot, "carol@corp", plan));
        assert_eq!(good.len(), 1);
        let none = [
            latch_of(|s, _| annotate(s, Vote::Approve, slot, "alice@corp", &Digest::of(b"old"))),
            latch_of(|s, plan| annotate(s, Vote::Approve, slot, "bob@corp", plan)),
            latch_of(|s, plan| annotate(s, Vote::Approve, slot, "system:admin", plan)),
            latch_of(|s, plan| {
                annotate(s, Vote::Approve, slot, "alice@corp", plan);
                s.environment.automatic_rollback = false;
            }),
            latch_of(|s, plan| {
                annotate(s, Vote::Approve, slot, "alice@corp", plan);
                s.promotions[0].memory.plan = None;
            }),
        ];
        assert_eq!(none, [const { Vec::<Latched>::new() }; 5]);
    }

    #[test]
    fn an_expired_decision_is_given_again_by_other_words_only() {
        let mut snapshot = ready();
        let plan = publish(&mut snapshot).hash;
        snapshot.promotions[0].memory.approvals[0].reason = "go".into();
        snapshot.promotions[0].memory.approvals[0].reference = String::new();
        snapshot.now = at("2026-11-25T09:30:00Z");
        annotate(
            &mut snapshot,
            Vote::Approve,
            "release-manager",
            "alice@corp",
            &plan,
        );
        let latch = |s: &Snapshot| decide(&s.input()).promotions[0].latch.clone();
        assert_eq!(
            latch(&snapshot),
            [],
            "the annotation of yesterday still stands there"
        );
        let annotation = "approval.lockmaster.dev/release-manager";
        let value = snapshot.promotions[0]
            .annotations
            .get_mut(annotation)
            .unwrap();
        *value = value.replace("reason=go", "reason=still go");
        let again = latch(&snapshot);
        assert_eq!(again.len(), 1);
        snapshot.promotions[0].memory.approvals.extend(again);
        assert_eq!(ask(&Approval, &snapshot).verdict, Pass);
        assert_eq!(latch(&snapshot), []);
    }
}
