//! Images and signed statements made by hand, many a second: cosign takes a tenth of a second for
//! each. cosign verifies what is made here.

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::image::Image;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// A P-256 key pair in memory.
pub struct Key {
    pair: EcdsaKeyPair,
    /// The public key, as policies and `cosign --key` take it.
    pub pem: String,
    hint: String,
}

impl Key {
    /// A new one.
    pub fn generate() -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .ok()
            .context("failed to make a key pair")?;
        let der: Result<PublicKeyX509Der<'_>, _> = pair.public_key().as_der();
        let der = der.ok().context("failed to encode a public key")?;
        let body = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..body.len())
            .step_by(64)
            .filter_map(|at| body.get(at..body.len().min(at + 64)))
            .collect();
        let lines = lines.join("\n");
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
        let hint = STANDARD.encode(Sha256::digest(der.as_ref()));
        Ok(Self { pair, pem, hint })
    }

    /// A bundle with the statement that `predicate` holds of the image.
    pub fn attest(
        &self,
        image: &Image,
        predicate_type: &str,
        predicate: &Value,
    ) -> anyhow::Result<Value> {
        let digest = image.digest.trim_start_matches("sha256:");
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": image.repository, "digest": {"sha256": digest}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        })
        .to_string();
        // Pre-authentication encoding of the DSSE specification.
        let message = format!(
            "DSSEv1 {} {IN_TOTO} {} {statement}",
            IN_TOTO.len(),
            statement.len()
        );
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .ok()
            .context("failed to sign")?;
        Ok(json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}},
            "dsseEnvelope": {
                "payloadType": IN_TOTO,
                "payload": STANDARD.encode(&statement),
                "signatures": [{"sig": STANDARD.encode(signature.as_ref())}],
            },
        }))
    }
}

/// A repository of a registry, written to over plain HTTP.
pub struct Repository {
    client: Client,
    host: String,
    path: String,
}

impl Repository {
    /// The repository `path` at `host` (`127.0.0.1:PORT`).
    pub fn new(host: &str, path: &str) -> anyhow::Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .build()
            .context("failed to make a client")?;
        Ok(Self {
            client,
            host: host.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Pushes an image that holds nothing but the `marker` in its annotations.
    pub async fn push(&self, marker: &str) -> anyhow::Result<Image> {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.empty().await?, "layers": [self.empty().await?],
            "annotations": {"org.opencontainers.image.title": marker},
        });
        let digest = self.manifest(&manifest).await?;
        Ok(Image {
            repository: format!("{}/{}", self.host, self.path),
            digest,
        })
    }

    /// Attaches a bundle to an image as a referrer, as cosign 3 does.
    pub async fn attach(&self, image: &Image, bundle: &Value) -> anyhow::Result<()> {
        let layer = self.blob(bundle.to_string().into_bytes(), BUNDLE).await?;
        let url = self.url(&format!("manifests/{}", image.digest));
        let reply = self.client.get(url).header(header::ACCEPT, MANIFEST);
        let reply = reply.send().await.context("failed to read the image")?;
        ensure!(reply.status().is_success(), "the image is not there");
        let size = reply
            .bytes()
            .await
            .context("failed to read the image")?
            .len();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
            "config": self.empty().await?, "layers": [layer],
            "subject": {"mediaType": MANIFEST, "digest": image.digest, "size": size},
            "annotations": {"dev.sigstore.bundle.content": "dsse-envelope"},
        });
        self.manifest(&manifest).await?;
        Ok(())
    }

    async fn empty(&self) -> anyhow::Result<Value> {
        self.blob(b"{}".to_vec(), EMPTY).await
    }

    /// Uploads a blob and gives its descriptor.
    pub(crate) async fn blob(&self, bytes: Vec<u8>, media_type: &str) -> anyhow::Result<Value> {
        let (digest, size) = (sha256(&bytes), bytes.len());
        let start = self.client.post(self.url("blobs/uploads/"));
        let start = start.send().await.context("failed to begin an upload")?;
        let location = start.headers().get(header::LOCATION);
        let location = location
            .and_then(|location| location.to_str().ok())
            .context("the registry named no place to upload to")?;
        let mut url = reqwest::Url::parse(&format!("http://{}/", self.host))
            .and_then(|host| host.join(location))
            .context("the place to upload to is no URL")?;
        url.query_pairs_mut().append_pair("digest", &digest);
        let reply = self.client.put(url).body(bytes).send().await;
        let reply = reply.context("failed to upload a blob")?;
        ensure!(reply.status().is_success(), "a blob: {}", reply.status());
        Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
    }

    async fn manifest(&self, manifest: &Value) -> anyhow::Result<String> {
        let bytes = manifest.to_string().into_bytes();
        let digest = sha256(&bytes);
        self.put(&digest, MANIFEST, bytes).await?;
        Ok(digest)
    }

    /// Puts a manifest under its digest or a tag.
    pub(crate) async fn put(
        &self,
        reference: &str,
        media_type: &str,
        manifest: Vec<u8>,
    ) -> anyhow::Result<()> {
        let put = self.client.put(self.url(&format!("manifests/{reference}")));
        let put = put.header(header::CONTENT_TYPE, media_type).body(manifest);
        let reply = put.send().await.context("failed to push a manifest")?;
        if !reply.status().is_success() {
            bail!("the registry refused a manifest: {}", reply.status());
        }
        Ok(())
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/v2/{}/{rest}", self.host, self.path)
    }
}

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
