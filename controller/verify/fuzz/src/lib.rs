//! What reads bytes from outside, asked with any bytes: one [`Target`] a line.
//!
//! A target's body panics where something does not hold that must hold of every input; that it ends
//! in time and in little memory is looked at by whoever runs it. `fuzz_targets/` has a binary for
//! each, for `cargo fuzz`; the test `fuzz` of the workspace's tests includes this file and runs all of
//! them for a bounded time.

mod legacy;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_api::ClusterPromotionPolicySpec;
use lockmaster_core::evidence::{
    Anchor, Bundle, CYCLONEDX, Content, PublicKey, RootText, SLSA_PROVENANCE_V1, SPDX,
};
use lockmaster_core::pattern;
use lockmaster_core::policy::Policy;
use lockmaster_core::release::{Digest, ImageReference, Version};
use lockmaster_core::window::parse_annotation;
use lockmaster_observe::registry::{DockerConfig, fuzzing};
use lockmaster_verify::{Detached, Subject, Trust, TrustedRoot, judge, judge_detached, parse_key};

pub use legacy::legacy;

/// One thing to ask.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its binary.
    pub name: &'static str,
    /// Asks it; panics where something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: &'static [&'static str],
    /// Files to begin with: below the repository's root, all whose path holds one of these.
    pub files: &'static [&'static str],
}

/// Everything there is.
pub const ALL: &[Target] = &[
    target("reference", reference, REFERENCES, &[]),
    target("challenge", challenge, CHALLENGES, &[]),
    target("link", link, LINKS, &[]),
    target("manifest", manifest, MANIFESTS, &[]),
    target(
        "token",
        token,
        &[
            r#"{"token":"a","expires_in":60}"#,
            r#"{"access_token":"a"}"#,
        ],
        &[],
    ),
    target("docker_config", docker_config, &[DOCKER_CONFIG], &[]),
    target("bundle", bundle, &[], &["controller/verify/test_data/"]),
    target("legacy", legacy, legacy::SEEDS, &[]),
    target("statement", statement, &[STATEMENT], &[]),
    target("slsa", slsa, &[SLSA], &[]),
    target("spdx", spdx, &[SPDX_DOCUMENT], &[]),
    target("cyclonedx", cyclonedx, &[CYCLONEDX_DOCUMENT], &[]),
    target("policy", policy, &[POLICY], &[]),
    target(
        "trusted_root",
        trusted_root,
        &[],
        &["test_data/private-sigstore/trusted_root.json"],
    ),
    target("public_key", public_key, &[], &[".pem", "cosign.pub"]),
    target("pattern", patterns, PATTERNS, &[]),
    target("window", window, WINDOWS, &[]),
];

const fn target(
    name: &'static str,
    run: fn(&[u8]),
    seeds: &'static [&'static str],
    files: &'static [&'static str],
) -> Target {
    Target {
        name,
        run,
        seeds,
        files,
    }
}

const REFERENCES: &[&str] = &[
    "registry.example/shop/checkout@sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
    "localhost:5000/a/b__c-d.e@sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd",
    "1.42.0-rc.1",
];

const CHALLENGES: &[&str] = &[
    r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull""#,
    "Basic realm=x\nBearer realm=\"a, \\\"b\\\"\", error=\"invalid_token\"",
    "Negotiate, Basic realm=\"a\" , Bearer realm = b",
];

const LINKS: &[&str] = &[
    r#"</v2/a/referrers/x?n=1>; rel="next""#,
    "<https://registry.example/b>; rel=\"prev\", <//evil.example/b>;rel=next",
];

const MANIFESTS: &[&str] = &[
    concat!(
        "application/vnd.oci.image.manifest.v1+json\n",
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"#,
        r#""mediaType":"a","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"#,
        r#""layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}],"#,
        r#""annotations":{"dev.sigstore.bundle.predicateType":"https://slsa.dev/provenance/v1"}}"#
    ),
    concat!(
        "application/vnd.oci.image.index.v1+json; charset=utf-8\n",
        r#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
        r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}]}"#
    ),
];

const PATTERNS: &[&str] = &["a*/**c\nab/d/c", "refs/tags/v*\nrefs/tags/v1"];

const WINDOWS: &[&str] = &["Tue-Thu 10:00-12:00 Europe/Berlin", "Mon 00:00-24:00 UTC"];

const DOCKER_CONFIG: &str = r#"{"auths":{"registry.example":{"auth":"dXNlcjpwYXNzd29yZA=="},"https://index.docker.io/v1/":{"username":"a","password":"b"}}}"#;

const STATEMENT: &str = r#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}"#;

