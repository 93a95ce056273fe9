//! What ran with success, judged again: each way in which it can stand differently today.

mod remembered;

use super::*;
use crate::decide::decide;
use crate::evidence::{Bundle, Child, Content, Evidence, Form, Severity};
use crate::facts::{Cause, Look, Observed, Ran, Unavailable};
use crate::fixtures::policies::without_statements;
use crate::fixtures::revoked::{revocation, revoke_digest};
use crate::fixtures::ruled::answer;
use crate::fixtures::statements::{finding, scan};
use crate::fixtures::{
    at, attached, digest, evidence, image, key, ready, release, sbom, signature, with_policy,
};
use crate::gate::GateReport;
use crate::gates;
use crate::policy::RegoRule;
use crate::release::Digest;
use crate::revocation::{RevokedRecord, RevokedSigner};
use crate::rules::{LOOK_LIMIT, RuleOutcome, RuleQuestions};
use crate::snapshot::Snapshot;
use crate::world::World;

/// Production in which 1.42.0 was promoted with everything that is asked for, after 1.41.3; all of
/// it is still known.
fn ran() -> Snapshot {
    let mut world = World::new(ready());
    world.settle();
    world.run();
    let mut snapshot = world.now;
    snapshot.promotions.clear();
    for (record, version) in [("000002", "1.42.0"), ("000001", "1.41.3")] {
        let look = Look {
            at: Some(at("2026-11-24T10:00:00Z")),
            problem: None,
        };
        let ran = Ran {
            release: release(version),
            looks: [(image(version), look)].into(),
        };
        let all = &mut snapshot.facts.ran;
        all.insert(format!("checkout-prod-{record}"), ran);
        let bundles = attached(version);
        attach(&mut snapshot, version, bundles);
    }
    assert_eq!(concerns(&snapshot.input()), []);
    snapshot
}

fn attach(snapshot: &mut Snapshot, version: &str, bundles: Vec<Bundle>) {
    let evidence = Evidence::new(digest(version), bundles);
    let known = Observed::Known(evidence);
    snapshot.facts.evidence.insert(image(version), known);
}

/// What is held against what runs after that.
#[track_caller]
fn held(spoil: impl FnOnce(&mut Snapshot)) -> Concern {
    let mut snapshot = ran();
    spoil(&mut snapshot);
    let mut found = concerns(&snapshot.input());
    found.retain(|concern| concern.artifact == Artifact::Running);
    assert_eq!(found.len(), 1, "{found:?}");
    let concern = found.remove(0);
    assert_eq!(concern.record, "checkout-prod-000002");
    concern
}

#[track_caller]
fn check(spoil: impl FnOnce(&mut Snapshot), reason: Reason, eligible: bool, text: &str) {
    let concern = held(spoil);
    assert_eq!(
        (concern.reason, concern.eligible),
        (reason, eligible),
        "{}",
        concern.message
    );
    assert!(concern.message.contains(text), "{}", concern.message);
}

/// The checks of all that ran have a rule, which answers this of each.
fn ruled(snapshot: &mut Snapshot, outcome: &RuleOutcome) {
    with_policy(snapshot, |policy| {
        policy.evidence.attestations[0].rule = Some("package lockmaster".into());
    });
    answer(snapshot, outcome);
}

/// How many questions are open, and how many are answered already.
fn asked(snapshot: &Snapshot, known: &dyn Fn(&Digest) -> Option<RuleOutcome>) -> (usize, usize) {
    let RuleQuestions { open, answered, .. } = gates::rule_questions(&snapshot.input(), known);
    (open.len(), answered.len())
}

