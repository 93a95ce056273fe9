//! What the tests share: two control planes, each started when a test first asks for it.
//!
//! - The *bed* has everything on it: operator, registries, keys, people. Tests run on it side by
//!   side, each in namespaces of its own; an exclusive one runs alone.
//! - The *bare* control plane has the chart and no operator. One test at a time does with it what
//!   it likes: takes guards away, plays the operator, starts one and kills it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use libtest_mimic::{Failed, Trial};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cluster::{Cluster, ClusterOptions, NAMESPACE, Person};
use lockmaster_tests::product::Product;
use lockmaster_tests::progress;
use lockmaster_tests::tools::Tools;
use tokio::runtime::Runtime;

use crate::guard_cases::{GUARDS, probe};

/// How long the guards may take until they bite; a tenth of a second is usual.
const PATIENCE: Duration = Duration::from_secs(20);

/// A control plane with the chart on it, and people without any right.
pub(crate) struct Bare {
    pub(crate) cluster: Cluster,
    /// alice@corp, in `release-managers`.
    pub(crate) alice: Person,
    /// bob@corp, in `developers`.
    pub(crate) bob: Person,
    /// carol@corp, in `release-managers`.
    pub(crate) carol: Person,
    /// The operator's ServiceAccount, with the chart's rights.
    pub(crate) account: Person,
}

/// The control planes of this process.
#[derive(Clone)]
pub(crate) struct Beds(Arc<Shared>);

struct Shared {
    bed: OnceLock<Result<RwLock<Bed>, String>>,
    bare: Mutex<Option<Bare>>,
    // Last: everything above has tasks in it.
    runtime: Runtime,
}

impl Beds {
    /// Nothing is started yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Shared {
            bed: OnceLock::new(),
            bare: Mutex::new(None),
            runtime: Runtime::new().context("failed to start a runtime")?,
        })))
    }

    /// A test that needs the programs and no control plane.
    pub(crate) fn none<F>(&self, name: &str, test: F) -> Trial
    where
        F: AsyncFnOnce(&Tools, &Product) -> anyhow::Result<()> + Send + 'static,
    {
        let beds = self.clone();
        Trial::test(name, move || {
            let (tools, product) = (Tools::ensure(), Product::build());
            let (tools, product) = (tools.map_err(failed)?, product.map_err(failed)?);
            let runtime = &beds.0.runtime;
            runtime.block_on(test(&tools, &product)).map_err(failed)
        })
    }

    /// A test on the bed, beside others.
    pub(crate) fn shared<F>(&self, name: &str, test: F) -> Trial
    where
        F: AsyncFnOnce(&Bed) -> anyhow::Result<()> + Send + 'static,
    {
        let beds = self.clone();
        Trial::test(name, move || {
            let bed = beds.0.bed().map_err(failed)?;
            let bed = bed.read().unwrap_or_else(PoisonError::into_inner);
            beds.0.runtime.block_on(test(&bed)).map_err(failed)
        })
    }

    /// A test on the bed, while no other runs on it.
    pub(crate) fn exclusive<F>(&self, name: &str, test: F) -> Trial
    where
        F: AsyncFnOnce(&Bed) -> anyhow::Result<()> + Send + 'static,
    {
        let beds = self.clone();
        Trial::test(name, move || {
            let bed = beds.0.bed().map_err(failed)?;
            let bed = bed.write().unwrap_or_else(PoisonError::into_inner);
            beds.0.runtime.block_on(test(&bed)).map_err(failed)
        })
    }

    /// A test on the bare control plane, which it has for itself.
    pub(crate) fn bare<F>(&self, name: &str, test: F) -> Trial
    where
        F: AsyncFnOnce(&Bare) -> anyhow::Result<()> + Send + 'static,
    {
        let beds = self.clone();
        Trial::test(name, move || {
            let mut bare = beds.0.bare.lock().unwrap_or_else(PoisonError::into_inner);
            let runtime = &beds.0.runtime;
            let bare = match bare.as_mut() {
                Some(bare) => bare,
                None => bare.insert(runtime.block_on(Bare::start()).map_err(failed)?),
            };
            runtime.block_on(test(bare)).map_err(failed)
        })
    }
}

impl Shared {
    fn bed(&self) -> anyhow::Result<&RwLock<Bed>> {
        let start = || {
            let started = Instant::now();
            let bed = self.start().map_err(|error| format!("{error:#}"))?;
            progress::line(&format!("the bed is ready after {:?}", started.elapsed()));
            Ok(RwLock::new(bed))
        };
        let bed = self.bed.get_or_init(start).as_ref();
        bed.map_err(|error| anyhow!("there is no test bed: {error}"))
    }

    fn start(&self) -> anyhow::Result<Bed> {
        let (tools, product) = (Tools::ensure()?, Product::build()?);
        self.runtime.block_on(Bed::start(&tools, &product))
    }
}

impl Bare {
    /// Ready as soon as every guard bites.
    async fn start() -> anyhow::Result<Self> {
        let tools = Tools::ensure()?;
        let started = Instant::now();
        let options = ClusterOptions {
            audit: true,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&tools, options).await?;
        cluster.install_chart(&[]).await?;
        let account = cluster.service_account(NAMESPACE, "lockmaster").await?;
        let deadline = Instant::now() + PATIENCE;
        for guard in GUARDS {
            while let Err(answer) = probe(&account, guard).await {
                if Instant::now() > deadline {
                    bail!("the guard {guard} is not in force: {answer:#}");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let elapsed = started.elapsed();
        progress::line(&format!(
            "the bare control plane is ready after {elapsed:?}"
        ));
        Ok(Self {
            alice: cluster.person("alice@corp", &["release-managers"]).await?,
            bob: cluster.person("bob@corp", &["developers"]).await?,
            carol: cluster.person("carol@corp", &["release-managers"]).await?,
            account,
            cluster,
        })
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "this is the signature that map_err wants"
)]
fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
