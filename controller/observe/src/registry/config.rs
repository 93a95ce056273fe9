//! How each registry is reached, as the operator is told. Strict: what is unknown, contradicts
//! itself or cannot be used is refused before anything starts.

use std::collections::BTreeSet;
use std::path::PathBuf;

use lockmaster_core::release::{Digest, ImageReference, clip};
use lockmaster_verify::{BUNDLE_LIMIT, SBOM_CEILING};
use reqwest::{Certificate, Url};
use serde::Deserialize;

/// How to reach registries. Without a default, so that nobody asks without saying who it is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Registries that are reached in another way than by HTTPS, on public addresses, with the
    /// system's certificate authorities and nobody's credentials.
    pub registries: Vec<Registry>,
    /// `User-Agent` of every request, such as `lockmaster/1.2.3`: by it the owners of a registry
    /// know whom to ask, and many limit harder who does not say.
    pub user_agent: String,
}

/// A list of registries, as a file holds it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistriesFile {
    /// The registries.
    #[serde(default)]
    pub registries: Vec<Registry>,
}

/// One registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registry {
    /// Host, and port where it has one, as images name it.
    pub host: String,
    /// Whether it is reached by plain HTTP.
    #[serde(default, rename = "plainHTTP")]
    pub plain_http: bool,
    /// PEM certificates that alone count for it, instead of the system's.
    #[serde(default)]
    pub certificate_authorities: Option<String>,
    /// Whether it may have an address that is not public. Link-local addresses, where clouds have
    /// their metadata, are refused all the same.
    #[serde(default)]
    pub private_addresses: bool,
    /// Origins, `https://auth.example`, of services that give tokens for it; it itself always may.
    #[serde(default)]
    pub realms: Vec<String>,
    /// Where its content may be read too, in this order.
    #[serde(default)]
    pub mirrors: Vec<Mirror>,
    /// File with the operator's own login, in the form of `.dockerconfigjson`.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
    /// How much of it is used at a time.
    #[serde(default)]
    pub limits: Limits,
}

/// A place that has the content of a registry, in repositories of the same names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// Host, and port where it has one.
    pub host: String,
    /// As for a registry.
    #[serde(default, rename = "plainHTTP")]
    pub plain_http: bool,
    /// As for a registry.
    #[serde(default)]
    pub certificate_authorities: Option<String>,
    /// As for a registry.
    #[serde(default)]
    pub private_addresses: bool,
    /// As for a registry.
    #[serde(default)]
    pub realms: Vec<String>,
    /// File with the operator's login there, in the form of `.dockerconfigjson`. Such a mirror is
    /// asked only where the operator reads with its own credentials.
    #[serde(default)]
    pub credentials: Option<PathBuf>,
}

/// How much of a registry is used at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Images that are read side by side, 1 to 8.
    pub images_at_a_time: u8,
    /// Requests in a second over all namespaces, 1 to 10000; the namespaces that ask have equal
    /// parts of it.
    pub requests_per_second: u32,
    /// Requests that one namespace may send at once after a pause, 1 to 100000.
    pub burst: u32,
    /// Longest bundle that is annotated as a bill of materials, in MiB, 1 to 64. What is annotated as
    /// something else has 16 MiB at most.
    pub sbom_mebibytes: u8,
}

/// What one image may hold besides its largest bundle, where a registry may have larger ones than
/// usual.
const BESIDES: usize = 8 << 20;

impl Limits {
    /// Longest bundle that is annotated as a bill of materials, in bytes.
    pub(crate) fn sbom_bytes(&self) -> usize {
        usize::from(self.sbom_mebibytes) << 20
    }

    /// What one image may hold, where its largest bundle is larger than usual.
    pub(super) fn image_bytes(&self) -> Option<usize> {
        let largest = self.sbom_bytes();
        (largest > BUNDLE_LIMIT).then_some(largest + BESIDES)
    }

    /// What must be read and judged at a time so that one registry has no more than three quarters of
    /// it; nothing in particular with the usual limits.
    pub(crate) fn reading_bytes(&self) -> usize {
        self.image_bytes().map_or(0, |image| image / 3 * 4)
    }
}

impl Default for Limits {
    /// Two images keep an honest registry busy; one that never answers holds a turn for the whole
    /// deadline. The burst is some 250 images that are seen for the first time.
    fn default() -> Self {
        Self {
            images_at_a_time: 2,
            requests_per_second: 100,
            burst: 2000,
            sbom_mebibytes: 16,
        }
    }
}

/// Why a configuration is not used. Names the registry and the field.
#[derive(Debug, thiserror::Error)]
#[error("registry \"{host}\": {problem}")]
pub struct ConfigError {
    host: String,
    problem: String,
}

