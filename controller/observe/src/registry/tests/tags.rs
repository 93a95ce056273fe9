//! What lies under tags: the fallback list beside a referrers API that answers, and older formats.

use lockmaster_core::facts::Cause;
use lockmaster_core::release::Digest;
use lockmaster_verify::Candidate;
use serde_json::{Value, json};

use super::super::Reach;
use super::super::lying::{
    BUNDLE, INDEX, LyingRegistry, MANIFEST, Reply, fallback_path, index, nobody, referrers_path,
    subject_path,
};
use super::{expect, with_three};

#[tokio::test]
async fn the_fallback_tag_is_read_beside_the_api_only_when_asked_for() {
    let (registry, image, descriptors) = with_three().await;
    registry.referrers(&image, &descriptors[..1]);
    let list = Reply::ok(INDEX, index(&descriptors));
    registry.set(&fallback_path(&image), list);
    let client = registry.client();
    let first = client
        .look(&image, &nobody(), Reach::Referrers)
        .await
        .unwrap();
    assert_eq!(first.bundles.len(), 1);
    assert_eq!(registry.take_requests().len(), 4);
    let all = client.look(&image, &nobody(), Reach::Tags).await.unwrap();
    assert_eq!(all.bundles.len(), 3, "each once");
    let asked = registry.take_requests();
    assert_eq!(asked.len(), 4 + 2 * 2, "lists, and what is new: {asked:?}");
    assert!(!asked.contains(&subject_path(&image)));
}

#[tokio::test]
async fn where_the_api_is_absent_the_tag_is_read_once() {
    let (registry, image, descriptors) = with_three().await;
    registry.set(&referrers_path(&image), Reply::status(404));
    let list = Reply::ok(INDEX, index(&descriptors));
    registry.set(&fallback_path(&image), list);
    let client = registry.client();
    for requests in [9 + 2, 1 + 2] {
        let all = client.look(&image, &nobody(), Reach::Tags).await.unwrap();
        assert_eq!(all.bundles.len(), 3);
        let asked = registry.take_requests();
        assert_eq!(asked.len(), requests, "{asked:?}");
    }
}

#[tokio::test]
async fn both_lists_share_one_cap() {
    let (registry, image, _) = with_three().await;
    let junk = |number: usize| {
        let digest = registry.manifest(&json!({"config": {}, "layers": [], "number": number}));
        json!({"mediaType": MANIFEST, "digest": digest, "size": 100})
    };
    let all: Vec<_> = (0..129).map(junk).collect();
    registry.referrers(&image, &all[..128]);
    let list = |from: usize| Reply::ok(INDEX, index(&all[from..]));
    registry.set(&fallback_path(&image), list(64));
    registry.take_requests();
    let client = registry.client();
    let error = client
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "more than 128 referrers",
    );
    assert_eq!(registry.take_requests().len(), 5, "no further bytes");
    registry.referrers(&image, &all[..64]);
    assert!(client.look(&image, &nobody(), Reach::Tags).await.is_err());
    registry.set(&fallback_path(&image), list(65));
    client.look(&image, &nobody(), Reach::Tags).await.unwrap();
}

fn signature(text: &str) -> Value {
    json!({"dev.cosignproject.cosign/signature": text, "org.example/note": text})
}

/// An image with nothing but older formats: two signatures over one payload, and two attestations.
async fn with_older() -> (LyingRegistry, lockmaster_core::release::ImageReference) {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let twice = [signature("a"), signature("b"), signature("b")];
    let layers = twice.map(|annotations| (b"payload".as_slice(), annotations));
    registry.older_format(&image, "sig", &layers);
    let kind = |kind: &str| json!({"predicateType": kind, "dev.sigstore.cosign/bundle": ""});
    registry.older_format(
        &image,
        "att",
        &[(b"one", kind("spdx")), (b"two", kind("slsa"))],
    );
    (registry, image)
}

#[tokio::test]
async fn older_formats_are_read_with_their_annotations_each_once() {
    let (registry, image) = with_older().await;
    let client = registry.client();
    let first = client
        .look(&image, &nobody(), Reach::Referrers)
        .await
        .unwrap();
    assert!(first.bundles.is_empty());
    assert_eq!(registry.take_requests().len(), 2, "no tag is asked for");
    let all = client.look(&image, &nobody(), Reach::Tags).await.unwrap();
    let asked = registry.take_requests();
    assert_eq!(asked.len(), 4 + 3, "one payload is read once: {asked:?}");
    let found: Vec<_> = all
        .bundles
        .iter()
        .map(|bundle| match &bundle.candidate {
            Candidate::LegacySignature {
                payload,
                annotations,
            } => (payload.as_slice(), annotations.clone()),
            Candidate::LegacyAttestation {
                envelope,
                annotations,
            } => (envelope.as_slice(), annotations.clone()),
            bundle @ Candidate::Bundle(_) => panic!("{bundle:?}"),
        })
        .collect();
    let bytes: Vec<_> = found.iter().map(|(bytes, _)| *bytes).collect();
    assert_eq!(bytes, [b"payload".as_slice(), b"payload", b"one", b"two"]);
    let key = "dev.cosignproject.cosign/signature";
    assert_eq!((&*found[0].1[key], &*found[1].1[key]), ("a", "b"));
    assert_eq!(found[0].1.len(), 1, "only what is judged");
    let cached = client.read_cached(&image, &nobody(), &all.places).unwrap();
    let ids = |bundles: &[super::super::CandidateBundle]| {
        bundles.iter().map(|b| b.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&cached.bundles), ids(&all.bundles));
    assert!(registry.take_requests().is_empty());
}