const SLSA: &str = r#"{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":{"ref":"refs/tags/v1","repository":"https://git.example/a","path":".github/workflows/b.yml"}},"resolvedDependencies":[{"uri":"git+https://git.example/a@refs/tags/v1","digest":{"gitCommit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904"}}]},"runDetails":{"builder":{"id":"https://ci.example"},"metadata":{"invocationId":"https://ci.example/runs/7"}}}"#;

const SPDX_DOCUMENT: &str = r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[{"name":"a","licenseConcluded":"MIT"},{"name":"b"}]}"#;

const CYCLONEDX_DOCUMENT: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"name":"a","licenses":[{"license":{"id":"MIT"}}],"components":[{"name":"b"}]}]}"#;

const POLICY: &str = r#"{"match":{"tiers":["Production"],"namespaceSelector":{"matchLabels":{"a":"b"}}},"sources":[{"namespaces":["shop"],"product":"checkout","repositories":["https://git.example/a"],"imageRepositories":["registry.example/shop/*"]}],"authorities":[{"name":"ci","trustedRoot":"public-good","keyless":{"issuer":"https://token.example","subjectPattern":"https://git.example/shop/*@refs/tags/v*"},"predicateTypes":["https://sigstore.dev/cosign/sign/v1"]},{"name":"key","keys":[{"pem":"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL5wFgwswcKITS11b2PP/eCtr2ObJ\nrkoTMF2v1O7RCw+jkuKH6VBXDgJoY/8+VGxr9itR0MvCKzCO8b1AtoiDqQ==\n-----END PUBLIC KEY-----\n","validUntil":"2026-11-01T00:00:00Z"}],"predicateTypes":["https://slsa.dev/provenance/v1"]}],"evidence":{"signatures":{"authorities":["ci"],"threshold":1},"provenance":[{"authority":"key","builders":["https://ci.example"],"buildTypes":["https://actions.github.io/buildtypes/workflow/v1"]}]},"approvals":[{"role":"release-manager","min":1}],"windows":["Always"]}"#;

/// The manifest that the bundles in `test_data/private-sigstore` are about.
const MANIFEST: &[u8] = include_bytes!("../../test_data/private-sigstore/manifest.json");

/// The bundles that verify, with the managed key and under the trusted root.
const HONEST: [&[u8]; 3] = [
    include_bytes!("../../test_data/private-sigstore/ci-slsa-provenance.sigstore.json"),
    include_bytes!("../../test_data/private-sigstore/key-sign.sigstore.json"),
    include_bytes!("../../test_data/private-sigstore/person-message.sigstore.json"),
];

/// Longest text that a problem may be told in: messages end in statuses and logs.
const PROBLEM_LIMIT: usize = 1024;

