//! Kind `ClusterPromotionPolicy`: what must be true before something is promoted.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::policy::{
    ApprovalRule, Authority, EvidenceRules, Match, Policy, RegoRule, SourceRule,
    UncoveredContainers,
};
use lockmaster_core::rules::RULES_LIMIT;
use lockmaster_core::status::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rules for promotions into the Environments it matches. Every matching policy must be satisfied
/// by itself, so a further policy can tighten and never loosen. Where none matches, only effective
/// tier Development is open. A policy that cannot be read closes every Environment.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "ClusterPromotionPolicy",
    plural = "clusterpromotionpolicies",
    shortname = "cppol",
    category = "lockmaster",
    category = "lockmaster-policy",
    status = "PolicyStatus",
    derive = "PartialEq",
    printcolumn(name = "Tiers", type_ = "string", json_path = ".spec.match.tiers"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a policy never changes, so that records can name it: create one under another \
                  name, then delete this one")
)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPromotionPolicySpec {
    /// Which Environments are covered; all of them when left out.
    #[serde(rename = "match", default)]
    pub matches: Match,
    /// Where images and source may come from, for which namespaces. Required where evidence is
    /// asked for: no other repository is ever asked on behalf of those namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub sources: Vec<SourceRule>,
    /// Who signs, with which keys, and what they may sign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub authorities: Vec<Authority>,
    /// What must be attached to the digest.
    #[serde(default)]
    pub evidence: EvidenceRules,
    /// Who must approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub approvals: Vec<ApprovalRule>,
    /// Names of ChangeWindows of which at least one must be open, or Always. Effective tier
    /// Production is closed without either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub windows: Vec<String>,
    /// What else must be true of each image: every rule must allow it. They see what the
    /// authorities of this policy signed about it; docs/reference/rego.md says how to write one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RULES_LIMIT))]
    pub rules: Vec<RegoRule>,
    /// What is done about containers of a target that the Release does not set, sidecars and init
    /// containers included, and whose image is not named by its digest. Left out: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncovered_containers: Option<UncoveredContainers>,
}

impl From<ClusterPromotionPolicySpec> for Policy {
    fn from(spec: ClusterPromotionPolicySpec) -> Self {
        let ClusterPromotionPolicySpec {
            matches,
            sources,
            authorities,
            evidence,
            approvals,
            windows,
            rules,
            uncovered_containers,
        } = spec;
        Self {
            matches,
            sources,
            authorities,
            evidence,
            approvals,
            windows,
            rules,
            uncovered_containers,
        }
    }
}

/// Status of an object that is only read: a policy or a window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation that was read.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`: whether it is readable and in force; the message names the field and the mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
