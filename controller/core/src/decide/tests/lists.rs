//! Right before it begins a promotion knows what is attached: what was attached meanwhile counts, and
//! who only waits asks nobody.

use std::collections::BTreeSet;

use super::{FIRST, after, ended};
use crate::decide::decide;
use crate::decision::{Mutation, Next};
use crate::evidence::{Child, Evidence, FailedListing, Form};
use crate::facts::{Cause, Observed, Unavailable};
use crate::fixtures::policies::without_statements;
use crate::fixtures::ruled::{answer, ruled};
use crate::fixtures::{
    approve, at, attached, digest, evidence, image, now, promotion, publish, ready, release,
    roll_back, with_policy,
};
use crate::gate::Verdict;
use crate::reason::Reason;
use crate::record::Outcome;
use crate::rules::RuleOutcome;
use crate::snapshot::Snapshot;
use crate::status::State;
use crate::world::World;

/// Eleven minutes after what is attached was listed.
fn later() -> Snapshot {
    let mut snapshot = ready();
    snapshot.now = at("2026-11-24T10:11:00Z");
    snapshot.promotions[0].memory.reported = true;
    snapshot
}

fn failed(snapshot: &mut Snapshot, when: &str, cause: Cause) {
    let why = Unavailable {
        cause,
        message: "GET https://registry.example/v2/: 503".into(),
    };
    let at = at(when);
    evidence(snapshot).listed.failed = Some(FailedListing { at, why });
}

fn begins(snapshot: &Snapshot) -> bool {
    matches!(decide(&snapshot.input()).mutation, Some(Mutation::Claim(_)))
}

#[test]
fn what_was_listed_long_ago_is_listed_anew_before_it_begins_and_nobody_reads_of_it() {
    let mut snapshot = later();
    let decision = decide(&snapshot.input());
    assert_eq!(decision.mutation, None);
    assert_eq!(decision.relist, BTreeSet::from([image("1.42.0")]));
    let progress = &decision.promotions[0];
    assert!(!progress.report, "it would only be taken back");
    assert_eq!(progress.reason, Reason::EvidenceUnavailable);
    assert_eq!(progress.blocked_by.as_deref(), Some("vulnerabilities"));
    let closed = progress.gates.iter().filter(|gate| !gate.verdict.is_open());
    let closed: Vec<_> = closed
        .map(|gate| (gate.name.as_str(), gate.reason))
        .collect();
    let pending = Reason::EvidencePending;
    assert_eq!(
        closed,
        [("vulnerabilities", pending), ("attestations", pending)]
    );
    assert_eq!(decision.next, Next::At(at("2026-11-24T10:11:05Z")));
    // It answers.
    evidence(&mut snapshot).listed.at = Some(snapshot.now);
    assert!(begins(&snapshot));
    assert!(decide(&snapshot.input()).relist.is_empty());
}

#[test]
fn a_list_of_ten_minutes_is_good_enough() {
    let mut snapshot = later();
    snapshot.now = at("2026-11-24T10:10:00Z");
    assert!(begins(&snapshot));
    evidence(&mut snapshot).listed.at = None;
    assert!(!begins(&snapshot), "nobody knows how old it is");
    evidence(&mut snapshot).listed.at = Some(at("2026-11-24T10:10:01Z"));
    assert!(!begins(&snapshot), "from the future");
}

#[test]
fn what_takes_longer_than_a_moment_is_said() {
    let mut snapshot = later();
    evidence(&mut snapshot).listed.asking = Some(at("2026-11-24T10:10:58Z"));
    let decision = decide(&snapshot.input());
    assert_eq!(decision.next, Next::At(at("2026-11-24T10:11:03Z")));
    assert!(!decision.promotions[0].report);
    snapshot.now = at("2026-11-24T10:11:03Z");
    let decision = decide(&snapshot.input());
    let progress = &decision.promotions[0];
    assert!(progress.report);
    for words in [
        "asking registry.example what was attached",
        "since 2026-11-24T10:00Z",
        "the change window is open until 2026-11-24T15:00:00Z",
    ] {
        assert!(progress.summary.contains(words), "{}", progress.summary);
    }
    assert_eq!(
        decision.relist.len(),
        1,
        "still wanted, by who lost it meanwhile"
    );
}

