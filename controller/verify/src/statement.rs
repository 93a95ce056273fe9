//! in-toto statements, `Statement/v1` and `Statement/v0.1` (cosign 3 writes both).
//!
//! The predicate type decides what the predicate is read as, by exact URI: a statement of one type
//! never counts for another (CVE-2022-35929), and one whose predicate does not parse is unreadable,
//! however good its signature is (CVE-2026-39395).

use std::borrow::Cow;

use lockmaster_core::evidence::{
    COSIGN_SIGN, CYCLONEDX, Content, SLSA_PROVENANCE_V1, SPDX, SbomFormat,
};
use lockmaster_core::release::{Digest, clip};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bundle::BUNDLE_LIMIT;
use crate::{document, provenance, sbom};

/// DSSE payload type of an in-toto statement.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const STATEMENT_TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];

/// A statement about more artifacts than this is not read: the largest releases seen list a few
/// dozen.
const SUBJECT_LIMIT: usize = 256;

/// What a statement says, and of what.
pub(crate) struct Statement {
    pub(crate) subjects: Vec<Digest>,
    pub(crate) content: Content,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<WireSubject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow)]
    predicate: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireSubject {
    digest: Option<WireDigest>,
}

/// Other algorithms are not compared with anything.
#[derive(Deserialize)]
struct WireDigest {
    sha256: Option<String>,
}

/// Reads the payload of an envelope. Total: what cannot be read is [`Content::Unreadable`].
pub(crate) fn read(payload_type: &str, payload: &[u8]) -> Statement {
    let nothing = |problem: String| Statement {
        subjects: Vec::new(),
        content: Content::Unreadable {
            predicate: None,
            problem,
        },
    };
    if payload_type != PAYLOAD_TYPE {
        let payload_type = clip(payload_type);
        return nothing(format!(
            "the payload type is \"{payload_type}\", not {PAYLOAD_TYPE}"
        ));
    }
    let wire: Wire<'_> = match document::parse(payload, BUNDLE_LIMIT) {
        Ok(wire) => wire,
        Err(error) => return nothing(format!("the statement cannot be read: {error}")),
    };
    if !STATEMENT_TYPES.contains(&wire.kind.as_str()) {
        return nothing(format!(
            "\"{}\" is no in-toto statement type",
            clip(&wire.kind)
        ));
    }
    let unreadable = |problem| Content::Unreadable {
        predicate: Some(clip(&wire.predicate_type)),
        problem,
    };
    match subjects(&wire.subject) {
        Err(problem) => Statement {
            subjects: Vec::new(),
            content: unreadable(problem),
        },
        Ok(subjects) => {
            let content = content(&wire.predicate_type, wire.predicate).unwrap_or_else(unreadable);
            Statement { subjects, content }
        }
    }
}

fn subjects(wire: &[WireSubject]) -> Result<Vec<Digest>, String> {
    if wire.len() > SUBJECT_LIMIT {
        let count = wire.len();
        return Err(format!(
            "the statement has {count} subjects, the limit is {SUBJECT_LIMIT}"
        ));
    }
    let mut subjects = Vec::new();
    let digests = wire
        .iter()
        .filter_map(|subject| subject.digest.as_ref()?.sha256.as_deref());
    for digest in digests {
        let digest = Digest::parse(&format!("sha256:{digest}"))
            .map_err(|_| "a subject's sha256 is not 64 lower-case hexadecimal characters")?;
        subjects.push(digest);
    }
    if subjects.is_empty() {
        return Err("the statement names no subject by sha256".to_owned());
    }
    Ok(subjects)
}

fn content(predicate_type: &str, predicate: Option<&RawValue>) -> Result<Content, String> {
    let required = || predicate.ok_or("the statement has no predicate".to_owned());
    match predicate_type {
        COSIGN_SIGN => Ok(Content::Signature),
        SLSA_PROVENANCE_V1 => {
            let predicate = unwrap(required()?)?;
            provenance::read(predicate.as_bytes()).map(Content::Provenance)
        }
        SPDX => {
            let predicate = unwrap(required()?)?;
            sbom::read(SbomFormat::Spdx, predicate.as_bytes()).map(Content::Sbom)
        }
        CYCLONEDX => {
            let predicate = unwrap(required()?)?;
            sbom::read(SbomFormat::CycloneDX, predicate.as_bytes()).map(Content::Sbom)
        }
        "" => Err("the statement has no predicate type".to_owned()),
        other => Ok(Content::Other {
            predicate: clip(other),
        }),
    }
}

/// cosign's wrapper for predicates that it does not parse itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Wrapper<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(rename = "Timestamp")]
    _timestamp: Option<String>,
}

/// The predicate as JSON text: as it is, out of cosign's `{Data, Timestamp}`, or out of a string
/// that holds JSON, for which the limits count anew.
fn unwrap(predicate: &RawValue) -> Result<Cow<'_, str>, String> {
    let inner = serde_json::from_str::<Wrapper<'_>>(predicate.get())
        .map_or(predicate.get(), |wrapper| wrapper.data.get());
    if !inner.starts_with('"') {
        return Ok(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(inner)
        .map_err(|error| format!("the predicate cannot be read: {}", clip(&error.to_string())))?;
    document::check(text.as_bytes(), BUNDLE_LIMIT)
        .map_err(|error| format!("the predicate is text, but {error}"))?;
    Ok(Cow::Owned(text))
}
