//! Bills of materials: enough of SPDX 2.2 and 2.3 and of CycloneDX 1.4 to 1.7, both JSON, to know
//! that it is one, which version, and how much it lists.

use lockmaster_core::evidence::{Sbom, SbomFormat};
use lockmaster_core::release::clip;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// SPDX specification 2.2 and 2.3, field `spdxVersion`.
const SPDX_VERSIONS: [&str; 2] = ["2.2", "2.3"];

/// CycloneDX specification (ECMA-424), field `specVersion`.
const CYCLONEDX_VERSIONS: [&str; 4] = ["1.4", "1.5", "1.6", "1.7"];

#[derive(Deserialize)]
struct Spdx {
    #[serde(rename = "spdxVersion")]
    version: String,
    #[serde(rename = "SPDXID")]
    identifier: String,
    #[serde(default)]
    packages: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CycloneDx {
    bom_format: String,
    spec_version: String,
    #[serde(default)]
    components: Vec<CycloneDxComponent>,
}

/// Components may hold components.
#[derive(Deserialize)]
struct CycloneDxComponent {
    #[serde(default)]
    components: Vec<CycloneDxComponent>,
}

/// Reads a bill of materials whose predicate type announces `format`; the error is the problem in
/// words.
pub(crate) fn read(format: SbomFormat, document: &[u8]) -> Result<Sbom, String> {
    match format {
        SbomFormat::Spdx => read_spdx(document),
        SbomFormat::CycloneDX => read_cyclonedx(document),
    }
}

fn read_spdx(document: &[u8]) -> Result<Sbom, String> {
    let spdx: Spdx = serde_json::from_slice(document)
        .map_err(|error| format!("the SPDX document cannot be read: {}", text(&error)))?;
    let version = spdx.version.strip_prefix("SPDX-").unwrap_or_default();
    if !SPDX_VERSIONS.contains(&version) {
        return Err(format!(
            "\"{}\" is not SPDX-2.2 or SPDX-2.3",
            clip(&spdx.version)
        ));
    }
    if spdx.identifier != "SPDXRef-DOCUMENT" {
        return Err("the SPDX document's SPDXID is not SPDXRef-DOCUMENT".to_owned());
    }
    Ok(Sbom {
        format: SbomFormat::Spdx,
        version: version.to_owned(),
        components: spdx.packages.len() as u64,
    })
}

fn read_cyclonedx(document: &[u8]) -> Result<Sbom, String> {
    let bom: CycloneDx = serde_json::from_slice(document)
        .map_err(|error| format!("the CycloneDX document cannot be read: {}", text(&error)))?;
    if bom.bom_format != "CycloneDX" {
        return Err(format!(
            "bomFormat is \"{}\", not CycloneDX",
            clip(&bom.bom_format)
        ));
    }
    if !CYCLONEDX_VERSIONS.contains(&bom.spec_version.as_str()) {
        return Err(format!(
            "\"{}\" is not CycloneDX 1.4 to 1.7",
            clip(&bom.spec_version)
        ));
    }
    Ok(Sbom {
        format: SbomFormat::CycloneDX,
        version: bom.spec_version,
        components: count(&bom.components),
    })
}

/// Depth is bounded: the document passed `document::check`.
fn count(components: &[CycloneDxComponent]) -> u64 {
    components
        .iter()
        .map(|component| 1 + count(&component.components))
        .sum()
}

fn text(error: &serde_json::Error) -> String {
    clip(&error.to_string())
}
