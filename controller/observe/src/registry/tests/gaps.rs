//! What was measured to go wrong with a well-known client of registries, one test for each: ours has
//! none of it. What is not here is beside its code: a garbage certificate authority in `config.rs`,
//! docker configurations in `docker_config.rs`, mirrors in `mirrors.rs`. Pushing has no test, because
//! nothing is ever pushed.

use std::time::{Duration, Instant};

use lockmaster_core::facts::Cause;
use lockmaster_core::release::Digest;
use serde_json::json;

use super::super::lying::{
    INDEX, LyingRegistry, MANIFEST, Reply, client_of, fallback_path, index, nobody, referrers_path,
    subject_path,
};
use super::super::{Limits, Registry};
use super::credentials::{basic, of_tenant};
use super::{expect, failure, with_three};

#[tokio::test]
async fn the_first_writer_of_credentials_does_not_win() {
    let (registry, image, _) = with_three().await;
    registry.protect("/v2/", &basic("shop", "good"), "Basic realm=x");
    let client = registry.client();
    let (good, wrong) = (
        of_tenant("shop", &registry.address, "good"),
        of_tenant("shop", &registry.address, "wrong"),
    );
    assert!(client.fetch(&image, &wrong).await.is_err());
    assert!(
        client.fetch(&image, &good).await.is_ok(),
        "later ones are used"
    );
    assert!(
        client.fetch(&image, &wrong).await.is_err(),
        "good ones serve nobody else"
    );
}

#[tokio::test]
async fn a_refusal_or_overload_is_not_taken_for_a_missing_referrers_api() {
    let (registry, image, descriptors) = with_three().await;
    registry.set(
        &fallback_path(&image),
        Reply::ok(INDEX, index(&descriptors[..1])),
    );
    let body = br#"{"errors":[{"code":"UNSUPPORTED"}]}"#.to_vec();
    for (status, cause) in [
        (400, Cause::Untrustworthy),
        (401, Cause::Forbidden),
        (403, Cause::Forbidden),
        (405, Cause::Untrustworthy),
        (429, Cause::Unreachable),
        (500, Cause::Unreachable),
    ] {
        let refusal = Reply {
            body: body.clone(),
            ..Reply::status(status)
        };
        registry.set(&referrers_path(&image), refusal);
        let words = format!("answered {status}");
        expect(failure(&registry, &image).await, cause, &words);
        let asked = registry.take_requests();
        assert!(
            !asked.contains(&fallback_path(&image)),
            "{status}: {asked:#?}"
        );
    }
}

#[tokio::test]
async fn artifact_types_of_an_index_select_nothing_and_excuse_nothing() {
    let (registry, image, descriptors) = with_three().await;
    let mut all = descriptors.clone();
    all[0].as_object_mut().unwrap().remove("artifactType");
    all[1]["artifactType"] = json!("application/vnd.oci.empty.v1+json");
    all[2]["artifactType"] = json!("text/plain");
    for number in 0..4 {
        let other = registry.manifest(&json!({"config": {}, "layers": [], "number": number}));
        all.push(json!({"mediaType": MANIFEST, "digest": other, "size": 10,
            "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json"}));
    }
    registry.referrers(&image, &all);
    let expected = descriptors.len();
    let client = registry.client();
    let seen = client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(seen.bundles.len(), expected, "by the API");
    registry.set(&referrers_path(&image), Reply::status(404));
    registry.set(&fallback_path(&image), Reply::ok(INDEX, index(&all)));
    let seen = client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(seen.bundles.len(), expected, "by the tag");
}

#[tokio::test]
async fn paging_of_referrers_is_followed() {
    let (registry, image, descriptors) = with_three().await;
    let page = Reply::ok(INDEX, index(&descriptors[..2]));
    let page = page.header(
        "Link",
        "</v2/shop/checkout/referrers/next?n=2>; rel=\"next\"",
    );
    registry.set(&referrers_path(&image), page);
    let next = "/v2/shop/checkout/referrers/next?n=2";
    registry.set(next, Reply::ok(INDEX, index(&descriptors[2..])));
    let client = registry.client();
    let seen = client.fetch(&image, &nobody()).await.unwrap();
    assert_eq!(seen.bundles.len(), 3);
    assert_eq!(registry.take_requests().len(), 9);
}

