//! The request to move one Release into one Environment, and what is remembered of it.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::Approval;
use crate::canonical::{self, Domain};
use crate::environment::{Tier, WorkloadReference};
use crate::gate::GateReport;
use crate::plan::PublishedPlan;
use crate::record::{GateSummary, Outcome, PolicyReference, WindowReference};
use crate::release::{ComponentDigest, Digest, ImageReference, Version};

/// Annotation that narrows the change windows of one Promotion.
pub const WINDOW_ANNOTATION: &str = "lockmaster.dev/window";
/// Annotation that says who asked; where present, the API server's guard proves it true.
pub const REQUESTED_BY_ANNOTATION: &str = "lockmaster.dev/requested-by";

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Action {
    /// Move a release forward into the Environment.
    #[default]
    Promote,
    /// Go back to a release that has a record of success here.
    Rollback,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "Promote",
            Self::Rollback => "Rollback",
        })
    }
}

/// The spec of a Promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Name of the Release, in the Promotion's namespace.
    pub release: String,
    /// Name of the Environment, in the Promotion's namespace.
    pub environment: String,
    /// Promote or Rollback.
    pub action: Action,
    /// Why; required for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The incident; required for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Whether a person ended it. Not part of [`Request::hash`].
    #[serde(default)]
    pub abort: bool,
}

impl Request {
    /// SHA-256 over the canonical JSON of the spec without `abort`: what makes a re-created
    /// Promotion the same request.
    pub fn hash(&self) -> Result<Digest, canonical::Error> {
        #[derive(Serialize)]
        struct Immutable<'a> {
            release: &'a str,
            environment: &'a str,
            action: Action,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            incident: Option<&'a str>,
        }
        let Self {
            release,
            environment,
            action,
            reason,
            incident,
            abort: _,
        } = self;
        canonical::hash(
            Domain::PromotionSpec,
            &Immutable {
                release,
                environment,
                action: *action,
                reason: reason.as_deref(),
                incident: incident.as_deref(),
            },
        )
    }
}

/// What kind of requester it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequesterKind {
    /// A user whose name does not start with `system:`.
    Person,
    /// A service account or another `system:` user, such as a GitOps controller.
    Robot,
    /// Nobody recorded who it was.
    Unknown,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Requester {
    /// User name; empty when Unknown.
    pub name: String,
    /// Person, Robot or Unknown. Robot and Unknown cost one approver more, because nobody can
    /// tell whether the approver is the same person.
    pub kind: RequesterKind,
}

impl Requester {
    /// The requester that an annotation's value names.
    #[must_use]
    pub fn of_annotation(value: Option<&str>) -> Self {
        match value {
            None | Some("") => Self {
                name: String::new(),
                kind: RequesterKind::Unknown,
            },
            Some(name) if name.starts_with("system:") => Self {
                name: name.to_owned(),
                kind: RequesterKind::Robot,
            },
            Some(name) => Self {
                name: name.to_owned(),
                kind: RequesterKind::Person,
            },
        }
    }
}

/// One container that an attempt changes, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntentTarget {
    /// Component of the release.
    pub component: String,
    /// The workload.
    pub workload: WorkloadReference,
    /// Its uid: a workload re-created under the same name is another one.
    pub uid: String,
    /// The container.
    pub container: String,
    /// Who owned the image field when this was decided, as sorted `manager/operation`.
    pub owners: Vec<String>,
    /// The image as it was.
    pub from: String,
    /// The image as it shall be.
    pub to: ImageReference,
}

/// One attempt to change the targets: forward (the first) or back (the second).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// 1 for the way forward, 2 for undoing it.
    pub attempt: u32,
    /// When it was decided; the deadline counts from here.
    #[schemars(with = "crate::time::Schema")]
    pub at: Timestamp,
    /// For an attempt that undoes the one before: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Undo>,
    /// What it changes.
    pub targets: Vec<IntentTarget>,
}

/// Why an attempt is undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Undo {
    /// The reason as a word.
    pub reason: crate::reason::Reason,
    /// The reason for a person.
    pub message: String,
}

/// Everything a record says of a promotion that is settled when its intent is: kept in the claim,
/// so that losing the Promotion object loses nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The promotion.
    pub promotion: PromotionReference,
    /// The release; absent only where it could never be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseReference>,
    /// Effective tier of the Environment.
    pub effective_tier: Tier,
    /// Hash of the plan, where one could be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<Digest>,
    /// Policies in force.
    #[serde(default)]
    pub policies: Vec<PolicyReference>,
    /// What the gates said.
    #[serde(default)]
    pub gates: Vec<GateSummary>,
    /// Decisions of people, as latched.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// The window that was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowReference>,
}

