//! The operator is killed after the reply of each write: same end, same number of image changes.

use anyhow::{Context as _, ensure};
use lockmaster_core::record::{Outcome, Record};
use lockmaster_core::status::State;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::proxy::Exchange;
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::json;

/// The writes of a promotion: claim, intent, apply, record, conclude, release.
const FORWARD: usize = 6;
/// With the way back between: claim, intent, apply, claim, intent, apply, record, conclude, release.
const THERE_AND_BACK: usize = 9;

/// A write of the operator's promotions: no Events, no probes.
fn is_step(exchange: &Exchange) -> bool {
    exchange.is_mutation()
        && exchange.user_agent.contains("(writer)")
        && !exchange.path.contains("/events")
}

/// What must be the same whether or not the operator was killed.
#[derive(Debug, PartialEq, Eq)]
struct End {
    state: State,
    image: String,
    outcome: Outcome,
    left: Vec<String>,
    records: usize,
    image_changes: u64,
    claimed: bool,
}

/// Killed while the reply of each write of a successful promotion is on its way.
pub(crate) async fn forward(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "kill-forward", &Rules { evidence: false, ..Rules::default() }).await?;
    let undisturbed = promote(&shop, 0, None).await?;
    ensure!(undisturbed.state == State::Succeeded, "undisturbed it ended {undisturbed:?}");
    ensure!(undisturbed.image_changes == 1, "{} image changes", undisturbed.image_changes);
    for step in 1..=FORWARD {
        let disturbed = promote(&shop, step, Some(step)).await?;
        let expected = End { image: disturbed.image.clone(), left: disturbed.left.clone(), ..clone(&undisturbed) };
        ensure!(disturbed == expected, "killed at write {step}: {disturbed:?}, not {expected:?}");
    }
    Ok(())
}

/// Killed while the reply of each write of a promotion that is undone is on its way.
pub(crate) async fn there_and_back(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "kill-back", &Rules { evidence: false, ..Rules::default() }).await?;
    let mut environment = shop.environment("dev");
    environment["spec"]["health"]["deadline"] = json!("3s");
    shop.apply(&[environment]).await?;
    let good = shop.image("good").await?;
    shop.apply(&[shop.release("1.0.0", &good)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    for step in 0..=THERE_AND_BACK {
        let version = format!("1.{}.0", step + 1);
        shop.apply(&[shop.release(&version, &bed.crash)]).await?;
        let end = play(&shop, &version, (step > 0).then_some(step), State::RolledBack).await?;
        ensure!(end.image == good.reference(), "killed at write {step}: {end:?}");
        ensure!(end.outcome == Outcome::RolledBack && !end.claimed, "killed at {step}: {end:?}");
        ensure!(end.image_changes == 2, "killed at write {step}: {} image changes", end.image_changes);
        ensure!(end.records == 1, "killed at write {step}: {} records", end.records);
    }
    Ok(())
}

fn clone(end: &End) -> End {
    End { left: end.left.clone(), image: end.image.clone(), ..*end }
}

async fn promote(shop: &Shop<'_>, number: usize, kill_at: Option<usize>) -> anyhow::Result<End> {
    let version = format!("1.{number}.0");
    let image = shop.image(&version).await?;
    shop.apply(&[shop.release(&version, &image)]).await?;
    let end = play(shop, &version, kill_at, State::Succeeded).await?;
    ensure!(end.image == image.reference(), "{} runs instead of {}", end.image, image.reference());
    Ok(end)
}

/// Promotes into dev; where asked, kills the operator after the API server has answered its n-th
/// write and before the answer arrives, and starts it again.
async fn play(
    shop: &Shop<'_>,
    version: &str,
    kill_at: Option<usize>,
    wanted: State,
) -> anyhow::Result<End> {
    let before = revision(shop).await?;
    let records_before = shop.records("dev").await?.len();
    let promotion = if let Some(write) = kill_at {
        let proxy = shop.bed.proxy.as_ref().context("this bed has no proxy")?;
        let hold = proxy.hold_reply(write, is_step);
        let promotion = shop.promote(version, "dev").await?;
        let reached = hold.reached().await?;
        ensure!(reached.status.is_some_and(|status| status < 300), "write {write}: {reached:?}");
        let mut operator = shop.bed.operator.lock().await;
        operator.kill();
        hold.release();
        operator.restart().await?;
        promotion
    } else {
        shop.promote(version, "dev").await?
    };
    let status = shop.wait_for(&promotion, wanted).await?;
    let environment = shop.environment_name("dev");
    let claimed = shop
        .until("the claim to be released", async || {
            let object = shop.environments().get(&environment).await.ok()?;
            object.status.is_some_and(|status| status.active.is_none()).then_some(false)
        })
        .await?;
    let records = shop.records("dev").await?;
    let newest = records.last().context("there is no record")?;
    for record in &records {
        ensure!(Record::from(record.spec.clone()).is_intact(), "a record is not intact");
    }
    Ok(End {
        state: status.state,
        image: shop.image_of("dev").await?,
        outcome: newest.spec.content.outcome,
        left: newest.spec.content.left.iter().map(|left| left.digest.to_string()).collect(),
        records: records.len() - records_before,
        image_changes: revision(shop).await? - before,
        claimed,
    })
}

/// How often the template of the workload has changed. Going back to an earlier template raises it
/// as well, since the Deployment controller numbers the ReplicaSet anew.
async fn revision(shop: &Shop<'_>) -> anyhow::Result<u64> {
    let namespace = shop.target_namespace("dev");
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::namespaced(shop.bed.cluster.client(), &namespace);
    let deployment = api.get("checkout").await.context("failed to read the workload")?;
    let annotations = deployment.metadata.annotations.unwrap_or_default();
    let revision = annotations.get("deployment.kubernetes.io/revision");
    Ok(revision.and_then(|revision| revision.parse().ok()).unwrap_or_default())
}
