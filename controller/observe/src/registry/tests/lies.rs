//! Lies that are told about where to go next, how much there is, and when to come back.

use std::time::{Duration, Instant};

use lockmaster_core::facts::Cause;
use lockmaster_core::release::Digest;
use serde_json::json;

use super::super::lying::{
    INDEX, LyingRegistry, MANIFEST, Reply, index, nobody, referrers_path, subject_path,
};
use super::super::{Config, Registry, RegistryClient};
use super::credentials::{basic, of_tenant};
use super::{expect, failure, with_three};

fn blob(bundle: &[u8]) -> String {
    format!("/v2/shop/checkout/blobs/{}", Digest::of(bundle))
}

/// CVE-2026-50163, CVE-2026-50162, CVE-2026-50151, GHSA-vh4v-2xq2-g5cg, CVE-2026-33540,
/// CVE-2026-24845: a login that went along with a redirection.
#[tokio::test]
async fn a_login_is_never_sent_to_where_a_blob_is_stored() {
    let (registry, image, _) = with_three().await;
    let (storage, pem) = LyingRegistry::start_tls().await;
    registry.protect("/v2/", &basic("shop", "canary"), "Basic realm=x");
    storage.set("/stored?signature=1", Reply::ok("x", "spdx"));
    storage.set(
        "/first",
        Reply::status(302).header("Location", "/stored?signature=1"),
    );
    let at = format!("https://{}/first", storage.address);
    registry.set(&blob(b"spdx"), Reply::status(307).header("Location", at));
    let mut client = registry.client();
    let inner = std::sync::Arc::get_mut(&mut client.inner).unwrap();
    inner.source.follow_to(&pem);
    let tenant = of_tenant("shop", &registry.address, "canary");
    let seen = client.fetch(&image, &tenant).await.unwrap();
    assert_eq!(seen.bundles.len(), 3);
    let asked = storage.take_asked();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert!(
        asked.iter().all(|one| one.authorization.is_none()),
        "{asked:#?}"
    );
    let seen = registry.take_asked();
    assert!(seen.iter().any(|one| one.authorization.is_some()));
    // A storage that asks for a login gets none either.
    storage.protect("/stored", "Basic x", "Basic realm=y");
    let another = registry.image().with_digest(image.digest().clone());
    let client = {
        let mut client = registry.client();
        let inner = std::sync::Arc::get_mut(&mut client.inner).unwrap();
        inner.source.follow_to(&pem);
        client
    };
    let error = client.fetch(&another, &tenant).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Forbidden, "{error}");
    let asked = storage.take_asked();
    assert!(
        asked.iter().all(|one| one.authorization.is_none()),
        "{asked:#?}"
    );
}

#[tokio::test]
async fn more_than_three_redirections_and_those_of_other_things_are_not_followed() {
    let (registry, image, _) = with_three().await;
    let (storage, pem) = LyingRegistry::start_tls().await;
    let round = Reply::status(302).header("Location", "/round");
    storage.set("/round", round);
    let at = format!("https://{}/round", storage.address);
    let away = Reply::status(302).header("Location", at);
    registry.set(&blob(b"spdx"), away.clone());
    let follow = || {
        let mut client = registry.client();
        let inner = std::sync::Arc::get_mut(&mut client.inner).unwrap();
        inner.source.follow_to(&pem);
        client
    };
    let error = follow().fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        "more than 3 times",
    );
    assert_eq!(storage.take_requests().len(), 3);
    for path in [referrers_path(&image), subject_path(&image)] {
        let honest = registry.reply(&path);
        registry.set(&path, away.clone());
        let error = follow().fetch(&image, &nobody()).await.unwrap_err();
        expect(
            (error.cause(), error.to_string()),
            Cause::Untrustworthy,
            "for blobs only",
        );
        registry.set(&path, honest);
    }
    let honest = Reply::ok("x", "spdx");
    registry.set(&blob(b"spdx"), honest);
    registry.protect(
        "/v2/",
        "Bearer t",
        &format!("Bearer realm=\"http://{}/token\"", registry.address),
    );
    registry.set("/token?scope=repository%3Ashop%2Fcheckout%3Apull", away);
    let error = follow().fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        "for blobs only",
    );
    assert!(storage.take_requests().is_empty());
}

/// CVE-2026-32828, GHSA-j94x-8wcp-x7hm, CVE-2026-22772, CVE-2026-49478, CVE-2026-24117,
/// GHSA-459x-q9hg-4gpq, GHSA-fmqp-4wfc-w3v7, GHSA-qr4g-8hrp-c4rw, CVE-2026-4789: requests into the
/// cluster and to its metadata service.
#[tokio::test]
async fn a_redirection_to_metadata_or_a_private_network_is_not_followed() {
    let (registry, image, _) = with_three().await;
    for target in [
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/latest",
        "https://[::ffff:169.254.169.254]/",
        "https://10.0.0.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://localhost/",
    ] {
        registry.set(
            &blob(b"spdx"),
            Reply::status(307).header("Location", target),
        );
        let found = failure(&registry, &image).await;
        expect(found, Cause::Forbidden, "which is not public");
    }
}

