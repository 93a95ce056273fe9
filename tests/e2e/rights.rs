//! Rights that the operator lacks in a target's namespace are said to the person who asks, and hold
//! nobody up for ever.

use anyhow::ensure;
use libtest_mimic::Trial;
use lockmaster_core::status::{PromotionStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::json;

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.shared("rights::a_missing_right_to_patch_is_said", without_patch)]
}

/// The owner of the namespace gave the right to read and not the one to patch.
async fn without_patch(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "without-patch", &rules).await?;
    let image = shop.image("good").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let complete = shop.target("dev");
    let mut poor = complete.clone();
    poor[1]["rules"][0]["verbs"] = json!(["get", "list", "watch"]);
    shop.apply(&poor).await?;
    let name = shop.promote("1.0.0", "dev").await?;
    let refused = |status: &PromotionStatus| {
        let text = &status.summary;
        text.contains("cannot patch resource") && text.contains("kubectl promote init")
    };
    let status = shop.wait(&name, refused).await?;
    ensure!(
        status.state == State::RollingOut,
        "expected it to be tried again, saw {:?}",
        status.state
    );
    // With the right given, it goes on by itself.
    shop.apply(&complete).await?;
    shop.wait_for(&name, State::Succeeded).await?;
    Ok(())
}
