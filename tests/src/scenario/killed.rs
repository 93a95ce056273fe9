//! The operator is killed after the reply of each write: same end, same number of image changes.

use anyhow::{Context as _, ensure};
use kube::Api;
use lockmaster_core::record::{Outcome, Record};
use lockmaster_core::status::State;
use serde_json::json;

use super::checks::{self, set, workload};
use super::{Scenario, Show};
use crate::bed::Bed;
use crate::proxy::Exchange;
use crate::shop::{Rules, Shop};

const NAME_FORWARD: &str = "killed-forward";
const NAME_BACK: &str = "killed-back";

pub(super) const FORWARD: Scenario = Scenario {
    name: NAME_FORWARD,
    title: "the operator is killed after each write of a promotion, and nothing is lost or repeated",
    in_demo: true,
    exclusive: true,
    play: |bed, show| Box::pin(forward(bed, show)),
};

pub(super) const BACK: Scenario = Scenario {
    name: NAME_BACK,
    title: "the operator is killed after each write of a promotion that is undone",
    in_demo: false,
    exclusive: true,
    play: |bed, show| Box::pin(there_and_back(bed, show)),
};

/// The writes of a promotion.
const STEPS_FORWARD: [&str; 6] = ["claim", "intent", "apply", "record", "conclude", "release"];
/// With the way back between.
const STEPS_BACK: [&str; 9] = [
    "claim", "intent", "apply", "claim", "intent", "apply", "record", "conclude", "release",
];

/// A write of the operator's promotions: no Events, no probes.
fn is_step(exchange: &Exchange) -> bool {
    exchange.is_mutation()
        && exchange.user_agent.contains("(writer)")
        && !exchange.path.contains("/events")
}

/// What must be the same whether or not the operator was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    state: State,
    outcome: Outcome,
    image: String,
    left: Vec<String>,
    new_records: usize,
    image_changes: u64,
}

async fn forward(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let shop = Shop::open(bed, NAME_FORWARD, &rules()).await?;
    let expected = |image: &crate::image::Image| End {
        state: State::Succeeded,
        outcome: Outcome::Succeeded,
        image: image.reference(),
        left: vec![image.digest.clone()],
        new_records: 1,
        image_changes: 1,
    };
    for (number, kill) in undisturbed_and(&STEPS_FORWARD).enumerate() {
        let version = format!("1.{number}.0");
        let image = shop.image(&version).await?;
        shop.apply(&[shop.release(&version, &image)]).await?;
        let end = play(
            &shop,
            &version,
            kill.map(|(write, _)| write),
            State::Succeeded,
        )
        .await?;
        let what = named(kill);
        let expected = expected(&image);
        ensure!(end == expected, "{what}: {end:?} instead of {expected:?}");
        show.step(&format!(
            "{what}: {} with 1 image change and 1 record",
            end.outcome
        ));
    }
    Ok(())
}

async fn there_and_back(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let shop = Shop::open(bed, NAME_BACK, &rules()).await?;
    let mut environment = shop.environment("dev");
    set(&mut environment, "/spec/health/deadline", json!("3s"))?;
    shop.apply(&[environment]).await?;
    let good = shop.image("good").await?;
    shop.apply(&[shop.release("1.0.0", &good)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    let expected = End {
        state: State::RolledBack,
        outcome: Outcome::RolledBack,
        image: good.reference(),
        left: vec![good.digest.clone()],
        new_records: 1,
        image_changes: 2,
    };
    for (number, kill) in undisturbed_and(&STEPS_BACK).enumerate() {
        let version = format!("1.{}.0", number + 1);
        shop.apply(&[shop.release(&version, &bed.crash)]).await?;
        let end = play(
            &shop,
            &version,
            kill.map(|(write, _)| write),
            State::RolledBack,
        )
        .await?;
        let what = named(kill);
        ensure!(end == expected, "{what}: {end:?} instead of {expected:?}");
        show.step(&format!("{what}: rolled back once, recorded once"));
    }
    Ok(())
}

fn rules() -> Rules {
    Rules {
        evidence: false,
        ..Rules::default()
    }
}

/// First without a kill, then with one after each write, numbered from 1.
fn undisturbed_and(
    steps: &'static [&'static str],
) -> impl Iterator<Item = Option<(usize, &'static str)>> {
    let kills = steps.iter().enumerate();
    std::iter::once(None).chain(kills.map(|(before, step)| Some((before + 1, *step))))
}

fn named(kill: Option<(usize, &str)>) -> String {
    kill.map_or_else(
        || "undisturbed".to_owned(),
        |(write, step)| format!("killed after the reply to write {write} ({step})"),
    )
}

/// Promotes into dev; where asked, kills the operator after the API server has answered its n-th
/// write and before the answer arrives, and starts it again.
async fn play(
    shop: &Shop<'_>,
    version: &str,
    kill_at: Option<usize>,
    wanted: State,
) -> anyhow::Result<End> {
    let changes_before = image_changes(shop).await?;
    let records_before = shop.records("dev").await?.len();
    let promotion = match kill_at {
        Some(write) => promote_and_kill(shop, version, write).await?,
        None => shop.promote(version, "dev").await?,
    };
    let status = shop.wait_for(&promotion, wanted).await?;
    checks::environment(shop, "dev", "that nothing holds it", |_| true).await?;
    let records = shop.records("dev").await?;
    let newest = &records.last().context("there is no record")?.spec;
    for record in &records {
        let intact = Record::from(record.spec.clone()).is_intact();
        ensure!(intact, "a record is not intact: {record:?}");
    }
    let left = newest.content.left.iter();
    Ok(End {
        state: status.state,
        outcome: newest.content.outcome,
        image: shop.image_of("dev").await?,
        left: left.map(|left| left.digest.to_string()).collect(),
        new_records: records.len() - records_before,
        image_changes: image_changes(shop).await? - changes_before,
    })
}

async fn promote_and_kill(shop: &Shop<'_>, version: &str, write: usize) -> anyhow::Result<String> {
    let hold = shop.bed.proxy.hold_reply(write, is_step);
    let promotion = shop.promote(version, "dev").await?;
    let reached = hold.reached().await?;
    let stored = reached.status.is_some_and(|status| status < 300);
    ensure!(
        stored,
        "expected write {write} to be stored, saw {reached:?}"
    );
    let mut operator = shop.bed.operator.lock().await;
    operator.kill();
    hold.release();
    operator.restart().await?;
    Ok(promotion)
}

/// How often the template of the workload has changed. Going back to an earlier template raises it
/// as well, since the Deployment controller numbers the ReplicaSet anew.
async fn image_changes(shop: &Shop<'_>) -> anyhow::Result<u64> {
    let generation = workload(shop, "dev").await?.metadata.generation;
    let namespace = shop.target_namespace("dev");
    let api: Api<k8s_openapi::api::apps::v1::Deployment> =
        Api::namespaced(shop.bed.cluster.client(), &namespace);
    // The controller numbers a new template a moment after it was written.
    shop.until(
        "the Deployment controller to see the workload",
        async || {
            let deployment = api.get("checkout").await.ok()?;
            (deployment.status?.observed_generation >= generation).then_some(())
        },
    )
    .await?;
    let annotations = workload(shop, "dev").await?.metadata.annotations;
    let annotations = annotations.unwrap_or_default();
    let revision = annotations.get("deployment.kubernetes.io/revision");
    let revision = revision.context("the workload has no revision")?;
    revision.parse().context("the revision is no number")
}
