//! Memory after many promotions.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::shop::{Rules, Shop};

/// Promotions in all.
const PROMOTIONS: usize = 200;
/// Environments that take them side by side.
const SHOPS: usize = 5;
/// Anonymous resident memory that the operator may use, in KiB.
const LIMIT_KIB: u64 = 40 * 1024;

/// 200 promotions, then a look at the operator's memory.
pub(crate) async fn after_200_promotions(bed: &Bed) -> anyhow::Result<()> {
    let shops = (0..SHOPS).map(|number| async move {
        let name = format!("memory-{number}");
        let shop = Shop::open(bed, &name, &Rules { evidence: false, ..Rules::default() }).await?;
        let image = shop.image("remembered").await?;
        let digest = |number: usize| {
            let mut image = image.clone();
            image.digest = format!("sha256:{number:064x}");
            image
        };
        for number in 0..PROMOTIONS / SHOPS {
            let version = format!("1.{number}.0");
            shop.apply(&[shop.release(&version, &digest(number))]).await?;
            shop.promote_with_success(&version, "dev").await?;
        }
        anyhow::Ok(())
    });
    try_join_all(shops).await?;
    let operator = bed.operator.lock().await;
    let (anonymous, all) = (operator.rss_anonymous_kib()?, operator.rss_kib()?);
    eprintln!("after {PROMOTIONS} promotions: {anonymous} KiB anonymous, {all} KiB resident");
    ensure!(anonymous <= LIMIT_KIB, "{anonymous} KiB anonymous, more than {LIMIT_KIB}");
    let metrics = operator.metrics().await.context("failed to scrape")?;
    ensure!(metrics.ends_with("# EOF\n"), "the exposition is cut off");
    Ok(())
}