impl Registry {
    /// A registry for tests on one's own machine: plain HTTP, on any address.
    #[must_use]
    pub fn plain_http(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            plain_http: true,
            private_addresses: true,
            ..Self::default()
        }
    }

    /// Refuses what is contradictory.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.place().check()?;
        let refuse = |problem: &str| Err(error(&self.host, problem));
        let Limits {
            images_at_a_time,
            requests_per_second,
            burst,
            sbom_mebibytes,
        } = self.limits;
        if !(1..=8).contains(&images_at_a_time) {
            return refuse("limits.imagesAtATime is from 1 to 8");
        }
        if !(1..=10_000).contains(&requests_per_second) {
            return refuse("limits.requestsPerSecond is from 1 to 10000");
        }
        if !(1..=100_000).contains(&burst) {
            return refuse("limits.burst is from 1 to 100000");
        }
        if sbom_mebibytes == 0 || self.limits.sbom_bytes() > SBOM_CEILING {
            return refuse("limits.sbomMebibytes is from 1 to 64");
        }
        let mut hosts = BTreeSet::from([self.host.as_str()]);
        for mirror in &self.mirrors {
            mirror.place().check()?;
            if !hosts.insert(&mirror.host) {
                let problem = format!("its mirror \"{}\" is given twice", clip(&mirror.host));
                return refuse(&problem);
            }
        }
        Ok(())
    }

    pub(super) fn place(&self) -> Place<'_> {
        let Self {
            host,
            plain_http,
            certificate_authorities,
            private_addresses,
            realms,
            ..
        } = self;
        Place {
            host,
            plain_http: *plain_http,
            certificate_authorities: certificate_authorities.as_deref(),
            private_addresses: *private_addresses,
            realms,
        }
    }
}

impl Mirror {
    pub(super) fn place(&self) -> Place<'_> {
        let Self {
            host,
            plain_http,
            certificate_authorities,
            private_addresses,
            realms,
            credentials: _,
        } = self;
        Place {
            host,
            plain_http: *plain_http,
            certificate_authorities: certificate_authorities.as_deref(),
            private_addresses: *private_addresses,
            realms,
        }
    }
}

/// What a registry and a mirror have in common: how one place is reached.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) plain_http: bool,
    pub(super) certificate_authorities: Option<&'a str>,
    pub(super) private_addresses: bool,
    pub(super) realms: &'a [String],
}

impl Place<'_> {
    fn check(&self) -> Result<(), ConfigError> {
        let example = format!("{}/a@{}", self.host, Digest::of(b""));
        let is_host = ImageReference::parse(&example)
            .is_ok_and(|image| image.registry() == self.host && image.path() == "a");
        if !is_host {
            let problem = "host is no host[:port] in lower case as images name it, without scheme \
                           and path";
            return Err(error(self.host, problem));
        }
        if self.plain_http && self.certificate_authorities.is_some() {
            let problem = "certificateAuthorities mean nothing with plainHTTP: remove one of them";
            return Err(error(self.host, problem));
        }
        self.certificates()?;
        self.realms()?;
        Ok(())
    }

    /// The certificates that alone count; `None` for the system's. The client takes text without
    /// any for no certificate, silently, so they are counted here.
    pub(super) fn certificates(&self) -> Result<Option<Vec<Certificate>>, ConfigError> {
        let Some(pem) = self.certificate_authorities else {
            return Ok(None);
        };
        let refuse = |problem: &str| Err(error(self.host, problem));
        if pem.contains("PRIVATE KEY-----") {
            return refuse("certificateAuthorities holds a private key: remove it, and replace it");
        }
        let announced = pem.matches("-----BEGIN ").count();
        let Ok(found) = Certificate::from_pem_bundle(pem.as_bytes()) else {
            return refuse("certificateAuthorities is no PEM that can be read");
        };
        if found.is_empty() || found.len() != announced {
            return refuse(
                "certificateAuthorities holds no certificate, or something else: give blocks from \
                 -----BEGIN CERTIFICATE----- to -----END CERTIFICATE----- and nothing more",
            );
        }
        // Only a client looks into them.
        let trial = reqwest::Client::builder().tls_certs_only(found.clone());
        if trial.build().is_err() {
            return refuse("certificateAuthorities holds a certificate that cannot be read");
        }
        Ok(Some(found))
    }

    /// The origins of its token services.
    pub(super) fn realms(&self) -> Result<BTreeSet<String>, ConfigError> {
        let realms = self.realms.iter().map(|realm| {
            let refuse = |problem: &str| {
                let problem = format!("realm \"{}\" {problem}", clip(realm));
                error(self.host, &problem)
            };
            let url = Url::parse(realm).map_err(|_| refuse("is no URL"))?;
            if url.scheme() != "https" && !(self.plain_http && url.scheme() == "http") {
                return Err(refuse("is not https"));
            }
            let bare = url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            if !bare {
                return Err(refuse("is more than an origin: write https://host[:port]"));
            }
            Ok(url.origin().ascii_serialization())
        });
        realms.collect()
    }
}

