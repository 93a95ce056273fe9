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
mod report;
mod scrape;
mod unplaced;
mod wake;
mod watches;
mod written;

use anyhow::Context as _;
use clap::Parser;

use crate::args::Args;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    args::start_logging();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("failed to install the TLS provider: another one is there"))?;
    let listeners = http::Listeners::bind(&args).await?;
    let clients = clients::Clients::connect().await?;
    watches::run(&args, clients, listeners)
        .await
        .context("the operator stopped")
}
