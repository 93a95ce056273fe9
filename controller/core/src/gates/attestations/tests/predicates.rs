//! What each type of statement must say, spoiled in one place each.

use super::{asked, entries, is, spoiled};
use crate::evidence::{
    Bundle, CHANGE, CHECKS, Content, SLSA_VSA, TAGGED_RELEASE, TEST_RESULT, TaggedRelease,
    TestOutcome, VerificationSummary, Verified,
};
use crate::fixtures::statements::{
    CUSTOM, attestation, change, checks_rule, summary, tagged, tests,
};
use crate::fixtures::{at, bundles, key};
use crate::gate::Verdict::Pass;
use crate::policy::{
    Age, AttestationRule, ChangeRule, EvidenceRules, Policy, SummaryRule, VerifierRule,
};
use crate::reason::Reason;
use crate::release::Digest;

/// How a statement is spoiled, and what is said then.
type Case<T> = (fn(&mut T), &'static str);

fn vsa_rule() -> AttestationRule {
    let verifiers = vec![VerifierRule {
        authority: "ci".into(),
        id: "https://verifier.example".into(),
    }];
    let rule = SummaryRule {
        verifiers,
        resources: vec![],
        levels: vec!["SLSA_BUILD_LEVEL_2".into()],
        policy_digest: Some("ab".repeat(32)),
    };
    AttestationRule {
        summary: Some(rule),
        ..attestation("verified", SLSA_VSA)
    }
}

fn vsa(change: impl FnOnce(&mut VerificationSummary)) -> Bundle {
    let mut bundle = summary("1.42.0");
    if let Content::Summary(summary) = &mut bundle.content {
        change(summary);
    }
    bundle
}

#[test]
fn a_summary_counts_by_verifier_resource_policy_and_level() {
    let with = |change: fn(&mut VerificationSummary)| asked(vsa_rule(), Some(vsa(change)));
    is(&with(|_| {}), Reason::EvidenceValid, "verified: by ci");
    is(
        &with(|v| v.passed = false),
        Reason::AttestationFailed,
        "https://verifier.example says FAILED",
    );
    let cases: [Case<VerificationSummary>; 3] = [
        (
            |v| v.verifier = "https://verifier.example/".into(),
            "a verifier that the entry does not list",
        ),
        (
            |v| v.resource = "registry.example/shop/other".into(),
            "its resourceUri is registry.example/shop/other",
        ),
        (|v| v.policy_digest = None, "by another policy"),
    ];
    for (change, text) in cases {
        is(&with(change), Reason::AttestationInvalid, text);
    }
    let levels = |levels: &[&str]| {
        let levels: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
        asked(vsa_rule(), Some(vsa(|v| v.levels = levels))).reason
    };
    for good in [
        "SLSA_BUILD_LEVEL_2",
        "SLSA_BUILD_LEVEL_3",
        "SLSA_BUILD_LEVEL_10",
    ] {
        assert_eq!(levels(&[good]), Reason::EvidenceValid, "{good}");
    }
    for bad in [
        "SLSA_BUILD_LEVEL_1",
        "SLSA_SOURCE_LEVEL_3",
        "SLSA_BUILD_LEVEL_2x",
        "SLSA_BUILD_LEVEL_+3",
        "",
    ] {
        assert_eq!(levels(&[bad]), Reason::AttestationFailed, "{bad}");
    }
    assert_eq!(levels(&[]), Reason::AttestationFailed);
    is(
        &asked(vsa_rule(), None),
        Reason::AttestationMissing,
        "needs attestation verified",
    );
}

#[test]
fn a_newer_failed_summary_beats_an_older_passed_one() {
    let then = |time: &'static str| {
        spoiled(|s| {
            entries(s, vec![vsa_rule()]);
            bundles(s).push(vsa(|_| {}));
            bundles(s).push(vsa(|v| {
                v.passed = false;
                v.time = (!time.is_empty()).then(|| at(time));
            }));
        })
        .reason
    };
    assert_eq!(then("2026-11-24T09:30:00Z"), Reason::AttestationFailed);
    assert_eq!(then("2026-11-24T08:30:00Z"), Reason::EvidenceValid);
    assert_eq!(
        then(""),
        Reason::AttestationFailed,
        "nobody knows which one came first"
    );
}

