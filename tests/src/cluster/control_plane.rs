//! The five processes of a cluster: how each is started, and how one knows that it is up.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::Client;

use super::ClusterOptions;
use crate::child::{Child, ChildSpec};
use crate::pki::{self, Authority, Identity};
use crate::tools::Tools;

const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");
const STAGES: &str = include_str!("../../testbed/kwok/stages.yaml");

/// The processes of one cluster.
#[derive(Debug)]
pub(super) struct ControlPlane {
    server: String,
    etcd_endpoint: String,
    directory: PathBuf,
    tools: Tools,
    audit: bool,
    // In order of dependence: dropped from the front, so the ones that need others go first.
    controllers: Vec<Child>,
    api_server: Option<Child>,
    etcd: Child,
}

impl ControlPlane {
    /// Chooses ports and writes keys and configuration; nothing runs yet.
    pub(super) fn prepare(
        tools: &Tools,
        options: &ClusterOptions,
        authority: &Authority,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let [etcd_port, peer_port, server_port] = free_ports()?;
        let serving = authority.serving()?;
        let (account_key, account_public) = pki::signing_key_pair()?;
        for (name, content) in [
            ("ca.pem", authority.certificate()),
            ("serving.pem", &serving.certificate),
            ("serving.key", &serving.key),
            ("accounts.key", &account_key),
            ("accounts.pub", &account_public),
            ("audit-policy.yaml", AUDIT_POLICY),
            ("stages.yaml", &stages(&options.crash_digests)?),
        ] {
            pki::write_private(&directory.join(name), content)?;
        }
        let etcd_endpoint = format!("http://127.0.0.1:{etcd_port}");
        let peer = format!("http://127.0.0.1:{peer_port}");
        let etcd = ChildSpec::new("etcd", tools.program("etcd"))
            .argument("--data-dir=etcd")
            // A test's data need not survive a power cut.
            .argument("--unsafe-no-fsync")
            .argument("--log-level=warn")
            .argument(format!("--listen-client-urls={etcd_endpoint}"))
            .argument(format!("--advertise-client-urls={etcd_endpoint}"))
            .argument(format!("--listen-peer-urls={peer}"))
            .argument(format!("--initial-advertise-peer-urls={peer}"))
            .argument(format!("--initial-cluster=default={peer}"));
        Ok(Self {
            server: format!("https://127.0.0.1:{server_port}"),
            etcd_endpoint,
            directory: directory.to_owned(),
            tools: tools.clone(),
            audit: options.audit,
            controllers: Vec::new(),
            api_server: None,
            etcd: Child::spawn(&etcd, directory)?,
        })
    }

    /// The API server's address.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Starts the API server and waits until it says that it is ready.
    pub(super) async fn start_api_server(
        &mut self,
        admin: &Client,
        patience: Duration,
    ) -> anyhow::Result<()> {
        let api_server = Child::spawn(&self.api_server_spec(), &self.directory)?;
        let waited = api_server
            .wait_until(patience, async || {
                let Ok(request) = http::Request::get("/readyz").body(Vec::new()) else {
                    return false;
                };
                self.etcd.exited().is_some() || admin.request_text(request).await.is_ok()
            })
            .await;
        if self.etcd.exited().is_some() {
            bail!("etcd has ended; {}", self.etcd.log_tail());
        }
        waited?;
        self.api_server = Some(api_server);
        Ok(())
    }

