//! Kind `TrustedRoot`: whose certificates, transparency logs and timestamps count.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::policy::PolicyStatus;

/// A Sigstore trusted root: certificate authorities, transparency logs and timestamp authorities.
/// Policies name it. Nothing is fetched: what stands here is all that is trusted, and a change is
/// one of this object.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "TrustedRoot",
    plural = "trustedroots",
    shortname = "troot",
    category = "lockmaster",
    category = "lockmaster-policy",
    status = "PolicyStatus",
    derive = "PartialEq",
    printcolumn(name = "Version", type_ = "integer", json_path = ".spec.version"),
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
    validation = Rule::new("self == oldSelf || self.version > oldSelf.version")
        .message("a change needs a higher version, so that an old root is never put back unseen: \
                  raise spec.version")
)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedRootSpec {
    /// Number of this content, raised with each change; it never goes down.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub version: i64,
    /// The root, as the JSON that `cosign trusted-root create` or the TUF target trusted_root.json
    /// holds (media type application/vnd.dev.sigstore.trustedroot+json); at most 256 KiB.
    #[schemars(length(min = 2, max = 262_144))]
    pub json: String,
}
