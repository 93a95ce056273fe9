//! A known image is listed anew: the lists, and what they did not name before.

use lockmaster_core::evidence::{LIST_AGE, Recency};

use super::*;
use crate::registry::lying::{fallback_path, subject_path};

const OLD: Duration = Duration::from_mins(11);

/// A signed image that was listed eleven minutes ago.
async fn known_image(cache: usize) -> (Bench, [Anchor; 1]) {
    let mut bench = Bench::new(cache).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    known(bench.read(&keys).await);
    bench.registry.take_requests();
    bench.store.age(OLD);
    (bench, keys)
}

impl Bench {
    fn now(&self, keys: &[Anchor]) -> Evidence {
        known(self.store.read(&self.image, &shop(), keys, NOON))
    }

    async fn list_again(&mut self) -> Vec<String> {
        for _ in 0..5 {
            self.store.list_again(&self.image, &shop());
        }
        self.wait().await;
        let mut asked = self.registry.take_requests();
        asked.sort_unstable();
        asked
    }
}

#[tokio::test]
async fn what_is_known_costs_one_list_whatever_memory_holds() {
    for cache in [CACHE, 0] {
        let (mut bench, keys) = known_image(cache).await;
        let before = bench.now(&keys);
        assert_eq!(before.listed.recency(NOON), Recency::Outdated);
        let age = NOON.duration_since(before.listed.at.unwrap());
        assert!(age > LIST_AGE, "{age}");
        assert_eq!(bench.list_again().await, [referrers_path(&bench.image)]);
        let after = bench.now(&keys);
        assert_eq!(after.listed.recency(NOON), Recency::Recent);
        assert_eq!(after.bundles, before.bundles);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(bench.registry.take_requests().is_empty(), "once");
    }
}

#[tokio::test]
async fn tags_are_listed_too_once_they_count() {
    let (mut bench, keys) = known_image(0).await;
    bench.store.read_tags(&bench.image, &shop());
    bench.wait().await;
    bench.registry.take_requests();
    bench.store.age(OLD);
    let image = bench.image.clone();
    let mut expected = vec![
        referrers_path(&image),
        fallback_path(&image),
        format!("{}.sig", fallback_path(&image)),
        format!("{}.att", fallback_path(&image)),
    ];
    expected.sort_unstable();
    assert_eq!(bench.list_again().await, expected);
    assert_eq!(bench.now(&keys).tags, Observed::Known(()));
}

#[tokio::test]
async fn what_was_attached_since_is_read_alone() {
    let (mut bench, keys) = known_image(CACHE).await;
    let statement = bench.signer.attest(&bench.image, "https://example.com/x");
    let second = bench.registry.bundle(&statement, "https://example.com/x");
    let both = [bench.signature.clone(), second];
    bench.registry.referrers(&bench.image, &both);
    let asked = bench.list_again().await;
    assert_eq!(asked.len(), 3, "a list, a manifest and a bundle: {asked:?}");
    let evidence = bench.now(&keys);
    assert_eq!(evidence.bundles.len(), 2);
    assert!(
        evidence
            .bundles
            .iter()
            .all(|one| !one.verified_by.is_empty())
    );
    // What is gone is gone, and read as such.
    bench.registry.referrers(&bench.image, &both[..1]);
    assert_eq!(bench.list_again().await, [referrers_path(&bench.image)]);
    assert_eq!(bench.now(&keys).bundles.len(), 1);
}

#[tokio::test]
async fn a_list_that_cannot_be_had_is_said_and_takes_nothing_away() {
    let (mut bench, keys) = known_image(CACHE).await;
    let path = referrers_path(&bench.image);
    bench.registry.set(&path, Reply::status(503));
    bench.store.list_again(&bench.image, &shop());
    let asking = bench.now(&keys).listed.asking;
    assert!(asking.is_some_and(|since| since <= NOON), "{asking:?}");
    bench.wait().await;
    let evidence = bench.now(&keys);
    assert_eq!(evidence.bundles.len(), 1);
    let Recency::Failed(why) = evidence.listed.recency(NOON) else {
        panic!("{:?}", evidence.listed)
    };
    assert_eq!(why.cause, Cause::Unreachable);
    assert_eq!(evidence.listed.asking, None);
    // After as long again nobody knows whether it still fails.
    bench.store.age(OLD);
    assert_eq!(bench.now(&keys).listed.recency(NOON), Recency::Outdated);
    let signature = std::slice::from_ref(&bench.signature);
    bench.registry.referrers(&bench.image, signature);
    bench.registry.take_requests();
    assert_eq!(bench.list_again().await, [path]);
    let listed = bench.now(&keys).listed;
    assert_eq!(
        (listed.recency(NOON), &listed.failed),
        (Recency::Recent, &None)
    );
}

#[tokio::test]
async fn a_part_that_was_listed_and_not_there_is_tried_again() {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let carrier = bench.signature["digest"].as_str().unwrap();
    let path = format!("/v2/{}/manifests/{carrier}", bench.image.path());
    let manifest = bench.registry.reply(&path);
    bench.registry.set(&path, Reply::status(404));
    assert!(known(bench.read(&keys).await).bundles.is_empty());
    bench.registry.take_requests();
    let asked = bench.list_again().await;
    assert_eq!(asked.len(), 2, "the same list, and the part: {asked:?}");
    bench.registry.set(&path, manifest);
    bench.list_again().await;
    assert_eq!(bench.now(&keys).bundles.len(), 1);
}

#[tokio::test]
async fn a_404_for_the_list_says_nothing_of_an_image_that_is_gone() {
    let (mut bench, keys) = known_image(0).await;
    for path in [referrers_path(&bench.image), subject_path(&bench.image)] {
        bench.registry.set(&path, Reply::status(404));
    }
    bench.list_again().await;
    let evidence = bench.now(&keys);
    assert_eq!(evidence.bundles.len(), 1);
    let Recency::Failed(why) = evidence.listed.recency(NOON) else {
        panic!("{:?}", evidence.listed)
    };
    assert_eq!(why.cause, Cause::Missing);
}

#[tokio::test]
async fn a_list_for_a_look_planned_for_later_is_not_waited_for() {
    let delays = (Duration::from_hours(1), Duration::from_hours(1));
    let mut bench = Bench::with_delays(CACHE, delays).await;
    known(bench.read(&[]).await);
    bench.store.insufficient(&bench.image, &shop());
    bench.registry.take_requests();
    assert_eq!(bench.list_again().await, [referrers_path(&bench.image)]);
}
