//! The Lockmaster operator.

mod acceptance;
mod act;
mod args;
mod caches;
mod carry_out;
mod clients;
mod context;
mod current;
mod events;
#[cfg(test)]
mod fixtures;
mod fresh;
mod guard;
mod http;
mod metrics;
mod news;
mod reconcile;
mod registries;
mod report;
mod reverify;
mod scrape;
mod unplaced;
mod wake;
mod watches;
mod written;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

fn main() -> ExitCode {
    // Rules in Rego are asked by this program once more, in a process that does nothing else.
    if lockmaster_rego::is_child() {
        return lockmaster_rego::serve();
    }
    operate()
}

#[tokio::main]
async fn operate() -> ExitCode {
    let args = Args::parse();
    args::start_logging();
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "the operator stopped");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("failed to install the TLS provider: another one is there"))?;
    let listeners = http::Listeners::bind(args).await?;
    let clients = clients::Clients::connect().await?;
    watches::run(args, clients, listeners).await
}
