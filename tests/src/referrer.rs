//! Forging: putting the signature of one image onto another, as an attacker with push rights would.

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::image::Image;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Copies every referrer of `from` (signature and attestation bundles) so that it names `to` as its
/// subject. Both must be in the same repository. Answers how many there were.
///
/// The signed content is unchanged, so it still speaks of `from`: a verifier must see that.
pub async fn copy_referrers(from: &Image, to: &Image) -> anyhow::Result<usize> {
    ensure!(
        from.repository == to.repository,
        "referrers stay in their repository"
    );
    let repository = Repository::new(from)?;
    let subject = repository.descriptor(&to.digest).await?;
    let (referrers, by_tag) = repository.referrers(&from.digest).await?;
    let mut copies = Vec::new();
    for referrer in &referrers {
        let digest = referrer["digest"]
            .as_str()
            .context("a referrer has no digest")?;
        let mut manifest: Value = repository.manifest(digest).await?;
        set(&mut manifest, "subject", subject.clone())?;
        let bytes = manifest.to_string().into_bytes();
        let mut copy = referrer.clone();
        set(&mut copy, "digest", json!(sha256(&bytes)))?;
        set(&mut copy, "size", json!(bytes.len()))?;
        repository
            .put_manifest(&sha256(&bytes), MANIFEST, bytes)
            .await?;
        copies.push(copy);
    }
    if by_tag {
        let (mut all, _) = repository.referrers(&to.digest).await?;
        all.extend(copies);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": all });
        let tag = to.digest.replace(':', "-");
        repository
            .put_manifest(&tag, INDEX, index.to_string().into_bytes())
            .await?;
    }
    Ok(referrers.len())
}

/// The Sigstore bundles of an image, each as the bytes that its registry keeps.
pub async fn bundles(image: &Image) -> anyhow::Result<Vec<Vec<u8>>> {
    let repository = Repository::new(image)?;
    let mut bundles = Vec::new();
    for referrer in repository.referrers(&image.digest).await?.0 {
        let digest = text(&referrer, "/digest")?;
        let manifest = repository.manifest(digest).await?;
        let layer = text(&manifest, "/layers/0/digest")?;
        let reply = repository.get(&format!("blobs/{layer}")).await?;
        ensure!(reply.status().is_success(), "there is no blob {layer}");
        let bytes = reply.bytes().await.context("failed to read a bundle")?;
        bundles.push(bytes.to_vec());
    }
    Ok(bundles)
}

/// Copies the legacy signature (`suffix` `sig`) or attestation (`att`) tag of `from` to `to`.
pub async fn copy_legacy_tag(from: &Image, to: &Image, suffix: &str) -> anyhow::Result<()> {
    ensure!(
        from.repository == to.repository,
        "tags are copied within their repository"
    );
    let repository = Repository::new(from)?;
    let tag = |image: &Image| format!("{}.{suffix}", image.digest.replace(':', "-"));
    let reply = repository.get(&format!("manifests/{}", tag(from))).await?;
    ensure!(
        reply.status().is_success(),
        "{from} has no tag {}",
        tag(from)
    );
    let media_type = content_type(&reply);
    let bytes = reply.bytes().await.context("failed to read a manifest")?;
    repository
        .put_manifest(&tag(to), &media_type, bytes.to_vec())
        .await
}

/// Deletes what is attached to an image by this predicate type, as anybody with push rights could.
/// Answers how many there were.
pub async fn withdraw(image: &Image, predicate: &str) -> anyhow::Result<usize> {
    let repository = Repository::new(image)?;
    let mut withdrawn = 0;
    for referrer in repository.referrers(&image.digest).await?.0 {
        let digest = text(&referrer, "/digest")?;
        let manifest = repository.manifest(digest).await?;
        let named = text(&manifest, "/annotations/dev.sigstore.bundle.predicateType");
        if named.is_ok_and(|named| named == predicate) {
            repository.delete_manifest(digest).await?;
            withdrawn += 1;
        }
    }
    Ok(withdrawn)
}

