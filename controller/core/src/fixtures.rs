//! Facts for tests: a promotion that may go ahead, so that each test spoils the one thing it is
//! about. Shared with the tests of the workspace, hence only the public face of the crate.

// The workspace tests include this file by its path too.
#[path = "fixtures/keyless.rs"]
pub(crate) mod keyless;
#[path = "fixtures/policies.rs"]
pub(crate) mod policies;
#[path = "fixtures/revoked.rs"]
pub(crate) mod revoked;
#[path = "fixtures/ruled.rs"]
pub(crate) mod ruled;
#[path = "fixtures/statements.rs"]
pub(crate) mod statements;
#[path = "fixtures/unseen.rs"]
pub(crate) mod unseen;

pub(crate) use policies::{policy_fact, with_policy};

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lockmaster_core::approval::{self, APPROVAL_PREFIX, Approval, ApprovalSource, Vote};
use lockmaster_core::canonical::{self, Domain};
use lockmaster_core::case::Case;
use lockmaster_core::decide::decide;
use lockmaster_core::environment::{
    Environment, Span, Target, Tier, WorkloadApiVersion, WorkloadKind, WorkloadReference,
};
use lockmaster_core::evidence::{
    Bundle, COSIGN_SIGN, CYCLONEDX, Carrier, Content as Statement, Evidence, KeyId, License,
    Provenance, SLSA_PROVENANCE_V1, SPDX, Sbom, SbomFormat, Verified,
};
use lockmaster_core::facts::{Container, Facts, Guard, Observed, Pod, WindowFact, Workload};
use lockmaster_core::gate::{self, Gate, GateReport, Verdict};
use lockmaster_core::plan::PublishedPlan;
use lockmaster_core::policy::{
    ApprovalRule, Authority, EvidenceRules, IndexEvidence, KeyText, Match, Policy, ProvenanceRule,
    SbomRule, SignatureRule, SourceRule,
};
use lockmaster_core::promotion::{
    Action, Memory, Promotion, PromotionReference, REQUESTED_BY_ANNOTATION, ReleaseReference,
    Request,
};
use lockmaster_core::reason::Reason;
use lockmaster_core::record::{Content, EnvironmentReference, Outcome, Record, RecordLink, Times};
use lockmaster_core::release::{Component, Digest, ImageReference, Release, Source, Version};
use lockmaster_core::snapshot::Snapshot;
use lockmaster_core::status::State;
use lockmaster_core::window::Calendar;

pub(crate) const REPOSITORY: &str = "https://git.example/shop/checkout";
pub(crate) const BUILDER: &str = "https://ci.example/runners/shop";
pub(crate) const BUILD_TYPE: &str = "https://actions.github.io/buildtypes/workflow/v1";

