//! Bundles as cosign 3.1.3 wrote them, without a log, for an image that crane made (Docker schema 2).

use lockmaster_core::evidence::{Anchor, Content, SbomFormat, Verified};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Subject, Trust, judge, parse_key};

fn data(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/test_data/cosign-3.1.3/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(path).unwrap()
}

#[test]
fn bundles_of_cosign_verify_and_are_understood() {
    let manifest = data("manifest.json");
    let digest = Digest::of(&manifest);
    let key = parse_key(std::str::from_utf8(&data("cosign.pub")).unwrap()).unwrap();
    for name in ["sign", "provenance", "spdx", "cyclonedx"] {
        let bytes = data(&format!("{name}.sigstore.json"));
        let subject = Subject::new(&digest, &manifest).unwrap();
        let trust = Trust::new(&[Anchor::of_key(key.clone())]);
        let judged = judge(&subject, &bytes, &trust);
        assert_eq!(
            judged.verified_by,
            [Verified::by_key(key.id.clone())].into(),
            "{name}"
        );
        assert_eq!(judged.key_hint, Some(key.id.clone()), "{name}");
        assert_eq!(judged.subjects, std::slice::from_ref(&digest), "{name}");
        match (name, judged.content) {
            ("sign", Content::Signature) => {}
            ("provenance", Content::Provenance(provenance)) => {
                assert_eq!(provenance.reference, "refs/tags/v1.42.0");
                assert_eq!(
                    provenance.commit,
                    "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
                );
            }
            ("spdx", Content::Sbom(sbom)) => {
                assert_eq!((sbom.format, sbom.components), (SbomFormat::Spdx, 1));
            }
            ("cyclonedx", Content::Sbom(sbom)) => {
                assert_eq!((sbom.format, sbom.components), (SbomFormat::CycloneDX, 1));
            }
            (_, content) => panic!("{name}: {content:?}"),
        }
    }
}

/// What `cosign attest-blob --type …` makes of each kind of statement.
#[test]
fn statements_of_cosign_are_understood() {
    let manifest = data("manifest.json");
    let digest = Digest::of(&manifest);
    let key = data("statements/cosign.pub");
    let key = parse_key(std::str::from_utf8(&key).unwrap()).unwrap();
    let trust = Trust::new(&[Anchor::of_key(key)]);
    let content = |name: &str| {
        let bytes = data(&format!("statements/{name}.sigstore.json"));
        let subject = Subject::new(&digest, &manifest).unwrap();
        let judged = judge(&subject, &bytes, &trust);
        assert_eq!(judged.verified_by.len(), 1, "{name}");
        assert_eq!(judged.subjects, std::slice::from_ref(&digest), "{name}");
        judged.content
    };
    let Content::Scan(named) = content("vuln") else {
        panic!("vuln")
    };
    assert_eq!(named.findings.len(), 1);
    assert_eq!(
        named.database, None,
        "--type vuln drops scanner.db.lastUpdate"
    );
    let Content::Scan(typed) = content("vuln-typed") else {
        panic!("vuln-typed")
    };
    assert!(typed.database.is_some(), "the full type keeps it");
    assert_eq!(typed.findings, named.findings);
    let Content::Vex(vex) = content("openvex") else {
        panic!("openvex")
    };
    assert_eq!(vex.statements[0].vulnerabilities, ["CVE-2026-1"]);
    let Content::Provenance(provenance) = content("slsaprovenance02") else {
        panic!("slsaprovenance02")
    };
    assert_eq!(provenance.parameters["event_inputs.debug"], "true");
    assert_eq!(provenance.invocation.as_deref(), Some("4711-1"));
    let Content::Checks(checks) = content("checks") else {
        panic!("checks")
    };
    assert_eq!(checks.checks.len(), 3);
    let Content::Summary(summary) = content("vsa") else {
        panic!("vsa")
    };
    assert!(summary.passed);
    let Content::Custom { predicate, value } = content("custom") else {
        panic!("custom")
    };
    assert_eq!(predicate, "https://cosign.sigstore.dev/attestation/v1");
    assert_eq!(value.unwrap().trim(), "{\"coverage\": 81}");
}
