//! Is what it brings still good, or does a Revocation name it? (M03, M105; CVE-2024-23332)

use super::evidence::{known, unfit};
use crate::case::Case;
use crate::evidence::Form;
use crate::gate::{Finding, Gate, Subject};
use crate::promotion::Action;
use crate::reason::Reason;
use crate::record::Record;
use crate::revocation::{Revoked, names_digests, of_artifact, of_record, unreadable};

/// See the module.
#[derive(Debug)]
pub(super) struct Revocation;

impl Gate for Revocation {
    fn name(&self) -> &'static str {
        "revocation"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRevoked,
            Reason::Revoked,
            Reason::RevocationInvalid,
            Reason::ReleaseNotFound,
            Reason::IndexInvalid,
            Reason::ArtifactMissing,
            Reason::EvidencePending,
            Reason::EvidenceTruncated,
            Reason::RegistryUnavailable,
        ]
    }

    fn subject(&self) -> Subject {
        Subject::Revocation
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        let all = &case.facts.revocations;
        if let Some((name, problem)) = unreadable(all) {
            return Finding::deny(
                Reason::RevocationInvalid,
                format!(
                    "Revocation {name} cannot be read, so nobody knows what it covers, and \
                     everything is closed until it is mended: {problem}; kubectl edit \
                     revocations.lockmaster.dev {name}"
                ),
            );
        }
        if case.release.is_none() {
            return Finding::hold(
                Reason::ReleaseNotFound,
                "it is judged once the Release is there",
            );
        }
        let mut images = case.images();
        let revoked =
            images.find_map(|image| Some((image, of_artifact(case.facts, image.digest())?)));
        if let Some((image, (part, revoked))) = revoked {
            let mut what = format!("{}@{}", image.repository(), part.short());
            if part != image.digest() {
                what = format!("{what}, an image of the index {},", image.digest().short());
            }
            return refused(&what, revoked, "promote another version");
        }
        let without_record = match case.promotion.request.action {
            Action::Promote => None,
            Action::Rollback => no_record_left(case),
        };
        without_record
            .or_else(|| not_seen_through(case))
            .unwrap_or_else(|| Finding::pass(Reason::NotRevoked, "no Revocation names it"))
    }
}

/// While a digest is revoked: what an image that is looked up is made of must be known, since it may
/// be an index around that digest. After a restart, or while the registry fails, nobody knows.
fn not_seen_through(case: &Case<'_>) -> Option<Finding> {
    if !names_digests(&case.facts.revocations) {
        return None;
    }
    let looked_up = case.images().filter_map(|image| {
        let observed = case.facts.evidence.get(image)?;
        Some((image, observed))
    });
    let unseen = looked_up.filter_map(|(image, observed)| match known(image, observed) {
        Err(finding) => Some(finding),
        Ok(evidence) => match &evidence.form {
            Form::Image { .. } | Form::Index { .. } => None,
            Form::Unfit { problem } => Some(unfit(image, problem)),
        },
    });
    let unseen = unseen.map(|mut finding| {
        let text = "; until then nobody knows whether an image that is revoked is in it";
        finding.message.push_str(text);
        finding
    });
    Finding::worst(unseen.collect())
}

