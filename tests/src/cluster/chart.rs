//! Installing the product's own chart, without the operator's Deployment: tests run the binary.

use anyhow::{Context as _, bail};

use super::{Cluster, run};
use crate::product::repository;

/// The namespace the chart is installed into.
pub const NAMESPACE: &str = "lockmaster-system";

impl Cluster {
    /// Applies `crds/`, waits until they are served, then applies the rendered chart.
    ///
    /// `values` are `--set` expressions; `replicaCount=0` is always set, because kwok must not
    /// pretend to run the operator.
    pub async fn install_chart(&self, values: &[&str]) -> anyhow::Result<()> {
        self.ensure_namespace(NAMESPACE).await?;
        self.install_definitions().await?;
        let rendered = self.render_chart(values).await?;
        self.apply(&rendered)
            .await
            .context("failed to install charts/lockmaster")
    }

    /// The rendered chart. `values` are `--set` expressions; those that begin with a brace are JSON.
    pub async fn render_chart(&self, values: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(self.tools.program("helm"));
        command
            .args([
                "template",
                "lockmaster",
                "charts/lockmaster",
                "--namespace",
                NAMESPACE,
            ])
            .args(["--kube-version", "1.36.3", "--set", "replicaCount=0"])
            // Feature switches of the chart ask what the server offers.
            .args([
                "--api-versions",
                "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
            ])
            .current_dir(repository());
        for value in values {
            let flag = if value.starts_with('{') {
                "--set-json"
            } else {
                "--set"
            };
            command.args([flag, value]);
        }
        let rendered = run(command, None).await?;
        Ok(rendered.required("render charts/lockmaster")?.stdout)
    }

    /// Applies the generated definitions and waits until the API server serves them.
    pub async fn install_definitions(&self) -> anyhow::Result<()> {
        let folder = repository().join("crds");
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).context("failed to read crds/")? {
            let path = entry.context("failed to read crds/")?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("failed to read {}", path.display()))?;
                self.apply(&text)
                    .await
                    .with_context(|| format!("in {}", path.display()))?;
                count += 1;
            }
        }
        if count == 0 {
            bail!("crds/ holds no definitions: generate them first (crdgen)");
        }
        let file = format!("-f={}", folder.display());
        let arguments = [
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            &file,
        ];
        self.kubectl(&self.admin.kubeconfig, &arguments, None)
            .await?
            .required("wait for the definitions")?;
        Ok(())
    }
}
