//! What provenance must say, spoiled in one place each.

use super::*;
use crate::evidence::Verified;
use crate::evidence::{Bundle, TAGGED_RELEASE};
use crate::facts::Observed;
use crate::fixtures::statements::tagged;
use crate::fixtures::unseen::check_judging;
use crate::fixtures::{
    REPOSITORY, ask, authority, bundles, key, provenance, ready, roll_back, with_policy,
};
use crate::gate::GateReport;
use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass};
use crate::policy::{ReleaseRule, UnpinnedWorkflows};
use crate::release;
use crate::snapshot::Snapshot;

fn said(snapshot: &mut Snapshot, change: impl FnOnce(&mut Statement)) {
    match &mut bundles(snapshot)[1].content {
        Content::Provenance(statement) => change(statement),
        other => panic!("{other:?}"),
    }
}

fn released(snapshot: &mut Snapshot, change: impl FnOnce(&mut release::Release)) {
    match snapshot.facts.releases.get_mut("checkout-1.42.0") {
        Some(Observed::Known(release)) => change(release),
        other => panic!("{other:?}"),
    }
}

fn release_tagged(snapshot: &mut Snapshot, tag: &str) {
    released(snapshot, |release| {
        release.source.as_mut().unwrap().tag = Some(tag.into());
    });
}

#[test]
fn every_reason() {
    check_judging(
        &Provenance,
        &[
            (|_| {}, Pass, Reason::EvidenceValid, "refs/tags/v1.42.0"),
            (
                |s| with_policy(s, |policy| policy.evidence.provenance.clear()),
                NotRequired,
                Reason::NotRequired,
                "no matching policy",
            ),
            (
                |s| bundles(s).truncate(1),
                Hold,
                Reason::ProvenanceMissing,
                "none is attached",
            ),
            (
                |s| said(s, |p| p.commit = "ba5eba11".repeat(5)),
                Deny,
                Reason::ProvenanceMismatch,
                "names commit ba5eba11",
            ),
            (
                |s| said(s, |p| p.reference = "refs/heads/main".into()),
                Deny,
                Reason::ProvenanceMismatch,
                "names tag refs/heads/main, the Release refs/tags/v1.42.0",
            ),
            (
                |s| {
                    branch_built(s);
                    bundles(s).truncate(3);
                },
                Hold,
                Reason::AttestationMissing,
                "needs a statement https://lockmaster.dev/release/v1 by ci that tag v1.42.0 is",
            ),
            (
                |s| said(s, |p| p.build_type = "https://example/other".into()),
                Deny,
                Reason::ProvenanceMismatch,
                "build type https://example/other",
            ),
            (
                |s| released(s, |release| release.source = None),
                Deny,
                Reason::ProvenanceMismatch,
                "has no spec.source",
            ),
            (
                |s| release_tagged(s, "v1.41.3"),
                Deny,
                Reason::ProvenanceMismatch,
                "names tag v1.41.3, and its version belongs to tag v1.42.0",
            ),
            (
                |s| release_tagged(s, "v1.42.0"),
                Pass,
                Reason::EvidenceValid,
                "refs/tags/v1.42.0",
            ),
            (
                |s| {
                    said(s, |p| {
                        p.repository = "https://git.example/eve/checkout".into()
                    })
                },
                Deny,
                Reason::SourceNotAllowed,
                "https://git.example/eve/checkout",
            ),
            (
                |s| said(s, |p| p.builder = "https://laptop.example/bob".into()),
                Deny,
                Reason::BuilderNotTrusted,
                "authority ci of policy production does not speak for",
            ),
            (
                |s| {
                    bundles(s)[1].verified_by.clear();
                    bundles(s)[1].key_hint = Some(key("eve"));
                },
                Deny,
                Reason::SignerNotTrusted,
                "somebody else signed it",
            ),
            (
                |s| bundles(s)[1].verified_by.clear(),
                Deny,
                Reason::SignatureInvalid,
                "does not verify",
            ),
            (
                |s| bundles(s)[1] = provenance("1.41.3"),
                Deny,
                Reason::SignatureInvalid,
                "not about this digest",
            ),
        ],
    );
}

fn reason(spoil: impl FnOnce(&mut Snapshot)) -> Reason {
    let mut snapshot = ready();
    spoil(&mut snapshot);
    ask(&Provenance, &snapshot).reason
}

