//! OpenVEX documents: version 0.2.0, and no field that is not read.

use lockmaster_core::evidence::{Content, OPENVEX, OPENVEX_V0_2_0, Vex, VexStatus};
use serde_json::{Value, json};

use crate::predicates::{judged, problem};

pub(crate) fn document() -> Value {
    json!({
        "@context": "https://openvex.dev/ns/v0.2.0",
        "@id": "https://vex.example/1",
        "author": "Security Team",
        "timestamp": "2026-11-01T00:00:00Z",
        "version": 1,
        "statements": [
            {
                "vulnerability": {"@id": "https://nvd.example/CVE-2026-1", "name": "CVE-2026-1", "aliases": ["GHSA-1"]},
                "products": [{
                    "@id": "pkg:oci/checkout@sha256%3Aabc",
                    "identifiers": {"purl": "pkg:oci/checkout"},
                    "hashes": {"sha-256": "abc"},
                    "subcomponents": [{"@id": "pkg:deb/debian/openssl@3"}],
                }],
                "status": "not_affected",
                "justification": "vulnerable_code_not_present",
                "timestamp": "2026-11-02T00:00:00Z",
            },
            {"vulnerability": {"name": "CVE-2026-2"}, "status": "affected", "action_statement": "update",
             "last_updated": "2026-11-03T00:00:00Z"},
        ],
    })
}

fn read(predicate_type: &str, document: &Value) -> Vex {
    let content = judged(predicate_type, document);
    let Content::Vex(vex) = content else {
        panic!("{content:?}")
    };
    vex
}

#[test]
fn statements_are_read_with_inherited_times() {
    for kind in [OPENVEX, OPENVEX_V0_2_0] {
        let vex = read(kind, &document());
        assert_eq!(
            (vex.predicate_type.as_str(), vex.author.as_str()),
            (kind, "Security Team")
        );
        let [first, second] = vex.statements.as_slice() else {
            panic!()
        };
        assert_eq!(
            first.vulnerabilities,
            ["CVE-2026-1", "GHSA-1", "https://nvd.example/CVE-2026-1"]
        );
        assert_eq!(first.status, VexStatus::NotAffected);
        assert_eq!(first.time.to_string(), "2026-11-02T00:00:00Z");
        let product = &first.products[0];
        assert_eq!(
            product.names,
            [
                "pkg:oci/checkout@sha256%3Aabc",
                "pkg:oci/checkout",
                "sha256:abc"
            ]
        );
        assert_eq!(product.parts, ["pkg:deb/debian/openssl@3"]);
        assert_eq!(
            (second.status, second.products.len()),
            (VexStatus::Affected, 0)
        );
        assert_eq!(second.time.to_string(), "2026-11-03T00:00:00Z");
    }
    let mut inherits = document();
    inherits["statements"][0]
        .as_object_mut()
        .unwrap()
        .remove("timestamp");
    let time = |document: &Value| read(OPENVEX, document).statements[0].time.to_string();
    assert_eq!(time(&inherits), "2026-11-01T00:00:00Z");
    inherits["last_updated"] = "2026-11-05T00:00:00Z".into();
    assert_eq!(time(&inherits), "2026-11-05T00:00:00Z");
}

/// A predicate type, what is changed, and the problem then.
type Case = (&'static str, fn(&mut Value), &'static str);

#[test]
fn what_is_not_version_0_2_0_is_not_read() {
    let changed = |kind: &str, change: fn(&mut Value)| {
        let mut document = document();
        change(&mut document);
        problem(kind, &document)
    };
    let cases: [Case; 12] = [
        (
            OPENVEX,
            |d| d["@context"] = "https://openvex.dev/ns/v0.0.1".into(),
            "is not the context",
        ),
        (
            OPENVEX_V0_2_0,
            |d| d["@context"] = OPENVEX.into(),
            "is not the context",
        ),
        (OPENVEX, |d| d["statements"] = json!([]), "no statement"),
        (
            OPENVEX,
            |d| d["statements"][0]["vulnerability"] = "CVE-2026-1".into(),
            "cannot be read",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["subcomponents"] = json!([]),
            "unknown field `subcomponents`",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["products"] = json!(["pkg:oci/a"]),
            "cannot be read",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["products"][0]["components"] = json!([]),
            "unknown field",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["products"][0]["subcomponents"] = json!([{}]),
            "neither id nor package URL",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["products"] = json!([{}]),
            "a product has no name",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["status"] = "harmless".into(),
            "unknown variant",
        ),
        (
            OPENVEX,
            |d| d["statements"][0]["justification"] = "because".into(),
            "is no justification",
        ),
        (
            OPENVEX,
            |d| d["timestamp"] = "yesterday".into(),
            "no RFC 3339 time",
        ),
    ];
    for (kind, change, expected) in cases {
        let found = changed(kind, change);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn many_statements_are_not_read() {
    let mut many = document();
    let one = many["statements"][1].clone();
    many["statements"] = vec![one; 513].into();
    assert!(problem(OPENVEX, &many).contains("513 statements"));
}
