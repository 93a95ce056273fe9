//! Where is looked: the tags only once the referrers did not suffice, and then at every look.

use std::time::Duration;

use lockmaster_core::evidence::Anchor;
use lockmaster_core::facts::{Cause, Observed};

use super::{Bench, CACHE, NOON, known, shop};
use crate::registry::lying::{INDEX, Reply, fallback_path, index, referrers_path};

/// A registry whose referrers API answers, with nothing: the signature lies under the fallback tag.
async fn under_the_tag() -> Bench {
    let bench = Bench::new(CACHE).await;
    bench.registry.referrers(&bench.image, &[]);
    let list = index(std::slice::from_ref(&bench.signature));
    let path = fallback_path(&bench.image);
    bench.registry.set(&path, Reply::ok(INDEX, list));
    bench
}

#[tokio::test]
async fn what_lies_under_the_tag_is_found_once_the_referrers_did_not_suffice() {
    let mut bench = under_the_tag().await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let evidence = known(bench.read(&keys).await);
    assert!(evidence.bundles.is_empty());
    assert_eq!(evidence.tags, Observed::Pending, "absence is not known yet");
    assert_eq!(bench.registry.take_requests().len(), 2, "no tag");
    for _ in 0..5 {
        bench.store.read_tags(&bench.image, &shop());
        bench.store.insufficient(&bench.image, &shop());
    }
    bench.wait().await;
    let evidence = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    assert_eq!(evidence.bundles[0].verified_by.len(), 1);
    assert_eq!(evidence.tags, Observed::Known(()));
    let asked = bench.registry.take_requests();
    assert_eq!(
        asked.len(),
        4 + 2,
        "all lists, a carrier, a bundle: {asked:?}"
    );
    bench.store.read_tags(&bench.image, &shop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(bench.registry.take_requests().is_empty(), "once");
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    let asked = bench.registry.take_requests();
    assert!(asked.contains(&fallback_path(&bench.image)), "{asked:?}");
    let again = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    assert_eq!(again.bundles, evidence.bundles);
}

#[tokio::test]
async fn tags_that_cannot_be_read_are_no_absence_and_take_no_fact_away() {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let before = known(bench.read(&keys).await);
    let path = fallback_path(&bench.image);
    bench.registry.set(&path, Reply::status(503));
    bench.store.read_tags(&bench.image, &shop());
    bench.wait().await;
    let evidence = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    assert_eq!(evidence.bundles, before.bundles);
    let Observed::Unavailable(why) = evidence.tags else {
        panic!("{:?}", evidence.tags)
    };
    assert_eq!(why.cause, Cause::Unreachable);
    assert!(why.message.contains("the referrers tag"), "{}", why.message);
    bench.registry.set(&path, Reply::status(404));
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    let evidence = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    assert_eq!(evidence.tags, Observed::Known(()));
}

#[tokio::test]
async fn tags_do_not_wait_for_a_look_planned_for_later() {
    let delays = (Duration::from_hours(1), Duration::from_hours(1));
    let mut bench = Bench::with_delays(CACHE, delays).await;
    known(bench.read(&[]).await);
    bench.store.insufficient(&bench.image, &shop());
    bench.store.read_tags(&bench.image, &shop());
    bench.wait().await;
    let evidence = known(bench.store.read(&bench.image, &shop(), &[], NOON));
    assert_eq!(evidence.tags, Observed::Known(()));
}

#[tokio::test]
async fn new_keys_are_judged_over_all_that_was_found() {
    let mut bench = under_the_tag().await;
    known(bench.read(&[]).await);
    bench.store.read_tags(&bench.image, &shop());
    bench.wait().await;
    bench.registry.take_requests();
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let evidence = known(bench.read(&keys).await);
    assert_eq!(evidence.bundles[0].verified_by.len(), 1);
    assert!(bench.registry.take_requests().is_empty(), "from memory");
    assert_eq!(
        bench.registry.reply(&referrers_path(&bench.image)).status,
        200,
        "the API answers"
    );
}

#[tokio::test]
async fn what_is_judged_from_memory_claims_no_tags_that_were_not_read() {
    let delays = (Duration::from_hours(1), Duration::from_hours(1));
    let mut bench = Bench::with_delays(CACHE, delays).await;
    known(bench.read(&[]).await);
    let path = fallback_path(&bench.image);
    bench.registry.set(&path, Reply::status(503));
    bench.store.read_tags(&bench.image, &shop());
    bench.wait().await;
    bench.registry.take_requests();
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let evidence = known(bench.read(&keys).await);
    assert!(bench.registry.take_requests().is_empty(), "from memory");
    assert_eq!(evidence.bundles[0].verified_by.len(), 1);
    assert_eq!(evidence.tags, Observed::Pending);
}
