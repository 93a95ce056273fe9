//! What was found to prove nothing is remembered until it is judged good.

use super::*;

/// What was held against the artifacts of the last record.
fn held_before(snapshot: &Snapshot, artifact: Artifact, eligible: bool) -> Concern {
    Concern {
        artifact,
        record: "checkout-prod-000002".into(),
        artifact_set: release("1.42.0").artifact_set().unwrap(),
        reason: Reason::VulnerabilityBlocked,
        message: "gate vulnerabilities would not pass now".into(),
        eligible,
        since: snapshot.now,
    }
}

/// Two promotions later nobody asks about it any more, which takes nothing back.
#[test]
fn what_was_found_to_prove_nothing_stays_so_until_it_is_judged_good() {
    let mut snapshot = ran();
    let gone = |snapshot: &mut Snapshot, eligible| {
        let held = held_before(snapshot, Artifact::Running, eligible);
        snapshot.environment.concerns = vec![held];
        // Others ran since.
        let records = &mut snapshot.facts.records;
        records.retain(|record| record.object_name() != "checkout-prod-000002");
        concerns(&snapshot.input())
    };
    let held = gone(&mut snapshot, false);
    let expected = held_before(&snapshot, Artifact::Earlier, false);
    assert_eq!(held, std::slice::from_ref(&expected));
    snapshot.environment.concerns = held;
    assert_eq!(concerns(&snapshot.input()), [expected], "for good");
    assert_eq!(gone(&mut snapshot, true), [], "that was an alert");

    // It runs again: what cannot be judged stands, and what is good now is good.
    let mut again = ran();
    again.environment.concerns = vec![held_before(&again, Artifact::Earlier, false)];
    assert_eq!(concerns(&again.input()), [], "judged, and good");
    evidence(&mut again).tags = Observed::Pending;
    let expected = held_before(&again, Artifact::Running, false);
    assert_eq!(concerns(&again.input()), [expected]);
}

/// Whoever may push can let every look fail, and a restart forgets what was known.
#[test]
fn a_registry_that_lets_nothing_be_judged_alerts_and_takes_nothing_back() {
    let looked = |snapshot: &mut Snapshot, cause| {
        let ran = snapshot.facts.ran.get_mut("checkout-prod-000002").unwrap();
        ran.looks.get_mut(&image("1.42.0")).unwrap().problem = Some(Unavailable {
            cause,
            message: "there are more than 128 referrers".into(),
        });
    };
    for (cause, expect) in [
        (Cause::Truncated, Some(Reason::EvidenceTruncated)),
        (Cause::Forbidden, Some(Reason::RegistryUnavailable)),
        (Cause::Untrustworthy, Some(Reason::RegistryUnavailable)),
        (Cause::Unreachable, None),
    ] {
        let mut snapshot = ran();
        looked(&mut snapshot, cause);
        let found = concerns(&snapshot.input());
        assert_eq!(found.first().map(|held| held.reason), expect, "{cause:?}");
        assert!(found.iter().all(|held| held.eligible), "an alert");
        let known = &mut snapshot.facts.evidence;
        known.insert(image("1.42.0"), Observed::Pending);
        snapshot.environment.concerns = vec![held_before(&snapshot, Artifact::Running, false)];
        let expected = snapshot.environment.concerns.clone();
        assert_eq!(concerns(&snapshot.input()), expected, "{cause:?}");
    }
}

/// What is in an index that ran is not known any more, so that the Revocation of one of its images may
/// still be about it.
#[test]
fn what_cannot_be_seen_through_is_not_lifted() {
    let mut snapshot = ran();
    let mut held = held_before(&snapshot, Artifact::Earlier, false);
    held.reason = Reason::Revoked;
    held.artifact_set = Digest::of(b"others ran since");
    snapshot.environment.concerns = vec![held.clone()];
    let inside = revocation("inside", |content| {
        content.digests = vec![Digest::of(b"an image of the index")];
    });
    snapshot.facts.revocations.push(inside);
    assert_eq!(concerns(&snapshot.input()), [], "its form is known");
    let known = &mut snapshot.facts.evidence;
    known.insert(image("1.42.0"), Observed::Pending);
    let mut found = concerns(&snapshot.input());
    found.retain(|held| held.artifact == Artifact::Earlier);
    assert_eq!(found, [held]);
}