#[tokio::test]
async fn a_name_with_a_private_address_is_not_asked_even_with_a_login_for_it() {
    let registry = LyingRegistry::start().await;
    let text = registry
        .image()
        .to_string()
        .replace("127.0.0.1", "localhost");
    let image = lockmaster_core::release::ImageReference::parse(&text).unwrap();
    let config = Config {
        registries: vec![],
        user_agent: "test".to_owned(),
    };
    let client = RegistryClient::new(&config).unwrap();
    let tenant = of_tenant("shop", image.registry(), "p");
    let error = client.fetch(&image, &tenant).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Forbidden,
        "must be listed with privateAddresses: true",
    );
    // Plain HTTP alone does not make a private address right.
    let plain = Registry {
        private_addresses: false,
        ..Registry::plain_http(image.registry())
    };
    let config = Config {
        registries: vec![plain],
        user_agent: "test".to_owned(),
    };
    let client = RegistryClient::new(&config).unwrap();
    let error = client.fetch(&image, &tenant).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Forbidden, "{error}");
    assert!(registry.take_requests().is_empty());
}

#[tokio::test]
async fn ten_thousand_referrers_of_which_one_is_good_are_too_many_and_that_is_said() {
    let (registry, image, descriptors) = with_three().await;
    let junk = |number: usize| {
        let digest = Digest::of(&number.to_be_bytes());
        json!({"mediaType": MANIFEST, "digest": digest, "size": 100})
    };
    let mut all: Vec<_> = (0..9_999).map(junk).collect();
    all.push(descriptors[0].clone());
    registry.referrers(&image, &all);
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 128 referrers",
    );
    // In pages, each of which is short enough.
    let pages = all.chunks(100).enumerate();
    for (number, page) in pages {
        let next = format!("</page{}>; rel=\"next\"", number + 1);
        let reply = Reply::ok(INDEX, index(page)).header("Link", next);
        let path = match number {
            0 => referrers_path(&image),
            _ => format!("/page{number}"),
        };
        registry.set(&path, reply);
    }
    registry.take_requests();
    expect(
        failure(&registry, &image).await,
        Cause::Truncated,
        "more than 128 referrers",
    );
    assert_eq!(
        registry.take_requests().len(),
        3,
        "the subject and two pages"
    );
}

#[tokio::test]
async fn a_page_on_another_host_is_not_asked_for() {
    let (registry, image, descriptors) = with_three().await;
    let other = LyingRegistry::start().await;
    let tenant = of_tenant("shop", &registry.address, "p");
    let next = format!("<http://{}/page>; rel=\"next\"", other.address);
    let page = Reply::ok(INDEX, index(&descriptors)).header("Link", next);
    registry.set(&referrers_path(&image), page);
    let client = super::super::lying::client(
        &[&registry, &other],
        Duration::from_secs(5),
        1 << 20,
        32 << 20,
    );
    let error = client.fetch(&image, &tenant).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Untrustworthy,
        "on another host",
    );
    assert!(other.take_requests().is_empty());
}

/// CVE-2023-30551, CVE-2026-48702, CVE-2024-28180: small answers that unpack to anything.
#[tokio::test]
async fn packed_answers_are_refused_and_not_unpacked() {
    let (registry, image, _) = with_three().await;
    for path in [referrers_path(&image), subject_path(&image), blob(b"spdx")] {
        let honest = registry.reply(&path);
        for encoding in ["gzip", "br", "zstd", "x-unknown", "identity, gzip"] {
            let packed = honest.clone().header("Content-Encoding", encoding);
            registry.set(&path, packed);
            let found = failure(&registry, &image).await;
            expect(found, Cause::Untrustworthy, "sent it encoded");
        }
        registry.set(&path, honest);
    }
}

#[tokio::test]
async fn an_absurd_retry_after_holds_nobody() {
    let (registry, image, _) = with_three().await;
    for absurd in [
        "99999999999999999999999999",
        "86400",
        "Thu, 01 Jan 9998 00:00:00 GMT",
    ] {
        let reply = Reply::status(429)
            .header("Date", "Tue, 24 Nov 2026 10:00:00 GMT")
            .header("Retry-After", absurd);
        registry.set(&subject_path(&image), reply);
        let start = Instant::now();
        let found = failure(&registry, &image).await;
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}",
            start.elapsed()
        );
        expect(
            found,
            Cause::Unreachable,
            "answered 429 and asks for a pause of",
        );
        let asked = registry.take_requests();
        let path = subject_path(&image);
        assert_eq!(
            asked.iter().filter(|one| **one == path).count(),
            1,
            "{absurd}"
        );
    }
}
