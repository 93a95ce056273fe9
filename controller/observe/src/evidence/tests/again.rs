//! What runs is looked at again: what is gone is noticed, and what was proven is kept.

use lockmaster_core::release::Digest;

use super::*;
use crate::registry::lying::subject_path;

/// A bench that knows the signed image, and the bundle's digest.
async fn known_image() -> (Bench, [Anchor; 1], Digest) {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let evidence = known(bench.read(&keys).await);
    bench.registry.take_requests();
    (bench, keys, evidence.bundles[0].digest.clone())
}

impl Bench {
    fn peek(&self, keys: &[Anchor]) -> (Observed<Evidence>, Look) {
        self.store.peek(&self.image, &shop(), keys, NOON)
    }

    async fn look_again(&mut self) -> Vec<String> {
        self.store.look_again(&self.image, &shop(), NOON);
        self.wait().await;
        self.registry.take_requests()
    }
}

#[tokio::test]
async fn to_peek_asks_nobody() {
    let (bench, keys, _) = known_image().await;
    let (seen, look) = bench.peek(&keys);
    assert_eq!(known(seen).bundles.len(), 1);
    assert_eq!(look, Look::default());
    let other = Anchor::of_key(Signer::new().key);
    assert_eq!(bench.peek(&[other]).0, Observed::Pending, "not tried yet");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(bench.registry.take_requests().is_empty());
}

#[tokio::test]
async fn what_runs_is_kept_and_marked_when_the_registry_lists_it_no_longer() {
    let (mut bench, keys, bundle) = known_image().await;
    assert!(known(bench.peek(&keys).0).withdrawn.is_empty());
    bench.registry.referrers(&bench.image, &[]);
    let expected = [subject_path(&bench.image), referrers_path(&bench.image)];
    let mut asked = bench.look_again().await;
    asked.sort_unstable_by_key(|path| *path != expected[0]);
    assert_eq!(asked, expected, "the manifest, and a list");
    let (seen, look) = bench.peek(&keys);
    let evidence = known(seen);
    assert_eq!(evidence.withdrawn, [bundle].into());
    assert_eq!(evidence.bundles[0].verified_by, [by(&keys[0])].into());
    assert_eq!((look.at, look.problem), (Some(NOON), None));
    // Under another key it is judged from memory, and stays what it is.
    let other = Anchor::of_key(Signer::new().key);
    let both = [keys[0].clone(), other];
    assert_eq!(known(bench.read(&both).await).withdrawn.len(), 1);
    // Attached again, all is well.
    let signature = std::slice::from_ref(&bench.signature);
    bench.registry.referrers(&bench.image, signature);
    bench.look_again().await;
    let evidence = known(bench.peek(&keys).0);
    assert_eq!((evidence.withdrawn.len(), evidence.bundles.len()), (0, 1));
}

#[tokio::test]
async fn what_nobody_runs_is_not_kept() {
    let (mut bench, keys, _) = known_image().await;
    bench.registry.referrers(&bench.image, &[]);
    bench.look_again().await;
    assert!(known(bench.read(&keys).await).bundles.is_empty());
}

#[tokio::test]
async fn a_withdrawn_bundle_counts_under_no_key_that_it_was_not_judged_under() {
    let mut bench = Bench::new(0).await;
    let ours = [Anchor::of_key(bench.signer.key.clone())];
    known(bench.read(&ours).await);
    let _ = bench.peek(&ours);
    bench.registry.referrers(&bench.image, &[]);
    bench.look_again().await;
    let other = [Anchor::of_key(Signer::new().key)];
    let evidence = known(bench.read(&other).await);
    assert_eq!(evidence.withdrawn.len(), 1);
    assert!(evidence.bundles[0].verified_by.is_empty());
}

#[tokio::test]
async fn a_manifest_that_is_gone_is_noticed_and_what_was_proven_stays() {
    let (mut bench, keys, _) = known_image().await;
    let manifest = bench.registry.reply(&subject_path(&bench.image));
    let path = subject_path(&bench.image);
    bench.registry.set(&path, Reply::status(404));
    bench.look_again().await;
    let (seen, look) = bench.peek(&keys);
    assert_eq!(known(seen).bundles.len(), 1);
    assert_eq!(look.problem.unwrap().cause, Cause::Missing);
    // An outage is something else.
    bench.registry.set(&path, Reply::status(503));
    bench.look_again().await;
    let problem = bench.peek(&keys).1.problem.unwrap();
    assert_eq!(problem.cause, Cause::Unreachable);
    bench.registry.set(&path, manifest);
    bench.look_again().await;
    assert_eq!(bench.peek(&keys).1.problem, None);
}
