//! Tiny images, each different and each the same in every run.

use anyhow::{Context as _, ensure};

use crate::cluster::run;
use crate::registry::{Account, Registry};
use crate::tools::Tools;

/// The block size of a tar archive.
const BLOCK: usize = 512;

/// An image in a registry, by digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// The repository with its host, `127.0.0.1:PORT/shop/web`.
    pub repository: String,
    /// The digest, `sha256:…`.
    pub digest: String,
}

impl Image {
    /// Makes an image that holds one file with the `marker` in it, and tags it with the marker.
    ///
    /// The digest depends on the marker only: the same in every registry and in every run.
    pub async fn push(
        tools: &Tools,
        registry: &Registry,
        path: &str,
        marker: &str,
    ) -> anyhow::Result<Self> {
        Self::push_as(tools, registry, path, marker, None).await
    }

    /// The same, logged in to a registry that asks who one is.
    pub async fn push_as(
        tools: &Tools,
        registry: &Registry,
        path: &str,
        marker: &str,
        account: Option<&Account>,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("failed to make a directory for a layer")?;
        let layer = directory.path().join("layer.tar");
        std::fs::write(&layer, archive(marker)?).context("failed to write a layer")?;
        let repository = format!("{}/{path}", registry.address());
        let mut command = tokio::process::Command::new(tools.program("crane"));
        command
            .args([
                "append",
                "--new_tag",
                &format!("{repository}:{marker}"),
                "--new_layer",
            ])
            .arg(&layer);
        if let Some(account) = account {
            let config = account.write_docker_config(&registry.address(), directory.path())?;
            command.env("DOCKER_CONFIG", config);
        }
        Self::made(command, repository).await
    }

    /// Makes an index of images for these platforms (`linux/amd64`), each with the marker and its
    /// platform in it; also returns these, in the same order.
    pub async fn push_index(
        tools: &Tools,
        registry: &Registry,
        path: &str,
        marker: &str,
        platforms: &[&str],
    ) -> anyhow::Result<(Self, Vec<Self>)> {
        let mut images = Vec::new();
        for platform in platforms {
            let name = format!("{marker}-{}", platform.replace('/', "-"));
            let plain = Self::push(tools, registry, path, &name).await?;
            let mut command = tokio::process::Command::new(tools.program("crane"));
            let tag = format!("{}:{name}", plain.repository);
            command.args(["mutate", &plain.reference(), "--set-platform", platform]);
            command.args(["--tag", &tag]);
            images.push(Self::made(command, plain.repository).await?);
        }
        let repository = format!("{}/{path}", registry.address());
        let mut command = tokio::process::Command::new(tools.program("crane"));
        command.args([
            "index",
            "append",
            "--tag",
            &format!("{repository}:{marker}"),
        ]);
        for image in &images {
            command.args(["--manifest", &image.reference()]);
        }
        Ok((Self::made(command, repository).await?, images))
    }

    /// What crane made: it prints the reference.
    async fn made(command: tokio::process::Command, repository: String) -> anyhow::Result<Self> {
        let output = run(command, None)
            .await?
            .required("push an image with crane")?;
        let digest = output
            .stdout
            .trim()
            .rsplit_once('@')
            .with_context(|| format!("crane printed no digest: {}", output.stdout))?
            .1
            .to_owned();
        Ok(Self { repository, digest })
    }

    /// `repository@digest`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// The same digest in another repository (`127.0.0.1:PORT/…`).
    #[must_use]
    pub fn in_repository(&self, repository: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            digest: self.digest.clone(),
        }
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}@{}", self.repository, self.digest)
    }
}

/// A tar archive (ustar) with one small file, dated 1970.
fn archive(marker: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(
        marker.len() <= BLOCK,
        "the marker of an image must fit one block"
    );
    let mut header = Vec::with_capacity(BLOCK);
    let mut field = |text: &str, length: usize| {
        let end = header.len() + length;
        header.extend_from_slice(text.as_bytes());
        header.resize(end, 0);
    };
    field("marker", 100);
    field("0000644", 8); // mode
    field("0000000", 8); // owner
    field("0000000", 8); // group
    field(&format!("{:011o}", marker.len()), 12);
    field("00000000000", 12); // modification time
    field("        ", 8); // the checksum counts as spaces while it is computed
    field("0", 1); // a regular file
    field("", 100);
    field("ustar\u{0}00", 8);
    header.resize(BLOCK, 0);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header.splice(148..156, format!("{sum:06o}\u{0} ").into_bytes());
    let mut archive = header;
    archive.extend_from_slice(marker.as_bytes());
    // The rest of the file's block, and the two empty blocks that end an archive.
    archive.resize(4 * BLOCK, 0);
    Ok(archive)
}
