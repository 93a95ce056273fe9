//! An apply that is still under way while its promotion is aborted never lands.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lockmaster_core::record::Outcome;
use lockmaster_core::status::State;

use super::{Scenario, Show};
use crate::bed::Bed;
use crate::proxy::Exchange;
use crate::shop::{Rules, Shop};

const NAME: &str = "held-apply";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "an apply that is still on its way when the promotion is aborted never lands",
    in_demo: true,
    exclusive: true,
    play: |bed, show| Box::pin(play(bed, show)),
};

/// After its release the held request is answered within milliseconds.
const ANSWERED: Duration = Duration::from_secs(10);

fn is_apply(exchange: &Exchange) -> bool {
    exchange.method == "PATCH"
        && exchange.path.contains("/deployments/")
        && exchange.path.contains("force=true")
}

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, NAME, &rules).await?;
    let image = shop.image("held").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let before = shop.image_of("dev").await?;
    bed.proxy.clear();
    show.step("a proxy holds the operator's apply on its way to the API server; bob aborts:");
    let hold = bed.proxy.hold_request(is_apply);
    let name = shop.promote("1.0.0", "dev").await?;
    hold.reached().await?;
    let bob = &bed.people.bob;
    let abort = ["promote", "abort", &name, "--yes"];
    show.run(&shop, bob, &abort).await?;
    let status = shop.wait_for(&name, State::Aborted).await?;
    let record = status.record.context("expected a record of the abort")?;
    ensure!(
        record.outcome == Outcome::Aborted,
        "expected the record to say Aborted, saw {}",
        record.outcome
    );
    show.step("the promotion is over; now the proxy lets the apply go:");
    hold.release();
    let refused = tokio::time::timeout(ANSWERED, async {
        loop {
            let applies = bed.proxy.exchanges();
            let mut applies = applies.iter().filter(|exchange| is_apply(exchange));
            if let Some(answer) = applies.find_map(|apply| apply.status) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let answer = refused.await.context("the held apply was never answered")?;
    ensure!(
        answer == 409,
        "expected the API server to refuse the late apply as a conflict (409), saw {answer}"
    );
    let after = shop.image_of("dev").await?;
    ensure!(
        after == before,
        "expected the image to stay {before}, but the late apply landed: {after}"
    );
    show.step("409 Conflict: the fence had changed the workload, so it never lands");
    show.command(&shop, bob, &["get", "promotions"]).await
}