#[test]
fn what_ran_is_asked_of_the_rules_of_entries_again() {
    let mut snapshot = ran();
    ruled(&mut snapshot, &RuleOutcome::Allowed);
    assert_eq!(
        snapshot.facts.rules.len(),
        2,
        "what runs, and what it would go back to"
    );
    assert_eq!(concerns(&snapshot.input()), []);
    let denied = RuleOutcome::Denied {
        messages: vec!["covers too little".into()],
    };
    let spoil = |s: &mut Snapshot| ruled(s, &denied);
    check(spoil, Reason::AttestationFailed, false, "covers too little");
    // Without an answer nobody knows, and it stands as it did.
    snapshot.facts.rules.clear();
    assert_eq!(concerns(&snapshot.input()), []);
    // It is asked also while nothing waits to be promoted.
    snapshot.promotions.clear();
    assert!(gates::has_rules(&snapshot.input()));
    assert_eq!(asked(&snapshot, &|_| None), (2, 0));
}

/// However much there is to ask about what waits to be promoted.
#[test]
fn questions_about_what_runs_have_room_of_their_own() {
    let mut snapshot = ran();
    // What waits has no statement that an entry may count.
    snapshot.promotions = ready().promotions;
    snapshot.promotions[0].request.release = release("1.41.3").name;
    attach(&mut snapshot, "1.41.3", vec![signature("1.41.3")]);
    ruled(&mut snapshot, &RuleOutcome::Allowed);
    let before = asked(&snapshot, &|_| None).0;
    with_policy(&mut snapshot, |policy| {
        policy.rules = (0..2)
            .map(|number| RegoRule {
                name: number.to_string(),
                rego: number.to_string().repeat(LOOK_LIMIT / 5 * 2),
            })
            .collect();
    });
    assert_eq!(asked(&snapshot, &|_| None), (before + 2, 0));
    // A statement of which there is more than fits beside these.
    with_policy(&mut snapshot, |policy| {
        policy.evidence.attestations[0].rule = Some(" ".repeat(LOOK_LIMIT / 5));
    });
    let key = {
        let open = gates::rule_questions(&snapshot.input(), &|_| None).open;
        assert!(open.len() < before + 2, "there is no room for all");
        let of_running = open.iter().filter(|(_, one)| one.rego.starts_with(' '));
        assert_eq!(of_running.count(), before, "they have room");
        assert!(open[0].1.rego.starts_with(' '), "and come first");
        let large = open.into_iter().find(|(_, one)| one.rego.starts_with('0'));
        large.unwrap().0
    };
    let known = |asked: &Digest| (*asked == key).then_some(RuleOutcome::Allowed);
    assert_eq!(
        asked(&snapshot, &known),
        (before + 1, 1),
        "what is known leaves room for the others"
    );
}

fn disclosed(snapshot: &mut Snapshot) {
    let signer = RevokedSigner {
        key: Some(key("ci").to_string()),
        identity: None,
        from: at("2026-11-24T00:00:00Z"),
    };
    let fact = revocation("disclosed", |content| content.signers = vec![signer]);
    snapshot.facts.revocations.push(fact);
}

#[test]
fn what_was_revoked_counts_no_longer_downstream() {
    let text = "what runs is revoked by Revocation bad-build";
    check(|s| revoke_digest(s, "1.42.0"), Reason::Revoked, false, text);
    let record = |s: &mut Snapshot| {
        let record = RevokedRecord {
            namespace: "shop".into(),
            name: "checkout-prod-000002".into(),
        };
        let fact = revocation("record", |content| content.records = vec![record]);
        s.facts.revocations.push(fact);
    };
    check(record, Reason::Revoked, false, "Revocation record");
    let bundle = |s: &mut Snapshot| {
        let bundle = Digest::of(b"signature of 1.42.0");
        let fact = revocation("bundle", |content| content.bundles = vec![bundle]);
        s.facts.revocations.push(fact);
    };
    check(bundle, Reason::Revoked, false, "gate signature rested on");
    // Signed again, nothing is wrong; the same written another way is the same.
    let mut snapshot = ran();
    bundle(&mut snapshot);
    let mut again = signature("1.42.0");
    again.digest = Digest::of(b"another signature");
    evidence(&mut snapshot).bundles.push(again.clone());
    assert_eq!(concerns(&snapshot.input())[0].reason, Reason::Revoked);
    again.payload = Some(Digest::of(b"a statement"));
    evidence(&mut snapshot).bundles.push(again);
    assert_eq!(concerns(&snapshot.input()), []);
}