/// A statement signed at a time of this day by `ci`, by a timestamp that whoever can push may have
/// made.
fn stamped(mut bundle: Bundle, time: &str) -> Bundle {
    let times = vec![at(time)];
    bundle.verified_by = [Verified {
        times,
        ..Verified::by_key(key("ci"))
    }]
    .into();
    bundle
}

#[test]
fn an_age_is_by_the_time_that_the_statement_names_itself() {
    let aged = |stated: Option<&str>, signed: &str| {
        let rule = AttestationRule {
            max_age: Some(Age::days(1)),
            ..vsa_rule()
        };
        let bundle = vsa(|summary| summary.time = stated.map(at));
        asked(rule, Some(stamped(bundle, signed)))
    };
    let bare = aged(None, "2026-11-24T09:59:00Z");
    is(
        &bare,
        Reason::EvidenceStale,
        "does not say when it was made",
    );
    let fresh = aged(Some("2026-11-24T09:30:00Z"), "2026-11-24T09:00:00Z");
    assert_eq!(fresh.verdict, Pass, "{}", fresh.message);
    let ends = Some(at("2026-11-25T09:00:00Z"));
    assert_eq!(fresh.next_change, ends, "the older one");
    let old = aged(Some("2026-11-23T10:00:00Z"), "2026-11-24T09:59:00Z");
    is(&old, Reason::EvidenceStale, "too old since");
    let signed_long_ago = aged(Some("2026-11-24T09:30:00Z"), "2026-11-23T10:00:00Z");
    is(&signed_long_ago, Reason::EvidenceStale, "too old since");
    let tomorrow = aged(Some("2026-11-24T10:06:00Z"), "2026-11-24T09:00:00Z");
    is(&tomorrow, Reason::EvidenceStale, "in the future");
}

#[test]
fn an_age_of_what_cannot_name_its_time_is_refused_with_the_policy() {
    let refused = |rule: AttestationRule| {
        let policy = Policy {
            evidence: EvidenceRules {
                attestations: vec![AttestationRule {
                    max_age: Some(Age::days(1)),
                    ..rule
                }],
                ..EvidenceRules::default()
            },
            ..Policy::default()
        };
        let found = policy.contradictions();
        let field = "spec.evidence.attestations[one].maxAge: statements of";
        found.iter().any(|found| found.starts_with(field))
    };
    for kind in [TEST_RESULT, CHANGE, TAGGED_RELEASE, CUSTOM] {
        assert!(refused(attestation("one", kind)), "{kind}");
    }
    for kind in [CHECKS, SLSA_VSA] {
        assert!(!refused(attestation("one", kind)), "{kind}");
    }
}

/// The yes of Monday with a timestamp of Wednesday is still that of Monday.
#[test]
fn a_new_timestamp_makes_no_old_yes_the_newest_word() {
    let of = |outcome, failed| {
        let mut bundle = tests("1.42.0");
        if let Content::Tests(tests) = &mut bundle.content {
            (tests.outcome, tests.failed) = (outcome, failed);
        }
        bundle
    };
    let report = spoiled(|s| {
        entries(s, vec![attestation("tests", TEST_RESULT)]);
        let yes = stamped(of(TestOutcome::Passed, 0), "2026-11-24T09:00:00Z");
        let no = stamped(of(TestOutcome::Failed, 1), "2026-11-24T08:00:00Z");
        bundles(s).extend([yes, no]);
    });
    is(
        &report,
        Reason::AttestationFailed,
        "let the administrators revoke",
    );
}

#[test]
fn a_resource_may_be_listed_by_a_pattern_of_the_whole() {
    let listed = |pattern: &str| {
        let mut rule = vsa_rule();
        rule.summary.as_mut().unwrap().resources = vec![pattern.into()];
        let bundle = vsa(|v| v.resource = "https://shop.example/checkout".into());
        asked(rule, Some(bundle)).reason
    };
    assert_eq!(
        listed("https://shop.example/checkout"),
        Reason::EvidenceValid
    );
    assert_eq!(listed("https://shop.example/*"), Reason::EvidenceValid);
    assert_eq!(listed("shop.example/*"), Reason::AttestationInvalid);
    assert_eq!(
        listed("https://shop.example/check"),
        Reason::AttestationInvalid
    );
}

