//! What is revoked while a promotion waits, is about to change something, or is on its way back.

use super::{FIRST, after, broken, ended, finish};
use crate::decide::decide;
use crate::facts::Observed;
use crate::fixtures::policies::with_policy;
use crate::fixtures::revoked::{revocation, revoke_digest};
use crate::fixtures::ruled::{answer, ruled};
use crate::fixtures::{approve, at, bare, key, ready};
use crate::policy::EvidenceRules;
use crate::reason::Reason;
use crate::record::Outcome;
use crate::release::Digest;
use crate::revocation::{Revocation, RevokedRecord, RevokedSigner};
use crate::rules::RuleOutcome;
use crate::snapshot::Snapshot;
use crate::status::State;
use crate::world::World;

fn message(world: &World) -> &str {
    &world.records().last().unwrap().content.message
}

fn revoke_record(snapshot: &mut Snapshot, name: &str) {
    let record = RevokedRecord {
        namespace: "shop".into(),
        name: name.into(),
    };
    let fact = revocation("bad-record", |content| content.records = vec![record]);
    snapshot.facts.revocations.push(fact);
}

#[test]
fn what_is_revoked_while_it_waits_or_holds_a_claim_goes_no_further() {
    let mut world = World::new(ready());
    revoke_digest(&mut world.now, "1.42.0");
    assert_eq!(world.pass(), "wait");
    let said = world.look(FIRST);
    assert_eq!(said.state, State::Blocked);
    assert_eq!(said.blocked_by.as_deref(), Some("revocation"));
    assert!(
        said.summary.contains("Revocation bad-build"),
        "{}",
        said.summary
    );
    // Lifted, it goes on.
    world.now.facts.revocations.clear();
    assert_eq!(world.pass(), "claim");
    revoke_digest(&mut world.now, "1.42.0");
    assert_eq!(world.run(), ["release"]);
    assert!(world.effects.is_empty());
}

/// After a restart nobody knows what it is made of, and it may be an index around what was revoked.
#[test]
fn what_a_revoked_image_may_be_in_is_not_applied_until_that_is_known() {
    let mut world = after(ready(), &["claim", "intent"]);
    let known = world.now.facts.evidence.clone();
    for seen in world.now.facts.evidence.values_mut() {
        *seen = Observed::Pending;
    }
    let fact = revocation("bad", |content| {
        content.digests = vec![Digest::of(b"another image")];
    });
    world.now.facts.revocations.push(fact);
    assert_eq!(world.pass(), "wait");
    assert!(world.effects.is_empty());
    world.now.facts.evidence = known;
    assert_eq!(world.pass(), "apply");
}

#[test]
fn what_is_revoked_after_its_intent_is_fenced_and_never_applied() {
    let expected = (Outcome::Failed, Reason::Revoked);
    let mut world = after(ready(), &["claim", "intent"]);
    revoke_digest(&mut world.now, "1.42.0");
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    world.check();
    assert_eq!(ended(&world), expected);
    assert!(
        message(&world).contains("Revocation bad-build"),
        "{}",
        message(&world)
    );
    assert!(world.effects.is_empty() && world.runs("1.41.3"));
    // An apply that is under way finds the fence.
    let mut world = after(ready(), &["claim", "intent"]);
    assert_eq!(world.pass_held(), "apply");
    revoke_digest(&mut world.now, "1.42.0");
    assert_eq!(world.pass(), "fence");
    world.deliver();
    assert_eq!(finish(&mut world), expected);
    assert!(world.effects.is_empty());
    // Where the consent is gone too, nothing is written to the workload.
    let mut world = after(ready(), &["claim", "intent"]);
    revoke_digest(&mut world.now, "1.42.0");
    world.consent(false);
    assert_eq!(world.run(), ["record", "conclude", "release"]);
    assert_eq!(ended(&world), expected);
}

#[test]
fn what_the_gates_rested_on_counts_after_the_intent_too() {
    let check = |revoke: fn(&mut Snapshot)| {
        let mut world = after(ready(), &["claim", "intent"]);
        revoke(&mut world.now);
        assert_eq!(finish(&mut world), (Outcome::Failed, Reason::Revoked));
        assert!(world.effects.is_empty());
        assert!(
            message(&world).contains("gate signature rested on"),
            "{}",
            message(&world)
        );
    };
    check(|snapshot| {
        let bundle = Digest::of(b"signature of 1.42.0");
        let fact = revocation("bundle", |content| content.bundles = vec![bundle]);
        snapshot.facts.revocations.push(fact);
    });
    check(|snapshot| {
        let signer = RevokedSigner {
            key: Some(key("ci").to_string()),
            identity: None,
            from: at("2026-11-24T00:00:00Z"),
        };
        let fact = revocation("key", |content| content.signers = vec![signer]);
        snapshot.facts.revocations.push(fact);
    });
}

/// Of all that the policy asks for, only a rule looks at what was signed.
fn only_ruled() -> Snapshot {
    let mut snapshot = ready();
    ruled(&mut snapshot);
    with_policy(&mut snapshot, |policy| {
        policy.evidence = EvidenceRules::default();
        policy.approvals.clear();
    });
    answer(&mut snapshot, &RuleOutcome::Allowed);
    snapshot
}

