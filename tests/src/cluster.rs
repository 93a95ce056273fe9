//! A real Kubernetes control plane on loopback, with a simulated node, people and kubectl.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Namespace, Node, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::audit::AuditLog;
use crate::pki::Authority;
use crate::tools::Tools;

mod chart;
mod control_plane;
mod people;

pub use chart::NAMESPACE;
use control_plane::ControlPlane;
pub(crate) use control_plane::free_ports;
pub use people::{Person, client};

/// The field manager of what the test bed itself applies.
const FIELD_MANAGER: &str = "lockmaster-testbed";

/// How long the whole start may take on a busy machine; 5 to 10 s are usual.
const START_PATIENCE: Duration = Duration::from_secs(90);

/// What a cluster is started with.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Write an audit log; see [`Cluster::audit_log`].
    pub audit: bool,
    /// Pods with an image of one of these digests (`sha256:…`) crash and never get ready.
    pub crash_digests: Vec<String>,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Whether the command ended with status 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }

    /// Turns a failed command into an error that shows what it printed.
    pub fn required(self, what: &str) -> anyhow::Result<Self> {
        if self.success() {
            return Ok(self);
        }
        bail!(
            "failed to {what} (status {:?}):\n{}{}",
            self.status,
            self.stdout,
            self.stderr
        )
    }
}

/// A running cluster; all of it ends when this value is dropped.
#[derive(Debug)]
pub struct Cluster {
    control_plane: ControlPlane,
    admin: Person,
    tools: Tools,
    authority: Authority,
    options: ClusterOptions,
    // Last: the processes above must end before their directory goes.
    directory: TempDir,
}

impl Cluster {
    /// Starts etcd, API server, controller manager, scheduler and kwok, and waits until pods run.
    pub async fn start(tools: &Tools, options: ClusterOptions) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("lockmaster-testbed-")
            .tempdir()
            .context("failed to make a directory for the run")?;
        let authority = Authority::new()?;
        let mut control_plane =
            ControlPlane::prepare(tools, &options, &authority, directory.path())?;
        let admin = people::masters(
            control_plane.server(),
            &authority,
            directory.path(),
            "admin",
        )
        .await?;
        control_plane
            .start_api_server(&admin.client, START_PATIENCE)
            .await?;
        create_node(&admin.client).await?;
        control_plane.start_controllers(&authority)?;
        let cluster = Self {
            control_plane,
            admin,
            tools: tools.clone(),
            authority,
            options,
            directory,
        };
        cluster.wait_for_controllers().await?;
        Ok(cluster)
    }

    /// The API server's address, `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn server(&self) -> &str {
        self.control_plane.server()
    }

    /// The administrator, in `system:masters`.
    #[must_use]
    pub fn admin(&self) -> &Person {
        &self.admin
    }

    /// A client of the administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        self.admin.client.clone()
    }

    /// The certificate authority behind the API server and all people.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The tools this cluster was started with.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// The directory of this run: logs, keys, kubeconfig files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The audit log.
    ///
    /// # Errors
    /// When the cluster was started without [`ClusterOptions::audit`].
    pub fn audit_log(&self) -> anyhow::Result<AuditLog> {
        if !self.options.audit {
            bail!("start the cluster with ClusterOptions {{ audit: true, .. }} to read its log");
        }
        Ok(AuditLog::new(control_plane::audit_log_path(
            self.directory.path(),
        )))
    }

    /// Makes a namespace unless it exists.
    pub async fn ensure_namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name },
        });
        Api::<Namespace>::all(self.client())
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER),
                &Patch::Apply(&namespace),
            )
            .await
            .with_context(|| format!("failed to make the namespace {name}"))?;
        Ok(())
    }

    /// Runs kubectl as somebody; `stdin` is what `-f -` reads. The exit status is the caller's.
    pub async fn kubectl(
        &self,
        kubeconfig: &Path,
        arguments: &[&str],
        stdin: Option<&str>,
    ) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(self.tools.program("kubectl"));
        command.args(arguments).env("KUBECONFIG", kubeconfig);
        run(command, stdin).await
    }

    /// Applies manifests as the administrator, server-side.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl(&self.admin.kubeconfig, &arguments, Some(manifests))
            .await?
            .required("apply manifests")?;
        Ok(())
    }

    /// Ends all processes at once; dropping the cluster does the same.
    pub fn stop(self) {
        drop(self);
    }

    /// Waits until the node is ready and the controller manager has made the first account.
    async fn wait_for_controllers(&self) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.client());
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), "default");
        self.control_plane
            .wait_until(START_PATIENCE, async || {
                let node = nodes.get("node-1").await;
                node.is_ok_and(|node| is_ready(&node)) && accounts.get("default").await.is_ok()
            })
            .await
    }
}

/// Runs a command to its end and keeps what it printed.
pub(crate) async fn run(
    mut command: tokio::process::Command,
    stdin: Option<&str>,
) -> anyhow::Result<Output> {
    let mut child = command
        .stdin(if stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("failed to run {}", command.as_std().get_program().display()))?;
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        let text = text.to_owned();
        // In its own task: the command may print before it has read all.
        tokio::spawn(async move { pipe.write_all(text.as_bytes()).await });
    }
    let output = child
        .wait_with_output()
        .await
        .context("failed to wait for the command")?;
    Ok(Output {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

async fn create_node(client: &Client) -> anyhow::Result<()> {
    let mut node = Node::default();
    node.metadata.name = Some("node-1".to_owned());
    node.annotations_mut()
        .insert("kwok.x-k8s.io/node".to_owned(), "fake".to_owned());
    Api::<Node>::all(client.clone())
        .create(&PostParams::default(), &node)
        .await
        .context("failed to create the node")?;
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}
