//! What the client makes of a registry that lies: the cause, the words and the exact requests.

mod carriers;
mod credentials;
mod gaps;
mod layout;
mod lies;
mod limits;
mod mirrors;
mod places;
mod tags;

use std::time::{Duration, Instant};

use lockmaster_core::facts::Cause;
use lockmaster_core::release::{Digest, ImageReference};
use lockmaster_verify::Candidate;
use serde_json::{Value, json};

use super::lying::{
    INDEX, LyingRegistry, MANIFEST, Reply, config, fallback_path, index, nobody, referrers_path,
    subject_path,
};
use super::{CandidateBundle, RegistryClient};

/// A registry with one image and three bundles; the descriptors of the carriers.
async fn with_three() -> (LyingRegistry, ImageReference, Vec<Value>) {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let kinds = [
        "https://sigstore.dev/cosign/sign/v1",
        "https://slsa.dev/provenance/v1",
        "spdx",
    ];
    let descriptors: Vec<_> = kinds
        .iter()
        .map(|kind| registry.bundle(kind.as_bytes(), kind))
        .collect();
    registry.referrers(&image, &descriptors);
    (registry, image, descriptors)
}

/// The bytes of a Sigstore bundle.
#[track_caller]
fn bytes(bundle: &CandidateBundle) -> &[u8] {
    match &bundle.candidate {
        Candidate::Bundle(bytes) => bytes,
        older @ (Candidate::LegacySignature { .. } | Candidate::LegacyAttestation { .. }) => {
            panic!("{older:?}")
        }
    }
}

/// Fetches and returns the cause and the words of the failure.
async fn failure(registry: &LyingRegistry, image: &ImageReference) -> (Cause, String) {
    let error = registry.client().fetch(image, &nobody()).await.unwrap_err();
    (error.cause(), error.to_string())
}

#[track_caller]
fn expect((cause, text): (Cause, String), expected: Cause, words: &str) {
    assert_eq!(cause, expected, "{text}");
    assert!(text.contains(words), "{text}");
}

#[tokio::test]
async fn three_bundles_cost_exactly_eight_requests() {
    let (registry, image, _) = with_three().await;
    let client = registry.client();
    let artifact = client.fetch(&image, &nobody()).await.unwrap();
    let requests = registry.take_requests();
    assert_eq!(requests.len(), 8, "{requests:#?}");
    assert_eq!(registry.user_agents(), ["test"; 8], "each says who asks");
    assert_eq!(
        requests
            .iter()
            .filter(|path| path.contains("/referrers/"))
            .count(),
        1
    );
    assert_eq!(
        requests
            .iter()
            .filter(|path| path.contains("/blobs/"))
            .count(),
        3
    );
    assert_eq!(Digest::of(&artifact.manifest), *image.digest());
    let bodies: Vec<_> = artifact
        .bundles
        .iter()
        .map(|bundle| String::from_utf8_lossy(bytes(bundle)))
        .collect();
    assert_eq!(
        bodies[1], "https://slsa.dev/provenance/v1",
        "in the registry's order"
    );
    let cached = client
        .read_cached(&image, &nobody(), &artifact.places)
        .unwrap();
    assert_eq!(cached.bundles.len(), 3);
    assert_eq!(registry.take_requests().len(), 0);
    client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(
        registry.take_requests(),
        [referrers_path(&image)],
        "absence is never cached"
    );
}

#[tokio::test]
async fn the_same_image_asked_for_at_once_is_one_flight() {
    let (registry, image, _) = with_three().await;
    let client = registry.client();
    let nobody = nobody();
    let fetches = (0..20).map(|_| client.fetch(&image, &nobody));
    let all = futures::future::join_all(fetches).await;
    assert!(
        all.iter()
            .all(|one| one.as_ref().unwrap().bundles.len() == 3)
    );
    assert_eq!(registry.take_requests().len(), 8);
}

