//! Our own predicates: what a build pipeline states about source, checks and releases.
//!
//! Unknown fields are refused, and so is what is empty, blank or too long: each of these statements
//! opens a gate. Their JSON Schemas in `docs/reference/predicates/` are made from these types.

mod bounds;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use super::{CHANGE, CHECKS, NOT_APPLICABLE, TAGGED_RELEASE};
use crate::release::{Digest, Version};

pub use bounds::is_git_commit;

/// How the source came to be: who wrote, reviewed and merged it, and on which branch (M127, M145).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "change/v1")]
pub struct Change {
    /// The commit that was built: 40 or 64 lower-case hexadecimal characters.
    #[schemars(regex(pattern = "^([a-f0-9]{40}|[a-f0-9]{64})$"))]
    pub commit: String,
    /// The branch that the commit is on, without `refs/heads/`, such as `main` or `release/1.42`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub branch: String,
    /// Everybody who wrote a part of the change.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 256), regex(pattern = r"\S"))
    )]
    pub authors: Vec<String>,
    /// Who merged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub merged_by: Option<String>,
    /// Everybody who approved it in review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 256), regex(pattern = r"\S"))
    )]
    pub reviewers: Vec<String>,
    /// URLs of the pull requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 1024), regex(pattern = r"\S"))
    )]
    pub pull_requests: Vec<String>,
    /// The release tag that it is based on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub base_tag: Option<String>,
    /// How risky its authors call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<Risk>,
    /// Whether it touches security.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<bool>,
    /// The commits that it was picked from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(regex(pattern = "^([a-f0-9]{40}|[a-f0-9]{64})$"))
    )]
    pub cherry_pick_of: Vec<String>,
}

/// How risky a change is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// Which checks ran on a commit, and how they ended (M20, M129).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "checks/v1")]
pub struct Checks {
    /// The commit that was checked: 40 or 64 lower-case hexadecimal characters.
    #[schemars(regex(pattern = "^([a-f0-9]{40}|[a-f0-9]{64})$"))]
    pub commit: String,
    /// When the last of them ended, RFC 3339. Of two statements the later one counts.
    #[schemars(with = "crate::time::Schema")]
    pub finished_on: Timestamp,
    /// The checks, each name once.
    #[schemars(length(min = 1, max = 256))]
    pub checks: Vec<Check>,
    /// Numbers that rules may ask for, such as `coverage`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub measurements: BTreeMap<String, serde_json::Number>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Its name, by which policies ask for it.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub name: String,
    /// How it ended.
    pub conclusion: Conclusion,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"\S"))]
    pub url: Option<String>,
    /// The parts of it that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub quarantined: Vec<Quarantine>,
}

/// How a check ended, in GitHub's words. Only `success` passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// It passed.
    Success,
    /// It failed.
    Failure,
    /// It ended without an opinion.
    Neutral,
    /// Somebody ended it.
    Cancelled,
    /// It did not run.
    Skipped,
    /// It took too long.
    TimedOut,
    /// It waits for somebody.
    ActionRequired,
    /// It never ended.
    Stale,
    /// It could not start.
    StartupFailure,
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Neutral => "neutral",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::TimedOut => "timed_out",
            Self::ActionRequired => "action_required",
            Self::Stale => "stale",
            Self::StartupFailure => "startup_failure",
        })
    }
}

/// A part of a check that was left out for a time (M129).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quarantine {
    /// What was left out: the test's name.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub test: String,
    /// Why.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"\S"))]
    pub rationale: String,
    /// Who agreed.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub approver: String,
    /// When it must be back, RFC 3339.
    #[schemars(with = "crate::time::Schema")]
    pub until: Timestamp,
    /// Where that is tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"\S"))]
    pub ticket: Option<String>,
}

/// Which tag and version belong to a commit and to digests: what the release job states when it
/// tags at go/no-go (M09 to M11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "release/v1")]
pub struct TaggedRelease {
    /// The product; where it is given, it must be that of the Release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub product: Option<String>,
    /// The version, SemVer without a leading v.
    pub version: Version,
    /// The tag: `v` and the version.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub tag: String,
    /// The commit that the tag points at: 40 or 64 lower-case hexadecimal characters.
    #[schemars(regex(pattern = "^([a-f0-9]{40}|[a-f0-9]{64})$"))]
    pub commit: String,
    /// Digests of all images of the release.
    #[schemars(length(min = 1, max = 64))]
    pub digests: Vec<Digest>,
}

/// That something which a policy asks for does not apply to this artifact (M19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "not-applicable/v1")]
pub struct NotApplicable {
    /// The name of the policy's entry that it answers, such as `dast`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub what: String,
    /// Why it does not apply.
    #[schemars(length(min = 1, max = 2048), regex(pattern = r"\S"))]
    pub rationale: String,
    /// Who says so.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    pub by: String,
}

/// The JSON Schema of each of our predicates, by its predicate type.
#[must_use]
pub fn schemas() -> [(&'static str, serde_json::Value); 4] {
    fn schema<T: JsonSchema>(predicate_type: &'static str) -> (&'static str, serde_json::Value) {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            // What the values of the API have for the API server alone.
            let strip = RecursiveTransform(|schema: &mut Schema| {
                schema.remove("x-kubernetes-validations");
            });
            settings.transforms.push(Box::new(strip));
        });
        let mut schema = settings.into_generator().into_root_schema_for::<T>();
        schema.insert("$id".to_owned(), predicate_type.into());
        (predicate_type, schema.to_value())
    }
    [
        schema::<Change>(CHANGE),
        schema::<Checks>(CHECKS),
        schema::<TaggedRelease>(TAGGED_RELEASE),
        schema::<NotApplicable>(NOT_APPLICABLE),
    ]
}
