//! A registry that wants bearer tokens, and the service on another port that hands them out.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SigningKey as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::accounts::ACCOUNTS;
use super::{Account, Kind, Registry};
use crate::tools::Tools;

/// The name under which the registry asks for tokens, and the issuer it believes.
const SERVICE: &str = "testbed";

/// How long a token is valid, in seconds; the registry allows a minute more.
const LIFETIME: i64 = 300;

/// A registry (CNCF distribution, without the referrers API) that wants a token for everything.
#[derive(Debug)]
pub struct TokenRegistry {
    /// The registry. It has its address at once, and starts with the first
    /// [`Registry::started`].
    pub registry: Registry,
    /// Hands out the tokens.
    pub tokens: TokenService,
}

/// Hands out tokens for the repositories of whoever logs in. It ends when this value is dropped.
#[derive(Debug)]
pub struct TokenService {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// One request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Who asked, if a known name came with its password.
    pub account: Option<&'static str>,
    /// Whether credentials came along, right or wrong.
    pub with_credentials: bool,
    /// The path with its query.
    pub path: String,
    /// The scopes that were asked for, such as `repository:tenant-a/web:pull`.
    pub scopes: Vec<String>,
    /// Those of them that were given, with the actions that were given.
    pub granted: Vec<String>,
    /// The status of the reply.
    pub status: u16,
}

#[derive(Debug)]
struct Shared {
    key: KeyPair,
    certificate: Vec<u8>,
    requests: Mutex<Vec<TokenRequest>>,
}

impl TokenRegistry {
    /// The token service runs at once, the registry from [`Registry::started`] on.
    pub async fn new(tools: &Tools) -> anyhow::Result<Self> {
        let (tokens, certificate) = TokenService::start().await?;
        let access = json!({ "token": {
            "realm": tokens.realm(),
            "service": SERVICE,
            "issuer": SERVICE,
            "rootcertbundle": "tokens.pem",
        } });
        let kind = Kind::Distribution(Some(access));
        let registry = Registry::reserve(tools, "distribution", kind).await?;
        std::fs::write(registry.directory.path().join("tokens.pem"), certificate)
            .context("failed to write the certificate of the token service")?;
        Ok(Self { registry, tokens })
    }

    /// The registry, and the origin of the service that its tokens come from.
    #[must_use]
    pub fn realm(&self) -> (String, String) {
        let origin = format!("http://{}", self.tokens.address());
        (self.registry.address(), origin)
    }
}

impl TokenService {
    /// The service, and the certificate (PEM) of its key.
    async fn start() -> anyhow::Result<(Self, String)> {
        let key = KeyPair::generate_for(&PKCS_ED25519).context("failed to make a key")?;
        let params = CertificateParams::new(Vec::new()).context("failed to name nobody")?;
        let certificate = params.self_signed(&key).context("failed to sign")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("failed to listen on loopback")?;
        let address = listener.local_addr().context("failed to read the port")?;
        let shared = Arc::new(Shared {
            key,
            certificate: certificate.der().to_vec(),
            requests: Mutex::default(),
        });
        let router = axum::Router::new()
            .route("/token", get(answer))
            .with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            // It ends with the task only.
            let _ = axum::serve(listener, router).await;
        });
        let service = Self {
            port: address.port(),
            shared,
            serving,
        };
        Ok((service, certificate.pem()))
    }

    /// `localhost:PORT`. By name, since crane and cosign send credentials to no realm whose host is
    /// a loopback address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The realm that the registry sends its clients to: another host and port than its own.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.address())
    }

    /// All requests since the start or the last [`TokenService::clear_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<TokenRequest> {
        self.shared.requests().clone()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.requests().clear();
    }
}

impl Drop for TokenService {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<TokenRequest>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token (JWT, EdDSA) that opens what is granted.
    fn token(&self, subject: &str, audience: &str, granted: &[Scope]) -> anyhow::Result<String> {
        let access: Vec<Value> = granted.iter().map(Scope::access).collect();
        let now = jiff::Timestamp::now().as_second();
        let header = json!({
            "alg": "EdDSA", "typ": "JWT", "x5c": [STANDARD.encode(&self.certificate)],
        });
        let claims = json!({
            "iss": SERVICE, "sub": subject, "aud": audience, "access": access,
            "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(signed.as_bytes());
        let signature = signature.context("failed to sign a token")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Something that a token may open: `repository:NAME:ACTION,ACTION`.
struct Scope {
    kind: String,
    name: String,
    actions: BTreeSet<String>,
}

impl Scope {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        Some(Self {
            kind: kind.to_owned(),
            name: name.to_owned(),
            actions: actions.split(',').map(str::to_owned).collect(),
        })
    }

    /// What of it the account may have.
    fn granted_to(&self, account: &Account) -> Option<Self> {
        if self.kind != "repository" || !self.name.starts_with(account.prefix) {
            return None;
        }
        let allowed = ["pull", "push", "delete"];
        let actions = self.actions.iter();
        let actions = actions.filter(|action| allowed.contains(&action.as_str()));
        Some(Self {
            kind: self.kind.clone(),
            name: self.name.clone(),
            actions: actions.cloned().collect(),
        })
    }

    fn access(&self) -> Value {
        json!({ "type": self.kind, "name": self.name, "actions": self.actions })
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let actions: Vec<&str> = self.actions.iter().map(String::as_str).collect();
        write!(
            formatter,
            "{}:{}:{}",
            self.kind,
            self.name,
            actions.join(",")
        )
    }
}

/// Answers one request. Without credentials the token opens nothing, as public registries do it;
/// wrong ones are refused.
async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
) -> (StatusCode, [(header::HeaderName, &'static str); 1], String) {
    let path = uri.to_string();
    let (mut scopes, mut audience) = (Vec::new(), String::new());
    if let Ok(url) = reqwest::Url::parse(&format!("http://localhost{path}")) {
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                // Several in one parameter are divided by spaces.
                "scope" => scopes.extend(value.split(' ').map(str::to_owned)),
                "service" => value.as_ref().clone_into(&mut audience),
                _ => {}
            }
        }
    }
    let credentials = headers.get(header::AUTHORIZATION);
    let account = credentials.and_then(|given| {
        let known = |account: &&&Account| given.as_bytes() == account.authorization().as_bytes();
        ACCOUNTS.iter().find(known).copied()
    });
    let granted: Vec<Scope> = scopes
        .iter()
        .filter_map(|scope| Scope::parse(scope)?.granted_to(account?))
        .collect();
    let subject = account.map_or("", |account| account.name);
    let (status, body) = match shared.token(subject, &audience, &granted) {
        _ if credentials.is_some() && account.is_none() => (
            StatusCode::UNAUTHORIZED,
            json!({ "details": "wrong name or password" }),
        ),
        Ok(token) => (
            StatusCode::OK,
            json!({ "token": token, "access_token": token, "expires_in": LIFETIME }),
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "details": error.to_string() }),
        ),
    };
    shared.requests().push(TokenRequest {
        account: account.map(|account| account.name),
        with_credentials: credentials.is_some(),
        path,
        scopes,
        granted: granted.iter().map(Scope::to_string).collect(),
        status: status.as_u16(),
    });
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body.to_string())
}
