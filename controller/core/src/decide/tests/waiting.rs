//! Those that wait: whose turn it is, who replaces whom, and what people decide.

use super::{FIRST, UID, ended, finish};
use crate::approval::Vote;
use crate::decision::Next;
use crate::facts::Observed;
use crate::fixtures::{
    approve, at, bare, bundles, image, latched, promotion, publish, ready, record, with_policy,
};
use crate::policy::ApprovalRule;
use crate::promotion::Action;
use crate::reason::Reason;
use crate::record::Outcome;
use crate::snapshot::Snapshot;
use crate::status::State;
use crate::world::World;

/// A second request, made after the first one.
fn later(name: &str, version: &str) -> crate::promotion::Promotion {
    let mut later = promotion(name, version);
    later.created = at("2026-11-24T09:01:00Z");
    later
}

/// A promotion that must wait for its approval.
fn waiting() -> Snapshot {
    let mut snapshot = ready();
    snapshot.promotions[0].memory.approvals.clear();
    snapshot
}

#[test]
fn a_newer_request_for_the_same_supersedes_one_that_waits() {
    let mut world = World::new(waiting());
    world.add(later("newer", "1.42.0"));
    assert_eq!(world.run(), ["record", "conclude"]);
    assert_eq!(ended(&world), (Outcome::Superseded, Reason::Superseded));
    assert_eq!(world.look("newer").state, State::AwaitingApproval);
    let message = &world.records().last().unwrap().content.message;
    assert!(message.contains("Promotion newer"), "{message}");
}

#[test]
fn nothing_else_supersedes() {
    let check = |spoil: fn(&mut crate::promotion::Promotion)| {
        let mut world = World::new(waiting());
        let mut other = later("newer", "1.42.0");
        spoil(&mut other);
        world.add(other);
        world.run();
        assert_eq!(world.look(FIRST).state, State::AwaitingApproval);
    };
    check(|other| other.request.abort = true);
    check(|other| other.request.release = "checkout-1.41.3".into());
    check(|other| other.request.action = Action::Rollback);
    // One that is over already, and only mirrors its record.
    let mut world = World::new(waiting());
    let mut old = record(&world.now, 2, "1.42.0", Outcome::Aborted).content;
    old.promotion.name = "newer".into();
    old.promotion.spec_hash = later("newer", "1.42.0").request.hash().unwrap();
    world.now.facts.records.push(crate::fixtures::sealed(old));
    world.add(later("newer", "1.42.0"));
    world.run();
    assert_eq!(world.look(FIRST).state, State::AwaitingApproval);
    assert!(world.promotion("newer").is_finished());
}

#[test]
fn the_oldest_that_passes_goes_first_and_the_others_queue() {
    let mut start = bare();
    start.facts.releases.insert(
        "checkout-1.43.0".into(),
        Observed::Known(crate::fixtures::release("1.43.0")),
    );
    let mut world = World::new(start);
    world.add(later("newer", "1.43.0"));
    assert_eq!(world.pass(), "claim");
    assert_eq!(
        world
            .now
            .environment
            .active
            .as_ref()
            .unwrap()
            .account
            .promotion
            .uid,
        UID
    );
    let queued = world.look("newer");
    assert_eq!(
        (queued.state, queued.reason),
        (State::Pending, Reason::Queued)
    );
    assert!(queued.summary.contains(FIRST), "{}", queued.summary);
    world.run();
    assert_eq!(world.effects.len(), 2);
    assert!(world.runs("1.43.0"));
    // One that waits for somebody holds nobody up.
    let mut world = World::new(waiting());
    let asked = "checkout-1.42.0";
    world
        .now
        .facts
        .releases
        .insert(asked.into(), Observed::Pending);
    world.now.promotions.push(later("other", "1.42.0"));
    assert_eq!(world.pass(), "record", "the older one is superseded first");
}