/// Whatever stands on a page that is missed is hidden, a no included.
#[tokio::test]
async fn a_page_is_never_missed_because_of_how_its_link_is_written() {
    let (registry, image, descriptors) = with_three().await;
    let next = "/v2/shop/checkout/referrers/next?last=a,b";
    registry.set(next, Reply::ok(INDEX, index(&descriptors[2..])));
    let link = format!("<{next}>; REL=\"first next\"");
    let page = || Reply::ok(INDEX, index(&descriptors[..2]));
    for reply in [
        page().header("Link", link.clone()),
        page().header("Link", "</>; rel=start").header("Link", link),
    ] {
        registry.set(&referrers_path(&image), reply);
        let seen = registry.client().fetch(&image, &nobody()).await.unwrap();
        assert_eq!(seen.bundles.len(), 3);
    }
    for bad in ["next", "<a>", "<a>; rel=\"n\u{e9}xt\"", "<a; rel=next"] {
        registry.set(&referrers_path(&image), page().header("Link", bad));
        let error = registry.client().fetch(&image, &nobody()).await;
        let error = error.unwrap_err();
        assert_eq!(error.cause(), Cause::Untrustworthy, "{bad}");
        assert!(
            error.to_string().contains("header Link cannot be read"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again_three_times_in_all() {
    let (registry, image, _) = with_three().await;
    let path = subject_path(&image);
    let silent = Reply {
        silent: true,
        ..Reply::default()
    };
    let truncated = Reply {
        truncated: true,
        ..registry.reply(&path)
    };
    for trouble in [
        silent,
        truncated,
        Reply::status(429),
        Reply::status(502),
        Reply::status(503),
        Reply::status(504),
    ] {
        let client = registry.client();
        registry.set_once(&path, trouble.clone());
        registry.set_once(&path, trouble.clone());
        let fetched = client.fetch(&image, &nobody()).await;
        assert!(fetched.is_ok(), "{trouble:?}: {fetched:?}");
        let asked = registry.take_requests();
        assert_eq!(
            asked.iter().filter(|one| **one == path).count(),
            3,
            "{trouble:?}"
        );
        for _ in 0..3 {
            registry.set_once(&path, trouble.clone());
        }
        let error = client.fetch(&image, &nobody()).await;
        assert!(error.is_ok(), "from memory");
        let error = registry
            .client()
            .fetch(&image, &nobody())
            .await
            .unwrap_err();
        assert_eq!(error.cause(), Cause::Unreachable, "{trouble:?}: {error}");
        registry.take_requests();
    }
    registry.set(&path, Reply::status(500));
    assert!(registry.client().fetch(&image, &nobody()).await.is_err());
    let asked = registry.take_requests();
    assert_eq!(
        asked.iter().filter(|one| **one == path).count(),
        1,
        "no use"
    );
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_kept() {
    let (registry, image, _) = with_three().await;
    for trouble in [
        Reply::status(429).header("Retry-After", "1"),
        Reply::status(503)
            .header("Date", "Tue, 24 Nov 2026 10:00:00 GMT")
            .header("Retry-After", "Tue, 24 Nov 2026 10:00:01 GMT"),
    ] {
        registry.set_once(&subject_path(&image), trouble);
        let start = Instant::now();
        registry.client().fetch(&image, &nobody()).await.unwrap();
        let took = start.elapsed();
        assert!(
            took >= Duration::from_secs(1) && took < Duration::from_secs(4),
            "{took:?}"
        );
    }
}

#[tokio::test]
async fn no_namespace_sends_more_requests_than_its_share() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let ten: Vec<_> = (0..10_u8)
        .map(|number| registry.bundle(&[number], "kind"))
        .collect();
    registry.referrers(&image, &ten);
    let limits = Limits {
        requests_per_second: 1,
        burst: 30,
        images_at_a_time: 8,
        ..Limits::default()
    };
    let listed = Registry {
        limits,
        ..Registry::plain_http(&registry.address)
    };
    let client = client_of(vec![listed], Duration::from_secs(9), 0, 32 << 20);
    let flood = super::super::Credentials::anonymous("flood");
    client.fetch(&image, &flood).await.unwrap();
    registry.take_requests();
    let error = client.fetch(&image, &flood).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Unreachable,
        "used up its share of requests",
    );
    assert!(registry.take_requests().len() < 22);
    client.fetch(&image, &nobody()).await.unwrap();
}

/// CVE-2024-29902, GHSA-88jx-383q-w4qc, CVE-2024-29903, GHSA-95pr-fxf5-86gv, CVE-2023-42813,
/// CVE-2023-42814, CVE-2023-42815, CVE-2023-42816, CVE-2024-29893, CVE-2023-37900, CVE-2023-2253:
/// memory used up by large manifests and lists.
#[tokio::test]
async fn manifests_and_lists_are_bounded_before_and_while_they_are_read() {
    let (registry, image, _) = with_three().await;
    let endless = Reply {
        endless: true,
        ..Reply::ok(INDEX, "")
    };
    for path in [referrers_path(&image), subject_path(&image)] {
        let honest = registry.reply(&path);
        for reply in [endless.clone(), Reply::ok(INDEX, vec![b' '; (4 << 20) + 1])] {
            registry.set(&path, reply);
            let found = failure(&registry, &image).await;
            expect(found, Cause::Truncated, "more than 4194304 bytes");
        }
        registry.set(&path, honest);
    }
}

#[tokio::test]
async fn nobody_asks_first_whether_there_is_a_registry() {
    let (registry, image, _) = with_three().await;
    registry.client().fetch(&image, &nobody()).await.unwrap();
    let asked = registry.take_requests();
    assert_eq!(asked.len(), 8);
    assert!(!asked.iter().any(|path| path == "/v2/"), "{asked:#?}");
}

#[tokio::test]
async fn a_registry_that_fails_is_left_alone_and_tried_again_by_one() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let client = registry.client();
    registry.set(&subject_path(&image), Reply::status(503));
    registry.set(&referrers_path(&image), Reply::status(503));
    let mut words = String::new();
    for number in 0..4_u8 {
        let image = image.with_digest(Digest::of(&[number]));
        registry.set(&subject_path(&image), Reply::status(503));
        registry.set(&referrers_path(&image), Reply::status(503));
        words = client
            .fetch(&image, &nobody())
            .await
            .unwrap_err()
            .to_string();
    }
    assert!(
        words.contains("times in a row and is not asked again for"),
        "{words}"
    );
    assert!(registry.take_requests().len() < 12);
    assert!(client.fetch(&image, &nobody()).await.is_err());
    assert!(registry.take_requests().is_empty(), "nothing is sent");
    tokio::time::sleep(Duration::from_secs(5)).await;
    registry.referrers(&image, &[]);
    let honest = json!({"mediaType": MANIFEST, "config": {}, "layers": []}).to_string();
    registry.set(&subject_path(&image), Reply::ok(MANIFEST, honest));
    // The other of the first two requests may meet the probe under way.
    while client.fetch(&image, &nobody()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn refusals_of_one_tenant_stop_nobody_else() {
    let (registry, image, _) = with_three().await;
    registry.protect("/v2/", &basic("good", "p"), "Basic realm=x");
    let client = registry.client();
    let bad = of_tenant("bad", &registry.address, "p");
    for _ in 0..20 {
        assert!(client.fetch(&image, &bad).await.is_err());
    }
    let good = of_tenant("good", &registry.address, "p");
    assert!(client.fetch(&image, &good).await.is_ok());
}
