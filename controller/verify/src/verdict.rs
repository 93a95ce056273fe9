//! Statements that say pass or fail in themselves: SLSA verification summaries and in-toto test
//! results. A result that is none of the listed words is unreadable, never a pass.

use lockmaster_core::evidence::{TestOutcome, TestResult, VerificationSummary};
use lockmaster_core::release::clip;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::list::Capped;
use crate::predicate::{bounded, instant, nullable, optional, read as read_json};

/// Longest identifier or address that is kept.
const TEXT_LIMIT: usize = 1024;

/// Levels that one summary may name.
const LEVEL_LIMIT: usize = 32;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    verifier: Verifier,
    time_verified: Option<String>,
    resource_uri: String,
    policy: Policy,
    verification_result: String,
    verified_levels: Capped<String, LEVEL_LIMIT>,
}

#[derive(Deserialize)]
struct Verifier {
    id: String,
}

#[derive(Deserialize)]
struct Policy {
    uri: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    digest: PolicyDigest,
}

#[derive(Default, Deserialize)]
struct PolicyDigest {
    sha256: Option<String>,
}

/// Reads a verification summary; the error is the problem in words.
pub(crate) fn read_summary(text: &str) -> Result<VerificationSummary, String> {
    let Summary {
        verifier,
        time_verified,
        resource_uri,
        policy,
        verification_result,
        verified_levels,
    } = read_json("verification summary", text)?;
    let passed = match verification_result.as_str() {
        "PASSED" => true,
        "FAILED" => false,
        other => {
            return Err(format!(
                "the verification result is \"{}\", not PASSED or FAILED",
                clip(other)
            ));
        }
    };
    let time = time_verified
        .filter(|text| !text.is_empty())
        .map(|text| instant("timeVerified", &text))
        .transpose()?;
    let levels: Result<_, String> = verified_levels
        .all("levels")?
        .into_iter()
        .map(|level| bounded("a level", level, TEXT_LIMIT))
        .collect();
    Ok(VerificationSummary {
        verifier: bounded("the verifier's id", verifier.id, TEXT_LIMIT)?,
        time,
        resource: bounded("resourceUri", resource_uri, TEXT_LIMIT)?,
        policy: optional("the policy's uri", policy.uri, TEXT_LIMIT)?,
        policy_digest: optional("the policy's digest", policy.digest.sha256, TEXT_LIMIT)?,
        passed,
        levels: levels?,
    })
}

#[derive(Deserialize)]
struct TestRun {
    result: TestOutcome,
    /// Required by the specification; which settings were used is not compared with anything.
    #[serde(rename = "configuration")]
    _configuration: Vec<IgnoredAny>,
    url: Option<String>,
    #[serde(rename = "passedTests", default, deserialize_with = "nullable")]
    passed: Vec<IgnoredAny>,
    #[serde(rename = "warnedTests", default, deserialize_with = "nullable")]
    warned: Vec<IgnoredAny>,
    #[serde(rename = "failedTests", default, deserialize_with = "nullable")]
    failed: Vec<IgnoredAny>,
}

/// Reads a test result; the error is the problem in words.
pub(crate) fn read_tests(text: &str) -> Result<TestResult, String> {
    let TestRun {
        result,
        _configuration,
        url,
        passed,
        warned,
        failed,
    } = read_json("test result", text)?;
    Ok(TestResult {
        outcome: result,
        url: optional("the run's url", url, TEXT_LIMIT)?,
        passed: passed.len() as u64,
        warned: warned.len() as u64,
        failed: failed.len() as u64,
    })
}
