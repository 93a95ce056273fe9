//! Who is measured: the evidence store of the operator with its gates, and three cosign processes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lockmaster_core::decide::Input;
use lockmaster_core::evidence::{Anchor, Evidence};
use lockmaster_core::facts::Observed;
use lockmaster_core::gate::Verdict;
use lockmaster_core::policy::Policy;
use lockmaster_core::release::ImageReference;
use lockmaster_core::snapshot::Snapshot;
use lockmaster_core::{case, gate, gates};
use lockmaster_observe::evidence::{Asker, EvidenceStore};
use lockmaster_observe::observation::policy_content;
use lockmaster_observe::pull_secrets::PullSecrets;
use lockmaster_observe::registry::{Config, Registry, RegistryClient};
use lockmaster_rego::Sandbox;
use lockmaster_verify::parse_key;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::CONCURRENCY;
use super::measure::{Cost, Meter};
use crate::handmade::Key;
use crate::image::Image;
use crate::tools::Tools;

/// The source and the builder that the provenance names, as the example does.
pub(super) const REPOSITORY: &str = "https://git.example/shop/checkout";
pub(super) const BUILDER: &str = "https://ci.example/runners/shop";

/// A promotion that may begin, and all that its gates look at.
const READY: &str = include_str!("../../../examples/ready-to-go/snapshot.yaml");

/// Asks often enough that the median of one evaluation is not that of the first.
const EVALUATIONS: usize = 201;

/// The operator's evidence store, with nothing known yet.
pub(super) struct Lockmaster {
    store: EvidenceStore,
    asker: Asker,
    told: Mutex<UnboundedReceiver<ImageReference>>,
    anchors: Vec<Anchor>,
    snapshot: Snapshot,
}

impl Lockmaster {
    pub(super) fn new(key: &Key, images: &[Image]) -> anyhow::Result<Self> {
        let hosts: BTreeSet<&str> = images.iter().filter_map(host).collect();
        let client = RegistryClient::new(&Config {
            registries: hosts.into_iter().map(Registry::plain_http).collect(),
            user_agent: "lockmaster-benchmark".to_owned(),
        })?;
        let secrets = no_pull_secrets()?;
        let (wake, told) = unbounded_channel();
        let snapshot = ready(key, images)?;
        Ok(Self {
            store: EvidenceStore::new(client, secrets, wake, Box::new(|_, _| {})),
            asker: Asker::of(&snapshot.environment),
            told: Mutex::new(told),
            anchors: vec![Anchor::of_key(parse_key(&key.pem)?)],
            snapshot,
        })
    }

    /// All images cold, and again warm; the gates are asked each time.
    pub(super) async fn time(&self, images: &[Image]) -> anyhow::Result<(Cost, Cost)> {
        let cold = Meter::start()?;
        self.read(images).await?;
        let (cold, warm) = (cold.stop()?, Meter::start()?);
        self.read(images).await?;
        Ok((cold, warm.stop()?))
    }

    /// Reads what is attached to each image and asks the gates that judge it.
    pub(super) async fn read(&self, images: &[Image]) -> anyhow::Result<()> {
        for (image, seen) in self.look(images).await? {
            let Observed::Known(evidence) = seen else {
                bail!("{image}: {seen:?}");
            };
            self.ask(&image, evidence)?;
        }
        Ok(())
    }

    /// How many of the images cannot be read.
    pub(super) async fn refused(&self, images: &[Image]) -> anyhow::Result<usize> {
        let seen = self.look(images).await?;
        let refused = |seen: &Observed<Evidence>| matches!(seen, Observed::Unavailable(_));
        Ok(seen.iter().filter(|(_, seen)| refused(seen)).count())
    }

    /// What is known of each image, once it is.
    async fn look(
        &self,
        images: &[Image],
    ) -> anyhow::Result<Vec<(ImageReference, Observed<Evidence>)>> {
        let references = images
            .iter()
            .map(|image| ImageReference::parse(&image.reference()));
        let references: Vec<ImageReference> = references.collect::<Result<_, _>>()?;
        let mut told = self.told.lock().await;
        loop {
            let seen: Vec<_> = references
                .iter()
                .map(|image| {
                    (
                        image.clone(),
                        self.store
                            .read(image, &self.asker, &self.anchors, jiff::Timestamp::now()),
                    )
                })
                .collect();
            if seen
                .iter()
                .all(|(_, seen)| !matches!(seen, Observed::Pending))
            {
                return Ok(seen);
            }
            // Each image is told of once; what is pending still is told of later.
            let pending = seen
                .iter()
                .filter(|(_, seen)| matches!(seen, Observed::Pending));
            let pending: BTreeSet<_> = pending.map(|(image, _)| image).collect();
            for _ in 0..pending.len() {
                told.recv().await.context("nothing is told any more")?;
            }
        }
    }

    fn ask(&self, image: &ImageReference, evidence: Evidence) -> anyhow::Result<()> {
        let mut snapshot = self.snapshot.clone();
        name(&mut snapshot, image);
        let known = Observed::Known(evidence);
        snapshot.facts.evidence.insert(image.clone(), known);
        verdict(&snapshot)
    }

