//! What other verifiers let through once, each under its public name: what is decided from evidence
//! that verified. The table is `docs/explanation/past-bugs.md`.

use crate::evidence::{Bundle, Content, Provenance as Statement, Verified};
use crate::facts::{Cause, Observed, Unavailable};
use crate::fixtures::{ask, bundles, digest, image, key, ready, record, with_policy};
use crate::gate::{Gate, Verdict};
use crate::gates::provenance::Provenance;
use crate::gates::release::Release;
use crate::gates::sbom::Sbom;
use crate::gates::signature::Signature;
use crate::reason::Reason;
use crate::record::Outcome;
use crate::snapshot::Snapshot;

const GATES: [&dyn Gate; 3] = [&Signature, &Provenance, &Sbom];

/// Whether the bundle is what this gate asks for.
fn is_for(gate: &dyn Gate, bundle: &Bundle) -> bool {
    matches!(
        (gate.name(), &bundle.content),
        ("signature", Content::Signature)
            | ("provenance", Content::Provenance(_))
            | ("sbom", Content::Sbom(_))
    )
}

#[track_caller]
fn closed(gate: &dyn Gate, snapshot: &Snapshot, what: &str) -> Reason {
    let report = ask(gate, snapshot);
    let open = matches!(report.verdict, Verdict::Pass | Verdict::NotRequired);
    assert!(
        !open,
        "{} is open with {what}: {}",
        gate.name(),
        report.message
    );
    report.reason
}

/// What is wrong, and how to make it so.
type Spoiled = (&'static str, fn(&mut Snapshot));

fn each(snapshot: &mut Snapshot, change: impl Fn(&mut Bundle)) {
    for bundle in bundles(snapshot) {
        change(bundle);
    }
}

/// GHSA-vjxv-45g9-9296: `cosign verify-attestation --type X` was content with any attestation that
/// verified.
#[test]
fn cve_2022_35929_another_type_is_no_substitute() {
    for gate in GATES {
        assert_eq!(ask(gate, &ready()).verdict, Verdict::Pass);
        let mut snapshot = ready();
        bundles(&mut snapshot).retain(|bundle| !is_for(gate, bundle));
        assert_eq!(bundles(&mut snapshot).len(), 2, "the others verify");
        closed(gate, &snapshot, "attestations of other types");
    }
}

/// GHSA-739f-hw6h-7wq8: policy-controller passed what had to be attested, and nothing matched.
#[test]
fn cve_2022_35930_required_and_none_matched_is_a_failure() {
    let spoil: [Spoiled; 8] = [
        ("nothing attached", |s| bundles(s).clear()),
        ("nothing that verifies", |s| {
            each(s, |bundle| bundle.verified_by.clear());
        }),
        ("signatures of a stranger", |s| {
            each(s, |bundle| {
                bundle.verified_by = [Verified::by_key(key("eve"))].into()
            });
        }),
        ("no subject", |s| each(s, |bundle| bundle.subjects.clear())),
        ("an authority without keys", |s| {
            s.facts.policies[0].content.as_mut().unwrap().keys.clear();
        }),
        ("an authority that may sign nothing", |s| {
            with_policy(s, |policy| policy.authorities[0].predicate_types.clear());
        }),
        ("no answer yet", |s| {
            s.facts.evidence.insert(image("1.42.0"), Observed::Pending);
        }),
        ("no registry", |s| {
            let (cause, message) = (Cause::Unreachable, "503".to_owned());
            let why = Observed::Unavailable(Unavailable { cause, message });
            s.facts.evidence.insert(image("1.42.0"), why);
        }),
    ];
    for gate in GATES {
        for (what, spoil) in spoil {
            let mut snapshot = ready();
            spoil(&mut snapshot);
            closed(gate, &snapshot, what);
        }
        let mut snapshot = ready();
        with_policy(&mut snapshot, |policy| policy.authorities.clear());
        closed(gate, &snapshot, "no authority at all");
    }
}

/// slsa-verifier did not compare what an attestation was about. Digest, repository, tag and commit
/// of a provenance are those of this artifact and this Release.
#[test]
fn ghsa_r2xv_vpr2_42m9_name_version_and_digest_of_an_attestation_are_bound() {
    for gate in GATES {
        let mut snapshot = ready();
        for bundle in bundles(&mut snapshot) {
            bundle.subjects = vec![digest("1.41.3")];
        }
        closed(gate, &snapshot, "another digest");
    }
    let changes: [fn(&mut Statement); 5] = [
        |said| said.repository = "https://git.example/shop/basket".into(),
        |said| said.reference = "refs/tags/v1.42.1".into(),
        |said| said.reference = "refs/heads/v1.42.0".into(),
        |said| said.commit = "0".repeat(40),
        |said| said.builder = "https://ci.example/runners/elsewhere".into(),
    ];
    for change in changes {
        let mut snapshot = ready();
        let mut said = String::new();
        for bundle in bundles(&mut snapshot) {
            if let Content::Provenance(provenance) = &mut bundle.content {
                change(provenance);
                said = format!("{provenance:?}");
            }
        }
        closed(&Provenance, &snapshot, &said);
    }
}

/// GHSA-xhg5-42rf-296r: a registry made notation verify another artifact than the one that was
/// deployed. A signature counts for the digest that it is over, however well it verifies.
#[test]
fn cve_2023_33959_a_signature_over_another_digest_is_none() {
    let mut snapshot = ready();
    for bundle in bundles(&mut snapshot) {
        bundle.subjects = vec![digest("1.41.3"), digest("1.40.0")];
    }
    assert_eq!(
        closed(&Signature, &snapshot, "other digests"),
        Reason::SignatureInvalid
    );
}

/// GHSA-57wx-m636-g3g8: what was signed once stays signed for ever. An older Release does not come
/// back by a promotion.
#[test]
fn cve_2024_23332_an_older_release_stays_behind_however_well_it_is_signed() {
    let mut snapshot = ready();
    let newer = record(&snapshot, 2, "1.43.0", Outcome::Succeeded);
    snapshot.facts.records.push(newer);
    assert_eq!(ask(&Signature, &snapshot).verdict, Verdict::Pass);
    closed(&Release, &snapshot, "a newer one before it");
}
