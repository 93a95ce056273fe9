//! Statements and their predicates: exact types, exact shapes, and nothing in between.

use lockmaster_core::evidence::{
    CHANGE, CHECKS, COSIGN_SIGN, COSIGN_VULN, CUSTOM_LIMIT, CYCLONEDX, Content, License,
    NOT_APPLICABLE, OPENVEX, OPENVEX_V0_2_0, Provenance, SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1,
    SLSA_VSA, SPDX, Sbom, SbomFormat, TAGGED_RELEASE, TEST_RESULT,
};
use lockmaster_core::release::Digest;
use serde_json::{Value, json};

use crate::signing::{IN_TOTO, MANIFEST, Signer, judge_value, statement};

const REPOSITORY: &str = "https://git.example/shop/checkout";
const REFERENCE: &str = "refs/tags/v1.42.0";
const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

fn provenance() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {
                "ref": REFERENCE, "repository": REPOSITORY, "path": ".github/workflows/build.yml",
            }},
            "internalParameters": {"github": {"event_name": "push"}},
            "resolvedDependencies": [
                {"uri": "git+https://git.example/shop/decoy@refs/heads/main",
                 "digest": {"gitCommit": "0000000000000000000000000000000000000000"}},
                {"uri": format!("git+{REPOSITORY}@{REFERENCE}"), "digest": {"gitCommit": COMMIT}},
            ],
        },
        "runDetails": {
            "builder": {"id": "https://ci.example/builder"},
            "metadata": {"invocationId": "https://ci.example/runs/7"},
        },
    })
}

