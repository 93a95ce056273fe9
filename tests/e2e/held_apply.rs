//! An apply that is still under way while its promotion is aborted never lands.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lockmaster_core::record::Outcome;
use lockmaster_core::status::State;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::proxy::Exchange;
use lockmaster_tests::shop::{Rules, Shop};

fn is_apply(exchange: &Exchange) -> bool {
    exchange.method == "PATCH"
        && exchange.path.contains("/deployments/")
        && exchange.path.contains("force=true")
}

/// Holds the apply in the proxy, aborts, waits for the fence and the record, lets the apply go.
pub(crate) async fn never_lands(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "held-apply", &Rules { evidence: false, ..Rules::default() }).await?;
    let image = shop.image("held").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let before = shop.image_of("dev").await?;
    let proxy = bed.proxy.as_ref().context("this bed has no proxy")?;
    let hold = proxy.hold_request(is_apply);
    let promotion = shop.promote("1.0.0", "dev").await?;
    hold.reached().await?;
    let abort = ["patch", "promotions.lockmaster.dev", &promotion, "--type=merge", "-p", r#"{"spec":{"abort":true}}"#];
    shop.kubectl_as(&bed.people.bob, &abort).await?.required("abort as bob")?;
    let status = shop.wait_for(&promotion, State::Aborted).await?;
    let record = status.record.context("an aborted promotion has a record")?;
    ensure!(record.outcome == Outcome::Aborted, "recorded as {}", record.outcome);
    hold.release();
    // The held request is forwarded now; give it ample time to be refused.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refused = proxy.exchanges().iter().filter(|exchange| is_apply(exchange)).all(|exchange| exchange.status == Some(409));
    ensure!(refused, "the held apply was not refused as a conflict");
    let after = shop.image_of("dev").await?;
    ensure!(after == before, "the late apply landed: {after} instead of {before}");
    Ok(())
}
