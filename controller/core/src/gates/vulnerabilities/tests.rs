//! Scans and excuses: what is fresh, what is worst, and whose word clears a finding.

mod excuses;

use super::*;
use crate::evidence::Verified;
use crate::facts::TrustedRootFact;
use crate::fixtures::statements::{finding, scan, vex};
use crate::fixtures::unseen::check_judging;
use crate::fixtures::{ask, at, bundles, key, ready, roll_back, with_policy};
use crate::gate::GateReport;
use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass};
use crate::release::Digest;
use crate::snapshot::Snapshot;

const CVE: &str = "CVE-2026-2";

fn rule(snapshot: &mut Snapshot, change: impl FnOnce(&mut VulnerabilityRule)) {
    with_policy(snapshot, |policy| {
        change(policy.evidence.vulnerabilities.as_mut().unwrap());
    });
}

/// The one scan.
fn scanned_as(snapshot: &mut Snapshot, change: impl FnOnce(&mut Scan)) {
    let found = bundles(snapshot)
        .iter_mut()
        .find_map(|bundle| match &mut bundle.content {
            Content::Scan(scan) => Some(scan),
            _ => None,
        });
    change(found.unwrap());
}

fn the_bundle(snapshot: &mut Snapshot) -> &mut Bundle {
    let mut all = bundles(snapshot).iter_mut();
    all.find(|bundle| matches!(bundle.content, Content::Scan(_)))
        .unwrap()
}

fn finds(scan: &mut Scan, severity: Severity, id: &str) {
    *scan.counts.entry(severity).or_default() += 1;
    scan.findings.insert(0, finding(severity, id));
}

fn critical(snapshot: &mut Snapshot) {
    scanned_as(snapshot, |scan| finds(scan, Severity::Critical, CVE));
}

fn unreadable(snapshot: &mut Snapshot, problem: &str) {
    the_bundle(snapshot).content = Content::Unreadable {
        predicate: Some(COSIGN_VULN.into()),
        problem: problem.into(),
    };
}

fn without_scan(snapshot: &mut Snapshot) {
    bundles(snapshot).retain(|bundle| !matches!(bundle.content, Content::Scan(_)));
}

