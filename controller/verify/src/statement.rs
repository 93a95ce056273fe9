//! in-toto statements, `Statement/v1` and `Statement/v0.1` (cosign 3 writes both).
//!
//! The predicate type decides what the predicate is read as, by exact URI: a statement of one type
//! never counts for another (CVE-2022-35929), and one whose predicate does not parse is unreadable,
//! however good its signature is (CVE-2026-39395).

use std::borrow::Cow;

use lockmaster_core::evidence::{
    CHANGE, CHECKS, COSIGN_SIGN, COSIGN_VULN, CUSTOM_LIMIT, Content, NOT_APPLICABLE, OPENVEX,
    OPENVEX_V0_2_0, SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1, SLSA_VSA, SbomFormat, TAGGED_RELEASE,
    TEST_RESULT,
};
use lockmaster_core::release::{Digest, clip};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bundle::{BUNDLE_LIMIT, SBOM_CEILING};
use crate::list::Capped;
use crate::{document, pipeline, provenance, sbom, scan, verdict, vex};

/// DSSE payload type of an in-toto statement.
pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

const STATEMENT_TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];

/// A statement about more artifacts than this is not read: the largest releases seen list a few
/// dozen.
const SUBJECT_LIMIT: usize = 256;

/// A predicate type that is longer, in bytes, is none: types are compared whole and never shortened
/// before, and a policy can name no longer one.
const TYPE_LIMIT: usize = 256;

/// What a statement says, and of what.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) subjects: Vec<Digest>,
    pub(crate) content: Content,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Capped<WireSubject, SUBJECT_LIMIT>,
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
    let wire: Wire<'_> = match document::parse(payload, SBOM_CEILING) {
        Ok(wire) => wire,
        Err(error) => return nothing(format!("the statement cannot be read: {error}")),
    };
    if !STATEMENT_TYPES.contains(&wire.kind.as_str()) {
        return nothing(format!(
            "\"{}\" is no in-toto statement type",
            clip(&wire.kind)
        ));
    }
    let kind = predicate_type(&wire.predicate_type);
    let unreadable = |problem| Content::Unreadable {
        predicate: kind.as_ref().ok().map(|kind| (*kind).to_owned()),
        problem,
    };
    let is_bill = SbomFormat::of_predicate(&wire.predicate_type).is_some();
    if payload.len() > BUNDLE_LIMIT && !is_bill {
        return Statement {
            subjects: Vec::new(),
            content: unreadable(format!(
                "the statement has {} bytes, and only a bill of materials may have more than \
                 {BUNDLE_LIMIT}",
                payload.len()
            )),
        };
    }
    match subjects(wire.subject) {
        Err(problem) => Statement {
            subjects: Vec::new(),
            content: unreadable(problem),
        },
        Ok(subjects) => {
            let content = kind.clone().and_then(|kind| content(kind, wire.predicate));
            let content = content.unwrap_or_else(unreadable);
            Statement { subjects, content }
        }
    }
}

/// Whether a predicate type is one at all. What nobody can see in it would make another type look
/// like one that is read.
fn predicate_type(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("the statement has no predicate type".to_owned());
    }
    if text.len() > TYPE_LIMIT {
        let length = text.len();
        return Err(format!(
            "the statement's predicate type has {length} bytes, the limit is {TYPE_LIMIT}"
        ));
    }
    if text.chars().any(char::is_control) {
        let shown = clip(text);
        return Err(format!(
            "the statement's predicate type has control characters: \"{shown}\" without them"
        ));
    }
    Ok(text)
}

