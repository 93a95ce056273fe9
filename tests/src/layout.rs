//! An image and what is attached to it as an OCI image layout, as `oras copy --recursive
//! --to-oci-layout` writes it, with the tags of the older formats besides.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::image::Image;
use crate::referrer::{Repository, content_type, set, sha256, text};

/// Copies the image and everything about it into an empty directory.
pub async fn copy(image: &Image, directory: &Path) -> anyhow::Result<Layout> {
    let layout = Layout {
        directory: directory.to_owned(),
    };
    let blobs = directory.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).context("failed to make a layout")?;
    layout.write("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    let repository = Repository::new(image)?;
    let mut listed = vec![layout.hold(&repository, &image.digest).await?];
    for referrer in repository.referrers(&image.digest).await?.0 {
        let digest = text(&referrer, "/digest")?;
        listed.push(layout.hold(&repository, digest).await?);
    }
    for suffix in ["sig", "att"] {
        let tag = format!("{}.{suffix}", image.digest.replace(':', "-"));
        let there = repository.get(&format!("manifests/{tag}")).await?;
        if there.status().is_success() {
            let mut descriptor = layout.hold(&repository, &tag).await?;
            let annotations = json!({"org.opencontainers.image.ref.name": tag});
            set(&mut descriptor, "annotations", annotations)?;
            listed.push(descriptor);
        }
    }
    layout.write(
        "index.json",
        &json!({"schemaVersion": 2, "manifests": listed}),
    )?;
    Ok(layout)
}

/// A layout on disk.
pub struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// The file of a digest (`sha256:…`).
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let name = digest.trim_start_matches("sha256:");
        self.directory.join("blobs/sha256").join(name)
    }

    /// What `index.json` lists.
    pub fn listed(&self) -> anyhow::Result<Vec<Value>> {
        let text = std::fs::read(self.directory.join("index.json")).context("no index.json")?;
        let index: Value = serde_json::from_slice(&text).context("index.json is no JSON")?;
        let manifests = index.get("manifests").and_then(Value::as_array);
        manifests.cloned().context("index.json lists nothing")
    }

    /// A manifest by digest.
    pub fn manifest(&self, digest: &str) -> anyhow::Result<Value> {
        let bytes = std::fs::read(self.blob(digest)).context("no such manifest")?;
        serde_json::from_slice(&bytes).context("a manifest is no JSON")
    }

    fn write(&self, name: &str, value: &Value) -> anyhow::Result<()> {
        std::fs::write(self.directory.join(name), value.to_string())
            .with_context(|| format!("failed to write {name}"))
    }

    /// Copies a manifest with what it consists of; answers its descriptor.
    async fn hold(&self, repository: &Repository, reference: &str) -> anyhow::Result<Value> {
        let reply = repository.get(&format!("manifests/{reference}")).await?;
        ensure!(reply.status().is_success(), "there is no {reference}");
        let media_type = content_type(&reply);
        let bytes = reply.bytes().await.context("failed to read a manifest")?;
        let manifest: Value = serde_json::from_slice(&bytes).context("no manifest")?;
        let layers = manifest.get("layers").and_then(Value::as_array);
        for part in layers.into_iter().flatten().chain(manifest.get("config")) {
            let digest = text(part, "/digest")?;
            let blob = repository.get(&format!("blobs/{digest}")).await?;
            ensure!(blob.status().is_success(), "there is no blob {digest}");
            let blob = blob.bytes().await.context("failed to read a blob")?;
            std::fs::write(self.blob(digest), blob).context("failed to write a blob")?;
        }
        let digest = sha256(&bytes);
        std::fs::write(self.blob(&digest), &bytes).context("failed to write a manifest")?;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
    }
}