/// A Tuesday, 11:00 in Berlin.
pub(crate) fn now() -> Timestamp {
    at("2026-11-24T10:00:00Z")
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn digest(version: &str) -> Digest {
    Digest::of(format!("checkout {version}").as_bytes())
}

pub(crate) fn image(version: &str) -> ImageReference {
    ImageReference::parse(&format!(
        "registry.example/shop/checkout@{}",
        digest(version)
    ))
    .unwrap()
}

pub(crate) fn release(version: &str) -> Release {
    let component = Component {
        name: None,
        image: image(version),
    };
    Release {
        name: format!("checkout-{version}"),
        product: "checkout".into(),
        version: Version::parse(version).unwrap(),
        components: vec![component],
        source: Some(Source {
            repository: REPOSITORY.into(),
            commit: "3c1e9f2a".repeat(5),
            tag: Some(format!("v{version}")),
        }),
    }
}

pub(crate) fn environment(tier: Tier) -> Environment {
    let workload = WorkloadReference {
        api_version: WorkloadApiVersion::AppsV1,
        kind: WorkloadKind::Deployment,
        name: "checkout".into(),
        namespace: "shop-prod".into(),
    };
    Environment {
        namespace: "shop".into(),
        name: "checkout-prod".into(),
        uid: "environment-uid".into(),
        generation: 1,
        product: "checkout".into(),
        stage: "prod".into(),
        tier,
        after: vec![],
        targets: vec![Target {
            component: None,
            workload,
            container: None,
        }],
        deadline: Span::seconds(600),
        automatic_rollback: true,
        pull_secrets: vec![],
        active: None,
        concerns: vec![],
        reverify_at: None,
    }
}

/// A workload that runs `version`, healthy, and consents.
pub(crate) fn workload(version: &str) -> Workload {
    let mut workload = Workload {
        uid: "workload-uid".into(),
        consent: Some("shop/checkout-prod".into()),
        intent: None,
        fence: None,
        containers: vec![Container {
            name: "app".into(),
            image: image(version).to_string(),
            owners: vec!["kubectl/Update".into()],
            applied_by_us: false,
        }],
        init_images: BTreeMap::new(),
        observed: true,
        replicas: 2,
        updated: 2,
        available: 2,
        total: 2,
        pods: vec![],
    };
    roll_out(&mut workload, &digest(version));
    workload
}

/// Lets every pod run `digest`, ready.
pub(crate) fn roll_out(workload: &mut Workload, digest: &Digest) {
    workload.observed = true;
    (workload.updated, workload.total) = (workload.replicas, workload.replicas);
    workload.available = workload.replicas;
    let pod = |number| Pod {
        name: format!("checkout-{}-{number}", &digest.short()[..4]),
        ready: true,
        running: BTreeMap::from([("app".to_owned(), digest.clone())]),
        trouble: None,
    };
    workload.pods = (0..workload.replicas).map(pod).collect();
}

pub(crate) fn promotion(name: &str, version: &str) -> Promotion {
    let requester = (REQUESTED_BY_ANNOTATION.to_owned(), "bob@corp".to_owned());
    Promotion {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("{name}-uid"),
        generation: 1,
        created: at("2026-11-24T09:00:00Z"),
        first_seen: at("2026-11-24T09:00:00Z"),
        annotations: BTreeMap::from([requester]),
        request: Request {
            release: format!("checkout-{version}"),
            environment: "checkout-prod".into(),
            action: Action::Promote,
            reason: None,
            incident: None,
            abort: false,
        },
        memory: Memory::default(),
    }
}

/// The key of an authority.
pub(crate) fn key(authority: &str) -> KeyId {
    KeyId::of_spki(authority.as_bytes())
}

fn bundle(kind: &str, version: &str, content: Statement) -> Bundle {
    Bundle {
        digest: Digest::of(format!("{kind} of {version}").as_bytes()),
        payload: None,
        carrier: Carrier::Bundle,
        key_hint: Some(key("ci")),
        verified_by: BTreeSet::from([Verified::by_key(key("ci"))]),
        failures: BTreeMap::new(),
        key_problem: None,
        subjects: vec![digest(version)],
        content,
    }
}

pub(crate) fn signature(version: &str) -> Bundle {
    bundle("signature", version, Statement::Signature)
}

pub(crate) fn provenance(version: &str) -> Bundle {
    let statement = Provenance {
        predicate_type: SLSA_PROVENANCE_V1.into(),
        builder: BUILDER.into(),
        build_type: BUILD_TYPE.into(),
        repository: REPOSITORY.into(),
        reference: format!("refs/tags/v{version}"),
        commit: "3c1e9f2a".repeat(5),
        workflow: Some(format!("{REPOSITORY}/.ci/build.yml@refs/tags/v{version}")),
        parameters: BTreeMap::new(),
        trigger: Some("push".into()),
        invocation: Some(format!("{BUILDER}/runs/4711")),
    };
    bundle("provenance", version, Statement::Provenance(statement))
}

pub(crate) fn sbom(version: &str) -> Bundle {
    let bill = Sbom {
        predicate_type: CYCLONEDX.into(),
        format: SbomFormat::CycloneDX,
        version: "1.6".into(),
        components: 214,
        licenses: ["Apache-2.0", "MIT OR GPL-2.0-only"]
            .map(|text| License {
                text: text.into(),
                component: "left-pad".into(),
            })
            .into(),
        more_licenses: false,
    };
    bundle("sbom", version, Statement::Sbom(bill))
}

pub(crate) fn authority(name: &str) -> Authority {
    let types = [COSIGN_SIGN, SLSA_PROVENANCE_V1, SPDX, CYCLONEDX];
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n(the key of {name})\n-----END PUBLIC KEY-----\n");
    Authority {
        name: name.into(),
        keys: vec![KeyText::of(pem)],
        keyless: None,
        trusted_root: None,
        require_transparency_log: false,
        legacy: None,
        predicate_types: types.map(str::to_owned).to_vec(),
    }
}

fn authorities() -> Vec<Authority> {
    let mut ci = authority("ci");
    ci.predicate_types.extend(statements::kinds_of_ci());
    let mut all = vec![ci];
    all.extend(statements::authorities());
    all
}

/// A policy that asks every question there is.
pub(crate) fn policy() -> Policy {
    Policy {
        matches: Match {
            tiers: vec![Tier::Production],
            ..Match::default()
        },
        sources: vec![SourceRule {
            namespaces: vec!["shop".into()],
            product: Some("checkout".into()),
            repositories: vec![REPOSITORY.into()],
            image_repositories: vec!["registry.example/shop/*".into()],
        }],
        authorities: authorities(),
        evidence: EvidenceRules {
            signatures: Some(SignatureRule {
                authorities: vec!["ci".into()],
                threshold: 1,
            }),
            provenance: vec![ProvenanceRule {
                authority: "ci".into(),
                builders: vec![BUILDER.into()],
                build_types: vec![BUILD_TYPE.into()],
                parameters: vec![],
                branches: vec![],
                unpinned_workflows: None,
            }],
            sbom: Some(SbomRule {
                authorities: vec!["ci".into()],
                formats: vec![],
                min_components: None,
                denied_licenses: vec![],
            }),
            release: None,
            vulnerabilities: Some(statements::vulnerabilities()),
            attestations: vec![statements::checks_rule()],
            index_evidence: IndexEvidence::Refuse,
        },
        approvals: vec![ApprovalRule {
            role: "release-manager".into(),
            min: 1,
        }],
        windows: vec!["business-hours".into()],
        rules: vec![],
        uncovered_containers: None,
    }
}

/// What is attached to the release that is promoted.
pub(crate) fn bundles(snapshot: &mut Snapshot) -> &mut Vec<Bundle> {
    &mut evidence(snapshot).bundles
}

/// What is known of the image.
pub(crate) fn evidence(snapshot: &mut Snapshot) -> &mut Evidence {
    match snapshot.facts.evidence.get_mut(&image("1.42.0")) {
        Some(Observed::Known(evidence)) => evidence,
        other => panic!("no evidence: {other:?}"),
    }
}

/// The one workload.
pub(crate) fn the_workload(snapshot: &mut Snapshot) -> &mut Workload {
    match &mut snapshot.facts.workloads[0] {
        Observed::Known(workload) => workload,
        other @ (Observed::Pending | Observed::Unavailable(_)) => panic!("no workload: {other:?}"),
    }
}

/// All that the policy asks for.
pub(crate) fn attached(version: &str) -> Vec<Bundle> {
    vec![
        signature(version),
        provenance(version),
        sbom(version),
        statements::scan(version),
        statements::checks(version),
    ]
}

/// Version 1.41.3 runs in a Development Environment; no policy asks anything of 1.42.0.
pub(crate) fn bare() -> Snapshot {
    let releases = ["1.41.3", "1.42.0"].map(release);
    let named = releases.map(|release| (release.name.clone(), Observed::Known(release)));
    let facts = Facts {
        cluster: "cluster-uid".into(),
        guard: Observed::Known(Guard {
            epoch: Digest::of(b"guards"),
            problem: None,
        }),
        namespaces: ["shop", "shop-prod"]
            .map(|name| (name.to_owned(), BTreeMap::new()))
            .into(),
        releases: named.into(),
        policies: vec![],
        windows: BTreeMap::new(),
        trusted_roots: BTreeMap::new(),
        revocations: vec![],
        workloads: vec![Observed::Known(workload("1.41.3"))],
        refused: None,
        records: vec![],
        records_problem: None,
        upstream: BTreeMap::new(),
        upstream_problems: BTreeMap::new(),
        upstream_concerns: BTreeMap::new(),
        ran: BTreeMap::new(),
        evidence: BTreeMap::new(),
        rules: BTreeMap::new(),
    };
    let mut snapshot: Snapshot = Snapshot::of(&lockmaster_core::decide::Input {
        promotions: &[promotion("checkout-1.42.0-prod", "1.42.0")],
        environment: &environment(Tier::Development),
        facts: &facts,
        now: now(),
    });
    let before = record(&snapshot, 1, "1.41.3", Outcome::Succeeded);
    snapshot.facts.records.push(before);
    snapshot
}

/// Production with a policy that asks everything, and everything is there: it is about to begin.
pub(crate) fn ready() -> Snapshot {
    let mut snapshot = bare();
    snapshot.environment.tier = Tier::Production;
    snapshot.environment.after = vec!["checkout-staging".into()];
    let facts = &mut snapshot.facts;
    facts.policies = vec![policy_fact("production", policy())];
    let calendar = serde_json::json!({"zone": "Europe/Berlin", "ranges": [
        {"days": ["Mon", "Tue", "Wed", "Thu", "Fri"], "from": "09:00", "to": "16:00"}
    ]});
    let window = WindowFact {
        uid: "business-hours-uid".into(),
        generation: 1,
        content: Ok(serde_json::from_value::<Calendar>(calendar).unwrap()),
    };
    facts.windows = BTreeMap::from([("business-hours".to_owned(), window)]);
    let evidence = Evidence::new(digest("1.42.0"), attached("1.42.0")).listed_at(now());
    facts.evidence = BTreeMap::from([(image("1.42.0"), Observed::Known(evidence))]);
    let staging = upstream_record(&snapshot, "1.42.0", Outcome::Succeeded);
    snapshot.facts.upstream = BTreeMap::from([("checkout-staging".to_owned(), vec![staging])]);
    approve(&mut snapshot, "release-manager", "alice@corp");
    snapshot
}

fn upstream_record(snapshot: &Snapshot, version: &str, outcome: Outcome) -> Record {
    let mut upstream = snapshot.clone();
    upstream.environment.name = "checkout-staging".into();
    upstream.environment.uid = "staging-uid".into();
    upstream.facts.records.clear();
    record(&upstream, 1, version, outcome)
}

/// The record of a promotion of `version` that ended so.
pub(crate) fn record(
    snapshot: &Snapshot,
    sequence: u32,
    version: &str,
    outcome: Outcome,
) -> Record {
    let Snapshot {
        environment, facts, ..
    } = snapshot;
    let release = release(version);
    let promotion = promotion(
        &format!("{}-{version}-{sequence}", environment.name),
        version,
    );
    let before = facts.records.last();
    let left = match outcome {
        Outcome::Succeeded | Outcome::Failed => release.component_digests(),
        Outcome::RolledBack | Outcome::Rejected | Outcome::Aborted | Outcome::Superseded => {
            before.map_or(vec![], |record| record.content.left.clone())
        }
    };
    let (_, reason) = State::of_outcome(outcome);
    sealed(Content {
        sequence,
        environment: EnvironmentReference {
            name: environment.name.clone(),
            uid: environment.uid.clone(),
            effective_tier: environment.tier,
        },
        promotion: PromotionReference {
            name: promotion.name.clone(),
            uid: promotion.uid.clone(),
            spec_hash: promotion.request.hash().unwrap(),
            action: promotion.request.action,
            release: promotion.request.release.clone(),
            created: at("2026-11-20T09:00:00Z"),
            reason: None,
            incident: None,
            requested_by: promotion.requester(),
        },
        release: Some(ReleaseReference {
            name: release.name.clone(),
            product: release.product.clone(),
            version: release.version.clone(),
            artifact_set: release.artifact_set().unwrap(),
            components: release.component_digests(),
        }),
        outcome,
        reason,
        message: format!("it ended {outcome}"),
        targets: vec![],
        left,
        plan_hash: None,
        policies: vec![],
        gates: vec![],
        approvals: vec![],
        window: None,
        times: Times {
            requested: at("2026-11-20T09:00:00Z"),
            intent: None,
            finished: at("2026-11-20T09:05:00Z"),
        },
        previous: before.map(|record| RecordLink {
            name: record.object_name(),
            hash: record.hash.clone(),
        }),
    })
}

/// The content with its hash.
pub(crate) fn sealed(content: Content) -> Record {
    let hash = canonical::hash(Domain::Record, &content).unwrap();
    Record { content, hash }
}

/// The plan of the first promotion, as it stands.
pub(crate) fn plan_content(snapshot: &Snapshot) -> Digest {
    let input = snapshot.input();
    Case::new(&snapshot.promotions[0], &input)
        .plan
        .unwrap()
        .content
}

/// Publishes the plan of the first promotion.
pub(crate) fn publish(snapshot: &mut Snapshot) -> PublishedPlan {
    let decision = decide(&snapshot.input());
    let plan = decision.promotions[0].plan.clone().unwrap();
    snapshot.promotions[0].memory.plan = Some(plan.clone());
    plan
}

/// A latched decision on the first promotion.
pub(crate) fn latched(snapshot: &Snapshot, vote: Vote, slot: &str, by: &str) -> Approval {
    Approval {
        role: approval::role_of(slot).to_owned(),
        slot: slot.to_owned(),
        decision: vote,
        by: by.to_owned(),
        reference: "CHG-1042".into(),
        reason: "release notes read".into(),
        content: plan_content(snapshot),
        at: at("2026-11-24T09:30:00Z"),
        source: ApprovalSource::Annotation,
    }
}

/// Latches an approval of the first promotion, as its facts stand now.
pub(crate) fn approve(snapshot: &mut Snapshot, slot: &str, by: &str) {
    let approval = latched(snapshot, Vote::Approve, slot, by);
    snapshot.promotions[0].memory.approvals.push(approval);
}

/// Writes a decision into the annotations of the first promotion, as the guard would let it.
pub(crate) fn annotate(snapshot: &mut Snapshot, vote: Vote, slot: &str, by: &str, plan: &Digest) {
    let value = approval::render(vote, by, plan, "", "go");
    let annotations = &mut snapshot.promotions[0].annotations;
    annotations.insert(format!("{APPROVAL_PREFIX}{slot}"), value);
}

/// One way to spoil what is [`ready`], and what a gate must say of it.
pub(crate) type Spoiled = (fn(&mut Snapshot), Verdict, Reason, &'static str);

/// What the gate says of the first promotion.
pub(crate) fn ask(gate: &dyn Gate, snapshot: &Snapshot) -> GateReport {
    let input = snapshot.input();
    gate::evaluate(gate, &Case::new(&snapshot.promotions[0], &input))
}

/// Asks the gate in each case, and that the cases give every reason that it declares, and no other.
pub(crate) fn check(gate: &dyn Gate, cases: &[Spoiled]) {
    let mut given = BTreeSet::new();
    for (spoil, verdict, reason, text) in cases {
        let mut snapshot = ready();
        spoil(&mut snapshot);
        let report = ask(gate, &snapshot);
        let found = (report.verdict, report.reason);
        assert_eq!(found, (*verdict, *reason), "{}", report.message);
        assert!(
            report.message.contains(text),
            "\"{text}\" is not in: {}",
            report.message
        );
        // What closes a gate has a mend, and what opens it none.
        assert_eq!(verdict.is_open(), reason.mend().is_none(), "{reason}");
        given.insert(*reason);
    }
    let declared: BTreeSet<_> = gate.reasons().iter().copied().collect();
    assert_eq!(given, declared, "reasons of gate {}", gate.name());
}

/// Makes the first promotion a rollback to the version that it names, which ran here before.
pub(crate) fn roll_back(snapshot: &mut Snapshot) {
    let (good, newer) = ("1.42.0", "1.43.0");
    for (sequence, version) in [(2, good), (3, newer)] {
        let record = record(snapshot, sequence, version, Outcome::Succeeded);
        snapshot.facts.records.push(record);
    }
    snapshot.promotions[0].request.action = Action::Rollback;
}
