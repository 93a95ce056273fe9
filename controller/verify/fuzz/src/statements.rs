//! Bundles, the statements in them, and what each kind of predicate says. Nobody signed any of the
//! statements here, so nothing verifies.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{
    Anchor, Bundle, CHANGE, CHECKS, COSIGN_VULN, CYCLONEDX, Content, FINDINGS_KEPT, NOT_APPLICABLE,
    OPENVEX, OPENVEX_V0_2_0, RootText, SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1, SLSA_VSA, SPDX,
    Scan, TAGGED_RELEASE, TEST_RESULT,
};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Detached, Subject, Trust, judge, judge_detached, parse_key};

use super::{bounded, text};

/// The manifest that the bundles in `test_data/private-sigstore` are about.
pub(super) const MANIFEST: &[u8] = include_bytes!("../../test_data/private-sigstore/manifest.json");

/// The bundles that verify, with the managed key and under the trusted root.
const HONEST: [&[u8]; 4] = [
    include_bytes!("../../test_data/private-sigstore/ci-slsa-provenance.sigstore.json"),
    include_bytes!("../../test_data/private-sigstore/key-sign.sigstore.json"),
    include_bytes!("../../test_data/private-sigstore/key-slsa-provenance.sigstore.json"),
    include_bytes!("../../test_data/private-sigstore/person-message.sigstore.json"),
];

pub(super) static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    let key = parse_key(include_str!("../../test_data/private-sigstore/cosign.pub")).ok();
    let root = include_str!("../../test_data/private-sigstore/trusted_root.json");
    let root = Some(RootText::new(root));
    Trust::new(&[
        Anchor {
            key: None,
            root: root.clone(),
        },
        Anchor {
            key: key.clone(),
            root,
        },
        Anchor { key, root: None },
    ])
});

/// What verifies is what was signed.
pub fn bundle(bytes: &[u8]) {
    let digest = Digest::of(MANIFEST);
    let Some(subject) = Subject::new(&digest, MANIFEST) else {
        return;
    };
    let judged = judge(&subject, bytes, &TRUST);
    said_in_bounds(&judged);
    only_what_was_signed(&judged);
    let file = Detached::Bytes(MANIFEST);
    if let Err(problem) = judge_detached(bytes, file, &TRUST) {
        bounded(&problem);
    }
}

/// What verifies says what one of the honest bundles says.
pub(super) fn only_what_was_signed(judged: &Bundle) {
    let digest = Digest::of(MANIFEST);
    if judged.verified_by.is_empty() {
        return;
    }
    let subject = Subject::new(&digest, MANIFEST);
    let mut honest = HONEST.iter().filter_map(|honest| {
        let subject = subject.as_ref()?;
        Some(judge(subject, honest, &TRUST))
    });
    let is_signed =
        honest.any(|honest| honest.content == judged.content && honest.subjects == judged.subjects);
    assert!(is_signed, "{judged:?}");
}

/// The payload of an envelope that nobody signed.
pub fn statement(bytes: &[u8]) {
    said(bytes);
}

/// SLSA provenance.
pub fn slsa(bytes: &[u8]) {
    let both = [
        predicate(SLSA_PROVENANCE_V1, bytes),
        plain(SLSA_PROVENANCE_V0_2, bytes),
    ];
    for content in both {
        if let Content::Provenance(provenance) = content {
            assert!(provenance.parameters.len() <= 64);
            assert!(provenance.repository.len() <= 1024 && !provenance.repository.is_empty());
        }
    }
}

/// A bill of materials in SPDX.
pub fn spdx(bytes: &[u8]) {
    listed(&predicate(SPDX, bytes));
}

/// A bill of materials in CycloneDX.
pub fn cyclonedx(bytes: &[u8]) {
    listed(&predicate(CYCLONEDX, bytes));
}

/// What stays in memory of the largest bill of materials.
fn listed(content: &Content) {
    if let Content::Sbom(bill) = content {
        assert!(bill.licenses.len() <= 512, "{}", bill.licenses.len());
        let mut licenses = bill.licenses.iter();
        assert!(licenses.all(|license| license.text.len() <= 512));
        assert!(bill.components > 0 || bill.licenses.is_empty());
    }
}

