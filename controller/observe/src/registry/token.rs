//! Anonymous bearer tokens, as the distribution's token specification asks for them.
//!
//! A token is asked for only from the registry itself: a realm on another host is refused, so that
//! nothing that is sent along one day can be collected there (CVE-2026-48978 and its family).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lockmaster_core::release::clip;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::CredentialIdentity;
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

/// A bearer token as the header's value. Prints as `Sensitive`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token(pub(super) HeaderValue);

/// Tokens by credential and repository.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<BTreeMap<(CredentialIdentity, String), (Token, Instant)>>,
}

impl Tokens {
    pub(super) fn read(&self, identity: CredentialIdentity, repository: &str) -> Option<Token> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, expires)| *expires > Instant::now());
        known
            .get(&(identity, repository.to_owned()))
            .map(|(token, _)| token.clone())
    }

    pub(super) fn remember(
        &self,
        identity: CredentialIdentity,
        repository: &str,
        (token, lifetime): (Token, Duration),
    ) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED_LIMIT {
            known.clear();
        }
        let expires = Instant::now() + lifetime.saturating_sub(MARGIN);
        known.insert((identity, repository.to_owned()), (token, expires));
    }

    /// Drops a token that the registry no longer takes, unless a newer one has replaced it.
    pub(super) fn drop(&self, identity: CredentialIdentity, repository: &str, refused: &Token) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (identity, repository.to_owned());
        if known.get(&key).is_some_and(|(token, _)| token == refused) {
            known.remove(&key);
        }
    }
}

/// Where to ask for a token that reads `path`, from the challenge of a 401.
pub(super) fn token_url(registry: &Url, path: &str, challenge: &str) -> Result<Url, Problem> {
    let refuse = |text: String| Err(Problem::Challenge(text));
    let Some(parameters) = strip_scheme(challenge, "Bearer") else {
        return refuse("the registry asks for credentials other than a token".to_owned());
    };
    let mut realm = None;
    let mut service = None;
    for (name, value) in read_parameters(parameters) {
        match name {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            // The scope is ours to say: what is needed, not what is offered.
            _ => {}
        }
    }
    let realm = realm.unwrap_or_default();
    let Ok(mut url) = Url::parse(&realm) else {
        return refuse(format!(
            "the registry's token realm \"{}\" is no URL",
            clip(&realm)
        ));
    };
    if url.origin() != registry.origin() {
        let (realm, own) = (url.origin(), registry.origin());
        return refuse(format!(
            "the tokens of {} come from another host, {}, and such registries are not supported \
             yet: keep the image in one that gives tokens itself or asks for none",
            own.ascii_serialization(),
            clip(&realm.ascii_serialization())
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("the registry's token realm has credentials in it".to_owned());
    }
    let scope = format!("repository:{path}:pull");
    url.set_fragment(None);
    let mut pairs = url.query_pairs_mut();
    pairs.clear();
    if let Some(service) = service {
        pairs.append_pair("service", &service);
    }
    pairs.append_pair("scope", &scope);
    drop(pairs);
    Ok(url)
}

fn strip_scheme<'a>(challenge: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, parameters) = challenge.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then_some(parameters)
}

/// `name="value"` pairs (RFC 9110 section 11.2); a backslash quotes the next character.
fn read_parameters(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',', '\t']);
        let Some(quoted) = after.strip_prefix('"') else {
            let (value, tail) = after.split_once(',').unwrap_or((after, ""));
            found.push((name, value.trim().to_owned()));
            rest = tail;
            continue;
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let mut end = quoted.len();
        while let Some((place, character)) = characters.next() {
            match character {
                '"' => {
                    end = place + 1;
                    break;
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        found.push((name, value));
        rest = quoted.get(end..).unwrap_or_default();
    }
    found
}

/// Reads the answer of a token service.
pub(super) fn read_token(body: &[u8]) -> Result<(Token, Duration), Problem> {
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
    Ok((Token(value), Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(challenge: &str) -> Result<String, String> {
        let registry = Url::parse("https://registry.example/").unwrap();
        token_url(&registry, "shop/checkout", challenge)
            .map(String::from)
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_realm_is_the_registry_and_the_scope_is_ours() {
        assert_eq!(
            url(
                r#"Bearer realm="https://registry.example/token?scope=all",service="a, \"b\"",scope="x""#
            ),
            Ok("https://registry.example/token?service=a%2C+%22b%22\
                &scope=repository%3Ashop%2Fcheckout%3Apull"
                .to_owned())
        );
        assert_eq!(
            url("bearer realm=https://registry.example/token").as_deref(),
            Ok("https://registry.example/token?scope=repository%3Ashop%2Fcheckout%3Apull")
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
            ("http://registry.example/token", "http://registry.example"),
            (
                "https://registry.example@evil.example/token",
                "https://evil.example",
            ),
        ] {
            let error = url(&format!("Bearer realm=\"{foreign}\"")).unwrap_err();
            let words = format!(
                "tokens of https://registry.example come from another host, {host}, and such \
                 registries are not supported yet: keep the image in one"
            );
            assert!(error.contains(&words), "{foreign}: {error}");
        }
        for credentials in ["me@", "me:secret@", ":secret@"] {
            let realm = format!("Bearer realm=\"https://{credentials}registry.example/token\"");
            let error = url(&realm).unwrap_err();
            assert!(error.contains("credentials in it"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(
            url("Basic realm=\"x\"")
                .unwrap_err()
                .contains("other than a token")
        );
        assert!(url("Bearer").unwrap_err().contains("other than a token"));
        assert!(
            url("Bearer service=\"x\"")
                .unwrap_err()
                .contains("is no URL")
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
