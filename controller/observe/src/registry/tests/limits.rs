//! What one image, and one registry, may take from the others: bundles, turns, memory.

use std::time::{Duration, Instant};

use lockmaster_core::evidence::{CYCLONEDX, SPDX};
use lockmaster_core::facts::Cause;
use lockmaster_core::release::{Digest, ImageReference};
use serde_json::{Value, json};

use super::super::Reach;
use super::super::lying::{
    BUNDLE, LyingRegistry, MANIFEST, Reply, client, client_of, fallback_path, nobody,
    referrers_path, sparing, subject_path, use_up,
};
use super::super::shares::Budget;
use super::super::{Credentials, FetchError, Limits, Problem, Registry, RegistryClient};
use super::{expect, failure, with_three};

const LONG: Duration = Duration::from_secs(20);

/// A carrier of bundles numbered `from..to`, annotated with a kind of its own; its descriptor.
fn carrier(registry: &LyingRegistry, from: usize, to: usize) -> Value {
    let layer = |number: usize| {
        let bundle = format!("bundle {number}");
        let digest = Digest::of(bundle.as_bytes());
        let path = format!("/v2/shop/checkout/blobs/{digest}");
        let size = bundle.len();
        registry.set(&path, Reply::ok("x", bundle));
        json!({"mediaType": BUNDLE, "digest": digest, "size": size})
    };
    let layers: Vec<_> = (from..to).map(layer).collect();
    let kind = format!("https://invented.example/{from}");
    let digest = registry.manifest(
        &json!({"mediaType": MANIFEST, "config": {}, "layers": layers,
        "annotations": {"dev.sigstore.bundle.predicateType": kind}}),
    );
    json!({"mediaType": MANIFEST, "digest": digest, "size": 10_000})
}

#[tokio::test]
async fn invented_kinds_do_not_widen_the_cap() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let mut carriers: Vec<_> = (0..4)
        .map(|n| carrier(&registry, 32 * n, 32 * (n + 1)))
        .collect();
    registry.referrers(&image, &carriers);
    let artifact = registry.client().fetch(&image, &nobody()).await.unwrap();
    assert_eq!(artifact.bundles.len(), 128);
    carriers.push(carrier(&registry, 128, 129));
    registry.referrers(&image, &carriers);
    registry.take_requests();
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 128 bundles",
    );
    let asked = registry.take_requests();
    assert!(asked.iter().all(|path| !path.contains("/blobs/")));
}

/// An image with so many attestations of an older format, all in these bytes.
async fn one_blob(layers: usize, bytes: &[u8]) -> (LyingRegistry, ImageReference) {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let layer = |number: usize| {
        let kind = format!("https://invented.example/{number}");
        let entry = number.to_string();
        let annotations = json!({"predicateType": kind, "dev.sigstore.cosign/bundle": entry});
        (bytes, annotations)
    };
    let layers: Vec<_> = (0..layers).map(layer).collect();
    registry.older_format(&image, "att", &layers);
    (registry, image)
}

/// What stands beside a blob is not signed, and makes another signature of it each time.
#[tokio::test]
async fn one_blob_does_not_stand_for_any_number_of_signatures() {
    let (registry, image) = one_blob(32, b"blob").await;
    let look = registry.client();
    let found = look.look(&image, &nobody(), Reach::Tags).await.unwrap();
    assert_eq!(found.bundles.len(), 32);
    let (registry, image) = one_blob(33, b"blob").await;
    let look = registry.client();
    let error = look.look(&image, &nobody(), Reach::Tags).await.unwrap_err();
    let found = (error.cause(), error.to_string());
    expect(
        found,
        Cause::Truncated,
        "more than 32 signatures in one blob",
    );
}

/// It is judged as often as it stands there, whatever its descriptor says of its size.
#[tokio::test]
async fn a_blob_counts_with_its_size_for_each_signature_in_it() {
    for (layers, fits) in [(3, true), (4, false)] {
        for is_honest in [true, false] {
            let (registry, image) = one_blob(layers, &vec![b' '; 30_000]).await;
            let path = format!("{}.att", fallback_path(&image));
            let mut reply = registry.reply(&path);
            if !is_honest {
                let manifest = String::from_utf8(reply.body).unwrap();
                reply.body = manifest.replace("30000", "3").into_bytes();
                registry.set(&path, reply);
            }
            let client = client(&[&registry], LONG, 1 << 20, 150_000);
            let found = client.look(&image, &nobody(), Reach::Tags).await;
            let Err(error) = found else {
                assert!(fits, "{layers} {is_honest}");
                continue;
            };
            assert!(!fits, "{error}");
            let found = (error.cause(), error.to_string());
            expect(found, Cause::Truncated, "more than 112500 bytes in all");
        }
    }
}