#[test]
fn an_unreadable_predicate_is_no_proof_and_another_type_is_not_asked() {
    let unreadable = |predicate: Option<&str>| {
        let predicate = predicate.map(str::to_owned);
        move |s: &mut Snapshot| {
            let problem = "no builder".into();
            bundles(s)[1].content = Content::Unreadable { predicate, problem };
        }
    };
    let mismatch = reason(unreadable(Some(SLSA_PROVENANCE_V1)));
    assert_eq!(mismatch, Reason::ProvenanceMismatch);
    assert_eq!(reason(unreadable(None)), Reason::ProvenanceMissing);
    assert_eq!(
        reason(unreadable(Some("https://x"))),
        Reason::ProvenanceMissing
    );
}

#[test]
fn a_builder_is_bound_to_the_authority_that_signed() {
    let bound = |s: &mut Snapshot| {
        with_policy(s, |policy| {
            policy.authorities.push(authority("other"));
            policy.evidence.provenance.push(ProvenanceRule {
                authority: "other".into(),
                builders: vec!["https://other.example".into()],
                build_types: policy.evidence.provenance[0].build_types.clone(),
                parameters: vec![],
                branches: vec![],
                unpinned_workflows: None,
            });
        });
        said(s, |p| p.builder = "https://other.example".into());
    };
    assert_eq!(reason(bound), Reason::BuilderNotTrusted, "signed by ci");
    let by_its_own = reason(|s| {
        bound(s);
        bundles(s)[1].verified_by = [Verified::by_key(key("other"))].into();
    });
    assert_eq!(by_its_own, Reason::EvidenceValid);
}

#[test]
fn one_good_statement_is_enough_and_the_nearest_refusal_speaks() {
    let second = |s: &mut Snapshot| {
        let mut stranger = provenance("1.42.0");
        stranger.verified_by.clear();
        bundles(s).insert(0, stranger);
    };
    assert_eq!(reason(second), Reason::EvidenceValid);
    let nearest = reason(|s| {
        said(s, |p| p.commit = "0".repeat(40));
        second(s);
    });
    assert_eq!(nearest, Reason::ProvenanceMismatch);
}

#[test]
fn a_rollback_needs_provenance_too() {
    let rollback = reason(|s| {
        roll_back(s);
        bundles(s).truncate(1);
    });
    assert_eq!(rollback, Reason::ProvenanceMissing);
}

/// Built on the main branch; the release job may name the tag, and has.
fn branch_built(snapshot: &mut Snapshot) {
    with_policy(snapshot, |policy| {
        let authorities = vec!["ci".into()];
        policy.evidence.release = Some(ReleaseRule { authorities });
    });
    said(snapshot, |p| {
        p.reference = "refs/heads/main".into();
        p.workflow = Some(format!("{REPOSITORY}/.ci/build.yml@refs/heads/main"));
    });
    bundles(snapshot).push(tagged("1.42.0"));
}

fn report(spoil: impl FnOnce(&mut Snapshot)) -> GateReport {
    let mut snapshot = ready();
    spoil(&mut snapshot);
    ask(&Provenance, &snapshot)
}

#[track_caller]
fn mismatch(text: &str, spoil: impl FnOnce(&mut Snapshot)) {
    let report = report(spoil);
    assert_eq!(
        report.reason,
        Reason::ProvenanceMismatch,
        "{}",
        report.message
    );
    assert!(report.message.contains(text), "{}", report.message);
}

fn rule(snapshot: &mut Snapshot, change: impl FnOnce(&mut ProvenanceRule)) {
    with_policy(snapshot, |policy| {
        change(&mut policy.evidence.provenance[0])
    });
}

