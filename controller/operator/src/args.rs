//! What the operator is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use lockmaster_core::environment::Span;
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
    /// How often what runs, and what would be gone back to, is verified again, such as 1h or 90m:
    /// from 10m to 168h.
    #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = reverify_every)]
    pub(crate) reverify_every: Span,
}

/// Two requests for each image each time: more often would only burden registries.
const OFTENEST_SECONDS: i64 = 600;

fn reverify_every(text: &str) -> Result<Span, String> {
    let span = Span::try_from(text.to_owned()).map_err(|error| error.to_string())?;
    if span < Span::seconds(OFTENEST_SECONDS) {
        return Err(format!("\"{span}\" is too often: write 10m or more"));
    }
    Ok(span)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_verified_again_every_ten_minutes_at_most() {
        let every = |text: &str| {
            let flag = format!("--reverify-every={text}");
            Args::try_parse_from(["lockmaster", &flag])
        };
        assert_eq!(every("10m").unwrap().reverify_every, Span::seconds(600));
        for wrong in ["9m59s", "0h", "169h", "hourly"] {
            let text = every(wrong).unwrap_err().to_string();
            assert!(text.contains("--reverify-every"), "{text}");
        }
    }
}