    /// Starts what works through the API server.
    pub(super) fn start_controllers(&mut self, authority: &Authority) -> anyhow::Result<()> {
        for name in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            let kubeconfig = self.kubeconfig(authority, name)?;
            let spec = ChildSpec::new(name, self.tools.program(name))
                .argument(format!("--kubeconfig={}", kubeconfig.display()));
            let spec = match name {
                "kwok" => spec
                    .arguments(["--config=stages.yaml", "--manage-all-nodes=true"])
                    .argument("--node-ip=127.0.0.1"),
                // No metrics or health port: nothing reads them, and ports could collide.
                "kube-scheduler" => spec.arguments(["--leader-elect=false", "--secure-port=0"]),
                _ => spec
                    .arguments(["--leader-elect=false", "--secure-port=0"])
                    .argument("--authentication-tolerate-lookup-failure")
                    .argument("--root-ca-file=ca.pem")
                    .argument("--service-account-private-key-file=accounts.key")
                    .arguments(["--kube-api-qps=200", "--kube-api-burst=300"]),
            };
            self.controllers.push(Child::spawn(&spec, &self.directory)?);
        }
        Ok(())
    }

    /// Waits until `ready`, or until one of the processes ends.
    pub(super) async fn wait_until<F, R>(
        &self,
        patience: Duration,
        mut ready: F,
    ) -> anyhow::Result<()>
    where
        F: FnMut() -> R,
        R: Future<Output = bool>,
    {
        let Some(watched) = self.controllers.first() else {
            bail!("no controllers started")
        };
        let waited = watched
            .wait_until(patience, || {
                let ended = self
                    .controllers
                    .iter()
                    .any(|child| child.exited().is_some());
                let ready = ready();
                async move { ended || ready.await }
            })
            .await;
        match self
            .controllers
            .iter()
            .find(|child| child.exited().is_some())
        {
            Some(child) => bail!("{} has ended; {}", child.name(), child.log_tail()),
            None => waited,
        }
    }

    fn api_server_spec(&self) -> ChildSpec {
        let port = self.server.rsplit(':').next().unwrap_or_default();
        let spec = ChildSpec::new("kube-apiserver", self.tools.program("kube-apiserver"))
            .argument(format!("--etcd-servers={}", self.etcd_endpoint))
            .argument(format!("--secure-port={port}"))
            .argument("--bind-address=127.0.0.1")
            // There are no endpoints to publish, and loopback may not be published.
            .arguments([
                "--endpoint-reconciler-type=none",
                "--advertise-address=192.0.2.1",
            ])
            .arguments([
                "--tls-cert-file=serving.pem",
                "--tls-private-key-file=serving.key",
            ])
            .argument("--client-ca-file=ca.pem")
            .argument("--service-account-issuer=https://kubernetes.default.svc")
            .argument("--service-account-key-file=accounts.pub")
            .argument("--service-account-signing-key-file=accounts.key")
            .arguments([
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
            ])
            // Simulated pods mount nothing, and tests need not wait for accounts.
            .argument("--disable-admission-plugins=ServiceAccount");
        if self.audit {
            let log = audit_log_path(&self.directory);
            spec.argument("--audit-policy-file=audit-policy.yaml")
                .argument(format!("--audit-log-path={}", log.display()))
        } else {
            spec
        }
    }

    /// A kubeconfig for one of our own processes. They are all-powerful, but under their own names.
    fn kubeconfig(&self, authority: &Authority, name: &str) -> anyhow::Result<PathBuf> {
        let user = format!("testbed:{name}");
        let credential = authority.client(&user, &["system:masters"])?;
        pki::write_kubeconfig(
            &self.directory,
            &user,
            &self.server,
            authority.certificate(),
            &Identity::Certificate(&credential),
        )
    }
}

/// Where the API server of a run writes its audit log.
pub(super) fn audit_log_path(directory: &Path) -> PathBuf {
    directory.join("audit.log")
}

/// Ports that were free a moment ago; all are held until all are chosen, so they differ.
pub(crate) fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    let mut held = Vec::with_capacity(COUNT);
    for port in &mut ports {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
        *port = listener
            .local_addr()
            .context("failed to read the port")?
            .port();
        held.push(listener);
    }
    Ok(ports)
}

/// The stages of kwok, with the expression that selects the images whose pods crash.
fn stages(crash_digests: &[String]) -> anyhow::Result<String> {
    for digest in crash_digests {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            bail!("the crash digest {digest:?} is not of the form sha256:<64 hex digits>");
        }
    }
    // Without crash digests the expression must select nothing: no image contains a space.
    let digests = if crash_digests.is_empty() {
        " ".to_owned()
    } else {
        crash_digests.join("|")
    };
    let expression =
        format!(r#".spec.containers.[] | select( .image | test("{digests}") ) | .name"#);
    Ok(STAGES.replace("@CRASH@", &expression))
}

#[cfg(test)]
mod tests {
    use super::stages;

    #[test]
    fn a_crash_digest_is_in_both_stages_and_a_wrong_one_is_refused() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let text = stages(std::slice::from_ref(&digest)).unwrap();
        let selectors = text
            .lines()
            .filter(|line| line.trim_start().starts_with("- key: '"));
        let with_digest = selectors.filter(|line| line.contains(&digest));
        assert_eq!(with_digest.count(), 2, "ready and crash exclude each other");
        assert!(stages(&["sha256:12".to_owned()]).is_err());
        assert!(stages(&["latest".to_owned()]).is_err());
    }
}