#[tokio::test]
async fn a_registry_that_never_answers_delays_no_other() {
    let (honest, image, _) = with_three().await;
    let silent = LyingRegistry::start().await;
    let client = client(&[&honest, &silent], LONG, 1 << 20, 32 << 20);
    for number in 0..10_u8 {
        let image = silent.image().with_digest(Digest::of(&[number]));
        let delay = Duration::from_mins(1);
        let never = Reply {
            delay,
            ..Reply::status(404)
        };
        silent.set(&subject_path(&image), never.clone());
        silent.set(&referrers_path(&image), never);
        let client = client.clone();
        tokio::spawn(async move { client.fetch(&image, &nobody()).await });
    }
    while silent.take_requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let start = Instant::now();
    let artifact = client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(artifact.bundles.len(), 3);
    assert!(start.elapsed() < LONG / 4, "{:?}", start.elapsed());
}

/// What is said of one image with one bundle of so many bytes, annotated with this kind, where the
/// registry has this limit for bills of materials.
async fn one_bundle(length: usize, kind: &str, sbom_mebibytes: u8) -> Result<usize, FetchError> {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let bundle = registry.bundle(&vec![b' '; length], kind);
    registry.referrers(&image, &[bundle]);
    let listed = Registry {
        limits: Limits {
            sbom_mebibytes,
            ..Limits::default()
        },
        ..Registry::plain_http(&registry.address)
    };
    let client = client_of(vec![listed], LONG, 1 << 20, 32 << 20);
    let artifact = client.fetch(&image, &nobody()).await?;
    Ok(artifact.bundles.len())
}

#[tokio::test]
async fn a_bill_of_materials_may_be_as_long_as_its_registry_says() {
    const LENGTH: usize = (16 << 20) + 1;
    let refused = |outcome: Result<usize, FetchError>, words: &str| {
        let error = outcome.unwrap_err();
        expect((error.cause(), error.to_string()), Cause::Truncated, words);
    };
    assert_eq!(one_bundle(LENGTH, SPDX, 17).await, Ok(1));
    // Half as much again as one image may otherwise hold.
    assert_eq!(one_bundle(36 << 20, SPDX, 40).await, Ok(1));
    refused(
        one_bundle(LENGTH, SPDX, 16).await,
        "more than 16777216 bytes in a bill of materials, the limit that limits.sbomMebibytes",
    );
    let lower = one_bundle((1 << 20) + 1, CYCLONEDX, 1).await;
    refused(lower, "limits.sbomMebibytes");
    // Of nothing else.
    let custom = one_bundle(LENGTH, "https://example.com/custom/v1", 17).await;
    refused(custom, "there are more than 16777216 bytes");
    assert_eq!(one_bundle((1 << 20) + 1, "custom", 1).await, Ok(1));
}

#[tokio::test]
async fn a_bill_that_is_longer_than_announced_is_refused_with_its_limit() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let long = registry.bundle(&vec![b' '; (1 << 20) + 1], SPDX);
    let digest = Digest::of(&vec![b' '; (1 << 20) + 1]);
    drop(long);
    let layer = json!({"mediaType": BUNDLE, "digest": digest, "size": 1});
    let manifest = registry.manifest(
        &json!({"mediaType": MANIFEST, "config": {}, "layers": [layer],
        "annotations": {"dev.sigstore.bundle.predicateType": SPDX}}),
    );
    let carrier = json!({"mediaType": MANIFEST, "digest": manifest, "size": 10_000});
    registry.referrers(&image, &[carrier]);
    let listed = Registry {
        limits: Limits {
            sbom_mebibytes: 1,
            ..Limits::default()
        },
        ..Registry::plain_http(&registry.address)
    };
    let client = client_of(vec![listed], LONG, 1 << 20, 32 << 20);
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "limits.sbomMebibytes",
    );
}

/// A registry with one image and one bundle of 100 kB.
async fn with_large() -> (LyingRegistry, ImageReference) {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let large = registry.bundle(&vec![b' '; 100_000], "spdx");
    registry.referrers(&image, &[large]);
    (registry, image)
}