/// CVE-2022-47633, GHSA-m3cq-xcx9-3gvm: another manifest at the second fetch. CVE-2023-47630,
/// GHSA-3hfq-cx9j-923w: a digest that the registry chose. And registries that lie, are written to or
/// bring back what was deleted: CVE-2025-24976, CVE-2024-39897, CVE-2025-23208, CVE-2026-31801,
/// CVE-2026-35172, CVE-2026-41888.
#[tokio::test]
async fn another_body_than_the_digest_is_refused_also_at_the_second_fetch() {
    let (registry, image, _) = with_three().await;
    let client = registry.client_with(Duration::from_secs(5), 0);
    client.fetch(&image, &nobody()).await.unwrap();
    let other = r#"{"config":{},"layers":[{}]}"#;
    registry.set(&subject_path(&image), Reply::ok(MANIFEST, other));
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        &Digest::of(other.as_bytes()).to_string(),
    );

    let (registry, image, _) = with_three().await;
    let blob = format!("/v2/shop/checkout/blobs/{}", Digest::of(b"spdx"));
    registry.set(&blob, Reply::ok("x", "another"));
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "failed to read a bundle of",
    );
}

/// CVE-2021-41190, with GHSA-mc8v-mgrf-8f4m, GHSA-77vh-xpmg-72qh, GHSA-5j5w-g665-5m35 and
/// GHSA-qq97-vm5h-rrhg: bytes that were a manifest to one reader and an index to another.
#[tokio::test]
async fn type_confusion_is_refused() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let body = json!({"mediaType": MANIFEST, "config": {}, "layers": []}).to_string();
    registry.set(&subject_path(&image), Reply::ok(INDEX, body));
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "calls itself",
    );

    let digest = registry
        .manifest(&json!({"mediaType": INDEX, "manifests": [], "config": {}, "layers": []}));
    let image = image.with_digest(digest);
    registry.referrers(&image, &[]);
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "both a manifest and an index",
    );
}

#[tokio::test]
async fn indexes_and_schema_2_manifests_are_subjects_too() {
    let registry = LyingRegistry::start().await;
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    for manifest in [
        json!({"mediaType": INDEX, "manifests": []}),
        json!({"mediaType": docker, "config": {}, "layers": []}),
        json!({"config": {}, "layers": []}),
    ] {
        let image = registry.image().with_digest(registry.manifest(&manifest));
        registry.referrers(&image, &[]);
        assert!(
            registry
                .client()
                .fetch(&image, &nobody())
                .await
                .unwrap()
                .bundles
                .is_empty(),
            "{manifest}"
        );
    }
}

#[tokio::test]
async fn broken_endless_and_slow_answers() {
    let (registry, image, _) = with_three().await;
    let blob = format!("/v2/shop/checkout/blobs/{}", Digest::of(b"spdx"));
    let honest = Reply::ok("x", "spdx");
    registry.set(
        &blob,
        Reply {
            truncated: true,
            ..honest.clone()
        },
    );
    expect(
        failure(&registry, &image).await,
        Cause::Unreachable,
        "failed to read a bundle of",
    );
    registry.set(
        &blob,
        Reply {
            endless: true,
            ..honest.clone()
        },
    );
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 16777216 bytes",
    );
    registry.set(&blob, Reply::ok("x", vec![0; (16 << 20) + 1]));
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 16777216 bytes",
    );
    registry.set(&blob, honest.clone().header("Content-Encoding", "gzip"));
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "sent it encoded",
    );
    registry.set(
        &blob,
        Reply {
            delay: Duration::from_mins(1),
            ..honest
        },
    );
    let client = registry.client_with(Duration::from_secs(1), 0);
    let start = Instant::now();
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Unreachable,
        "longer than 1 seconds",
    );
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn redirects_are_for_blobs_https_and_public_addresses() {
    let (registry, image, _) = with_three().await;
    let blob = format!("/v2/shop/checkout/blobs/{}", Digest::of(b"spdx"));
    let to = |url: &str| Reply::status(307).header("Location", url);
    for (url, cause, words) in [
        ("http://example.com/x", Cause::Untrustworthy, "not https"),
        (
            "https://me:secret@example.com/x",
            Cause::Untrustworthy,
            "credentials in it",
        ),
        (
            "https://127.0.0.1:1/x",
            Cause::Forbidden,
            "127.0.0.1 has the address 127.0.0.1",
        ),
        ("https://[::1]/x", Cause::Forbidden, "which is not public"),
        (
            "https://169.254.169.254/latest",
            Cause::Forbidden,
            "which is not public",
        ),
        (
            "https://localhost:1/x",
            Cause::Forbidden,
            "localhost has the address",
        ),
    ] {
        registry.set(&blob, to(url));
        let found = failure(&registry, &image).await;
        assert!(!found.1.contains("secret"), "{}", found.1);
        expect(found, cause, words);
    }
    registry.set(&subject_path(&image), to("https://example.com/manifest"));
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "followed for blobs only",
    );
}