/// A scan: as the whole predicate, and as the report in cosign's frame.
pub fn scan(bytes: &[u8]) {
    let framed = framed(&text(bytes));
    let framed = said(in_statement(COSIGN_VULN, &framed).as_bytes()).content;
    for content in [plain(COSIGN_VULN, bytes), framed] {
        if let Content::Scan(scan) = content {
            counted(&scan);
        }
    }
}

/// Nothing that is kept is not counted, and the worst is kept.
fn counted(scan: &Scan) {
    assert!(scan.findings.len() <= FINDINGS_KEPT);
    let counted: u64 = scan.counts.values().sum();
    let kept = scan.findings.len() as u64;
    assert!(kept == counted || (kept < counted && scan.findings.len() == FINDINGS_KEPT));
    assert!(scan.findings.is_sorted_by(|a, b| a.severity >= b.severity));
    let worst = scan.counts.last_key_value().map(|(severity, _)| *severity);
    assert_eq!(worst, scan.findings.first().map(|found| found.severity));
}

/// An OpenVEX document of either type.
pub fn vex(bytes: &[u8]) {
    for kind in [OPENVEX, OPENVEX_V0_2_0] {
        if let Content::Vex(vex) = plain(kind, bytes) {
            assert!((1..=512).contains(&vex.statements.len()));
            let products = vex.statements.iter().flat_map(|one| &one.products);
            // Each is compared with each finding of a scan.
            let compared: usize = products.map(|one| one.names.len() + one.parts.len()).sum();
            assert!(compared <= 4096, "{compared}");
        }
    }
}

/// Statements that say pass or fail in themselves.
pub fn verdict(bytes: &[u8]) {
    if let Content::Summary(summary) = plain(SLSA_VSA, bytes) {
        assert!(!summary.verifier.is_empty() && summary.levels.len() <= 32);
    }
    let tests = plain(TEST_RESULT, bytes);
    assert!(matches!(
        tests,
        Content::Tests(_) | Content::Unreadable { .. }
    ));
}

/// Our own predicates: what is read as one of them is read as no other, and as the same once it was
/// written again.
pub fn pipeline(bytes: &[u8]) {
    let kinds = [CHANGE, CHECKS, TAGGED_RELEASE, NOT_APPLICABLE];
    let read = kinds.map(|kind| (kind, plain(kind, bytes)));
    let read: Vec<_> = read
        .into_iter()
        .filter(|(_, content)| content.problem().is_none())
        .collect();
    assert!(read.len() <= 1, "{read:?}");
    for (kind, content) in read {
        let written = if let Content::Change(change) = &content {
            serde_json::to_string(change)
        } else if let Content::Checks(checks) = &content {
            serde_json::to_string(checks)
        } else if let Content::Release(release) = &content {
            serde_json::to_string(release)
        } else if let Content::NotApplicable(statement) = &content {
            serde_json::to_string(statement)
        } else {
            unreachable!("{content:?}")
        };
        let written = written.unwrap_or_default();
        let again = said(in_statement(kind, &written).as_bytes()).content;
        assert_eq!(content, again, "{written}");
    }
}

/// What these bytes say as the predicate of a statement of this type.
fn plain(kind: &str, bytes: &[u8]) -> Content {
    said(in_statement(kind, &text(bytes)).as_bytes()).content
}

/// Why these bytes are the predicate of no type that is read here; nothing, where they are of one.
pub fn unread(bytes: &[u8]) -> Option<Vec<String>> {
    let kinds = [
        SLSA_PROVENANCE_V1,
        SLSA_PROVENANCE_V0_2,
        SPDX,
        CYCLONEDX,
        COSIGN_VULN,
        OPENVEX,
        SLSA_VSA,
        TEST_RESULT,
        CHANGE,
        CHECKS,
        TAGGED_RELEASE,
        NOT_APPLICABLE,
    ];
    let plain = text(bytes);
    let forms = [framed(&plain), plain];
    let judged = forms.iter().flat_map(|form| {
        let ask = |kind| said(in_statement(kind, form).as_bytes()).content;
        kinds.map(ask)
    });
    let problems: Vec<_> = judged
        .map(|content| content.problem().map(str::to_owned))
        .collect();
    problems.into_iter().collect()
}

