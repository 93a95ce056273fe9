//! Random histories: whatever is lost, repeated, seen late or done by others, what was promised
//! holds; and when nothing more happens, every promotion comes to an end or says what it waits for.

use proptest::prelude::*;

use crate::approval::Vote;
use crate::environment::Tier;
use crate::fixtures::{approve, bare, promotion, ready, the_workload};
use crate::snapshot::Snapshot;
use crate::status::State;
use crate::world::{Stale, World};

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Pass,
    PassStale(Stale, usize),
    PassHeld,
    Deliver,
    Settle,
    Advance(i64),
    Break,
    Mend,
    Abort(usize),
    Delete(usize),
    Promote(usize),
    PutBack,
    RollOutUndo,
    SetOther,
    SetWanted,
    Decide(Vote, usize),
    Consent(bool),
    Revoke(Option<&'static str>),
    RegistryDown(bool),
    FindVulnerability,
}

fn event() -> impl Strategy<Value = Event> {
    let stale = prop_oneof![
        1 => Just(Stale::Environment),
        1 => Just(Stale::Promotions),
        3 => Just(Stale::EnvironmentAndPromotions),
        1 => Just(Stale::Workload),
        1 => Just(Stale::Records),
    ];
    prop_oneof![
        12 => Just(Event::Pass),
        6 => (stale, 0_usize..8).prop_map(|(stale, age)| Event::PassStale(stale, age)),
        2 => Just(Event::PassHeld),
        2 => Just(Event::Deliver),
        4 => Just(Event::Settle),
        1 => Just(Event::Advance(1)),
        2 => Just(Event::Advance(700)),
        1 => Just(Event::Advance(20_000)),
        1 => Just(Event::Break),
        1 => Just(Event::Mend),
        2 => (0_usize..3).prop_map(Event::Abort),
        1 => (0_usize..3).prop_map(Event::Delete),
        2 => (0_usize..3).prop_map(Event::Promote),
        1 => Just(Event::PutBack),
        1 => Just(Event::RollOutUndo),
        1 => Just(Event::SetOther),
        1 => Just(Event::SetWanted),
        1 => (any::<bool>(), 0_usize..3).prop_map(|(yes, which)| {
            Event::Decide(if yes { Vote::Approve } else { Vote::Reject }, which)
        }),
        2 => any::<bool>().prop_map(Event::Consent),
        1 => prop_oneof![Just(None), Just(Some("1.42.0")), Just(Some("1.41.3"))].prop_map(Event::Revoke),
        2 => any::<bool>().prop_map(Event::RegistryDown),
        1 => Just(Event::FindVulnerability),
    ]
}

fn name_of(world: &World, which: usize) -> Option<String> {
    let all = &world.now.promotions;
    all.get(which % all.len().max(1))
        .map(|promotion| promotion.name.clone())
}

/// Promotes again: a new name, or the same one re-created after it was deleted.
fn promote(world: &mut World, which: usize) {
    let (name, version) = [
        ("second", "1.42.0"),
        ("third", "1.43.0"),
        ("again", "1.42.0"),
    ][which];
    let known = world
        .now
        .promotions
        .iter()
        .any(|promotion| promotion.name == name);
    if !known {
        let mut next = promotion(name, version);
        next.uid = format!("{name}-{}", world.age());
        next.created = world.now.now;
        next.first_seen = world.now.now;
        world.add(next);
    }
}

/// Somebody sets an image, or undoes a roll-out, which takes our annotation away too. From then on
/// everybody is somebody else each time: where the very owner whom an intent names brings back both
/// the image and the annotations of before, it looks exactly as if our apply had never come, and it
/// is made once more. That is known, and accepted.
fn by_hand(world: &mut World, version: &str, keeps_intent: bool) {
    let known = keeps_intent && !world.is_undone;
    world.is_undone |= !keeps_intent;
    let age = world.age();
    let manager = if known {
        "kubectl/Update".to_owned()
    } else {
        format!("by-hand-{age}/Update")
    };
    world.set_image(version, &manager, keeps_intent);
}