fn subjects(wire: Capped<WireSubject, SUBJECT_LIMIT>) -> Result<Vec<Digest>, String> {
    let wire = wire.all("subjects");
    let wire = wire.map_err(|problem| format!("the statement cannot be read: {problem}"))?;
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
    let read = || {
        let predicate = predicate.ok_or("the statement has no predicate".to_owned())?;
        unwrap(predicate)
    };
    match predicate_type {
        COSIGN_SIGN => Ok(Content::Signature),
        SLSA_PROVENANCE_V1 => provenance::read_v1(&read()?).map(Content::Provenance),
        SLSA_PROVENANCE_V0_2 => provenance::read_v0_2(&read()?).map(Content::Provenance),
        COSIGN_VULN => scan::read(&read()?).map(Content::Scan),
        OPENVEX | OPENVEX_V0_2_0 => vex::read(predicate_type, &read()?).map(Content::Vex),
        SLSA_VSA => verdict::read_summary(&read()?).map(Content::Summary),
        TEST_RESULT => verdict::read_tests(&read()?).map(Content::Tests),
        CHANGE => pipeline::read_change(&read()?).map(Content::Change),
        CHECKS => pipeline::read_checks(&read()?).map(Content::Checks),
        TAGGED_RELEASE => pipeline::read_release(&read()?).map(Content::Release),
        NOT_APPLICABLE => pipeline::read_not_applicable(&read()?).map(Content::NotApplicable),
        other => match SbomFormat::of_predicate(other) {
            Some(format) => sbom::read(other, format, &read()?).map(Content::Sbom),
            None => Ok(Content::Custom {
                predicate: other.to_owned(),
                value: custom(predicate),
            }),
        },
    }
}

/// What rules may look at of a predicate that is not read here: JSON as it is, or as cosign wrapped
/// it; where what is wrapped is no JSON, with its wrapper.
fn custom(predicate: Option<&RawValue>) -> Result<String, String> {
    let predicate = predicate.ok_or("the statement has no predicate")?;
    let text = unwrap(predicate).unwrap_or(Cow::Borrowed(predicate.get()));
    if text.len() > CUSTOM_LIMIT {
        return Err(format!(
            "the predicate has {} bytes, the limit is {CUSTOM_LIMIT}",
            text.len()
        ));
    }
    Ok(text.into_owned())
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
    let text = predicate.get();
    // Only an object: a list of two would be read as one by its order.
    let wrapper = text
        .starts_with('{')
        .then(|| serde_json::from_str::<Wrapper<'_>>(text).ok())
        .flatten();
    let inner = wrapper.map_or(text, |wrapper| wrapper.data.get());
    if !inner.starts_with('"') {
        return Ok(Cow::Borrowed(inner));
    }
    let text: String = serde_json::from_str(inner)
        .map_err(|error| format!("the predicate cannot be read: {}", clip(&error.to_string())))?;
    document::check(text.as_bytes(), SBOM_CEILING)
        .map_err(|error| format!("the predicate is text, but {error}"))?;
    Ok(Cow::Owned(text))
}

#[cfg(test)]
mod tests {
    use lockmaster_core::evidence::{CYCLONEDX, SPDX};

    use super::*;

    /// One with a very long name: long as it is, it is read at once.
    fn statement(predicate_type: &str) -> String {
        let name = "a".repeat(BUNDLE_LIMIT);
        let digest = Digest::of(b"").hexadecimal().to_owned();
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{digest}"}}}}],"predicateType":"{predicate_type}","predicate":{{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[{{"name":"{name}"}}]}}}}"#
        )
    }

    #[test]
    fn only_a_bill_of_materials_may_be_longer_than_a_bundle() {
        let read = |kind: &str| read(PAYLOAD_TYPE, statement(kind).as_bytes()).content;
        assert!(matches!(read(SPDX), Content::Sbom(bill) if bill.components == 1));
        for other in ["https://example.com/custom/v1", CHECKS] {
            let content = read(other);
            let problem = content.problem().unwrap_or_default();
            assert!(problem.contains("only a bill of materials"), "{content:?}");
            assert_eq!(content.predicate_type(), Some(other));
        }
        assert!(
            read(CYCLONEDX).problem().is_some(),
            "it is of another format"
        );
    }
}
