//! `cargo testbed`: a cluster, registries, people and a running operator to play with.
//!
//! It writes `target/testbed/env` once all is ready, runs until it is interrupted, and leaves
//! nothing behind. `--without-operator` leaves out the chart and the operator.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use lockmaster_tests::cluster::{Cluster, ClusterOptions};
use lockmaster_tests::cosign::Cosign;
use lockmaster_tests::environment_file::{EnvironmentFile, People, exports};
use lockmaster_tests::image::Image;
use lockmaster_tests::operator::{Operator, OperatorOptions};
use lockmaster_tests::product::Product;
use lockmaster_tests::registry::Registry;
use lockmaster_tests::tools::Tools;
use lockmaster_tests::{launch, progress};
use tokio::signal::unix::{SignalKind, signal};

/// The marker of the image whose pods never get ready.
const CRASH: &str = "crash";

fn main() -> ExitCode {
    launch::intercept();
    progress::exit_code(start())
}

fn start() -> anyhow::Result<()> {
    let with_operator = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => true,
        [flag] if flag == "--without-operator" => false,
        other => bail!("unknown arguments {other:?}; there is only --without-operator"),
    };
    let tools = Tools::ensure()?;
    let product = with_operator.then(Product::build).transpose()?;
    tokio::runtime::Runtime::new()
        .context("failed to start the runtime")?
        .block_on(run(&tools, product.as_ref()))
}

async fn run(tools: &Tools, product: Option<&Product>) -> anyhow::Result<()> {
    // Installed first: an interruption while things start must end them as well.
    let mut interrupted = signal(SignalKind::interrupt()).context("failed to watch for SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("failed to watch for SIGTERM")?;
    let environment = EnvironmentFile::new()?;
    let ended = async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    tokio::select! {
        outcome = serve(tools, product, &environment) => outcome,
        () = ended => {
            progress::line("ending: all of it goes");
            Ok(())
        }
    }
}

/// Starts everything, says what to do next, and stays; returns only on failure.
async fn serve(
    tools: &Tools,
    product: Option<&Product>,
    environment: &EnvironmentFile,
) -> anyhow::Result<()> {
    progress::line("starting two registries and a control plane (about 10 s)");
    let (registry, fallback) = tokio::try_join!(
        Registry::with_referrers(tools),
        Registry::without_referrers(tools)
    )?;
    let crash = Image::push(tools, &registry, "testbed/crash", CRASH).await?;
    let options = ClusterOptions {
        audit: true,
        crash_digests: vec![crash.digest.clone()],
    };
    let cluster = Cluster::start(tools, options).await?;
    let key = Cosign::new(tools, cluster.directory())
        .generate_key("release")
        .await?;
    let operator = match product {
        Some(product) => Some(start_operator(&cluster, product, &registry, &fallback).await?),
        None => None,
    };
    let people = People {
        requester: &cluster.person("bob@corp", &["requesters"]).await?,
        approver: &cluster.person("alice@corp", &["release-managers"]).await?,
        second_approver: &cluster.person("carol@corp", &["release-managers"]).await?,
    };
    let mut exports = exports(&cluster, &people, (&registry, &fallback), &key)?;
    exports.push(("CRASH_IMAGE", crash.reference()));
    if let Some(operator) = &operator {
        exports.push((
            "METRICS",
            format!("http://{}/metrics", operator.metrics_address()),
        ));
        exports.push(("OPERATOR_LOG", operator.log().display().to_string()));
    }
    environment.write(&exports, tools.path_dir(), product)?;
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
    drop(operator);
    Ok(())
}

async fn start_operator(
    cluster: &Cluster,
    product: &Product,
    registry: &Registry,
    fallback: &Registry,
) -> anyhow::Result<Operator> {
    cluster.install_chart(&[]).await?;
    let options = OperatorOptions {
        plain_http_registries: vec![registry.address(), fallback.address()],
        ..OperatorOptions::default()
    };
    Operator::start(cluster, product, &options).await
}
