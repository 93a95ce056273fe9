//! What a vulnerability scanner found.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad a vulnerability is, least first; every report names one for each finding.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Severity {
    /// The scanner says that nobody knows.
    Unknown,
    /// Hardly any effect.
    Negligible,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Negligible => "Negligible",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        })
    }
}

/// The report of one scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// URI of the scanner.
    pub scanner: String,
    /// When the scan ended.
    pub finished: Timestamp,
    /// When the scanner's database was updated, where the report says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<Timestamp>,
    /// How many findings there are of each severity, the details of which may have been left out.
    pub counts: BTreeMap<Severity, u64>,
    /// The worst findings, worst first: at most [`FINDINGS_KEPT`].
    pub findings: Vec<Finding>,
}

/// Findings of a report whose details stay in memory. What is left out is counted, and cannot be
/// excused by VEX.
pub const FINDINGS_KEPT: usize = 128;

/// A vulnerability in a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad the scanner calls it.
    pub severity: Severity,
    /// The vulnerability, such as `CVE-2024-3094`.
    pub id: String,
    /// Other names of the same vulnerability.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Name of the package, for people.
    pub package: String,
    /// The package as a package URL, where the report names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
}
