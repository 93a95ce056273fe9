//! What cosign says: a process for each question.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::Answer;
use super::question::{By, Question, Wanted};
use crate::cosign::Cosign as Program;
use crate::image::Image;
use crate::tools::Tools;

/// What cosign prints when it could not ask at all; that would be no verdict.
const TROUBLE: [&str; 5] = [
    "connection refused",
    "connection reset",
    "no such host",
    "i/o timeout",
    "unknown flag",
];

/// cosign, with a directory for what it reads from files.
pub(super) struct Cosign {
    program: Program,
    directory: PathBuf,
}

impl Cosign {
    pub(super) fn new(tools: &Tools, directory: &Path) -> Self {
        Self {
            program: Program::new(tools, directory),
            directory: directory.to_owned(),
        }
    }

    /// Asks about an image; a signature over its manifest is in a file, as cosign wants it.
    pub(super) async fn ask(
        &self,
        question: &Question,
        image: &Image,
        manifest: &[u8],
        bundle: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut arguments = words(question.of);
        arguments.push(match &question.root {
            None => "--insecure-ignore-tlog=true".to_owned(),
            Some(root) => format!("--trusted-root={}", root.path.display()),
        });
        match &question.by {
            By::Key(key) => {
                arguments.push(format!("--key={}", key.path.display()));
                let hash = key
                    .hash
                    .map(|hash| format!("--signature-digest-algorithm={hash}"));
                arguments.extend(hash);
            }
            By::Identity { subject, issuer } => arguments.extend([
                format!("--certificate-identity={subject}"),
                format!("--certificate-oidc-issuer={issuer}"),
            ]),
        }
        match question.of {
            Wanted::Signature | Wanted::Provenance => arguments.push(image.reference()),
            Wanted::Message => arguments.extend(self.files(image, manifest, bundle)?),
        }
        let output = self.program.run(&arguments).await?;
        if output.status.is_none() || TROUBLE.iter().any(|text| output.stderr.contains(text)) {
            bail!("cosign {}: {}", arguments.join(" "), output.stderr);
        }
        let last = output.stderr.trim().lines().last().unwrap_or_default();
        Ok(Answer {
            accepted: output.success(),
            says: last.to_owned(),
        })
    }

    fn files(&self, image: &Image, manifest: &[u8], bundle: &[u8]) -> anyhow::Result<[String; 2]> {
        let name = image.repository.replace(['/', ':'], "-");
        let file = |end: &str| self.directory.join(format!("{name}{end}"));
        let (message, with) = (file(".json"), file(".sigstore.json"));
        std::fs::write(&message, manifest).context("failed to write a manifest")?;
        std::fs::write(&with, bundle).context("failed to write a bundle")?;
        let bundle = format!("--bundle={}", with.display());
        Ok([bundle, message.display().to_string()])
    }
}

fn words(wanted: Wanted) -> Vec<String> {
    let words: &[&str] = match wanted {
        Wanted::Signature => &["verify", "--allow-insecure-registry", "--offline=true"],
        Wanted::Message => &["verify-blob"],
        Wanted::Provenance => &[
            "verify-attestation",
            "--type=slsaprovenance1",
            "--allow-insecure-registry",
            "--offline=true",
        ],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}
