//! Statements that must be there, and must say yes.

mod predicates;
mod ruled;

use super::*;
use crate::evidence::{
    CHECKS, Check, Checks, Conclusion, Quarantine, TEST_RESULT, TestOutcome, Verified,
};
use crate::facts::TrustedRootFact;
use crate::fixtures::statements::{
    CUSTOM, attestation, checks, checks_rule, custom, not_applicable, tests,
};
use crate::fixtures::unseen::check_judging;
use crate::fixtures::{ask, at, bundles, key, ready, roll_back, with_policy};
use crate::gate::GateReport;
use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass, Unknown};
use crate::policy::{Age, NotApplicableRule};
use crate::release::Digest;
use crate::snapshot::Snapshot;

/// The statement of checks.
fn said(snapshot: &mut Snapshot, change: impl FnOnce(&mut Checks)) {
    let mut all = bundles(snapshot).iter_mut();
    let found = all.find_map(|bundle| match &mut bundle.content {
        Content::Checks(checks) => Some(checks),
        _ => None,
    });
    change(found.unwrap());
}

fn the_bundle(snapshot: &mut Snapshot) -> &mut Bundle {
    bundles(snapshot).last_mut().unwrap()
}

fn without(snapshot: &mut Snapshot) {
    bundles(snapshot).pop();
}

fn entries(snapshot: &mut Snapshot, rules: Vec<AttestationRule>) {
    with_policy(snapshot, |policy| policy.evidence.attestations = rules);
}

#[test]
fn every_reason() {
    check_judging(
        &Attestations,
        &[
            (
                |_| {},
                Pass,
                Reason::EvidenceValid,
                "checks: 2 checks are met",
            ),
            (
                |s| {
                    let rule = AttestationRule {
                        rule: Some("package lockmaster".into()),
                        ..checks_rule()
                    };
                    entries(s, vec![rule]);
                },
                Unknown,
                Reason::RuleUnanswered,
                "it was not asked yet",
            ),
            (
                |s| entries(s, vec![]),
                NotRequired,
                Reason::NotRequired,
                "no matching policy",
            ),
            (
                without,
                Hold,
                Reason::AttestationMissing,
                "needs check unit-test in a statement https://lockmaster.dev/checks/v1 signed by ci",
            ),
            (
                |s| said(s, |all| all.checks[1].conclusion = Conclusion::Failure),
                Deny,
                Reason::AttestationFailed,
                "checks, by ci: check sast ended with failure, see https://ci.example/runs/4711",
            ),
            (
                |s| said(s, |all| all.commit = "ba5eba11".repeat(5)),
                Deny,
                Reason::AttestationInvalid,
                "is about commit ba5eba11",
            ),
            (
                |s| {
                    let predicate = Some(CHECKS.into());
                    let problem = "cut off".into();
                    the_bundle(s).content = Content::Unreadable { predicate, problem };
                },
                Deny,
                Reason::AttestationInvalid,
                "cannot be read: cut off",
            ),
            (
                |s| {
                    let max_age = Some(Age::hours(1));
                    entries(
                        s,
                        vec![AttestationRule {
                            max_age,
                            ..checks_rule()
                        }],
                    );
                },
                Hold,
                Reason::EvidenceStale,
                "it is too old since 2026-11-24T10:00:00Z",
            ),
            (
                |s| {
                    the_bundle(s).verified_by.clear();
                    the_bundle(s).key_hint = Some(key("eve"));
                },
                Deny,
                Reason::SignerNotTrusted,
                "one was found, but ci must sign it",
            ),
            (
                |s| the_bundle(s).verified_by.clear(),
                Deny,
                Reason::SignatureInvalid,
                "does not verify",
            ),
            (
                |s| *the_bundle(s) = checks("1.41.3"),
                Deny,
                Reason::SignatureInvalid,
                "not about this digest",
            ),
            (
                |s| {
                    with_policy(s, |p| p.authorities[0].trusted_root = Some("root".into()));
                    let root = TrustedRootFact {
                        uid: "uid".into(),
                        generation: 1,
                        content: Err("no JSON".into()),
                    };
                    s.facts.trusted_roots.insert("root".into(), root);
                },
                Deny,
                Reason::TrustedRootInvalid,
                "no JSON",
            ),
        ],
    );
}

fn spoiled(spoil: impl FnOnce(&mut Snapshot)) -> GateReport {
    let mut snapshot = ready();
    spoil(&mut snapshot);
    ask(&Attestations, &snapshot)
}

#[track_caller]
fn is(report: &GateReport, reason: Reason, text: &str) {
    assert_eq!(report.reason, reason, "{}", report.message);
    assert!(report.message.contains(text), "{}", report.message);
}