#[test]
fn what_a_rule_alone_was_shown_counts_after_the_intent_too() {
    let check = |change: fn(&mut Revocation)| {
        let mut world = after(only_ruled(), &["claim", "intent"]);
        let fact = revocation("shown", change);
        world.now.facts.revocations.push(fact);
        assert_eq!(finish(&mut world), (Outcome::Failed, Reason::Revoked));
        assert!(world.effects.is_empty());
        assert!(
            message(&world).contains("gate rules rested on"),
            "{}",
            message(&world)
        );
        // The record says what that was.
        let gates = &world.records().last().unwrap().content.gates;
        let gate = gates.iter().find(|gate| gate.name == "rules").unwrap();
        let ci = key("ci").to_string();
        assert!(gate.evidence.iter().any(|one| one.signer == ci));
    };
    check(|content| content.bundles = vec![Digest::of(b"provenance of 1.42.0")]);
    check(|content| {
        content.signers = vec![RevokedSigner {
            key: Some(key("ci").to_string()),
            identity: None,
            from: at("2026-11-24T00:00:00Z"),
        }];
    });
    // What nobody showed to the rule is nothing to it.
    let mut world = after(only_ruled(), &["claim", "intent"]);
    let other = revocation("other", |content| {
        content.bundles = vec![Digest::of(b"provenance of 1.41.3")];
    });
    world.now.facts.revocations.push(other);
    assert_eq!(world.pass(), "apply");
}

#[test]
fn the_one_statement_that_the_rule_of_an_entry_allowed_counts_too() {
    let mut start = ready();
    with_policy(&mut start, |policy| {
        policy.evidence.attestations[0].rule = Some("package lockmaster".into());
    });
    // Another policy is another plan.
    start.promotions[0].memory.approvals.clear();
    approve(&mut start, "release-manager", "alice@corp");
    answer(&mut start, &RuleOutcome::Allowed);
    let mut world = after(start, &["claim", "intent"]);
    let fact = revocation("shown", |content| {
        content.bundles = vec![Digest::of(b"checks of 1.42.0")];
    });
    world.now.facts.revocations.push(fact);
    assert_eq!(finish(&mut world), (Outcome::Failed, Reason::Revoked));
    let text = "gate attestations rested on";
    assert!(message(&world).contains(text), "{}", message(&world));
}

#[test]
fn while_a_revocation_cannot_be_read_nothing_is_set_and_that_is_said() {
    let mut world = after(ready(), &["claim", "intent"]);
    let mut fact = revocation("typo", |_| {});
    fact.content = Err("unknown field `digest`".into());
    world.now.facts.revocations.push(fact);
    assert_eq!(world.decide().mutation, None);
    let said = world.look(FIRST);
    assert!(
        said.report && said.summary.contains("Revocation typo"),
        "{}",
        said.summary
    );
    // Mended, it goes on; else it ends at the deadline.
    let mut mended = world.clone();
    mended.now.facts.revocations.clear();
    assert_eq!(finish(&mut mended), (Outcome::Succeeded, Reason::Succeeded));
    world.advance(600);
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    assert_eq!(ended(&world), (Outcome::Failed, Reason::Timeout));
}

#[test]
fn what_runs_is_not_rolled_back_by_itself() {
    let mut world = after(ready(), &["claim", "intent", "apply"]);
    revoke_digest(&mut world.now, "1.42.0");
    world.settle();
    assert_eq!(finish(&mut world), (Outcome::Succeeded, Reason::Succeeded));
    assert!(world.runs("1.42.0"));
}

#[test]
fn nobody_goes_back_to_what_was_revoked() {
    let check = |revoke: fn(&mut Snapshot), text: &str| {
        let mut world = broken();
        revoke(&mut world.now);
        world.advance(600);
        assert_eq!(finish(&mut world), (Outcome::Failed, Reason::NoKnownGood));
        assert!(message(&world).contains(text), "{}", message(&world));
        assert!(
            message(&world).contains("nothing good is left"),
            "{}",
            message(&world)
        );
        assert!(world.runs("1.42.0"));
    };
    check(
        |s| revoke_digest(s, "1.41.3"),
        "is revoked by Revocation bad-build",
    );
    check(
        |s| revoke_record(s, "checkout-prod-000001"),
        "only a record of success here that is revoked by Revocation bad-record",
    );
    // Nor where it was revoked once the way back was claimed.
    let mut world = broken();
    world.advance(600);
    assert_eq!((world.pass(), world.pass()), ("claim", "intent"));
    revoke_digest(&mut world.now, "1.41.3");
    assert_eq!(world.run(), ["fence", "record", "conclude", "release"]);
    assert_eq!(ended(&world), (Outcome::Failed, Reason::RollbackFailed));
    assert!(
        message(&world).contains("nothing good is left"),
        "{}",
        message(&world)
    );
    assert!(world.runs("1.42.0"));
    // What was revoked is what failed: the way back is free.
    let mut world = broken();
    revoke_digest(&mut world.now, "1.42.0");
    world.advance(600);
    assert_eq!(finish(&mut world), (Outcome::RolledBack, Reason::Timeout));
}

#[test]
fn the_last_known_good_is_one_that_is_not_revoked() {
    let known = |snapshot: &Snapshot| {
        let good = decide(&snapshot.input()).last_known_good;
        good.map(|good| good.record)
    };
    let mut snapshot = bare();
    for (sequence, version) in [(2, "1.41.4"), (3, "1.41.5")] {
        let record = crate::fixtures::record(&snapshot, sequence, version, Outcome::Succeeded);
        snapshot.facts.records.push(record);
    }
    assert_eq!(known(&snapshot).as_deref(), Some("checkout-prod-000002"));
    revoke_digest(&mut snapshot, "1.41.4");
    assert_eq!(known(&snapshot).as_deref(), Some("checkout-prod-000001"));
    revoke_record(&mut snapshot, "checkout-prod-000001");
    assert_eq!(known(&snapshot), None);
}
