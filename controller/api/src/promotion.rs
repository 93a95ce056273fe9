//! Kind `Promotion`: the request to move one Release into one Environment, and its account.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::promotion::Action;
use lockmaster_core::status::PromotionStatus;
use serde::{Deserialize, Serialize};

/// A request to move one Release into one Environment; its status tells how it stands and why.
/// Deleting one never changes what a workload runs.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "Promotion",
    plural = "promotions",
    namespaced,
    shortname = "pmn",
    category = "lockmaster",
    status = "PromotionStatus",
    derive = "PartialEq",
    selectable = ".spec.environment",
    selectable = ".spec.release",
    selectable = ".status.state",
    printcolumn(name = "Env", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "Release", type_ = "string", json_path = ".status.artifact"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Blocked By", type_ = "string", json_path = ".status.blockedBy"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    ),
    printcolumn(
        name = "Requester",
        type_ = "string",
        json_path = ".status.requestedBy.name",
        priority = 1
    ),
    printcolumn(
        name = "Record",
        type_ = "string",
        json_path = ".status.record.name",
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new(
        "self.release == oldSelf.release && self.environment == oldSelf.environment && \
         self.action == oldSelf.action && has(self.reason) == has(oldSelf.reason) && \
         (!has(self.reason) || self.reason == oldSelf.reason) && \
         has(self.incident) == has(oldSelf.incident) && \
         (!has(self.incident) || self.incident == oldSelf.incident)"
    )
    .message("a Promotion never changes, but for abort: create another one"),
    validation = Rule::new(
        "!(has(oldSelf.abort) && oldSelf.abort) || (has(self.abort) && self.abort)"
    )
    .message("an aborted Promotion stays aborted: create another one"),
    validation = Rule::new(
        "self.action != 'Rollback' || (has(self.reason) && has(self.incident))"
    )
    .message("a rollback says why: set reason and incident")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PromotionSpec {
    /// Name of the Release, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub release: String,
    /// Name of the Environment, in the same namespace.
    #[schemars(length(min = 1, max = 56))]
    pub environment: String,
    /// Promote moves forward. Rollback goes back to a Release that has a record of success in this
    /// Environment; it needs reason and incident. It need not pass the SBOM, upstream and window
    /// gates, and is told what they say; a window of its own (annotation) holds.
    #[serde(default)]
    pub action: Action,
    /// Why; required for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub reason: Option<String>,
    /// The incident this answers to; required for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub incident: Option<String>,
    /// Set to true to end it: before anything was changed it just ends; during the roll-out what
    /// ran before is brought back, if it has a record of success here. Never goes back to false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<bool>,
}
