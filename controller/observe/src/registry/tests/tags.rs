//! What lies under tags: the fallback list beside a referrers API that answers.

use lockmaster_core::facts::Cause;
use serde_json::json;

use super::super::Reach;
use super::super::lying::{
    INDEX, MANIFEST, Reply, fallback_path, index, referrers_path, subject_path,
};
use super::{expect, with_three};

#[tokio::test]
async fn the_fallback_tag_is_read_beside_the_api_only_when_asked_for() {
    let (registry, image, descriptors) = with_three().await;
    registry.referrers(&image, &descriptors[..1]);
    let list = Reply::ok(INDEX, index(&descriptors));
    registry.set(&fallback_path(&image), list);
    let client = registry.client();
    let first = client.look(&image, Reach::Referrers).await.unwrap();
    assert_eq!(first.bundles.len(), 1);
    assert_eq!(registry.take_requests().len(), 4);
    let all = client.look(&image, Reach::Tags).await.unwrap();
    assert_eq!(all.bundles.len(), 3, "each once");
    let asked = registry.take_requests();
    assert_eq!(asked.len(), 2 + 2 * 2, "lists, and what is new: {asked:?}");
    assert!(!asked.contains(&subject_path(&image)));
}

#[tokio::test]
async fn where_the_api_is_absent_the_tag_is_read_once() {
    let (registry, image, descriptors) = with_three().await;
    registry.set(&referrers_path(&image), Reply::status(404));
    let list = Reply::ok(INDEX, index(&descriptors));
    registry.set(&fallback_path(&image), list);
    let client = registry.client();
    for requests in [9, 1] {
        let all = client.look(&image, Reach::Tags).await.unwrap();
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
    let error = client.look(&image, Reach::Tags).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Truncated,
        "more than 128 referrers",
    );
    assert_eq!(registry.take_requests().len(), 3, "no further bytes");
    registry.referrers(&image, &all[..64]);
    assert!(client.look(&image, Reach::Tags).await.is_err());
    registry.set(&fallback_path(&image), list(65));
    client.look(&image, Reach::Tags).await.unwrap();
}
