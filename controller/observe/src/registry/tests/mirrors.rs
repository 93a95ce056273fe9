//! Mirrors are asked first for what has a hash, and a lie of theirs is passed over.

use std::time::{Duration, Instant};

use lockmaster_core::facts::Cause;
use lockmaster_core::release::ImageReference;
use serde_json::{Value, json};

use super::super::lying::{
    LyingRegistry, MANIFEST, Reply, client_of, index, nobody, referrers_path, sparing,
    subject_path, use_up,
};
use super::super::{Credentials, Mirror, Registry, RegistryClient};
use super::credentials::{basic, of_tenant};
use super::{expect, with_three};

fn mirror(host: &str) -> Mirror {
    Mirror {
        host: host.to_owned(),
        plain_http: true,
        private_addresses: true,
        ..Mirror::default()
    }
}

fn mirrored(registry: &str, mirrors: Vec<Mirror>) -> RegistryClient {
    let listed = Registry {
        mirrors,
        ..Registry::plain_http(registry)
    };
    client_of(vec![listed], Duration::from_secs(9), 1 << 20, 32 << 20)
}

/// A registry, and another one with the same content.
async fn two() -> (LyingRegistry, LyingRegistry, ImageReference, Vec<Value>) {
    let (registry, image, descriptors) = with_three().await;
    let (copy, ..) = with_three().await;
    copy.referrers(&image, &descriptors);
    (registry, copy, image, descriptors)
}

#[tokio::test]
async fn content_comes_from_the_mirror_and_the_list_from_the_registry() {
    let (registry, copy, image, _) = two().await;
    let client = mirrored(&registry.address, vec![mirror(&copy.address)]);
    let seen = client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(seen.bundles.len(), 3);
    assert_eq!(registry.take_requests(), [referrers_path(&image)]);
    assert_eq!(copy.take_requests().len(), 7);
}

#[tokio::test]
async fn what_a_mirror_leaves_out_of_a_list_hides_nothing() {
    let (registry, copy, image, _) = two().await;
    copy.referrers(&image, &[]);
    let client = mirrored(&registry.address, vec![mirror(&copy.address)]);
    assert_eq!(
        client.fetch(&image, &nobody()).await.unwrap().bundles.len(),
        3
    );
}

#[tokio::test]
async fn what_a_mirror_has_not_or_sends_wrong_comes_from_the_registry() {
    let (registry, copy, image, _) = two().await;
    let path = subject_path(&image);
    let honest = copy.reply(&path);
    let endless = Reply {
        endless: true,
        ..honest.clone()
    };
    let silent = Reply {
        silent: true,
        ..Reply::default()
    };
    let typed = Reply::ok("text/html", honest.body.clone());
    let other = Reply::ok(MANIFEST, r#"{"config":{},"layers":[{}]}"#);
    for lie in [
        Reply::status(404),
        Reply::status(401),
        Reply::status(500),
        Reply::status(302).header("Location", "https://evil.example/"),
        endless,
        silent,
        typed,
        other,
        honest.clone().header("Content-Encoding", "gzip"),
    ] {
        copy.set(&path, lie.clone());
        let client = mirrored(&registry.address, vec![mirror(&copy.address)]);
        let seen = client.fetch(&image, &nobody()).await;
        assert!(seen.is_ok(), "{lie:?}: {seen:?}");
        let asked = registry.take_requests();
        assert!(asked.contains(&path), "{lie:?}: {asked:#?}");
        drop(seen);
        client.fetch(&image, &nobody()).await.unwrap();
        assert_eq!(
            registry.take_requests(),
            [referrers_path(&image)],
            "the truth is kept"
        );
    }
}

#[tokio::test]
async fn a_mirror_that_never_answers_is_waited_for_only_so_long() {
    let (registry, copy, image, _) = two().await;
    let slow = Reply {
        delay: Duration::from_mins(1),
        ..Reply::status(404)
    };
    copy.set(&subject_path(&image), slow);
    let second = copy.clone();
    let client = mirrored(
        &registry.address,
        vec![mirror("127.0.0.1:1"), mirror(&second.address)],
    );
    let start = Instant::now();
    assert!(client.fetch(&image, &nobody()).await.is_ok());
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn while_the_registry_is_down_a_mirror_lists_too() {
    let (_, copy, image, descriptors) = two().await;
    let text = image.to_string().replace(image.registry(), "127.0.0.1:1");
    let image = ImageReference::parse(&text).unwrap();
    let path = referrers_path(&image);
    let page = Reply::ok(super::INDEX, index(&descriptors[..1]));
    let next = format!("<http://{}/page2>; rel=\"next\"", copy.address);
    copy.set(&path, page.header("Link", next));
    copy.set("/page2", Reply::ok(super::INDEX, index(&descriptors[1..])));
    let client = mirrored("127.0.0.1:1", vec![mirror(&copy.address)]);
    assert_eq!(
        client.fetch(&image, &nobody()).await.unwrap().bundles.len(),
        3
    );
    copy.set(&path, Reply::status(404));
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Unreachable, "no absence: {error}");
}

#[tokio::test]
async fn what_only_a_mirror_has_is_not_taken_for_an_image_without_evidence() {
    let (registry, copy, image, _) = two().await;
    let client = mirrored(&registry.address, vec![mirror(&copy.address)]);
    registry.set(&referrers_path(&image), Reply::status(404));
    let path = subject_path(&image);
    let honest = registry.reply(&path);
    registry.set(&path, Reply::status(404));
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Missing, "{error}");
    registry.set(&path, Reply::status(403));
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Forbidden, "{error}");
    registry.set(&path, honest);
    let seen = client.fetch(&image, &nobody()).await.unwrap();
    assert!(seen.bundles.is_empty(), "there is no list, nor a tag");
}