/// A second statement of checks, an hour later or earlier than the first one.
fn second(snapshot: &mut Snapshot, time: &str, change: impl FnOnce(&mut Checks)) {
    let mut bundle = checks("1.42.0");
    bundle.digest = Digest::of(b"second");
    if let Content::Checks(checks) = &mut bundle.content {
        checks.finished_on = at(time);
        change(checks);
    }
    bundles(snapshot).push(bundle);
}

/// "FAILED VSA or check" of the negative tests that matter most.
#[test]
fn a_newer_failed_check_beats_an_older_passed_one_and_the_other_way_round() {
    let fails = |all: &mut Checks| all.checks[0].conclusion = Conclusion::Failure;
    let newer = spoiled(|s| second(s, "2026-11-24T09:30:00Z", fails));
    is(
        &newer,
        Reason::AttestationFailed,
        "check unit-test ended with failure",
    );
    let older = spoiled(|s| second(s, "2026-11-24T08:30:00Z", fails));
    is(&older, Reason::EvidenceValid, "2 checks are met");
    let strangers = spoiled(|s| {
        second(s, "2026-11-24T09:30:00Z", fails);
        the_bundle(s).verified_by = [Verified::by_key(key("eve"))].into();
    });
    is(&strangers, Reason::EvidenceValid, "2 checks are met");
    let of_another_commit = spoiled(|s| {
        second(s, "2026-11-24T09:30:00Z", |all| {
            fails(all);
            all.commit = "0".repeat(40);
        });
    });
    is(
        &of_another_commit,
        Reason::EvidenceValid,
        "2 checks are met",
    );
}

#[test]
fn checks_of_several_statements_add_up_and_none_may_be_missing() {
    let split = |both: bool| {
        spoiled(|s| {
            said(s, |all| all.checks.truncate(1));
            if both {
                second(s, "2026-11-24T08:00:00Z", |all| drop(all.checks.remove(0)));
            }
        })
    };
    is(&split(true), Reason::EvidenceValid, "2 checks are met");
    is(
        &split(false),
        Reason::AttestationMissing,
        "needs check sast in a statement",
    );
    for conclusion in [
        Conclusion::Neutral,
        Conclusion::Skipped,
        Conclusion::Cancelled,
        Conclusion::TimedOut,
        Conclusion::ActionRequired,
        Conclusion::Stale,
        Conclusion::StartupFailure,
    ] {
        let report = spoiled(|s| said(s, |all| all.checks[0].conclusion = conclusion));
        is(
            &report,
            Reason::AttestationFailed,
            &format!("ended with {conclusion}"),
        );
    }
}

/// M129: nobody approves exceptions yet, and security checks never get one.
#[test]
fn what_is_quarantined_is_not_passed() {
    let quarantine = || Quarantine {
        test: "checkout under load".into(),
        rationale: "times out".into(),
        approver: "alice@corp".into(),
        until: at("2026-12-08T00:00:00Z"),
        ticket: None,
    };
    let unit = spoiled(|s| said(s, |all| all.checks[0].quarantined.push(quarantine())));
    is(
        &unit,
        Reason::AttestationFailed,
        "left out checkout under load until 2026-12-08",
    );
    assert!(
        unit.message.contains("needs an approved exception"),
        "{}",
        unit.message
    );
    let security = spoiled(|s| said(s, |all| all.checks[1].quarantined.push(quarantine())));
    is(
        &security,
        Reason::AttestationFailed,
        "nothing of a security check may be left out",
    );
    // A security check that is not required counts where it is there; another one does not.
    let beside = |name: &'static str| {
        spoiled(|s| {
            with_policy(s, |policy| {
                let rule = policy.evidence.attestations[0].checks.as_mut().unwrap();
                rule.security.push("dast".into());
            });
            let check = Check {
                name: name.into(),
                conclusion: Conclusion::Failure,
                url: None,
                quarantined: vec![],
            };
            said(s, |all| all.checks.push(check));
        })
    };
    is(
        &beside("dast"),
        Reason::AttestationFailed,
        "check dast ended with failure",
    );
    is(
        &beside("spelling"),
        Reason::EvidenceValid,
        "2 checks are met",
    );
}

/// One entry, and one statement beside what is ready.
fn asked(rule: AttestationRule, bundle: Option<Bundle>) -> GateReport {
    spoiled(|s| {
        entries(s, vec![rule]);
        bundles(s).extend(bundle);
    })
}

