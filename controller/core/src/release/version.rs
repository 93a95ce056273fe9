//! A version that has an order.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ParseError, clip};

/// Nineteen digits: what a pattern can say of a number that fits into 64 bits.
const LARGEST_NUMBER: u64 = 9_999_999_999_999_999_999;

/// MAJOR, MINOR and PATCH, then identifiers without build metadata: exactly what
/// [`Version::parse`] reads.
const PATTERN: &str = "^(0|[1-9][0-9]{0,18})(\\.(0|[1-9][0-9]{0,18})){2}\
    (-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)\
    (\\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$";

/// A version in SemVer without a leading v (M07). `1.42.0-rc.1` is a version of its own and comes
/// before `1.42.0`; build metadata is refused, because it has no order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

impl Version {
    /// Parses `MAJOR.MINOR.PATCH[-PRERELEASE]`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        semver::Version::parse(text)
            .ok()
            .filter(|version| version.build.is_empty() && text.len() <= 64)
            .filter(|version| {
                let mut numbers = [version.major, version.minor, version.patch].into_iter();
                numbers.all(|number| number <= LARGEST_NUMBER)
            })
            .map(Self)
            .ok_or_else(|| ParseError::Version(clip(text)))
    }

    /// Whether this is a pre-release such as `1.42.0-rc.1`.
    #[must_use]
    pub fn is_pre_release(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

text_value!(
    Version,
    |version, f| fmt::Display::fmt(&version.0, f),
    schemars::json_schema!({
        "type": "string",
        "maxLength": 64,
        "pattern": PATTERN,
        // The commonest mistake in words: a pattern explains nothing.
        "x-kubernetes-validations": [{
            "rule": "!self.startsWith('v')",
            "message": "expected SemVer without a leading v, such as 1.42.0"
        }]
    })
);
