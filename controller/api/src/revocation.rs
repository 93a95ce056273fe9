//! Kind `Revocation`: what is no longer good.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::release::Digest;
use lockmaster_core::revocation::{Revocation as Content, RevokedRecord, RevokedSigner};
use serde::{Deserialize, Serialize};

use crate::policy::PolicyStatus;

/// What is no longer good, whatever was proven of it before: artifacts, bundles, signers from an
/// instant on, and records. It holds for every Environment and is asked before every change of a
/// workload. What runs already is not rolled back by itself. Whoever edits or deletes it lifts it.
/// One that cannot be read closes every Environment.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "Revocation",
    plural = "revocations",
    shortname = "rev",
    category = "lockmaster",
    category = "lockmaster-policy",
    status = "PolicyStatus",
    derive = "PartialEq",
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
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
    validation = Rule::new("[has(self.digests) && size(self.digests) > 0, \
                            has(self.bundles) && size(self.bundles) > 0, \
                            has(self.signers) && size(self.signers) > 0, \
                            has(self.records) && size(self.records) > 0].exists(named, named)")
        .message("it revokes nothing: name digests, bundles, signers or records")
)]
#[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationSpec {
    /// Why, for everybody who meets it: it stands in the message of every gate that it closes.
    #[schemars(length(min = 1, max = 512))]
    pub reason: String,
    /// Digests of images: nothing brings them anywhere any more, neither forward nor back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub digests: Vec<Digest>,
    /// Digests of bundles, which are signatures and attestations, as they stand in the evidence of
    /// gates and records: they do not count any more. Better than `digest` is the `payload` beside it,
    /// which stays the same however the bundle is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub bundles: Vec<Digest>,
    /// Signers whose signatures do not count from an instant on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub signers: Vec<RevokedSigner>,
    /// PromotionRecords that prove nothing any more: neither that artifacts were where they must
    /// have been before, nor that they may be gone back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub records: Vec<RevokedRecord>,
}

impl From<RevocationSpec> for Content {
    fn from(spec: RevocationSpec) -> Self {
        let RevocationSpec {
            reason,
            digests,
            bundles,
            signers,
            records,
        } = spec;
        Self {
            reason,
            digests,
            bundles,
            signers,
            records,
        }
    }
}