#[test]
fn a_branch_counts_where_a_release_statement_names_the_tag() {
    let found = report(branch_built);
    assert_eq!(found.verdict, Pass, "{}", found.message);
    assert!(
        found
            .message
            .ends_with("refs/heads/main, tagged by production/ci")
    );
    assert_eq!(found.evidence.len(), 2);
    let spoiled = |change: fn(&mut Bundle)| {
        move |s: &mut Snapshot| {
            branch_built(s);
            change(bundles(s).last_mut().unwrap());
        }
    };
    mismatch(
        "not about this digest",
        spoiled(|bundle| *bundle = tagged("1.41.3")),
    );
    mismatch(
        "names version 1.41.3",
        spoiled(|bundle| {
            bundle.content = tagged("1.41.3").content;
        }),
    );
    mismatch(
        "ci must sign it",
        spoiled(|bundle| {
            bundle.verified_by = [Verified::by_key(key("scanner"))].into();
        }),
    );
    mismatch(
        "cannot be read: cut off",
        spoiled(|bundle| {
            bundle.content = Content::Unreadable {
                predicate: Some(TAGGED_RELEASE.into()),
                problem: "cut off".into(),
            };
        }),
    );
    // A statement does not replace the commit, and nobody may sign it who is not asked.
    mismatch("names commit 00000000", |s| {
        branch_built(s);
        said(s, |p| p.commit = "0".repeat(40));
    });
    mismatch("names tag refs/heads/main", |s| {
        branch_built(s);
        with_policy(s, |policy| policy.evidence.release = None);
    });
}

/// M145: which branches may be built, where the tag comes later.
#[test]
fn only_listed_branches_are_built() {
    let on = |reference: &'static str| {
        report(move |s| {
            branch_built(s);
            rule(s, |rule| {
                rule.branches = vec!["main".into(), "release/*".into()]
            });
            said(s, |p| {
                p.reference = reference.into();
                p.workflow = None;
            });
        })
    };
    for good in [
        "refs/heads/main",
        "refs/heads/release/1.42",
        "refs/tags/v1.42.0",
    ] {
        assert_eq!(on(good).verdict, Pass, "{good}: {}", on(good).message);
    }
    for bad in [
        "refs/heads/feature",
        "main",
        "refs/tags/main",
        "refs/heads/release/1/2",
    ] {
        let found = on(bad);
        assert_eq!(found.reason, Reason::ProvenanceMismatch, "{bad}");
        assert!(
            found.message.contains("lists the branches main, release/*"),
            "{}",
            found.message
        );
    }
}

/// M05: nothing is built for an environment.
#[test]
fn parameters_are_listed_and_never_name_an_environment() {
    let given = |name: &'static str, value: &'static str| {
        move |s: &mut Snapshot| {
            rule(s, |rule| {
                rule.parameters = vec!["inputs.debug".into(), "inputs.for".into()]
            });
            said(s, |p| drop(p.parameters.insert(name.into(), value.into())));
        }
    };
    assert_eq!(report(given("inputs.debug", "true")).verdict, Pass);
    mismatch(
        "the parameter inputs.color, which",
        given("inputs.color", "red"),
    );
    mismatch(
        "inputs.for = production, so for one environment",
        given("inputs.for", "production"),
    );
    mismatch("inputs.for = prod, so", given("inputs.for", "prod"));
    mismatch(
        "inputs.environment = x, so",
        given("inputs.environment", "x"),
    );
    mismatch("started by pull_request_target", |s| {
        said(s, |p| p.trigger = Some("pull_request_target".into()));
    });
}

/// M128: templates are pinned.
#[test]
fn builders_and_workflows_are_pinned_unless_the_policy_takes_branches() {
    let template = "https://git.example/platform/templates/build.yml@refs/heads/main";
    let by_template = |s: &mut Snapshot| {
        rule(s, |rule| rule.builders.push(template.into()));
        said(s, |p| p.builder = template.into());
    };
    mismatch("what a branch holds can change", by_template);
    let accepted = report(|s| {
        by_template(s);
        rule(s, |rule| {
            rule.unpinned_workflows = Some(UnpinnedWorkflows::Accept)
        });
    });
    assert_eq!(accepted.verdict, Pass, "{}", accepted.message);
    mismatch("what a branch holds can change", |s| {
        said(s, |p| p.workflow = Some(template.into()));
    });
}

#[test]
fn version_0_2_is_signed_as_such() {
    let old = |may: bool| {
        report(move |s| {
            said(s, |p| p.predicate_type = SLSA_PROVENANCE_V0_2.into());
            if may {
                with_policy(s, |policy| {
                    let kinds = &mut policy.authorities[0].predicate_types;
                    kinds.push(SLSA_PROVENANCE_V0_2.into());
                });
            }
        })
    };
    assert_eq!(old(true).verdict, Pass);
    assert_eq!(old(false).reason, Reason::SignerNotTrusted);
}