#[tokio::test]
async fn each_format_counts_only_in_its_own_place() {
    let (registry, image) = with_older().await;
    let signatures = format!("{}.sig", fallback_path(&image));
    // What is listed as a referrer is no older format, whatever its layers call themselves.
    let older = registry.reply(&signatures);
    let manifest: Value = serde_json::from_slice(&older.body).unwrap();
    let digest = registry.manifest(&manifest);
    let descriptor = json!({"mediaType": MANIFEST, "digest": digest, "size": older.body.len()});
    registry.referrers(&image, &[descriptor]);
    let listed = registry
        .client()
        .look(&image, &nobody(), Reach::Referrers)
        .await;
    assert!(listed.unwrap().bundles.is_empty());
    // Nor is a bundle, or an attestation, one under the tag of signatures.
    let attestations = registry.reply(&format!("{}.att", fallback_path(&image)));
    registry.set(&signatures, attestations);
    let all = registry
        .client()
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap();
    let none = |kind: fn(&Candidate) -> bool| !all.bundles.iter().any(|b| kind(&b.candidate));
    assert_eq!(all.bundles.len(), 2);
    assert!(none(|one| matches!(one, Candidate::LegacySignature { .. })));
    let layers = json!([{"mediaType": BUNDLE, "digest": Digest::of(b"one"), "size": 3}]);
    let body = json!({"mediaType": MANIFEST, "config": {}, "layers": layers}).to_string();
    registry.set(&signatures, Reply::ok(MANIFEST, body));
    let all = registry
        .client()
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap();
    assert_eq!(all.bundles.len(), 2);
}

#[tokio::test]
async fn a_tag_that_lies_fails_the_look_and_one_that_is_gone_does_not() {
    let (registry, image) = with_older().await;
    let signatures = format!("{}.sig", fallback_path(&image));
    let honest = registry.reply(&signatures);
    for (reply, cause, words) in [
        (Reply::status(503), Cause::Unreachable, "answered 503"),
        (Reply::status(403), Cause::Forbidden, "answered 403"),
        (
            Reply::ok(INDEX, index(&[])),
            Cause::Untrustworthy,
            "it is no manifest",
        ),
        (
            Reply::ok("text/html", "<html>"),
            Cause::Untrustworthy,
            "not readable JSON",
        ),
        (
            Reply::ok(MANIFEST, vec![b' '; (4 << 20) + 1]),
            Cause::Truncated,
            "more than 4194304 bytes",
        ),
        (
            Reply::status(307).header("Location", "https://example.com/x"),
            Cause::Untrustworthy,
            "followed for blobs only",
        ),
    ] {
        registry.set(&signatures, reply);
        let error = registry.client().look(&image, &nobody(), Reach::Tags).await;
        let error = error.unwrap_err();
        assert!(error.what.contains(".sig of"), "{error}");
        expect((error.cause(), error.to_string()), cause, words);
    }
    registry.set(&signatures, Reply::status(404));
    let left = registry
        .client()
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap();
    assert_eq!(left.bundles.len(), 2);
    registry.set(&signatures, honest);
    let payload = format!("/v2/shop/checkout/blobs/{}", Digest::of(b"payload"));
    registry.set(&payload, Reply::status(404));
    let left = registry
        .client()
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap();
    assert_eq!(left.bundles.len(), 2, "a layer that is gone is left out");
    registry.set(&payload, Reply::ok("x", "another"));
    let error = registry.client().look(&image, &nobody(), Reach::Tags).await;
    expect(
        (
            error.as_ref().unwrap_err().cause(),
            error.unwrap_err().to_string(),
        ),
        Cause::Untrustworthy,
        "the registry sent",
    );
}

#[tokio::test]
async fn older_formats_share_the_caps() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let names: Vec<_> = (0..33).map(|number| number.to_string()).collect();
    let layers: Vec<_> = names
        .iter()
        .map(|name| (b"payload".as_slice(), signature(name)))
        .collect();
    registry.older_format(&image, "sig", &layers[..32]);
    let client = registry.client();
    let all = client.look(&image, &nobody(), Reach::Tags).await.unwrap();
    assert_eq!(all.bundles.len(), 32);
    registry.older_format(&image, "sig", &layers);
    let error = client
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "more than 32 bundles of one kind",
    );
    let attestations: Vec<_> = (0..97)
        .map(|number| {
            (
                names[number % 33].as_bytes(),
                json!({"predicateType": number.to_string(),
            "dev.sigstore.cosign/bundle": number.to_string()}),
            )
        })
        .collect();
    registry.older_format(&image, "sig", &layers[..32]);
    registry.older_format(&image, "att", &attestations[..96]);
    let all = client.look(&image, &nobody(), Reach::Tags).await.unwrap();
    assert_eq!(all.bundles.len(), 128);
    registry.older_format(&image, "att", &attestations);
    let error = client
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "more than 128 bundles",
    );
    let huge = json!([{"mediaType": super::super::lying::ENVELOPE, "digest": Digest::of(b"one"),
        "size": (16 << 20) + 1}]);
    let body = json!({"mediaType": MANIFEST, "config": {}, "layers": huge}).to_string();
    let path = format!("{}.att", fallback_path(&image));
    registry.set(&path, Reply::ok(MANIFEST, body));
    let error = client
        .look(&image, &nobody(), Reach::Tags)
        .await
        .unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "more than 16777216 bytes",
    );
}
