//! Memory after many promotions.

use anyhow::ensure;
use futures::future::try_join_all;
use libtest_mimic::Trial;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::progress;
use lockmaster_tests::shop::{Rules, Shop};

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.exclusive("memory::after_200_promotions", after_200_promotions)]
}

/// Promotions in all.
const PROMOTIONS: usize = 200;
/// Environments that take them side by side.
const SHOPS: usize = 5;
/// Anonymous resident memory that the operator may use, in KiB.
const LIMIT_KIB: u64 = 40 * 1024;

/// 200 promotions, then a look at the operator's memory.
async fn after_200_promotions(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shops = (0..SHOPS).map(async |number| {
        let shop = Shop::open(bed, &format!("memory-{number}"), &rules).await?;
        let image = shop.image("remembered").await?;
        for number in 0..PROMOTIONS / SHOPS {
            let version = format!("1.{number}.0");
            // Nothing is asked of the registry, and kwok pulls nothing: any digest will do.
            let mut image = image.clone();
            image.digest = format!("sha256:{number:064x}");
            shop.apply(&[shop.release(&version, &image)]).await?;
            shop.promote_with_success(&version, "dev").await?;
        }
        anyhow::Ok(())
    });
    try_join_all(shops).await?;
    let operator = bed.operator.lock().await;
    let (anonymous, all) = (operator.rss_anonymous_kib()?, operator.rss_kib()?);
    progress::line(&format!(
        "after {PROMOTIONS} promotions: {anonymous} KiB anonymous, {all} KiB resident (debug build)"
    ));
    ensure!(
        anonymous <= LIMIT_KIB,
        "{anonymous} KiB anonymous, more than {LIMIT_KIB}"
    );
    Ok(())
}
