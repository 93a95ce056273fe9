//! What people must agree to, and when their word counts.

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

#[test]
fn nothing_counts_while_the_guards_are_not_proven() {
    let broken = |s: &mut Snapshot| match &mut s.facts.guard {
        Observed::Known(guard) => guard.problem = Some("the probe was let through".into()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        verdict(broken),
        (Unknown, Reason::GuardNotReady),
        "a quorum from before does not count meanwhile"
    );
    let slot = "release-manager";
    let latch = latch_of(|s, plan| {
        annotate(s, Vote::Approve, slot, "alice@corp", plan);
        broken(s);
    });
    assert_eq!(latch, []);
}

#[test]
fn a_decision_under_other_guards_is_dead() {
    let slot = "release-manager";
    let latch = latch_of(|s, plan| {
        annotate(s, Vote::Approve, slot, "alice@corp", plan);
        match &mut s.facts.guard {
            // Deleted, forged, restored: the fingerprint is another one.
            Observed::Known(guard) => guard.epoch = Digest::of(b"restored"),
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(latch, []);
    // Latched decisions stay valid for their plan content.
    let moved = verdict(|s| match &mut s.facts.guard {
        Observed::Known(guard) => guard.epoch = Digest::of(b"upgraded"),
        other => panic!("{other:?}"),
    });
    assert_eq!(moved, REACHED);
}

#[test]
fn a_decision_in_a_longer_window_counts_until_that_closes() {
    let week = |s: &mut Snapshot| {
        let window = s.facts.windows.get_mut("business-hours").unwrap();
        let calendar = window.content.as_mut().unwrap();
        let time = |text: &str| serde_json::from_value(text.into()).unwrap();
        calendar.ranges[0].from = time("00:00");
        calendar.ranges[0].to = time("24:00");
        // The plan names the window's generation, so it is approved anew.
        unapproved(s);
        approve(s, "release-manager", "alice@corp");
    };
    // Monday to Friday: the occurrence ends at the start of Saturday in Berlin.
    let late = report(|s| {
        week(s);
        s.now = at("2026-11-27T22:59:59Z");
    });
    assert_eq!((late.verdict, late.reason), REACHED);
    assert_eq!(late.next_change, Some(at("2026-11-27T23:00:00Z")));
    let over = verdict(|s| {
        week(s);
        s.now = at("2026-11-27T23:00:00Z");
    });
    assert_eq!(over, AWAITED);
}

#[test]
fn a_narrowed_window_lengthens_nothing() {
    let expired = verdict(|s| {
        with_policy(s, |policy| policy.windows = vec!["Always".into()]);
        let annotations = &mut s.promotions[0].annotations;
        let window = crate::promotion::WINDOW_ANNOTATION.to_owned();
        annotations.insert(window, "Mon-Sat 00:00-24:00 UTC".into());
        unapproved(s);
        approve(s, "release-manager", "alice@corp");
        s.now = at("2026-11-25T09:30:00Z");
    });
    assert_eq!(expired, AWAITED);
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

/// What the gate says after a change to what was approved, before and after that plan is published.
fn voided(change: impl FnOnce(&mut Snapshot)) -> [String; 2] {
    let mut snapshot = ready();
    publish(&mut snapshot);
    change(&mut snapshot);
    let first = ask(&Approval, &snapshot);
    publish(&mut snapshot);
    let then = ask(&Approval, &snapshot);
    for report in [&first, &then] {
        assert_eq!((report.verdict, report.reason), AWAITED);
    }
    [first.message, then.message]
}

#[test]
fn whose_approval_the_change_of_the_plan_voided_is_told_with_what_changed() {
    let said = voided(|s| {
        s.environment.automatic_rollback = false;
        s.facts.policies.push(s.facts.policies[0].clone());
        s.facts.policies[1].name = "second".into();
    });
    let text = "release-manager needs 1, has 0 (policy production); release-manager needs 1, has 0 \
                (policy second); the approval of alice@corp (release-manager) counts no longer, \
                because the plan changed since (spec.health.automaticRollback of the Environment \
                changed, policy second is new), and may be given again; somebody with that role, \
                not bob@corp, who requested it, runs: kubectl promote approve checkout-1.42.0-prod \
                -n shop --role release-manager --reason";
    for message in said {
        assert!(message.contains(text), "{message}");
    }
    // What changes after that counts too, until somebody agrees to the newer plan.
    let mut snapshot = ready();
    publish(&mut snapshot);
    snapshot.environment.automatic_rollback = false;
    publish(&mut snapshot);
    snapshot.environment.after.clear();
    publish(&mut snapshot);
    let both = "(spec.after of the Environment changed, spec.health.automaticRollback of the \
                Environment changed)";
    let message = ask(&Approval, &snapshot).message;
    assert!(message.contains(both), "{message}");
    // Once another one agreed, nothing is void that anybody waits for.
    approve(&mut snapshot, "release-manager", "carol@corp");
    assert_eq!(ask(&Approval, &snapshot).verdict, Pass);
    snapshot.environment.deadline = crate::environment::Span::seconds(1200);
    publish(&mut snapshot);
    let message = ask(&Approval, &snapshot).message;
    let last = "the plan changed since (spec.health.deadline of the Environment changed)";
    assert!(message.contains(last), "{message}");
}

#[test]
fn an_approval_that_was_overtaken_before_it_was_latched_is_told_too() {
    let mut snapshot = ready();
    unapproved(&mut snapshot);
    let old = publish(&mut snapshot).hash;
    snapshot.environment.automatic_rollback = false;
    publish(&mut snapshot);
    let slot = "release-manager";
    annotate(&mut snapshot, Vote::Approve, slot, "alice@corp", &old);
    let message = ask(&Approval, &snapshot).message;
    let text = "the approval of alice@corp (release-manager) counts no longer";
    assert!(message.contains(text), "{message}");
    // A role that nobody asks for, and who asked, are none of that.
    for (slot, by) in [("security", "alice@corp"), (slot, "bob@corp")] {
        snapshot.promotions[0].annotations.clear();
        requested_by(&mut snapshot, Some("bob@corp"));
        annotate(&mut snapshot, Vote::Approve, slot, by, &old);
        let message = ask(&Approval, &snapshot).message;
        assert!(!message.contains("counts no longer"), "{message}");
    }
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