#[test]
fn tests_count_when_all_of_them_passed() {
    let with = |outcome, failed| {
        let mut bundle = tests("1.42.0");
        if let Content::Tests(tests) = &mut bundle.content {
            (tests.outcome, tests.failed) = (outcome, failed);
        }
        asked(attestation("tests", TEST_RESULT), Some(bundle))
    };
    is(
        &with(TestOutcome::Passed, 0),
        Reason::EvidenceValid,
        "tests: by ci",
    );
    is(
        &with(TestOutcome::Passed, 1),
        Reason::AttestationFailed,
        "lists 1 failed tests",
    );
    is(
        &with(TestOutcome::Warned, 0),
        Reason::AttestationFailed,
        "WARNED",
    );
    is(
        &with(TestOutcome::Failed, 0),
        Reason::AttestationFailed,
        "FAILED",
    );
}

#[test]
fn a_change_is_of_the_commit_and_on_a_listed_branch() {
    let on = |branch: &str| {
        let branches = ["main", "release/*", "hotfix/*"]
            .map(str::to_owned)
            .to_vec();
        let rule = AttestationRule {
            change: Some(ChangeRule { branches }),
            ..attestation("change", CHANGE)
        };
        let mut bundle = change("1.42.0");
        if let Content::Change(change) = &mut bundle.content {
            change.branch = branch.into();
        }
        asked(rule, Some(bundle))
    };
    for good in ["main", "release/1.42", "hotfix/1.41.3-SHOP-7"] {
        assert_eq!(on(good).reason, Reason::EvidenceValid, "{good}");
    }
    for bad in [
        "Main",
        "main2",
        "feature/main",
        "release/1/2",
        "refs/heads/main",
        "release",
    ] {
        is(
            &on(bad),
            Reason::AttestationFailed,
            &format!("is on branch {bad}, and"),
        );
    }
    let mut other = change("1.42.0");
    if let Content::Change(change) = &mut other.content {
        change.commit = "0".repeat(40);
    }
    let report = asked(attestation("change", CHANGE), Some(other));
    is(&report, Reason::AttestationInvalid, "is about commit 0000");
}

/// GHSA-r2xv-vpr2-42m9 (slsa-verifier): a publish attestation whose name and version were not
/// compared. Product, version, tag, commit and digests all are.
#[test]
fn ghsa_r2xv_vpr2_42m9_a_release_statement_is_bound_by_name_version_and_digest() {
    let with = |change: fn(&mut TaggedRelease)| {
        let mut bundle = tagged("1.42.0");
        if let Content::Release(release) = &mut bundle.content {
            change(release);
        }
        asked(attestation("tag", TAGGED_RELEASE), Some(bundle))
    };
    is(&with(|_| {}), Reason::EvidenceValid, "tag: by ci");
    is(
        &with(|r| r.product = Some("checkout".into())),
        Reason::EvidenceValid,
        "tag: by ci",
    );
    let cases: [Case<TaggedRelease>; 5] = [
        (
            |r| r.product = Some("ledger".into()),
            "names product ledger",
        ),
        (
            |r| r.version = "1.41.3".to_owned().try_into().unwrap(),
            "names version 1.41.3",
        ),
        (
            |r| r.tag = "1.42.0".into(),
            "names tag 1.42.0, the Release v1.42.0",
        ),
        (|r| r.commit = "0".repeat(40), "names commit 0000"),
        (
            |r| r.digests = vec![Digest::of(b"other")],
            "does not list sha256:",
        ),
    ];
    for (change, text) in cases {
        is(&with(change), Reason::AttestationInvalid, text);
    }
}

/// Whatever is said of its type: what was not read as one of the types that are read is no yes.
#[test]
fn what_was_not_read_as_its_type_is_never_a_yes() {
    let rules = [
        vsa_rule(),
        attestation("one", TEST_RESULT),
        attestation("one", CHANGE),
        attestation("one", TAGGED_RELEASE),
        checks_rule(),
    ];
    for rule in rules {
        let kind = rule.predicate_type.clone();
        let mut bundle = tests("1.42.0");
        bundle.content = Content::Custom {
            predicate: kind.clone(),
            value: Ok(r#"{"result":"FAILED"}"#.into()),
        };
        let report = spoiled(|s| {
            entries(s, vec![rule]);
            bundles(s).retain(|bundle| bundle.content.predicate_type() != Some(&kind));
            bundles(s).push(bundle);
        });
        is(&report, Reason::AttestationInvalid, "cannot be read");
    }
}
