//! Four clients under three User-Agents, so that an audit log can count what each costs.

use std::time::Duration;

use anyhow::Context as _;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::KubeConfigOptions;
use kube::{Client, Config};

/// A write that takes longer has an unknown outcome, and the next pass reads back what happened.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(5);

/// The clients of the operator.
pub(crate) struct Clients {
    /// Watches and lists; retries by itself.
    pub(crate) reader: Client,
    /// Looks once more right before a write; never retries, because others wait for it and the next
    /// pass looks again anyway.
    pub(crate) live: Client,
    /// Writes; never retries, because only a fresh look may decide on a second write.
    pub(crate) writer: Client,
    /// For probing the guards; each probe connects anew, so that it meets any API server.
    pub(crate) probe: Config,
}

impl Clients {
    /// Clients for the cluster of the pod's ServiceAccount or of the kubeconfig.
    pub(crate) async fn connect() -> anyhow::Result<Self> {
        let config = configuration().await?;
        let client = |purpose, retry| {
            Client::try_from(named(config.clone(), purpose, retry)?)
                .context("failed to make a client from the cluster's configuration")
        };
        Ok(Self {
            reader: client("reader", true)?,
            live: client("reader", false)?,
            writer: client("writer", false)?,
            probe: named(config, "probe", false)?,
        })
    }
}

/// What KUBECONFIG names and nothing else, where it is set: an unreadable file must not turn into
/// another cluster. Otherwise that of the pod, or ~/.kube/config.
async fn configuration() -> anyhow::Result<Config> {
    let named = std::env::var_os("KUBECONFIG").filter(|files| !files.is_empty());
    match named {
        Some(files) => Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .with_context(|| {
                let files = files.display();
                format!("failed to use KUBECONFIG={files}; point it at a readable kubeconfig, or unset it in a pod")
            }),
        None => Config::infer().await.context(
            "failed to find the cluster: run in a pod with a ServiceAccount token, or point \
             KUBECONFIG at a kubeconfig",
        ),
    }
}

fn named(mut config: Config, purpose: &str, retry: bool) -> anyhow::Result<Config> {
    let agent = format!("lockmaster/{} ({purpose})", env!("CARGO_PKG_VERSION"));
    config
        .headers
        .push((USER_AGENT, HeaderValue::from_str(&agent)?));
    config.default_retry = retry;
    Ok(config)
}
