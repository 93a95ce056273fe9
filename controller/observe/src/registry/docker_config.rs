//! The content of a pull secret, `.dockerconfigjson`: which login is for which registry.
//!
//! Hosts are matched as the kubelet matches them: with or without a scheme, `/v1/` and `/v2/` as if
//! they were not there, `*` and `?` within one label of the host, ports exactly, a path as the start
//! of the repository, and the most specific entry wins. Stricter in one thing: a path ends at a `/`,
//! so that what is for `shop` is not sent for `shop-of-somebody-else`. Only `auths` is read;
//! programs that would have to be run (`credHelpers`, `credsStore`) are named and ignored. The file
//! of a person, `~/.docker/config.json`, has the same form.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use lockmaster_core::release::clip;
use lockmaster_verify::document;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The longest Secret that Kubernetes stores.
const LENGTH_LIMIT: usize = 1 << 20;

/// Kubernetes and docker write padding; not everybody does.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Images of Docker Hub are named `docker.io`, its login `index.docker.io`.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_LOGIN: &str = "index.docker.io";

/// A user name and a password, as the value of the header that carries them. Prints neither.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login(HeaderValue);

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

impl Login {
    /// `None` for a user name that cannot be told from its password any more (RFC 7617).
    fn new(user: &str, password: &str) -> Option<Self> {
        if user.is_empty() || user.contains(':') {
            return None;
        }
        let text = STANDARD.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    /// The value of `Authorization`.
    pub(super) fn header(&self) -> &HeaderValue {
        &self.0
    }
}

/// Logins by registry, read from one Secret or file. Prints only how many there are.
#[derive(Clone)]
pub struct DockerConfig {
    entries: Arc<Vec<(Place, Login)>>,
    ignored: Arc<Vec<String>>,
    /// What a program would know, or nobody can read: where, and in words. First what matters most.
    unread: Arc<Vec<(Option<Place>, String)>>,
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DockerConfig({} logins)", self.entries.len())
    }
}

/// Why it cannot be read. Holds nothing of its content but names of registries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerConfigError {
    /// No JSON, or of another shape.
    #[error(
        "it is no docker configuration in JSON: make it with kubectl create secret docker-registry"
    )]
    Malformed,
    /// An entry of `auths` holds no login.
    #[error(
        "its entry for {0} has no user name and password that can be read: make it with kubectl \
         create secret docker-registry"
    )]
    Entry(String),
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(rename = "credsStore")]
    creds_store: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
    #[serde(default)]
    registrytoken: String,
}

impl DockerConfig {
    /// Reads `.dockerconfigjson`.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        let wire = Wire::read(bytes)?;
        let mut ignored = Vec::new();
        for (name, found) in [
            ("credHelpers", wire.cred_helpers.is_some()),
            ("credsStore", wire.creds_store.is_some()),
        ] {
            if found {
                ignored.push(format!(
                    "its {name} names programs, which are not run: put user name and password \
                     under auths"
                ));
            }
        }
        let mut entries = Vec::new();
        for (name, entry) in wire.auths {
            let Some(place) = Place::parse(&name) else {
                ignored.push(format!("its entry \"{}\" names no registry", clip(&name)));
                continue;
            };
            match entry.login() {
                Some(login) => entries.push((place, login)),
                None if entry.is_only_a_token() => ignored.push(format!(
                    "its entry for {} holds a token of another program, which is not used: put \
                     user name and password there",
                    clip(&name)
                )),
                None => return Err(DockerConfigError::Entry(clip(&name))),
            }
        }
        Ok(Self {
            entries: Arc::new(entries),
            ignored: Arc::new(ignored),
            unread: Arc::default(),
        })
    }

    /// Reads the file of a person, which serves many registries: an entry that holds no login, as
    /// `docker login` leaves it where it stores logins elsewhere, stands in the way of no other.
    pub fn parse_personal(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        let wire = Wire::read(bytes)?;
        let (mut entries, mut unread) = (Vec::new(), Vec::new());
        for host in wire.cred_helpers.unwrap_or_default().keys() {
            let words = "its credHelpers leave the login to a program, and none is run";
            unread.extend(Place::parse(host).map(|place| (Some(place), words.to_owned())));
        }
        if wire.creds_store.is_some() {
            let words = "its credsStore leaves logins to a program, and none is run";
            unread.push((None, words.to_owned()));
        }
        for (name, entry) in wire.auths {
            let Some(place) = Place::parse(&name) else {
                continue;
            };
            if let Some(login) = entry.login() {
                entries.push((place, login));
            } else {
                let shown = clip(&name);
                let words = format!(
                    "its entry for {shown} holds no user name and password that can be read"
                );
                unread.push((Some(place), words));
            }
        }
        Ok(Self {
            entries: Arc::new(entries),
            ignored: Arc::default(),
            unread: Arc::new(unread),
        })
    }

    /// Why a person's file has no login for a repository, where there may be one that is not read.
    #[must_use]
    pub fn unread_for(&self, repository: &str) -> Option<&str> {
        let mut unread = self.unread.iter();
        let fits = |place: &Option<Place>| match place {
            None => true,
            Some(place) => place.fit(repository).is_some(),
        };
        unread
            .find(|(place, _)| fits(place))
            .map(|(_, words)| words.as_str())
    }

    /// What stands in it and is not used, each with what to do instead.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The login for a repository, `registry.example/shop/checkout`, and how well its entry fits.
    fn find(&self, repository: &str) -> Option<(Fit, &Login)> {
        let fits = self.entries.iter().filter_map(|(place, login)| {
            let fit = place.fit(repository)?;
            Some((fit, login))
        });
        fits.min_by_key(|(fit, _)| *fit)
    }
}

