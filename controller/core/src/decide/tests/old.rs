//! What an old reading of an object must not do.

use super::{FIRST, UID, after, broken, finish};
use crate::decide::refusal;
use crate::facts::{Observed, Workload};
use crate::fixtures::{at, bare, promotion};

const ENVIRONMENT: &str = "shop/checkout-prod";
use crate::decision::Mutation;
use crate::promotion::attempt_key;
use crate::record::Outcome;

#[test]
fn an_old_reading_carries_nothing_out_again() {
    // An intent ahead of its claim: the Environment is old.
    let mut world = broken();
    let old = world.now.environment.clone();
    world.advance(600);
    assert_eq!((world.pass(), world.pass()), ("claim", "intent"));
    let mut seen = world.now.clone();
    seen.environment = old.clone();
    let decision = crate::decide::decide(&seen.input());
    assert_eq!(decision.mutation, None);
    // Claim and intent are old, and the undo has landed.
    assert_eq!(world.pass(), "apply");
    let key = attempt_key(UID, 2);
    assert_eq!(world.workload().intent.as_deref(), Some(key.as_str()));
    let mut seen = world.now.clone();
    let first = old.active.as_ref().unwrap().intent.clone();
    seen.environment = old;
    seen.promotions[0].memory.intent = Some(first.clone());
    crate::fixtures::the_workload(&mut seen).containers[0]
        .owners
        .clone_from(&first.targets[0].owners);
    seen.now = first.at;
    assert_eq!(crate::decide::decide(&seen.input()).mutation, None);
    let Observed::Known(live) = &seen.facts.workloads[0] else {
        panic!()
    };
    let refused = refusal(ENVIRONMENT, live, &first.targets[0], UID, 1);
    assert!(refused.unwrap().contains("later attempt"));
}

#[test]
fn a_fenced_attempt_is_never_applied() {
    let mut world = after(bare(), &["claim", "intent"]);
    let target = world
        .now
        .environment
        .active
        .as_ref()
        .unwrap()
        .intent
        .targets[0]
        .clone();
    let refused = |workload: &Workload| refusal(ENVIRONMENT, workload, &target, UID, 1);
    assert_eq!(refused(world.workload()), None);
    world.workload().fence = Some(attempt_key(UID, 1));
    let text = refused(world.workload()).unwrap();
    assert!(
        text.contains("a fence on Deployment shop-prod/checkout closed"),
        "{text}"
    );
    assert_eq!(world.decide().mutation, None);
    assert!(
        world
            .look(FIRST)
            .summary
            .contains("a fence closed this attempt")
    );
}

#[test]
fn an_open_intent_that_nothing_holds_is_claimed_again() {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    world.settle();
    let claim = world.now.environment.active.take().unwrap();
    let mut older = promotion("older", "1.43.0");
    older.created = at("2026-11-24T08:00:00Z");
    let release = crate::fixtures::release("1.43.0");
    let releases = &mut world.now.facts.releases;
    releases.insert(release.name.clone(), Observed::Known(release));
    world.now.promotions.push(older);
    assert_eq!(world.pass(), "claim");
    let again = world.now.environment.active.as_ref().unwrap();
    assert_eq!(again.intent, claim.intent);
    assert_eq!(again.account.gates, claim.account.gates);
    assert_eq!(world.run()[..3], ["record", "conclude", "release"]);
    assert_eq!(
        world
            .effects
            .iter()
            .filter(|effect| effect.uid == UID)
            .count(),
        1
    );
}

#[test]
fn the_claim_of_a_way_back_is_not_given_back() {
    // The promotion is read as it was before its first intent; the way back is claimed already.
    let mut world = broken();
    let mut seen = world.now.promotions.clone();
    world.advance(600);
    assert_eq!(world.pass(), "claim");
    seen[0].memory.intent = None;
    let mut old = world.now.clone();
    old.promotions = seen;
    let decided = crate::decide::decide(&old.input()).mutation;
    let Some(Mutation::Intent { intent, .. }) = decided else {
        panic!("{decided:?}")
    };
    assert_eq!(intent.attempt, 2);
    assert_eq!(finish(&mut world).0, Outcome::RolledBack);
}