#[test]
fn a_registry_that_fails_closes_and_is_said_with_what_to_do() {
    let mut snapshot = later();
    failed(&mut snapshot, "2026-11-24T10:10:30Z", Cause::Unreachable);
    let decision = decide(&snapshot.input());
    assert_eq!((&decision.mutation, decision.relist.len()), (&None, 0));
    let progress = &decision.promotions[0];
    assert!(progress.report);
    let gate = &progress.gates[5];
    assert_eq!(
        (gate.verdict, gate.reason),
        (Verdict::Unknown, Reason::RegistryUnavailable)
    );
    for words in [
        "503",
        "it is asked again by itself; it begins once the registry says",
        "until 2026-11-24T15:00:00Z",
    ] {
        assert!(progress.summary.contains(words), "{}", progress.summary);
    }
    // Ten minutes later nobody knows whether it still fails.
    snapshot.now = at("2026-11-24T10:20:31Z");
    assert_eq!(decide(&snapshot.input()).relist.len(), 1);
    // A failure does not spoil a list that is young enough.
    evidence(&mut snapshot).listed.at = Some(at("2026-11-24T10:15:00Z"));
    assert!(begins(&snapshot));
    failed(&mut snapshot, "2026-11-24T10:26:00Z", Cause::Missing);
    snapshot.now = at("2026-11-24T10:26:00Z");
    let gone = decide(&snapshot.input());
    assert_eq!(gone.promotions[0].gates[5].reason, Reason::ArtifactMissing);
}

#[test]
fn who_waits_for_people_or_the_clock_asks_nobody() {
    let mut people = later();
    people.promotions[0].memory.approvals.clear();
    let mut clock = later();
    clock.now = at("2026-11-24T16:00:00Z");
    for (mut world, state) in [
        (World::new(people), State::AwaitingApproval),
        (World::new(clock), State::AwaitingWindow),
    ] {
        world.find_vulnerability();
        for _ in 0..10 {
            assert_eq!(world.pass(), "wait");
            world.advance(700);
        }
        assert_eq!(world.registry.asked, 0);
        assert_eq!(
            world.look(FIRST).state,
            state,
            "what is read does not change"
        );
    }
}

#[test]
fn a_finding_that_was_attached_meanwhile_stops_a_promotion_that_had_passed() {
    let mut start = ready();
    start.promotions[0].memory.approvals.clear();
    let mut world = World::new(start);
    assert_eq!(world.pass(), "wait");
    assert_eq!(world.look(FIRST).state, State::AwaitingApproval);
    world.advance(660);
    world.find_vulnerability();
    approve(&mut world.now, "release-manager", "alice@corp");
    assert_eq!(world.pass(), "wait");
    let stopped = world.look(FIRST);
    assert_eq!(world.registry.asked, 1);
    assert_eq!(stopped.blocked_by.as_deref(), Some("vulnerabilities"));
    assert_eq!(stopped.gates[5].reason, Reason::VulnerabilityBlocked);
    assert!(stopped.report && world.effects.is_empty());
    assert_eq!(world.run(), Vec::<&str>::new());
    // Without the finding it goes through, and costs one look.
    let mut start = later();
    publish(&mut start);
    let mut world = World::new(start);
    world.run();
    assert_eq!(world.registry.asked, 1);
    assert_eq!(ended(&world).0, Outcome::Succeeded);
}

#[test]
fn between_claim_and_intent_it_counts_too() {
    let mut world = after(ready(), &["claim"]);
    world.advance(660);
    world.registry.is_down = true;
    let decision = world.decide();
    assert_eq!((decision.relist.len(), &decision.mutation), (1, &None));
    assert!(
        !decision.promotions[0].report,
        "it holds the Environment, and waits"
    );
    assert_eq!(world.pass(), "release", "the registry does not answer");
    assert_eq!(world.pass(), "wait");
    assert_eq!(
        world.look(FIRST).gates[5].reason,
        Reason::RegistryUnavailable
    );
    world.registry.is_down = false;
    world.advance(660);
    assert_eq!(world.run().len(), 6, "it goes on by itself");
    let mut world = after(ready(), &["claim"]);
    world.advance(660);
    world.find_vulnerability();
    assert_eq!(world.pass(), "release");
    assert_eq!(
        world.look(FIRST).gates[5].reason,
        Reason::VulnerabilityBlocked
    );
}

#[test]
fn what_one_statement_alone_satisfies_is_never_asked_for_again() {
    let mut snapshot = later();
    without_statements(&mut snapshot);
    approve(&mut snapshot, "release-manager", "alice@corp");
    assert!(begins(&snapshot));
    evidence(&mut snapshot).listed.at = None;
    assert!(begins(&snapshot));
    // A rule in Rego may ask for anything.
    ruled(&mut snapshot);
    answer(&mut snapshot, &RuleOutcome::Allowed);
    approve(&mut snapshot, "release-manager", "alice@corp");
    let decision = decide(&snapshot.input());
    let rules = &decision.promotions[0].gates[7];
    assert_eq!(
        (&*rules.name, rules.reason),
        ("rules", Reason::EvidencePending)
    );
    assert_eq!(decision.relist.len(), 1);
}

