//! A registry on loopback that tells the truth until a test makes it lie, and counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use lockmaster_core::release::{Digest, ImageReference};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::{Bounds, Config, Credentials, Limits, Registry, RegistryClient, Source};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// One answer, and the ways in which it may be wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Announces more bytes than it sends.
    pub(crate) truncated: bool,
    /// Sends zeros, in chunks, for ever.
    pub(crate) endless: bool,
    /// Closes the connection instead of answering.
    pub(crate) silent: bool,
    pub(crate) delay: Duration,
}

impl Reply {
    pub(crate) fn ok(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self {
            status: 200,
            headers,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Default)]
struct State {
    replies: BTreeMap<String, Reply>,
    /// Answers used once, before the others.
    once: BTreeMap<String, VecDeque<Reply>>,
    /// Below these paths, who does not say this is answered with that challenge.
    protected: Vec<(String, String, String)>,
    requests: Vec<Asked>,
    user_agents: Vec<String>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

/// The registry; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct LyingRegistry {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl LyingRegistry {
    pub(crate) async fn start() -> Self {
        Self::listen(None).await
    }

    /// The same over TLS, with a certificate for `localhost` and 127.0.0.1 that nobody else has
    /// signed; it, as PEM, is the second.
    pub(crate) async fn start_tls() -> (Self, String) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::listen(Some(acceptor)).await, made.cert.pem())
    }

    async fn listen(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registry = Self {
            address,
            state: Arc::default(),
        };
        let serving = registry.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serving, acceptor) = (serving.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serving.serve(stream).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serving.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        registry
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) <= 2 {
                break;
            }
            lines.push(line);
        }
        let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else {
            return;
        };
        let header = |name: &str| {
            let values = lines.iter().filter_map(|line| line.strip_prefix(name));
            values.map(|value| value.trim().to_owned()).next()
        };
        let asked = Asked {
            path: path.to_owned(),
            authorization: header("authorization: "),
        };
        let reply = self.answer(asked, header("user-agent: "));
        tokio::time::sleep(reply.delay).await;
        if !reply.silent {
            let _ = send(&mut stream, &reply).await;
        }
        let _ = stream.shutdown().await;
    }

    fn answer(&self, asked: Asked, user_agent: Option<String>) -> Reply {
        let mut state = self.state.lock().unwrap();
        state.user_agents.extend(user_agent);
        state.requests.push(asked.clone());
        let Asked {
            path,
            authorization,
        } = asked;
        let mut protected = state.protected.iter();
        let refused = protected.find(|(below, expected, _)| {
            path.starts_with(below.as_str()) && authorization.as_ref() != Some(expected)
        });
        if let Some((_, _, challenge)) = refused {
            return Reply::status(401).header("WWW-Authenticate", challenge);
        }
        let once = state.once.get_mut(&path).and_then(VecDeque::pop_front);
        once.or_else(|| state.replies.get(&path).cloned())
            .unwrap_or(Reply::status(404))
    }

    /// Answers only to who says this, below this path; to others with a challenge.
    pub(crate) fn protect(&self, below: &str, expected: &str, challenge: &str) {
        let rule = (below.to_owned(), expected.to_owned(), challenge.to_owned());
        let mut state = self.state.lock().unwrap();
        state.protected.retain(|(other, ..)| other != below);
        state.protected.push(rule);
    }

    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.state
            .lock()
            .unwrap()
            .replies
            .insert(path.to_owned(), reply);
    }

    pub(crate) fn set_once(&self, path: &str, reply: Reply) {
        self.state
            .lock()
            .unwrap()
            .once
            .entry(path.to_owned())
            .or_default()
            .push_back(reply);
    }

    /// What it answers to a request for this path.
    pub(crate) fn reply(&self, path: &str) -> Reply {
        self.state.lock().unwrap().replies[path].clone()
    }

    /// The paths asked for since the last call, sorted.
    pub(crate) fn take_requests(&self) -> Vec<String> {
        let asked = self.take_asked();
        asked.into_iter().map(|one| one.path).collect()
    }

    /// The same with what they said who asks.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        let mut requests = std::mem::take(&mut self.state.lock().unwrap().requests);
        requests.sort();
        requests
    }

    pub(crate) fn user_agents(&self) -> Vec<String> {
        self.state.lock().unwrap().user_agents.clone()
    }

    pub(crate) fn client(&self) -> RegistryClient {
        self.client_with(Duration::from_secs(5), 1 << 20)
    }

    pub(crate) fn client_with(&self, deadline: Duration, cache_bytes: usize) -> RegistryClient {
        client(&[self], deadline, cache_bytes, 32 << 20)
    }

    /// Holds a manifest under its digest; returns the digest.
    pub(crate) fn manifest(&self, manifest: &Value) -> Digest {
        let body = manifest.to_string();
        let digest = Digest::of(body.as_bytes());
        let content_type = manifest["mediaType"]
            .as_str()
            .unwrap_or(MANIFEST)
            .to_owned();
        self.set(
            &format!("/v2/shop/checkout/manifests/{digest}"),
            Reply::ok(&content_type, body),
        );
        digest
    }

    /// Holds an image; returns its reference.
    pub(crate) fn image(&self) -> ImageReference {
        let digest = self.manifest(&json!({"mediaType": MANIFEST, "config": {}, "layers": []}));
        ImageReference::parse(&format!("{}/shop/checkout@{digest}", self.address)).unwrap()
    }

    /// Holds a bundle and the manifest that carries it; returns the carrier's descriptor.
    pub(crate) fn bundle(&self, bundle: &[u8], predicate: &str) -> Value {
        let digest = Digest::of(bundle);
        let blob = Reply::ok("application/octet-stream", bundle);
        self.set(&format!("/v2/shop/checkout/blobs/{digest}"), blob);
        let carrier = json!({
            "mediaType": MANIFEST,
            "artifactType": BUNDLE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json"},
            "layers": [{"mediaType": BUNDLE, "digest": digest, "size": bundle.len()}],
            "annotations": {"dev.sigstore.bundle.predicateType": predicate},
        });
        let size = carrier.to_string().len();
        let digest = self.manifest(&carrier);
        json!({
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.oci.empty.v1+json",
            "digest": digest,
            "size": size,
        })
    }

    /// Holds a manifest under the tag `sha256-<hex>.<suffix>`, with a layer for each of these bytes
    /// and annotations.
    pub(crate) fn older_format(
        &self,
        image: &ImageReference,
        suffix: &str,
        layers: &[(&[u8], Value)],
    ) {
        let media_type = if suffix == "sig" {
            SIMPLE_SIGNING
        } else {
            ENVELOPE
        };
        let layers = layers.iter().map(|(bytes, annotations)| {
            let digest = Digest::of(bytes);
            let blob = Reply::ok("application/octet-stream", *bytes);
            self.set(&format!("/v2/shop/checkout/blobs/{digest}"), blob);
            let size = bytes.len();
            json!({"mediaType": media_type, "digest": digest, "size": size, "annotations": annotations})
        });
        let layers: Vec<_> = layers.collect();
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": layers});
        let path = format!("{}.{suffix}", fallback_path(image));
        self.set(&path, Reply::ok(MANIFEST, manifest.to_string()));
    }

    /// Lists these referrers of the image.
    pub(crate) fn referrers(&self, image: &ImageReference, descriptors: &[Value]) {
        self.set(&referrers_path(image), Reply::ok(INDEX, index(descriptors)));
    }
}

