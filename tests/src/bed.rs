//! Everything running at once: control plane, registries, keys, people, and the operator with the
//! chart's rights and nothing more.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::OnceCell;

use crate::cluster::{Cluster, ClusterOptions, Person};
use crate::cosign::{Cosign, SigningKey};
use crate::image::Image;
use crate::operator::{Operator, OperatorOptions};
use crate::product::Product;
use crate::proxy::Proxy;
use crate::registry::{Registry, TokenRegistry};
use crate::sigstore::Sigstore;
use crate::tools::Tools;

/// The people of the scenarios, with real client certificates.
pub struct People {
    /// bob@corp, who requests.
    pub bob: Person,
    /// alice@corp, a release manager.
    pub alice: Person,
    /// carol@corp, another one.
    pub carol: Person,
    /// mallory@corp, who may edit everything in the namespaces of the shop, and promote nothing.
    pub mallory: Person,
}

/// Keys of those who sign.
pub struct Keys {
    /// Signs images; the policies' authority `release`.
    pub release: SigningKey,
    /// Signs what the build says; the policies' authority `ci`.
    pub ci: SigningKey,
    /// Nobody's authority.
    pub stranger: SigningKey,
}

/// Everything running at once.
pub struct Bed {
    /// Programs.
    pub tools: Tools,
    /// The product's own programs.
    pub product: Product,
    /// The control plane.
    pub cluster: Cluster,
    /// Between the operator and the API server: holds, counts and cuts what passes.
    pub proxy: Proxy,
    /// A registry with the referrers API.
    pub registry: Registry,
    /// A registry without it.
    pub fallback: Registry,
    /// Wants a name and a password; the operator may speak to it. It runs from the first
    /// [`Registry::started`] on.
    pub password_registry: Registry,
    /// Wants a token; the operator may speak to it and to its token service. Likewise.
    pub token_registry: TokenRegistry,
    /// Signs.
    pub cosign: Cosign,
    /// With these.
    pub keys: Keys,
    /// People.
    pub people: People,
    /// An image whose pods never get ready.
    pub crash: Image,
    /// The operator.
    pub operator: tokio::sync::Mutex<Operator>,
    /// How long it took to start all of it.
    pub start_took: Duration,
    /// `HOST:PORT` of its metrics, also after a restart.
    pub metrics: String,
    /// Its log file.
    pub operator_log: PathBuf,
    sigstore: OnceCell<Sigstore>,
}

impl Bed {
    /// Starts all of it.
    pub async fn start(tools: &Tools, product: &Product) -> anyhow::Result<Self> {
        let started = Instant::now();
        let (registry, fallback, password_registry, token_registry) = tokio::try_join!(
            Registry::with_referrers(tools),
            Registry::without_referrers(tools),
            Registry::with_passwords(tools),
            TokenRegistry::new(tools),
        )?;
        let crash = Image::push(tools, &registry, "shop/checkout", "crash").await?;
        let cluster_options = ClusterOptions {
            audit: true,
            crash_digests: vec![crash.digest.clone()],
        };
        let cluster = Cluster::start(tools, cluster_options).await?;
        cluster
            .install_chart(&[])
            .await
            .context("failed to install the chart")?;
        let cosign = Cosign::new(tools, cluster.directory());
        let (release, ci, stranger) = tokio::try_join!(
            cosign.generate_key("release"),
            cosign.generate_key("ci"),
            cosign.generate_key("stranger")
        )?;
        let people = People {
            bob: cluster.person("bob@corp", &["requesters"]).await?,
            alice: cluster.person("alice@corp", &["release-managers"]).await?,
            carol: cluster.person("carol@corp", &["release-managers"]).await?,
            mallory: cluster.person("mallory@corp", &["editors"]).await?,
        };
        let proxy = Proxy::tls(cluster.server(), cluster.authority()).await?;
        let operator = OperatorOptions {
            plain_http_registries: vec![
                registry.address(),
                fallback.address(),
                password_registry.address(),
                token_registry.registry.address(),
            ],
            realms: vec![token_registry.realm()],
            server: Some(proxy.url()),
            // Tests count requests, and ask themselves for what they want verified again.
            arguments: vec!["--reverify-every=168h".into()],
            ..OperatorOptions::default()
        };
        let operator = Operator::start(&cluster, product, &operator).await?;
        Ok(Self {
            tools: tools.clone(),
            product: product.clone(),
            cluster,
            proxy,
            registry,
            fallback,
            password_registry,
            token_registry,
            cosign,
            keys: Keys {
                release,
                ci,
                stranger,
            },
            people,
            crash,
            start_took: started.elapsed(),
            metrics: operator.metrics_address().to_owned(),
            operator_log: operator.log().to_owned(),
            operator: tokio::sync::Mutex::new(operator),
            sigstore: OnceCell::new(),
        })
    }

    /// The private Sigstore: built and started by the test that first asks for it.
    pub async fn sigstore(&self) -> anyhow::Result<&Sigstore> {
        let start = || Sigstore::start(&self.tools);
        self.sigstore.get_or_try_init(start).await
    }
}