#[test]
fn a_disclosed_key_counts_before_anything_was_looked_at_again() {
    let mut snapshot = ran();
    disclosed(&mut snapshot);
    let before = concerns(&snapshot.input());
    assert_eq!(before[0].reason, Reason::Revoked);
    // After a restart nothing is known but the record.
    snapshot
        .facts
        .evidence
        .insert(image("1.42.0"), Observed::Pending);
    let found = concerns(&snapshot.input());
    assert_eq!(
        (found[0].reason, found[0].eligible),
        (Reason::Revoked, false)
    );
}

#[test]
fn a_signature_that_fails_today_counts_no_longer_downstream() {
    let foreign = |s: &mut Snapshot| {
        let bundle = &mut evidence(s).bundles[0];
        bundle.verified_by.clear();
        bundle.key_hint = Some(key("eve"));
    };
    check(
        foreign,
        Reason::SignerNotTrusted,
        false,
        "gate signature would not pass now",
    );
    let valid = |s: &mut Snapshot| {
        let until = Some(at("2026-11-24T00:00:00Z"));
        with_policy(s, |policy| {
            policy.authorities[0].keys[0].valid_until = until
        });
    };
    check(valid, Reason::SignerNotTrusted, false, "was valid until");
    let builder = |s: &mut Snapshot| {
        with_policy(s, |policy| {
            policy.evidence.provenance[0].builders = vec!["https://another.example".into()];
        });
    };
    check(builder, Reason::BuilderNotTrusted, false, "gate provenance");
}

#[test]
fn absence_after_presence_only_alerts() {
    let rest = "the registry lists the bundle";
    // Remembered: the gates still pass.
    let remembered = |s: &mut Snapshot| {
        let bundle = evidence(s).bundles[0].digest.clone();
        evidence(s).withdrawn.insert(bundle);
    };
    check(remembered, Reason::EvidenceWithdrawn, true, rest);
    // After a restart only the record tells that it was there.
    let forgotten = |s: &mut Snapshot| drop(evidence(s).bundles.remove(0));
    check(
        forgotten,
        Reason::EvidenceWithdrawn,
        true,
        "gate signature rests",
    );
    let all = |s: &mut Snapshot| evidence(s).bundles.clear();
    check(all, Reason::EvidenceWithdrawn, true, rest);
    // A revocation says more.
    let both = |s: &mut Snapshot| {
        evidence(s).bundles.clear();
        disclosed(s);
    };
    check(both, Reason::Revoked, false, "rested on what is revoked");
    // Another one that does as well is enough.
    let mut snapshot = ran();
    let mut other = signature("1.42.0");
    other.digest = Digest::of(b"another signature");
    evidence(&mut snapshot).bundles[0] = other;
    assert_eq!(concerns(&snapshot.input()), []);
}

#[test]
fn what_was_never_there_is_no_word_against_it() {
    let mut snapshot = ran();
    let gates = &mut snapshot.facts.records[1].content.gates;
    for gate in gates.iter_mut().filter(|gate| gate.name == "sbom") {
        gate.evidence.clear();
    }
    evidence(&mut snapshot)
        .bundles
        .retain(|bundle| !matches!(bundle.content, Content::Sbom(_)));
    let found = concerns(&snapshot.input());
    assert_eq!(
        (found[0].reason, found[0].eligible),
        (Reason::SbomMissing, true)
    );
}

