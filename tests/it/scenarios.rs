//! The examples as Rust: each spoils one thing of a promotion that may go ahead.

use std::collections::BTreeSet;

use lockmaster_core::approval::Vote;
use lockmaster_core::decide::decide;
use lockmaster_core::decision::Mutation;
use lockmaster_core::evidence::{
    Conclusion, Content, FailedListing, Listed, Scan, Severity, Signer,
};
use lockmaster_core::facts::{Cause, Observed, Unavailable};
use lockmaster_core::gates;
use lockmaster_core::policy::ReleaseRule;
use lockmaster_core::promotion::attempt_key;
use lockmaster_core::record::Outcome;
use lockmaster_core::release::Digest;
use lockmaster_core::snapshot::Snapshot;
use lockmaster_rego::Sandbox;

use crate::fixtures::keyless::{by_identity, keyless};
use crate::fixtures::revoked::revoke_digest;
use crate::fixtures::ruled::ruled;
use crate::fixtures::{
    annotate, approve, at, bundles, digest, evidence, image, key, latched, provenance, publish,
    ready, record, signature, statements, the_workload, with_policy,
};

/// One folder of `examples/`.
pub(crate) struct Scenario {
    /// Name of the folder.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) purpose: &'static str,
    /// Exit code of `explain`.
    pub(crate) exit_code: u8,
    /// The facts.
    pub(crate) snapshot: Snapshot,
}

