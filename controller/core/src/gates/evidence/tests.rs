//! What was not read yet is asked for, and is neither absence nor a verdict.

use std::collections::BTreeSet;

use crate::case::Case;
use crate::decide::decide;
use crate::evidence::Content;
use crate::facts::{Cause, Observed, Unavailable};
use crate::fixtures::policies::without_statements;
use crate::fixtures::{ask, bundles, evidence, image, ready, roll_back};
use crate::gate::Verdict::{Deny, Hold, Pass, Unknown};
use crate::gate::{Gate, Want};
use crate::gates::attestations::Attestations;
use crate::gates::sbom::Sbom;
use crate::gates::signature::Signature;
use crate::gates::vulnerabilities::Vulnerabilities;
use crate::gates::wants;
use crate::reason::Reason;
use crate::snapshot::Snapshot;

mod indexes;
mod levels;

fn wanted(snapshot: &Snapshot) -> BTreeSet<Want> {
    wants(&Case::new(&snapshot.promotions[0], &snapshot.input()))
}

fn down() -> Unavailable {
    Unavailable {
        cause: Cause::Unreachable,
        message: "the registry answered 503".into(),
    }
}

#[test]
fn what_suffices_needs_no_tags() {
    let mut snapshot = ready();
    without_statements(&mut snapshot);
    evidence(&mut snapshot).tags = Observed::Pending;
    assert_eq!(ask(&Signature, &snapshot).verdict, Pass);
    assert!(wanted(&snapshot).is_empty());
}

/// A clean scan among the referrers beside one under a tag that is not, a check that failed since.
#[test]
fn what_may_speak_against_it_is_read_before_it_passes() {
    let gates: [&dyn Gate; 2] = [&Vulnerabilities, &Attestations];
    for gate in gates {
        let mut snapshot = ready();
        assert_eq!(ask(gate, &snapshot).verdict, Pass);
        evidence(&mut snapshot).tags = Observed::Pending;
        assert_eq!(ask(gate, &snapshot).reason, Reason::EvidencePending);
        assert_eq!(wanted(&snapshot), [Want::Tags(image("1.42.0"))].into());
        evidence(&mut snapshot).tags = Observed::Unavailable(down());
        assert_eq!(ask(gate, &snapshot).reason, Reason::RegistryUnavailable);
    }
}

#[test]
fn what_is_missing_is_looked_for_under_tags_before_anybody_is_told() {
    let mut snapshot = ready();
    bundles(&mut snapshot).truncate(2);
    evidence(&mut snapshot).tags = Observed::Pending;
    let report = ask(&Sbom, &snapshot);
    let found = (report.verdict, report.reason);
    assert_eq!(found, (Unknown, Reason::EvidencePending));
    assert_eq!(wanted(&snapshot), [Want::Tags(image("1.42.0"))].into());
    snapshot.promotions[0].memory.reported = true;
    snapshot.promotions[0].first_seen = snapshot.now;
    let reports = |snapshot: &Snapshot| decide(&snapshot.input()).promotions[0].report;
    assert!(!reports(&snapshot), "it would only be taken back");
    evidence(&mut snapshot).tags = Observed::Known(());
    assert_eq!(ask(&Sbom, &snapshot).verdict, Hold);
    assert!(wanted(&snapshot).is_empty(), "all was read");
    assert!(reports(&snapshot));
}

#[test]
fn a_bad_signature_may_have_a_good_one_beside_it() {
    let mut snapshot = ready();
    bundles(&mut snapshot)[0].verified_by.clear();
    evidence(&mut snapshot).tags = Observed::Pending;
    assert_eq!(ask(&Signature, &snapshot).reason, Reason::EvidencePending);
    evidence(&mut snapshot).tags = Observed::Known(());
    assert_eq!(ask(&Signature, &snapshot).verdict, Deny);
}

#[test]
fn tags_that_cannot_be_read_leave_it_unknown() {
    let mut snapshot = ready();
    bundles(&mut snapshot).retain(|bundle| bundle.content != Content::Signature);
    evidence(&mut snapshot).tags = Observed::Unavailable(down());
    let report = ask(&Signature, &snapshot);
    let found = (report.verdict, report.reason);
    assert_eq!(found, (Unknown, Reason::RegistryUnavailable));
    assert!(report.message.contains("503"), "{}", report.message);
    assert!(wanted(&snapshot).is_empty(), "it is read again with pauses");
    assert_eq!(ask(&Sbom, &snapshot).verdict, Pass, "which is there");
}

#[test]
fn a_rollback_is_told_of_all_there_is_too() {
    let mut snapshot = ready();
    roll_back(&mut snapshot);
    bundles(&mut snapshot).truncate(1);
    evidence(&mut snapshot).tags = Observed::Pending;
    assert_eq!(wanted(&snapshot), [Want::Tags(image("1.42.0"))].into());
}
