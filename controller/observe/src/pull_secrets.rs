//! Pull secrets that Environments name, read one by one, by name, when evidence needs them.
//!
//! Nothing is listed or watched: the operator has no right to, and an Environment that names none
//! costs no request. What is in them goes to the registry client and nowhere else; every text here
//! is made from names alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, Request};
use kube::{Client, Resource};
use lockmaster_core::facts::{Cause, Unavailable};
use lockmaster_core::release::{Digest, clip};
use serde::Deserialize;

use crate::registry::{DockerConfig, PullSecret};

/// How long a Secret is used before it is read again, and kept at most until the next one is read.
const READ_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// How long it is used where the registry refuses what is in it.
const REFUSED_AFTER: Duration = Duration::from_secs(5);

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// More Secrets than this are not remembered, within that time.
const REMEMBERED_LIMIT: usize = 1024;

/// The one type that is read, and the one key of it.
const SECRET_TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// Reads pull secrets.
pub struct PullSecrets {
    client: Client,
    known: Mutex<BTreeMap<(String, String), (Instant, PullSecret)>>,
    used_for: Duration,
    refused_after: Duration,
}

impl PullSecrets {
    /// Reads through this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
            used_for: READ_AGAIN_AFTER,
            refused_after: REFUSED_AFTER,
        }
    }

    /// Reads again at once what is refused.
    #[cfg(test)]
    pub(crate) fn eager(client: Client) -> Self {
        Self {
            refused_after: Duration::ZERO,
            ..Self::new(client)
        }
    }

    /// These Secrets of a namespace, in this order; all of them or none. `refused` says that the
    /// registry did not take what was read before.
    pub async fn read(
        &self,
        namespace: &str,
        names: &[String],
        refused: bool,
    ) -> Result<Vec<PullSecret>, Unavailable> {
        let limit = if refused {
            self.refused_after
        } else {
            self.used_for
        };
        let mut secrets = Vec::new();
        for name in names {
            secrets.push(match self.remembered(namespace, name, limit) {
                Some(secret) => secret,
                None => self.get(namespace, name).await?,
            });
        }
        Ok(secrets)
    }

    fn remembered(&self, namespace: &str, name: &str, limit: Duration) -> Option<PullSecret> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (read, secret) = known.get(&(namespace.to_owned(), name.to_owned()))?;
        (read.elapsed() < limit).then(|| secret.clone())
    }

    async fn get(&self, namespace: &str, name: &str) -> Result<PullSecret, Unavailable> {
        let shown = format!("Secret {}/{}", clip(namespace), clip(name));
        let problem = |cause, text: &str| Unavailable {
            cause,
            message: format!("{shown}, named in spec.pullSecrets, {text}"),
        };
        if !is_name(name) {
            return Err(problem(
                Cause::Untrustworthy,
                "has no name that a Secret can have",
            ));
        }
        let found = match tokio::time::timeout(DEADLINE, self.ask(namespace, name)).await {
            Err(_) => {
                let seconds = DEADLINE.as_secs();
                let text =
                    format!("was not read: the API server did not answer in {seconds} seconds");
                return Err(problem(Cause::Unreachable, &text));
            }
            Ok(Err(code)) => {
                let (cause, text) = explain(code);
                return Err(problem(cause, &text));
            }
            Ok(Ok(found)) => found,
        };
        let secret = read(name, found).map_err(|text| problem(Cause::Untrustworthy, &text))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Also those that nobody asks for any more, whose Secret may be gone.
        known.retain(|_, (read, _)| read.elapsed() < self.used_for);
        if known.len() >= REMEMBERED_LIMIT {
            known.clear();
        }
        let key = (namespace.to_owned(), name.to_owned());
        known.insert(key, (Instant::now(), secret.clone()));
        Ok(secret)
    }

    /// Gets it; the error is the status of the answer, where there is one. kube's own way to read an
    /// object writes one that it cannot read into the log.
    async fn ask(&self, namespace: &str, name: &str) -> Result<Wire, Option<u16>> {
        let path = Secret::url_path(&(), Some(namespace));
        let request = Request::new(path).get(name, &GetParams::default());
        let request = request.map_err(|_| None)?;
        let answer = self.client.request_text(request).await;
        let code = |error| {
            if let kube::Error::Api(status) = error {
                Some(status.code)
            } else {
                None
            }
        };
        let text = answer.map_err(code)?;
        serde_json::from_str(&text).map_err(|_| None)
    }
}

