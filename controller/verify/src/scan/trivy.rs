//! Trivy's JSON report, `SchemaVersion` 2.

use lockmaster_core::evidence::Finding;
use serde::Deserialize;

use super::{Raw, Report};
use crate::predicate::{self, nullable};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    schema_version: u64,
    #[serde(default, deserialize_with = "nullable")]
    results: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    #[serde(default, deserialize_with = "nullable")]
    class: String,
    #[serde(default, deserialize_with = "nullable")]
    vulnerabilities: Vec<Vulnerability>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: Option<String>,
    #[serde(rename = "VendorIDs", default, deserialize_with = "nullable")]
    vendor_ids: Vec<String>,
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
    let mut targets = document.results.iter();
    if !targets.any(|target| PACKAGE_CLASSES.contains(&target.class.as_str())) {
        return Err("the Trivy report looked at no packages".to_owned());
    }
    let found = document.results.into_iter();
    let found = found.flat_map(|target| target.vulnerabilities);
    let findings: Result<Vec<Finding>, String> = found.map(|one| raw(one).finding()).collect();
    Ok(Report {
        findings: findings?,
        database: None,
    })
}

fn raw(vulnerability: Vulnerability) -> Raw {
    let Vulnerability {
        id,
        vendor_ids,
        pkg_name,
        pkg_identifier,
        severity,
    } = vulnerability;
    Raw {
        id,
        severity,
        aliases: vendor_ids,
        package: pkg_name,
        purl: pkg_identifier.purl,
    }
}
