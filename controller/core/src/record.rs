//! The immutable, hash-linked account of one finished promotion.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::Approval;
use crate::canonical::{self, Domain};
use crate::environment::{Environment, Tier};
use crate::gate::{EvidenceReference, Verdict};
use crate::promotion::{Account, IntentTarget, PromotionReference, ReleaseReference};
use crate::reason::Reason;
use crate::release::{ComponentDigest, Digest};

/// How a promotion ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Outcome {
    /// The release ran and was healthy.
    Succeeded,
    /// It did not, and may still be what runs.
    Failed,
    /// It did not, and what ran before runs again.
    RolledBack,
    /// A person said no.
    Rejected,
    /// A person ended it.
    Aborted,
    /// A newer Promotion of the same release replaced it.
    Superseded,
}

impl Outcome {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Succeeded,
        Self::Failed,
        Self::RolledBack,
        Self::Rejected,
        Self::Aborted,
        Self::Superseded,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::Rejected => "Rejected",
            Self::Aborted => "Aborted",
            Self::Superseded => "Superseded",
        })
    }
}

/// A policy that was in force.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReference {
    /// Name of the ClusterPromotionPolicy.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// SHA-256 over its rules.
    pub digest: Digest,
}

/// What a gate said, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateSummary {
    /// Name of the gate.
    pub name: String,
    /// Its answer.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What it rested on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceReference>,
}

/// The window occurrence in which a promotion began (M24).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WindowReference {
    /// Names of the ChangeWindows that were open.
    pub names: Vec<String>,
    /// Since when they have been open: the latest start of their occurrences.
    #[schemars(with = "crate::time::Schema")]
    pub start: Timestamp,
    /// When the occurrence that all of them share ends; absent when they never close.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub end: Option<Timestamp>,
}

/// The Environment a record is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentReference {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its tier as it counted.
    pub effective_tier: Tier,
}

/// Names the record before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordLink {
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: Digest,
}

/// When the steps of a promotion happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// When the Promotion was created.
    #[schemars(with = "crate::time::Schema")]
    pub requested: Timestamp,
    /// When the (last) intent was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub intent: Option<Timestamp>,
    /// When the outcome was seen.
    #[schemars(with = "crate::time::Schema")]
    pub finished: Timestamp,
}

/// The content of a PromotionRecord, without its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Position in the Environment's chain, from 1.
    pub sequence: u32,
    /// The Environment.
    pub environment: EnvironmentReference,
    /// The Promotion.
    pub promotion: PromotionReference,
    /// The Release; absent only where it could never be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseReference>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so, as a word.
    pub reason: Reason,
    /// Why it ended so, for a person.
    pub message: String,
    /// What was changed; empty when nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<IntentTarget>,
    /// What runs afterwards, per component; empty when that is not known to be a digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<ComponentDigest>,
    /// Hash of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<Digest>,
    /// Policies in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<PolicyReference>,
    /// What the gates said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateSummary>,
    /// Decisions of people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// The window in which it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowReference>,
    /// When its steps happened.
    pub times: Times,
    /// The record before it; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordLink>,
}

impl Content {
    /// Whether it is about these artifacts.
    #[must_use]
    pub fn is_about(&self, artifact_set: &Digest) -> bool {
        self.release
            .as_ref()
            .is_some_and(|release| release.artifact_set == *artifact_set)
    }
}

/// A record: content and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// What it says.
    pub content: Content,
    /// SHA-256 over the canonical JSON of the content.
    pub hash: Digest,
}

/// How one promotion ended and what that left behind.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) targets: Vec<IntentTarget>,
    pub(crate) left: Vec<ComponentDigest>,
    pub(crate) times: Times,
}

impl Record {
    /// The name of the `sequence`-th record of an Environment: CREATE of that name is the
    /// compare-and-swap of the chain.
    #[must_use]
    pub fn name(environment: &str, sequence: u32) -> String {
        format!("{environment}-{sequence:06}")
    }

    /// The name of this record.
    #[must_use]
    pub fn object_name(&self) -> String {
        Self::name(&self.content.environment.name, self.content.sequence)
    }

    /// Whether it says that these artifacts succeeded.
    #[must_use]
    pub fn succeeded_with(&self, artifact_set: &Digest) -> bool {
        self.content.outcome == Outcome::Succeeded && self.content.is_about(artifact_set)
    }

    /// Whether the hash is that of the content.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        canonical::hash(Domain::Record, &self.content).is_ok_and(|hash| hash == self.hash)
    }

    /// The next record of the chain.
    pub(crate) fn next(
        environment: &Environment,
        newest: Option<&Self>,
        account: Account,
        ending: Ending,
    ) -> Result<Self, canonical::Error> {
        let Account {
            promotion,
            release,
            effective_tier,
            plan_hash,
            policies,
            gates,
            approvals,
            window,
        } = account;
        let Ending {
            outcome,
            reason,
            message,
            targets,
            left,
            times,
        } = ending;
        let content = Content {
            sequence: newest.map_or(1, |record| record.content.sequence + 1),
            environment: EnvironmentReference {
                name: environment.name.clone(),
                uid: environment.uid.clone(),
                effective_tier,
            },
            promotion,
            release,
            outcome,
            reason,
            message,
            targets,
            left,
            plan_hash,
            policies,
            gates,
            approvals,
            window,
            times,
            previous: newest.map(|record| RecordLink {
                name: record.object_name(),
                hash: record.hash.clone(),
            }),
        };
        let hash = canonical::hash(Domain::Record, &content)?;
        Ok(Self { content, hash })
    }
}
