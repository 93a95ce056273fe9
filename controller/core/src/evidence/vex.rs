//! What somebody who looked into it says of known vulnerabilities (OpenVEX 0.2.0).

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An OpenVEX document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vex {
    /// The statement's exact predicate type.
    pub predicate_type: String,
    /// Whom the document calls its author: for people; who signed is what counts.
    pub author: String,
    /// Its statements, in order.
    pub statements: Vec<VexStatement>,
}

/// What is said of one vulnerability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VexStatement {
    /// All names of the vulnerability.
    pub vulnerabilities: Vec<String>,
    /// The products that it is said of; of the artifact itself when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<VexProduct>,
    /// What is said.
    pub status: VexStatus,
    /// Why, from OpenVEX's list; only for what does not affect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub justification: Option<String>,
    /// When it was said or last changed: the statement's own time or, without one, the document's.
    pub time: Timestamp,
}

/// A product, and the parts of it that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VexProduct {
    /// All that identifies it: its id, its package URL, and `sha256:` with its hash.
    pub names: Vec<String>,
    /// Ids and package URLs of the parts; the whole product when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
}

/// OpenVEX's statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VexStatus {
    /// The vulnerability has no effect here.
    NotAffected,
    /// It has.
    Affected,
    /// The product holds a fix.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

impl fmt::Display for VexStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAffected => "not_affected",
            Self::Affected => "affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
        })
    }
}
