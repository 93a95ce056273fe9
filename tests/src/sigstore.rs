//! A private Sigstore on loopback: Fulcio, Rekor v2 and a timestamp authority as released, and the
//! issuers and the certificate-transparency log that they need. cosign signs keyless with it.
//!
//! Measured: started in a second; the four processes take 110 MiB, 30 MiB of it their own. A
//! signature takes up to 2 s, since the log publishes its checkpoint once a second; several at a
//! time share one. `tests/testbed/README.md` has the builds.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child::Child;
use crate::cluster::Output;
use crate::cosign::{Cosign, Format, SigningKey};
use crate::image::Image;
use crate::tools::Tools;

mod identity;
mod services;

pub use identity::WorkflowRun;
use services::Services;

/// Who signs.
#[derive(Debug, Clone, Copy)]
pub enum Signer<'a> {
    /// Whoever the token names: keyless, with a certificate for ten minutes.
    Token(&'a str),
    /// The holder of a key.
    Key(&'a SigningKey),
}

/// What stands beside a signature to say when it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Proof {
    /// An entry of the log and a timestamp.
    #[default]
    LogAndTimestamp,
    /// A timestamp alone.
    Timestamp,
}

/// A running private Sigstore; it ends when this value is dropped.
#[derive(Debug)]
pub struct Sigstore {
    cosign: Cosign,
    client: reqwest::Client,
    services: Services,
    _processes: Vec<Child>,
    // Last: the processes must end before their directory goes.
    directory: TempDir,
}

impl Sigstore {
    /// Builds what is not built yet (see [`Tools::ensure_sigstore`]) and starts it.
    pub async fn start(tools: &Tools) -> anyhow::Result<Self> {
        let programs = tokio::task::spawn_blocking(Tools::ensure_sigstore)
            .await
            .context("failed to wait for the build")??;
        let directory = tempfile::Builder::new()
            .prefix("lockmaster-sigstore-")
            .tempdir()
            .context("failed to make a directory for Sigstore")?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("failed to make a client")?;
        let cosign = Cosign::new(tools, directory.path());
        let services = Services::new()?;
        let processes = services.start(&programs, directory.path(), &client).await?;
        services.publish(&cosign, &client, directory.path()).await?;
        Ok(Self {
            cosign,
            client,
            services,
            _processes: processes,
            directory,
        })
    }

    /// The issuer in the certificates of people.
    #[must_use]
    pub fn person_issuer(&self) -> String {
        self.services.issuer(services::PEOPLE)
    }

    /// The issuer in the certificates of CI.
    #[must_use]
    pub fn ci_issuer(&self) -> String {
        self.services.issuer(services::CI)
    }

    /// The file that says whom to trust, in the form that cosign and the `TrustedRoot` kind read.
    #[must_use]
    pub fn trusted_root(&self) -> PathBuf {
        self.directory.path().join(services::TRUSTED_ROOT)
    }

    /// The content of [`Sigstore::trusted_root`].
    pub fn trusted_root_json(&self) -> anyhow::Result<String> {
        std::fs::read_to_string(self.trusted_root()).context("failed to read the trusted root")
    }

    /// The file that tells cosign where to sign.
    #[must_use]
    pub fn signing_config(&self, proof: Proof) -> PathBuf {
        let name = match proof {
            Proof::LogAndTimestamp => services::SIGNING_CONFIG,
            Proof::Timestamp => services::SIGNING_CONFIG_WITHOUT_LOG,
        };
        self.directory.path().join(name)
    }

    /// A token of the person with this mail address; valid for ten minutes.
    pub async fn person_token(&self, email: &str) -> anyhow::Result<String> {
        let claims = json!({ "sub": email, "email": email, "email_verified": true });
        self.token(&self.person_issuer(), &claims).await
    }

    /// A token of a job of this workflow run; valid for ten minutes.
    pub async fn ci_token(&self, run: &WorkflowRun) -> anyhow::Result<String> {
        self.token(&self.ci_issuer(), &run.claims()).await
    }

    /// A token with any claims: `iss`, `aud`, `iat` and `exp` are added unless given.
    pub async fn token(&self, issuer: &str, claims: &Value) -> anyhow::Result<String> {
        let reply = self
            .client
            .post(format!("{issuer}/token"))
            .body(claims.to_string())
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .context("failed to ask for a token")?;
        let text = reply.text().await.context("failed to read a token")?;
        let reply: Value = serde_json::from_str(&text).context("failed to parse a token")?;
        let token = reply.get("id_token").and_then(Value::as_str);
        Ok(token.context("the issuer gave no token")?.to_owned())
    }

