//! Grype's JSON report.

use lockmaster_core::evidence::Finding;
use serde::Deserialize;

use super::{FINDING_LIMIT, NAMED_LIMIT, Raw, Report};
use crate::list::Capped;
use crate::predicate::{self, instant, nullable};

#[derive(Deserialize)]
struct Document {
    matches: Capped<Found, FINDING_LIMIT>,
    descriptor: Descriptor,
}

/// Made a finding at once, so that a long list is in memory but once.
#[derive(Deserialize)]
#[serde(try_from = "Match")]
struct Found(Finding);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    #[serde(default, deserialize_with = "nullable")]
    related_vulnerabilities: Capped<Named, NAMED_LIMIT>,
    artifact: Artifact,
}

#[derive(Deserialize)]
struct Vulnerability {
    id: Option<String>,
    severity: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Artifact {
    name: Option<String>,
    purl: Option<String>,
}

#[derive(Deserialize)]
struct Descriptor {
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    db: Database,
}

/// `built` stands at the top up to database version 5, below `status` from version 6 on.
#[derive(Default, Deserialize)]
struct Database {
    built: Option<String>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    built: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Report, String> {
    let document: Document = predicate::read("Grype report", text)?;
    let Descriptor { name, db } = document.descriptor;
    if name != "grype" {
        return Err("the report has matches, and its descriptor does not name grype".to_owned());
    }
    let built = db.built.or(db.status.and_then(|status| status.built));
    let database = built
        .filter(|text| !text.is_empty())
        .map(|text| instant("when Grype's database was built", &text))
        .transpose()?;
    let found = document.matches.all("findings")?.into_iter();
    Ok(Report {
        findings: found.map(|Found(finding)| finding).collect(),
        database,
    })
}

impl TryFrom<Match> for Found {
    type Error = String;

    fn try_from(found: Match) -> Result<Self, String> {
        let Match {
            vulnerability,
            related_vulnerabilities,
            artifact,
        } = found;
        let related = related_vulnerabilities.all("names of one vulnerability")?;
        let raw = Raw {
            id: vulnerability.id,
            severity: vulnerability.severity,
            aliases: related.into_iter().filter_map(|named| named.id).collect(),
            package: artifact.name,
            purl: artifact.purl,
        };
        raw.finding().map(Self)
    }
}
