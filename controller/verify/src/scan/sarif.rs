//! SARIF 2.1.0, with severities as scanners write them into it: the number `security-severity` of a
//! rule, which is a CVSS score. SARIF names no package, so no VEX can excuse these findings.

use std::collections::BTreeMap;

use lockmaster_core::evidence::{Finding, Severity};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{FINDING_LIMIT, PART_LIMIT, Raw, Report};
use crate::list::Capped;
use crate::predicate::{self, nullable};

/// Longest score: a number or a text that is one.
const SCORE_LIMIT: usize = 64;

#[derive(Deserialize)]
struct Document {
    version: String,
    runs: Capped<Run, PART_LIMIT>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    /// Absent means that the tool could not tell; an empty list, that it found nothing.
    results: Capped<Hit, FINDING_LIMIT>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    #[serde(default, deserialize_with = "nullable")]
    rules: Capped<Rule, FINDING_LIMIT>,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    properties: Properties,
}

#[derive(Default, Deserialize)]
struct Properties {
    #[serde(rename = "security-severity")]
    score: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hit {
    rule_id: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Report, String> {
    let document: Document = predicate::read("SARIF report", text)?;
    if document.version != "2.1.0" {
        return Err("the SARIF report is not of version 2.1.0".to_owned());
    }
    if document.runs.count() == 0 {
        return Err("the SARIF report has no run".to_owned());
    }
    let mut findings: Vec<Finding> = Vec::new();
    for run in document.runs.all("runs")? {
        let rules = run.tool.driver.rules.all("rules")?;
        let severities: BTreeMap<&str, Severity> = rules
            .iter()
            .filter_map(|rule| Some((rule.id.as_str(), severity(&rule.properties)?)))
            .collect();
        for result in run.results.all("results in one run")? {
            let id = result.rule_id;
            let known = id.as_deref().and_then(|id| severities.get(id));
            let raw = Raw {
                id: id.clone(),
                severity: known.map(ToString::to_string),
                aliases: Vec::new(),
                package: None,
                purl: None,
            };
            findings.push(raw.finding()?);
        }
    }
    Ok(Report {
        findings,
        database: None,
    })
}

/// The bands of CVSS 3 and 4.
fn severity(properties: &Properties) -> Option<Severity> {
    let text = properties.score.as_ref()?.get();
    if text.len() > SCORE_LIMIT {
        return None;
    }
    let score = match serde_json::from_str(text).ok()? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (0.0..=10.0).contains(&score).then_some(match score {
        9.0.. => Severity::Critical,
        7.0.. => Severity::High,
        4.0.. => Severity::Medium,
        score if score > 0.0 => Severity::Low,
        _ => Severity::Negligible,
    })
}
