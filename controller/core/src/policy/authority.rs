//! Who signs, and how a signature is told to be theirs.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pattern;

/// A public key in a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyText {
    /// SubjectPublicKeyInfo in PEM (`-----BEGIN PUBLIC KEY-----`): ECDSA P-256 or P-384, Ed25519,
    /// or RSA of 2048 to 4096 bits.
    #[schemars(length(min = 1, max = 4096))]
    pub pem: String,
    /// Signatures made before this instant do not count. A signature without a trusted timestamp
    /// is judged as if made now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub valid_from: Option<Timestamp>,
    /// Signatures made at this instant or later do not count: the key was replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub valid_until: Option<Timestamp>,
    /// Signatures made at this instant or later do not count: the key was disclosed. From then on
    /// a signature without a trusted timestamp does not count at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub revoked_from: Option<Timestamp>,
}

impl KeyText {
    /// A key that is valid at any time.
    #[must_use]
    pub fn of(pem: impl Into<String>) -> Self {
        Self {
            pem: pem.into(),
            valid_from: None,
            valid_until: None,
            revoked_from: None,
        }
    }
}

/// Keyless signers: whom a certificate of the authority's TrustedRoot names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keyless {
    /// The OpenID Connect issuer, exactly, such as `https://token.actions.githubusercontent.com`.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// The certificate's identity, exactly: an e-mail address or a URI. Either this or
    /// `subjectPattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject: Option<String>,
    /// A pattern of the whole identity: `*` stands for any characters but `/`, `**` for any
    /// characters at all, everything else for itself. Host and mail domain must be spelled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub subject_pattern: Option<String>,
    /// What the certificate must say of the build. Where it names a source repository, that must
    /// be the source of the Release even when this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<ClaimRule>,
}

/// What a build certificate must say. With it, a certificate that says nothing does not count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimRule {
    /// Repositories that the build may have run for, exactly: for signers that are not the
    /// product's own build, such as a central scanner. Left out: one that `sources` lists for the
    /// product, and the Release's own where it names one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    pub source_repositories: Vec<String>,
    /// Events that may have started the build, exactly, such as `push`. Left out: any but those
    /// that begin with `pull_request`, which strangers can cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 64)))]
    pub triggers: Vec<String>,
}

/// What is done with signatures in the formats from before the Sigstore bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Legacy {
    /// They count like others.
    Accept,
    /// They do not count.
    Refuse,
}

/// Somebody who signs, and what that somebody may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// Name by which the rest of the policy refers to it.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Its public keys; a signature by any one of them is the authority's. Either these or
    /// `keyless`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub keys: Vec<KeyText>,
    /// Whom certificates must name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<Keyless>,
    /// Name of the TrustedRoot whose certificates, transparency logs and timestamps count. Required
    /// with `keyless`; with `keys` it makes the time of a signature known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub trusted_root: Option<String>,
    /// Whether a signature by a key must be in a transparency log of the TrustedRoot; one by a
    /// certificate always must.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_transparency_log: bool,
    /// What is done with signatures in the formats from before the Sigstore bundle (cosign before
    /// version 3). Left out: Accept for keys, Refuse for `keyless`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legacy: Option<Legacy>,
    /// Predicate types that it may sign, as exact URIs. Signing the image itself is
    /// `https://sigstore.dev/cosign/sign/v1`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)))]
    pub predicate_types: Vec<String>,
}

impl Authority {
    /// Whether signatures in the formats from before the bundle count.
    #[must_use]
    pub fn accepts_legacy(&self) -> bool {
        let default = if self.keyless.is_some() {
            Legacy::Refuse
        } else {
            Legacy::Accept
        };
        self.legacy.unwrap_or(default) == Legacy::Accept
    }

    /// What is wrong with it in itself; each begins with the field below it.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        match (&self.keyless, self.keys.is_empty()) {
            (None, true) => {
                found.push("it has neither keys nor keyless, so nobody can sign for it".to_owned());
            }
            (Some(_), false) => found.push(
                "it has both keys and keyless: make two authorities of it, so that each signature \
                 has one meaning"
                    .to_owned(),
            ),
            (Some(keyless), true) => {
                found.extend(keyless.contradiction().map(str::to_owned));
                if self.trusted_root.is_none() {
                    found.push("keyless needs trustedRoot: whose certificates count?".to_owned());
                }
            }
            (None, false) => {}
        }
        if self.require_transparency_log && self.trusted_root.is_none() {
            found.push("requireTransparencyLog needs trustedRoot: whose log counts?".to_owned());
        }
        for (position, key) in self.keys.iter().enumerate() {
            if let (Some(from), Some(until)) = (key.valid_from, key.valid_until)
                && from >= until
            {
                found.push(format!(
                    "keys[{position}]: validUntil is not after validFrom, so it is never valid"
                ));
            }
        }
        found
    }
}