#[test]
fn a_way_back_does_not_wait_for_a_registry_that_fails() {
    let mut snapshot = later();
    roll_back(&mut snapshot);
    approve(&mut snapshot, "release-manager", "alice@corp");
    assert!(begins(&snapshot), "scans and checks do not bind it");
    let told = decide(&snapshot.input()).promotions[0].gates[5]
        .message
        .clone();
    assert!(
        told.contains("need not pass it; it would: no finding"),
        "{told}"
    );
    ruled(&mut snapshot);
    answer(&mut snapshot, &RuleOutcome::Allowed);
    approve(&mut snapshot, "release-manager", "alice@corp");
    assert_eq!(decide(&snapshot.input()).relist.len(), 1, "rules do");
    failed(&mut snapshot, "2026-11-24T10:10:59Z", Cause::Unreachable);
    assert!(begins(&snapshot));
}

#[test]
fn the_one_that_asks_keeps_its_turn_and_loses_it_where_that_fails() {
    let mut snapshot = later();
    let newer = release("1.43.0");
    let name = newer.name.clone();
    snapshot.facts.releases.insert(name, Observed::Known(newer));
    let mut other = promotion("newer", "1.43.0");
    other.created = at("2026-11-24T09:01:00Z");
    snapshot.promotions.push(other);
    let version = "1.43.0";
    let known = Evidence::new(digest(version), attached(version)).listed_at(snapshot.now);
    snapshot
        .facts
        .evidence
        .insert(image(version), Observed::Known(known));
    with_policy(&mut snapshot, |policy| {
        policy.approvals.clear();
        policy.evidence.provenance.clear();
    });
    snapshot.environment.after.clear();
    let decision = decide(&snapshot.input());
    assert_eq!((&decision.mutation, decision.relist.len()), (&None, 1));
    failed(&mut snapshot, "2026-11-24T10:10:59Z", Cause::Unreachable);
    let decision = decide(&snapshot.input());
    let Some(Mutation::Claim(cleared)) = decision.mutation else {
        panic!("{:?}", decision.promotions[1].summary)
    };
    assert_eq!(cleared.claim().account.promotion.name, "newer");
}

/// An index of two images, each with all that is asked of it.
fn indexed() -> Snapshot {
    let mut snapshot = later();
    let children = ["amd64", "arm64"].map(|platform| Child {
        platform: platform.into(),
        digest: digest(platform),
    });
    for child in &children {
        let bundles = attached(&child.platform);
        let known = Evidence::new(child.digest.clone(), bundles).listed_at(now());
        let image = image("1.42.0").with_digest(child.digest.clone());
        snapshot
            .facts
            .evidence
            .insert(image, Observed::Known(known));
    }
    let children = children.into();
    evidence(&mut snapshot).form = Form::Index { children };
    snapshot
}

#[test]
fn of_an_index_its_own_list_and_those_of_all_its_images_count() {
    let relist = |snapshot: &Snapshot| {
        let decision = decide(&snapshot.input());
        assert_eq!(decision.mutation, None);
        let digests = decision
            .relist
            .into_iter()
            .map(|image| image.digest().clone());
        digests.collect::<BTreeSet<_>>()
    };
    let mut snapshot = indexed();
    let all = [digest("1.42.0"), digest("amd64"), digest("arm64")];
    assert_eq!(relist(&snapshot), all.clone().into());
    // A no stands on either level, so that the lists of both count.
    evidence(&mut snapshot).listed.at = Some(snapshot.now);
    assert_eq!(relist(&snapshot), all[1..].iter().cloned().collect());
    for child in ["amd64", "arm64"] {
        let image = image("1.42.0").with_digest(digest(child));
        let Some(Observed::Known(known)) = snapshot.facts.evidence.get_mut(&image) else {
            panic!("{child} is not known")
        };
        known.listed.at = Some(snapshot.now);
    }
    assert!(begins(&snapshot));
    evidence(&mut snapshot).bundles.retain(|bundle| {
        let kind = bundle.content.predicate_type();
        kind != Some(crate::evidence::COSIGN_VULN)
    });
    evidence(&mut snapshot).listed.at = Some(now());
    assert_eq!(
        relist(&snapshot),
        [digest("1.42.0")].into(),
        "its silence is old"
    );
}