fn scenario(
    name: &'static str,
    exit_code: u8,
    purpose: &'static str,
    spoil: impl FnOnce(&mut Snapshot),
) -> Scenario {
    let mut snapshot = ready();
    spoil(&mut snapshot);
    Scenario {
        name,
        purpose,
        exit_code,
        snapshot,
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = vec![scenario(
        "ready-to-go",
        3,
        "Every gate passes; it is about to begin.",
        |_| {},
    )];
    all.extend(attached());
    all.extend(signed_keyless());
    all.extend(statements());
    all.extend(rules());
    all.extend(order());
    all.extend(people());
    all.extend(target());
    all
}

fn attached() -> Vec<Scenario> {
    vec![
        scenario("unsigned", 2, "Nobody signed the image.", |snapshot| {
            bundles(snapshot).retain(|bundle| bundle.content != Content::Signature);
            bundles(snapshot).clear();
        }),
        scenario(
            "signed-by-another-key",
            7,
            "The image is signed, but by a key that no authority of the policy has.",
            |snapshot| {
                for bundle in bundles(snapshot).iter_mut().take(1) {
                    bundle.key_hint = Some(key("somebody else"));
                    bundle.verified_by.clear();
                }
            },
        ),
        scenario(
            "copied-signature",
            7,
            "The signature of another release was attached to this digest.",
            |snapshot| bundles(snapshot)[0] = signature("1.41.3"),
        ),
        scenario(
            "wrong-commit",
            7,
            "The provenance names another commit than the Release.",
            |snapshot| {
                if let Content::Provenance(statement) = &mut bundles(snapshot)[1].content {
                    statement.commit = "ba5eba11".repeat(5);
                }
            },
        ),
        scenario(
            "untrusted-builder",
            7,
            "Built on somebody's laptop, and attested with the right key.",
            |snapshot| {
                if let Content::Provenance(statement) = &mut bundles(snapshot)[1].content {
                    statement.builder = "https://laptop.example/bob".into();
                }
            },
        ),
        scenario(
            "no-sbom",
            2,
            "No bill of materials is attached.",
            |snapshot| {
                bundles(snapshot).truncate(2);
            },
        ),
        registry_down(),
        list_outdated(),
    ]
}

fn signed_keyless() -> Vec<Scenario> {
    vec![
        scenario(
            "signed-keyless",
            3,
            "Signed without a key, by the release workflow of the repository that the image is from.",
            sign_keyless,
        ),
        scenario(
            "signed-by-another-workflow",
            7,
            "Signed without a key, by a workflow of the same repository that the policy does not name.",
            |snapshot| {
                sign_keyless(snapshot);
                let signature = &mut bundles(snapshot)[0];
                let mut others = by_identity();
                if let Signer::Identity(identity) = &mut others.signer {
                    identity.subject = identity.subject.replace("release.yml", "nightly.yml");
                }
                signature.verified_by = [others].into();
            },
        ),
    ]
}

/// The CI signs keyless, and what was approved is the plan under the policy that says so.
fn sign_keyless(snapshot: &mut Snapshot) {
    keyless(snapshot);
    snapshot.promotions[0].memory.approvals.clear();
    approve(snapshot, "release-manager", "alice@corp");
}

fn registry_down() -> Scenario {
    scenario(
        "registry-down",
        2,
        "The registry does not answer.",
        |snapshot| {
            let why = Unavailable {
                cause: Cause::Unreachable,
                message: "GET https://registry.example/v2/shop/checkout: connection refused".into(),
            };
            let evidence = &mut snapshot.facts.evidence;
            evidence.insert(image("1.42.0"), Observed::Unavailable(why));
        },
    )
}

fn list_outdated() -> Scenario {
    scenario(
        "registry-down-at-the-start",
        2,
        "Everything passes, by a list of half an hour ago; the registry does not say what was attached since.",
        |snapshot| {
            let failed = FailedListing {
                at: at("2026-11-24T09:59:40Z"),
                why: Unavailable {
                    cause: Cause::Unreachable,
                    message: "the referrers of the image: the registry answered 503".into(),
                },
            };
            let listed = &mut evidence(snapshot).listed;
            *listed = Listed::at(at("2026-11-24T09:30:00Z"));
            listed.failed = Some(failed);
        },
    )
}

fn statements() -> Vec<Scenario> {
    vec![
        scenario(
            "critical-vulnerability",
            7,
            "A fresh scan found a critical vulnerability.",
            find_critical,
        ),
        scenario(
            "excused-vulnerability",
            3,
            "The security team attests that the critical vulnerability has no effect.",
            |snapshot| {
                find_critical(snapshot);
                bundles(snapshot).push(statements::vex("1.42.0", "CVE-2026-2"));
            },
        ),
        scenario(
            "old-scan",
            2,
            "The newest vulnerability scan is older than a day.",
            |snapshot| scanned(snapshot, |scan| scan.finished = at("2026-11-20T08:00:00Z")),
        ),
        scenario(
            "failed-check",
            7,
            "A required check failed in its newest run.",
            |snapshot| {
                let mut failed = statements::checks("1.42.0");
                failed.digest = Digest::of(b"the newest run");
                if let Content::Checks(checks) = &mut failed.content {
                    checks.finished_on = at("2026-11-24T09:30:00Z");
                    checks.checks[0].conclusion = Conclusion::Failure;
                }
                bundles(snapshot).push(failed);
            },
        ),
        scenario(
            "not-tagged-yet",
            2,
            "Built on the main branch; the release job has not tagged it yet.",
            |snapshot| {
                with_policy(snapshot, |policy| {
                    let authorities = vec!["ci".into()];
                    policy.evidence.release = Some(ReleaseRule { authorities });
                });
                if let Content::Provenance(statement) = &mut bundles(snapshot)[1].content {
                    statement.reference = "refs/heads/main".into();
                    statement.workflow = None;
                }
                snapshot.promotions[0].memory.approvals.clear();
                approve(snapshot, "release-manager", "alice@corp");
            },
        ),
    ]
}

/// Changes the report that is attached.
fn scanned(snapshot: &mut Snapshot, change: impl Fn(&mut Scan)) {
    for bundle in bundles(snapshot) {
        if let Content::Scan(scan) = &mut bundle.content {
            change(scan);
        }
    }
}

fn find_critical(snapshot: &mut Snapshot) {
    scanned(snapshot, |scan| {
        scan.counts.insert(Severity::Critical, 1);
        let found = statements::finding(Severity::Critical, "CVE-2026-2");
        scan.findings.insert(0, found);
    });
}

fn rules() -> Vec<Scenario> {
    vec![
        scenario(
            "allowed-by-a-rule",
            3,
            "A rule in Rego wants two builders to agree, and they do.",
            |snapshot| {
                let mut second = provenance("1.42.0");
                second.digest = Digest::of(b"provenance of the second builder");
                if let Content::Provenance(statement) = &mut second.content {
                    statement.builder = "https://ci.example/runners/second".into();
                }
                bundles(snapshot).push(second);
                ask_rules(snapshot);
            },
        ),
        scenario(
            "denied-by-a-rule",
            2,
            "A rule in Rego wants two builders to agree, and there was one.",
            ask_rules,
        ),
    ]
}

/// Gives the policy a rule, and asks it.
fn ask_rules(snapshot: &mut Snapshot) {
    ruled(snapshot);
    let questions = gates::rule_questions(&snapshot.input(), &|_| None).open;
    snapshot.facts.rules = Sandbox::without_protection().ask(questions);
    // What was approved is a plan under certain policies: another policy is another plan.
    snapshot.promotions[0].memory.approvals.clear();
    approve(snapshot, "release-manager", "alice@corp");
}

fn order() -> Vec<Scenario> {
    vec![
        scenario(
            "revoked",
            7,
            "Everything is proven, but the artifact was revoked.",
            |snapshot| revoke_digest(snapshot, "1.42.0"),
        ),
        scenario(
            "not-in-upstream",
            2,
            "These artifacts have not been in staging.",
            |snapshot| {
                snapshot
                    .facts
                    .upstream
                    .insert("checkout-staging".into(), vec![]);
            },
        ),
        scenario(
            "version-not-newer",
            2,
            "A newer version runs here; going back is a Rollback.",
            |snapshot| {
                let newer = record(snapshot, 2, "1.43.0", Outcome::Succeeded);
                snapshot.facts.records.push(newer);
                let workload = the_workload(snapshot);
                workload.containers[0].image = image("1.43.0").to_string();
                crate::fixtures::roll_out(workload, &digest("1.43.0"));
                snapshot.promotions[0].memory.approvals.clear();
                approve(snapshot, "release-manager", "alice@corp");
            },
        ),
        scenario(
            "window-closed",
            3,
            "The change window opens tomorrow.",
            |snapshot| {
                snapshot.now = at("2026-11-24T15:30:00Z");
            },
        ),
        scenario(
            "no-policy",
            2,
            "No policy covers this Environment of tier Production.",
            |snapshot| {
                snapshot.facts.policies.clear();
                snapshot.facts.windows.clear();
                snapshot.facts.evidence.clear();
                snapshot.promotions[0].memory.approvals.clear();
            },
        ),
    ]
}

fn people() -> Vec<Scenario> {
    vec![
        scenario(
            "awaiting-approval",
            3,
            "A release manager must approve.",
            |snapshot| {
                snapshot.promotions[0].memory.approvals.clear();
                publish(snapshot);
            },
        ),
        scenario(
            "rejected",
            2,
            "A release manager said no; its end is recorded next.",
            |snapshot| {
                let mut no = latched(snapshot, Vote::Reject, "release-manager", "carol@corp");
                no.reason = "the on-call engineer is away".into();
                snapshot.promotions[0].memory.approvals = vec![no];
            },
        ),
        scenario(
            "guard-not-ready",
            2,
            "Nobody can prove that approvals are genuine, so none is counted.",
            |snapshot| {
                snapshot.promotions[0].memory.approvals.clear();
                let plan = publish(snapshot);
                annotate(
                    snapshot,
                    Vote::Approve,
                    "release-manager",
                    "alice@corp",
                    &plan.hash,
                );
                if let Observed::Known(guard) = &mut snapshot.facts.guard {
                    guard.problem = Some(
                        "ValidatingAdmissionPolicy lockmaster-approval does not deny the probe"
                            .into(),
                    );
                }
            },
        ),
    ]
}

fn target() -> Vec<Scenario> {
    vec![
        scenario(
            "no-consent",
            2,
            "The workload's owner has not consented.",
            |snapshot| {
                the_workload(snapshot).consent = None;
            },
        ),
        scenario(
            "rolling-out",
            3,
            "The image is set, and one of two new pods does not start.",
            rolling_out,
        ),
    ]
}

/// Begins, takes the image, and meets a pod that does not start.
fn rolling_out(snapshot: &mut Snapshot) {
    publish(snapshot);
    let decision = decide(&snapshot.input());
    snapshot.promotions[0].memory.gates = decision.promotions[0].gates.clone();
    let Some(Mutation::Claim(cleared)) = decision.mutation else {
        panic!("expected a claim, not {:?}", decision.mutation)
    };
    let claim = cleared.claim().clone();
    let memory = &mut snapshot.promotions[0].memory;
    (memory.intent, memory.reported) = (Some(claim.intent.clone()), true);
    snapshot.environment.active = Some(claim);
    snapshot.now = at("2026-11-24T10:00:20Z");
    let uid = snapshot.promotions[0].uid.clone();
    let workload = the_workload(snapshot);
    workload.intent = Some(attempt_key(&uid, 1));
    workload.containers[0].image = image("1.42.0").to_string();
    workload.containers[0].owners = vec!["lockmaster/Apply".into()];
    workload.containers[0].applied_by_us = true;
    crate::fixtures::roll_out(workload, &digest("1.42.0"));
    workload.available = 1;
    workload.pods[1].ready = false;
    workload.pods[1].trouble = Some("app: CrashLoopBackOff".into());
    let running: BTreeSet<&Digest> = workload
        .pods
        .iter()
        .flat_map(|pod| pod.running.values())
        .collect();
    assert_eq!(running.len(), 1);
}
