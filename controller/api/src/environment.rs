//! Kind `Environment`: a place a product runs.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::environment::{Span, Target, Tier};
use lockmaster_core::status::EnvironmentStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place a product runs: its tier, what must come before it, and the workload that is changed.
/// The operator never writes a spec.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "Environment",
    plural = "environments",
    namespaced,
    shortname = "envt",
    category = "lockmaster",
    status = "EnvironmentStatus",
    derive = "PartialEq",
    validation = Rule::new("size(self.metadata.name) <= 56")
        .message("at most 56 characters: the names of records are made from it"),
    printcolumn(name = "Product", type_ = "string", json_path = ".spec.product"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".status.effectiveTier"),
    printcolumn(name = "Running", type_ = "string", json_path = ".status.current.version"),
    printcolumn(
        name = "Promoting",
        type_ = "string",
        json_path = ".status.active.account.promotion.name"
    ),
    printcolumn(
        name = "Verified",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"ArtifactVerified\")].status"
    ),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.current.since"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Name of the product that runs here.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub product: String,
    /// What people call it, such as prod; the object's name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub stage: Option<String>,
    /// How much it matters: Development, Testing, Staging or Production. The label
    /// lockmaster.dev/tier on its namespace, or on the namespace of a target, can raise it and
    /// never lower it; status.effectiveTier shows the result.
    pub tier: Tier,
    /// Environments of this namespace where the same artifacts must have succeeded before; all of
    /// them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub after: Vec<After>,
    /// What is changed. Exactly one for now.
    #[schemars(length(min = 1, max = 1))]
    pub targets: Vec<Target>,
    /// When a roll-out counts as healthy, or as failed.
    #[serde(default)]
    pub health: Health,
    /// What happens when a roll-out fails.
    #[serde(default)]
    pub rollback: Rollback,
    /// Secrets of this namespace, of type kubernetes.io/dockerconfigjson, with which evidence is
    /// read from private registries. The operator may read exactly those that a Role here lets it
    /// get by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 4),
        inner(
            length(min = 1, max = 253),
            regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
        )
    )]
    pub pull_secrets: Vec<String>,
}

/// An Environment that must come before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct After {
    /// Its name.
    #[schemars(length(min = 1, max = 56))]
    pub environment: String,
}

/// When a roll-out counts as healthy, or as failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// How long a roll-out may take from its intent until every pod is ready on the new digest,
    /// such as 90s, 10m or 1h30m; from 1s to 168h. After that it has failed.
    #[serde(default = "default_deadline")]
    pub deadline: Span,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            deadline: default_deadline(),
        }
    }
}

/// Ten minutes: what a Deployment's own `progressDeadlineSeconds` defaults to.
fn default_deadline() -> Span {
    Span::seconds(600)
}

/// What happens when a roll-out fails.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// Whether the same Promotion brings back what ran before, if that has a record of success
    /// here.
    #[serde(default)]
    pub automatic: bool,
}