#[tokio::test]
async fn only_listed_registries_may_be_on_loopback() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let client = RegistryClient::new(&config(&[])).unwrap();
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Forbidden,
        "not public",
    );
    let text = image.to_string().replace("127.0.0.1", "localhost");
    let error = client
        .fetch(&ImageReference::parse(&text).unwrap(), &nobody())
        .await
        .unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Forbidden,
        "localhost has the address",
    );
    assert!(registry.take_requests().is_empty());
}

#[tokio::test]
async fn pages_are_followed_on_the_same_host_and_five_at_most() {
    let (registry, image, descriptors) = with_three().await;
    let page = |from: usize, next: &str| {
        Reply::ok(INDEX, index(&descriptors[from..=from]))
            .header("Link", format!("<{next}>; rel=\"next\""))
    };
    registry.set(&referrers_path(&image), page(0, "/page2"));
    registry.set("/page2", page(1, "/page3"));
    registry.set("/page3", Reply::ok(INDEX, index(&descriptors[2..])));
    assert_eq!(
        registry
            .client()
            .fetch(&image, &nobody())
            .await
            .unwrap()
            .bundles
            .len(),
        3
    );
    assert_eq!(registry.take_requests().len(), 10);
    registry.set("/page3", page(2, "/page3"));
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 5 pages",
    );
    registry.set("/page3", page(2, "https://evil.example/page"));
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "on another host",
    );
}

#[tokio::test]
async fn without_the_api_the_fallback_tag_is_read_and_that_is_remembered() {
    let (registry, image, descriptors) = with_three().await;
    registry.set(&referrers_path(&image), Reply::status(404));
    registry.set(
        &fallback_path(&image),
        Reply::ok(INDEX, index(&descriptors)),
    );
    let client = registry.client_with(Duration::from_secs(5), 0);
    assert_eq!(
        client.fetch(&image, &nobody()).await.unwrap().bundles.len(),
        3
    );
    assert_eq!(registry.take_requests().len(), 9);
    assert_eq!(
        client.fetch(&image, &nobody()).await.unwrap().bundles.len(),
        3
    );
    let requests = registry.take_requests();
    assert_eq!(requests.len(), 8, "{requests:#?}");
    assert!(!requests.contains(&referrers_path(&image)));
    let known = |image: &ImageReference| {
        let inner = &client.inner;
        inner.knows_no_referrers(nobody().identity(), image)
    };
    let elsewhere = image.to_string().replace("/checkout@", "/cart@");
    assert!(known(&image), "for ten minutes");
    assert!(
        !known(&ImageReference::parse(&elsewhere).unwrap()),
        "of this repository"
    );
    for until in super::lock(&client.inner.no_referrers).values_mut() {
        let left = until.duration_since(Instant::now());
        assert!(left > Duration::from_secs(590) && left <= Duration::from_mins(10));
        *until -= left;
    }
    assert!(!known(&image), "no longer");
    registry.set(&fallback_path(&image), Reply::status(404));
    assert!(
        client
            .fetch(&image, &nobody())
            .await
            .unwrap()
            .bundles
            .is_empty()
    );
}

