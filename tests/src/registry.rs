//! Registries on loopback, each behind a proxy that counts requests and makes outages.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::child::{Child, ChildSpec};
use crate::cluster::free_ports;
use crate::proxy::{Exchange, Outage, Proxy};
use crate::tools::Tools;

/// How long a registry may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running registry; it ends when this value is dropped.
#[derive(Debug)]
pub struct Registry {
    proxy: Proxy,
    address: SocketAddr,
    process: Child,
    // Last: the process must end before its directory goes.
    _directory: TempDir,
}

impl Registry {
    /// An OCI 1.1 registry with the referrers API (go-containerregistry's).
    pub async fn with_referrers(tools: &Tools) -> anyhow::Result<Self> {
        Self::start(tools, "registry", |address, _| vec![address.to_string()]).await
    }

    /// A registry without the referrers API (CNCF distribution): signatures lie under tags.
    pub async fn without_referrers(tools: &Tools) -> anyhow::Result<Self> {
        Self::start(tools, "distribution", |_, config| {
            vec!["serve".to_owned(), config]
        })
        .await
    }

    async fn start(
        tools: &Tools,
        program: &str,
        arguments: impl Fn(SocketAddr, String) -> Vec<String>,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("lockmaster-registry-")
            .tempdir()
            .context("failed to make a directory for a registry")?;
        let [port] = free_ports()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let config = directory.path().join("config.yaml");
        std::fs::write(&config, distribution_config(address))
            .context("failed to write the registry's configuration")?;
        let spec = ChildSpec::new(program, tools.program(program))
            .arguments(arguments(address, config.display().to_string()))
            // Otherwise distribution looks for a collector to send traces to.
            .environment("OTEL_TRACES_EXPORTER", "none");
        let process = Child::spawn(&spec, directory.path())?;
        process
            .wait_until(PATIENCE, async || {
                tokio::net::TcpStream::connect(address).await.is_ok()
            })
            .await?;
        Ok(Self {
            proxy: Proxy::plain(address).await?,
            address,
            process,
            _directory: directory,
        })
    }

    /// `127.0.0.1:PORT`, the host part of image references.
    #[must_use]
    pub fn address(&self) -> String {
        self.proxy.address().to_string()
    }

    /// `127.0.0.1:PORT` past the proxy, where nothing is counted and nothing held.
    #[must_use]
    pub fn direct_address(&self) -> String {
        self.address.to_string()
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

    /// The process behind the proxy.
    #[must_use]
    pub fn process(&self) -> &Child {
        &self.process
    }
}

/// A configuration that keeps everything in memory and allows deletion.
fn distribution_config(address: SocketAddr) -> String {
    serde_json::json!({
        "version": "0.1",
        "log": { "level": "warn" },
        "storage": { "inmemory": {}, "delete": { "enabled": true } },
        "http": { "addr": address.to_string(), "secret": "loopback" },
    })
    .to_string()
}
