//! Statements that say pass or fail in themselves: verification summaries and test results.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A SLSA verification summary (specification 1.0 to 1.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSummary {
    /// `verifier.id`.
    pub verifier: String,
    /// `timeVerified`, where it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// `resourceUri`: how the verifier names the artifact.
    pub resource: String,
    /// `policy.uri`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// `policy.digest`: its sha256, 64 hexadecimal characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// Whether `verificationResult` is PASSED; anything but FAILED is not read.
    pub passed: bool,
    /// `verifiedLevels`.
    pub levels: Vec<String>,
}

/// A test run (in-toto test-result v0.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// `result`.
    pub outcome: TestOutcome,
    /// `url` of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How many tests passed.
    pub passed: u64,
    /// How many passed with a warning.
    pub warned: u64,
    /// How many failed, whatever `result` says.
    pub failed: u64,
}

/// How a test run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestOutcome {
    /// All tests passed.
    Passed,
    /// Some passed with a warning.
    Warned,
    /// Some failed.
    Failed,
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "PASSED",
            Self::Warned => "WARNED",
            Self::Failed => "FAILED",
        })
    }
}