#[tokio::test]
async fn what_does_not_fit_into_memory_beside_the_rest_is_unreachable_until_it_does() {
    let (one, first) = with_large().await;
    let (other, second) = with_large().await;
    let client = client(&[&one, &other], Duration::from_secs(2), 1 << 20, 160_000);
    let held = client.fetch(&first, &nobody()).await.unwrap();
    let cached = held.places.clone();
    let error = client.fetch(&second, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Unreachable,
        "for 2 seconds there was no memory for it",
    );
    assert!(
        client.read_cached(&first, &nobody(), &cached).is_none(),
        "not twice"
    );
    drop(held);
    assert_eq!(
        client
            .fetch(&second, &nobody())
            .await
            .unwrap()
            .bundles
            .len(),
        1
    );
    assert!(client.read_cached(&first, &nobody(), &cached).is_some());
}

#[tokio::test]
async fn an_image_beyond_its_share_of_memory_is_truncated_before_its_bundles_are_read() {
    let (registry, image) = with_large().await;
    let client = client(&[&registry], LONG, 1 << 20, 120_000);
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "more than 90000 bytes in all",
    );
    assert_eq!(registry.take_requests().len(), 3, "no bundle");
}

/// All the memory that `flood` may have, until it is dropped.
fn hold_for_flood(client: &RegistryClient, image: &ImageReference) -> Vec<Budget> {
    let shares = &client.inner.shares;
    let lane = client.inner.lane(image);
    let held: Vec<_> = (0..2).map(|_| shares.budget(&lane, "flood")).collect();
    assert!(held.iter().all(|budget| budget.try_take(30_000)));
    held
}

/// Of its own memory; that of the registry is free, and others are not told of it.
#[tokio::test]
async fn a_namespace_that_waits_for_its_own_memory_is_told_so() {
    let (registry, image, _) = with_three().await;
    let client = client(&[&registry], Duration::from_secs(1), 1 << 20, 160_000);
    let held = hold_for_flood(&client, &image);
    let flood = Credentials::anonymous("flood");
    let error = client.fetch(&image, &flood).await.unwrap_err();
    let said = "1 of which it waited for the namespace's share of requests and memory";
    let found = (error.cause(), error.to_string());
    expect(found, Cause::Unreachable, said);
    assert!(client.fetch(&image, &nobody()).await.is_ok());
    drop(held);
    assert!(client.fetch(&image, &flood).await.is_ok());
}

/// It waited too, but most of the time the registry took: that is told to all.
#[tokio::test]
async fn a_registry_that_is_slow_is_said_to_be_slow_though_one_waited_for_its_share() {
    let (registry, image, _) = with_three().await;
    let mut subject = registry.reply(&subject_path(&image));
    subject.delay = Duration::from_secs(9);
    registry.set(&subject_path(&image), subject);
    let client = client(&[&registry], Duration::from_secs(2), 1 << 20, 160_000);
    let held = hold_for_flood(&client, &image);
    let flood = Credentials::anonymous("flood");
    let fetch = client.fetch(&image, &flood);
    let release = async {
        tokio::time::sleep(Duration::from_millis(600)).await;
        drop(held);
    };
    let (fetched, ()) = tokio::join!(fetch, release);
    let problem = fetched.unwrap_err().problem;
    assert_eq!((problem.account(), &problem), (None, &Problem::Deadline(2)));
}

/// Whoever joined the look of a namespace that may ask no more looks on its own account, also where
/// others joined it too and have not heard of its end.
#[tokio::test]
async fn who_joined_the_look_of_one_that_may_not_ask_is_answered() {
    let (registry, image, _) = with_three().await;
    let listed = sparing(&registry.address, 20);
    let client = client_of(vec![listed], LONG, 1 << 20, 32 << 20);
    // The manifest is asked for after five seconds, and the list is refused.
    use_up(&client, &image, "flood", 24);
    let look = |namespace: &'static str| {
        let (client, image) = (client.clone(), image.clone());
        let who = Credentials::anonymous(namespace);
        tokio::spawn(async move { client.fetch(&image, &who).await })
    };
    let all = ["flood", "shop", "other", "third"].map(look);
    let mut ended = futures::future::join_all(all).await.into_iter();
    let error = ended.next().unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("used up its share"), "{error}");
    for seen in ended {
        assert_eq!(seen.unwrap().unwrap().bundles.len(), 3);
    }
}