/// Names a Promotion in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionReference {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// SHA-256 over its spec without `abort`.
    pub spec_hash: Digest,
    /// What was asked for.
    pub action: Action,
    /// Name of the Release that was asked for.
    pub release: String,
    /// When the API server created it.
    #[schemars(with = "crate::time::Schema")]
    pub created: Timestamp,
    /// Why, as the Promotion says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The incident, as the Promotion says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Who asked.
    pub requested_by: Requester,
}

/// Names a Release in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseReference {
    /// Its name.
    pub name: String,
    /// Its product.
    pub product: String,
    /// Its version.
    pub version: Version,
    /// Hash over its components' digests.
    pub artifact_set: Digest,
    /// Digest of each component.
    pub components: Vec<ComponentDigest>,
}

impl ReleaseReference {
    /// Version and short digest, as columns show it: `1.42.0@9f2c41d07a11`, or `1.42.0 (2)` for a
    /// set of two.
    #[must_use]
    pub fn short(&self) -> String {
        match self.components.as_slice() {
            [only] => format!("{}@{}", self.version, only.digest.short()),
            set => format!("{} ({})", self.version, set.len()),
        }
    }
}

/// The claim: which promotion holds an Environment, written there before anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The attempt that holds it, with all its targets.
    pub intent: Intent,
    /// What the record will say.
    pub account: Account,
}

/// Where the concluded promotion's record is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordReference {
    /// Name of the PromotionRecord.
    pub name: String,
    /// Its hash.
    pub hash: Digest,
    /// What it says.
    pub outcome: Outcome,
}

/// What the Promotion's status remembers; the only part of it that decisions read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Who asked, once recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// The plan as published to approvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PublishedPlan>,
    /// The one before, while no plan is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken_plan: Option<PublishedPlan>,
    /// Decisions of people, latched, append-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// What the gates said last: from the intent on, what they said then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateReport>,
    /// The open intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The record; present means that the promotion is finished and never changes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordReference>,
    /// Whether anything was ever written to its status.
    #[serde(default)]
    pub reported: bool,
}

/// A Promotion, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// When the API server created it.
    pub created: Timestamp,
    /// When this process first saw it: how long a first report may wait for facts on their way.
    pub first_seen: Timestamp,
    /// Its annotations under `lockmaster.dev`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What is asked for.
    pub request: Request,
    /// What is remembered.
    pub memory: Memory,
}

impl Promotion {
    /// Who asked: as recorded, otherwise as the annotation says.
    #[must_use]
    pub fn requester(&self) -> Requester {
        self.memory.requested_by.clone().unwrap_or_else(|| {
            let annotation = self.annotations.get(REQUESTED_BY_ANNOTATION);
            Requester::of_annotation(annotation.map(String::as_str))
        })
    }

    /// Whether it is finished.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.memory.record.is_some()
    }
}

/// The value of the intent annotation for one attempt.
#[must_use]
pub fn attempt_key(promotion_uid: &str, attempt: u32) -> String {
    format!("{promotion_uid}/{attempt}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aborting_does_not_make_it_another_request() {
        let request = Request {
            release: "checkout-1.42.0".into(),
            environment: "checkout-prod".into(),
            action: Action::Promote,
            reason: None,
            incident: None,
            abort: false,
        };
        let aborted = Request {
            abort: true,
            ..request.clone()
        };
        let rollback = Request {
            action: Action::Rollback,
            ..request.clone()
        };
        assert_eq!(request.hash().unwrap(), aborted.hash().unwrap());
        assert_ne!(request.hash().unwrap(), rollback.hash().unwrap());
    }

    #[test]
    fn requesters_are_persons_robots_or_unknown() {
        let kind = |value| Requester::of_annotation(value).kind;
        assert_eq!(kind(Some("bob@corp")), RequesterKind::Person);
        assert_eq!(
            kind(Some("system:serviceaccount:flux:flux")),
            RequesterKind::Robot
        );
        assert_eq!(kind(Some("")), RequesterKind::Unknown);
        assert_eq!(kind(None), RequesterKind::Unknown);
    }
}
