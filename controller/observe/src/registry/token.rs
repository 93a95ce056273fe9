//! What a 401 is answered with: bearer tokens, as the distribution's token specification asks for
//! them, or the login itself.
//!
//! A token is asked for only from the registry itself or a service that its configuration names: a
//! realm elsewhere is refused, so that no login can be collected there (CVE-2026-48978 and its
//! family).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lockmaster_core::release::{ImageReference, clip};
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::{CredentialIdentity, Credentials};
use super::docker_config::Login;
use super::endpoint::Endpoint;
use super::lock;
use super::problem::Problem;

/// Longest answer of a token service; tokens with many grants reach 8 KiB.
pub(super) const TOKEN_ANSWER_LIMIT: usize = 64 << 10;

/// How long a token is used when the service does not say (the specification's 60 seconds), and
/// the longest that is believed.
const DEFAULT_SECONDS: u64 = 60;
const MOST_SECONDS: u64 = 3600;

/// A token is dropped this long before it expires, so that it does not expire on the way.
const MARGIN: Duration = Duration::from_secs(10);

/// More repositories than this are not remembered; the policy's sources keep the list short.
const REMEMBERED_LIMIT: usize = 1024;

/// A value of the header `Authorization`. Prints as `Sensitive`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Authorization(pub(super) HeaderValue);

/// Whose authorization it is, and for what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenKey {
    identity: CredentialIdentity,
    host: String,
    repository: String,
}

impl TokenKey {
    pub(super) fn new(credentials: &Credentials, host: &str, image: &ImageReference) -> Self {
        Self {
            identity: credentials.identity().clone(),
            host: host.to_owned(),
            repository: image.path().to_owned(),
        }
    }
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Authorizations by credential, host and repository.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<BTreeMap<TokenKey, (Authorization, Instant)>>,
    renewing: Mutex<BTreeMap<TokenKey, Turn>>,
}

impl Tokens {
    pub(super) fn read(&self, key: &TokenKey) -> Option<Authorization> {
        let mut known = lock(&self.known);
        known.retain(|_, (_, expires)| *expires > Instant::now());
        known.get(key).map(|(found, _)| found.clone())
    }

    pub(super) fn remember(&self, key: &TokenKey, found: &Authorization, lifetime: Duration) {
        let mut known = lock(&self.known);
        if known.len() >= REMEMBERED_LIMIT {
            known.clear();
        }
        let expires = Instant::now() + lifetime.saturating_sub(MARGIN);
        known.insert(key.clone(), (found.clone(), expires));
    }

    /// Drops one that the registry no longer takes, unless a newer one has replaced it.
    pub(super) fn drop(&self, key: &TokenKey, refused: &Authorization) {
        let mut known = lock(&self.known);
        if known.get(key).is_some_and(|(found, _)| found == refused) {
            known.remove(key);
        }
    }

    /// Held by who asks for a new one; the others wait for what that brings.
    pub(super) fn renewing(&self, key: &TokenKey) -> Turn {
        let mut renewing = lock(&self.renewing);
        renewing.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(renewing.entry(key.clone()).or_default())
    }
}

/// Where to ask for a token that reads `path`.
pub(super) fn token_url(
    endpoint: &Endpoint,
    path: &str,
    challenge: &Challenge,
) -> Result<Url, Problem> {
    let refuse = |text: String| Err(Problem::Challenge(text));
    let realm = challenge.parameter("realm").unwrap_or_default();
    let Ok(mut url) = Url::parse(realm) else {
        return refuse(format!(
            "the registry's token realm \"{}\" is no URL",
            clip(realm)
        ));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("the registry's token realm has credentials in it".to_owned());
    }
    if !endpoint.takes_tokens_from(&url) {
        let origin = url.origin().ascii_serialization();
        return refuse(format!(
            "the tokens of {} come from another host, {origin}, which is not asked; if that is \
             right, list it under realms of this registry in the operator's list of registries",
            endpoint.host,
            origin = clip(&origin)
        ));
    }
    // The scope is ours to say: what is needed, not what is offered.
    let scope = format!("repository:{path}:pull");
    url.set_fragment(None);
    let mut pairs = url.query_pairs_mut();
    pairs.clear();
    if let Some(service) = challenge.parameter("service") {
        pairs.append_pair("service", service);
    }
    pairs.append_pair("scope", &scope);
    drop(pairs);
    Ok(url)
}

