//! `target/testbed/env`: what a shell must know to play with a running test bed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::bed::Bed;
use crate::pki;
use crate::product::repository;

/// The people and the addresses, by the names that the documentation uses.
fn exports(bed: &Bed) -> anyhow::Result<Vec<(&'static str, String)>> {
    let path = |path: &Path| path.display().to_string();
    let people = &bed.people;
    Ok(vec![
        ("KUBECONFIG", path(&bed.cluster.admin().kubeconfig)),
        ("KUBECONFIG_REQUESTER", path(&people.bob.kubeconfig)),
        ("KUBECONFIG_APPROVER", path(&people.alice.kubeconfig)),
        ("KUBECONFIG_APPROVER2", path(&people.carol.kubeconfig)),
        ("REGISTRY", bed.registry.address()),
        ("REGISTRY_FALLBACK", bed.fallback.address()),
        ("COSIGN_KEY", path(&bed.keys.release.private)),
        ("COSIGN_PUB", path(&bed.keys.release.public)),
        ("COSIGN_PASSWORD", String::new()),
        ("CRASH_IMAGE", bed.crash.reference()),
        ("METRICS", format!("http://{}/metrics", bed.metrics)),
        ("OPERATOR_LOG", path(&bed.operator_log)),
        ("AUDIT_LOG", path(bed.cluster.audit_log()?.path())),
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
    pub fn write(&self, bed: &Bed) -> anyhow::Result<()> {
        let mut text = String::new();
        for (name, value) in exports(bed)? {
            writeln!(text, "export {name}={}", quoted(&value))?;
        }
        let plugin = bed.product.path_dir()?;
        let programs = [plugin, bed.tools.path_dir()];
        let programs = programs.map(|path| quoted(&path.display().to_string()));
        writeln!(text, "export PATH={}:\"$PATH\"", programs.join(":"))?;
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
