//! What one tenant's look at a registry leaves behind for the next.

use anyhow::{bail, ensure};
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{PromotionStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::image::Image;
use lockmaster_tests::registry::{TENANT_A, TENANT_B};
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::json;

use super::logins::{give_login, reads_with};
use super::{Tenant, named, nothing_written, report, written};

/// The gates that judge what is attached to an image.
pub(super) const GATES: [&str; 3] = ["signature", "provenance", "sbom"];

pub(super) fn all_valid(status: &PromotionStatus) -> anyhow::Result<()> {
    for name in GATES {
        let found = report(status, name)?;
        ensure!(
            found.reason == Reason::EvidenceValid,
            "expected valid evidence, saw {found:?}"
        );
    }
    Ok(())
}

/// How often the operator asked the open registry about the shop's images.
fn asked(shop: &Shop<'_>) -> Vec<String> {
    let repository = format!("/v2/{}/", shop.repository());
    let all = shop.bed.registry.requests().into_iter();
    let ours = all.filter(|exchange| {
        exchange.user_agent.starts_with("lockmaster/") && exchange.path.starts_with(&repository)
    });
    ours.map(|exchange| exchange.path).collect()
}

/// Releases that say another commit than the provenance of a digest that is known already. What is
/// known was verified for another Release, and is compared with this one all the same, without a
/// request.
pub(super) async fn warm(bed: &Bed) -> anyhow::Result<()> {
    /// What did not suffice is read again after ten seconds: that may fall into one of these.
    const ATTEMPTS: usize = 3;
    let tenant = Tenant::open(bed, "tenancy-warm", &Rules::default()).await?;
    let shop = &tenant.shop;
    for stage in ["dev", "staging"] {
        tenant.may_promote(stage).await?;
    }
    let image = shop.proven_image("warm", "1.0.0").await?;
    let released = tenant.create(&shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    for stage in ["dev", "staging"] {
        tenant.promote(stage, "1.0.0", stage).await?;
        let status = shop.wait_for(stage, State::Succeeded).await?;
        if stage == "staging" {
            all_valid(&status)?;
        }
    }
    let before = written(&[shop])?;
    let known = asked(shop).len();
    forged(&tenant, &image, 0).await?;
    // Of what it did not know it looked at the tags, where more could lie; at nothing twice.
    let more = asked(shop).split_off(known);
    ensure!(
        more.iter().all(|path| is_a_list(path)),
        "expected that only lists are read again, saw {more:#?}"
    );
    let mut costs = Vec::new();
    for attempt in 1..=ATTEMPTS {
        let known = asked(shop).len();
        forged(&tenant, &image, attempt).await?;
        costs.push(asked(shop).split_off(known));
    }
    ensure!(
        costs.iter().any(Vec::is_empty),
        "expected one of {ATTEMPTS} to cost no request, saw {costs:#?}"
    );
    let after = written(&[shop])?;
    ensure!(after == before, "the operator wrote: {after:#?}");
    tenant.reads_nothing_of(&["canary"]).await
}

/// Referrers, or a tag: what has no hash that is known before.
fn is_a_list(path: &str) -> bool {
    path.contains("/referrers/") || path.contains("/manifests/sha256-")
}

/// A Release of the same image with another commit must not pass.
async fn forged(tenant: &Tenant<'_>, image: &Image, number: usize) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    let name = format!("forged-{number}");
    let mut release = named(shop.release("1.0.0", image), &name);
    release["spec"]["source"]["commit"] = json!(format!("{number}badc0de").repeat(5));
    let released = tenant.create(&release).await?;
    released.required("create a Release as the editor")?;
    let mut promotion = named(shop.promotion("1.0.0", "staging"), &name);
    promotion["spec"]["release"] = json!(name);
    let created = tenant.create(&promotion).await?;
    created.required("create a Promotion as the editor")?;
    let mismatch = Reason::ProvenanceMismatch;
    let status = tenant.held(&name, "provenance", mismatch).await?;
    let commit = &report(&status, "provenance")?.message;
    ensure!(
        commit.contains("commit"),
        "expected the commit, saw {commit}"
    );
    Ok(())
}

/// A registry that shows the referrers to one login and answers another one 404, or 403. What the
/// second one is told hides nothing from the first, and what the first one has read the second does
/// not see.
pub(super) async fn hidden(bed: &Bed) -> anyhow::Result<()> {
    let shown = Tenant::open(bed, "tenancy-shown", &Rules::default()).await?;
    let denied = Tenant::open(bed, "tenancy-denied", &Rules::default()).await?;
    let mut images = Vec::new();
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        let image = shown.shop.proven_image(version, version).await?;
        for tenant in [&shown, &denied] {
            let released = tenant.create(&tenant.shop.release(version, &image)).await?;
            released.required("create a Release as the editor")?;
        }
        shown.shop.promote_with_success(version, "dev").await?;
        images.push(image);
    }
    let address = bed.registry.address();
    for (tenant, account) in [(&shown, &TENANT_A), (&denied, &TENANT_B)] {
        give_login(tenant, "login", account, &address).await?;
        reads_with(tenant, &["login"]).await?;
        tenant.may_promote("staging").await?;
    }
    let ours = format!("/v2/{}/", shown.shop.repository());
    let (known, stranger) = (TENANT_A.authorization(), TENANT_B.authorization());
    let forbidden = images[0].digest.clone();
    let _refusal = bed.registry.proxy().refuse(move |exchange| {
        if !exchange.path.starts_with(&ours) || exchange.authorization == known {
            return None;
        }
        if exchange.authorization != stranger {
            return Some(401);
        }
        let listed = exchange.path.contains("/referrers/");
        let status = if exchange.path.contains(&forbidden) {
            403
        } else {
            404
        };
        listed.then_some(status)
    });
    let missing = ("signature", Reason::SignatureMissing);
    let unread = ("signature", Reason::RegistryUnavailable);
    // Before the other two: whom it told that there is no such API is not asking for a while.
    denied_and_shown(&denied, &shown, ("1.0.0", unread)).await?;
    // First who is told that there is no referrers API, then who is shown it.
    denied_and_shown(&denied, &shown, ("1.1.0", missing)).await?;
    // First who is shown it; this image is known by then, to others.
    succeeds(&shown, "1.2.0").await?;
    held(&denied, "1.2.0", missing).await?;

    let bundles = bundles_of(&shown, &["1.0.0", "1.1.0", "1.2.0"]).await?;
    let mut foreign: Vec<&str> = bundles.iter().map(String::as_str).collect();
    // The repository has the other tenant's name in it, and the tenant wrote that down.
    foreign.extend(["tenancy-shown-dev", TENANT_A.password]);
    denied.reads_nothing_of(&foreign).await?;
    nothing_written(&[&denied.shop])
}

type Answer = (&'static str, Reason);

async fn denied_and_shown(
    denied: &Tenant<'_>,
    shown: &Tenant<'_>,
    (version, answer): (&str, Answer),
) -> anyhow::Result<()> {
    held(denied, version, answer).await?;
    succeeds(shown, version).await
}

async fn held(tenant: &Tenant<'_>, version: &str, (gate, reason): Answer) -> anyhow::Result<()> {
    tenant.promote(version, version, "staging").await?;
    let status = tenant.held(version, gate, reason).await?;
    for name in GATES {
        let found = report(&status, name)?;
        if !found.evidence.is_empty() || found.verdict.is_open() {
            bail!("it is judged by what somebody else was shown: {found:?}");
        }
    }
    Ok(())
}

async fn succeeds(tenant: &Tenant<'_>, version: &str) -> anyhow::Result<()> {
    tenant.promote(version, version, "staging").await?;
    all_valid(&tenant.shop.wait_for(version, State::Succeeded).await?)
}

/// The digests of the bundles that promotions rested on.
pub(super) async fn bundles_of(
    tenant: &Tenant<'_>,
    promotions: &[&str],
) -> anyhow::Result<Vec<String>> {
    let mut bundles = Vec::new();
    for name in promotions {
        let status = tenant.shop.wait_for(name, State::Succeeded).await?;
        for name in GATES {
            let evidence = &report(&status, name)?.evidence;
            bundles.extend(evidence.iter().map(|one| one.digest.to_string()));
        }
    }
    ensure!(!bundles.is_empty(), "expected bundles");
    Ok(bundles)
}
