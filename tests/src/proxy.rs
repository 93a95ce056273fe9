//! A reverse proxy that counts, holds and cuts what passes between two real components.
//!
//! It stands between a client and a registry (plain HTTP) or between the operator and the API
//! server (TLS by the test authority on both sides; a bearer token passes through, a client
//! certificate does not). HTTP/1.1, watches are streamed, upgrades are not supported.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use http::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::pki::Authority;

mod forward;
mod hold;
mod refusal;

pub use hold::Hold;
use hold::{Holds, Moment};
pub use refusal::Refusal;
use refusal::Refusals;

/// One request that passed, and the status of its reply.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: String,
    /// The `User-Agent` header, or empty.
    pub user_agent: String,
    /// The `Authorization` header, or empty.
    pub authorization: String,
    /// The request body.
    pub body: Vec<u8>,
    /// When it arrived.
    pub arrived: Instant,
    /// The status of the reply, once there is one.
    pub status: Option<u16>,
}

impl Exchange {
    /// Whether it asks for a change to a stored object: no dry run, no question about rights.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        changes.contains(&self.method)
            && !self.path.contains("dryRun=All")
            && !self.path.starts_with("/apis/authorization.k8s.io/")
            && !self.path.starts_with("/apis/authentication.k8s.io/")
    }
}

/// What the proxy does instead of passing requests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Every connection is closed as soon as it is made, as if nobody listened.
    Disconnect,
    /// Every request is answered with this status.
    Status(u16),
}

/// A running proxy; it ends when this value is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    /// Without one, every request is answered with 502.
    upstream: Mutex<Option<String>>,
    client: reqwest::Client,
    exchanges: Mutex<Vec<Exchange>>,
    holds: Mutex<Holds>,
    outage: Mutex<Option<Outage>>,
    /// The value of `Authorization` without which nothing passes.
    required: Mutex<Option<String>>,
    refusals: Mutex<Refusals>,
    /// Counts the cuts: a connection ends when it sees another number.
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// A plain-HTTP proxy in front of `upstream`, such as a registry.
    pub async fn plain(upstream: SocketAddr) -> anyhow::Result<Self> {
        let proxy = Self::without_upstream().await?;
        proxy.connect(upstream);
        Ok(proxy)
    }

    /// A plain-HTTP proxy in front of what does not run yet; see [`Proxy::connect`].
    pub async fn without_upstream() -> anyhow::Result<Self> {
        let client = client_builder()
            .build()
            .context("failed to make a client")?;
        Self::start(None, client, None).await
    }

    /// Passes requests on to `upstream` from now on, over plain HTTP.
    pub fn connect(&self, upstream: SocketAddr) {
        *lock(&self.shared.upstream) = Some(format!("http://{upstream}"));
    }

    /// A TLS proxy in front of an API server at `upstream` (`https://127.0.0.1:PORT`).
    pub async fn tls(upstream: &str, authority: &Authority) -> anyhow::Result<Self> {
        let root = reqwest::Certificate::from_pem(authority.certificate().as_bytes())
            .context("failed to read the authority's certificate")?;
        let client = client_builder()
            .tls_certs_only([root])
            .build()
            .context("failed to make a client")?;
        let upstream = Some(upstream.to_owned());
        Self::start(upstream, client, Some(acceptor(authority)?)).await
    }

    async fn start(
        upstream: Option<String>,
        client: reqwest::Client,
        tls: Option<TlsAcceptor>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("failed to listen on loopback")?;
        let address = listener
            .local_addr()
            .context("failed to read the address")?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            client,
            exchanges: Mutex::default(),
            holds: Mutex::default(),
            outage: Mutex::default(),
            required: Mutex::default(),
            refusals: Mutex::default(),
            cuts: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(forward::accept(listener, tls, Arc::clone(&shared)));
        Ok(Self {
            address,
            scheme,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// All requests since the start or the last [`Proxy::clear`].
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.exchanges).clone()
    }

    /// How many requests match.
    pub fn count(&self, wanted: impl Fn(&Exchange) -> bool) -> usize {
        lock(&self.shared.exchanges)
            .iter()
            .filter(|exchange| wanted(exchange))
            .count()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        lock(&self.shared.exchanges).clear();
    }

    /// Holds back the next request that matches: it reaches the server only after the release,
    /// even if its sender is gone by then.
    pub fn hold_request(&self, wanted: impl Fn(&Exchange) -> bool + Send + 'static) -> Hold {
        lock(&self.shared.holds).add(Moment::Request, 1, Box::new(wanted))
    }

    /// Holds back the reply to the `nth` request (from 1) that matches from now on: the server has
    /// done what was asked, and the sender does not know. Kill points are made of this.
    pub fn hold_reply(
        &self,
        nth: usize,
        wanted: impl Fn(&Exchange) -> bool + Send + 'static,
    ) -> Hold {
        lock(&self.shared.holds).add(Moment::Reply, nth, Box::new(wanted))
    }

    /// Cuts all connections, replies in flight included. New connections work.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }

    /// Lets through only who says this (`Authorization`), and asks others for a user name and a
    /// password; `None` lets everybody through.
    pub fn require(&self, authorization: Option<String>) {
        *lock(&self.shared.required) = authorization;
    }

    /// Answers requests with the status that the rule gives them, in the server's place; a 401 asks
    /// for a user name and a password. Others pass.
    #[must_use]
    pub fn refuse(&self, rule: impl Fn(&Exchange) -> Option<u16> + Send + 'static) -> Refusal {
        Refusals::add(&self.shared, Box::new(rule))
    }

    /// Starts or ends an outage. Starting one cuts all connections.
    pub fn outage(&self, outage: Option<Outage>) {
        *lock(&self.shared.outage) = outage;
        if outage.is_some() {
            self.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "proxy to {:?}", lock(&self.upstream))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that speaks to loopback whatever the environment says about proxies.
fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
}

fn acceptor(authority: &Authority) -> anyhow::Result<TlsAcceptor> {
    let serving = authority.serving()?;
    let certificate = CertificateDer::from_pem_slice(serving.certificate.as_bytes())
        .context("failed to read the serving certificate")?;
    let key = PrivateKeyDer::from_pem_slice(serving.key.as_bytes())
        .context("failed to read the serving key")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("failed to choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .context("failed to use the serving certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