/// The login for a repository: the most specific one, of the first that has one like that.
pub(super) fn find_login<'a>(
    configs: impl IntoIterator<Item = &'a DockerConfig>,
    repository: &str,
) -> Option<&'a Login> {
    let found = configs.into_iter().filter_map(|one| one.find(repository));
    found.min_by_key(|(fit, _)| *fit).map(|(_, login)| login)
}

impl Wire {
    fn read(bytes: &[u8]) -> Result<Self, DockerConfigError> {
        // The parser's own words may repeat a value, so they are not passed on.
        document::check(bytes, LENGTH_LIMIT).map_err(|_| DockerConfigError::Malformed)?;
        serde_json::from_slice(bytes).map_err(|_| DockerConfigError::Malformed)
    }
}

impl Entry {
    /// `auth` decides where both are there, as for the kubelet.
    fn login(&self) -> Option<Login> {
        if self.auth.is_empty() {
            return Login::new(&self.username, &self.password);
        }
        let decoded = LENIENT.decode(self.auth.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        Login::new(user, password.trim_end_matches('\0'))
    }

    fn is_only_a_token(&self) -> bool {
        !(self.identitytoken.is_empty() && self.registrytoken.is_empty())
    }
}

/// What an entry is for.
struct Place {
    /// Host in lower case; its labels may hold `*` and `?`.
    host: String,
    port: Option<String>,
    /// Without slashes at its ends; empty for all repositories.
    path: String,
}

/// How well an entry fits, best first: the longest path, and no wildcard before any.
type Fit = (Reverse<usize>, bool);

impl Place {
    fn parse(name: &str) -> Option<Self> {
        let name = name
            .strip_prefix("https://")
            .or_else(|| name.strip_prefix("http://"))
            .unwrap_or(name);
        let (authority, path) = name.split_once('/').unwrap_or((name, ""));
        let (host, port) = split_port(authority)?;
        let valid = |c: char| c.is_ascii_alphanumeric() || "-._*?".contains(c);
        if host.is_empty() || !host.chars().all(valid) || path.contains(['?', '#', '@']) {
            return None;
        }
        let path = path.trim_matches('/');
        let path = match path.split_once('/').unwrap_or((path, "")) {
            ("v1" | "v2", rest) => rest,
            _ => path,
        };
        Some(Self {
            host: host.to_ascii_lowercase(),
            port: port.map(str::to_owned),
            path: path.trim_matches('/').to_owned(),
        })
    }

    fn fit(&self, repository: &str) -> Option<Fit> {
        let (authority, path) = repository.split_once('/')?;
        let (host, port) = split_port(authority)?;
        let is_hub = host == DOCKER_HUB && self.host == DOCKER_HUB_LOGIN;
        let wild = self.host.contains(['*', '?']);
        let host_fits = self.host == host || is_hub || (wild && fits_labels(&self.host, host));
        let rest = path.strip_prefix(self.path.as_str())?;
        let path_fits = self.path.is_empty() || rest.is_empty() || rest.starts_with('/');
        (host_fits && port == self.port.as_deref() && path_fits)
            .then_some((Reverse(self.path.len()), wild))
    }
}

/// Host and port; `None` for what has more than one colon.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    match authority.split_once(':') {
        None => Some((authority, None)),
        Some((_, port)) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => None,
        Some((host, port)) => Some((host, Some(port))),
    }
}

