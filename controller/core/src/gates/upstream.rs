//! Have exactly these artifacts succeeded where they must come from? (M03)

use crate::case::Case;
use crate::gate::{Finding, Gate};
use crate::reason::Reason;
use crate::record::Outcome;
use crate::release::Digest;
use crate::revocation::of_record;
use crate::standing::Concern;

/// See the module.
#[derive(Debug)]
pub(super) struct Upstream;

impl Gate for Upstream {
    fn name(&self) -> &'static str {
        "upstream"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::SameArtifactsVerified,
            Reason::NotInUpstream,
            Reason::Revoked,
            Reason::ReleaseNotFound,
            Reason::RecordsUnreadable,
        ]
    }

    /// It goes to what succeeded here before.
    fn binds_rollbacks(&self) -> bool {
        false
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        if case.environment.after.is_empty() {
            return Finding::not_required("nothing comes before this Environment");
        }
        let Some(set) = case.release.and_then(|release| release.artifact_set().ok()) else {
            return Finding::hold(
                Reason::ReleaseNotFound,
                "it is judged once the Release is there",
            );
        };
        let findings = case
            .environment
            .after
            .iter()
            .map(|name| came_through(case, name, &set));
        Finding::worst(findings.collect())
            .unwrap_or_else(|| Finding::not_required("nothing comes before this Environment"))
    }
}

/// The newest word on this artifact set in that Environment must be that it succeeded.
fn came_through(case: &Case<'_>, name: &str, set: &Digest) -> Finding {
    let namespace = &case.environment.namespace;
    let Some(records) = case.facts.upstream.get(name) else {
        let text = format!(
            "Environment {name}, which must come before, does not exist in namespace {namespace}"
        );
        return Finding::hold(Reason::NotInUpstream, text);
    };
    if let Some(problem) = case.facts.upstream_problems.get(name) {
        let text = format!(
            "nobody can tell what was in {name}: {problem}; the cluster's administrators mend it \
             (docs/how-to/mend-records.md)"
        );
        return Finding::unknown(Reason::RecordsUnreadable, text);
    }
    let newest = records
        .iter()
        .rev()
        .find(|record| record.content.is_about(set));
    match newest {
        Some(record) if record.content.outcome == Outcome::Succeeded => {
            counts(case, name, set, &record.object_name())
        }
        Some(record) => Finding::hold(
            Reason::NotInUpstream,
            format!(
                "these artifacts ended {} in {name} ({}); promote them there with success first",
                record.content.outcome,
                record.object_name()
            ),
        ),
        None => Finding::hold(
            Reason::NotInUpstream,
            format!(
                "these artifacts were never in {name}; promote them there first: kubectl promote \
                 create {} --to {name} -n {namespace}",
                case.promotion.request.release
            ),
        ),
    }
}

