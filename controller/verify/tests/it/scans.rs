//! Scan reports: three shapes, and nothing that could be taken for a clean one.

use lockmaster_core::evidence::{COSIGN_VULN, Content, FINDINGS_KEPT, Scan, Severity};
use serde_json::{Value, json};

use crate::predicates::{judged, problem};

pub(crate) fn frame(result: &Value) -> Value {
    json!({
        "invocation": {"parameters": null, "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy@0.69.0",
            "version": "0.69.0",
            "db": {"uri": "", "version": "", "lastUpdate": "2026-11-24T06:00:00Z"},
            "result": result,
        },
        "metadata": {"scanStartedOn": "2026-11-24T08:00:00Z", "scanFinishedOn": "2026-11-24T08:01:00Z"},
    })
}

pub(crate) fn trivy() -> Value {
    json!({"SchemaVersion": 2, "ArtifactName": "registry.example/shop/checkout", "Results": [
        {"Target": "checkout (debian 12)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
            {"VulnerabilityID": "CVE-2026-1", "VendorIDs": ["DSA-1"], "PkgName": "openssl",
             "PkgIdentifier": {"PURL": "pkg:deb/debian/openssl@3.0.11?arch=amd64"}, "Severity": "HIGH"},
            {"VulnerabilityID": "CVE-2026-2", "PkgName": "zlib", "Severity": "CRITICAL"},
        ]},
        {"Target": "app", "Class": "lang-pkgs"},
    ]})
}

pub(crate) fn grype() -> Value {
    json!({
        "matches": [{
            "vulnerability": {"id": "GHSA-xxxx", "severity": "Medium"},
            "relatedVulnerabilities": [{"id": "CVE-2026-3", "severity": "High"}],
            "artifact": {"name": "left-pad", "version": "1.0.0", "purl": "pkg:npm/left-pad@1.0.0"},
        }],
        "descriptor": {"name": "grype", "version": "0.100.0", "db": {"status": {"built": "2026-11-23T01:00:00Z"}}},
    })
}

pub(crate) fn sarif() -> Value {
    json!({"version": "2.1.0", "$schema": "x", "runs": [{
        "tool": {"driver": {"name": "Trivy", "rules": [
            {"id": "CVE-2026-1", "properties": {"security-severity": "9.8"}},
            {"id": "CVE-2026-2", "properties": {"security-severity": 5.0}},
        ]}},
        "results": [{"ruleId": "CVE-2026-1", "level": "error"}, {"ruleId": "CVE-2026-2", "level": "note"}],
    }]})
}

fn read(result: &Value) -> Scan {
    let content = judged(COSIGN_VULN, &frame(result));
    let Content::Scan(scan) = content else {
        panic!("{content:?}")
    };
    scan
}

#[track_caller]
fn refused(result: &Value, expected: &str) {
    let found = problem(COSIGN_VULN, &frame(result));
    assert!(found.contains(expected), "{found}");
}

#[test]
fn trivy_grype_and_sarif_are_read_alike() {
    let scan = read(&trivy());
    assert_eq!(
        scan.counts,
        [(Severity::High, 1), (Severity::Critical, 1)].into()
    );
    let [worst, second] = scan.findings.as_slice() else {
        panic!()
    };
    assert_eq!(
        (worst.id.as_str(), worst.severity),
        ("CVE-2026-2", Severity::Critical)
    );
    assert_eq!(worst.purl, None);
    assert_eq!(second.aliases, ["DSA-1"]);
    assert_eq!(
        second.purl.as_deref(),
        Some("pkg:deb/debian/openssl@3.0.11?arch=amd64")
    );
    assert_eq!(scan.finished.to_string(), "2026-11-24T08:01:00Z");
    assert_eq!(scan.database.unwrap().to_string(), "2026-11-24T06:00:00Z");

    let scan = read(&grype());
    assert_eq!(scan.counts, [(Severity::Medium, 1)].into());
    assert_eq!(scan.findings[0].aliases, ["CVE-2026-3"]);
    let database = scan.database.unwrap().to_string();
    assert_eq!(
        database, "2026-11-23T01:00:00Z",
        "the older of the two times"
    );

    let scan = read(&sarif());
    assert_eq!(
        scan.counts,
        [(Severity::Medium, 1), (Severity::Critical, 1)].into()
    );
}

