//! Signing with the real cosign: keys, signatures, attestations; offline, without a log.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::cluster::{Output, run};
use crate::image::Image;
use crate::registry::Account;
use crate::tools::Tools;

/// A key pair made by `cosign generate-key-pair`, with an empty password.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The private key file.
    pub private: PathBuf,
    /// The public key file (PEM).
    pub public: PathBuf,
    /// The public key itself (PEM), for policies.
    pub pem: String,
}

/// How a signature is stored beside its image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// A Sigstore bundle as a referrer of the image (or under the fallback tag).
    #[default]
    Bundle,
    /// The older form, under tags that end in `.sig` and `.att`.
    Legacy,
}

/// cosign, with a directory for keys and predicates.
#[derive(Debug, Clone)]
pub struct Cosign {
    program: PathBuf,
    directory: PathBuf,
    docker_config: Option<PathBuf>,
}

impl Cosign {
    /// Keeps keys and predicates in `directory`.
    #[must_use]
    pub fn new(tools: &Tools, directory: &Path) -> Self {
        Self {
            program: tools.program("cosign"),
            directory: directory.to_owned(),
            docker_config: None,
        }
    }

    /// The same, logged in to `registry` (`HOST:PORT`).
    pub fn logged_in(&self, registry: &str, account: &Account) -> anyhow::Result<Self> {
        Ok(Self {
            docker_config: Some(account.write_docker_config(registry, &self.directory)?),
            ..self.clone()
        })
    }

    /// Makes a key pair, `NAME.key` and `NAME.pub`.
    pub async fn generate_key(&self, name: &str) -> anyhow::Result<SigningKey> {
        let prefix = self.directory.join(name);
        let arguments = [
            "generate-key-pair".to_owned(),
            format!("--output-key-prefix={}", prefix.display()),
        ];
        self.run(&arguments)
            .await?
            .required("make a key pair with cosign")?;
        let public = self.directory.join(format!("{name}.pub"));
        let pem = std::fs::read_to_string(&public).context("failed to read the public key")?;
        Ok(SigningKey {
            private: self.directory.join(format!("{name}.key")),
            public,
            pem,
        })
    }

    /// Signs an image.
    pub async fn sign(
        &self,
        image: &Image,
        key: &SigningKey,
        format: Format,
    ) -> anyhow::Result<()> {
        let mut arguments = offline("sign", key, format);
        arguments.push(image.reference());
        self.run(&arguments).await?.required("sign with cosign")?;
        Ok(())
    }

    /// Attests a predicate. `predicate_type` is one of cosign's words (`slsaprovenance1`,
    /// `spdxjson`, `cyclonedx`) or a URI.
    pub async fn attest(
        &self,
        image: &Image,
        key: &SigningKey,
        predicate_type: &str,
        predicate: &Value,
        format: Format,
    ) -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new_in(&self.directory)
            .context("failed to make a predicate file")?;
        std::fs::write(file.path(), predicate.to_string())
            .context("failed to write a predicate")?;
        let mut arguments = offline("attest", key, format);
        arguments.push(format!("--predicate={}", file.path().display()));
        arguments.push(format!("--type={predicate_type}"));
        arguments.push(image.reference());
        self.run(&arguments).await?.required("attest with cosign")?;
        Ok(())
    }

    /// Runs cosign with any arguments; the exit status is the caller's to judge.
    pub async fn run(&self, arguments: &[String]) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(arguments)
            .env("COSIGN_PASSWORD", "")
            .env("COSIGN_YES", "true")
            .current_dir(&self.directory);
        if let Some(config) = &self.docker_config {
            command.env("DOCKER_CONFIG", config);
        }
        run(command, None).await
    }
}

/// The flags that keep cosign off the network.
fn offline(verb: &str, key: &SigningKey, format: Format) -> Vec<String> {
    vec![
        verb.to_owned(),
        format!("--key={}", key.private.display()),
        "--use-signing-config=false".to_owned(),
        "--tlog-upload=false".to_owned(),
        "--allow-insecure-registry".to_owned(),
        format!("--new-bundle-format={}", format == Format::Bundle),
    ]
}