/// The login itself, where that is asked for and there is one.
pub(super) fn basic(
    challenges: &[Challenge],
    login: Option<&Login>,
) -> Result<(Authorization, Duration), Problem> {
    if !challenges.iter().any(|challenge| challenge.is("Basic")) {
        let text =
            "the registry asks for credentials other than a token, or user name and password";
        return Err(Problem::Challenge(text.to_owned()));
    }
    let Some(login) = login else {
        return Err(Problem::Forbidden {
            who: "registry",
            status: 401,
            login: false,
        });
    };
    let authorization = Authorization(login.header().clone());
    Ok((authorization, Duration::from_secs(MOST_SECONDS)))
}

/// Reads the answer of a token service.
pub(super) fn read_token(body: &[u8]) -> Result<(Authorization, Duration), Problem> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u64>,
    }
    let unusable = || Problem::Challenge("the registry's token is not usable".to_owned());
    let answer: Answer = serde_json::from_slice(body).map_err(|_| unusable())?;
    let token = answer
        .token
        .or(answer.access_token)
        .filter(|token| !token.is_empty());
    let token = token.ok_or_else(unusable)?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| unusable())?;
    value.set_sensitive(true);
    let seconds = answer
        .expires_in
        .unwrap_or(DEFAULT_SECONDS)
        .min(MOST_SECONDS);
    Ok((Authorization(value), Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::super::challenge;
    use super::super::config::{Config, Registry};
    use super::super::endpoint::Sites;
    use super::*;

    fn url(challenge: &str) -> Result<String, String> {
        let listed = Registry {
            host: "registry.example".to_owned(),
            realms: vec!["https://auth.example:8443".to_owned()],
            ..Registry::default()
        };
        let sites = Sites::new(&Config {
            registries: vec![listed],
            user_agent: "test".to_owned(),
        });
        let site = sites.unwrap().site("registry.example").unwrap();
        let challenges = challenge::parse([challenge]);
        token_url(&site.origin, "shop/checkout", &challenges[0])
            .map(String::from)
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_realm_is_the_registry_or_listed_and_the_scope_is_ours() {
        assert_eq!(
            url(
                r#"Bearer realm="https://registry.example/token?scope=all",service="a, \"b\"",scope="x""#
            ),
            Ok("https://registry.example/token?service=a%2C+%22b%22\
                &scope=repository%3Ashop%2Fcheckout%3Apull"
                .to_owned())
        );
        assert_eq!(
            url("bearer realm=https://auth.example:8443/token#x").as_deref(),
            Ok("https://auth.example:8443/token?scope=repository%3Ashop%2Fcheckout%3Apull")
        );
        for (foreign, host) in [
            ("https://evil.example/token", "https://evil.example"),
            (
                "https://registry.example.evil.example/token",
                "https://registry.example.evil.example",
            ),
            (
                "https://registry.example:8443/token",
                "https://registry.example:8443",
            ),
            ("https://auth.example/token", "https://auth.example"),
            ("http://auth.example:8443/token", "http://auth.example:8443"),
            ("http://registry.example/token", "http://registry.example"),
        ] {
            let error = url(&format!("Bearer realm=\"{foreign}\"")).unwrap_err();
            let words = format!(
                "tokens of registry.example come from another host, {host}, which is not asked"
            );
            assert!(
                error.contains(&words) && error.contains("list it under realms"),
                "{error}"
            );
        }
        for credentials in ["me@", "me:secret@", ":secret@"] {
            let realm = format!("Bearer realm=\"https://{credentials}registry.example/token\"");
            let error = url(&realm).unwrap_err();
            assert!(error.contains("credentials in it"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let confused = url("Bearer realm=\"https://registry.example@evil.example/token\"");
        assert!(confused.unwrap_err().contains("credentials in it"));
        for none in ["Bearer", "Bearer service=\"x\"", "Bearer realm=\"//x\""] {
            assert!(url(none).unwrap_err().contains("is no URL"), "{none}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_answered() {
        let none = basic(&challenge::parse(["Negotiate"]), None).unwrap_err();
        assert!(none.to_string().contains("other than a token"), "{none}");
        let none = basic(&challenge::parse(["Basic realm=x"]), None).unwrap_err();
        assert!(
            none.to_string().contains("not be read without credentials"),
            "{none}"
        );
    }

    #[test]
    fn tokens_do_not_print() {
        let (token, lifetime) =
            read_token(br#"{"access_token":"secret","expires_in":90000}"#).unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(token.0.to_str().unwrap(), "Bearer secret");
        assert_eq!(lifetime, Duration::from_secs(MOST_SECONDS));
        assert!(read_token(b"{}").is_err());
        assert!(read_token(b"{\"token\":\"a\\nb\"}").is_err());
    }
}