#[test]
fn a_latched_no_ends_it_and_is_remembered() {
    let mut start = waiting();
    start.promotions[0].memory.approvals = vec![latched(
        &start,
        Vote::Reject,
        "release-manager",
        "carol@corp",
    )];
    let mut world = World::new(start);
    assert_eq!(world.run(), ["record", "conclude"]);
    world.check();
    assert_eq!(ended(&world), (Outcome::Rejected, Reason::Rejected));
    world.delete(FIRST);
    world.add(later("second-try", "1.42.0"));
    assert_eq!(world.run(), Vec::<&str>::new());
    let again = world.look("second-try");
    assert_eq!(
        (again.state, again.blocked_by.as_deref()),
        (State::Blocked, Some("approval"))
    );
    assert_eq!(
        world.decide().next,
        Next::At(at("2026-11-24T15:00:00Z")),
        "the window is next"
    );
}

#[test]
fn the_plan_is_published_when_only_people_and_time_are_missing() {
    let plan = |spoil: fn(&mut Snapshot)| {
        let mut snapshot = waiting();
        spoil(&mut snapshot);
        crate::decide::decide(&snapshot.input()).promotions[0]
            .plan
            .clone()
    };
    assert!(plan(|_| {}).is_some());
    assert!(
        plan(|s| s.now = at("2026-11-24T15:30:00Z")).is_some(),
        "outside the window"
    );
    assert!(
        plan(|s| crate::fixtures::bundles(s).clear()).is_none(),
        "unsigned"
    );
    assert!(
        plan(|s| s.facts.guard = Observed::Pending).is_none(),
        "no guard"
    );
    assert!(
        plan(|s| with_policy(s, |policy| policy.approvals.clear())).is_none(),
        "not asked"
    );
    // Published once, it stays; with other guards it is another one for the same content.
    let mut snapshot = waiting();
    let first = publish(&mut snapshot);
    snapshot.now = at("2026-11-24T11:00:00Z");
    assert_eq!(publish(&mut snapshot), first);
    if let Observed::Known(guard) = &mut snapshot.facts.guard {
        guard.epoch = crate::release::Digest::of(b"other guards");
    }
    let second = publish(&mut snapshot);
    assert_eq!(second.content, first.content);
    assert_ne!(second.hash, first.hash);
}

#[test]
fn deny_is_said_before_unknown_people_and_time() {
    let state = |spoil: fn(&mut Snapshot)| {
        let mut snapshot = waiting();
        snapshot.now = at("2026-11-24T15:30:00Z");
        spoil(&mut snapshot);
        let progress = crate::decide::decide(&snapshot.input())
            .promotions
            .remove(0);
        (
            progress.state,
            progress.reason,
            progress.blocked_by.unwrap(),
        )
    };
    let people = state(|_| {});
    assert_eq!(
        people,
        (
            State::AwaitingApproval,
            Reason::AwaitingApproval,
            "approval".into()
        )
    );
    let unknown = state(|s| drop(s.facts.evidence.insert(image("1.42.0"), Observed::Pending)));
    assert_eq!(
        unknown,
        (
            State::Blocked,
            Reason::EvidenceUnavailable,
            "signature".into()
        )
    );
    let denied = state(|s| {
        s.facts.evidence.insert(image("1.42.0"), Observed::Pending);
        crate::fixtures::the_workload(s).consent = None;
    });
    assert_eq!(
        denied,
        (State::Blocked, Reason::GateFailed, "target".into())
    );
    let no_policy = state(|s| s.facts.policies.clear());
    assert_eq!(no_policy.1, Reason::NoPolicy);
    let time = state(|s| with_policy(s, |policy| policy.approvals.clear()));
    assert_eq!(
        time,
        (
            State::AwaitingWindow,
            Reason::OutsideWindow,
            "window".into()
        )
    );
}

