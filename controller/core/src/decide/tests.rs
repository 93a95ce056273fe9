//! Tests of the decision as a whole, driven step by step in a tiny world.

use crate::decision::{Decision, Mutation, Next};
use crate::facts::{Cause, Observed, Unavailable};
use crate::fixtures::{at, bare, digest, image, promotion, publish, ready};
use crate::reason::Reason;
use crate::record::Outcome;
use crate::snapshot::Snapshot;
use crate::status::State;
use crate::world::World;

mod indexes;
mod lists;
mod old;
mod revoked;
mod rights;
mod waiting;

const FIRST: &str = "checkout-1.42.0-prod";
const UID: &str = "checkout-1.42.0-prod-uid";

/// A world in which this many steps were made, each with its effect.
fn after(start: Snapshot, steps: &[&str]) -> World {
    let mut world = World::new(start);
    for step in steps {
        assert_eq!(world.pass(), *step);
    }
    assert_eq!(world.steps, steps);
    world
}

/// How the newest record says that it ended.
fn ended(world: &World) -> (Outcome, Reason) {
    let newest = &world.records().last().unwrap().content;
    assert_eq!(newest.promotion.uid, UID);
    (newest.outcome, newest.reason)
}

fn finish(world: &mut World) -> (Outcome, Reason) {
    world.run();
    world.check();
    assert_eq!(world.now.environment.active, None);
    ended(world)
}

#[test]
fn from_claim_to_release_in_six_writes() {
    for start in [bare(), ready()] {
        let mut world = after(start, &["claim", "intent", "apply"]);
        assert_eq!(world.effects.len(), 1);
        let rolling = world.look(FIRST);
        assert_eq!(
            (rolling.state, rolling.reason),
            (State::RollingOut, Reason::RollingOut)
        );
        assert!(
            rolling.summary.contains("has not seen the change yet"),
            "{}",
            rolling.summary
        );
        assert!(!rolling.report, "the intent's write already said so");
        assert_eq!(world.pass(), "wait");
        world.settle();
        assert_eq!(world.run(), ["record", "conclude", "release"]);
        world.check();
        assert_eq!(ended(&world), (Outcome::Succeeded, Reason::Succeeded));
        let content = &world.records()[1].content;
        assert_eq!(content.left[0].digest, digest("1.42.0"));
        assert_eq!(content.targets[0].from, image("1.41.3").to_string());
        assert!(content.gates.iter().all(|gate| gate.verdict.is_open()));
        let Decision {
            current,
            last_known_good,
            next,
            ..
        } = world.decide();
        assert_eq!(current.unwrap().record, "checkout-prod-000002");
        assert_eq!(last_known_good.unwrap().record, "checkout-prod-000001");
        assert_eq!(next, Next::AwaitChange);
    }
}

#[test]
fn a_record_names_plan_policies_approvals_and_window() {
    let mut start = ready();
    let plan = publish(&mut start);
    let mut world = World::new(start);
    world.run();
    let content = &world.records()[1].content;
    assert_eq!(content.plan_hash, Some(plan.hash));
    assert_eq!(content.policies[0].name, "production");
    assert_eq!(content.approvals[0].by, "alice@corp");
    let window = content.window.as_ref().unwrap();
    assert_eq!(
        (&*window.names, window.end),
        (
            &["business-hours".to_owned()][..],
            Some(at("2026-11-24T15:00:00Z"))
        )
    );
    assert_eq!(content.gates[2].evidence[0].authority, "production/ci");
}

#[test]
fn the_second_reading_of_the_gates_counts() {
    let mut world = after(ready(), &["claim"]);
    world.now.now = at("2026-11-24T15:00:00Z");
    assert_eq!(world.pass(), "release", "the window closed meanwhile");
    assert_eq!(world.pass(), "wait");
    assert_eq!(world.look(FIRST).state, State::AwaitingWindow);
    let mut world = after(ready(), &["claim"]);
    world.workload().containers[0].owners = vec!["flux/Apply".into()];
    assert_eq!(
        world.pass(),
        "release",
        "what would be changed is not what was claimed"
    );
    let mut world = after(ready(), &["claim"]);
    world.now.facts.workloads[0] = Observed::Pending;
    assert_eq!(world.pass(), "wait", "after a start nothing is known yet");
    assert!(world.now.environment.active.is_some());
}

