//! `cargo testbed`: a cluster, registries, people and a running operator to play with.
//!
//! It writes `target/testbed/env` once all is ready, runs until it is interrupted, and leaves
//! nothing behind.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::environment_file::EnvironmentFile;
use lockmaster_tests::interruption::unless_interrupted;
use lockmaster_tests::product::Product;
use lockmaster_tests::tools::Tools;
use lockmaster_tests::{launch, progress};

fn main() -> ExitCode {
    launch::intercept();
    progress::exit_code(start())
}

fn start() -> anyhow::Result<()> {
    if let Some(argument) = std::env::args().nth(1) {
        bail!("unknown argument {argument}: cargo testbed takes none");
    }
    let (tools, product) = (Tools::ensure()?, Product::build()?);
    let environment = EnvironmentFile::new()?;
    let serving = unless_interrupted(serve(&tools, &product, &environment));
    tokio::runtime::Runtime::new()
        .context("failed to start the runtime")?
        .block_on(serving)?;
    progress::line("ended: all of it is gone");
    Ok(())
}

/// Starts everything, says what to do next, and stays; returns only on failure.
async fn serve(
    tools: &Tools,
    product: &Product,
    environment: &EnvironmentFile,
) -> anyhow::Result<()> {
    progress::line("starting two registries, a control plane and the operator (about 15 s)");
    let bed = Bed::start(tools, product).await?;
    environment.write(&bed)?;
    progress::line(&format!(
        "ready. In another terminal:\n  \
         source {}\n  \
         kubectl get nodes                                   as the administrator\n  \
         KUBECONFIG=$KUBECONFIG_REQUESTER kubectl promote    as bob@corp, who asks\n  \
         KUBECONFIG=$KUBECONFIG_APPROVER kubectl promote     as alice@corp, who approves\n\
         Ctrl-C ends it.",
        environment.path().display()
    ));
    std::future::pending::<()>().await;
    drop(bed);
    Ok(())
}
