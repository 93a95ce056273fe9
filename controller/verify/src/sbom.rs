//! Bills of materials: enough of SPDX 2.2 and 2.3 and of CycloneDX 1.4 to 1.7, both JSON, to know
//! that it is one, which version, how much it lists, and under which licences.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use lockmaster_core::evidence::{License, Sbom, SbomFormat};
use lockmaster_core::release::clip;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::list::Capped;
use crate::predicate::{nullable, read as read_json};

/// Different licences that are kept. Large images name about a hundred, expressions included.
const LICENSE_LIMIT: usize = 512;

/// Longest licence that is kept: more is a licence's text rather than its name.
const LICENSE_TEXT_LIMIT: usize = 512;

/// Licences of one component that are looked at.
const CHOICE_LIMIT: usize = 1024;

/// What SPDX calls it when nobody says under which licence something is.
const NO_ASSERTION: &str = "NOASSERTION";

/// Reads a bill of materials of `predicate_type`, which announces `format` and perhaps a version;
/// the error is the problem in words.
pub(crate) fn read(
    predicate_type: &str,
    (format, announced): (SbomFormat, Option<&str>),
    document: &str,
) -> Result<Sbom, String> {
    let (version, listed) = match format {
        SbomFormat::Spdx => spdx(document)?,
        SbomFormat::CycloneDX => cyclonedx(document)?,
    };
    if announced.is_some_and(|announced| announced != version) {
        return Err(format!(
            "the document is {format} {version}, and its type says otherwise"
        ));
    }
    let Listed {
        components,
        licenses: Licenses { found, more },
    } = listed;
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

/// What is left of a list of components: each is looked at while it is read, and none is kept.
#[derive(Default)]
struct Listed {
    components: u64,
    licenses: Licenses,
}

impl Listed {
    /// Takes what a component contains.
    fn absorb(&mut self, other: Self) {
        let Self {
            components,
            licenses,
        } = other;
        self.components += components;
        self.licenses.more |= licenses.more;
        for (text, component) in licenses.found {
            self.licenses.add(&text, &component);
        }
    }
}

/// A component or package in its own shape.
trait Component {
    /// Counts it, and what it contains, and takes the licences.
    fn list(self, listed: &mut Listed);
}

/// The components of one shape.
struct ListOf<C>(Listed, PhantomData<C>);

impl<C> Default for ListOf<C> {
    fn default() -> Self {
        Self(Listed::default(), PhantomData)
    }
}

impl<'de, C: Component + Deserialize<'de>> Deserialize<'de> for ListOf<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Self::default())
    }
}

impl<'de, C: Component + Deserialize<'de>> Visitor<'de> for ListOf<C> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self, A::Error> {
        while let Some(component) = items.next_element::<C>()? {
            component.list(&mut self.0);
        }
        Ok(self)
    }
}

#[derive(Deserialize)]
struct Spdx {
    #[serde(rename = "spdxVersion")]
    version: String,
    #[serde(rename = "SPDXID")]
    identifier: String,
    #[serde(default)]
    packages: ListOf<SpdxPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    name: Option<String>,
    license_concluded: Option<String>,
    license_declared: Option<String>,
}

impl Component for SpdxPackage {
    fn list(self, listed: &mut Listed) {
        let Self {
            name,
            license_concluded,
            license_declared,
        } = self;
        // The package's own word counts beside the author's conclusion: a rule that forbids a
        // licence forbids it in either.
        let said = [license_concluded, license_declared];
        let said = said.iter().flatten().map(String::as_str);
        let said = said.filter(|text| *text != NO_ASSERTION);
        let name = name.unwrap_or_default();
        listed.licenses.add_all(said, &name);
        listed.components += 1;
    }
}

fn spdx(document: &str) -> Result<(String, Listed), String> {
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
    Ok((version.to_owned(), spdx.packages.0))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CycloneDx {
    bom_format: String,
    spec_version: String,
    #[serde(default)]
    components: ListOf<CycloneDxComponent>,
}

/// Components may hold components.
#[derive(Deserialize)]
struct CycloneDxComponent {
    name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    licenses: Capped<LicenseChoice, CHOICE_LIMIT>,
    #[serde(default, deserialize_with = "nullable")]
    components: ListOf<CycloneDxComponent>,
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

fn cyclonedx(document: &str) -> Result<(String, Listed), String> {
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
    Ok((bom.spec_version, bom.components.0))
}

impl Component for CycloneDxComponent {
    fn list(self, listed: &mut Listed) {
        let Self {
            name,
            licenses,
            components,
        } = self;
        let name = name.unwrap_or_default();
        if let Ok(choices) = licenses.all("licences") {
            let said = choices.iter().flat_map(|choice| {
                let named = choice.license.as_ref();
                let named = named.and_then(|license| license.id.as_ref().or(license.name.as_ref()));
                [choice.expression.as_ref(), named]
            });
            let said = said.flatten().map(String::as_str);
            listed.licenses.add_all(said, &name);
        } else {
            listed.licenses.more = true;
        }
        listed.components += 1;
        listed.absorb(components.0);
    }
}