/// A report in the frame that cosign gives it.
fn framed(report: &str) -> String {
    format!(
        r#"{{"scanner":{{"uri":"a","result":{report}}},"metadata":{{"scanFinishedOn":"2026-11-24T08:01:00Z"}}}}"#
    )
}

/// These bytes as the predicate of a statement of this type: as they are, within cosign's wrapper,
/// and as text. Wherever one of the forms is read, all of them are, as the same.
fn predicate(kind: &str, bytes: &[u8]) -> Content {
    let inner = text(bytes);
    let quoted = serde_json::Value::from(inner.as_str());
    let plain = said(in_statement(kind, &inner).as_bytes());
    let wrapped = format!(r#"{{"Data":{inner},"Timestamp":"2026-01-01T00:00:00Z"}}"#);
    let wrapped = said(in_statement(kind, &wrapped).as_bytes());
    let quoted = said(in_statement(kind, &quoted.to_string()).as_bytes());
    // A predicate may itself look like a wrapper, and a text like a text.
    if is_read(&plain) && is_read(&wrapped) {
        assert_eq!(plain.content, wrapped.content);
    }
    if is_read(&plain) && is_read(&quoted) {
        assert_eq!(plain.content, quoted.content);
    }
    plain.content
}

fn is_read(judged: &Bundle) -> bool {
    !matches!(judged.content, Content::Unreadable { .. })
}

fn in_statement(kind: &str, predicate: &str) -> String {
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}}}}],"predicateType":"{kind}","predicate":{predicate}}}"#,
        Digest::of(MANIFEST).hexadecimal()
    )
}

/// A bundle with this payload, which nobody signed.
fn in_bundle(payload: &[u8]) -> String {
    format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":""}}}},"dsseEnvelope":{{"payloadType":"application/vnd.in-toto+json","payload":"{}","signatures":[{{"sig":"AAAA"}}]}}}}"#,
        STANDARD.encode(payload)
    )
}

/// A bundle with a bill of so many packages.
pub fn long_bill(packages: usize) -> Vec<u8> {
    let package =
        r#"{"name":"a","versionInfo":"1.0","licenseConcluded":"MIT","licenseDeclared":"MIT"}"#;
    let packages = vec![package; packages].join(",");
    let bill = format!(
        r#"{{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[{packages}]}}"#
    );
    in_bundle(in_statement(SPDX, &bill).as_bytes()).into_bytes()
}

/// How many packages the bill of materials in a bundle lists.
pub fn packages(bundle: &[u8]) -> Option<u64> {
    let digest = Digest::of(MANIFEST);
    let subject = Subject::new(&digest, MANIFEST)?;
    let content = judge(&subject, bundle, &TRUST).content;
    if let Content::Sbom(bill) = content {
        Some(bill.components)
    } else {
        None
    }
}

/// What an envelope with this payload says. Nobody signed it, so nothing verifies.
fn said(payload: &[u8]) -> Bundle {
    let digest = Digest::of(MANIFEST);
    let bundle = in_bundle(payload);
    let subject = Subject::new(&digest, MANIFEST);
    assert!(subject.is_some());
    let judged = subject.map(|subject| judge(&subject, bundle.as_bytes(), &TRUST));
    let judged = judged.unwrap_or_else(|| unreachable!("the manifest hashes to its digest"));
    assert!(judged.verified_by.is_empty());
    said_in_bounds(&judged);
    judged
}

pub(super) fn said_in_bounds(judged: &Bundle) {
    assert!(judged.subjects.len() <= 4, "{judged:?}");
    if let Content::Unreadable { predicate, problem } = &judged.content {
        bounded(problem);
        bounded(predicate.as_deref().unwrap_or_default());
    }
    judged
        .failures
        .values()
        .for_each(|problem| bounded(problem));
}
