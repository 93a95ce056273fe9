//! Trivy's JSON report, `SchemaVersion` 2.

use lockmaster_core::evidence::Finding;
use serde::Deserialize;

use super::{FINDING_LIMIT, NAMED_LIMIT, PART_LIMIT, Raw, Report};
use crate::list::Capped;
use crate::predicate::{self, nullable};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    schema_version: u64,
    #[serde(default, deserialize_with = "nullable")]
    results: Capped<Target, PART_LIMIT>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    #[serde(default, deserialize_with = "nullable")]
    class: String,
    #[serde(default, deserialize_with = "nullable")]
    vulnerabilities: Capped<Found, FINDING_LIMIT>,
}

/// Made a finding at once, so that a long list is in memory but once.
#[derive(Deserialize)]
#[serde(try_from = "Vulnerability")]
struct Found(Finding);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: Option<String>,
    #[serde(rename = "VendorIDs", default, deserialize_with = "nullable")]
    vendor_ids: Capped<String, NAMED_LIMIT>,
    pkg_name: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pkg_identifier: Identifier,
    severity: Option<String>,
}

#[derive(Default, Deserialize)]
struct Identifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

/// Classes of targets in which packages are looked up; others hold secrets or settings.
const PACKAGE_CLASSES: [&str; 2] = ["os-pkgs", "lang-pkgs"];

pub(super) fn read(text: &str) -> Result<Report, String> {
    let document: Document = predicate::read("Trivy report", text)?;
    if document.schema_version != 2 {
        return Err(format!(
            "the Trivy report has SchemaVersion {}, not 2",
            document.schema_version
        ));
    }
    let targets = document.results.all("targets")?;
    if !targets
        .iter()
        .any(|target| PACKAGE_CLASSES.contains(&target.class.as_str()))
    {
        return Err("the Trivy report looked at no packages".to_owned());
    }
    let mut findings = Vec::new();
    for target in targets {
        let found = target.vulnerabilities.all("findings in one target")?;
        findings.extend(found.into_iter().map(|Found(finding)| finding));
    }
    Ok(Report {
        findings,
        database: None,
    })
}

impl TryFrom<Vulnerability> for Found {
    type Error = String;

    fn try_from(vulnerability: Vulnerability) -> Result<Self, String> {
        let Vulnerability {
            id,
            vendor_ids,
            pkg_name,
            pkg_identifier,
            severity,
        } = vulnerability;
        let raw = Raw {
            id,
            severity,
            aliases: vendor_ids.all("names of one vulnerability")?,
            package: pkg_name,
            purl: pkg_identifier.purl,
        };
        raw.finding().map(Self)
    }
}