    /// Median time to read what is known of one image and to ask every gate.
    pub(super) async fn evaluation(&self, images: &[Image]) -> anyhow::Result<Duration> {
        let first = images.get(..1).context("there is no image")?;
        self.read(first).await?;
        let image = first.first().context("there is no image")?;
        let image = ImageReference::parse(&image.reference())?;
        let mut snapshot = self.snapshot.clone();
        name(&mut snapshot, &image);
        let mut times = Vec::new();
        for _ in 0..EVALUATIONS {
            let start = Instant::now();
            let seen = self
                .store
                .read(&image, &self.asker, &self.anchors, jiff::Timestamp::now());
            snapshot.facts.evidence.insert(image.clone(), seen);
            verdict(&snapshot)?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        times
            .get(EVALUATIONS / 2)
            .copied()
            .context("nothing was measured")
    }
}

/// The example, with the key and the registries of the benchmark in its policy.
fn ready(key: &Key, images: &[Image]) -> anyhow::Result<Snapshot> {
    let mut snapshot: Snapshot =
        serde_saphyr::from_str(READY).context("failed to read the example")?;
    for fact in &mut snapshot.facts.policies {
        let content = fact
            .content
            .as_mut()
            .map_err(|why| anyhow::anyhow!("{why}"))?;
        let mut policy: Policy = content.policy.clone();
        for authority in &mut policy.authorities {
            for text in &mut authority.keys {
                text.pem.clone_from(&key.pem);
            }
        }
        // cosign is asked for signature, provenance and SBOM, so the gates are too.
        policy.evidence.vulnerabilities = None;
        policy.evidence.attestations.clear();
        for source in &mut policy.sources {
            let hosts = images.iter().filter_map(host);
            source.image_repositories = hosts.map(|host| format!("{host}/shop/*")).collect();
            source.image_repositories.dedup();
        }
        *content = policy_content(policy, &Sandbox::without_protection())
            .map_err(|why| anyhow::anyhow!("{}", why.join("; ")))?;
    }
    Ok(snapshot)
}

/// The registry that an image is in.
fn host(image: &Image) -> Option<&str> {
    image.repository.split('/').next()
}

/// Lets the Release be of this image.
fn name(snapshot: &mut Snapshot, image: &ImageReference) {
    for release in snapshot.facts.releases.values_mut() {
        if let Observed::Known(release) = release {
            for component in &mut release.components {
                component.image = image.clone();
            }
        }
    }
}

/// Every gate is asked; those that judge evidence must pass.
fn verdict(snapshot: &Snapshot) -> anyhow::Result<()> {
    let input: Input<'_> = snapshot.input();
    let promotion = input.promotions.first().context("nothing is promoted")?;
    let case = case::Case::new(promotion, &input);
    for asked in gates::ALL {
        let report = gate::evaluate(*asked, &case);
        let judges = ["signature", "provenance", "sbom"].contains(&asked.name());
        ensure!(!judges || report.verdict == Verdict::Pass, "{report:?}");
    }
    Ok(())
}

/// cosign, as somebody without Lockmaster runs it before a promotion.
pub(super) struct Cosign {
    program: PathBuf,
    key: PathBuf,
}

impl Cosign {
    pub(super) fn new(tools: &Tools, directory: &Path, key: &Key) -> anyhow::Result<Self> {
        let path = directory.join("cosign.pub");
        std::fs::write(&path, &key.pem).context("failed to write the public key")?;
        Ok(Self {
            program: tools.program("cosign"),
            key: path,
        })
    }

    /// `verify` and two `verify-attestation` for each image.
    pub(super) async fn time(&self, images: &[Image]) -> anyhow::Result<Cost> {
        let meter = Meter::start()?;
        stream::iter(images)
            .map(|image| self.three(image))
            .buffer_unordered(CONCURRENCY)
            .try_collect::<Vec<()>>()
            .await?;
        meter.stop()
    }

    async fn three(&self, image: &Image) -> anyhow::Result<()> {
        for words in [
            &["verify"][..],
            &["verify-attestation", "--type=slsaprovenance1"],
            &["verify-attestation", "--type=spdxjson"],
        ] {
            let mut command = tokio::process::Command::new(&self.program);
            command
                .args(words)
                .arg(format!("--key={}", self.key.display()))
                .args(["--insecure-ignore-tlog=true", "--allow-insecure-registry"])
                .arg(image.reference())
                .stdin(std::process::Stdio::null())
                .kill_on_drop(true);
            let output = command.output().await.context("failed to run cosign")?;
            ensure!(
                output.status.success(),
                "cosign {}: {}",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// Pull secrets for a store whose askers name none, so that nobody is ever asked for one.
pub(crate) fn no_pull_secrets() -> anyhow::Result<PullSecrets> {
    let nowhere = "http://127.0.0.1:1"
        .parse()
        .context("failed to parse a URL")?;
    let client = kube::Client::try_from(kube::Config::new(nowhere));
    Ok(PullSecrets::new(client.context("failed to make a client")?))
}