#[test]
fn an_image_that_is_gone_is_said() {
    let gone = |s: &mut Snapshot| {
        let ran = s.facts.ran.get_mut("checkout-prod-000002").unwrap();
        for look in ran.looks.values_mut() {
            look.problem = Some(Unavailable {
                cause: Cause::Missing,
                message: "404".into(),
            });
        }
    };
    check(
        gone,
        Reason::ArtifactMissing,
        true,
        "cannot be pulled again; push it again",
    );
}

#[test]
fn what_cannot_be_judged_stands_as_it_did() {
    let mut snapshot = ran();
    evidence(&mut snapshot).bundles.clear();
    let before = concerns(&snapshot.input());
    snapshot.environment.concerns.clone_from(&before);
    let still = |snapshot: &Snapshot| {
        let mut later = snapshot.clone();
        later.now = at("2026-11-25T10:00:00Z");
        assert_eq!(concerns(&later.input()), before);
    };
    still(&snapshot);
    let mut unknown = snapshot.clone();
    unknown
        .facts
        .evidence
        .insert(image("1.42.0"), Observed::Pending);
    still(&unknown);
    let mut unread = snapshot.clone();
    let mut fact = revocation("typo", |_| {});
    fact.content = Err("unknown field".into());
    unread.facts.revocations.push(fact);
    still(&unread);
    let mut unlooked = snapshot.clone();
    unlooked.facts.ran.clear();
    still(&unlooked);
    // What is good again is said no more, and what is bad in another way is new.
    let bundles = attached("1.42.0");
    attach(&mut snapshot, "1.42.0", bundles);
    assert_eq!(concerns(&snapshot.input()), []);
    revoke_digest(&mut snapshot, "1.42.0");
    snapshot.now = at("2026-11-25T10:00:00Z");
    let found = concerns(&snapshot.input());
    assert_eq!(found[0].since, at("2026-11-25T10:00:00Z"));
}

#[test]
fn what_would_be_gone_back_to_is_judged_too() {
    let mut snapshot = ran();
    let why = Unavailable {
        cause: Cause::Missing,
        message: "404".into(),
    };
    let ran = snapshot.facts.ran.get_mut("checkout-prod-000001").unwrap();
    ran.looks.get_mut(&image("1.41.3")).unwrap().problem = Some(why);
    let found = concerns(&snapshot.input());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].artifact, found[0].reason),
        (Artifact::KnownGood, Reason::ArtifactMissing)
    );
    // A revoked one is no way back; where it was the only one, that is said.
    revoke_digest(&mut snapshot, "1.41.3");
    let decision = decide(&snapshot.input());
    assert_eq!(decision.last_known_good, None);
    let found = decision.concerns;
    assert_eq!(
        (found[0].artifact, found[0].reason),
        (Artifact::KnownGood, Reason::Revoked)
    );
    assert!(
        found[0].message.contains("nothing else is left"),
        "{}",
        found[0].message
    );
}

#[test]
fn without_the_release_its_source_is_not_asked_for() {
    let mut snapshot = ran();
    let ran = snapshot.facts.ran.get_mut("checkout-prod-000002").unwrap();
    ran.release.source = None;
    assert_eq!(concerns(&snapshot.input()), []);
    evidence(&mut snapshot).bundles[0].verified_by.clear();
    assert_eq!(
        concerns(&snapshot.input())[0].reason,
        Reason::SignatureInvalid
    );
}

#[test]
fn a_new_finding_counts_downstream_and_an_old_scan_says_nothing() {
    let critical = |s: &mut Snapshot| {
        let mut newer = scan("1.42.0");
        newer.digest = Digest::of(b"the newest scan");
        if let Content::Scan(scan) = &mut newer.content {
            scan.counts.insert(Severity::Critical, 1);
            let found = finding(Severity::Critical, "CVE-2026-2");
            scan.findings.insert(0, found);
        }
        evidence(s).bundles.push(newer);
    };
    let text = "gate vulnerabilities would not pass now: Critical CVE-2026-2";
    check(critical, Reason::VulnerabilityBlocked, false, text);
    // Also where the harmless one, on which it rested, is not listed any more.
    let replaced = |s: &mut Snapshot| {
        evidence(s)
            .bundles
            .retain(|bundle| !matches!(bundle.content, Content::Scan(_)));
        critical(s);
    };
    check(replaced, Reason::VulnerabilityBlocked, false, text);
    let mut snapshot = ran();
    snapshot.now = at("2026-11-30T10:00:00Z");
    assert_eq!(concerns(&snapshot.input()), [], "nobody scanned it since");
}

