//! Exactly what an approver agrees to, and its hashes.

mod changes;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, Domain};
use crate::environment::{Span, Tier};
use crate::promotion::{Action, IntentTarget, Requester};
use crate::record::PolicyReference;
use crate::release::Digest;

/// Largest preimage that is published, in bytes: it stands in the Promotion's status.
pub const PREIMAGE_LIMIT: usize = 8192;

/// Most that is said of what changed since a plan that somebody agreed to.
pub const CHANGES_LIMIT: usize = 16;

pub(crate) use self::changes::changes;

/// The plan: everything an approval binds to. No clock state and no scan times, so that a nightly
/// re-scan does not void an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// uid of the namespace kube-system: which cluster.
    pub cluster: String,
    /// uid of the Promotion.
    pub promotion: String,
    /// What is asked for.
    pub action: Action,
    /// Who asked.
    pub requested_by: Requester,
    /// Digest of the Release's immutable fields.
    pub release: Digest,
    /// Hash over its components' digests.
    pub artifact_set: Digest,
    /// The fields of the Environment that are used.
    pub environment: PlanEnvironment,
    /// What changes.
    pub targets: Vec<IntentTarget>,
    /// The narrowing annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The windows in force.
    pub windows: Vec<PlanWindow>,
    /// The policies in force.
    pub policies: Vec<PolicyReference>,
    /// The trusted roots in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_roots: Vec<PlanRoot>,
}

/// The fields of the Environment that a promotion uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanEnvironment {
    /// Its uid.
    pub uid: String,
    /// Its namespace and name.
    pub key: String,
    /// Its effective tier.
    pub effective_tier: Tier,
    /// What must come before.
    pub after: Vec<String>,
    /// How long a roll-out may take.
    pub deadline: Span,
    /// Whether a failed one is undone.
    pub automatic_rollback: bool,
}

/// A ChangeWindow in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanWindow {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
}

/// A TrustedRoot in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanRoot {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content.
    pub digest: Digest,
}

/// A plan with its hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// SHA-256 over the preimage: latched decisions bind to it.
    pub content: Digest,
    /// RFC 8785 JSON of the plan.
    pub preimage: String,
}

/// The plan as approvers see it in the Promotion's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPlan {
    /// What a decision names: `content` bound to the guard epoch. Write it into `plan=`.
    pub hash: Digest,
    /// SHA-256 over the preimage.
    pub content: Digest,
    /// RFC 8785 JSON of the plan, so that anybody can recompute `content`.
    #[schemars(length(max = 8192))]
    pub preimage: String,
    /// When it was published.
    #[schemars(with = "crate::time::Schema")]
    pub minted_at: Timestamp,
    /// Fingerprint of the guard policies and bindings in force then.
    pub guard_epoch: Digest,
    /// What changed since the last plan that somebody decided about, or else since the first one, as
    /// far as it is known; the newest first. Decisions about those do not count for this plan. For
    /// people only: no hash covers it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = CHANGES_LIMIT), inner(length(max = 1024)))]
    pub changed: Vec<String>,
}

impl Plan {
    /// The plan with its hashes; `None` where it would not fit into a status.
    #[must_use]
    pub fn mint(&self) -> Option<Minted> {
        let preimage = canonical::canonical(self).ok()?;
        let content = canonical::hash_text(Domain::Plan, &preimage);
        (preimage.len() <= PREIMAGE_LIMIT).then_some(Minted { content, preimage })
    }
}

/// The hash that a decision names.
#[must_use]
pub fn bound_hash(content: &Digest, guard_epoch: &Digest) -> Digest {
    canonical::hash_text(Domain::PlanHash, &format!("{content}\n{guard_epoch}"))
}
