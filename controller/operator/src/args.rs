//! What the operator is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Carries OCI digests through environments: verifies, asks the gates, rolls out, records.
#[derive(Debug, Clone, Parser)]
#[command(name = "lockmaster", version)]
pub(crate) struct Args {
    /// Namespace that the operator runs in; the guards' probes are sent there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "lockmaster-system")]
    pub(crate) namespace: String,
    /// Name of its ServiceAccount: the guards let only this one write statuses and records.
    #[arg(long, env = "POD_SERVICE_ACCOUNT", default_value = "lockmaster")]
    pub(crate) service_account: String,
    /// Where /metrics is served, in plain HTTP.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS:PORT")]
    pub(crate) metrics_address: SocketAddr,
    /// Where /healthz and /readyz are served, in plain HTTP.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS:PORT")]
    pub(crate) health_address: SocketAddr,
    /// A YAML file that lists registries which are reached in another way than by HTTPS, on public
    /// addresses, with nobody's credentials. Read when the operator starts.
    #[arg(long, value_name = "FILE")]
    pub(crate) registries: Option<PathBuf>,
}

/// Logs as JSON lines on standard error; RUST_LOG chooses what.
pub(crate) fn start_logging() {
    // kube logs every refused request as an error, the guards' probes included; what matters of it
    // is logged here with its meaning.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        EnvFilter::new("info,kube_runtime=error,kube_client::client::builder=off")
    });
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