/// Deletes the manifest of an image.
pub async fn delete(image: &Image) -> anyhow::Result<()> {
    Repository::new(image)?.delete_manifest(&image.digest).await
}

/// A repository, spoken to over plain HTTP.
pub(crate) struct Repository {
    client: Client,
    url: String,
}

impl Repository {
    pub(crate) fn new(image: &Image) -> anyhow::Result<Self> {
        let (host, path) = image
            .repository
            .split_once('/')
            .context("the repository names no host")?;
        let client = Client::builder()
            .no_proxy()
            .build()
            .context("failed to make a client")?;
        Ok(Self {
            client,
            url: format!("http://{host}/v2/{path}"),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let accepted =
            format!("{MANIFEST}, {INDEX}, application/vnd.docker.distribution.manifest.v2+json");
        self.client
            .get(format!("{}/{path}", self.url))
            .header(header::ACCEPT, accepted)
            .send()
            .await
            .with_context(|| format!("failed to read {path}"))
    }

    async fn manifest(&self, reference: &str) -> anyhow::Result<Value> {
        let reply = self.get(&format!("manifests/{reference}")).await?;
        ensure!(
            reply.status().is_success(),
            "there is no manifest {reference}"
        );
        parse(reply).await
    }

    /// The descriptor of a manifest, as a `subject` field wants it.
    async fn descriptor(&self, digest: &str) -> anyhow::Result<Value> {
        let reply = self.get(&format!("manifests/{digest}")).await?;
        ensure!(reply.status().is_success(), "there is no manifest {digest}");
        let media_type = content_type(&reply);
        let size = reply
            .bytes()
            .await
            .context("failed to read a manifest")?
            .len();
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": size }))
    }

    /// The referrers of a digest, and whether they came from the fallback tag.
    pub(crate) async fn referrers(&self, digest: &str) -> anyhow::Result<(Vec<Value>, bool)> {
        let reply = self.get(&format!("referrers/{digest}")).await?;
        let (reply, by_tag) = if reply.status() == StatusCode::NOT_FOUND {
            (
                self.get(&format!("manifests/{}", digest.replace(':', "-")))
                    .await?,
                true,
            )
        } else {
            (reply, false)
        };
        if by_tag && reply.status() == StatusCode::NOT_FOUND {
            return Ok((Vec::new(), true));
        }
        ensure!(
            reply.status().is_success(),
            "the registry answered {}",
            reply.status()
        );
        let index = parse(reply).await?;
        let manifests = index
            .get("manifests")
            .and_then(Value::as_array)
            .context("the index has no manifests")?;
        Ok((manifests.clone(), by_tag))
    }

    async fn delete_manifest(&self, reference: &str) -> anyhow::Result<()> {
        let reply = self
            .client
            .delete(format!("{}/manifests/{reference}", self.url))
            .send()
            .await
            .with_context(|| format!("failed to delete {reference}"))?;
        ensure!(
            reply.status().is_success(),
            "the registry refused to delete {reference}: {}",
            reply.status()
        );
        Ok(())
    }

    async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<()> {
        let reply = self
            .client
            .put(format!("{}/manifests/{reference}", self.url))
            .header(header::CONTENT_TYPE, media_type)
            .body(bytes)
            .send()
            .await
            .with_context(|| format!("failed to push {reference}"))?;
        if !reply.status().is_success() {
            bail!("the registry refused {reference}: {}", reply.status());
        }
        Ok(())
    }
}

/// Sets one field of a JSON object.
pub(crate) fn set(object: &mut Value, field: &str, value: Value) -> anyhow::Result<()> {
    let fields = object.as_object_mut().context("expected a JSON object")?;
    fields.insert(field.to_owned(), value);
    Ok(())
}

/// The text at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.with_context(|| format!("there is no text at {pointer}"))
}

async fn parse(reply: Response) -> anyhow::Result<Value> {
    let bytes = reply.bytes().await.context("failed to read a manifest")?;
    serde_json::from_slice(&bytes).context("failed to parse a manifest")
}

pub(crate) fn content_type(reply: &Response) -> String {
    let value = reply
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or(MANIFEST).to_owned()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