/// What of a Secret is read.
#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

/// What can be the name of a Secret (RFC 1123 subdomain), and so cannot be another path.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let ends =
            |end: Option<u8>| end.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let part = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        ends(label.bytes().next()) && ends(label.bytes().last()) && label.bytes().all(part)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Why the API server did not give it, by the status of its answer, and what to do. The words of the
/// answer are not repeated: they may be those of the Secret.
fn explain(code: Option<u16>) -> (Cause, String) {
    match code {
        Some(404) => (
            Cause::Forbidden,
            "does not exist: make it with kubectl create secret docker-registry, or remove its \
             name there"
                .to_owned(),
        ),
        Some(401 | 403) => (
            Cause::Forbidden,
            "may not be read by the operator: let its ServiceAccount get this Secret by name, with \
             the Role that kubectl promote init --pull-secret prints"
                .to_owned(),
        ),
        Some(code) => (
            Cause::Unreachable,
            format!("was not read: the API server answered {code}"),
        ),
        None => (
            Cause::Unreachable,
            "was not read: the API server gave no answer that can be read".to_owned(),
        ),
    }
}

/// Reads what is in it; the error says what is wrong with it and what to do.
fn read(name: &str, secret: Wire) -> Result<PullSecret, String> {
    const MEND: &str = "make it with kubectl create secret docker-registry";
    let Wire { kind, data } = secret;
    let found = kind.as_deref().unwrap_or("Opaque");
    if found != SECRET_TYPE {
        let found = clip(found);
        return Err(format!("is of type {found} and not {SECRET_TYPE}: {MEND}"));
    }
    let bytes = data
        .get(KEY)
        .ok_or_else(|| format!("has no key {KEY}: {MEND}"))?;
    let logins =
        DockerConfig::parse(&bytes.0).map_err(|error| format!("cannot be used: {error}"))?;
    Ok(PullSecret {
        name: name.to_owned(),
        content: Digest::of(&bytes.0),
        logins,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use http::Response;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server with these answers by path; what it was asked, in order.
    pub(crate) type Asked = Arc<Mutex<Vec<String>>>;
    pub(crate) type Answers = Arc<Mutex<BTreeMap<String, (u16, Value)>>>;

    pub(crate) fn api_server() -> (Client, Answers, Asked) {
        let (answers, asked) = (Answers::default(), Asked::default());
        let (kept, noted) = (Arc::clone(&answers), Arc::clone(&asked));
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (kept, noted) = (Arc::clone(&kept), Arc::clone(&noted));
            async move {
                let path = request.uri().path().to_owned();
                noted.lock().unwrap().push(path.clone());
                let status = |code: u16| {
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                        "message": "refused", "reason": "x"})
                };
                let found = kept.lock().unwrap().get(&path).cloned();
                let (code, body) = found.unwrap_or((404, Value::Null));
                let body = if code == 200 { body } else { status(code) };
                let response = Response::builder()
                    .status(code)
                    .body(Body::from(body.to_string().into_bytes()));
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        (Client::new(service, "default"), answers, asked)
    }

    pub(crate) fn path(name: &str) -> String {
        format!("/api/v1/namespaces/shop/secrets/{name}")
    }

    /// A pull secret with this login for this registry.
    pub(crate) fn secret(registry: &str, user: &str, password: &str) -> (u16, Value) {
        let login = json!({"username": user, "password": password});
        let text = json!({"auths": {registry: login}}).to_string();
        let data = json!({KEY: STANDARD.encode(text)});
        let object = json!({"apiVersion": "v1", "kind": "Secret", "type": SECRET_TYPE,
            "metadata": {"name": "pull", "namespace": "shop"}, "data": data});
        (200, object)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[tokio::test]
    async fn each_is_read_by_name_once_a_minute_and_sooner_where_it_is_refused() {
        let (client, answers, asked) = api_server();
        for name in ["a", "b"] {
            let found = secret("registry.example", "u", name);
            answers.lock().unwrap().insert(path(name), found);
        }
        let secrets = PullSecrets::new(client);
        for _ in 0..5 {
            let read = secrets
                .read("shop", &names(&["a", "b"]), false)
                .await
                .unwrap();
            assert_eq!(read.len(), 2);
            assert_ne!(read[0].content, read[1].content);
        }
        assert_eq!(*asked.lock().unwrap(), [path("a"), path("b")]);
        secrets.read("shop", &names(&["a"]), true).await.unwrap();
        assert_eq!(asked.lock().unwrap().len(), 2, "read a moment ago");
        secrets.read("shop", &[], false).await.unwrap();
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_login_is_not_kept_after_its_minute() {
        let (client, answers, _) = api_server();
        for name in ["a", "b"] {
            let found = secret("registry.example", "u", name);
            answers.lock().unwrap().insert(path(name), found);
        }
        let mut secrets = PullSecrets::new(client);
        let kept = |secrets: &PullSecrets| secrets.known.lock().unwrap().len();
        secrets.read("shop", &names(&["a"]), false).await.unwrap();
        secrets.read("shop", &names(&["b"]), false).await.unwrap();
        assert_eq!(kept(&secrets), 2);
        secrets.used_for = Duration::ZERO;
        secrets.read("shop", &names(&["b"]), false).await.unwrap();
        assert_eq!(kept(&secrets), 1, "that of b alone");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named_with_its_mend_and_nothing_of_its_content() {
        let (client, answers, _) = api_server();
        let secrets = PullSecrets::new(client);
        let typed = |kind: Option<&str>, data: Value| {
            let mut object = json!({"metadata": {"name": "pull"}, "data": data});
            object["type"] = json!(kind);
            (200, object)
        };
        let canary = STANDARD.encode("canary");
        for (answer, cause, words) in [
            (
                (404, Value::Null),
                Cause::Forbidden,
                "does not exist: make it with",
            ),
            (
                (403, Value::Null),
                Cause::Forbidden,
                "kubectl promote init --pull-secret",
            ),
            ((500, Value::Null), Cause::Unreachable, "answered 500"),
            (
                typed(None, json!({KEY: canary})),
                Cause::Untrustworthy,
                "is of type Opaque and not",
            ),
            (
                typed(Some("kubernetes.io/dockercfg"), json!({KEY: canary})),
                Cause::Untrustworthy,
                "is of type kubernetes.io/dockercfg",
            ),
            (
                typed(Some(SECRET_TYPE), json!({"x": canary})),
                Cause::Untrustworthy,
                "has no key",
            ),
            (
                typed(Some(SECRET_TYPE), json!({KEY: canary})),
                Cause::Untrustworthy,
                "cannot be used: it is no docker configuration",
            ),
            (
                (200, json!({"data": {KEY: "not base64: canary"}})),
                Cause::Unreachable,
                "not read",
            ),
            (
                (200, json!({"data": "canary"})),
                Cause::Unreachable,
                "not read",
            ),
        ] {
            answers.lock().unwrap().insert(path("pull"), answer);
            let read = secrets.read("shop", &names(&["pull"]), false).await;
            let error = read.unwrap_err();
            assert_eq!(error.cause, cause, "{}", error.message);
            let named = "Secret shop/pull, named in spec.pullSecrets, ";
            assert!(error.message.starts_with(named), "{}", error.message);
            assert!(error.message.contains(words), "{}", error.message);
            for never in ["canary", &canary] {
                assert!(!error.message.contains(never), "{}", error.message);
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_asked_for() {
        let (client, _, asked) = api_server();
        let secrets = PullSecrets::new(client);
        for name in ["", "../pods/p", "a/b", "A", "-a", "a..b", "a%2f"] {
            let error = secrets
                .read("shop", &names(&[name]), false)
                .await
                .unwrap_err();
            assert!(
                error.message.contains("no name that a Secret can have"),
                "{name}"
            );
        }
        assert!(asked.lock().unwrap().is_empty());
    }
}
