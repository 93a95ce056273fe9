//! Roll-outs that may not be watched or carried out any more, and say so.

use super::{FIRST, UID, after, ended, finish};
use crate::decision::Mutation;
use crate::facts::{Cause, Observed, Refusal, Unavailable};
use crate::fixtures::bare;
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

#[test]
fn a_refused_write_is_said_and_tried_again_until_the_deadline() {
    let refuse = |world: &mut World, forbidden| {
        world.now.facts.refused = Some(Refusal {
            attempt: attempt_key(UID, 1),
            forbidden,
            message: "the API server refuses it: a webhook says no".into(),
        });
    };
    let mut world = after(bare(), &["claim", "intent"]);
    refuse(&mut world, false);
    assert!(matches!(
        world.decide().mutation,
        Some(Mutation::Apply { .. })
    ));
    let said = world.look(FIRST);
    assert!(
        said.report && said.summary.contains("a webhook says no"),
        "{}",
        said.summary
    );
    world.advance(600);
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    assert_eq!(ended(&world), (Outcome::Failed, Reason::Timeout));
    let text = &world.records().last().unwrap().content.message;
    assert!(text.contains("a webhook says no"), "{text}");
    // Where nothing may be written at all, no fence is asked for: it would be refused for ever.
    let mut world = after(bare(), &["claim", "intent"]);
    refuse(&mut world, true);
    world.advance(600);
    assert_eq!(world.run(), ["record", "conclude", "release"]);
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