/// A client of these registries, with limits: a deadline, bytes cached, bytes read at a time.
pub(crate) fn client(
    registries: &[&LyingRegistry],
    deadline: Duration,
    cache: usize,
    reading: usize,
) -> RegistryClient {
    let addresses: Vec<_> = registries.iter().map(|r| r.address.as_str()).collect();
    let registries = addresses.into_iter().map(Registry::plain_http);
    client_of(registries.collect(), deadline, cache, reading)
}

/// The same of registries that are reached as these say.
pub(crate) fn client_of(
    registries: Vec<Registry>,
    deadline: Duration,
    cache: usize,
    reading: usize,
) -> RegistryClient {
    let bounds = Bounds {
        deadline,
        cache,
        reading,
        pause: Duration::from_millis(2),
    };
    let config = Config {
        registries,
        user_agent: "test".to_owned(),
    };
    RegistryClient::with_bounds(&config, &bounds, Box::new(|_, _| {})).unwrap()
}

/// Lets a namespace have asked so much of an image's registry, as far as its share goes.
pub(crate) fn use_up(
    client: &RegistryClient,
    image: &ImageReference,
    namespace: &str,
    requests: u32,
) {
    let Source::Registries(transport) = &client.inner.source else {
        panic!("a layout gives no shares")
    };
    let limits = client.inner.limits(image);
    for _ in 0..requests {
        // What is taken is taken, though nobody waits for it.
        let waiting = transport.traffic.wait(image.registry(), namespace, limits);
        let _ = waiting.now_or_never();
    }
}

/// A registry that gives each namespace this many requests at once, and one in a second after that.
pub(crate) fn sparing(host: &str, burst: u32) -> Registry {
    let limits = Limits {
        requests_per_second: 1,
        burst,
        images_at_a_time: 8,
        ..Limits::default()
    };
    Registry {
        limits,
        ..Registry::plain_http(host)
    }
}

/// Nobody's credentials.
pub(crate) fn nobody() -> Credentials {
    Credentials::anonymous("shop")
}

/// A configuration that reaches these registries by plain HTTP.
pub(crate) fn config(plain_http: &[&str]) -> Config {
    Config {
        registries: plain_http
            .iter()
            .copied()
            .map(Registry::plain_http)
            .collect(),
        user_agent: "test".to_owned(),
    }
}

pub(crate) fn referrers_path(image: &ImageReference) -> String {
    format!("/v2/shop/checkout/referrers/{}", image.digest())
}

pub(crate) fn fallback_path(image: &ImageReference) -> String {
    format!(
        "/v2/shop/checkout/manifests/sha256-{}",
        image.digest().hexadecimal()
    )
}

pub(crate) fn subject_path(image: &ImageReference) -> String {
    format!("/v2/shop/checkout/manifests/{}", image.digest())
}

pub(crate) fn index(descriptors: &[Value]) -> String {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors}).to_string()
}

async fn send(
    stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    reply: &Reply,
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head = format!("{head}{name}: {value}\r\n");
    }
    if reply.endless {
        stream
            .write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
            .await?;
        let chunk = [b"10000\r\n".as_slice(), &vec![0; 0x10000], b"\r\n"].concat();
        loop {
            stream.write_all(&chunk).await?;
        }
    }
    let length = reply.body.len() + if reply.truncated { 100 } else { 0 };
    stream
        .write_all(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes())
        .await?;
    stream.write_all(&reply.body).await?;
    stream.flush().await
}
