//! How fast evidence is read and judged, beside the cosign processes that a user would run.
//!
//! Both read the same images from the same registry, in turns (ABBA), in one run: only ratios of
//! medians mean anything on a shared machine. Requests are counted exactly.

mod contestants;
mod hostile;
mod judging;
mod measure;

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::evidence::{Provenance, spdx};
use crate::handmade::{Key, Repository};
use crate::image::Image;
use crate::progress;
use crate::registry::Registry;
use crate::tools::Tools;

pub(crate) use contestants::no_pull_secrets;
use contestants::{Cosign, Lockmaster};
use measure::{Cost, median};

/// Images judged at a time.
const CONCURRENCY: usize = 8;
/// Packages that make an SPDX document of 170 KB.
const PACKAGES: usize = 697;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Distinct digests, each with signature, SBOM and provenance.
    pub digests: usize,
    /// Times that both contestants take turns twice.
    pub rounds: usize,
    /// Environments that ask for one digest at once.
    pub environments: usize,
    /// Images of a registry that sends bytes without end.
    pub hostile: usize,
}

impl Plan {
    /// The documented benchmark.
    pub const FULL: Self = Self {
        digests: 200,
        rounds: 3,
        environments: 500,
        hostile: 64,
    };
    /// What the tests run of it, for its counts: times mean nothing there.
    pub const SHORT: Self = Self {
        digests: 3,
        rounds: 1,
        environments: 500,
        hostile: 16,
    };
}

/// What was measured.
#[derive(Debug)]
pub struct Report {
    /// Distinct digests.
    pub digests: usize,
    /// Bytes of one SBOM bundle.
    pub sbom_bytes: usize,
    /// Median of the rounds, all digests, nothing known.
    pub cold: Cost,
    /// The same, everything known.
    pub warm: Cost,
    /// The same for three cosign processes a digest.
    pub cosign: Cost,
    /// Smallest and largest ratio of a cosign round to the Lockmaster round beside it, wall time.
    pub spread: (f64, f64),
    /// Registry requests for one digest, nothing known.
    pub requests_cold: usize,
    /// Registry requests for all digests, everything known.
    pub requests_warm: usize,
    /// Registry requests for one digest that many Environments ask for at once.
    pub requests_many: usize,
    /// Registry requests of three cosign processes for one digest.
    pub requests_cosign: usize,
    /// Median time to read what is known of one image and to ask every gate.
    pub evaluation: Duration,
    /// Median time to judge the bundles of one image by themselves.
    pub judging: Duration,
    /// Growth of anonymous memory while a registry sends bytes without end.
    pub hostile_growth: u64,
}

impl Report {
    /// Cosign's wall time over Lockmaster's, nothing known.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.cosign.wall.as_secs_f64() / self.cold.wall.as_secs_f64()
    }
}

/// Runs it all.
pub async fn run(tools: &Tools, plan: &Plan) -> anyhow::Result<Report> {
    let registry = Registry::with_referrers(tools).await?;
    let key = Key::generate()?;
    progress::line(&format!("attaching evidence to {} digests", plan.digests));
    let Attached {
        images,
        bundles,
        sbom_bytes,
    } = attach(&registry, &key, plan.digests).await?;
    let directory = tempfile::tempdir().context("failed to make a directory")?;
    let cosign = Cosign::new(tools, directory.path(), &key)?;
    let address = registry.direct_address()?;
    let direct: Vec<Image> = images
        .iter()
        .map(|image| through(image, &registry.address(), &address))
        .collect();
    let timed = time(&cosign, &key, &direct, plan.rounds).await?;
    let counted = count(&registry, &cosign, &key, &images, plan.environments).await?;
    let evaluation = Lockmaster::new(&key, &direct)?.evaluation(&direct).await?;
    let judging = judging::time(&key, &bundles)?;
    progress::line("reading from a registry that sends bytes without end");
    let hostile_growth = hostile::growth(&key, plan.hostile).await?;
    let Timed {
        cold,
        warm,
        cosign,
        spread,
    } = timed;
    let [requests_cold, requests_warm, requests_many, requests_cosign] = counted;
    Ok(Report {
        digests: plan.digests,
        sbom_bytes,
        cold,
        warm,
        cosign,
        spread,
        requests_cold,
        requests_warm,
        requests_many,
        requests_cosign,
        evaluation,
        judging,
        hostile_growth,
    })
}

/// What is read.
struct Attached {
    images: Vec<Image>,
    /// The bundles of the first of them.
    bundles: Vec<Vec<u8>>,
    sbom_bytes: usize,
}

