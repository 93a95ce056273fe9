//! The processes of the private Sigstore, where they listen, and what cosign must know of them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Signer;
use super::identity::{HOST, extensions};
use crate::child::{Child, ChildSpec};
use crate::cluster::free_ports;
use crate::cosign::Cosign;
use crate::pki;
use crate::tools::Tools;

/// The path of the issuer of people.
pub(super) const PEOPLE: &str = "people";
/// The path of the issuer of CI.
pub(super) const CI: &str = "ci";
pub(super) const TRUSTED_ROOT: &str = "trusted_root.json";
pub(super) const SIGNING_CONFIG: &str = "signing_config.json";
pub(super) const SIGNING_CONFIG_WITHOUT_LOG: &str = "signing_config_without_log.json";

/// The audience that cosign and Fulcio agree on.
const CLIENT: &str = "sigstore";
/// The name, in Fulcio's configuration, of how CI tokens are read.
const WORKFLOW: &str = "github-workflow";
/// All that is trusted is trusted since before any test.
const START: &str = "start-time=2025-01-01T00:00:00Z";
/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the services listen.
#[derive(Debug)]
pub(super) struct Services {
    identity: u16,
    fulcio: u16,
    fulcio_grpc: u16,
    rekor: u16,
    rekor_grpc: u16,
    rekor_metrics: u16,
    timestamp: u16,
}

impl Services {
    /// Free ports for all of them.
    pub(super) fn new() -> anyhow::Result<Self> {
        let [
            identity,
            fulcio,
            fulcio_grpc,
            rekor,
            rekor_grpc,
            rekor_metrics,
            timestamp,
        ] = free_ports()?;
        Ok(Self {
            identity,
            fulcio,
            fulcio_grpc,
            rekor,
            rekor_grpc,
            rekor_metrics,
            timestamp,
        })
    }

    pub(super) fn issuer(&self, path: &str) -> String {
        url(self.identity, path)
    }

    fn timestamp_url(&self) -> String {
        url(self.timestamp, "api/v1/timestamp")
    }

    /// Starts all of them and waits until they answer.
    pub(super) async fn start(
        &self,
        programs: &Tools,
        directory: &Path,
        client: &reqwest::Client,
    ) -> anyhow::Result<Vec<Child>> {
        let (log_key, log_public) = pki::signing_key_pair()?;
        pki::write_private(&directory.join("rekor.key"), &log_key)?;
        pki::write_private(&directory.join("rekor.pub"), &log_public)?;
        let config = self.fulcio_config().to_string();
        pki::write_private(&directory.join("fulcio.json"), &config)?;
        let identity = ChildSpec::new("identity", programs.program("identity"))
            .argument(format!("127.0.0.1:{}", self.identity))
            .argument("ctfe.pub");
        let identity = Child::spawn(&identity, directory)?;
        // Fulcio asks the issuers for their keys as it starts.
        let discovery = format!("{}/.well-known/openid-configuration", self.issuer(CI));
        answers(&identity, client, &discovery).await?;
        let fulcio = Child::spawn(&self.fulcio_spec(programs), directory)?;
        let rekor = Child::spawn(&self.rekor_spec(programs), directory)?;
        let timestamp = ChildSpec::new("timestamp-server", programs.program("timestamp-server"))
            .argument(self.timestamp.to_string());
        let timestamp = Child::spawn(&timestamp, directory)?;
        let (ca, log) = (url(self.fulcio, "healthz"), url(self.rekor, "healthz"));
        let stamp = url(self.timestamp, "ping");
        tokio::try_join!(
            answers(&fulcio, client, &ca),
            answers(&rekor, client, &log),
            answers(&timestamp, client, &stamp),
        )?;
        Ok(vec![identity, fulcio, rekor, timestamp])
    }

    fn fulcio_spec(&self, programs: &Tools) -> ChildSpec {
        ChildSpec::new("fulcio", programs.program("fulcio"))
            .argument("serve")
            .argument("--ca=ephemeralca")
            .argument(format!("--ct-log-url={}", url(self.identity, "log")))
            .argument("--ct-log-public-key-path=ctfe.pub")
            .argument("--config-path=fulcio.json")
            .arguments(["--host=127.0.0.1", "--grpc-host=127.0.0.1"])
            .argument(format!("--port={}", self.fulcio))
            .argument(format!("--grpc-port={}", self.fulcio_grpc))
            // Its metrics listen on every address, which no flag changes; at least on a free port.
            .argument("--metrics-port=0")
            // Otherwise one name for all of the machine, and a second Fulcio would not start.
            .argument("--legacy-unix-domain-socket=fulcio.socket")
    }

