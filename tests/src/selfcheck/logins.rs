//! Registries that ask who one is.

use anyhow::{Context as _, ensure};
use lockmaster_tests::cosign::{Cosign, Format};
use lockmaster_tests::image::Image;
use lockmaster_tests::registry::{Account, Registry, TENANT_A, TENANT_B, TokenRegistry};
use reqwest::{Client, StatusCode, header};
use serde_json::Value;

use crate::Bed;

/// The status of reading a manifest, with this `Authorization` header.
async fn reading(
    client: &Client,
    registry: &Registry,
    image: &Image,
    authorization: Option<&str>,
) -> anyhow::Result<StatusCode> {
    let path = image.repository.split_once('/').context("no path")?.1;
    let address = registry.address();
    let url = format!("http://{address}/v2/{path}/manifests/{}", image.digest);
    let mut request = client.get(url);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    Ok(request.send().await?.status())
}

/// cosign signs and verifies with the account, and does neither without.
async fn cosign_logs_in(bed: &Bed, image: &Image, account: &Account) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let stranger = Cosign::new(&bed.tools, directory.path());
    let registry = image.repository.split_once('/').context("no path")?.0;
    let cosign = stranger.logged_in(registry, account)?;
    let key = cosign.generate_key("release").await?;
    let refused = stranger.sign(image, &key, Format::Bundle).await;
    ensure!(refused.is_err(), "cosign signs without a login");
    cosign.sign(image, &key, Format::Bundle).await?;
    let arguments = [
        "verify".to_owned(),
        format!("--key={}", key.public.display()),
        "--insecure-ignore-tlog".to_owned(),
        "--allow-insecure-registry".to_owned(),
        image.reference(),
    ];
    let verified = cosign.run(&arguments).await?;
    verified.required("verify, logged in")?;
    let verified = stranger.run(&arguments).await?;
    ensure!(!verified.success(), "cosign reads without a login");
    Ok(())
}

pub(crate) async fn a_registry_wants_a_password(bed: &Bed) -> anyhow::Result<()> {
    let registry = Registry::with_passwords(&bed.tools).await?;
    ensure!(registry.process().is_none(), "it starts before it is used");
    let client = Client::builder().no_proxy().build()?;
    let ping = format!("http://{}/v2/", registry.address());
    let early = client.get(&ping).send().await?.status();
    ensure!(early == StatusCode::BAD_GATEWAY, "{early} before its start");
    let registry = registry.started().await?;
    let anonymous = Image::push(&bed.tools, registry, "tenant-a/web", "one").await;
    ensure!(anonymous.is_err(), "anybody may push");
    let account = Some(&TENANT_A);
    let image = Image::push_as(&bed.tools, registry, "tenant-a/web", "one", account).await?;
    let right = TENANT_A.authorization();
    let wrong = TENANT_A.authorization().replace("Basic ", "Basic AA");
    for (authorization, expected) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some(wrong.as_str()), StatusCode::UNAUTHORIZED),
        (Some(right.as_str()), StatusCode::OK),
    ] {
        let status = reading(&client, registry, &image, authorization).await?;
        ensure!(status == expected, "{status} with {authorization:?}");
    }
    let seen = registry.requests();
    let last = seen.last().context("no request was counted")?;
    ensure!(last.authorization == right, "{last:?}");
    let challenge = client.get(&ping).send().await?;
    let challenge = challenge.headers().get(header::WWW_AUTHENTICATE);
    let challenge = challenge.context("no challenge")?.to_str()?;
    ensure!(challenge.starts_with("Basic realm="), "{challenge}");
    cosign_logs_in(bed, &image, &TENANT_A).await
}