/// Images with a signature, a provenance and an SBOM each, and each in a repository of its own: this
/// registry parses every manifest of a repository to list the referrers of one, so that in one
/// repository its own time would be most of what is measured.
async fn attach(registry: &Registry, key: &Key, count: usize) -> anyhow::Result<Attached> {
    let direct = registry.direct_address()?;
    let bill = spdx("checkout", PACKAGES);
    let says = Provenance::new(
        contestants::REPOSITORY,
        "1.42.0",
        &"3c1e9f2a".repeat(5),
        contestants::BUILDER,
    );
    let (mut images, mut bundles) = (Vec::new(), Vec::new());
    for number in 0..count {
        let repository = Repository::new(&direct, &format!("shop/checkout-{number}"))?;
        let image = repository.push(&format!("image {number}")).await?;
        let statements = [
            ("https://sigstore.dev/cosign/sign/v1", json!({})),
            ("https://slsa.dev/provenance/v1", says.predicate()),
            ("https://spdx.dev/Document", bill.clone()),
        ];
        for (kind, predicate) in statements {
            let bundle = key.attest(&image, kind, &predicate)?;
            repository.attach(&image, &bundle).await?;
            if number == 0 {
                bundles.push(bundle.to_string().into_bytes());
            }
        }
        images.push(through(&image, &direct, &registry.address()));
    }
    Ok(Attached {
        images,
        bundles,
        sbom_bytes: bill.to_string().len(),
    })
}

/// The same image by another address of its registry.
fn through(image: &Image, from: &str, to: &str) -> Image {
    Image {
        repository: image.repository.replacen(from, to, 1),
        digest: image.digest.clone(),
    }
}

struct Timed {
    cold: Cost,
    warm: Cost,
    cosign: Cost,
    spread: (f64, f64),
}

/// Lockmaster, cosign, cosign, Lockmaster, as often as there are rounds.
async fn time(
    cosign: &Cosign,
    key: &Key,
    images: &[Image],
    rounds: usize,
) -> anyhow::Result<Timed> {
    let (mut cold, mut warm, mut other, mut ratios) = (vec![], vec![], vec![], vec![]);
    for round in 1..=rounds {
        progress::line(&format!("round {round} of {rounds}"));
        for ours_first in [true, false] {
            let (ours, theirs) = if ours_first {
                let ours = Lockmaster::new(key, images)?.time(images).await?;
                (ours, cosign.time(images).await?)
            } else {
                let theirs = cosign.time(images).await?;
                (Lockmaster::new(key, images)?.time(images).await?, theirs)
            };
            ratios.push(theirs.wall.as_secs_f64() / ours.0.wall.as_secs_f64());
            cold.push(ours.0);
            warm.push(ours.1);
            other.push(theirs);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let ends = ratios.first().copied().zip(ratios.last().copied());
    Ok(Timed {
        cold: median(&cold)?,
        warm: median(&warm)?,
        cosign: median(&other)?,
        spread: ends.context("nothing was measured")?,
    })
}

/// Registry requests: one digest cold; all warm; one digest in many Environments; cosign.
async fn count(
    registry: &Registry,
    cosign: &Cosign,
    key: &Key,
    images: &[Image],
    environments: usize,
) -> anyhow::Result<[usize; 4]> {
    let taken = || {
        let count = registry.requests().len();
        registry.clear_requests();
        count
    };
    let lockmaster = Lockmaster::new(key, images)?;
    let first = images.get(..1).context("there is no image")?;
    taken();
    lockmaster.read(first).await?;
    let cold = taken();
    lockmaster.read(images).await?;
    let rest = taken();
    ensure!(
        rest == cold * (images.len() - 1),
        "{rest} requests for the others, and {cold} for the first"
    );
    lockmaster.read(images).await?;
    let warm = taken();
    let many: Vec<Image> = first.iter().cycle().take(environments).cloned().collect();
    Lockmaster::new(key, images)?.read(&many).await?;
    let together = taken();
    cosign.time(first).await?;
    Ok([cold, warm, together, taken()])
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            digests,
            sbom_bytes,
            cold,
            warm,
            cosign,
            spread,
            requests_cold,
            requests_warm,
            requests_many,
            requests_cosign,
            evaluation,
            judging,
            hostile_growth,
        } = self;
        let each = |cost: &Cost| {
            let count = u32::try_from(*digests).unwrap_or(u32::MAX).max(1);
            (cost.wall / count, cost.cpu / count)
        };
        writeln!(
            f,
            "{digests} digests, each with signature, provenance and an SBOM of {sbom_bytes} bytes, {CONCURRENCY} at a time"
        )?;
        for (name, cost) in [
            ("lockmaster, cold", cold),
            ("lockmaster, warm", warm),
            ("3 x cosign", cosign),
        ] {
            let (wall, cpu) = each(cost);
            writeln!(
                f,
                "  {name:<17} {wall:>10.2?} wall and {cpu:>10.2?} CPU a digest"
            )?;
        }
        writeln!(
            f,
            "  cosign takes {:.0} times the wall time (rounds: {:.0} to {:.0}) and {:.0} times the CPU time",
            self.ratio(),
            spread.0,
            spread.1,
            cosign.cpu.as_secs_f64() / cold.cpu.as_secs_f64(),
        )?;
        writeln!(
            f,
            "  judging the bundles of one digest by itself takes {judging:.2?}; all of the CPU time is {:.1} times that",
            each(cold).1.as_secs_f64() / judging.as_secs_f64(),
        )?;
        writeln!(
            f,
            "  registry requests: {requests_cold} a digest cold, {requests_warm} warm, {requests_many} for one digest in many Environments at once, {requests_cosign} of cosign"
        )?;
        writeln!(
            f,
            "  what is known of one image, and every gate: {evaluation:.2?}"
        )?;
        write!(
            f,
            "  memory grew by {} KiB under a registry that sends bytes without end",
            *hostile_growth >> 10
        )
    }
}
