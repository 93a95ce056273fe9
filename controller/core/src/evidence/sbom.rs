//! What a bill of materials holds, as far as rules ask for it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CYCLONEDX, SPDX};

/// Formats of bills of materials.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum SbomFormat {
    /// SPDX 2.2 or 2.3, JSON.
    #[serde(rename = "SPDX")]
    Spdx,
    /// CycloneDX 1.4 to 1.7, JSON.
    CycloneDX,
}

impl SbomFormat {
    /// The format that a predicate type announces and, where it does, the version: `https://spdx.dev/Document`
    /// with or without `/v2.3`. Any other type announces none.
    #[must_use]
    pub fn of_predicate(predicate: &str) -> Option<(Self, Option<&'static str>)> {
        let formats = [(Self::Spdx, SPDX), (Self::CycloneDX, CYCLONEDX)];
        formats.into_iter().find_map(|(format, name)| {
            let rest = predicate.strip_prefix(name)?;
            if rest.is_empty() {
                return Some((format, None));
            }
            let version = rest.strip_prefix("/v")?;
            let known = format.versions().iter().find(|known| **known == version)?;
            Some((format, Some(*known)))
        })
    }

    /// The versions that are read: SPDX specification 2.2 and 2.3, CycloneDX (ECMA-424) 1.4 to 1.7.
    #[must_use]
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Spdx => &["2.2", "2.3"],
            Self::CycloneDX => &["1.4", "1.5", "1.6", "1.7"],
        }
    }
}

impl fmt::Display for SbomFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spdx => "SPDX",
            Self::CycloneDX => "CycloneDX",
        })
    }
}

/// What a bill of materials holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sbom {
    /// The statement's exact predicate type.
    pub predicate_type: String,
    /// Its format.
    pub format: SbomFormat,
    /// The format's version, such as `2.3` or `1.6`.
    pub version: String,
    /// How many packages or components it lists.
    pub components: u64,
    /// The licences that it names, each once, sorted (M15).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<License>,
    /// Whether it names more licences than are kept: then nobody can say that one is not among them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_licenses: bool,
}

/// A licence that a bill of materials names, with the component that it was found at first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct License {
    /// The licence as it is written: an SPDX identifier or expression, or a name. `NOASSERTION`
    /// where a component names none.
    pub text: String,
    /// Name of a component that has it.
    pub component: String,
}