#[test]
fn what_is_remembered_is_bounded_and_lifted_with_its_revocation() {
    let mut snapshot = ran();
    let now = snapshot.now;
    let held = |count: u64, reason| Concern {
        artifact: Artifact::Earlier,
        record: "checkout-prod-000002".into(),
        artifact_set: Digest::of(&count.to_be_bytes()),
        reason,
        message: String::new(),
        eligible: false,
        since: now + jiff::SignedDuration::from_secs(count.cast_signed()),
    };
    let all = (0..40).map(|count| held(count, Reason::SignatureInvalid));
    snapshot.environment.concerns = all.collect();
    let kept = concerns(&snapshot.input());
    assert_eq!(kept.len(), EARLIER_LIMIT);
    assert_eq!(kept[0], held(39, Reason::SignatureInvalid), "the newest");
    snapshot.environment.concerns = vec![held(0, Reason::Revoked)];
    assert_eq!(concerns(&snapshot.input()), [], "which nothing revokes");
    let earlier = |snapshot: &Snapshot| {
        let mut found = concerns(&snapshot.input());
        found.retain(|held| held.artifact == Artifact::Earlier);
        found
    };
    revoke_digest(&mut snapshot, "1.42.0");
    assert_eq!(earlier(&snapshot), [held(0, Reason::Revoked)]);
    snapshot.facts.revocations.clear();
    disclosed(&mut snapshot);
    assert_eq!(earlier(&snapshot), [held(0, Reason::Revoked)]);
}

/// "What runs" is another one by then, and nothing of these is left to be rolled back.
#[test]
fn what_ran_before_is_not_called_what_runs() {
    let mut snapshot = ran();
    revoke_digest(&mut snapshot, "1.42.0");
    let held = concerns(&snapshot.input());
    assert!(held[0].message.starts_with("what runs is revoked"));
    snapshot.environment.concerns = held;
    // Others ran since, and who deleted the record cannot be asked what was in it.
    let records = &mut snapshot.facts.records;
    records.retain(|record| record.object_name() != "checkout-prod-000002");
    let said = |snapshot: &mut Snapshot| {
        let mut found = concerns(&snapshot.input());
        found.retain(|held| held.artifact == Artifact::Earlier);
        assert_eq!(found.len(), 1, "{found:?}");
        let message = found[0].message.clone();
        snapshot.environment.concerns = found;
        message
    };
    let expected = "what succeeded before is revoked by Revocation bad-build (built on a compromised \
                    runner); promote another version";
    assert_eq!(said(&mut snapshot), expected);
    assert_eq!(said(&mut snapshot), expected, "for good");
    // The last that could be gone back to is none any more.
    let last = "checkout-prod-000002 is revoked by Revocation bad-build, and nothing else is left to go \
                back to";
    snapshot.environment.concerns[0].artifact = Artifact::KnownGood;
    snapshot.environment.concerns[0].message = last.into();
    assert_eq!(
        said(&mut snapshot),
        "checkout-prod-000002 is revoked by Revocation bad-build; promote another version"
    );
}

/// Rules are not asked again, so that nothing is held for what they were shown; nor does that keep what
/// is held for something else.
#[test]
fn what_a_rule_was_shown_keeps_nothing_that_is_lifted() {
    let mut snapshot = ran();
    let record = snapshot.facts.records.last_mut().unwrap();
    let gates = &mut record.content.gates;
    let signed = gates.iter().find(|gate| gate.name == "signature").unwrap();
    let mut rules = signed.clone();
    rules.name = "rules".into();
    gates.retain(|gate| gate.evidence.is_empty());
    gates.push(rules);
    let mut held = held_before(&snapshot, Artifact::Earlier, false);
    held.reason = Reason::Revoked;
    held.artifact_set = Digest::of(b"others ran since");
    snapshot.environment.concerns = vec![held];
    disclosed(&mut snapshot);
    let found = concerns(&snapshot.input());
    let mut artifacts = found.iter().map(|held| held.artifact);
    assert!(artifacts.all(|one| one != Artifact::Earlier), "{found:?}");
}

/// Whoever may push can take a list away, and no word against it with that.
#[test]
fn what_is_only_missing_takes_back_no_word_against_it() {
    let mut snapshot = ran();
    evidence(&mut snapshot).bundles.clear();
    let held = |reason| Concern {
        reason,
        ..held_before(&snapshot, Artifact::Running, false)
    };
    let (blocked, revoked) = (held(Reason::VulnerabilityBlocked), held(Reason::Revoked));
    let said = |snapshot: &mut Snapshot, before| {
        snapshot.environment.concerns = vec![before];
        let now = concerns(&snapshot.input()).remove(0);
        (now.reason, now.eligible)
    };
    assert_eq!(
        said(&mut snapshot, blocked),
        (Reason::VulnerabilityBlocked, false)
    );
    let lifted = said(&mut snapshot, revoked);
    assert_eq!(lifted, (Reason::EvidenceWithdrawn, true), "it was lifted");
}