/// A scanner that replaces its report takes nothing away that anything rests on.
#[test]
fn what_was_replaced_is_not_withdrawn() {
    let mut snapshot = ran();
    let all = evidence(&mut snapshot);
    let old = all
        .bundles
        .iter()
        .find(|bundle| matches!(bundle.content, Content::Scan(_)));
    let old = old.unwrap().digest.clone();
    all.withdrawn.insert(old.clone());
    let found = concerns(&snapshot.input());
    assert_eq!(
        found[0].reason,
        Reason::EvidenceWithdrawn,
        "it was the only one"
    );
    assert!(found[0].message.contains(old.as_str()), "{found:?}");
    let mut newer = scan("1.42.0");
    newer.digest = Digest::of(b"the newest scan");
    evidence(&mut snapshot).bundles.push(newer);
    assert_eq!(concerns(&snapshot.input()), []);
    // Another image, or kind of evidence, replaces nothing.
    let signature = evidence(&mut snapshot).bundles[0].digest.clone();
    evidence(&mut snapshot).withdrawn.insert(signature.clone());
    let found = concerns(&snapshot.input());
    assert_eq!(found[0].reason, Reason::EvidenceWithdrawn);
    assert!(found[0].message.contains(signature.as_str()), "{found:?}");
}

#[test]
fn the_status_says_how_both_stand() {
    let mut snapshot = ran();
    let conditions = |snapshot: &Snapshot| {
        let decision = decide(&snapshot.input());
        let before = crate::status::EnvironmentStatus::default();
        let status = crate::status::environment_status(&before, 1, &decision, None, snapshot.now);
        assert_eq!(status.concerns, decision.concerns);
        let all = status.conditions.into_iter();
        all.map(|one| format!("{} {:?} {}", one.kind, one.status, one.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        conditions(&snapshot),
        [
            "Ready True Accepted",
            "ArtifactVerified True NotRevoked",
            "RollbackReady True NotRevoked"
        ]
    );
    evidence(&mut snapshot).bundles.clear();
    revoke_digest(&mut snapshot, "1.41.3");
    assert_eq!(
        conditions(&snapshot),
        [
            "Ready True Accepted",
            "ArtifactVerified False EvidenceWithdrawn",
            "RollbackReady False Revoked"
        ]
    );
}

#[test]
fn what_is_not_eligible_any_more_proves_nothing_to_what_comes_after() {
    let ask = |eligible: bool, version: &str| -> GateReport {
        let mut snapshot = ready();
        let concern = Concern {
            artifact: Artifact::Running,
            record: "checkout-staging-000001".into(),
            artifact_set: release(version).artifact_set().unwrap(),
            reason: Reason::SignatureInvalid,
            message: "it does not verify".into(),
            eligible,
            since: at("2026-11-24T09:00:00Z"),
        };
        let all = &mut snapshot.facts.upstream_concerns;
        all.insert("checkout-staging".into(), vec![concern]);
        let gates = decide(&snapshot.input()).promotions.remove(0).gates;
        gates
            .into_iter()
            .find(|gate| gate.name == "upstream")
            .unwrap()
    };
    let refused = ask(false, "1.42.0");
    assert_eq!(refused.reason, Reason::Revoked);
    let text = "says SignatureInvalid since 2026-11-24T09:00:00Z: it does not verify";
    assert!(refused.message.contains(text), "{}", refused.message);
    assert_eq!(ask(true, "1.42.0").reason, Reason::SameArtifactsVerified);
    assert_eq!(ask(false, "1.41.3").reason, Reason::SameArtifactsVerified);
}

/// Nobody asks the registry then, so that it lost nothing.
#[test]
fn what_the_sources_do_not_give_any_more_is_not_withdrawn() {
    let mut snapshot = ran();
    with_policy(&mut snapshot, |policy| policy.sources.clear());
    for (version, record) in [("1.42.0", "000002"), ("1.41.3", "000001")] {
        snapshot.facts.evidence.remove(&image(version));
        let ran = snapshot
            .facts
            .ran
            .get_mut(&format!("checkout-prod-{record}"));
        ran.unwrap().looks.clear();
    }
    let found = concerns(&snapshot.input());
    assert_eq!(found[0].reason, Reason::SourceNotAllowed, "{found:?}");
}

/// No rule is asked about what runs, so nothing is read for one.
#[test]
fn nothing_is_read_for_rules_that_are_not_asked() {
    let mut snapshot = ran();
    crate::fixtures::ruled::ruled(&mut snapshot);
    without_statements(&mut snapshot);
    evidence(&mut snapshot).tags = Observed::Pending;
    assert_eq!(wants(&snapshot.input()), [].into());
}

/// What runs is an index, and this is known of one image of it.
fn index(seen: Option<Observed<Evidence>>, look: Look) -> Snapshot {
    let mut snapshot = ran();
    without_statements(&mut snapshot);
    let child = Digest::of(b"linux/arm64");
    let own = evidence(&mut snapshot);
    own.form = Form::Index {
        children: vec![Child {
            platform: "linux/arm64".into(),
            digest: child.clone(),
        }],
    };
    let image = image("1.42.0").with_digest(child);
    if let Some(seen) = seen {
        snapshot.facts.evidence.insert(image.clone(), seen);
        let ran = snapshot.facts.ran.get_mut("checkout-prod-000002").unwrap();
        ran.looks.insert(image, look);
    }
    snapshot
}

#[test]
fn images_of_an_index_that_runs_have_turns_of_their_own() {
    let snapshot = index(None, Look::default());
    let children = Want::Children(image("1.42.0"));
    assert_eq!(wants(&snapshot.input()), [children].into());
    assert_eq!(concerns(&snapshot.input()), [], "nobody can tell yet");
    let waiting = index(Some(Observed::Pending), Look::default());
    assert_eq!(wants(&waiting.input()), [].into());
    assert_eq!(concerns(&waiting.input()), []);

    let child = Digest::of(b"linux/arm64");
    let mut bill = sbom("1.42.0");
    bill.subjects = vec![child.clone()];
    let known = Evidence::new(child.clone(), vec![bill]);
    let good = index(Some(Observed::Known(known.clone())), Look::default());
    assert_eq!(concerns(&good.input()), []);
    let mut bare = known.clone();
    bare.bundles.clear();
    let mut unread = bare.clone();
    unread.tags = Observed::Pending;
    let unread = index(Some(Observed::Known(unread)), Look::default());
    let tags = Want::Tags(image("1.42.0").with_digest(child));
    assert_eq!(wants(&unread.input()), [tags].into());
    assert_eq!(concerns(&unread.input()), []);
    let found = concerns(&index(Some(Observed::Known(bare)), Look::default()).input());
    assert_eq!(found[0].reason, Reason::SbomMissing, "{found:?}");
    assert!(found[0].message.contains("linux/arm64"), "{found:?}");
    let gone = Look {
        at: None,
        problem: Some(Unavailable {
            cause: Cause::Missing,
            message: "404".into(),
        }),
    };
    let found = concerns(&index(Some(Observed::Known(known)), gone).input());
    assert_eq!(found[0].reason, Reason::ArtifactMissing, "{found:?}");
}
