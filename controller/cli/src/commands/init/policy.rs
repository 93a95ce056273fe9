//! The starter policies: evidence everywhere, people and windows for production.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;
use lockmaster_api::{
    ChangeWindow, ChangeWindowSpec, ClusterPromotionPolicy, ClusterPromotionPolicySpec,
};
use lockmaster_core::environment::Tier;
use lockmaster_core::evidence::{COSIGN_SIGN, CYCLONEDX, SLSA_PROVENANCE_V1, SPDX};
use lockmaster_core::policy::{
    ALWAYS, ApprovalRule, Authority, EvidenceRules, IndexEvidence, KeyText, Match,
    NamespaceSelector, Policy, ProvenanceRule, SbomRule, SignatureRule, SourceRule,
};
use lockmaster_core::window::{ClockTime, Day, Range, Window};

use super::{Documents, ROLE};
use crate::args::Init;
use crate::failure::Failure;

/// Build type of GitHub's workflows, the one whose source fields are known.
const BUILD_TYPE: &str = "https://actions.github.io/buildtypes/workflow/v1";

/// The name of the authority that the key belongs to.
const AUTHORITY: &str = "ci";

/// Adds them.
pub(super) fn add(arguments: &Init, pem: &str, documents: &mut Documents) -> anyhow::Result<()> {
    let evidence = evidence(arguments, pem);
    let problems = Policy::from(evidence.spec.clone()).contradictions();
    if !problems.is_empty() {
        return Err(Failure::usage(problems.join("; ")).into());
    }
    let (namespace, name) = (&arguments.namespace, evidence.metadata.name.as_deref());
    let name = name.unwrap_or_default();
    let mut comment = format!(
        "What must be attached to every image, of every product in namespace {namespace}: a product \
         that\nspec.sources does not name is refused. A policy never changes, so a further product \
         is added in\na copy with another name, such as {name}-2, and one more entry in \
         spec.sources: create that, then\ndelete this one. Until then both must be satisfied, and \
         nothing is open that was closed."
    );
    if arguments.builder.is_empty() {
        comment.push_str("\nProvenance is not asked for: add --builder to do so.");
    }
    documents.add(&comment, &evidence)?;
    let windows = match &arguments.zone {
        Some(zone) => {
            let window = window(arguments, zone)?;
            let name = window.metadata.name.clone().unwrap_or_default();
            documents.add("When production may change.", &window)?;
            vec![name]
        }
        None => vec![ALWAYS.to_owned()],
    };
    documents.add("Who must agree, and when.", &production(arguments, windows))
}

fn evidence(arguments: &Init, pem: &str) -> ClusterPromotionPolicy {
    let provenance = ProvenanceRule {
        authority: AUTHORITY.to_owned(),
        builders: arguments.builder.clone(),
        build_types: vec![BUILD_TYPE.to_owned()],
        parameters: vec![],
        branches: vec![],
        unpinned_workflows: None,
    };
    let provenance = (!arguments.builder.is_empty()).then_some(provenance);
    let spec = ClusterPromotionPolicySpec {
        matches: matches(arguments, vec![]),
        sources: vec![SourceRule {
            namespaces: vec![arguments.namespace.clone()],
            product: Some(arguments.product.clone()),
            repositories: arguments.source.clone(),
            image_repositories: arguments.image_repository.clone(),
        }],
        authorities: vec![Authority {
            name: AUTHORITY.to_owned(),
            keys: vec![KeyText::of(pem)],
            keyless: None,
            trusted_root: None,
            require_transparency_log: false,
            legacy: None,
            predicate_types: [COSIGN_SIGN, SLSA_PROVENANCE_V1, SPDX, CYCLONEDX]
                .map(str::to_owned)
                .to_vec(),
        }],
        evidence: EvidenceRules {
            signatures: Some(SignatureRule {
                authorities: vec![AUTHORITY.to_owned()],
                threshold: 1,
            }),
            provenance: provenance.into_iter().collect(),
            sbom: Some(SbomRule {
                authorities: vec![AUTHORITY.to_owned()],
                formats: vec![],
                min_components: None,
                denied_licenses: vec![],
            }),
            release: None,
            vulnerabilities: None,
            attestations: vec![],
            index_evidence: IndexEvidence::Refuse,
        },
        approvals: vec![],
        windows: vec![],
        rules: vec![],
        uncovered_containers: None,
    };
    // One for the namespace: with one for each product, each would refuse all the others. Another
    // product's starter policy has the same name and other sources, so the API server refuses it in
    // words, and this product goes on as before.
    policy(format!("{}-evidence", arguments.namespace), spec)
}

fn production(arguments: &Init, windows: Vec<String>) -> ClusterPromotionPolicy {
    let spec = ClusterPromotionPolicySpec {
        matches: matches(arguments, vec![Tier::Production]),
        sources: vec![],
        authorities: vec![],
        evidence: EvidenceRules::default(),
        approvals: vec![ApprovalRule {
            role: ROLE.to_owned(),
            min: 1,
        }],
        windows,
        rules: vec![],
        uncovered_containers: None,
    };
    policy(format!("{}-production", arguments.namespace), spec)
}

/// The namespace of the Environments, by the label that the API server itself puts there.
fn matches(arguments: &Init, tiers: Vec<Tier>) -> Match {
    let label = "kubernetes.io/metadata.name".to_owned();
    Match {
        tiers,
        namespace_selector: NamespaceSelector {
            match_labels: BTreeMap::from([(label, arguments.namespace.clone())]),
            match_expressions: vec![],
        },
    }
}

fn policy(name: String, spec: ClusterPromotionPolicySpec) -> ClusterPromotionPolicy {
    ClusterPromotionPolicy {
        metadata: global(name),
        spec,
        status: None,
    }
}

fn window(arguments: &Init, zone: &str) -> Result<ChangeWindow, Failure> {
    let time = |text| ClockTime::parse(text).map_err(|error| Failure::usage(error.to_string()));
    let spec = ChangeWindowSpec {
        zone: zone.to_owned(),
        ranges: vec![Range {
            days: vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu],
            from: time("09:00")?,
            to: time("16:00")?,
        }],
    };
    Window::new(&spec.clone().into())
        .map_err(|error| Failure::usage(format!("--zone: {error}")))?;
    Ok(ChangeWindow {
        metadata: global(window_name(&arguments.namespace, zone)),
        spec,
        status: None,
    })
}

/// A window may change, unlike a policy: another zone is another window, so that the starter of one
/// product never moves the hours of another.
fn window_name(namespace: &str, zone: &str) -> String {
    let zone: String = zone
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{namespace}-{}", zone.trim_matches('-'))
}

fn global(name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        ..ObjectMeta::default()
    }
}
