//! Kind `ChangeWindow`: when things may change.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::window::{Calendar, Range};
use serde::{Deserialize, Serialize};

use crate::policy::PolicyStatus;

/// When promotions may begin, in the civil time of one zone. Policies name it.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "ChangeWindow",
    plural = "changewindows",
    shortname = "cwin",
    category = "lockmaster",
    category = "lockmaster-policy",
    status = "PolicyStatus",
    derive = "PartialEq",
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.zone"),
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
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeWindowSpec {
    /// IANA time zone of all the ranges, such as Europe/Berlin.
    #[schemars(length(min = 1, max = 64))]
    pub zone: String,
    /// When it is open; any of them.
    #[schemars(length(min = 1, max = 16))]
    pub ranges: Vec<Range>,
}

impl From<ChangeWindowSpec> for Calendar {
    fn from(spec: ChangeWindowSpec) -> Self {
        let ChangeWindowSpec { zone, ranges } = spec;
        Self { zone, ranges }
    }
}
