//! `conformance verify-bundle`: judges a bundle for the suite of sigstore-conformance.
//!
//! The protocol is that of `sigstore/sigstore-conformance`, `docs/cli_protocol.md`. Exit status 0 says
//! that the bundle verifies, for this file, by this signer; everything else that it does not. The
//! code that decides is the product's, [`lockmaster_verify::judge_detached`].

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand};
use lockmaster_core::evidence::{Anchor, Identity, RootText, Signer, Verified};
use lockmaster_core::release::Digest;
use lockmaster_tests::{launch, progress};
use lockmaster_verify::{
    Detached, PUBLIC_GOOD_ROOT, PUBLIC_STAGING_ROOT, Trust, judge_detached, parse_key,
};

/// Speaks the protocol of sigstore-conformance.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verifies a bundle about a file.
    VerifyBundle(VerifyBundle),
}

#[derive(Args)]
struct VerifyBundle {
    /// Trust the public staging instance instead of the public one.
    #[arg(long)]
    staging: bool,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Whom the certificate must name.
    #[arg(
        long,
        value_name = "ID",
        requires = "certificate_oidc_issuer",
        required_unless_present = "key",
        conflicts_with = "key"
    )]
    certificate_identity: Option<String>,
    /// Who must have vouched for the identity.
    #[arg(
        long,
        value_name = "URL",
        requires = "certificate_identity",
        conflicts_with = "key"
    )]
    certificate_oidc_issuer: Option<String>,
    /// File with the public key that must have signed, in PEM.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Trusted root to use instead of an embedded one.
    #[arg(long, value_name = "FILE", conflicts_with = "staging")]
    trusted_root: Option<PathBuf>,
    /// The file that the bundle is about, or `sha256:` and its digest.
    #[arg(value_name = "FILE_OR_DIGEST")]
    artifact: String,
}

fn main() -> ExitCode {
    launch::intercept();
    let Arguments {
        command: Command::VerifyBundle(arguments),
    } = Arguments::parse();
    progress::exit_code(arguments.verify())
}

impl VerifyBundle {
    fn verify(&self) -> anyhow::Result<()> {
        let bundle = fs::read(&self.bundle)
            .with_context(|| format!("failed to read {}", self.bundle.display()))?;
        let trust = Trust::new(&[self.anchor()?]);
        let verified = if let Some(digest) = digest(&self.artifact)? {
            judge_detached(&bundle, Detached::Sha256(digest.sha256()), &trust)
        } else {
            let file = fs::read(&self.artifact)
                .with_context(|| format!("failed to read {}", self.artifact))?;
            judge_detached(&bundle, Detached::Bytes(&file), &trust)
        };
        let verified = verified.map_err(anyhow::Error::msg)?;
        for one in &verified {
            if self.accepts(one) {
                return Ok(());
            }
        }
        let signer = verified.first().map(|one| one.signer.to_string());
        bail!(
            "it verifies, but it is by {}, or in no log",
            signer.unwrap_or_default()
        )
    }

    fn anchor(&self) -> anyhow::Result<Anchor> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
        };
        let key = self.key.as_ref().map(|path| {
            parse_key(&read(path)?).with_context(|| format!("failed to use {}", path.display()))
        });
        let root = match (&self.trusted_root, self.staging) {
            (Some(path), _) => RootText::new(&read(path)?),
            (None, true) => RootText::new(PUBLIC_STAGING_ROOT),
            (None, false) => RootText::new(PUBLIC_GOOD_ROOT),
        };
        Ok(Anchor {
            key: key.transpose()?,
            root: Some(root),
        })
    }

    /// The suite asks for a log entry also where a managed key signed.
    fn accepts(&self, verified: &Verified) -> bool {
        let by_whom = match &verified.signer {
            Signer::Key(_) => self.key.is_some(),
            Signer::Identity(Identity {
                issuer,
                subject,
                claims: _,
            }) => {
                self.certificate_identity.as_ref() == Some(subject)
                    && self.certificate_oidc_issuer.as_ref() == Some(issuer)
            }
        };
        by_whom && verified.logged
    }
}

/// The digest, where the artifact is named by one: the protocol tells it from a file by its prefix.
fn digest(artifact: &str) -> anyhow::Result<Option<Digest>> {
    if !artifact.starts_with("sha256:") {
        ensure!(!artifact.is_empty(), "failed to read the artifact: no name");
        return Ok(None);
    }
    let digest = Digest::parse(artifact);
    digest
        .map(Some)
        .with_context(|| format!("failed to read {artifact}"))
}
