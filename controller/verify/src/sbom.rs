//! Bills of materials: enough of SPDX 2.2 and 2.3 and of CycloneDX 1.4 to 1.7, both JSON, to know
//! that it is one, which version, how much it lists, and under which licences.

use std::collections::BTreeMap;

use lockmaster_core::evidence::{License, Sbom, SbomFormat};
use lockmaster_core::release::clip;
use serde::Deserialize;

use crate::predicate::{nullable, read as read_json};

/// Different licences that are kept. Large images name about a hundred, expressions included.
const LICENSE_LIMIT: usize = 512;

/// Longest licence that is kept: more is a licence's text rather than its name.
const LICENSE_TEXT_LIMIT: usize = 512;

/// What SPDX calls it when nobody says under which licence something is.
const NO_ASSERTION: &str = "NOASSERTION";

/// Reads a bill of materials of `predicate_type`, which announces `format` and perhaps a version;
/// the error is the problem in words.
pub(crate) fn read(
    predicate_type: &str,
    (format, announced): (SbomFormat, Option<&str>),
    document: &str,
) -> Result<Sbom, String> {
    let mut licenses = Licenses::default();
    let (version, components) = match format {
        SbomFormat::Spdx => spdx(document, &mut licenses)?,
        SbomFormat::CycloneDX => cyclonedx(document, &mut licenses)?,
    };
    if announced.is_some_and(|announced| announced != version) {
        return Err(format!(
            "the document is {format} {version}, and its type says otherwise"
        ));
    }
    let Licenses { found, more } = licenses;
    let licenses = found
        .into_iter()
        .map(|(text, component)| License { text, component });
    Ok(Sbom {
        predicate_type: predicate_type.to_owned(),
        format,
        version,
        components,
        licenses: licenses.collect(),
        more_licenses: more,
    })
}

/// Every licence with the first component that has it.
#[derive(Default)]
struct Licenses {
    found: BTreeMap<String, String>,
    more: bool,
}

impl Licenses {
    fn add(&mut self, text: &str, component: &str) {
        let text = text.trim();
        let known = self.found.contains_key(text);
        if text.len() > LICENSE_TEXT_LIMIT || (!known && self.found.len() >= LICENSE_LIMIT) {
            self.more = true;
        } else if !known {
            self.found.insert(text.to_owned(), clip(component));
        }
    }

    /// All licences of one component.
    fn add_all<'a>(&mut self, texts: impl Iterator<Item = &'a str>, component: &str) {
        let mut texts = texts.filter(|text| !text.trim().is_empty()).peekable();
        if texts.peek().is_none() {
            self.add(NO_ASSERTION, component);
        }
        for text in texts {
            self.add(text, component);
        }
    }
}

#[derive(Deserialize)]
struct Spdx {
    #[serde(rename = "spdxVersion")]
    version: String,
    #[serde(rename = "SPDXID")]
    identifier: String,
    #[serde(default)]
    packages: Vec<SpdxPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    name: Option<String>,
    license_concluded: Option<String>,
    license_declared: Option<String>,
}

fn spdx(document: &str, licenses: &mut Licenses) -> Result<(String, u64), String> {
    let spdx: Spdx = read_json("SPDX document", document)?;
    let version = spdx.version.strip_prefix("SPDX-").unwrap_or_default();
    if !SbomFormat::Spdx.versions().contains(&version) {
        return Err(format!(
            "\"{}\" is not SPDX-2.2 or SPDX-2.3",
            clip(&spdx.version)
        ));
    }
    if spdx.identifier != "SPDXRef-DOCUMENT" {
        return Err("the SPDX document's SPDXID is not SPDXRef-DOCUMENT".to_owned());
    }
    for package in &spdx.packages {
        let SpdxPackage {
            name,
            license_concluded,
            license_declared,
        } = package;
        // The package's own word counts beside the author's conclusion: a rule that forbids a
        // licence forbids it in either.
        let said = [license_concluded, license_declared].into_iter().flatten();
        let said = said
            .map(String::as_str)
            .filter(|text| *text != NO_ASSERTION);
        licenses.add_all(said, name.as_deref().unwrap_or_default());
    }
    Ok((version.to_owned(), spdx.packages.len() as u64))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CycloneDx {
    bom_format: String,
    spec_version: String,
    #[serde(default)]
    components: Vec<Component>,
}

/// Components may hold components.
#[derive(Deserialize)]
struct Component {
    name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    licenses: Vec<LicenseChoice>,
    #[serde(default, deserialize_with = "nullable")]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct LicenseChoice {
    expression: Option<String>,
    license: Option<NamedLicense>,
}

#[derive(Deserialize)]
struct NamedLicense {
    id: Option<String>,
    name: Option<String>,
}

fn cyclonedx(document: &str, licenses: &mut Licenses) -> Result<(String, u64), String> {
    let bom: CycloneDx = read_json("CycloneDX document", document)?;
    if bom.bom_format != "CycloneDX" {
        return Err(format!(
            "bomFormat is \"{}\", not CycloneDX",
            clip(&bom.bom_format)
        ));
    }
    let known = SbomFormat::CycloneDX.versions();
    if !known.contains(&bom.spec_version.as_str()) {
        return Err(format!(
            "\"{}\" is not CycloneDX 1.4 to 1.7",
            clip(&bom.spec_version)
        ));
    }
    let components = take(&bom.components, licenses);
    Ok((bom.spec_version, components))
}

/// Counts components and takes their licences. Depth is bounded: the document passed
/// `document::check`.
fn take(components: &[Component], licenses: &mut Licenses) -> u64 {
    let mut count = 0;
    for component in components {
        let said = component.licenses.iter().flat_map(|choice| {
            let named = choice.license.as_ref();
            let named = named.and_then(|license| license.id.as_ref().or(license.name.as_ref()));
            [choice.expression.as_ref(), named]
        });
        let name = component.name.as_deref().unwrap_or_default();
        licenses.add_all(said.flatten().map(String::as_str), name);
        count += 1 + take(&component.components, licenses);
    }
    count
}
