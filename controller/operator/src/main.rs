//! The Lockmaster operator.

#![expect(
    clippy::needless_pass_by_value,
    clippy::single_match_else,
    clippy::too_many_lines,
    reason = "signatures of kube's callbacks; one arm for each mutation, one after the other"
)]

mod acceptance;
mod act;
mod args;
mod clients;
mod context;
mod events;
mod fresh;
mod guard;
mod http;
mod metrics;
mod reconcile;
mod report;
mod unplaced;
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
