//! A digest whose pods crash: the promotion fails and says why, and what ran before runs again.

use anyhow::{Context as _, ensure};
use lockmaster_core::reason::Reason;
use lockmaster_core::record::Outcome;
use lockmaster_core::status::State;
use serde_json::json;

use super::checks::{build, chain, promote_through, set};
use super::{Scenario, Show};
use crate::bed::Bed;
use crate::shop::{Rules, Shop};

const NAME: &str = "crashing";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "a digest whose pods crash is rolled back to the one that ran before",
    in_demo: true,
    exclusive: false,
    play: |bed, show| Box::pin(play(bed, show)),
};

/// Long enough for pods to come up, short enough to watch.
const DEADLINE: &str = "4s";

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, NAME, &rules).await?;
    let mut environment = shop.environment("dev");
    set(&mut environment, "/spec/health/deadline", json!(DEADLINE))?;
    shop.apply(&[environment]).await?;
    let good = build(&shop, "1.0.0", false).await?;
    promote_through(&shop, "1.0.0", &["dev"]).await?;
    show.step(&format!(
        "1.0.0 runs in dev; the pods of 1.1.0 crash, and dev gives them {DEADLINE}"
    ));
    shop.apply(&[shop.release("1.1.0", &bed.crash)]).await?;
    let name = shop.promote("1.1.0", "dev").await?;
    let status = shop.wait_for(&name, State::RolledBack).await?;
    ensure!(
        status.summary.contains("CrashLoopBackOff"),
        "expected the summary to say what failed, saw {}",
        status.summary
    );
    let records = chain(&shop, "dev", 2).await?;
    let record = &records.last().context("expected a record")?.spec.content;
    ensure!(
        (record.outcome, record.reason) == (Outcome::RolledBack, Reason::Timeout),
        "expected the record to say RolledBack because of Timeout, saw {} because of {}",
        record.outcome,
        record.reason
    );
    let left: Vec<_> = record
        .left
        .iter()
        .map(|left| left.digest.as_str())
        .collect();
    ensure!(
        left == [good.digest.as_str()],
        "expected the record to say that {} was left running, saw {left:?}",
        good.digest
    );
    let ids = shop.image_ids("dev").await?;
    ensure!(
        ids.len() == 1 && ids.iter().all(|id| id.ends_with(&good.digest)),
        "expected the pods to run {} again, saw {ids:?}",
        good.digest
    );
    let bob = &bed.people.bob;
    show.command(&shop, bob, &["get", "promotions"]).await?;
    show.command(&shop, bob, &["promote", "explain", &name])
        .await
}
