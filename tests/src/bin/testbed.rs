//! `cargo testbed`: a cluster, registries, people and a running operator to play with.
//!
//! It writes `target/testbed/env` once all is ready, runs until it is interrupted, and leaves
//! nothing behind. `--without-operator` leaves out the chart and the operator.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use lockmaster_tests::cluster::{Cluster, ClusterOptions};
use lockmaster_tests::cosign::{Cosign, SigningKey};
use lockmaster_tests::image::Image;
use lockmaster_tests::operator::{Operator, OperatorOptions};
use lockmaster_tests::product::{Product, repository};
use lockmaster_tests::registry::Registry;
use lockmaster_tests::tools::Tools;
use lockmaster_tests::{launch, pki, progress};
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
    let mut exports = exports(&cluster, &registry, &fallback, &key).await?;
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
        environment.path.display()
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

/// The people and the addresses, by the names that the documentation uses.
async fn exports(
    cluster: &Cluster,
    registry: &Registry,
    fallback: &Registry,
    key: &SigningKey,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let requester = cluster.person("bob@corp", &["requesters"]).await?;
    let approver = cluster.person("alice@corp", &["release-managers"]).await?;
    let second = cluster.person("carol@corp", &["release-managers"]).await?;
    let path = |path: &Path| path.display().to_string();
    Ok(vec![
        ("KUBECONFIG", path(&cluster.admin().kubeconfig)),
        ("KUBECONFIG_REQUESTER", path(&requester.kubeconfig)),
        ("KUBECONFIG_APPROVER", path(&approver.kubeconfig)),
        ("KUBECONFIG_APPROVER2", path(&second.kubeconfig)),
        ("REGISTRY", registry.address()),
        ("REGISTRY_FALLBACK", fallback.address()),
        ("COSIGN_KEY", path(&key.private)),
        ("COSIGN_PUB", path(&key.public)),
        ("COSIGN_PASSWORD", String::new()),
        ("AUDIT_LOG", path(cluster.audit_log()?.path())),
    ])
}

/// `target/testbed/env`; it exists exactly while the test bed is ready.
struct EnvironmentFile {
    path: PathBuf,
}

impl EnvironmentFile {
    fn new() -> anyhow::Result<Self> {
        let directory = repository().join("target").join("testbed");
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
        let file = Self {
            path: directory.join("env"),
        };
        // One that was killed could not remove its own.
        let _ = std::fs::remove_file(&file.path);
        Ok(file)
    }

    /// Writes all at once: whoever waits for the file never reads half of it.
    fn write(
        &self,
        exports: &[(&str, String)],
        tools: &Path,
        product: Option<&Product>,
    ) -> anyhow::Result<()> {
        let mut text = String::new();
        for (name, value) in exports {
            writeln!(text, "export {name}={}", quoted(value))?;
        }
        let plugin = product.map(Product::path_dir).transpose()?;
        let plugin = plugin.map(|path| format!("{}:", quoted(&path.display().to_string())));
        let tools = quoted(&tools.display().to_string());
        writeln!(
            text,
            "export PATH={}{tools}:\"$PATH\"",
            plugin.unwrap_or_default()
        )?;
        let unfinished = self.path.with_extension("part");
        pki::write_private(&unfinished, &text)?;
        std::fs::rename(&unfinished, &self.path).context("failed to write target/testbed/env")
    }
}

impl Drop for EnvironmentFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
