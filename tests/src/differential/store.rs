//! Where the images of the table lie: each in a repository of its own, so that the same signed image
//! can be there many times, each time with something else attached.

use anyhow::Context as _;
use serde_json::{Value, json as object};
use sha2::{Digest as _, Sha256};

use super::json;
use super::mutation::Attached;
use crate::handmade::Repository;
use crate::image::Image;

/// The media type of a bundle, and of the layer that holds one.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The manifest of an image that holds nothing but a name.
pub(super) fn manifest(name: &str) -> Vec<u8> {
    let empty = object!({"mediaType": EMPTY, "digest": sha256(b"{}"), "size": 2});
    let manifest = object!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": empty, "layers": [empty],
        "annotations": {"org.opencontainers.image.title": name},
    });
    manifest.to_string().into_bytes()
}

/// `sha256:` and 64 hexadecimal characters.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A repository with one image.
pub(super) struct Place {
    repository: Repository,
    pub(super) image: Image,
    media_type: String,
    size: usize,
}

impl Place {
    /// Pushes an image to the repository `path` at `host`.
    pub(super) async fn push(host: &str, path: &str, manifest: &[u8]) -> anyhow::Result<Self> {
        let repository = Repository::new(host, path)?;
        repository.blob(b"{}".to_vec(), EMPTY).await?;
        let digest = sha256(manifest);
        let document = serde_json::from_slice(manifest).context("failed to read a manifest")?;
        let media_type = json::text(&document, "/mediaType")?;
        let bytes = manifest.to_vec();
        repository.put(&digest, &media_type, bytes).await?;
        let image = Image {
            repository: format!("{host}/{path}"),
            digest,
        };
        Ok(Self {
            repository,
            image,
            media_type,
            size: manifest.len(),
        })
    }

    /// Attaches a bundle, and all that is to lie beside it.
    pub(super) async fn attach(&self, attached: Attached) -> anyhow::Result<()> {
        let Attached {
            bytes,
            layer_type,
            artifact_type,
            second_layer,
            beside,
        } = attached;
        let mut layers = vec![self.repository.blob(bytes, &layer_type).await?];
        if let Some(bytes) = second_layer {
            layers.push(self.repository.blob(bytes, &layer_type).await?);
        }
        self.refer(&artifact_type, layers).await?;
        for bundle in beside {
            let bytes = bundle.to_string().into_bytes();
            let layer = self.repository.blob(bytes, BUNDLE).await?;
            self.refer(BUNDLE, vec![layer]).await?;
        }
        Ok(())
    }

    async fn refer(&self, artifact_type: &str, layers: Vec<Value>) -> anyhow::Result<()> {
        let config = self.repository.blob(b"{}".to_vec(), EMPTY).await?;
        let manifest = object!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
            "config": config, "layers": layers,
            "subject": {"mediaType": self.media_type, "digest": self.image.digest,
                        "size": self.size},
            "annotations": {"dev.sigstore.bundle.content": "dsse-envelope"},
        });
        let bytes = manifest.to_string().into_bytes();
        let put = self.repository.put(&sha256(&bytes), MANIFEST, bytes).await;
        put.with_context(|| format!("failed to attach to {}", self.image))
    }
}
