//! `target/testbed/env`: what a shell must know to play with a running test bed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::cluster::{Cluster, Person};
use crate::cosign::SigningKey;
use crate::pki;
use crate::product::{Product, repository};
use crate::registry::Registry;

/// The people of a test bed, by what they do.
#[derive(Debug, Clone, Copy)]
pub struct People<'a> {
    /// Requests promotions.
    pub requester: &'a Person,
    /// Approves them.
    pub approver: &'a Person,
    /// Another one who does.
    pub second_approver: &'a Person,
}

/// The people and the addresses, by the names that the documentation uses.
pub fn exports(
    cluster: &Cluster,
    people: &People<'_>,
    (registry, fallback): (&Registry, &Registry),
    key: &SigningKey,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let path = |path: &Path| path.display().to_string();
    Ok(vec![
        ("KUBECONFIG", path(&cluster.admin().kubeconfig)),
        ("KUBECONFIG_REQUESTER", path(&people.requester.kubeconfig)),
        ("KUBECONFIG_APPROVER", path(&people.approver.kubeconfig)),
        (
            "KUBECONFIG_APPROVER2",
            path(&people.second_approver.kubeconfig),
        ),
        ("REGISTRY", registry.address()),
        ("REGISTRY_FALLBACK", fallback.address()),
        ("COSIGN_KEY", path(&key.private)),
        ("COSIGN_PUB", path(&key.public)),
        ("COSIGN_PASSWORD", String::new()),
        ("AUDIT_LOG", path(cluster.audit_log()?.path())),
    ])
}

/// The file; it exists exactly while the test bed is ready.
#[derive(Debug)]
pub struct EnvironmentFile {
    path: PathBuf,
}

impl EnvironmentFile {
    /// Removes what an earlier run may have left; writes nothing yet.
    pub fn new() -> anyhow::Result<Self> {
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

    /// Where it lies, once written.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all at once: whoever waits for the file never reads half of it.
    pub fn write(
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
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