static TRUST: LazyLock<Trust> = LazyLock::new(|| {
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Read as written or not at all.
pub fn reference(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(image) = ImageReference::parse(&text) {
        assert_eq!(image.to_string(), text);
        assert!(text.starts_with(image.registry()) && text.ends_with(image.digest().as_str()));
    }
    if let Ok(digest) = Digest::parse(&text) {
        assert_eq!(Digest::from_sha256(&digest.sha256()).as_str(), text);
    }
    if let Ok(version) = Version::parse(&text) {
        assert_eq!(version.to_string(), text);
    }
}

/// Nothing is read twice.
pub fn challenge(bytes: &[u8]) {
    let text = text(bytes);
    let (challenges, characters) = fuzzing::challenges(&text);
    assert!(challenges <= text.len() && characters <= text.len());
}

/// Only the host that was asked.
pub fn link(bytes: &[u8]) {
    let page = fuzzing::next_page("https://registry.example/v2/a/referrers/x", &text(bytes));
    if let Some(page) = page {
        assert!(page.starts_with("https://registry.example/"), "{page}");
    }
}

/// The first line is the `Content-Type`. One kind or the other, never both.
pub fn manifest(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.unwrap_or(bytes.len()));
    let body = body.get(1..).unwrap_or_default();
    let _ = fuzzing::is_index(body, &text(head));
    let index = fuzzing::is_index(body, "application/vnd.oci.image.index.v1+json");
    let manifest = fuzzing::is_index(body, "application/vnd.oci.image.manifest.v1+json");
    assert!(index != Some(false) && manifest != Some(true));
    assert!(
        index.is_none() || manifest.is_none(),
        "both a manifest and an index"
    );
}

/// The answer of a token service.
pub fn token(bytes: &[u8]) {
    let _ = fuzzing::is_token(bytes);
}

/// A pull secret.
pub fn docker_config(bytes: &[u8]) {
    if let Err(error) = DockerConfig::parse(bytes) {
        bounded(&error.to_string());
    }
}

/// What verifies is what was signed.
pub fn bundle(bytes: &[u8]) {
    let digest = Digest::of(MANIFEST);
    let Some(subject) = Subject::new(&digest, MANIFEST) else {
        return;
    };
    let judged = judge(&subject, bytes, &TRUST);
    said_in_bounds(&judged);
    if !judged.verified_by.is_empty() {
        let signed = HONEST.map(|honest| judge(&subject, honest, &TRUST));
        let is_signed = signed
            .iter()
            .any(|honest| honest.content == judged.content && honest.subjects == judged.subjects);
        assert!(is_signed, "{judged:?}");
    }
    let file = Detached::Bytes(MANIFEST);
    if let Err(problem) = judge_detached(bytes, file, &TRUST) {
        bounded(&problem);
    }
}

/// The payload of an envelope that nobody signed.
pub fn statement(bytes: &[u8]) {
    said(bytes);
}

/// SLSA provenance.
pub fn slsa(bytes: &[u8]) {
    predicate(SLSA_PROVENANCE_V1, bytes);
}

/// A bill of materials in SPDX.
pub fn spdx(bytes: &[u8]) {
    predicate(SPDX, bytes);
}

/// A bill of materials in CycloneDX.
pub fn cyclonedx(bytes: &[u8]) {
    predicate(CYCLONEDX, bytes);
}

/// These bytes as the predicate of a statement of this type: as they are, within cosign's wrapper,
/// and as text. Wherever one of the forms is read, all of them are, as the same.
fn predicate(kind: &str, bytes: &[u8]) {
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

/// What an envelope with this payload says. Nobody signed it, so nothing verifies.
fn said(payload: &[u8]) -> Bundle {
    let digest = Digest::of(MANIFEST);
    let bundle = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":""}}}},"dsseEnvelope":{{"payloadType":"application/vnd.in-toto+json","payload":"{}","signatures":[{{"sig":"AAAA"}}]}}}}"#,
        STANDARD.encode(payload)
    );
    let subject = Subject::new(&digest, MANIFEST);
    assert!(subject.is_some());
    let judged = subject.map(|subject| judge(&subject, bundle.as_bytes(), &TRUST));
    let judged = judged.unwrap_or_else(|| unreachable!("the manifest hashes to its digest"));
    assert!(judged.verified_by.is_empty());
    said_in_bounds(&judged);
    judged
}

fn said_in_bounds(judged: &Bundle) {
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

/// A message is one short line, whatever it is about.
fn bounded(message: &str) {
    assert!(
        message.len() <= PROBLEM_LIMIT,
        "{} bytes: {message}",
        message.len()
    );
    assert!(!message.chars().any(char::is_control), "{message:?}");
}

/// A policy in JSON, as the API server hands it on, or in YAML, as a file has it.
pub fn policy(bytes: &[u8]) {
    let json = serde_json::from_slice::<ClusterPromotionPolicySpec>(bytes);
    if let Ok(yaml) = serde_saphyr::from_str::<ClusterPromotionPolicySpec>(&text(bytes)) {
        looked_at(&yaml.into());
    }
    if let Ok(spec) = json {
        looked_at(&spec.into());
    }
}

fn looked_at(policy: &Policy) {
    for contradiction in policy.contradictions() {
        assert!(!contradiction.is_empty());
    }
    assert!(policy.digest().is_ok());
    for authority in &policy.authorities {
        for key in &authority.keys {
            let _ = parse_key(&key.pem);
        }
        if let Some(keyless) = &authority.keyless {
            let _ = keyless.names(
                "https://token.example",
                "https://git.example/shop/a@refs/tags/v1",
            );
        }
    }
}

/// Sigstore's trusted root.
pub fn trusted_root(bytes: &[u8]) {
    if let Err(error) = TrustedRoot::parse(&text(bytes)) {
        bounded(&error.to_string());
    }
}

/// Named by what it is.
pub fn public_key(bytes: &[u8]) {
    let text = text(bytes);
    match parse_key(&text) {
        Ok(PublicKey { id, pem }) => {
            assert_eq!(pem, text);
            assert_eq!(id.to_string().len(), 64);
        }
        Err(error) => bounded(&error.to_string()),
    }
}

/// The first line is the pattern.
pub fn patterns(bytes: &[u8]) {
    let text = text(bytes);
    let (pattern, name) = text.split_once('\n').unwrap_or((&text, ""));
    let matched = pattern::matches(pattern, name);
    if !pattern.contains('*') {
        assert_eq!(matched, pattern == name);
    }
}

/// The annotation that narrows windows.
pub fn window(bytes: &[u8]) {
    if let Err(error) = parse_annotation(&text(bytes)) {
        bounded(&error.to_string());
    }
}