#[test]
fn every_reason() {
    check_judging(
        &Vulnerabilities,
        &[
            (
                |_| {},
                Pass,
                Reason::EvidenceValid,
                "no finding of Critical, High, scanned by",
            ),
            (
                |s| with_policy(s, |policy| policy.evidence.vulnerabilities = None),
                NotRequired,
                Reason::NotRequired,
                "no matching policy",
            ),
            (
                critical,
                Deny,
                Reason::VulnerabilityBlocked,
                "Critical CVE-2026-2 in openssl; update what is affected",
            ),
            (
                without_scan,
                Hold,
                Reason::AttestationMissing,
                "vulnerability scan signed by scanner",
            ),
            (
                |s| unreadable(s, "the report is of none of the shapes"),
                Deny,
                Reason::AttestationInvalid,
                "cannot be read: the report is of none",
            ),
            (
                |s| scanned_as(s, |scan| scan.database = None),
                Deny,
                Reason::AttestationInvalid,
                "does not say when the scanner's database was updated",
            ),
            (
                |s| scanned_as(s, |scan| scan.finished = at("2026-11-24T10:06:00Z")),
                Deny,
                Reason::AttestationInvalid,
                "in the future",
            ),
            (
                |s| scanned_as(s, |scan| scan.finished = at("2026-11-23T10:00:00Z")),
                Hold,
                Reason::EvidenceStale,
                "good until 2026-11-24T10:00:00Z",
            ),
            (
                |s| {
                    the_bundle(s).verified_by.clear();
                    the_bundle(s).key_hint = Some(key("eve"));
                },
                Deny,
                Reason::SignerNotTrusted,
                "a scan was found, but scanner must sign it",
            ),
            (
                |s| the_bundle(s).verified_by.clear(),
                Deny,
                Reason::SignatureInvalid,
                "does not verify",
            ),
            (
                |s| *the_bundle(s) = scan("1.41.3"),
                Deny,
                Reason::SignatureInvalid,
                "not about this digest",
            ),
            (
                |s| {
                    with_policy(s, |p| p.authorities[1].trusted_root = Some("root".into()));
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
    ask(&Vulnerabilities, &snapshot)
}

#[track_caller]
fn blocked_because(why: &str, spoil: impl FnOnce(&mut Snapshot)) {
    let report = spoiled(|s| {
        critical(s);
        spoil(s);
    });
    assert_eq!(
        report.reason,
        Reason::VulnerabilityBlocked,
        "{}",
        report.message
    );
    assert!(report.message.contains(why), "{}", report.message);
}

#[track_caller]
fn passes(spoil: impl FnOnce(&mut Snapshot)) -> GateReport {
    let report = spoiled(spoil);
    assert_eq!(report.verdict, Pass, "{}", report.message);
    report
}

/// "Old clean plus new critical" of the negative tests that matter most, either way round.
#[test]
fn old_clean_plus_new_critical_is_the_worst_of_all_fresh_reports() {
    let both = |clean: &str, critical: &str| {
        let (clean, critical) = (at(clean), at(critical));
        spoiled(|s| {
            scanned_as(s, |scan| scan.finished = clean);
            let mut other = scan("1.42.0");
            if let Content::Scan(scan) = &mut other.content {
                scan.finished = critical;
                finds(scan, Severity::Critical, CVE);
            }
            other.digest = Digest::of(b"another");
            bundles(s).push(other);
        })
    };
    let newer = both("2026-11-24T07:00:00Z", "2026-11-24T09:00:00Z");
    assert_eq!(newer.reason, Reason::VulnerabilityBlocked);
    let older = both("2026-11-24T09:00:00Z", "2026-11-24T07:00:00Z");
    assert_eq!(older.reason, Reason::VulnerabilityBlocked);
    assert_eq!(older.evidence.len(), 2, "both were looked at");
    // What is too old says nothing any more, good or bad.
    let gone = both("2026-11-24T09:00:00Z", "2026-11-22T09:00:00Z");
    assert_eq!(gone.verdict, Pass);
    let left = both("2026-11-22T09:00:00Z", "2026-11-24T09:00:00Z");
    assert_eq!(left.reason, Reason::VulnerabilityBlocked);
}

#[test]
fn an_unreadable_report_beside_a_good_one_might_say_more() {
    let beside = |finish: fn(&mut Bundle)| {
        spoiled(|s| {
            let mut other = scan("1.42.0");
            other.content = Content::Unreadable {
                predicate: Some(COSIGN_VULN.into()),
                problem: "{}".into(),
            };
            finish(&mut other);
            bundles(s).push(other);
        })
    };
    assert_eq!(beside(|_| {}).reason, Reason::AttestationInvalid);
    let old = beside(|bundle| {
        let time = at("2026-11-20T00:00:00Z");
        bundle.verified_by = [Verified {
            times: vec![time],
            ..Verified::by_key(key("scanner"))
        }]
        .into();
    });
    assert_eq!(
        old.verdict, Pass,
        "it was signed too long ago to say anything"
    );
    let strangers = beside(|bundle| bundle.verified_by = [Verified::by_key(key("eve"))].into());
    assert_eq!(strangers.verdict, Pass, "{}", strangers.message);
}

/// Signing time comes from a timestamp authority or a log; scan and database from the report.
#[test]
fn age_is_that_of_the_oldest_time_and_ends_at_an_instant() {
    let report = passes(|_| {});
    assert_eq!(
        report.next_change,
        Some(at("2026-11-25T06:00:00Z")),
        "the database"
    );
    let signed_at = |time: &str| {
        let times = vec![at(time)];
        spoiled(move |s| {
            the_bundle(s).verified_by = [Verified {
                times,
                ..Verified::by_key(key("scanner"))
            }]
            .into();
        })
    };
    let signed = signed_at("2026-11-23T12:00:00Z");
    assert_eq!(signed.next_change, Some(at("2026-11-24T12:00:00Z")));
    assert_eq!(
        signed_at("2026-11-23T10:00:00Z").reason,
        Reason::EvidenceStale
    );
    assert_eq!(
        signed_at("2026-11-24T10:06:00Z").reason,
        Reason::AttestationInvalid
    );
    let database = spoiled(|s| {
        scanned_as(s, |scan| scan.database = Some(at("2026-11-23T09:00:00Z")));
    });
    assert_eq!(database.reason, Reason::EvidenceStale);
    let mut snapshot = ready();
    snapshot.now = report.next_change.unwrap();
    let after = ask(&Vulnerabilities, &snapshot);
    assert_eq!((after.verdict, after.reason), (Hold, Reason::EvidenceStale));
    let without = passes(|s| {
        scanned_as(s, |scan| scan.database = None);
        rule(s, |rule| {
            rule.database_time = Some(DatabaseTime::WhenStated)
        });
    });
    assert_eq!(
        without.next_change,
        Some(at("2026-11-25T08:00:00Z")),
        "the scan"
    );
}

#[test]
fn only_severities_that_are_listed_close() {
    let found = |severity| spoiled(|s| scanned_as(s, |scan| finds(scan, severity, CVE))).reason;
    for severity in [Severity::Critical, Severity::High] {
        assert_eq!(found(severity), Reason::VulnerabilityBlocked, "{severity}");
    }
    for severity in [
        Severity::Medium,
        Severity::Low,
        Severity::Negligible,
        Severity::Unknown,
    ] {
        assert_eq!(found(severity), Reason::EvidenceValid, "{severity}");
    }
    let unknown = spoiled(|s| {
        rule(s, |rule| rule.deny.push(Severity::Unknown));
        scanned_as(s, |scan| finds(scan, Severity::Unknown, CVE));
    });
    assert_eq!(unknown.reason, Reason::VulnerabilityBlocked);
}

#[test]
fn what_is_counted_and_not_kept_cannot_be_excused() {
    let report = spoiled(|s| {
        critical(s);
        scanned_as(s, |scan| {
            *scan.counts.get_mut(&Severity::Critical).unwrap() = 3
        });
        bundles(s).push(vex("1.42.0", CVE));
    });
    assert_eq!(report.reason, Reason::VulnerabilityBlocked);
    assert!(report.message.contains("and 2 more"), "{}", report.message);
}

#[test]
fn a_rollback_is_told_and_not_held_up() {
    let report = spoiled(|s| {
        roll_back(s);
        critical(s);
    });
    assert_eq!(report.verdict, NotRequired);
    assert!(
        report
            .message
            .contains("it would not: VulnerabilityBlocked"),
        "{}",
        report.message
    );
}