    /// Signs an image, with a bundle beside it that has an entry of the log and a timestamp.
    pub async fn sign(&self, image: &Image, signer: Signer<'_>) -> anyhow::Result<()> {
        let form = (Format::Bundle, Proof::LogAndTimestamp);
        self.sign_as(image, signer, form).await
    }

    /// Signs an image in another form. The older format always has a timestamp alone: cosign logs
    /// nothing of it in Rekor v2.
    pub async fn sign_as(
        &self,
        image: &Image,
        signer: Signer<'_>,
        form: (Format, Proof),
    ) -> anyhow::Result<()> {
        self.run("sign", image, signer, form, &[]).await
    }

    /// Attests a predicate. `predicate_type` is one of cosign's words or a URI.
    pub async fn attest(
        &self,
        image: &Image,
        signer: Signer<'_>,
        predicate_type: &str,
        predicate: &Value,
    ) -> anyhow::Result<()> {
        let form = (Format::Bundle, Proof::LogAndTimestamp);
        self.attest_as(image, signer, predicate_type, predicate, form)
            .await
    }

    /// Attests a predicate in another form; see [`Sigstore::sign_as`]. In the older format the
    /// timestamp is on the signature, and cosign 3.1.3 itself looks for one on the whole envelope:
    /// it does not verify what it made.
    pub async fn attest_as(
        &self,
        image: &Image,
        signer: Signer<'_>,
        predicate_type: &str,
        predicate: &Value,
        form: (Format, Proof),
    ) -> anyhow::Result<()> {
        let file = self.file(&predicate.to_string())?;
        let flags = [
            format!("--predicate={}", file.path().display()),
            format!("--type={predicate_type}"),
        ];
        self.run("attest", image, signer, form, &flags).await
    }

    /// What `cosign verify` says of an image and this keyless identity; the caller judges.
    pub async fn verify(
        &self,
        image: &Image,
        identity: &str,
        issuer: &str,
    ) -> anyhow::Result<Output> {
        self.verify_with("verify", image, identity, issuer, &[])
            .await
    }

    /// What `cosign verify-attestation` says of an image, this identity and this predicate type.
    pub async fn verify_attestation(
        &self,
        image: &Image,
        identity: &str,
        issuer: &str,
        predicate_type: &str,
    ) -> anyhow::Result<Output> {
        let flags = [format!("--type={predicate_type}")];
        self.verify_with("verify-attestation", image, identity, issuer, &flags)
            .await
    }

    async fn verify_with(
        &self,
        verb: &str,
        image: &Image,
        identity: &str,
        issuer: &str,
        flags: &[String],
    ) -> anyhow::Result<Output> {
        let mut arguments = vec![
            verb.to_owned(),
            "--allow-insecure-registry".to_owned(),
            format!("--trusted-root={}", self.trusted_root().display()),
            format!("--certificate-identity={identity}"),
            format!("--certificate-oidc-issuer={issuer}"),
        ];
        arguments.extend_from_slice(flags);
        arguments.push(image.reference());
        self.cosign.run(&arguments).await
    }

    async fn run(
        &self,
        verb: &str,
        image: &Image,
        signer: Signer<'_>,
        (format, proof): (Format, Proof),
        flags: &[String],
    ) -> anyhow::Result<()> {
        let mut arguments = vec![
            verb.to_owned(),
            "--allow-insecure-registry".to_owned(),
            format!("--trusted-root={}", self.trusted_root().display()),
        ];
        match format {
            Format::Bundle => {
                let config = self.signing_config(proof);
                arguments.push(format!("--signing-config={}", config.display()));
            }
            Format::Legacy => arguments.extend(self.services.legacy_flags(signer)),
        }
        // Held until cosign has read it.
        let token;
        match signer {
            Signer::Token(text) => {
                token = self.file(text)?;
                arguments.push(format!("--identity-token={}", token.path().display()));
            }
            Signer::Key(key) => arguments.push(format!("--key={}", key.private.display())),
        }
        arguments.extend_from_slice(flags);
        arguments.push(image.reference());
        let output = self.cosign.run(&arguments).await?;
        output.required(&format!("{verb} with cosign and Sigstore"))?;
        Ok(())
    }

    /// A file for cosign, gone when dropped.
    fn file(&self, content: &str) -> anyhow::Result<tempfile::NamedTempFile> {
        let file = tempfile::NamedTempFile::new_in(self.directory.path())
            .context("failed to make a file")?;
        std::fs::write(file.path(), content).context("failed to write a file for cosign")?;
        Ok(file)
    }
}
