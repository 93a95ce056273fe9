//! What may also say no, on an index and on its images: a no stands on whichever level it is.

use std::slice::from_ref;

use super::indexes::{PLATFORMS, about, arm, child, index, says};
use super::{down, wanted};
use crate::evidence::{Bundle, Conclusion, Content, Severity, Verified};
use crate::facts::{Cause, Observed, Unavailable};
use crate::fixtures::statements::{checks, finding, scan};
use crate::fixtures::{ask, evidence, key, ready, with_policy};
use crate::gate::Gate;
use crate::gate::Verdict::{Deny, Hold, Pass, Unknown};
use crate::gate::Want;
use crate::gates::attestations::Attestations;
use crate::gates::vulnerabilities::Vulnerabilities;
use crate::policy::IndexEvidence;
use crate::reason::Reason;
use crate::snapshot::Snapshot;

fn failed() -> Bundle {
    let mut bundle = checks("1.42.0");
    if let Content::Checks(checks) = &mut bundle.content {
        checks.checks[0].conclusion = Conclusion::Failure;
    }
    bundle
}

fn critical() -> Bundle {
    let mut bundle = scan("1.42.0");
    if let Content::Scan(scan) = &mut bundle.content {
        scan.counts.insert(Severity::Critical, 1);
        scan.findings
            .push(finding(Severity::Critical, "CVE-2026-7"));
    }
    bundle
}

/// An index with these bundles on it and on each of its images, under the policy that asks for scans
/// and checks.
fn asked(on_index: &[Bundle], on_each: &[Bundle], accepts: IndexEvidence) -> Snapshot {
    let mut snapshot = index(on_index, on_each);
    snapshot.facts.policies = ready().facts.policies;
    with_policy(&mut snapshot, |policy| {
        policy.evidence.index_evidence = accepts
    });
    snapshot
}

fn accepted(on_index: &[Bundle], on_each: &[Bundle]) -> Snapshot {
    asked(on_index, on_each, IndexEvidence::Accept)
}

/// Each gate with what it passes by, what says no, and the reason of that.
fn both() -> [(&'static dyn Gate, Bundle, Bundle, Reason); 2] {
    let blocked = Reason::VulnerabilityBlocked;
    [
        (
            &Attestations,
            checks("1.42.0"),
            failed(),
            Reason::AttestationFailed,
        ),
        (&Vulnerabilities, scan("1.42.0"), critical(), blocked),
    ]
}

#[test]
fn a_no_on_the_index_stands_against_a_yes_on_each_image_and_the_other_way_round() {
    for (gate, yes, no, reason) in both() {
        let (yes, no) = ([yes], [no]);
        let valid = Reason::EvidenceValid;
        says(gate, &accepted(&yes, &[]), Pass, valid, &[]);
        says(gate, &accepted(&[], &yes), Pass, valid, &[]);
        says(gate, &accepted(&yes, &yes), Pass, valid, &[]);
        let words = ["about the index itself"];
        says(gate, &accepted(&no, &yes), Deny, reason, &words);
        let words = ["linux/amd64, linux/arm64: "];
        says(gate, &accepted(&yes, &no), Deny, reason, &words);
        let mut one_of_two = accepted(&yes, &yes);
        arm(&mut one_of_two, about(PLATFORMS[1], &no));
        says(gate, &one_of_two, Deny, reason, &["linux/arm64: "]);
        let message = ask(gate, &one_of_two).message;
        assert!(!message.contains(PLATFORMS[0]), "{message}");
    }
}

#[test]
fn what_an_index_is_not_asked_for_it_may_say_no_to() {
    let refused = |on_index: &[Bundle]| asked(on_index, &[scan("1.42.0")], IndexEvidence::Refuse);
    let gate = &Vulnerabilities;
    says(gate, &refused(&[]), Pass, Reason::EvidenceValid, &[]);
    says(
        gate,
        &refused(&[critical()]),
        Deny,
        Reason::VulnerabilityBlocked,
        &[],
    );
    let mut unread = refused(&[]);
    evidence(&mut unread).tags = Observed::Pending;
    says(gate, &unread, Unknown, Reason::EvidencePending, &[]);
}

#[test]
fn what_cannot_be_read_on_the_other_level_may_be_a_no() {
    for (gate, yes, mut no, _) in both() {
        let predicate = no.content.predicate_type().map(str::to_owned);
        let problem = "cut off".to_owned();
        no.content = Content::Unreadable { predicate, problem };
        let (yes, no) = ([yes], [no]);
        for snapshot in [accepted(&no, &yes), accepted(&yes, &no)] {
            let reason = Reason::AttestationInvalid;
            says(gate, &snapshot, Deny, reason, &["cut off"]);
        }
    }
}

/// A stranger's statement on the index would otherwise speak in the place of the no beside it.
#[test]
fn what_a_stranger_attaches_neither_objects_nor_hides_who_does() {
    for (gate, yes, no, reason) in both() {
        let mut stranger = no.clone();
        stranger.verified_by = [Verified::by_key(key("eve"))].into();
        stranger.key_hint = Some(key("eve"));
        let beside = [stranger.clone()];
        let valid = Reason::EvidenceValid;
        says(gate, &accepted(&beside, from_ref(&yes)), Pass, valid, &[]);
        says(gate, &accepted(from_ref(&yes), &beside), Pass, valid, &[]);
        let hidden = accepted(&[stranger, no], &[yes]);
        says(gate, &hidden, Deny, reason, &[]);
    }
    // Nor does an entry that is not met by anybody's.
    let mut snapshot = accepted(&[failed()], &[]);
    with_policy(&mut snapshot, |policy| {
        let entry = policy.evidence.attestations[0].clone();
        let mut other = entry.clone();
        other.name = "others".into();
        other.authorities = vec!["scanner".into()];
        policy.evidence.attestations = vec![other, entry];
    });
    let failed = Reason::AttestationFailed;
    says(
        &Attestations,
        &snapshot,
        Deny,
        failed,
        &["ended with failure"],
    );
}

#[test]
fn both_levels_are_read_before_either_passes() {
    for (gate, yes, _, _) in both() {
        let yes = [yes];
        let mut snapshot = accepted(&yes, &[]);
        for platform in PLATFORMS {
            snapshot.facts.evidence.remove(&child(platform));
        }
        says(gate, &snapshot, Unknown, Reason::EvidencePending, &[]);
        let own = evidence(&mut snapshot).subject.clone();
        let look = Want::Children(child(PLATFORMS[0]).with_digest(own));
        assert!(wanted(&snapshot).contains(&look));
        let mut tags = accepted(&yes, &yes);
        evidence(&mut tags).tags = Observed::Pending;
        says(gate, &tags, Unknown, Reason::EvidencePending, &[]);
        let mut broken = accepted(&yes, &yes);
        arm(&mut broken, Observed::Unavailable(down()));
        says(
            gate,
            &broken,
            Unknown,
            Reason::RegistryUnavailable,
            &["linux/arm64"],
        );
        let gone = Unavailable {
            cause: Cause::Missing,
            message: "the registry does not have it".into(),
        };
        arm(&mut broken, Observed::Unavailable(gone));
        says(
            gate,
            &broken,
            Hold,
            Reason::ArtifactMissing,
            &["linux/arm64"],
        );
    }
}