#[test]
fn clean_reports_are_clean_only_if_they_looked_at_something() {
    let mut clean = trivy();
    clean["Results"][0]
        .as_object_mut()
        .unwrap()
        .remove("Vulnerabilities");
    assert!(read(&clean).counts.is_empty());
    clean["Results"] = json!([{"Target": "app", "Class": "secret"}]);
    refused(&clean, "looked at no packages");
    clean["Results"] = json!(null);
    refused(&clean, "looked at no packages");
    let mut clean = grype();
    clean["matches"] = json!([]);
    assert!(read(&clean).counts.is_empty());
    clean["matches"] = json!(null);
    refused(&clean, "none of the shapes");
    let mut clean = sarif();
    clean["runs"][0]["results"] = json!([]);
    assert!(read(&clean).counts.is_empty());
    clean["runs"][0].as_object_mut().unwrap().remove("results");
    refused(&clean, "missing field `results`");
    clean["runs"] = json!([]);
    refused(&clean, "has no run");
}

/// "`{}` scan" of the negative tests that matter most: an empty or unknown report is no clean one.
#[test]
fn an_empty_or_unknown_report_is_not_read() {
    for result in [
        json!({}),
        json!([]),
        json!(null),
        json!("{}"),
        json!({"vulnerabilities": []}),
    ] {
        let found = problem(COSIGN_VULN, &frame(&result));
        assert!(
            found.contains("none of the shapes") || found.contains("no JSON object"),
            "{result}: {found}"
        );
    }
    let mut both = trivy();
    both["matches"] = json!([]);
    refused(&both, "more than one shape");
    let mut frame = frame(&trivy());
    frame["scanner"].as_object_mut().unwrap().remove("result");
    assert!(problem(COSIGN_VULN, &frame).contains("missing field `result`"));
}

#[test]
fn a_finding_without_a_known_severity_or_id_is_not_read() {
    for severity in [json!(null), json!(""), json!("severe")] {
        let mut report = trivy();
        report["Results"][0]["Vulnerabilities"][0]["Severity"] = severity.clone();
        refused(&report, "the finding CVE-2026-1 has no severity");
        let mut report = grype();
        report["matches"][0]["vulnerability"]["severity"] = severity;
        refused(&report, "the finding GHSA-xxxx has no severity");
    }
    for score in [
        json!(null),
        json!("high"),
        json!("11"),
        json!(-1),
        json!("NaN"),
    ] {
        let mut report = sarif();
        report["runs"][0]["tool"]["driver"]["rules"][0]["properties"]["security-severity"] = score;
        refused(&report, "the finding CVE-2026-1 has no severity");
    }
    let mut report = sarif();
    report["runs"][0]["results"][0]["ruleId"] = "CVE-2026-9".into();
    refused(&report, "the finding CVE-2026-9 has no severity");
    let mut report = trivy();
    report["Results"][0]["Vulnerabilities"][0]["VulnerabilityID"] = "".into();
    refused(&report, "id is empty");
    let mut report = trivy();
    report["SchemaVersion"] = 1.into();
    refused(&report, "SchemaVersion 1, not 2");
    let mut report = grype();
    report["descriptor"]["name"] = "other".into();
    refused(&report, "does not name grype");
}

#[test]
fn times_are_read_or_the_report_is_not() {
    let changed = |pointer: &str, value: Value| {
        let mut frame = frame(&trivy());
        *frame.pointer_mut(pointer).unwrap() = value;
        judged(COSIGN_VULN, &frame)
    };
    for time in [json!(""), json!(null), json!("yesterday"), json!(0)] {
        let content = changed("/metadata/scanFinishedOn", time);
        assert!(content.problem().is_some(), "{content:?}");
    }
    let content = changed("/scanner/db/lastUpdate", json!("yesterday"));
    assert!(
        content
            .problem()
            .unwrap()
            .contains("lastUpdate is no RFC 3339 time")
    );
    // As Trivy and `cosign attest --type vuln` write it.
    let Content::Scan(scan) = changed("/scanner/db", json!({"uri": "", "version": ""})) else {
        panic!()
    };
    assert_eq!(scan.database, None);
}

#[test]
fn many_findings_are_counted_and_the_worst_are_kept() {
    let mut report = trivy();
    let low = |n: usize| json!({"VulnerabilityID": format!("CVE-{n}"), "PkgName": "a", "Severity": "LOW"});
    let mut found: Vec<Value> = (0..1000).map(low).collect();
    found.push(json!({"VulnerabilityID": "CVE-X", "PkgName": "a", "Severity": "CRITICAL"}));
    found.push(low(7));
    report["Results"][0]["Vulnerabilities"] = found.into();
    let scan = read(&report);
    assert_eq!(
        scan.counts,
        [(Severity::Low, 1000), (Severity::Critical, 1)].into()
    );
    assert_eq!(scan.findings.len(), FINDINGS_KEPT);
    assert_eq!(scan.findings[0].id, "CVE-X");
}