/// Label by label: `*.registry.example` is not for `a.b.registry.example`.
fn fits_labels(pattern: &str, host: &str) -> bool {
    let (patterns, labels) = (pattern.split('.'), host.split('.'));
    patterns.clone().count() == labels.clone().count()
        && patterns
            .zip(labels)
            .all(|(pattern, label)| fits(pattern.as_bytes(), label.as_bytes()))
}

/// `*` is any number of characters, `?` one. Goes back to the last `*` only, which is enough and
/// takes no more steps than the product of both lengths.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while let Some(&letter) = text.get(read) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(&expected) if expected == b'?' || expected == letter => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, taken)) = star else {
                    return false;
                };
                (at, read) = (place + 1, taken + 1);
                star = Some((place, taken + 1));
            }
        }
    }
    pattern
        .get(at..)
        .unwrap_or_default()
        .iter()
        .all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(auths: &Value) -> DockerConfig {
        DockerConfig::parse(json!({"auths": auths}).to_string().as_bytes()).unwrap()
    }

    /// A configuration in which each entry's password is its own name.
    fn named(names: &[&str]) -> DockerConfig {
        let entry = |name: &&str| {
            let entry = json!({"username": "u", "password": name});
            ((*name).to_owned(), entry)
        };
        config(&Value::Object(names.iter().map(entry).collect()))
    }

    fn password(login: &Login) -> String {
        let text = login.header().to_str().unwrap();
        let bytes = STANDARD.decode(text.strip_prefix("Basic ").unwrap());
        let text = String::from_utf8(bytes.unwrap()).unwrap();
        text.split_once(':').unwrap().1.to_owned()
    }

    fn found(config: &DockerConfig, repository: &str) -> Option<String> {
        find_login([config], repository).map(password)
    }

    #[test]
    fn hosts_are_matched_as_the_kubelet_does() {
        for (entry, fits, others) in [
            (
                "registry.example",
                "registry.example/a",
                "registry.example:443/a",
            ),
            (
                "https://registry.example",
                "registry.example/a",
                "other.example/a",
            ),
            (
                "http://registry.example/",
                "registry.example/a/b",
                "sub.registry.example/a",
            ),
            (
                "https://registry.example/v1/",
                "registry.example/a",
                "registry.example.evil/a",
            ),
            (
                "registry.example/v2",
                "registry.example/a",
                "registry.exampl/a",
            ),
            (
                "Registry.Example:5000",
                "registry.example:5000/a",
                "registry.example/a",
            ),
            (
                "registry.example/shop",
                "registry.example/shop/a",
                "registry.example/shopping/a",
            ),
            (
                "registry.example/shop/a",
                "registry.example/shop/a",
                "registry.example/shop",
            ),
            (
                "*.registry.example",
                "eu.registry.example/a",
                "a.eu.registry.example/a",
            ),
            (
                "eu-?.*.example",
                "eu-1.registry.example/a",
                "eu-12.registry.example/a",
            ),
            (
                "https://index.docker.io/v1/",
                "docker.io/library/a",
                "registry.example/a",
            ),
        ] {
            let config = named(&[entry]);
            assert_eq!(found(&config, fits).as_deref(), Some(entry), "{fits}");
            assert_eq!(found(&config, others), None, "{entry} for {others}");
        }
    }

    #[test]
    fn the_most_specific_entry_wins() {
        let config = named(&[
            "*.example",
            "registry.example",
            "registry.example/shop",
            "https://registry.example/v1/shop/checkout",
        ]);
        for (repository, expected) in [
            (
                "registry.example/shop/checkout",
                "https://registry.example/v1/shop/checkout",
            ),
            ("registry.example/shop/cart", "registry.example/shop"),
            ("registry.example/other", "registry.example"),
            ("mirror.example/shop", "*.example"),
        ] {
            assert_eq!(found(&config, repository).as_deref(), Some(expected));
        }
        let (first, second) = (
            named(&["registry.example"]),
            named(&["registry.example/shop"]),
        );
        let login = find_login([&first, &second], "registry.example/shop/a").unwrap();
        assert_eq!(password(login), "registry.example/shop", "over all secrets");
        let again = config_with_password("second");
        let login = find_login([&first, &again], "registry.example/a").unwrap();
        assert_eq!(password(login), "registry.example", "the first of equals");
    }

    fn config_with_password(password: &str) -> DockerConfig {
        config(&json!({"registry.example": {"username": "u", "password": password}}))
    }

    #[test]
    fn logins_are_read_in_both_forms() {
        let auth = |text: &str| json!({"registry.example": {"auth": text, "username": "other", "password": "other"}});
        for text in ["dTpwOnA=", "dTpwOnA"] {
            let config = config(&auth(text));
            assert_eq!(found(&config, "registry.example/a").as_deref(), Some("p:p"));
        }
        for broken in ["!", "dQ==", "/////w=="] {
            let text = json!({"auths": auth(broken)}).to_string();
            let error = DockerConfig::parse(text.as_bytes()).unwrap_err();
            assert_eq!(
                error,
                DockerConfigError::Entry("registry.example".to_owned())
            );
        }
        for user in ["", "a:b"] {
            assert!(Login::new(user, "p").is_none(), "{user}");
        }
    }

    #[test]
    fn what_is_not_used_is_named_with_what_to_do() {
        let text = json!({
            "auths": {
                "registry.example": {"identitytoken": "canary-token"},
                "https://user@registry.example": {"username": "u", "password": "p"},
            },
            "credHelpers": {"gcr.io": "gcloud"}, "credsStore": "desktop", "HttpHeaders": {},
        });
        let config = DockerConfig::parse(text.to_string().as_bytes()).unwrap();
        let ignored = config.ignored().join("\n");
        for words in [
            "its credHelpers names programs, which are not run: put user name and password",
            "its credsStore names programs",
            "registry.example holds a token of another program",
            "names no registry",
        ] {
            assert!(ignored.contains(words), "{words}: {ignored}");
        }
        assert!(!ignored.contains("canary"), "{ignored}");
        assert_eq!(found(&config, "registry.example/a"), None);
    }

    #[test]
    fn the_file_of_a_person_serves_what_it_can() {
        let text = json!({
            "auths": {
                "registry.example": {"username": "u", "password": "p"},
                "helped.example": {},
                "ghcr.io": {"identitytoken": "canary-token"},
                "http://": {},
            },
            "credHelpers": {"helped.example": "pass"},
            "HttpHeaders": {"User-Agent": "x"},
        });
        let with = |text: &Value| DockerConfig::parse_personal(text.to_string().as_bytes());
        let config = with(&text).unwrap();
        assert_eq!(found(&config, "registry.example/a").as_deref(), Some("p"));
        assert_eq!(config.unread_for("registry.example/a"), None);
        for (repository, words) in [
            ("helped.example/a", "its credHelpers leave the login"),
            ("ghcr.io/shop/a", "its entry for ghcr.io holds no user name"),
        ] {
            assert_eq!(found(&config, repository), None);
            let said = config.unread_for(repository).unwrap();
            assert!(said.contains(words), "{said}");
        }
        assert_eq!(config.unread_for("other.example/a"), None);
        let mut stored = text;
        stored["credsStore"] = "desktop".into();
        let config = with(&stored).unwrap();
        assert_eq!(found(&config, "registry.example/a").as_deref(), Some("p"));
        let said = config.unread_for("other.example/a").unwrap();
        assert!(said.contains("credsStore"), "{said}");
        assert!(!format!("{config:?}").contains("canary"));
    }

    #[test]
    fn nothing_secret_is_printed_or_said() {
        let config = config_with_password("canary-password");
        let login = find_login([&config], "registry.example/a").unwrap();
        let printed = format!("{config:?} {login:?} {:?}", login.header());
        let encoded = login.header().to_str().unwrap().replace("Basic ", "");
        assert!(
            !printed.contains("canary") && !printed.contains(&encoded),
            "{printed}"
        );
        for malformed in [
            r#"{"auths": {"registry.example": "canary"}}"#,
            r#"{"auths": {"registry.example": {"auth": ["canary"]}}}"#,
            r#"{"auths": {"a": {}, "a": {}}}"#,
            "canary",
            "",
        ] {
            let error = DockerConfig::parse(malformed.as_bytes()).unwrap_err();
            assert_eq!(error, DockerConfigError::Malformed, "{malformed}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn wildcards_take_no_time_that_grows_without_bound() {
        let pattern = "*a".repeat(2000) + "b";
        assert!(!fits(pattern.as_bytes(), "a".repeat(4000).as_bytes()));
        assert!(fits(b"*", b"") && fits(b"**", b"x") && !fits(b"?", b"") && fits(b"a*c", b"abc"));
    }
}
