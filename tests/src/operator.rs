//! Lockmaster's operator as a process: started, killed, started again, measured.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::child::{Child, ChildSpec};
use crate::cluster::{Cluster, NAMESPACE, free_ports};
use crate::product::Product;

/// The name of the operator's ServiceAccount, as the chart has it.
pub const SERVICE_ACCOUNT: &str = "lockmaster";

/// How long the operator may take to get ready: it fills its caches before it says so.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);

/// What the operator is started with.
#[derive(Debug, Clone, Default)]
pub struct OperatorOptions {
    /// Registries (`HOST:PORT`) that it may speak to over plain HTTP, on any address.
    pub plain_http_registries: Vec<String>,
    /// Of these registries, the ones with a token service elsewhere, and its origin
    /// (`http://HOST:PORT`).
    pub realms: Vec<(String, String)>,
    /// Another address for the API server, such as a proxy's URL.
    pub server: Option<String>,
    /// More arguments.
    pub arguments: Vec<String>,
    /// More environment variables.
    pub environment: Vec<(String, String)>,
}

/// A running operator; it is killed when this value is dropped.
#[derive(Debug)]
pub struct Operator {
    spec: ChildSpec,
    directory: PathBuf,
    metrics: String,
    health: String,
    child: Child,
}

impl Operator {
    /// Starts the operator as ServiceAccount `lockmaster-system/lockmaster` and waits until it is
    /// ready. The chart must be installed: its roles are all the rights that it has.
    pub async fn start(
        cluster: &Cluster,
        product: &Product,
        options: &OperatorOptions,
    ) -> anyhow::Result<Self> {
        let server = options.server.as_deref().unwrap_or(cluster.server());
        let account = cluster
            .service_account_through(server, NAMESPACE, SERVICE_ACCOUNT)
            .await?;
        let [metrics_port, health_port] = free_ports()?;
        let metrics = format!("127.0.0.1:{metrics_port}");
        let health = format!("127.0.0.1:{health_port}");
        let mut spec = ChildSpec::new("lockmaster", &product.operator)
            .argument(format!("--metrics-address={metrics}"))
            .argument(format!("--health-address={health}"))
            .environment("KUBECONFIG", &account.kubeconfig)
            .environment("POD_NAMESPACE", NAMESPACE);
        if !options.plain_http_registries.is_empty() {
            let file = format!("registries-{metrics_port}.yaml");
            let path = cluster.directory().join(file);
            let list = registries(options);
            std::fs::write(&path, list)
                .with_context(|| format!("failed to write {}", path.display()))?;
            spec = spec.argument(format!("--registries={}", path.display()));
        }
        spec = spec.arguments(&options.arguments);
        for (name, value) in &options.environment {
            spec = spec.environment(name, value);
        }
        let directory = cluster.directory().to_owned();
        let child = spawn_ready(&spec, &directory, &health).await?;
        Ok(Self {
            spec,
            directory,
            metrics,
            health,
            child,
        })
    }

    /// Kills it with SIGKILL, at once.
    pub fn kill(&self) {
        self.child.kill();
    }

    /// Ends it with SIGTERM, as Kubernetes would.
    pub fn terminate(&self) {
        self.child.terminate(GRACE);
    }

    /// Kills it if it still runs, starts it again with the same arguments and waits until it is
    /// ready. The log goes on in the same file.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill();
        self.child = spawn_ready(&self.spec, &self.directory, &self.health).await?;
        Ok(())
    }

    /// Like [`Operator::restart`] without waiting: for tests that stop it before it gets ready.
    pub fn restart_without_waiting(&mut self) -> anyhow::Result<()> {
        self.child.kill();
        self.child = Child::spawn(&self.spec, &self.directory)?;
        Ok(())
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Child {
        &self.child
    }

    /// The log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.child.log()
    }

    /// `HOST:PORT` of the metrics.
    #[must_use]
    pub fn metrics_address(&self) -> &str {
        &self.metrics
    }

    /// `HOST:PORT` of the health endpoints.
    #[must_use]
    pub fn health_address(&self) -> &str {
        &self.health
    }

    /// The metrics page as text.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let reply = client()?
            .get(format!("http://{}/metrics", self.metrics))
            .send()
            .await
            .context("failed to read the metrics")?;
        reply.text().await.context("failed to read the metrics")
    }

    /// The memory that is the operator's own (`RssAnon`), in KiB.
    pub fn rss_anonymous_kib(&self) -> anyhow::Result<u64> {
        self.memory_kib("RssAnon:")
    }

    /// All memory it has in RAM (`VmRSS`), in KiB; pages of the binary count.
    pub fn rss_kib(&self) -> anyhow::Result<u64> {
        self.memory_kib("VmRSS:")
    }

    fn memory_kib(&self, field: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.child.pid());
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("{path} has no {field} (has the operator ended?)"))
    }
}

/// The operator's list of registries, as the chart's ConfigMap would hold it.
fn registries(options: &OperatorOptions) -> String {
    let one = |host: &String| {
        let named = options.realms.iter().filter(|(name, _)| name == host);
        let realms: Vec<_> = named.map(|(_, origin)| origin).collect();
        serde_json::json!({
            "host": host, "plainHTTP": true, "privateAddresses": true, "realms": realms,
        })
    };
    let all: Vec<_> = options.plain_http_registries.iter().map(one).collect();
    serde_json::json!({"registries": all}).to_string()
}

async fn spawn_ready(spec: &ChildSpec, directory: &Path, health: &str) -> anyhow::Result<Child> {
    if !spec.program.exists() {
        bail!(
            "{} does not exist: build the product first",
            spec.program.display()
        );
    }
    let client = client()?;
    let url = format!("http://{health}/readyz");
    let child = Child::spawn(spec, directory)?;
    child
        .wait_until(PATIENCE, async || {
            client
                .get(&url)
                .send()
                .await
                .is_ok_and(|reply| reply.status().is_success())
        })
        .await?;
    Ok(child)
}

fn client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .context("failed to make a client")
}