fn spdx() -> Value {
    json!({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": [{}, {}]})
}

pub(crate) fn judged(predicate_type: &str, predicate: &Value) -> Content {
    let signer = Signer::p256();
    let judged = judge_value(
        &signer.attest(&statement(predicate_type, predicate)),
        &[&signer],
    );
    assert_eq!(
        judged.verified_by.len(),
        1,
        "the signature is good throughout"
    );
    assert_eq!(judged.subjects, [Digest::of(MANIFEST)]);
    judged.content
}

#[track_caller]
pub(crate) fn problem(predicate_type: &str, predicate: &Value) -> String {
    let content = judged(predicate_type, predicate);
    let Content::Unreadable {
        predicate: Some(found),
        problem,
    } = content
    else {
        panic!("readable: {content:?}")
    };
    assert_eq!(found, predicate_type);
    problem
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut predicate = provenance();
    change(&mut predicate["buildDefinition"]);
    problem(SLSA_PROVENANCE_V1, &predicate)
}

#[test]
fn provenance_names_builder_source_and_the_commit_of_that_source() {
    let expected = Provenance {
        predicate_type: SLSA_PROVENANCE_V1.into(),
        builder: "https://ci.example/builder".into(),
        build_type: "https://actions.github.io/buildtypes/workflow/v1".into(),
        repository: REPOSITORY.into(),
        reference: REFERENCE.into(),
        commit: COMMIT.into(),
        workflow: Some(format!(
            "{REPOSITORY}/.github/workflows/build.yml@{REFERENCE}"
        )),
        parameters: [].into(),
        trigger: Some("push".into()),
        invocation: Some("https://ci.example/runs/7".into()),
    };
    assert_eq!(
        judged(SLSA_PROVENANCE_V1, &provenance()),
        Content::Provenance(expected)
    );
}

#[test]
fn decoys_beside_the_named_dependency_decide_nothing() {
    let twice = changed(|build| {
        let named = build["resolvedDependencies"][1].clone();
        build["resolvedDependencies"]
            .as_array_mut()
            .unwrap()
            .push(named);
    });
    assert!(twice.starts_with("2 resolved dependencies are"), "{twice}");
    let none = changed(|build| build["resolvedDependencies"][1]["uri"] = "git+other".into());
    assert!(none.starts_with("0 resolved dependencies are"), "{none}");
    let absent = changed(|build| build["resolvedDependencies"] = json!([]));
    assert!(
        absent.starts_with("0 resolved dependencies are"),
        "{absent}"
    );
    let no_commit = changed(|build| build["resolvedDependencies"][1]["digest"] = json!({}));
    assert!(no_commit.contains("has no commit"), "{no_commit}");
    let short = changed(|build| {
        build["resolvedDependencies"][1]["digest"]["gitCommit"] = COMMIT[..39].into();
    });
    assert!(short.contains("has no commit of 40 or 64"), "{short}");
}

#[test]
fn what_is_not_recognised_in_a_build_is_not_believed() {
    let unknown = changed(|build| build["buildType"] = "https://example.com/other/v1".into());
    assert!(
        unknown.contains("\"https://example.com/other/v1\" is not known here"),
        "{unknown}"
    );
    let extra = changed(|build| build["externalParameters"]["source"] = json!({"debug": true}));
    assert!(extra.contains("unknown field `source`"), "{extra}");
    let nested = changed(|build| build["externalParameters"]["workflow"]["sha"] = "x".into());
    assert!(nested.contains("unknown field `sha`"), "{nested}");
    let missing = changed(|build| build["externalParameters"] = json!({}));
    assert!(missing.contains("missing field `workflow`"), "{missing}");
    let long = changed(|build| {
        let reference = "r".repeat(2000);
        build["resolvedDependencies"][1]["uri"] = format!("git+{REPOSITORY}@{reference}").into();
        build["externalParameters"]["workflow"]["ref"] = reference.into();
    });
    assert!(long.contains("longer than 1024 bytes"), "{long}");
    assert!(problem(SLSA_PROVENANCE_V1, &json!({})).contains("cannot be read"));
}

#[test]
fn sboms_are_read_in_the_listed_versions_only() {
    let sbom = |kind: &str, format, version: &str, components| {
        let none = License {
            text: "NOASSERTION".into(),
            component: if format == SbomFormat::Spdx { "" } else { "a" }.into(),
        };
        Content::Sbom(Sbom {
            predicate_type: kind.into(),
            format,
            version: version.into(),
            components,
            licenses: vec![none],
            more_licenses: false,
        })
    };
    assert_eq!(
        judged(SPDX, &spdx()),
        sbom(SPDX, SbomFormat::Spdx, "2.3", 2)
    );
    let cyclonedx = |version: &str| {
        json!({"bomFormat": "CycloneDX", "specVersion": version,
               "components": [{"name": "a", "components": [{"name": "b"}]}, {"name": "c"}]})
    };
    for version in ["1.4", "1.5", "1.6", "1.7"] {
        for kind in [CYCLONEDX.to_owned(), format!("{CYCLONEDX}/v{version}")] {
            let expected = sbom(&kind, SbomFormat::CycloneDX, version, 3);
            assert_eq!(judged(&kind, &cyclonedx(version)), expected);
        }
    }
    let mut older = spdx();
    older["spdxVersion"] = "SPDX-2.2".into();
    for kind in [SPDX.to_owned(), format!("{SPDX}/v2.2")] {
        let expected = sbom(&kind, SbomFormat::Spdx, "2.2", 2);
        assert_eq!(judged(&kind, &older), expected);
    }
    let versioned = format!("{SPDX}/v2.3");
    let expected = sbom(&versioned, SbomFormat::Spdx, "2.3", 2);
    assert_eq!(judged(&versioned, &spdx()), expected);
    let other = problem(&format!("{SPDX}/v2.2"), &spdx());
    assert!(other.contains("is SPDX 2.3, and its type says"), "{other}");
    assert!(problem(CYCLONEDX, &cyclonedx("1.3")).contains("\"1.3\" is not CycloneDX 1.4 to 1.7"));
    let old = json!({"spdxVersion": "SPDX-3.0", "SPDXID": "SPDXRef-DOCUMENT"});
    assert!(problem(SPDX, &old).contains("\"SPDX-3.0\" is not SPDX-2.2 or SPDX-2.3"));
    assert!(problem(SPDX, &cyclonedx("1.6")).contains("missing field `spdxVersion`"));
    assert!(problem(CYCLONEDX, &spdx()).contains("missing field `bomFormat`"));
    assert!(problem(SPDX, &json!({})).contains("the SPDX document cannot be read"));
    assert!(problem(SPDX, &json!([])).contains("it is no JSON object"));
}

fn licenses(predicate_type: &str, document: &Value) -> (Vec<(String, String)>, bool) {
    let Content::Sbom(bill) = judged(predicate_type, document) else {
        panic!()
    };
    let pairs = bill.licenses.into_iter().map(|l| (l.text, l.component));
    (pairs.collect(), bill.more_licenses)
}

#[test]
fn licenses_of_all_components_are_kept_once_and_bounded() {
    let pair = |text: &str, component: &str| (text.to_owned(), component.to_owned());
    let spdx = json!({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": [
        {"name": "a", "licenseConcluded": "NOASSERTION", "licenseDeclared": "MIT"},
        {"name": "b", "licenseConcluded": "Apache-2.0 OR MIT", "licenseDeclared": "GPL-2.0-only"},
        {"name": "c", "licenseDeclared": "MIT"},
        {"name": "d"},
    ]});
    let expected = vec![
        pair("Apache-2.0 OR MIT", "b"),
        pair("GPL-2.0-only", "b"),
        pair("MIT", "a"),
        pair("NOASSERTION", "d"),
    ];
    assert_eq!(licenses(SPDX, &spdx), (expected, false));
    let cyclonedx = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
        {"name": "a", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "Mine"}}],
         "components": [{"name": "b", "licenses": [{"expression": "A AND B"}]}]},
        {"name": "c", "licenses": []},
    ]});
    let expected = vec![
        pair("A AND B", "b"),
        pair("MIT", "a"),
        pair("Mine", "a"),
        pair("NOASSERTION", "c"),
    ];
    assert_eq!(licenses(CYCLONEDX, &cyclonedx), (expected, false));
    let mut many = spdx.clone();
    many["packages"] = (0..513)
        .map(|n| json!({"licenseDeclared": format!("L{n}")}))
        .collect();
    let (kept, more) = licenses(SPDX, &many);
    assert_eq!((kept.len(), more), (512, true));
    many["packages"] = json!([{"licenseDeclared": "x".repeat(600)}]);
    assert_eq!(licenses(SPDX, &many), (vec![], true));
}

