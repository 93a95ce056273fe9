//! Who may log in to a registry that asks.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pki;

/// Somebody whom a registry knows.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: &'static str,
    /// The password.
    pub password: &'static str,
    /// What the names of the repositories that are this account's begin with; the token service
    /// gives tokens for no other.
    pub prefix: &'static str,
    /// The password as htpasswd keeps it (bcrypt at its cheapest).
    hash: &'static str,
}

/// The owner of `tenant-a/…`.
pub const TENANT_A: Account = Account {
    name: "tenant-a",
    password: "password-of-tenant-a",
    prefix: "tenant-a/",
    hash: "$2a$04$7X7u6z6zga3WpaU9gP8yHeaLJkeXLLiDv0i10j3TdsbFmcUSnznyC",
};

/// The owner of `tenant-b/…`.
pub const TENANT_B: Account = Account {
    name: "tenant-b",
    password: "password-of-tenant-b",
    prefix: "tenant-b/",
    hash: "$2a$04$OiIXzkT0P3sfBtzeXyZDyuA85/dsQcZ7YsrhUhcgphz/rU.mwiWUC",
};

/// All that there are.
pub(super) const ACCOUNTS: [&Account; 2] = [&TENANT_A, &TENANT_B];

impl Account {
    /// The value of an `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> String {
        let Self { name, password, .. } = self;
        format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
    }

    /// A Docker configuration that logs this account in at `registry` (`HOST:PORT`): what a pull
    /// secret of type `kubernetes.io/dockerconfigjson` has in it.
    #[must_use]
    pub fn docker_config(&self, registry: &str) -> Value {
        let Self { name, password, .. } = self;
        let pair = STANDARD.encode(format!("{name}:{password}"));
        json!({ "auths": { registry: { "username": name, "password": password, "auth": pair } } })
    }

    /// Writes it as `directory/NAME/config.json`, readable by its owner only; answers the
    /// directory that `DOCKER_CONFIG` must name.
    pub fn write_docker_config(&self, registry: &str, directory: &Path) -> anyhow::Result<PathBuf> {
        let directory = directory.join(self.name);
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
        let config = self.docker_config(registry).to_string();
        pki::write_private(&directory.join("config.json"), &config)?;
        Ok(directory)
    }
}

/// The accounts as a file for htpasswd authentication.
pub(super) fn htpasswd() -> String {
    let lines = ACCOUNTS.map(|account| format!("{}:{}\n", account.name, account.hash));
    lines.concat()
}
