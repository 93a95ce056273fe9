//! Reports of vulnerability scanners in cosign's frame, `cosign.sigstore.dev/attestation/vuln/v1`.
//!
//! Which scanner wrote it is told by the report's own shape, never by what the frame says. Only the
//! shapes listed here are read: an unknown one, `{}`, and a finding without a severity are
//! unreadable, because each of them could be taken for a clean report.

mod grype;
mod sarif;
mod trivy;

use std::collections::BTreeMap;

use lockmaster_core::evidence::{FINDINGS_KEPT, Finding, Scan, Severity};
use lockmaster_core::release::clip;
use lockmaster_core::time::Instant;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::predicate::{self, bounded, instant, nullable};

/// Longest name of a vulnerability, a package or a scanner.
const NAME_LIMIT: usize = 256;

/// Longest package URL; a longer one is left out, so that no VEX can excuse the finding.
const PURL_LIMIT: usize = 1024;

/// Findings of one list that are read. Images with the most software seen have some ten thousand.
const FINDING_LIMIT: usize = 1 << 15;

/// Other names of one vulnerability that are read.
const NAMED_LIMIT: usize = 256;

/// Targets and runs of one report.
const PART_LIMIT: usize = 1024;

/// Other names of one vulnerability that are kept.
const ALIAS_LIMIT: usize = 16;

#[derive(Deserialize)]
struct Predicate<'a> {
    #[serde(borrow)]
    scanner: Scanner<'a>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Scanner<'a> {
    #[serde(default, deserialize_with = "nullable")]
    uri: String,
    #[serde(default, deserialize_with = "nullable")]
    db: Database,
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Database {
    last_update: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    scan_finished_on: String,
}

/// What a report holds, whoever wrote it.
struct Report {
    findings: Vec<Finding>,
    database: Option<Instant>,
}

/// The marks by which a report's shape is told.
#[derive(Deserialize)]
struct Marks {
    #[serde(rename = "SchemaVersion")]
    trivy: Option<IgnoredAny>,
    matches: Option<IgnoredAny>,
    runs: Option<IgnoredAny>,
}

/// Reads the predicate; the error is the problem in words.
pub(crate) fn read(text: &str) -> Result<Scan, String> {
    let Predicate { scanner, metadata } = predicate::read("scan", text)?;
    let finished = instant("scanFinishedOn", &metadata.scan_finished_on)?;
    let stated = scanner.db.last_update.filter(|text| !text.is_empty());
    let stated = stated
        .map(|text| instant("the database's lastUpdate", &text))
        .transpose()?;
    let report = report(scanner.result.get())?;
    // Of two times the older one: the frame is written by hand more often than the report.
    let database = match (stated, report.database) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let uri = if scanner.uri.is_empty() {
        "(no URI)".to_owned()
    } else {
        scanner.uri
    };
    let (counts, findings) = keep(report.findings);
    Ok(Scan {
        scanner: bounded("the scanner's URI", uri, NAME_LIMIT)?,
        finished,
        database,
        counts,
        findings,
    })
}

fn report(text: &str) -> Result<Report, String> {
    const SHAPES: &str = "Trivy JSON, Grype JSON, SARIF 2.1.0";
    let unknown = || format!("the report is of none of the shapes that are read: {SHAPES}");
    let marks: Marks = predicate::read("report", text)?;
    match (marks.trivy, marks.matches, marks.runs) {
        (Some(_), None, None) => trivy::read(text),
        (None, Some(_), None) => grype::read(text),
        (None, None, Some(_)) => sarif::read(text),
        (None, None, None) => Err(unknown()),
        _ => Err(format!("the report is of more than one shape: {SHAPES}")),
    }
}

/// Counts all findings and keeps the worst ones, each once.
fn keep(mut findings: Vec<Finding>) -> (BTreeMap<Severity, u64>, Vec<Finding>) {
    // Worst first; the rest of the order only makes equal reports equal.
    findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
    findings.dedup();
    let mut counts = BTreeMap::new();
    for finding in &findings {
        *counts.entry(finding.severity).or_default() += 1;
    }
    findings.truncate(FINDINGS_KEPT);
    findings.shrink_to_fit();
    (counts, findings)
}

/// What a scanner says of one vulnerability in one package.
struct Raw {
    id: Option<String>,
    severity: Option<String>,
    aliases: Vec<String>,
    package: Option<String>,
    purl: Option<String>,
}

impl Raw {
    fn finding(self) -> Result<Finding, String> {
        let Self {
            id,
            severity,
            mut aliases,
            package,
            purl,
        } = self;
        let id = bounded("a vulnerability's id", id.unwrap_or_default(), NAME_LIMIT)?;
        let severity = severity
            .as_deref()
            .and_then(severity_of)
            .ok_or_else(|| format!("the finding {} has no severity that is known", clip(&id)))?;
        aliases.retain(|alias| !alias.is_empty() && alias.len() <= NAME_LIMIT && *alias != id);
        aliases.sort();
        aliases.dedup();
        aliases.truncate(ALIAS_LIMIT);
        let purl = purl.filter(|purl| !purl.is_empty() && purl.len() <= PURL_LIMIT);
        Ok(Finding {
            severity,
            id,
            aliases,
            package: clip(&package.unwrap_or_default()),
            purl,
        })
    }
}

/// Scanners differ in how they write the words, and in no word.
fn severity_of(text: &str) -> Option<Severity> {
    let all = [
        Severity::Unknown,
        Severity::Negligible,
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    all.into_iter()
        .find(|severity| severity.to_string().eq_ignore_ascii_case(text))
}