/// The token that the service gives for a scope.
async fn token(
    client: &Client,
    registry: &TokenRegistry,
    scope: &str,
    account: Option<&Account>,
) -> anyhow::Result<String> {
    let url = format!("{}?service=testbed&scope={scope}", registry.tokens.realm());
    let mut request = client.get(url);
    if let Some(account) = account {
        request = request.header(header::AUTHORIZATION, account.authorization());
    }
    let reply = request.send().await?.error_for_status()?.text().await?;
    let reply: Value = serde_json::from_str(&reply)?;
    let token = reply.get("token").and_then(Value::as_str);
    Ok(format!("Bearer {}", token.context("no token")?))
}

async fn a_wrong_password_gets_no_token(
    client: &Client,
    guarded: &TokenRegistry,
) -> anyhow::Result<()> {
    let url = format!("{}?service=testbed", guarded.tokens.realm());
    let wrong = client.get(url).header(header::AUTHORIZATION, "Basic AAAA");
    ensure!(
        wrong.send().await?.status() == StatusCode::UNAUTHORIZED,
        "a wrong password passes"
    );
    let denied = guarded.tokens.requests();
    let denied = denied.last().context("no request was counted")?;
    ensure!(
        denied.status == 401 && denied.with_credentials && denied.account.is_none(),
        "{denied:?}"
    );
    Ok(())
}

pub(crate) async fn a_token_opens_only_its_repository(bed: &Bed) -> anyhow::Result<()> {
    let guarded = TokenRegistry::new(&bed.tools).await?;
    let registry = guarded.registry.started().await?;
    let client = Client::builder().no_proxy().build()?;
    let (ours, theirs) = ("tenant-a/web", "tenant-b/web");
    let push =
        async |path, account| Image::push_as(&bed.tools, registry, path, "one", account).await;
    let image = push(ours, Some(&TENANT_A)).await?;
    let other = push(theirs, Some(&TENANT_B)).await?;
    ensure!(push(ours, None).await.is_err(), "anybody may push");
    ensure!(
        push(ours, Some(&TENANT_B)).await.is_err(),
        "b may push to a"
    );
    let pull = |path: &str| format!("repository:{path}:pull");
    guarded.tokens.clear_requests();
    let mine = token(&client, &guarded, &pull(ours), Some(&TENANT_A)).await?;
    let greedy = token(&client, &guarded, &pull(theirs), Some(&TENANT_A)).await?;
    let nobody = token(&client, &guarded, &pull(ours), None).await?;
    let granted = guarded.tokens.requests();
    let granted: Vec<&[String]> = granted.iter().map(|seen| &seen.granted[..]).collect();
    ensure!(granted == [&[pull(ours)][..], &[], &[]], "{granted:?}");
    let (basic, broken) = (TENANT_A.authorization(), format!("{mine}x"));
    for (what, image, authorization, expected) in [
        ("the right token", &image, Some(&mine), StatusCode::OK),
        ("none", &image, None, StatusCode::UNAUTHORIZED),
        (
            "a broken one",
            &image,
            Some(&broken),
            StatusCode::UNAUTHORIZED,
        ),
        ("nobody's", &image, Some(&nobody), StatusCode::UNAUTHORIZED),
        ("a password", &image, Some(&basic), StatusCode::UNAUTHORIZED),
        (
            "ours for theirs",
            &other,
            Some(&mine),
            StatusCode::UNAUTHORIZED,
        ),
        (
            "a greedy one",
            &other,
            Some(&greedy),
            StatusCode::UNAUTHORIZED,
        ),
    ] {
        let authorization = authorization.map(String::as_str);
        let status = reading(&client, registry, image, authorization).await?;
        ensure!(status == expected, "{what}: {status}");
    }
    a_wrong_password_gets_no_token(&client, &guarded).await?;
    guarded.tokens.clear_requests();
    cosign_logs_in(bed, &image, &TENANT_A).await?;
    let asked = guarded.tokens.requests();
    ensure!(
        asked.iter().any(|seen| seen.account == Some("tenant-a")),
        "{asked:?}"
    );
    Ok(())
}