#[tokio::test]
async fn a_refusal_of_the_registry_is_not_asked_of_a_mirror() {
    let (registry, copy, image, _) = two().await;
    registry.set(&referrers_path(&image), Reply::status(403));
    let client = mirrored(&registry.address, vec![mirror(&copy.address)]);
    let error = client.fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Forbidden,
        "answered 403",
    );
    assert!(!copy.take_requests().contains(&referrers_path(&image)));
}

/// Who asks too much does not get an older list for it.
#[tokio::test]
async fn who_has_used_up_its_share_is_not_sent_to_a_mirror_for_a_list() {
    let (registry, copy, image, _) = two().await;
    copy.referrers(&image, &[]);
    let listed = Registry {
        mirrors: vec![mirror(&copy.address)],
        ..sparing(&registry.address, 20)
    };
    let client = client_of(vec![listed], Duration::from_secs(9), 1 << 20, 32 << 20);
    use_up(&client, &image, "flood", 29);
    let flood = Credentials::anonymous("flood");
    let error = client.fetch(&image, &flood).await.unwrap_err();
    let found = (error.cause(), error.to_string());
    expect(found, Cause::Unreachable, "used up its share of requests");
    assert!(!copy.take_requests().contains(&referrers_path(&image)));
    let seen = client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(seen.bundles.len(), 3);
}

#[tokio::test]
async fn the_login_of_a_mirror_is_the_operators_and_for_the_mirror_alone() {
    let (registry, copy, image, _) = two().await;
    let login = basic("me", "m");
    copy.protect("/v2/", &login, "Basic realm=x");
    registry.protect("/v2/", &basic("me", "m"), "Basic realm=x");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mirror.json");
    let entry = json!({"username": "me", "password": "m"});
    let text = json!({"auths": {copy.address.as_str(): entry}}).to_string();
    std::fs::write(&path, text).unwrap();
    let with_login = Mirror {
        credentials: Some(path),
        ..mirror(&copy.address)
    };
    let client = mirrored(&registry.address, vec![with_login]);
    let own = client.own_credentials(&image, "shop", false).await;
    // The list has to come from the registry, for which there is no login.
    let error = client.fetch(&image, &own).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Forbidden, "{error}");
    let shown = |place: &LyingRegistry| {
        let asked = place.take_asked();
        asked.iter().any(|one| one.authorization.is_some())
    };
    assert!(shown(&copy) && !shown(&registry));
    // Who reads with a pull secret, or with nothing, does not read through the operator's login.
    let tenant = of_tenant("shop", &registry.address, "t");
    registry.protect("/v2/", &basic("shop", "t"), "Basic realm=x");
    assert!(client.fetch(&image, &tenant).await.is_ok());
    assert!(client.fetch(&image, &nobody()).await.is_err());
    assert!(copy.take_requests().is_empty());
}