impl Keyless {
    /// Whether it accepts this identity, as far as issuer and subject go.
    #[must_use]
    pub fn names(&self, issuer: &str, subject: &str) -> bool {
        let exact = self.subject.as_deref() == Some(subject);
        let pattern = self.subject_pattern.as_deref();
        self.issuer == issuer
            && (exact || pattern.is_some_and(|pattern| pattern::matches(pattern, subject)))
    }

    fn contradiction(&self) -> Option<&'static str> {
        match (&self.subject, &self.subject_pattern) {
            (Some(_), None) => None,
            (None, Some(pattern)) => leaves_host_open(pattern).then_some(
                "keyless.subjectPattern: spell out the host or mail domain; a * there would let \
                 other hosts in",
            ),
            (None, None) => Some(
                "keyless needs subject or subjectPattern: without one, anybody whom the issuer \
                 knows could sign",
            ),
            (Some(_), Some(_)) => {
                Some("keyless has both subject and subjectPattern: keep one of them")
            }
        }
    }
}

/// Whether a pattern leaves the host of a URI, or the domain of a mail address, open
/// (CVE-2026-25542 and its family).
fn leaves_host_open(pattern: &str) -> bool {
    let host = match (pattern.split_once("://"), pattern.rsplit_once('@')) {
        (Some((scheme, _)), _) if scheme.contains('*') => return true,
        // Without a slash the host goes on to the end, where a * may be anything.
        (Some((_, rest)), _) => rest.split_once('/').map_or(rest, |(host, _)| host),
        (None, Some((_, domain))) => domain,
        (None, None) => pattern,
    };
    host.contains('*') || host.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyless(pattern: &str) -> Keyless {
        Keyless {
            issuer: "https://issuer.example".into(),
            subject: None,
            subject_pattern: Some(pattern.into()),
            claims: None,
        }
    }

    #[test]
    fn cve_2026_25542_a_pattern_is_of_the_whole_identity() {
        const ISSUER: &str = "https://issuer.example";
        let pattern =
            keyless("https://good.example/shop/*/.github/workflows/release.yml@refs/tags/v*");
        let good =
            "https://good.example/shop/checkout/.github/workflows/release.yml@refs/tags/v1.42.0";
        assert!(pattern.names(ISSUER, good));
        for issuer in [
            "https://issuer.example/",
            "https://issuer.example.evil.test",
            "",
        ] {
            assert!(!pattern.names(issuer, good), "{issuer}");
        }
        for other in [
            good.replace("good.example", "good.example.evil.test"),
            good.replace("https://good", "https://evil.test/https://good"),
            good.replace("https://", "http://"),
            format!("{good}/../x"),
            format!(" {good}"),
            good.replace("release.yml", "release.yml.evil"),
            good.replace("shop/", "shopping/"),
            good.replace("checkout", "check/out"),
            good.replace("@refs/tags/v", "@refs/heads/v"),
            good.replace("good", "Good"),
            good.replace("shop", "sh\u{43e}p"),
        ] {
            assert!(!pattern.names(ISSUER, &other), "{other}");
        }
        let exact = Keyless {
            subject: Some(good.into()),
            subject_pattern: None,
            ..pattern
        };
        assert!(exact.names(ISSUER, good));
        for other in [
            format!("{good} "),
            format!("{good}.1"),
            good.replace("v1", "v"),
        ] {
            assert!(!exact.names(ISSUER, &other), "{other}");
        }
    }

    #[test]
    fn hosts_and_domains_are_spelled_out() {
        for open in [
            "*",
            "**",
            "https://*/x",
            "https://good.example*",
            "https://good.example*/x",
            "*://good.example/x",
            "*@*.example",
            "x@*",
            "**@",
        ] {
            assert!(keyless(open).contradiction().is_some(), "{open}");
        }
        for closed in [
            "https://good.example/*",
            "*@good.example",
            "https://good.example/a@b/*",
        ] {
            assert_eq!(keyless(closed).contradiction(), None, "{closed}");
        }
    }
}
