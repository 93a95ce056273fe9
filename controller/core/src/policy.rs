//! What must be true before something is promoted: the rules a policy states.

mod age;
mod authority;
mod contradictions;
mod evidence;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, Domain};
use crate::environment::Tier;
use crate::evidence::KeyId;
use crate::release::{Digest, ImageReference};

pub use age::{Age, AgeError};
pub use authority::{Authority, ClaimRule, KeyText, Keyless, Legacy};
pub use evidence::{
    AttestationRule, ChangeRule, CheckRule, DatabaseTime, EvidenceRules, IndexEvidence,
    NotApplicableRule, ReleaseRule, SbomRule, SummaryRule, UnpinnedWorkflows, VerifierRule,
    VexRule, VulnerabilityRule,
};

/// The word in `windows` that stands for "at any time".
pub const ALWAYS: &str = "Always";

/// Which Environments a policy covers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// Effective tiers that are covered; all of them when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub tiers: Vec<Tier>,
    /// Labels that the Environment's namespace, or the namespace of any of its targets, must have;
    /// every namespace when left out.
    #[serde(default)]
    pub namespace_selector: NamespaceSelector,
}

/// A label selector with the meaning that Kubernetes gives it: all of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamespaceSelector {
    /// Labels and the values they must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions on labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelExpression {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How it is compared.
    pub operator: LabelOperator,
    /// The values that In and NotIn compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is selected.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let Self {
            match_labels,
            match_expressions,
        } = self;
        match_labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && match_expressions.iter().all(|expression| {
                let value = labels.get(&expression.key);
                let listed = value.is_some_and(|value| expression.values.contains(value));
                match expression.operator {
                    LabelOperator::In => listed,
                    LabelOperator::NotIn => !listed,
                    LabelOperator::Exists => value.is_some(),
                    LabelOperator::DoesNotExist => value.is_none(),
                }
            })
    }
}

/// Where the images and the source of some namespaces' releases may come from. Also the only
/// repositories that are asked for evidence on behalf of those namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceRule {
    /// Namespaces of the Environments this is said of.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// The product this is said of; every product when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub product: Option<String>,
    /// Source repositories that provenance may name, exactly as provenance spells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    pub repositories: Vec<String>,
    /// Image repositories, `registry/path`; a last part `*` stands for one or more parts.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 255)))]
    pub image_repositories: Vec<String>,
}

impl SourceRule {
    /// Whether this is said of releases of `product` in `namespace`.
    #[must_use]
    pub fn covers(&self, namespace: &str, product: &str) -> bool {
        self.namespaces.iter().any(|name| name == namespace)
            && self.product.as_deref().is_none_or(|name| name == product)
    }

    /// Whether the image's repository is listed.
    #[must_use]
    pub fn allows_image(&self, image: &ImageReference) -> bool {
        self.image_repositories
            .iter()
            .any(|pattern| match pattern.strip_suffix("/*") {
                None => pattern == image.repository(),
                Some(parent) => image
                    .repository()
                    .strip_prefix(parent)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| !rest.is_empty()),
            })
    }
}

/// Who must have signed the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignatureRule {
    /// Authorities whose signature counts.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
    /// How many different ones of them must have signed; at least 1.
    #[schemars(range(min = 1, max = 8))]
    pub threshold: u32,
}

/// Which provenance is accepted: the builders are bound to the authority that signs for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProvenanceRule {
    /// The authority that signs.
    #[schemars(length(max = 63))]
    pub authority: String,
    /// Builder ids that this authority may speak for, exactly.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)))]
    pub builders: Vec<String>,
    /// Build types that are accepted, as exact URIs.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)))]
    pub build_types: Vec<String>,
    /// Parameters that a build may have been given from outside, by their path, such as
    /// `inputs.debug`. With any other it does not count, nor with one that names an environment:
    /// nothing is built for an environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)))]
    pub parameters: Vec<String>,
    /// Branches that may have been built where a `release/v1` statement names the tag, without
    /// `refs/heads/`, exactly or as a pattern of the whole: `*` stands for any characters but `/`,
    /// `**` for any characters at all. Any ref when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    pub branches: Vec<String>,
    /// What is done with provenance whose builder or workflow, where it is not in the source itself,
    /// is named by a branch instead of a tag or commit. Left out: Refuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpinned_workflows: Option<UnpinnedWorkflows>,
}

/// A rule in Rego, for what no field of a policy can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegoRule {
    /// Its name, as people read it when it denies.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A module of Rego v1, package `lockmaster`, with `allow`: true lets the image pass, and
    /// everything else does not. A set of texts called `deny` says why. At most 32,768
    /// characters.
    #[schemars(length(min = 1, max = 32768))]
    pub rego: String,
}

