//! Registries on loopback, each behind a proxy that counts requests and makes outages.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::child::{Child, ChildSpec};
use crate::cluster::free_ports;
use crate::proxy::{Exchange, Outage, Proxy};
use crate::tools::Tools;

mod accounts;
mod tokens;

pub use accounts::{Account, TENANT_A, TENANT_B};
pub use tokens::{TokenRegistry, TokenRequest, TokenService};

/// How long a registry may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A registry; it ends when this value is dropped.
#[derive(Debug)]
pub struct Registry {
    proxy: Proxy,
    program: PathBuf,
    kind: Kind,
    /// And where it listens, behind the proxy.
    process: OnceCell<(Child, SocketAddr)>,
    // Last: the process must end before its directory goes.
    directory: TempDir,
}

/// What is started, and whom it lets in.
#[derive(Debug)]
enum Kind {
    /// go-containerregistry's, with the referrers API, open to all.
    Referrers,
    /// CNCF distribution, without the referrers API; the configuration of its access control, if any.
    Distribution(Option<Value>),
}

impl Registry {
    /// An OCI 1.1 registry with the referrers API (go-containerregistry's).
    pub async fn with_referrers(tools: &Tools) -> anyhow::Result<Self> {
        Self::start(tools, "registry", Kind::Referrers).await
    }

    /// A registry without the referrers API (CNCF distribution): signatures lie under tags.
    pub async fn without_referrers(tools: &Tools) -> anyhow::Result<Self> {
        Self::start(tools, "distribution", Kind::Distribution(None)).await
    }

    /// A registry without the referrers API that lets in [`TENANT_A`] and [`TENANT_B`] by name and
    /// password (htpasswd), both to everything. It has its address at once, and starts with the
    /// first [`Registry::started`].
    pub async fn with_passwords(tools: &Tools) -> anyhow::Result<Self> {
        let access = json!({ "htpasswd": { "realm": "testbed", "path": "htpasswd" } });
        let registry = Self::reserve(tools, "distribution", Kind::Distribution(Some(access)));
        let registry = registry.await?;
        let accounts = accounts::htpasswd();
        std::fs::write(registry.directory.path().join("htpasswd"), accounts)
            .context("failed to write the registry's accounts")?;
        Ok(registry)
    }

    async fn start(tools: &Tools, program: &str, kind: Kind) -> anyhow::Result<Self> {
        let registry = Self::reserve(tools, program, kind).await?;
        registry.started().await?;
        Ok(registry)
    }

    async fn reserve(tools: &Tools, program: &str, kind: Kind) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("lockmaster-registry-")
            .tempdir()
            .context("failed to make a directory for a registry")?;
        Ok(Self {
            proxy: Proxy::without_upstream().await?,
            program: tools.program(program),
            kind,
            process: OnceCell::new(),
            directory,
        })
    }

    /// The same registry, surely running; it answers 502 until this was first called.
    pub async fn started(&self) -> anyhow::Result<&Self> {
        self.process.get_or_try_init(|| self.spawn()).await?;
        Ok(self)
    }

    async fn spawn(&self) -> anyhow::Result<(Child, SocketAddr)> {
        let [port] = free_ports()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let directory = self.directory.path();
        let (name, arguments) = match &self.kind {
            Kind::Referrers => ("registry", vec![address.to_string()]),
            Kind::Distribution(access) => {
                let config = distribution_config(address, access.as_ref()).to_string();
                std::fs::write(directory.join("config.yaml"), config)
                    .context("failed to write the registry's configuration")?;
                let arguments = vec!["serve".to_owned(), "config.yaml".to_owned()];
                ("distribution", arguments)
            }
        };
        let spec = ChildSpec::new(name, &self.program)
            .arguments(arguments)
            // Otherwise distribution looks for a collector to send traces to.
            .environment("OTEL_TRACES_EXPORTER", "none");
        let process = Child::spawn(&spec, directory)?;
        process
            .wait_until(PATIENCE, async || {
                tokio::net::TcpStream::connect(address).await.is_ok()
            })
            .await?;
        self.proxy.connect(address);
        Ok((process, address))
    }

    /// `127.0.0.1:PORT`, the host part of image references.
    #[must_use]
    pub fn address(&self) -> String {
        self.proxy.address().to_string()
    }

    /// `127.0.0.1:PORT` past the proxy, where nothing is counted and nothing held.
    pub fn direct_address(&self) -> anyhow::Result<String> {
        let (_, address) = self.process.get().context("the registry is not started")?;
        Ok(address.to_string())
    }

    /// The proxy in front of it, for holds and for cutting connections.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// All requests since the start or the last [`Registry::clear_requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<Exchange> {
        self.proxy.exchanges()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.proxy.clear();
    }

    /// Makes the registry unreachable; its content stays.
    pub fn stop(&self) {
        self.proxy.outage(Some(Outage::Disconnect));
    }

    /// Makes it reachable again, at the same address and with the same content.
    pub fn start_again(&self) {
        self.proxy.outage(None);
    }

    /// The process behind the proxy, once it is started.
    #[must_use]
    pub fn process(&self) -> Option<&Child> {
        self.process.get().map(|(process, _)| process)
    }
}

/// A configuration that keeps everything in memory and allows deletion.
fn distribution_config(address: SocketAddr, access: Option<&Value>) -> Value {
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "warn" },
        "storage": { "inmemory": {}, "delete": { "enabled": true } },
        "http": { "addr": address.to_string(), "secret": "loopback" },
    });
    if let (Some(config), Some(access)) = (config.as_object_mut(), access) {
        config.insert("auth".to_owned(), access.clone());
    }
    config
}
