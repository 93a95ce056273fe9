//! How a registry is reached: whose certificates count, and on which addresses.

use std::time::Duration;

use lockmaster_core::facts::Cause;
use lockmaster_core::release::ImageReference;

use super::super::lying::{LyingRegistry, client_of, nobody};
use super::super::{Registry, RegistryClient};
use super::expect;

fn listed(registry: Registry) -> RegistryClient {
    client_of(vec![registry], Duration::from_secs(5), 1 << 20, 32 << 20)
}

fn tls(host: &str, pem: Option<&str>) -> Registry {
    Registry {
        host: host.to_owned(),
        certificate_authorities: pem.map(str::to_owned),
        private_addresses: true,
        ..Registry::default()
    }
}

#[tokio::test]
async fn only_the_certificate_authorities_of_a_registry_count_for_it() {
    let (registry, pem) = LyingRegistry::start_tls().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let trusting = listed(tls(&registry.address, Some(&pem)));
    assert!(trusting.fetch(&image, &nobody()).await.is_ok());
    let (_, other) = LyingRegistry::start_tls().await;
    for unknown in [None, Some(other.as_str())] {
        let client = listed(tls(&registry.address, unknown));
        let error = client.fetch(&image, &nobody()).await.unwrap_err();
        expect(
            (error.cause(), error.to_string()),
            Cause::Unreachable,
            "certificate",
        );
    }
}

#[tokio::test]
async fn a_listed_registry_may_have_a_private_address_by_name_too() {
    let (registry, pem) = LyingRegistry::start_tls().await;
    let text = registry
        .image()
        .to_string()
        .replace("127.0.0.1", "localhost");
    let image = ImageReference::parse(&text).unwrap();
    registry.referrers(&image, &[]);
    let client = listed(tls(image.registry(), Some(&pem)));
    assert!(client.fetch(&image, &nobody()).await.is_ok());
    let public = Registry {
        private_addresses: false,
        ..tls(image.registry(), Some(&pem))
    };
    let error = listed(public).fetch(&image, &nobody()).await.unwrap_err();
    expect(
        (error.cause(), error.to_string()),
        Cause::Forbidden,
        "privateAddresses: true",
    );
}

#[tokio::test]
async fn plain_http_is_spoken_only_where_it_is_listed() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let error = listed(tls(&registry.address, None))
        .fetch(&image, &nobody())
        .await
        .unwrap_err();
    assert_eq!(error.cause(), Cause::Unreachable, "{error}");
    assert!(registry.take_requests().is_empty());
    let client = listed(Registry::plain_http(&registry.address));
    assert!(client.fetch(&image, &nobody()).await.is_ok());
}
