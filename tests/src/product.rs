//! Lockmaster's own binaries, built from this checkout.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};

use crate::progress;

/// The paths of the built binaries.
#[derive(Debug, Clone)]
pub struct Product {
    /// The operator, `lockmaster`.
    pub operator: PathBuf,
    /// The kubectl plugin, `kubectl-promote`.
    pub plugin: PathBuf,
}

impl Product {
    /// Builds both, once per process, with the profile of the calling binary.
    ///
    /// All three packages are named although only two binaries are wanted: cargo unifies features
    /// over the packages named, and with another set it would build the dependencies once more.
    ///
    /// # Errors
    /// When they do not compile; cargo's own messages are on stderr then.
    pub fn build() -> anyhow::Result<Self> {
        static BUILT: Mutex<Option<Product>> = Mutex::new(None);
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(product) = built.as_ref() {
            return Ok(product.clone());
        }
        progress::line("building lockmaster and kubectl-promote (cargo, fresh in a second)");
        let product = Self::build_with_cargo()?;
        *built = Some(product.clone());
        Ok(product)
    }

    /// The directory of the plugin, for `PATH`: kubectl finds `kubectl-promote` there.
    pub fn path_dir(&self) -> anyhow::Result<&Path> {
        self.plugin.parent().context("the plugin has no directory")
    }

    fn build_with_cargo() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args([
                "build",
                "--quiet",
                "--message-format=json-render-diagnostics",
            ])
            .args([
                "-p",
                "lockmaster-tests",
                "-p",
                "lockmaster-operator",
                "-p",
                "lockmaster-cli",
            ])
            .args(["--bin", "lockmaster", "--bin", "kubectl-promote"])
            .current_dir(repository())
            .stderr(Stdio::inherit());
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let output = command.output().context("failed to run cargo")?;
        if !output.status.success() {
            bail!("lockmaster does not build: see the messages above");
        }
        let messages = String::from_utf8_lossy(&output.stdout);
        Ok(Self {
            operator: executable(&messages, "lockmaster")?,
            plugin: executable(&messages, "kubectl-promote")?,
        })
    }
}

/// The root of this repository.
#[must_use]
pub fn repository() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// Finds where cargo says it put the binary `name`.
fn executable(messages: &str, name: &str) -> anyhow::Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| {
            message
                .pointer("/target/name")
                .is_some_and(|found| found == name)
        })
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
        .with_context(|| format!("cargo did not say where it put {name}"))
}
