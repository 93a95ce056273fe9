//! How an artifact was built, from SLSA provenance of any version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What SLSA provenance says of a build. The field names are those of version 1; the reader of each
/// version and build type knows where they stand there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The statement's exact predicate type, which tells the version.
    pub predicate_type: String,
    /// `runDetails.builder.id`.
    pub builder: String,
    /// `buildDefinition.buildType`.
    pub build_type: String,
    /// Repository of the source, as the external parameters name it.
    pub repository: String,
    /// Git reference that was built, such as `refs/tags/v1.42.0`.
    pub reference: String,
    /// Commit of the one resolved dependency that the external parameters name.
    pub commit: String,
    /// The definition that the build followed, `<repository>/<path>@<ref>` (M128).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// What else the build was asked for from outside, by its path among the external parameters,
    /// such as `inputs.debug` (M05).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The event that started it, such as `push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// `runDetails.metadata.invocationId`: the build run (M16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
}