pub(super) fn error(host: &str, problem: &str) -> ConfigError {
    ConfigError {
        host: clip(host),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry {
            host: "registry.example".to_owned(),
            ..Registry::default()
        }
    }

    #[track_caller]
    fn refused(registry: &Registry, words: &str) {
        let text = registry.check().unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
        assert!(text.starts_with("registry \""), "{text}");
    }

    #[test]
    fn hosts_are_as_images_name_them() {
        for host in [
            "registry.example",
            "registry.example:5000",
            "localhost",
            "127.0.0.1:1",
        ] {
            let registry = Registry {
                host: host.to_owned(),
                ..Registry::default()
            };
            assert!(registry.check().is_ok(), "{host}");
        }
        for host in [
            "",
            "registry",
            "https://a.example",
            "A.example",
            "a.example/shop",
            "a.example:0",
        ] {
            let registry = Registry {
                host: host.to_owned(),
                ..Registry::default()
            };
            refused(&registry, "host is no host[:port]");
        }
    }

    #[test]
    fn a_garbage_certificate_authority_is_refused() {
        let key = rcgen::generate_simple_self_signed(["registry.example".to_owned()]).unwrap();
        let good = key.cert.pem();
        let with = |pem: &str| Registry {
            certificate_authorities: Some(pem.to_owned()),
            ..registry()
        };
        assert!(with(&good).check().is_ok());
        assert!(with(&format!("{good}{good}")).check().is_ok());
        refused(&with(""), "holds no certificate");
        refused(&with("garbage"), "holds no certificate");
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        refused(&with(public), "holds no certificate");
        refused(&with(&format!("{good}{public}")), "or something else");
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        refused(&with(empty), "a certificate that cannot be read");
        let broken = good.replace("-----END", "!-----END");
        refused(&with(&broken), "no PEM that can be read");
        let secret = key.signing_key.serialize_pem();
        refused(&with(&format!("{good}{secret}")), "holds a private key");
        let both = Registry {
            plain_http: true,
            ..with(&good)
        };
        refused(&both, "mean nothing with plainHTTP");
    }

    #[test]
    fn realms_are_origins() {
        let with = |realm: &str| Registry {
            realms: vec![realm.to_owned()],
            ..registry()
        };
        let origins = with("https://auth.example/").place().realms().unwrap();
        assert_eq!(origins, ["https://auth.example".to_owned()].into());
        refused(&with("auth.example"), "is no URL");
        refused(&with("http://auth.example"), "is not https");
        for more in [
            "https://auth.example/token",
            "https://a@auth.example",
            "https://a.example?b",
        ] {
            refused(&with(more), "more than an origin");
        }
        let plain = Registry {
            plain_http: true,
            ..with("http://auth.example")
        };
        assert!(plain.check().is_ok());
    }

    #[test]
    fn limits_have_limits_and_mirrors_are_different() {
        let limits = |limits| Registry {
            limits,
            ..registry()
        };
        let default = Limits::default();
        refused(
            &limits(Limits {
                images_at_a_time: 9,
                ..default
            }),
            "imagesAtATime",
        );
        refused(
            &limits(Limits {
                requests_per_second: 0,
                ..default
            }),
            "requestsPerSecond",
        );
        refused(
            &limits(Limits {
                burst: 0,
                ..default
            }),
            "burst",
        );
        for sbom_mebibytes in [0, 65] {
            let wrong = limits(Limits {
                sbom_mebibytes,
                ..default
            });
            refused(&wrong, "limits.sbomMebibytes is from 1 to 64");
        }
        assert_eq!(default.sbom_bytes(), lockmaster_verify::BUNDLE_LIMIT);
        let mirror = |host: &str| Mirror {
            host: host.to_owned(),
            ..Mirror::default()
        };
        let with = |mirrors| Registry {
            mirrors,
            ..registry()
        };
        assert!(
            with(vec![mirror("a.example"), mirror("b.example")])
                .check()
                .is_ok()
        );
        refused(
            &with(vec![mirror("a.example"), mirror("a.example")]),
            "given twice",
        );
        refused(&with(vec![mirror("registry.example")]), "given twice");
        refused(&with(vec![mirror("https://a")]), "host is no host[:port]");
    }
}