/// A rollback goes to what succeeded here, and no record may say so any more.
fn no_record_left(case: &Case<'_>) -> Option<Finding> {
    let set = case.release?.artifact_set().ok()?;
    let good = case.facts.records.iter();
    let good = good.filter(|record| record.succeeded_with(&set));
    let revoked: Option<Vec<(&Record, Revoked<'_>)>> = good
        .map(|record| {
            let (namespace, name) = (&case.environment.namespace, record.object_name());
            let revoked = of_record(&case.facts.revocations, namespace, &name)?;
            Some((record, revoked))
        })
        .collect();
    // Without any record it is the release gate that speaks.
    let (record, revoked) = *revoked?.last()?;
    let what = format!("record {} of its success here", record.object_name());
    Some(refused(&what, revoked, "go back to another version"))
}

fn refused(what: &str, revoked: Revoked<'_>, next: &str) -> Finding {
    Finding::deny(
        Reason::Revoked,
        format!(
            "{what} is revoked by {revoked}; {next}; what else it covers: kubectl get \
             revocations.lockmaster.dev {} -o yaml",
            revoked.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Child, Evidence};
    use crate::facts::{Cause, Observed, Unavailable};
    use crate::fixtures::revoked::{revocation, revoke_digest};
    use crate::fixtures::{ask, check, evidence, image, ready, record, roll_back};
    use crate::gate::Verdict::{Deny, Hold, Pass, Unknown};
    use crate::record::Outcome;
    use crate::release::Digest;
    use crate::revocation::RevokedRecord;
    use crate::snapshot::Snapshot;

    /// Anybody may write a new index around it.
    #[test]
    fn a_revoked_image_goes_out_in_no_index() {
        let mut snapshot = ready();
        let child = Digest::of(b"built on a compromised runner");
        evidence(&mut snapshot).form = Form::Index {
            children: vec![Child {
                platform: "linux/amd64".into(),
                digest: child.clone(),
            }],
        };
        assert_eq!(ask(&Revocation, &snapshot).verdict, Pass);
        let fact = revocation("bad", |content| content.digests = vec![child.clone()]);
        snapshot.facts.revocations.push(fact);
        let report = ask(&Revocation, &snapshot);
        assert_eq!(report.reason, Reason::Revoked);
        let text = format!("{}, an image of the index", child.short());
        assert!(report.message.contains(&text), "{}", report.message);
        roll_back(&mut snapshot);
        assert_eq!(ask(&Revocation, &snapshot).verdict, Deny);
    }

    /// Another image is revoked, and of what is promoted nobody knows what is in it.
    fn unseen(snapshot: &mut Snapshot, seen: Observed<Evidence>) {
        revoke_digest(snapshot, "1.41.3");
        snapshot.facts.evidence.insert(image("1.42.0"), seen);
    }

    fn failing(snapshot: &mut Snapshot, cause: Cause) {
        let message = "GET https://registry.example: 503".into();
        unseen(
            snapshot,
            Observed::Unavailable(Unavailable { cause, message }),
        );
    }

    /// Where no policy asks a registry for anything, nobody is asked for this either, and where no
    /// image is revoked, nobody needs to know.
    #[test]
    fn what_an_image_is_made_of_is_asked_only_where_a_revocation_may_name_it() {
        let mut snapshot = ready();
        failing(&mut snapshot, Cause::Unreachable);
        assert_eq!(ask(&Revocation, &snapshot).verdict, Unknown);
        snapshot.facts.evidence.clear();
        assert_eq!(ask(&Revocation, &snapshot).verdict, Pass);
        failing(&mut snapshot, Cause::Unreachable);
        snapshot.facts.revocations.clear();
        revoke_record(&mut snapshot, "checkout-prod-000002");
        assert_eq!(ask(&Revocation, &snapshot).verdict, Pass);
    }

    fn revoke_record(snapshot: &mut Snapshot, name: &str) {
        let record = RevokedRecord {
            namespace: "shop".into(),
            name: name.into(),
        };
        let fact = revocation(name, |content| content.records = vec![record]);
        snapshot.facts.revocations.push(fact);
    }

    #[test]
    fn every_reason() {
        check(
            &Revocation,
            &[
                (|_| {}, Pass, Reason::NotRevoked, "no Revocation names it"),
                (
                    |s| revoke_digest(s, "1.42.0"),
                    Deny,
                    Reason::Revoked,
                    "is revoked by Revocation bad-build (built on a compromised runner)",
                ),
                (
                    |s| revoke_digest(s, "1.41.3"),
                    Pass,
                    Reason::NotRevoked,
                    "no Revocation",
                ),
                (
                    |s| {
                        let mut fact = revocation("typo", |_| {});
                        fact.content = Err("unknown field `digest`".into());
                        s.facts.revocations.push(fact);
                    },
                    Deny,
                    Reason::RevocationInvalid,
                    "Revocation typo cannot be read, so nobody knows what it covers",
                ),
                (
                    |s| s.facts.releases.clear(),
                    Hold,
                    Reason::ReleaseNotFound,
                    "once the Release is there",
                ),
                (
                    |s| unseen(s, Observed::Pending),
                    Unknown,
                    Reason::EvidencePending,
                    "nobody knows whether an image that is revoked is in it",
                ),
                (
                    |s| failing(s, Cause::Unreachable),
                    Unknown,
                    Reason::RegistryUnavailable,
                    "nobody knows whether an image that is revoked is in it",
                ),
                (
                    |s| failing(s, Cause::Truncated),
                    Unknown,
                    Reason::EvidenceTruncated,
                    "nobody knows whether an image that is revoked is in it",
                ),
                (
                    |s| failing(s, Cause::Missing),
                    Hold,
                    Reason::ArtifactMissing,
                    "nobody knows whether an image that is revoked is in it",
                ),
                (
                    |s| {
                        revoke_digest(s, "1.41.3");
                        let problem = "it lists another index".into();
                        evidence(s).form = Form::Unfit { problem };
                    },
                    Deny,
                    Reason::IndexInvalid,
                    "nobody knows whether an image that is revoked is in it",
                ),
            ],
        );
    }

    #[test]
    fn a_rollback_is_asked_too() {
        let mut snapshot = ready();
        roll_back(&mut snapshot);
        assert_eq!(ask(&Revocation, &snapshot).verdict, Pass);
        revoke_digest(&mut snapshot, "1.42.0");
        assert_eq!(ask(&Revocation, &snapshot).reason, Reason::Revoked);
    }

    #[test]
    fn a_rollback_needs_a_record_of_success_that_is_not_revoked() {
        let mut snapshot = ready();
        roll_back(&mut snapshot);
        revoke_record(&mut snapshot, "checkout-prod-000003");
        let report = ask(&Revocation, &snapshot);
        assert_eq!(report.verdict, Pass, "that of another version");
        revoke_record(&mut snapshot, "checkout-prod-000002");
        let report = ask(&Revocation, &snapshot);
        assert_eq!((report.verdict, report.reason), (Deny, Reason::Revoked));
        let text = "record checkout-prod-000002 of its success here is revoked";
        assert!(report.message.contains(text), "{}", report.message);
        let again = record(&snapshot, 4, "1.42.0", Outcome::Succeeded);
        snapshot.facts.records.push(again);
        assert_eq!(
            ask(&Revocation, &snapshot).verdict,
            Pass,
            "it succeeded again"
        );
        snapshot.promotions[0].request.action = Action::Promote;
        assert_eq!(ask(&Revocation, &snapshot).verdict, Pass, "no rollback");
    }
}