#[test]
fn two_roles_and_an_unknown_requester_in_one_go() {
    let mut snapshot = waiting();
    with_policy(&mut snapshot, |policy| {
        let (role, min) = ("security".into(), 1);
        policy.approvals.push(ApprovalRule { role, min });
    });
    snapshot.promotions[0].annotations.clear();
    approve(&mut snapshot, "release-manager", "alice@corp");
    approve(&mut snapshot, "security", "carol@corp");
    let mut world = World::new(snapshot);
    assert_eq!(world.pass(), "wait", "one more release manager is needed");
    approve(&mut world.now, "release-manager.2", "dave@corp");
    assert_eq!(finish(&mut world), (Outcome::Succeeded, Reason::Succeeded));
}

#[test]
fn a_first_report_waits_two_seconds_for_facts_and_not_for_people() {
    let report = |spoil: fn(&mut Snapshot)| {
        let mut snapshot = waiting();
        snapshot.promotions[0].first_seen = snapshot.now;
        spoil(&mut snapshot);
        let decision = crate::decide::decide(&snapshot.input());
        (decision.promotions[0].report, decision.next)
    };
    let fetching =
        |s: &mut Snapshot| drop(s.facts.evidence.insert(image("1.42.0"), Observed::Pending));
    assert_eq!(
        report(fetching),
        (false, Next::At(at("2026-11-24T10:00:02Z")))
    );
    assert!(report(|_| {}).0, "somebody must approve");
    let late = |s: &mut Snapshot| {
        s.facts.evidence.insert(image("1.42.0"), Observed::Pending);
        s.promotions[0].first_seen = at("2026-11-24T09:59:58Z");
    };
    assert!(report(late).0);
}

/// Also issue 16336 of Kyverno: an annotation that says "verified" was taken for a verification. What
/// is written in annotations, and what gates said before, opens nothing: they are asked again.
#[test]
fn kyverno_11544_a_verdict_that_was_written_down_opens_nothing() {
    let said = World::new(ready()).look(FIRST).gates;
    assert!(said.iter().all(|gate| gate.verdict.is_open()), "{said:?}");
    let mut snapshot = ready();
    bundles(&mut snapshot).clear();
    let promotion = &mut snapshot.promotions[0];
    promotion.memory.gates = said;
    promotion.memory.reported = true;
    for key in [
        "kyverno.io/verify-images",
        "lockmaster.dev/verified",
        "gate.lockmaster.dev/signature",
    ] {
        let value = format!("{{\"{}\":\"pass\"}}", image("1.42.0"));
        promotion.annotations.insert(key.to_owned(), value);
    }
    let mut world = World::new(snapshot);
    assert!(world.run().is_empty(), "{:?}", world.steps);
    let seen = world.look(FIRST);
    assert_eq!(seen.state, State::Blocked);
    assert_eq!(seen.blocked_by.as_deref(), Some("signature"), "{seen:?}");
}

/// Also where something else is not settled in the very look that sees the change.
#[test]
fn what_changed_of_a_plan_is_told_once_everything_else_is_settled() {
    let mut world = World::new(waiting());
    let plans = |world: &mut World| {
        assert_eq!(world.run(), [""; 0]);
        let memory = world.promotion(FIRST).memory.clone();
        (memory.plan, memory.overtaken_plan)
    };
    let change = |world: &mut World| world.now.environment.automatic_rollback ^= true;
    let (first, _) = plans(&mut world);
    let first = first.unwrap();
    let evidence = |world: &mut World, seen| world.now.facts.evidence.insert(image("1.42.0"), seen);
    let known = evidence(&mut world, Observed::Pending).unwrap();
    change(&mut world);
    assert_eq!(
        plans(&mut world),
        (None, Some(first.clone())),
        "nobody can decide"
    );
    change(&mut world);
    assert_eq!(
        plans(&mut world),
        (Some(first.clone()), None),
        "nothing differs any more"
    );
    change(&mut world);
    assert_eq!(plans(&mut world), (None, Some(first.clone())));
    evidence(&mut world, known);
    let (Some(new), None) = plans(&mut world) else {
        panic!("it is not published")
    };
    assert_ne!(new.hash, first.hash);
    let changed = "spec.health.automaticRollback of the Environment changed";
    assert_eq!(new.changed, [changed]);
}
