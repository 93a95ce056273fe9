//! Who is shown what: logins, tokens, realms, and what is kept apart by them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::facts::Cause;
use lockmaster_core::release::{Digest, ImageReference};
use serde_json::json;

use super::super::lying::{Asked, LyingRegistry, Reply, client_of, nobody, subject_path};
use super::super::{Credentials, DockerConfig, PullSecret, Registry, RegistryClient};
use super::{expect, failure, with_three};
use std::time::Duration;

/// The credentials of one namespace for one registry.
pub(super) fn of_tenant(namespace: &str, registry: &str, password: &str) -> Credentials {
    let text = json!({"auths": {registry: {"username": namespace, "password": password}}});
    let bytes = text.to_string().into_bytes();
    let secret = PullSecret {
        name: "pull".to_owned(),
        content: Digest::of(&bytes),
        logins: DockerConfig::parse(&bytes).unwrap(),
    };
    Credentials::of_pull_secrets(namespace, &[secret])
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

const BASIC: &str = "Basic realm=\"registry\"";
const TOKEN: &str = "/token?service=s&scope=repository%3Ashop%2Fcheckout%3Apull";

fn bearer(registry: &LyingRegistry) -> String {
    format!(
        "Bearer realm=\"http://{}/token\",service=\"s\"",
        registry.address
    )
}

async fn forbidden(
    client: &RegistryClient,
    image: &ImageReference,
    who: &Credentials,
    words: &str,
) {
    let error = client.fetch(image, who).await.unwrap_err();
    expect((error.cause(), error.to_string()), Cause::Forbidden, words);
}

fn shown(asked: &[Asked]) -> Vec<&str> {
    let shown = asked.iter().filter_map(|one| one.authorization.as_deref());
    shown.collect()
}

/// CVE-2026-40868, CVE-2026-41323, GHSA-8wfp-579w-6r25: the controller's own token was sent along.
/// What goes out carries nothing that was not given for this registry.
#[tokio::test]
async fn a_login_is_shown_where_it_is_asked_for_and_nowhere_before() {
    let (registry, image, _) = with_three().await;
    let tenant = of_tenant("shop", &registry.address, "p");
    let client = registry.client();
    client.fetch(&image, &tenant).await.unwrap();
    assert!(
        shown(&registry.take_asked()).is_empty(),
        "nobody asked for it"
    );
    let (registry, image, _) = with_three().await;
    let tenant = of_tenant("shop", &registry.address, "p");
    registry.protect("/v2/", &basic("shop", "p"), BASIC);
    let client = registry.client();
    client.fetch(&image, &tenant).await.unwrap();
    let asked = registry.take_asked();
    assert_eq!(shown(&asked).len(), 8, "{asked:#?}");
    assert!(
        asked.len() <= 10,
        "refused once for each of the first two: {asked:#?}"
    );
    client.fetch(&image, &tenant).await.unwrap();
    assert_eq!(
        registry.take_requests().len(),
        1,
        "a known login is shown at once"
    );
    forbidden(
        &client,
        &image,
        &nobody(),
        "may not be read without credentials",
    )
    .await;
}

#[tokio::test]
async fn a_token_costs_two_more_and_only_its_service_sees_the_login() {
    let (registry, image, _) = with_three().await;
    registry.protect("/v2/", "Bearer t", &bearer(&registry));
    let (login, answer) = (basic("shop", "p"), r#"{"token":"t","expires_in":300}"#);
    registry.protect("/token", &login, BASIC);
    registry.set(TOKEN, Reply::ok("application/json", answer));
    let tenant = of_tenant("shop", &registry.address, "p");
    let client = registry.client();
    client.fetch(&image, &tenant).await.unwrap();
    let asked = registry.take_asked();
    let with = |value: &str| shown(&asked).iter().filter(|one| **one == value).count();
    assert_eq!((with(&login), with("Bearer t")), (1, 8), "{asked:#?}");
    assert!(asked.len() <= 11, "{asked:#?}");
    for one in &asked {
        let is_token = one.path.starts_with("/token");
        assert_eq!(
            one.authorization.as_deref() == Some(&login),
            is_token,
            "{one:?}"
        );
    }
    forbidden(
        &client,
        &image,
        &nobody(),
        "the registry's token service answered 401",
    )
    .await;
    let wrong = of_tenant("shop", &registry.address, "other");
    forbidden(
        &client,
        &image,
        &wrong,
        "user name and password for it are refused",
    )
    .await;
}

/// What `docker login` wrote serves both kinds of registries, each with its own login.
#[tokio::test]
async fn the_logins_of_a_person_go_each_to_its_registry() {
    let (first, image, _) = with_three().await;
    let (second, other, _) = with_three().await;
    first.protect("/v2/", &basic("ann", "p"), BASIC);
    second.protect("/v2/", "Bearer t", &bearer(&second));
    second.protect("/token", &basic("bob", "q"), BASIC);
    second.set(TOKEN, Reply::ok("application/json", r#"{"token":"t"}"#));
    let auth = STANDARD.encode("ann:p");
    let text = json!({
        "auths": {
            first.address.as_str(): {"auth": auth},
            format!("http://{}/v2/", second.address): {"username": "bob", "password": "q"},
            "ghcr.io": {},
        },
        "credsStore": "desktop",
    });
    let bytes = text.to_string().into_bytes();
    let secret = PullSecret {
        name: "config.json".to_owned(),
        content: Digest::of(&bytes),
        logins: DockerConfig::parse_personal(&bytes).unwrap(),
    };
    let person = Credentials::of_pull_secrets("", &[secret]);
    let registries = [&first, &second].map(|one| Registry::plain_http(&one.address));
    let client = client_of(registries.into(), Duration::from_secs(5), 1 << 20, 32 << 20);
    for image in [&image, &other] {
        let found = client.fetch(image, &person).await.unwrap();
        assert_eq!(found.bundles.len(), 3);
    }
    for (registry, expect) in [
        (&first, vec![basic("ann", "p")]),
        (&second, vec!["Bearer t".to_owned(), basic("bob", "q")]),
    ] {
        let asked = registry.take_asked();
        let mut seen: Vec<_> = shown(&asked).into_iter().map(str::to_owned).collect();
        seen.sort_by_key(|one| !one.starts_with("Bearer"));
        seen.dedup();
        assert_eq!(seen, expect);
    }
}

#[tokio::test]
async fn tokens_for_nobody_come_from_a_listed_realm() {
    let (registry, image, _) = with_three().await;
    let service = LyingRegistry::start().await;
    registry.protect("/v2/", "Bearer t", &bearer(&service));
    service.set(
        TOKEN,
        Reply::ok("application/json", r#"{"access_token":"t"}"#),
    );
    expect(
        failure(&registry, &image).await,
        Cause::Forbidden,
        &format!(
            "come from another host, http://{}, which is not asked",
            service.address
        ),
    );
    assert!(service.take_requests().is_empty());
    let listed = Registry {
        realms: vec![format!("http://{}", service.address)],
        ..Registry::plain_http(&registry.address)
    };
    let client = client_of(vec![listed], Duration::from_secs(5), 1 << 20, 32 << 20);
    client.fetch(&image, &nobody()).await.unwrap();
    let asked = service.take_asked();
    assert_eq!(asked.len(), 1, "one for all who wait: {asked:#?}");
    assert_eq!(asked[0].authorization, None);
}

/// CVE-2026-48978: a login for whoever the registry names as its token service.
#[tokio::test]
async fn a_foreign_realm_gets_neither_login_nor_token() {
    let (registry, image, _) = with_three().await;
    let foreign = LyingRegistry::start().await;
    let tenant = of_tenant("shop", &registry.address, "canary");
    for realm in [
        format!("http://{}/token", foreign.address),
        format!("http://{}@{}/token", registry.address, foreign.address),
        format!("https://{}/token", registry.address),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        registry.protect("/v2/", "Bearer t", &challenge);
        let error = registry.client().fetch(&image, &tenant).await.unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
        assert_eq!(error.cause(), Cause::Forbidden, "{realm}: {error}");
    }
    assert!(foreign.take_requests().is_empty());
    assert!(shown(&registry.take_asked()).is_empty());
}

#[tokio::test]
async fn a_login_for_one_registry_is_not_shown_to_another() {
    let (registry, image, _) = with_three().await;
    registry.protect("/v2/", &basic("shop", "p"), BASIC);
    let client = registry.client();
    for (place, fits) in [
        (format!("{}/shop/other", registry.address), false),
        ("127.0.0.1:1".to_owned(), false),
        (format!("https://{}/v1/", registry.address), true),
        (format!("{}/shop", registry.address), true),
    ] {
        let tenant = of_tenant("shop", &place, "p");
        let fetched = client.fetch(&image, &tenant).await;
        assert_eq!(fetched.is_ok(), fits, "{place}");
        assert_eq!(!shown(&registry.take_asked()).is_empty(), fits, "{place}");
    }
}

#[tokio::test]
async fn a_refused_login_and_a_refused_token_are_dropped_and_there_is_no_loop() {
    let (registry, image, _) = with_three().await;
    let challenge = Reply::status(401).header("WWW-Authenticate", bearer(&registry));
    registry.set(
        TOKEN,
        Reply::ok("application/json", r#"{"token":"t","expires_in":300}"#),
    );
    registry.set(&subject_path(&image), challenge);
    let client = registry.client();
    for _ in 0..2 {
        forbidden(&client, &image, &nobody(), "answered 401").await;
        let asked = registry.take_requests();
        let count = |path: &str| asked.iter().filter(|one| *one == path).count();
        assert_eq!(
            (count(&subject_path(&image)), count(TOKEN)),
            (2, 1),
            "{asked:#?}"
        );
    }
    registry.set(&subject_path(&image), Reply::status(403));
    forbidden(&client, &image, &nobody(), "answered 403").await;
    registry.set(
        &subject_path(&image),
        Reply::status(401).header("WWW-Authenticate", "Negotiate"),
    );
    forbidden(
        &client,
        &image,
        &nobody(),
        "other than a token, or user name and password",
    )
    .await;
    registry.set(&subject_path(&image), Reply::status(401));
    forbidden(&client, &image, &nobody(), "answered 401").await;
}

#[tokio::test]
async fn what_one_tenant_read_another_does_not_read_from_memory() {
    let (registry, image, _) = with_three().await;
    registry.protect("/v2/", &basic("one", "p"), BASIC);
    let client = registry.client();
    let (one, other) = (
        of_tenant("one", &registry.address, "p"),
        of_tenant("other", &registry.address, "q"),
    );
    let artifact = client.fetch(&image, &one).await.unwrap();
    let places = artifact.places.clone();
    drop(artifact);
    assert!(client.read_cached(&image, &one, &places).is_some());
    for stranger in [&other, &nobody()] {
        assert!(client.read_cached(&image, stranger, &places).is_none());
        forbidden(&client, &image, stranger, "answered 401").await;
    }
    // Not even while it is being read.
    let (first, second) = tokio::join!(client.fetch(&image, &one), client.fetch(&image, &other));
    assert!(first.is_ok() && second.is_err());
}

#[tokio::test]
async fn a_404_by_one_tenant_hides_nothing_from_another() {
    let (registry, image, descriptors) = with_three().await;
    let client = registry.client();
    let path = super::referrers_path(&image);
    let (blind, seeing) = (
        of_tenant("blind", &registry.address, "p"),
        of_tenant("seeing", &registry.address, "q"),
    );
    let honest = registry.reply(&path);
    registry.set(&path, Reply::status(404));
    assert!(
        client
            .fetch(&image, &blind)
            .await
            .unwrap()
            .bundles
            .is_empty()
    );
    registry.set(&path, honest);
    let seen = client.fetch(&image, &seeing).await.unwrap();
    assert_eq!(seen.bundles.len(), descriptors.len());
}

#[tokio::test]
async fn the_operators_own_login_is_for_its_registry_and_is_read_again() {
    let (registry, image, _) = with_three().await;
    registry.protect("/v2/", &basic("me", "old"), BASIC);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("login.json");
    let write = |password: &str| {
        let login = json!({"username": "me", "password": password});
        let text = json!({"auths": {registry.address.as_str(): login}});
        std::fs::write(&path, text.to_string()).unwrap();
    };
    write("old");
    let listed = Registry {
        credentials: Some(path.clone()),
        ..Registry::plain_http(&registry.address)
    };
    let client = client_of(vec![listed], Duration::from_secs(5), 1 << 20, 32 << 20);
    let own = client.own_credentials(&image, "shop", false).await;
    client.fetch(&image, &own).await.unwrap();
    let elsewhere = ImageReference::parse(&format!("other.example/a@{}", image.digest()));
    let nobodys = client
        .own_credentials(&elsewhere.unwrap(), "shop", false)
        .await;
    assert_eq!(nobodys.identity(), nobody().identity());
    registry.protect("/v2/", &basic("me", "new"), BASIC);
    write("new");
    forbidden(&client, &image, &own, "mend them or their rights").await;
    let fresh = client.own_credentials(&image, "shop", true).await;
    assert_ne!(fresh.identity(), own.identity());
    client.fetch(&image, &fresh).await.unwrap();
}