#[tokio::test]
async fn a_404_means_no_api_only_when_the_subject_is_there() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let missing = image.with_digest(Digest::of(b"nothing"));
    let client = registry.client();
    let error = client.fetch(&missing, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Missing,
        "the registry does not have it",
    );
    assert_eq!(
        registry.take_requests(),
        [subject_path(&missing), referrers_path(&missing)]
    );

    let unknown = Reply {
        body: br#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#.to_vec(),
        ..Reply::status(404)
    };
    registry.set(&referrers_path(&image), unknown);
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        "NAME_UNKNOWN",
    );
    registry.referrers(&image, &[]);
    registry.take_requests();
    client.fetch(&image, &nobody()).await.unwrap();
    assert!(
        registry.take_requests().contains(&referrers_path(&image)),
        "nothing was remembered"
    );
}

#[tokio::test]
async fn overload_is_unreachable_and_no_absence() {
    let (registry, image, _) = with_three().await;
    for status in [429, 500, 503] {
        registry.set(&referrers_path(&image), Reply::status(status));
        expect(
            failure(&registry, &image).await,
            Cause::Unreachable,
            &format!("answered {status}"),
        );
        assert!(!registry.take_requests().contains(&fallback_path(&image)));
    }
    registry.set(&referrers_path(&image), Reply::status(405));
    expect(
        failure(&registry, &image).await,
        Cause::Untrustworthy,
        "answered 405",
    );
    let image =
        ImageReference::parse(&format!("127.0.0.1:1/shop/checkout@{}", image.digest())).unwrap();
    let error = RegistryClient::new(&config(&["127.0.0.1:1"]))
        .unwrap()
        .fetch(&image, &nobody())
        .await
        .unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Unreachable,
        "failed to read the manifest of",
    );
}

/// CVE-2023-46737, GHSA-vfp6-jrw2-99g9, CVE-2024-45395, GHSA-cq38-jh5f-37mq, CVE-2023-33957,
/// CVE-2023-33958: attachments without end.
#[tokio::test]
async fn many_referrers_hide_nothing_up_to_the_cap_and_truncate_above() {
    let (registry, image, descriptors) = with_three().await;
    let junk = |number: usize| {
        let digest = registry.manifest(&json!({"config": {}, "layers": [], "number": number}));
        json!({"mediaType": MANIFEST, "digest": digest, "size": 100})
    };
    let mut all: Vec<_> = (0..125).map(junk).collect();
    all.extend(descriptors);
    registry.referrers(&image, &all);
    assert_eq!(
        registry
            .client()
            .fetch(&image, &nobody())
            .await
            .unwrap()
            .bundles
            .len(),
        3
    );
    all.extend((125..197).map(junk));
    assert_eq!(all.len(), 200);
    registry.referrers(&image, &all);
    registry.take_requests();
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 128 referrers",
    );
    assert_eq!(registry.take_requests().len(), 2, "no further bytes");
}

#[tokio::test]
async fn one_kind_has_a_cap_of_its_own_and_sizes_are_believed_when_too_large() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let many: Vec<_> = (0..33)
        .map(|n| registry.bundle(format!("{n}").as_bytes(), "spdx"))
        .collect();
    registry.referrers(&image, &many[..32]);
    assert_eq!(
        registry
            .client()
            .fetch(&image, &nobody())
            .await
            .unwrap()
            .bundles
            .len(),
        32
    );
    registry.referrers(&image, &many);
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 32 bundles of one kind",
    );
    let huge = json!({"mediaType": MANIFEST, "digest": many[0]["digest"], "size": 5 << 20});
    registry.referrers(&image, &[huge]);
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 4194304 bytes",
    );
}