/// CVE-2022-35930, GHSA-739f-hw6h-7wq8 (policy-controller): an attestation of another type, or by nobody who may, passed
/// where one was required.
#[test]
fn cve_2022_35930_a_statement_that_is_required_is_not_replaced_by_another() {
    let custom_rule = || attestation("load-test", CUSTOM);
    let missing = asked(custom_rule(), None);
    is(
        &missing,
        Reason::AttestationMissing,
        "needs attestation load-test (https://example.com",
    );
    assert_eq!(missing.verdict, Hold);
    is(
        &asked(custom_rule(), Some(custom("1.42.0"))),
        Reason::EvidenceValid,
        "load-test: by ci",
    );
    let other_type = Bundle {
        content: Content::Custom {
            predicate: format!("{CUSTOM}/"),
            value: Ok("{}".into()),
        },
        ..custom("1.42.0")
    };
    is(
        &asked(custom_rule(), Some(other_type)),
        Reason::AttestationMissing,
        "load-test",
    );
    let mut stranger = custom("1.42.0");
    stranger.verified_by = [Verified::by_key(key("scanner"))].into();
    stranger.key_hint = Some(key("scanner"));
    is(
        &asked(custom_rule(), Some(stranger)),
        Reason::SignerNotTrusted,
        "ci must sign it",
    );
    is(
        &asked(custom_rule(), Some(custom("1.41.3"))),
        Reason::SignatureInvalid,
        "not about this",
    );
    let may_not = spoiled(|s| {
        with_policy(s, |policy| {
            policy.authorities[0]
                .predicate_types
                .retain(|kind| kind != CUSTOM);
            policy.evidence.attestations = vec![custom_rule()];
        });
        bundles(s).push(custom("1.42.0"));
    });
    assert_eq!(may_not.verdict, Deny, "{}", may_not.message);
}

#[test]
fn every_entry_must_be_met_by_itself() {
    let two = || vec![checks_rule(), attestation("load-test", CUSTOM)];
    let one = spoiled(|s| entries(s, two()));
    is(&one, Reason::AttestationMissing, "load-test");
    let both = spoiled(|s| {
        entries(s, two());
        bundles(s).push(custom("1.42.0"));
    });
    is(
        &both,
        Reason::EvidenceValid,
        "checks: 2 checks are met; load-test: by ci",
    );
    assert_eq!(
        both.evidence.len(),
        2,
        "each statement once: {:?}",
        both.evidence
    );
}

/// M19: a scan of the running application, or a reason why there is none.
#[test]
fn what_does_not_apply_is_said_by_somebody_who_may() {
    let rule = |may: bool| AttestationRule {
        not_applicable: may.then(|| NotApplicableRule {
            authorities: vec!["security".into()],
        }),
        ..attestation("dast", CUSTOM)
    };
    let said = asked(rule(true), Some(not_applicable("1.42.0", "dast")));
    is(
        &said,
        Reason::EvidenceValid,
        "dast: does not apply, says alice@corp: a batch job",
    );
    assert_eq!(said.evidence[0].authority, "production/security");
    let missing = asked(rule(true), None);
    is(
        &missing,
        Reason::AttestationMissing,
        "or, where it does not apply, https://lockmaster.dev/not",
    );
    let refused = [
        (rule(false), not_applicable("1.42.0", "dast")),
        (rule(true), not_applicable("1.42.0", "load-test")),
        (rule(true), not_applicable("1.41.3", "dast")),
        (
            rule(true),
            Bundle {
                verified_by: [Verified::by_key(key("ci"))].into(),
                ..not_applicable("1.42.0", "dast")
            },
        ),
    ];
    for (rule, bundle) in refused {
        is(
            &asked(rule, Some(bundle)),
            Reason::AttestationMissing,
            "dast",
        );
    }
    let failed = spoiled(|s| {
        let rule = AttestationRule {
            predicate_type: TEST_RESULT.into(),
            ..rule(true)
        };
        entries(s, vec![rule]);
        let mut bundle = tests("1.42.0");
        if let Content::Tests(tests) = &mut bundle.content {
            tests.outcome = TestOutcome::Failed;
        }
        bundles(s).extend([bundle, not_applicable("1.42.0", "dast")]);
    });
    is(&failed, Reason::AttestationFailed, "FAILED");
    // One of the checks may be what does not apply.
    let check = spoiled(|s| {
        with_policy(s, |policy| {
            let rule = &mut policy.evidence.attestations[0];
            rule.checks.as_mut().unwrap().required.push("dast".into());
            let authorities = vec!["security".into()];
            rule.not_applicable = Some(NotApplicableRule { authorities });
        });
        bundles(s).push(not_applicable("1.42.0", "dast"));
    });
    is(&check, Reason::EvidenceValid, "3 checks are met");
}

#[test]
fn a_rollback_is_told_and_not_held_up() {
    let report = spoiled(|s| {
        roll_back(s);
        without(s);
    });
    assert_eq!(report.verdict, NotRequired);
    assert!(
        report.message.contains("it would not: AttestationMissing"),
        "{}",
        report.message
    );
}