#[test]
fn an_abort_before_anything_was_changed_ends_it() {
    let ways: [&[&str]; 2] = [&[], &["claim"]];
    for steps in ways {
        let mut world = after(bare(), steps);
        world.abort(FIRST);
        assert_eq!(finish(&mut world), (Outcome::Aborted, Reason::Aborted));
        assert!(world.effects.is_empty() && world.runs("1.41.3"));
        assert!(!world.steps.contains(&"fence"), "nothing can be on its way");
    }
}

#[test]
fn an_abort_with_an_open_intent_fences_before_it_ends() {
    let mut world = after(bare(), &["claim", "intent"]);
    world.abort(FIRST);
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    world.check();
    assert_eq!(ended(&world), (Outcome::Aborted, Reason::Aborted));
    assert!(world.runs("1.41.3"));
}

#[test]
fn an_abort_after_the_image_was_set_brings_back_what_ran() {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    world.abort(FIRST);
    assert_eq!(world.pass(), "claim");
    assert_eq!((world.pass(), world.pass()), ("intent", "apply"));
    let back = world.look(FIRST);
    assert_eq!(
        (back.state, back.reason),
        (State::RollingBack, Reason::RollingBack)
    );
    world.settle();
    assert_eq!(finish(&mut world), (Outcome::Aborted, Reason::Aborted));
    assert!(world.runs("1.41.3"));
    assert_eq!(
        world
            .effects
            .iter()
            .map(|effect| effect.attempt)
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn an_abort_after_the_end_changes_nothing() {
    for steps in [&["record"][..], &["record", "conclude"]] {
        let mut world = after(bare(), &["claim", "intent", "apply"]);
        world.settle();
        for step in steps {
            assert_eq!(world.pass(), *step);
        }
        world.abort(FIRST);
        assert_eq!(finish(&mut world), (Outcome::Succeeded, Reason::Succeeded));
    }
}

/// An apply that is still on its way when the promotion is ended.
#[test]
fn a_late_apply_finds_the_fence() {
    let mut world = after(bare(), &["claim", "intent"]);
    assert_eq!(world.pass_held(), "apply");
    world.abort(FIRST);
    assert_eq!(world.pass(), "fence");
    world.deliver();
    assert!(
        world.effects.is_empty() && world.runs("1.41.3"),
        "it conflicts"
    );
    assert_eq!(finish(&mut world), (Outcome::Aborted, Reason::Aborted));
    // Before the fence it lands, and is undone.
    let mut world = after(bare(), &["claim", "intent"]);
    assert_eq!(world.pass_held(), "apply");
    world.abort(FIRST);
    world.deliver();
    assert_eq!(finish(&mut world), (Outcome::Aborted, Reason::Aborted));
    assert_eq!(world.effects.len(), 2);
}

fn broken() -> World {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    world.broken = vec![digest("1.42.0")];
    world.settle();
    assert_eq!(world.pass(), "wait");
    let text = world.look(FIRST).summary;
    assert!(
        text.contains("0 of 2 pods ready") && text.contains("CrashLoopBackOff"),
        "{text}"
    );
    world
}

#[test]
fn what_is_wrong_with_pods_is_told_long_before_the_deadline() {
    let mut world = broken();
    let told = |world: &World| {
        let said = world.look(FIRST);
        (said.report, world.decide().next)
    };
    let second = |text: &str| Next::At(at(&format!("2026-11-24T10:{text}Z")));
    assert_eq!(told(&world), (false, second("00:05")), "most start well");
    world.advance(5);
    assert_eq!(told(&world), (true, second("00:30")));
    let text = world.look(FIRST).summary;
    assert!(
        text.contains("CrashLoopBackOff")
            && text.contains("it has until 2026-11-24T10:10:00Z")
            && text.contains("kubectl promote abort checkout-1.42.0-prod -n shop"),
        "{text}"
    );
    // Without a word of the pods it only takes its time, which is told a little later.
    for pod in &mut world.workload().pods {
        pod.trouble = None;
    }
    assert_eq!(told(&world), (false, second("00:30")));
    world.advance(25);
    assert_eq!(told(&world), (true, second("10:00")));
}

#[test]
fn a_way_back_that_takes_its_time_names_no_abort_that_would_do_nothing() {
    let mut world = broken();
    world.broken.push(digest("1.41.3"));
    world.advance(600);
    assert_eq!(
        (world.pass(), world.pass(), world.pass()),
        ("claim", "intent", "apply")
    );
    world.settle();
    world.advance(5);
    let said = world.look(FIRST);
    assert_eq!((said.state, said.report), (State::RollingBack, true));
    assert!(said.summary.contains("it has until"), "{}", said.summary);
    assert!(!said.summary.contains("abort"), "{}", said.summary);
}

#[test]
fn what_is_not_healthy_in_time_is_undone() {
    let mut world = broken();
    world.advance(599);
    assert_eq!(world.pass(), "wait");
    world.advance(1);
    let steps = ["claim", "intent", "apply", "record", "conclude", "release"];
    assert_eq!(world.run(), steps);
    world.check();
    assert_eq!(ended(&world), (Outcome::RolledBack, Reason::Timeout));
    assert!(world.runs("1.41.3"));
    let Decision {
        current,
        last_known_good,
        ..
    } = world.decide();
    assert_eq!(current.unwrap().record, "checkout-prod-000001");
    assert_eq!(last_known_good, None);
}

#[test]
fn without_automatic_rollback_it_stays_and_nobody_calls_it_good() {
    let mut world = broken();
    world.now.environment.automatic_rollback = false;
    world.advance(600);
    assert_eq!(finish(&mut world), (Outcome::Failed, Reason::Timeout));
    assert!(world.runs("1.42.0"));
    let Decision {
        current,
        last_known_good,
        ..
    } = world.decide();
    assert_eq!(current, None, "what runs never succeeded");
    assert_eq!(last_known_good.unwrap().record, "checkout-prod-000001");
}

#[test]
fn nobody_goes_back_to_what_never_succeeded_here() {
    let mut world = broken();
    world.now.facts.records.clear();
    world.advance(600);
    assert_eq!(finish(&mut world), (Outcome::Failed, Reason::NoKnownGood));
    assert!(world.runs("1.42.0"));
}

#[test]
fn an_undo_that_is_not_healthy_either_says_so() {
    let mut world = broken();
    world.broken.push(digest("1.41.3"));
    world.advance(600);
    world.run();
    assert_eq!(world.look(FIRST).state, State::RollingBack);
    world.advance(600);
    assert_eq!(
        finish(&mut world),
        (Outcome::Failed, Reason::RollbackFailed)
    );
    // The same where the image cannot even be set back.
    let mut world = broken();
    world.advance(600);
    assert_eq!((world.pass(), world.pass()), ("claim", "intent"));
    world.advance(600);
    assert_eq!(
        finish(&mut world),
        (Outcome::Failed, Reason::RollbackFailed)
    );
    assert!(world.steps.contains(&"fence") && world.runs("1.42.0"));
}

#[test]
fn an_apply_that_never_lands_is_fenced_at_the_deadline() {
    let mut world = after(bare(), &["claim", "intent"]);
    world.advance(600);
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    assert_eq!(ended(&world), (Outcome::Failed, Reason::Timeout));
}

#[test]
fn nothing_is_proven_by_zero_replicas() {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    world.workload().replicas = 0;
    world.settle();
    assert_eq!(world.pass(), "wait");
    let text = world.look(FIRST).summary;
    assert!(
        text.contains("0 replicas, so nothing can prove it healthy"),
        "{text}"
    );
}

#[test]
fn another_hand_ends_it_without_a_fight() {
    let check = |version, manager: &str, expected| {
        let mut world = after(bare(), &["claim", "intent", "apply"]);
        world.set_image(version, manager, true);
        assert_eq!(
            finish(&mut world),
            (Outcome::Failed, expected),
            "{version} {manager}"
        );
        assert_eq!(world.effects.len(), 1);
    };
    check("1.41.3", "kubectl/Update", Reason::OwnershipConflict);
    check("1.41.3", "flux/Apply", Reason::OwnershipConflict);
    check("1.0.0", "kubectl/Update", Reason::Raced);
    let mut early = after(bare(), &["claim", "intent"]);
    early.set_image("1.0.0", "kubectl/Update", true);
    assert_eq!(finish(&mut early), (Outcome::Failed, Reason::Raced));
    assert!(early.effects.is_empty());
    let mut owned = after(bare(), &["claim", "intent"]);
    owned.set_image("1.41.3", "flux/Apply", true);
    assert_eq!(
        finish(&mut owned),
        (Outcome::Failed, Reason::OwnershipConflict)
    );
    assert!(owned.effects.is_empty());
}

#[test]
fn the_right_image_by_another_hand_is_taken_over_and_not_changed() {
    let mut world = after(bare(), &["claim", "intent"]);
    world.set_image("1.42.0", "kubectl/Update", true);
    assert_eq!(world.pass(), "apply");
    assert!(world.effects.is_empty());
    world.settle();
    assert_eq!(finish(&mut world), (Outcome::Succeeded, Reason::Succeeded));
}

#[test]
fn a_consent_taken_back_before_the_apply_ends_it_without_a_write() {
    let expected = (Outcome::Failed, Reason::NotAuthorizedByTarget);
    let mut world = after(bare(), &["claim", "intent"]);
    world.consent(false);
    assert_eq!(world.run(), ["record", "conclude", "release"]);
    assert_eq!(ended(&world), expected);
    assert!(world.effects.is_empty());
    // An apply that is under way does not land, not even once the consent is back.
    let mut world = after(bare(), &["claim", "intent"]);
    assert_eq!(world.pass_held(), "apply");
    world.consent(false);
    assert_eq!(finish(&mut world), expected);
    world.consent(true);
    world.deliver();
    assert!(world.effects.is_empty());
    // The way back needs it too.
    let mut world = broken();
    world.advance(600);
    assert_eq!((world.pass(), world.pass()), ("claim", "intent"));
    world.consent(false);
    assert_eq!(
        finish(&mut world),
        (Outcome::Failed, Reason::RollbackFailed)
    );
    let text = &world.records().last().unwrap().content.message;
    assert!(text.contains("not healthy within"), "{text}");
    assert!(text.contains("does not consent any more"), "{text}");
    assert!(world.runs("1.42.0"));
}

#[test]
fn a_workload_that_is_gone_is_not_created_again() {
    let mut world = after(bare(), &["claim", "intent"]);
    let (cause, message) = (Cause::Missing, "not found".into());
    world.now.facts.workloads[0] = Observed::Unavailable(Unavailable { cause, message });
    let Some(Mutation::Record(record)) = world.decide().mutation else {
        panic!()
    };
    assert_eq!(
        (record.content.outcome, record.content.reason),
        (Outcome::Failed, Reason::TargetNotFound)
    );
    let (cause, message) = (Cause::Unreachable, "no answer".into());
    world.now.facts.workloads[0] = Observed::Unavailable(Unavailable { cause, message });
    world.advance(3600);
    assert_eq!(
        world.decide().mutation,
        None,
        "what cannot be seen has not ended"
    );
    assert_eq!(world.look(FIRST).summary, "no answer");
}

#[test]
fn a_deleted_promotion_is_fenced_recorded_and_let_go() {
    let mut world = after(bare(), &["claim", "intent"]);
    assert_eq!(world.pass_held(), "apply");
    world.delete(FIRST);
    assert_eq!(world.pass(), "fence");
    world.deliver();
    assert_eq!(world.run(), ["record", "release"]);
    assert_eq!(ended(&world), (Outcome::Aborted, Reason::PromotionDeleted));
    assert!(world.effects.is_empty());
}

#[test]
fn a_promotion_that_was_created_again_mirrors_its_record() {
    let mut world = World::new(bare());
    world.run();
    world.delete(FIRST);
    let mut again = promotion(FIRST, "1.42.0");
    again.uid = "another-uid".into();
    world.add(again);
    assert_eq!(world.run(), ["conclude"]);
    world.check();
    let memory = &world.promotion(FIRST).memory;
    assert_eq!(memory.record.as_ref().unwrap().name, "checkout-prod-000002");
    assert_eq!((world.effects.len(), world.records().len()), (1, 2));
}
