//! Roll-outs that may not be watched or carried out any more, and say so.

use jiff::SignedDuration;

use super::{FIRST, UID, after, ended, finish};
use crate::decision::{Mutation, Next};
use crate::facts::{Cause, Observed, Refusal, Unavailable};
use crate::fixtures::{bare, promotion};
use crate::promotion::attempt_key;
use crate::reason::Reason;
use crate::record::{Content, Outcome};
use crate::world::World;

#[test]
fn rights_taken_away_are_said_at_once_and_end_it_at_the_deadline() {
    let hide = |world: &mut World| {
        let (cause, message) = (Cause::Forbidden, "may not read it".into());
        world.now.facts.workloads[0] = Observed::Unavailable(Unavailable { cause, message });
    };
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    hide(&mut world);
    assert_eq!(world.decide().mutation, None);
    let said = world.look(FIRST);
    assert_eq!(
        (said.summary.as_str(), said.report),
        ("may not read it", true)
    );
    world.advance(600);
    let Some(Mutation::Record(record)) = world.decide().mutation else {
        panic!()
    };
    let Content {
        outcome,
        reason,
        message,
        left,
        ..
    } = &record.content;
    assert_eq!(
        (*outcome, *reason),
        (Outcome::Failed, Reason::TargetNotReadable)
    );
    assert!(message.contains("may not read it"), "{message}");
    assert!(left.is_empty(), "nobody knows what runs");
    // A person who aborts need not wait for the deadline.
    let mut world = after(bare(), &["claim", "intent"]);
    hide(&mut world);
    world.abort(FIRST);
    assert!(matches!(world.decide().mutation, Some(Mutation::Record(_))));
}

/// The API server refuses the open attempt's write; it is tried again in ten seconds.
fn refuse(world: &mut World, forbidden: bool) {
    let now = world.now.now;
    world.now.facts.refused = Some(Refusal {
        attempt: attempt_key(UID, 1),
        forbidden,
        message: "the API server refuses it: a webhook says no".into(),
        since: now,
        retry_at: now + SignedDuration::from_secs(10),
    });
}

#[test]
fn a_refused_write_is_said_and_tried_again_until_the_deadline() {
    let mut world = after(bare(), &["claim", "intent"]);
    refuse(&mut world, false);
    let decision = world.decide();
    assert_eq!(decision.mutation, None, "not at once");
    let retry_at = world.now.now + SignedDuration::from_secs(10);
    assert_eq!(decision.next, Next::At(retry_at));
    let said = world.look(FIRST);
    assert!(
        said.report && said.summary.contains("a webhook says no"),
        "{}",
        said.summary
    );
    world.advance(10);
    assert!(matches!(
        world.decide().mutation,
        Some(Mutation::Apply { .. })
    ));
    world.advance(600);
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    assert_eq!(ended(&world), (Outcome::Failed, Reason::Timeout));
    let text = &world.records().last().unwrap().content.message;
    assert!(text.contains("a webhook says no"), "{text}");
}

#[test]
fn where_not_even_a_fence_can_be_written_it_ends_when_nothing_can_arrive_any_more() {
    let mut world = after(bare(), &["claim", "intent"]);
    world.advance(600);
    refuse(&mut world, true);
    assert_eq!(world.decide().mutation, None, "an apply may be under way");
    assert_eq!(
        world.decide().next,
        Next::At(world.now.now + SignedDuration::from_mins(1))
    );
    world.advance(60);
    assert_eq!(world.run(), ["record", "conclude", "release"]);
}

#[test]
fn others_get_their_turn_while_a_refused_write_waits() {
    let mut world = after(bare(), &["claim", "intent"]);
    refuse(&mut world, false);
    world.add(promotion("second", "1.43.0"));
    world.abort("second");
    assert_eq!(world.pass(), "record");
    let newest = &world.records().last().unwrap().content;
    assert_eq!(newest.promotion.name, "second");
}

#[test]
fn a_later_attempt_in_our_name_is_not_believed_for_ever() {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    // Somebody who may edit the workload uses our field manager's name.
    world.workload().intent = Some(attempt_key(UID, 2));
    assert_eq!(world.decide().mutation, None);
    world.advance(600);
    assert_eq!(world.decide().mutation, None, "it may be an old reading");
    world.advance(60);
    assert_eq!(finish(&mut world), (Outcome::Failed, Reason::Raced));
    // A person who aborts waits a minute at most.
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    world.workload().intent = Some(attempt_key(UID, 2));
    world.abort(FIRST);
    world.advance(60);
    assert_eq!(finish(&mut world), (Outcome::Failed, Reason::Raced));
}

#[test]
fn a_later_attempt_that_anybody_wrote_into_the_annotation_is_not_believed() {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    let workload = world.workload();
    workload.intent = Some(attempt_key(UID, 2));
    // The annotation has another owner now.
    workload.containers[0].applied_by_us = false;
    assert_eq!(world.pass(), "apply");
    world.settle();
    assert_eq!(finish(&mut world), (Outcome::Succeeded, Reason::Succeeded));
}

#[test]
fn on_records_that_cannot_be_relied_on_nothing_is_done_and_it_is_said() {
    for steps in [&["claim", "intent"][..], &["claim", "intent", "apply"]] {
        let mut world = after(bare(), steps);
        world.settle();
        world.now.facts.records_problem = Some("checkout-prod-000001 is not intact".into());
        assert_eq!(world.decide().mutation, None, "{steps:?}");
        let said = world.look(FIRST);
        assert!(
            said.report && said.summary.contains("000001"),
            "{}",
            said.summary
        );
        // Mended, it goes on.
        world.now.facts.records_problem = None;
        assert_eq!(finish(&mut world), (Outcome::Succeeded, Reason::Succeeded));
    }
    let mut waiting = World::new(bare());
    waiting.now.facts.records_problem = Some("checkout-prod-000001 is not intact".into());
    assert_eq!(waiting.decide().mutation, None);
    assert_eq!(waiting.look(FIRST).blocked_by.as_deref(), Some("release"));
}