#[test]
fn wrapped_and_quoted_predicates_are_unwrapped() {
    let expected = judged(SPDX, &spdx());
    let text = spdx().to_string();
    let forms = [
        json!(text),
        json!({"Data": spdx(), "Timestamp": "2026-01-01T00:00:00Z"}),
        json!({"Data": text, "Timestamp": ""}),
    ];
    for form in forms {
        assert_eq!(judged(SPDX, &form), expected, "{form}");
    }
    let tag_value = json!({"Data": "SPDXVersion: SPDX-2.3", "Timestamp": ""});
    assert!(problem(SPDX, &tag_value).contains("the predicate is text, but"));
    let doubled = json!(text.replacen('{', r#"{"packages":[],"#, 1));
    assert!(problem(SPDX, &doubled).contains("\"packages\" is given twice"));
    let deep = json!(format!("{}{}", "[".repeat(80), "]".repeat(80)));
    assert!(problem(SPDX, &deep).contains("nested deeper than 64 levels"));
}

/// CVE-2022-35929 (cosign): an attestation of another type satisfied `--type`.
#[test]
fn cve_2022_35929_the_predicate_type_is_exact() {
    for other in [
        "https://slsa.dev/provenance/v0.1",
        "https://slsa.dev/provenance/v1/",
        "https://spdx.dev/Document/",
        "https://spdx.dev/Document/v3.0",
        "https://spdx.dev/Documents",
        "https://SPDX.dev/Document",
        "https://lockmaster.dev/checks/v2",
        "https://openvex.dev/ns/v0.2.1",
    ] {
        let Content::Custom { predicate, value } = judged(other, &spdx()) else {
            panic!("{other} is read")
        };
        assert_eq!(predicate, other);
        assert_eq!(value, Ok(spdx().to_string()));
    }
    let none = judged("", &json!({}));
    assert!(none.problem().unwrap().contains("no predicate type"));
    let long = "x".repeat(256);
    assert_eq!(judged(&long, &json!({})).predicate_type(), Some(&*long));
    let longer = judged(&"x".repeat(257), &json!({}));
    assert!(longer.problem().unwrap().contains("257 bytes"));
    assert_eq!(longer.predicate_type(), None);
}

/// What nobody can see is part of the type as well: it is neither dropped nor taken for the other.
#[test]
fn cve_2022_35929_a_type_with_a_control_character_is_none() {
    for kind in [TEST_RESULT, SLSA_VSA, CHANGE, CHECKS, SPDX] {
        for odd in ["\u{7}", "\n", "\0", "\u{7f}", "\u{85}"] {
            for wrong in [format!("{kind}{odd}"), format!("{odd}{kind}")] {
                let content = judged(&wrong, &json!({"result": "FAILED"}));
                assert_eq!(content.predicate_type(), None, "{wrong:?}");
                assert!(content.problem().unwrap().contains("control characters"));
            }
        }
    }
}

/// CVE-2026-39395, GHSA-w6c6-c85g-mmv6 (cosign): a payload that did not parse was no failure once the signature was good.
#[test]
fn cve_2026_39395_what_does_not_parse_after_a_good_signature_is_unreadable() {
    let all = [
        SLSA_PROVENANCE_V1,
        SLSA_PROVENANCE_V0_2,
        SPDX,
        CYCLONEDX,
        COSIGN_VULN,
        OPENVEX,
        OPENVEX_V0_2_0,
        SLSA_VSA,
        TEST_RESULT,
        CHANGE,
        CHECKS,
        TAGGED_RELEASE,
        NOT_APPLICABLE,
    ];
    for kind in all {
        for predicate in [
            json!({}),
            json!([]),
            json!(null),
            json!(7),
            json!("text"),
            json!({"a": [1]}),
        ] {
            let found = problem(kind, &predicate);
            assert!(!found.is_empty(), "{kind} {predicate}");
        }
        let (_, content) = statement_changed(|s| {
            s["predicateType"] = kind.into();
            s.as_object_mut().unwrap().remove("predicate");
        });
        let found = content.problem().unwrap();
        assert!(found.contains("has no predicate"), "{kind}: {found}");
    }
}

#[test]
fn predicates_that_are_not_read_are_kept_for_rules_within_a_limit() {
    const CUSTOM: &str = "https://cosign.sigstore.dev/attestation/v1";
    let value = |predicate: &Value| {
        let Content::Custom { value, .. } = judged(CUSTOM, predicate) else {
            panic!("{predicate} is read")
        };
        value
    };
    let inner = json!({"coverage": 81});
    let wrapped = json!({"Data": inner.to_string(), "Timestamp": "2026-01-01T00:00:00Z"});
    assert_eq!(value(&wrapped), Ok(inner.to_string()));
    let text = json!({"Data": "no JSON", "Timestamp": ""});
    assert_eq!(value(&text), Ok(text.to_string()));
    let list = json!([1, "2026-01-01T00:00:00Z"]);
    assert_eq!(value(&list), Ok(list.to_string()), "a list is no wrapper");
    let longest = json!("x".repeat(CUSTOM_LIMIT - 2));
    assert!(
        value(&json!({"a": longest}))
            .unwrap_err()
            .contains("the limit is 65536")
    );
}

/// Judges a statement that is changed before signing.
fn statement_changed(change: impl FnOnce(&mut Value)) -> (Vec<Digest>, Content) {
    let signer = Signer::p256();
    let mut statement = statement(COSIGN_SIGN, &json!({}));
    change(&mut statement);
    let judged = judge_value(&signer.attest(&statement), &[&signer]);
    assert_eq!(judged.verified_by.len(), 1);
    (judged.subjects, judged.content)
}

#[track_caller]
fn statement_problem(change: impl FnOnce(&mut Value)) -> String {
    match statement_changed(change) {
        (subjects, Content::Unreadable { problem, .. }) if subjects.is_empty() => problem,
        other => panic!("readable: {other:?}"),
    }
}

#[test]
fn statements_v0_1_and_v1_and_no_others() {
    let (_, content) =
        statement_changed(|s| s["_type"] = "https://in-toto.io/Statement/v0.1".into());
    assert_eq!(content, Content::Signature);
    let problem = statement_problem(|s| s["_type"] = "https://in-toto.io/Statement/v2".into());
    assert!(problem.contains("is no in-toto statement type"));
    assert!(statement_problem(|s| s["_type"] = Value::Null).contains("cannot be read"));
}

#[test]
fn subjects_are_named_by_sha256_and_any_of_them_may_match() {
    let (ours, other) = (Digest::of(MANIFEST), Digest::of(b"other"));
    let (subjects, _) = statement_changed(|s| {
        s["subject"] = json!([
            {"name": "no digest"},
            {"digest": {"sha512": "abc"}},
            {"digest": {"sha256": other.hexadecimal(), "sha512": "abc"}},
            {"digest": {"sha256": ours.hexadecimal()}},
        ]);
    });
    assert_eq!(subjects, [other, ours.clone()]);
    let none = statement_problem(|s| s["subject"] = json!([{"digest": {"sha512": "abc"}}]));
    assert!(none.contains("names no subject by sha256"), "{none}");
    assert!(statement_problem(|s| s["subject"] = json!([])).contains("names no subject"));
    let upper = ours.hexadecimal().to_uppercase();
    let wrong = statement_problem(|s| s["subject"] = json!([{"digest": {"sha256": upper}}]));
    assert!(wrong.contains("64 lower-case hexadecimal"), "{wrong}");
    let many = statement_problem(|s| {
        let one = s["subject"][0].clone();
        s["subject"] = vec![one; 257].into();
    });
    assert!(many.contains("257 subjects, the limit is 256"), "{many}");
}

#[test]
fn of_many_subjects_the_artifact_and_three_others_are_kept() {
    let ours = Digest::of(MANIFEST);
    let others: Vec<_> = (0..100_u8).map(|n| Digest::of(&[n])).collect();
    let named = |digest: &Digest| json!({"digest": {"sha256": digest.hexadecimal()}});
    let all: Vec<_> = others.iter().chain([&ours, &ours]).map(named).collect();
    let (subjects, _) = statement_changed(|s| s["subject"] = all.into());
    assert_eq!(subjects[..3], others[..3], "in the statement's order");
    assert_eq!(subjects[3..], [ours]);
    let (subjects, _) =
        statement_changed(|s| s["subject"] = others.iter().map(named).collect::<Vec<_>>().into());
    assert_eq!(subjects, others[..3]);
}

#[test]
fn a_deep_statement_is_refused_before_it_is_parsed() {
    let signer = Signer::p256();
    let payload = format!(r#"{{"predicate":{}"#, r#"{"a":"#.repeat(100_000));
    let judged = judge_value(&signer.envelope(IN_TOTO, payload.as_bytes()), &[&signer]);
    let Content::Unreadable { problem, .. } = judged.content else {
        panic!()
    };
    assert!(
        problem.contains("nested deeper than 64 levels"),
        "{problem}"
    );
}
