//! Referrers that are none, are gone, cannot be read, or come under a wrong media type.

use lockmaster_core::facts::Cause;
use lockmaster_core::release::Digest;
use serde_json::json;

use super::super::lying::{INDEX, MANIFEST, Reply, nobody, subject_path};
use super::{expect, failure, with_three};

#[tokio::test]
async fn what_is_no_carrier_is_left_out_and_what_is_gone_too() {
    let (registry, image, mut descriptors) = with_three().await;
    let index = registry.manifest(&json!({"mediaType": INDEX, "manifests": []}));
    let other = registry.manifest(&json!({"config": {}, "layers": [
        {"mediaType": "text/plain", "digest": Digest::of(b"spdx"), "size": 4}]}));
    let old = Digest::of(b"old bundle");
    registry.set(
        &format!("/v2/shop/checkout/blobs/{old}"),
        Reply::ok("x", "old bundle"),
    );
    let old = registry.manifest(&json!({"config": {}, "layers": [
        {"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1", "digest": old, "size": 10}]}));
    for digest in [index, other, Digest::of(b"gone"), old] {
        descriptors.push(json!({"mediaType": MANIFEST, "digest": digest, "size": 10}));
    }
    descriptors.push(json!({"mediaType": INDEX, "digest": Digest::of(b"index"), "size": 10}));
    descriptors.push(json!({"mediaType": MANIFEST, "digest": "sha512:ab", "size": 10}));
    descriptors.push(descriptors[0].clone());
    registry.referrers(&image, &descriptors);
    let bundles = &registry
        .client()
        .fetch(&image, &nobody())
        .await
        .unwrap()
        .bundles;
    assert_eq!(
        bundles.len(),
        4,
        "three, and the old one, to be named as refused"
    );
    assert_eq!(registry.take_requests().len(), 2 + 3 + 4 + 4);
}

#[tokio::test]
async fn a_carrier_that_cannot_be_read_fails_the_whole() {
    let (registry, image, mut descriptors) = with_three().await;
    let both = registry.manifest(&json!({"manifests": [], "config": {}, "layers": []}));
    descriptors.push(json!({"mediaType": MANIFEST, "digest": both, "size": 10}));
    registry.referrers(&image, &descriptors);
    let found = failure(&registry, &image).await;
    assert!(
        found.1.contains(&format!("the referrer {both}")),
        "{}",
        found.1
    );
    expect(found, Cause::Untrustworthy, "both a manifest and an index");
}

#[tokio::test]
async fn a_wrong_media_type_is_not_remembered() {
    let (registry, image, descriptors) = with_three().await;
    let client = registry.client();
    let manifest = json!({"mediaType": MANIFEST, "config": {}, "layers": []}).to_string();
    registry.set_once(&subject_path(&image), Reply::ok("text/html", manifest));
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        "it came as \"text/html\"",
    );
    let carrier = descriptors[0]["digest"].as_str().unwrap();
    let path = format!("/v2/shop/checkout/manifests/{carrier}");
    let honest = registry.reply(&path);
    registry.set_once(&path, Reply::ok("text/html", honest.body));
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        carrier,
    );
    assert_eq!(
        client.fetch(&image, &nobody()).await.unwrap().bundles.len(),
        3
    );
}
