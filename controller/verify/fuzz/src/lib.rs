//! What reads bytes from outside, asked with any bytes: one [`Target`] a line.
//!
//! A target's body panics where something does not hold that must hold of every input; that it ends
//! in time and in little memory is looked at by whoever runs it. `fuzz_targets/` has a binary for
//! each, for `cargo fuzz`; the test `fuzz` of the workspace's tests includes this file and runs all of
//! them for a bounded time.

mod legacy;
mod names;
mod seeds;
mod statements;

use lockmaster_api::ClusterPromotionPolicySpec;
use lockmaster_core::evidence::PublicKey;
use lockmaster_core::pattern;
use lockmaster_core::policy::Policy;
use lockmaster_core::release::{Digest, ImageReference, Version};
use lockmaster_core::window::parse_annotation;
use lockmaster_observe::registry::{DockerConfig, fuzzing};
use lockmaster_verify::{TrustedRoot, parse_key};

pub use legacy::legacy;
pub use names::{license, package};
pub use statements::{
    bundle, cyclonedx, long_bill, packages, pipeline, scan, slsa, spdx, statement, unread, verdict,
    vex,
};

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
    target("reference", reference, seeds::REFERENCES, &[]),
    target("challenge", challenge, seeds::CHALLENGES, &[]),
    target("link", link, seeds::LINKS, &[]),
    target("manifest", manifest, seeds::MANIFESTS, &[]),
    target("token", token, seeds::TOKENS, &[]),
    target("docker_config", docker_config, seeds::DOCKER_CONFIGS, &[]),
    target("bundle", bundle, &[], &["controller/verify/test_data/"]),
    target("legacy", legacy, legacy::SEEDS, &["fuzz/seeds/legacy/"]),
    target("statement", statement, seeds::STATEMENTS, &[]),
    target("slsa", slsa, seeds::SLSA, &[]),
    target("spdx", spdx, seeds::SPDX, &[]),
    target("cyclonedx", cyclonedx, seeds::CYCLONEDX, &[]),
    target("scan", scan, seeds::SCANS, &[]),
    target("vex", vex, seeds::VEX, &[]),
    target("verdict", verdict, seeds::VERDICTS, &[]),
    target("pipeline", pipeline, seeds::PIPELINE, &[]),
    target("license", license, seeds::LICENSES, &[]),
    target("package", package, seeds::PACKAGES, &[]),
    target("policy", policy, seeds::POLICIES, &[]),
    target(
        "trusted_root",
        trusted_root,
        &[],
        &["test_data/private-sigstore/trusted_root.json"],
    ),
    target("public_key", public_key, &[], &[".pem", "cosign.pub"]),
    target("pattern", patterns, seeds::PATTERNS, &[]),
    target("window", window, seeds::WINDOWS, &[]),
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

/// Longest text that a problem may be told in: messages end in statuses and logs.
const PROBLEM_LIMIT: usize = 1024;

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