/// How many people of a role must approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalRule {
    /// The role. Who has it is RBAC: verb `approve` on `environments/<role>` for the Environment.
    #[schemars(length(max = 40), regex(pattern = "^[a-z][a-z0-9-]{0,39}$"))]
    pub role: String,
    /// How many different people; at least 1.
    #[schemars(range(min = 1, max = 8))]
    pub min: u32,
}

/// What is done about containers of a target that the Release does not set, sidecars and init
/// containers included, and whose image is not named by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UncoveredContainers {
    /// The gate `target` stays closed until each is named by digest.
    Deny,
    /// The gate `target` names them and opens.
    Report,
}

/// A policy as the gates read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// What it covers.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Where images and source may come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRule>,
    /// Who signs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<Authority>,
    /// What must be attached.
    #[serde(default)]
    pub evidence: EvidenceRules,
    /// Who must approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<ApprovalRule>,
    /// Names of ChangeWindows of which one must be open, or `Always`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
    /// What else must be true of each image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RegoRule>,
    /// What is done about images that nobody pinned beside those of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncovered_containers: Option<UncoveredContainers>,
}

impl Policy {
    /// Whether anything must be looked up in a registry: its evidence rules ask for something, or its
    /// rules may look at what its authorities signed.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.evidence.asks() || (!self.rules.is_empty() && !self.authorities.is_empty())
    }

    /// SHA-256 over the policy's canonical JSON: which rules were in force.
    pub fn digest(&self) -> Result<Digest, canonical::Error> {
        canonical::hash(Domain::Policy, self)
    }

    /// The names of the TrustedRoots that its authorities rest on.
    pub fn trusted_roots(&self) -> impl Iterator<Item = &str> {
        let named = self.authorities.iter();
        named.filter_map(|authority| authority.trusted_root.as_deref())
    }

    /// The authority called `name`.
    #[must_use]
    pub fn authority(&self, name: &str) -> Option<&Authority> {
        self.authorities
            .iter()
            .find(|authority| authority.name == name)
    }
}

/// A policy object as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyFact {
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation: what the freshness check compares.
    pub generation: i64,
    /// Its rules with the names of its authorities' keys, or why it cannot be read.
    pub content: Result<PolicyContent, String>,
}

/// A readable policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyContent {
    /// The rules.
    pub policy: Policy,
    /// SHA-256 over the rules.
    pub digest: Digest,
    /// Per authority, the names of its keys.
    pub keys: BTreeMap<String, Vec<KeyId>>,
}

impl PolicyContent {
    /// The key names of an authority; none for an unknown one.
    pub fn keys_of(&self, authority: &str) -> &[KeyId] {
        self.keys.get(authority).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(repository: &str) -> ImageReference {
        ImageReference::parse(&format!("{repository}@{}", Digest::of(b"x"))).unwrap()
    }

    #[test]
    fn image_repositories_match_whole_parts_only() {
        let rule = |pattern: &str| SourceRule {
            namespaces: vec!["shop".into()],
            product: None,
            repositories: vec![],
            image_repositories: vec![pattern.into()],
        };
        let check = |pattern, repository| rule(pattern).allows_image(&image(repository));
        assert!(check(
            "registry.example/shop/*",
            "registry.example/shop/checkout"
        ));
        assert!(check(
            "registry.example/shop/*",
            "registry.example/shop/a/b"
        ));
        assert!(!check("registry.example/shop/*", "registry.example/shop"));
        assert!(!check(
            "registry.example/shop/*",
            "registry.example/shopping/checkout"
        ));
        assert!(!check(
            "registry.example/shop/*",
            "registry.example.evil.test/shop/checkout"
        ));
        assert!(check(
            "registry.example/shop/checkout",
            "registry.example/shop/checkout"
        ));
        assert!(!check(
            "registry.example/shop/checkout",
            "registry.example/shop/checkout2"
        ));
    }

    #[test]
    fn selectors_mean_what_kubernetes_means() {
        let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        let expression = |operator, values: &[&str]| NamespaceSelector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![LabelExpression {
                key: "team".into(),
                operator,
                values: values.iter().map(|v| (*v).to_owned()).collect(),
            }],
        };
        assert!(NamespaceSelector::default().selects(&labels));
        assert!(expression(LabelOperator::In, &["shop"]).selects(&labels));
        assert!(!expression(LabelOperator::NotIn, &["shop"]).selects(&labels));
        assert!(expression(LabelOperator::NotIn, &["shop"]).selects(&BTreeMap::new()));
        assert!(!expression(LabelOperator::Exists, &[]).selects(&BTreeMap::new()));
        assert!(expression(LabelOperator::DoesNotExist, &[]).selects(&BTreeMap::new()));
    }
}
