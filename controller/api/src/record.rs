//! Kind `PromotionRecord`: the immutable account of one finished promotion.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::record::{Content, Record};
use lockmaster_core::release::Digest;
use serde::{Deserialize, Serialize};

/// The account of one finished promotion. Immutable, linked by hash to the one before it in the
/// same Environment, and named after its place in that chain. Only the operator writes one.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "PromotionRecord",
    plural = "promotionrecords",
    namespaced,
    shortname = "prec",
    category = "lockmaster",
    derive = "PartialEq",
    printcolumn(name = "Env", type_ = "string", json_path = ".spec.environment.name"),
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".spec.release.version"
    ),
    printcolumn(
        name = "Action",
        type_ = "string",
        json_path = ".spec.promotion.action"
    ),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".spec.outcome"),
    printcolumn(
        name = "Requester",
        type_ = "string",
        json_path = ".spec.promotion.requestedBy.name"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a record never changes"))]
#[serde(rename_all = "camelCase")]
pub struct PromotionRecordSpec {
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
    /// SHA-256 over `lockmaster.record.v1` and a line break, then the RFC 8785 JSON of everything
    /// else in this spec.
    pub hash: Digest,
}

impl From<PromotionRecordSpec> for Record {
    fn from(spec: PromotionRecordSpec) -> Self {
        let PromotionRecordSpec { content, hash } = spec;
        Self { content, hash }
    }
}

impl From<Record> for PromotionRecordSpec {
    fn from(record: Record) -> Self {
        let Record { content, hash } = record;
        Self { content, hash }
    }
}