    fn rekor_spec(&self, programs: &Tools) -> ChildSpec {
        ChildSpec::new("rekor", programs.program("rekor"))
            .arguments(["serve", "--storage-dir=log", "--signer-filepath=rekor.key"])
            // The origin of its checkpoints: the host part of its URL.
            .argument("--hostname=127.0.0.1")
            .argument(format!("--http-port={}", self.rekor))
            .argument(format!("--grpc-port={}", self.rekor_grpc))
            .argument(format!("--http-metrics-port={}", self.rekor_metrics))
            // The shortest that it takes.
            .arguments(["--checkpoint-interval=1s", "--batch-max-age=100ms"])
    }

    fn fulcio_config(&self) -> Value {
        let (people, ci) = (self.issuer(PEOPLE), self.issuer(CI));
        json!({
            "OIDCIssuers": {
                &people: { "IssuerURL": people, "ClientID": CLIENT, "Type": "email" },
                &ci: {
                    "IssuerURL": ci, "ClientID": CLIENT, "Type": "ci-provider",
                    "CIProvider": WORKFLOW,
                },
            },
            "CIIssuerMetadata": { WORKFLOW: {
                "DefaultTemplateValues": { "url": HOST, "environment": "" },
                "ExtensionTemplates": extensions(),
                "SubjectAlternativeNameTemplate": "{{ .url }}/{{ .job_workflow_ref }}",
            } },
        })
    }

    /// Asks the services for their certificates and writes the trusted root and the signing
    /// configurations.
    pub(super) async fn publish(
        &self,
        cosign: &Cosign,
        client: &reqwest::Client,
        directory: &Path,
    ) -> anyhow::Result<()> {
        for (file, url) in [
            ("fulcio.pem", url(self.fulcio, "api/v1/rootCert")),
            (
                "timestamp.pem",
                format!("{}/certchain", self.timestamp_url()),
            ),
        ] {
            let reply = client.get(&url).send().await;
            let reply = reply.and_then(reqwest::Response::error_for_status);
            let reply = reply.with_context(|| format!("failed to read {url}"))?;
            let chain = reply.text().await.context("failed to read certificates")?;
            pki::write_private(&directory.join(file), &chain)?;
        }
        let (ca, log) = (url(self.fulcio, ""), url(self.rekor, ""));
        let (ct, stamp) = (url(self.identity, "log"), self.timestamp_url());
        let root = [
            format!("--fulcio=url={ca},certificate-chain=fulcio.pem,{START}"),
            format!("--ctfe=url={ct},public-key=ctfe.pub,{START}"),
            format!("--rekor=url={log},public-key=rekor.pub,origin=127.0.0.1,{START}"),
            format!("--tsa=url={stamp},certificate-chain=timestamp.pem,{START}"),
        ];
        make(cosign, "trusted-root", &root, TRUSTED_ROOT).await?;
        let common = format!("{START},operator=testbed");
        let people = self.issuer(PEOPLE);
        let mut signing = vec![
            format!("--fulcio=url={ca},api-version=1,{common}"),
            format!("--oidc-provider=url={people},api-version=1,{common}"),
            format!("--tsa=url={stamp},api-version=1,{common}"),
            "--tsa-config=ANY".to_owned(),
        ];
        make(
            cosign,
            "signing-config",
            &signing,
            SIGNING_CONFIG_WITHOUT_LOG,
        )
        .await?;
        signing.push(format!("--rekor=url={log},api-version=2,{common}"));
        signing.push("--rekor-config=ANY".to_owned());
        make(cosign, "signing-config", &signing, SIGNING_CONFIG).await
    }

    /// The older format takes no signing configuration: where to sign is told by flags.
    pub(super) fn legacy_flags(&self, signer: Signer<'_>) -> Vec<String> {
        let mut flags = vec![
            "--new-bundle-format=false".to_owned(),
            "--use-signing-config=false".to_owned(),
            "--tlog-upload=false".to_owned(),
            format!("--timestamp-server-url={}", self.timestamp_url()),
        ];
        match signer {
            Signer::Token(_) => flags.push(format!("--fulcio-url={}", url(self.fulcio, ""))),
            Signer::Key(_) => {}
        }
        flags
    }
}

fn url(port: u16, path: &str) -> String {
    if path.is_empty() {
        return format!("http://127.0.0.1:{port}");
    }
    format!("http://127.0.0.1:{port}/{path}")
}

async fn answers(child: &Child, client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let asks = async || {
        let reply = client.get(url).send().await;
        reply.is_ok_and(|reply| reply.status().is_success())
    };
    child.wait_until(PATIENCE, asks).await
}

/// `cosign KIND create`, in cosign's directory.
async fn make(cosign: &Cosign, kind: &str, flags: &[String], out: &str) -> anyhow::Result<()> {
    let mut arguments = vec![kind.to_owned(), "create".to_owned(), format!("--out={out}")];
    arguments.extend_from_slice(flags);
    let output = cosign.run(&arguments).await?;
    output.required(&format!("make a {kind}"))?;
    Ok(())
}