fn happen(world: &mut World, event: Event) {
    match event {
        Event::Pass => drop(world.pass()),
        Event::PassStale(stale, age) => drop(world.pass_stale(stale, age)),
        Event::PassHeld => drop(world.pass_held()),
        Event::Deliver => world.deliver(),
        Event::Settle => world.settle(),
        Event::Advance(seconds) => world.advance(seconds),
        Event::Break => world.broken = vec![crate::fixtures::digest("1.42.0")],
        Event::Mend => world.broken.clear(),
        Event::Abort(which) => {
            if let Some(name) = name_of(world, which) {
                world.abort(&name);
            }
        }
        Event::Delete(which) => {
            // The guard refuses it while an intent is open.
            let open = |world: &World, name: &str| {
                let all = &world.now.promotions;
                all.iter()
                    .any(|p| p.name == name && p.memory.intent.is_some())
            };
            if let Some(name) = name_of(world, which).filter(|name| !open(world, name)) {
                world.delete(&name);
            }
        }
        Event::Promote(which) => promote(world, which),
        Event::PutBack => by_hand(world, "1.41.3", true),
        Event::RollOutUndo => by_hand(world, "1.41.3", false),
        Event::SetOther => by_hand(world, "0.0.1", true),
        Event::SetWanted => by_hand(world, "1.42.0", true),
        Event::Consent(given) => world.consent(given),
        Event::Revoke(version) => world.revoke(version),
        Event::RegistryDown(down) => world.registry.is_down = down,
        Event::FindVulnerability => world.find_vulnerability(),
        Event::Decide(vote, which) => {
            if let Some(name) = name_of(world, which) {
                let by = if vote == Vote::Approve {
                    "alice@corp"
                } else {
                    "carol@corp"
                };
                world.annotate(&name, vote, "release-manager", by);
            }
        }
    }
    world.check();
}

/// Nothing more happens but time: everything ends, or waits for somebody and says so.
fn settle(world: &mut World) {
    world.deliver();
    world.registry.is_down = false;
    for _ in 0..4 {
        world.settle();
        world.run();
        world.check();
        world.advance(700);
    }
    assert_eq!(
        world.now.environment.active, None,
        "L1: the Environment is still held"
    );
    let waiting: Vec<_> = world.decide().promotions;
    for progress in waiting {
        assert!(
            progress.state != State::Pending,
            "L1: {} waits for nothing",
            progress.name
        );
        assert!(
            !progress.summary.is_empty(),
            "L2: {} is not explained",
            progress.name
        );
    }
    let before = world.now.clone();
    assert_eq!(
        world.run(),
        Vec::<&str>::new(),
        "it goes on although it waits"
    );
    assert_eq!(world.now.facts, before.facts);
}

/// A few here, for speed; `PROPTEST_CASES=5000` looks longer.
fn configuration() -> ProptestConfig {
    let asked = option_env_cases();
    ProptestConfig {
        cases: asked.unwrap_or(60),
        max_shrink_iters: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a test looks is no decision"
)]
fn option_env_cases() -> Option<u32> {
    std::env::var("PROPTEST_CASES").ok()?.parse().ok()
}

proptest! {
    #![proptest_config(configuration())]

    #[test]
    fn whatever_happens_in_development(ours: bool, events in prop::collection::vec(event(), 1..60)) {
        live_through(bare(), ours, events);
    }

    #[test]
    fn whatever_happens_in_production(ours: bool, events in prop::collection::vec(event(), 1..60)) {
        live_through(ready(), ours, events);
    }
}

/// From a workload whose image is owned by us, from a promotion before, or by somebody else.
fn live_through(mut start: Snapshot, ours: bool, events: Vec<Event>) {
    if ours {
        the_workload(&mut start).containers[0].owners = vec!["lockmaster/Apply".into()];
        for promotion in &mut start.promotions {
            promotion.memory.approvals.clear();
        }
        if start.environment.tier == Tier::Production {
            approve(&mut start, "release-manager", "alice@corp");
        }
    }
    let mut world = World::new(start);
    for event in events {
        happen(&mut world, event);
    }
    settle(&mut world);
}