/// The record of success there, unless it proves nothing any more.
fn counts(case: &Case<'_>, name: &str, set: &Digest, record: &str) -> Finding {
    let namespace = &case.environment.namespace;
    let refused = |why: String| {
        let text = format!(
            "the same artifacts succeeded in {name}, but {why}; promote another version there first, \
             or these once more, so that they are judged again"
        );
        Finding::deny(Reason::Revoked, text)
    };
    if let Some(revoked) = of_record(&case.facts.revocations, namespace, record) {
        return refused(format!("its record {record} is revoked by {revoked}"));
    }
    let mut concerns = case.facts.upstream_concerns.get(name).into_iter().flatten();
    if let Some(concern) = concerns.find(|held| held.artifact_set == *set && !held.eligible) {
        let Concern {
            reason,
            message,
            since,
            ..
        } = concern;
        let what = concern.artifact.words();
        return refused(format!(
            "verifying again {what} there says {reason} since {since}: {message}"
        ));
    }
    Finding::pass(
        Reason::SameArtifactsVerified,
        format!("the same artifacts succeeded in {name} ({record})"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::revoked::revocation;
    use crate::fixtures::{ask, check, ready, record, roll_back};
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass, Unknown};
    use crate::revocation::RevokedRecord;
    use crate::snapshot::Snapshot;

    /// Says what happened in staging, oldest first.
    fn staging(snapshot: &mut Snapshot, history: &[(&str, Outcome)]) {
        let mut upstream = snapshot.clone();
        upstream.environment.name = "checkout-staging".into();
        upstream.facts.records.clear();
        for (sequence, (version, outcome)) in (1..).zip(history) {
            let record = record(&upstream, sequence, version, *outcome);
            upstream.facts.records.push(record);
        }
        let records = upstream.facts.records;
        snapshot
            .facts
            .upstream
            .insert("checkout-staging".into(), records);
    }

    #[test]
    fn every_reason() {
        check(
            &Upstream,
            &[
                (
                    |s| {
                        let problem = "checkout-staging-000001 is not intact".into();
                        let problems = &mut s.facts.upstream_problems;
                        problems.insert("checkout-staging".into(), problem);
                    },
                    Unknown,
                    Reason::RecordsUnreadable,
                    "nobody can tell what was in checkout-staging: checkout-staging-000001",
                ),
                (
                    |_| {},
                    Pass,
                    Reason::SameArtifactsVerified,
                    "succeeded in checkout-staging (checkout-staging-000001)",
                ),
                (
                    |s| s.environment.after.clear(),
                    NotRequired,
                    Reason::NotRequired,
                    "nothing comes before",
                ),
                (roll_back, NotRequired, Reason::NotRequired, "a rollback"),
                (
                    |s| {
                        let record = RevokedRecord {
                            namespace: "shop".into(),
                            name: "checkout-staging-000001".into(),
                        };
                        let fact = revocation("bad-soak", |content| content.records = vec![record]);
                        s.facts.revocations.push(fact);
                    },
                    Deny,
                    Reason::Revoked,
                    "record checkout-staging-000001 is revoked by Revocation bad-soak",
                ),
                (
                    |s| s.facts.upstream.clear(),
                    Hold,
                    Reason::NotInUpstream,
                    "does not exist in namespace shop",
                ),
                (
                    |s| staging(s, &[("1.41.3", Outcome::Succeeded)]),
                    Hold,
                    Reason::NotInUpstream,
                    "kubectl promote create checkout-1.42.0 --to checkout-staging -n shop",
                ),
                (
                    |s| {
                        staging(
                            s,
                            &[
                                ("1.42.0", Outcome::Succeeded),
                                ("1.42.0", Outcome::RolledBack),
                            ],
                        )
                    },
                    Hold,
                    Reason::NotInUpstream,
                    "ended RolledBack",
                ),
                (
                    |s| {
                        staging(
                            s,
                            &[("1.42.0", Outcome::Failed), ("1.42.0", Outcome::Succeeded)],
                        )
                    },
                    Pass,
                    Reason::SameArtifactsVerified,
                    "checkout-staging-000002",
                ),
                (
                    |s| s.facts.releases.clear(),
                    Hold,
                    Reason::ReleaseNotFound,
                    "Release",
                ),
            ],
        );
    }

    #[test]
    fn all_that_come_before_must_have_it() {
        let mut snapshot = ready();
        snapshot.environment.after.push("checkout-load".into());
        let report = ask(&Upstream, &snapshot);
        assert_eq!(
            (report.verdict, report.reason),
            (Hold, Reason::NotInUpstream)
        );
        assert!(
            report.message.contains("checkout-load"),
            "{}",
            report.message
        );
    }

    #[test]
    fn another_version_of_the_same_bytes_is_the_same_thing() {
        let mut snapshot = ready();
        let release = snapshot.facts.releases.get_mut("checkout-1.42.0").unwrap();
        if let crate::facts::Observed::Known(release) = release {
            release.version = crate::release::Version::parse("1.42.1").unwrap();
        }
        assert_eq!(ask(&Upstream, &snapshot).verdict, Pass);
    }
}
