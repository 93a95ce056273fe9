//! Asking for what one may not ask for.

use anyhow::{Context as _, ensure};
use kube::ResourceExt;
use kube::api::ListParams;
use lockmaster_core::status::State;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::shop::Rules;
use serde_json::json;

use super::{Tenant, named, nothing_written, refused, unasking, written};

/// GHSA-5vvm-67pj-72g4: Kargo asked for the right to promote on one of its APIs and not on another.
/// Who may edit everything and not promote: every way to a Promotion, or to what one would do, is
/// refused, and nothing is stored.
pub(super) async fn cve_2026_27111_without_promote_nothing_is_asked(
    bed: &Bed,
) -> anyhow::Result<()> {
    let tenant = Tenant::open(bed, "tenancy-asking", &unasking()).await?;
    let shop = &tenant.shop;
    let image = shop.image("asked").await?;
    let released = tenant.create(&shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    creating(&tenant).await?;
    around_it(&tenant).await?;
    of_somebody_else(&tenant).await?;
    tenant.reads_nothing_of(&["canary"]).await?;
    nothing_written(&[shop])
}

/// One by one, in every form.
async fn creating(tenant: &Tenant<'_>) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    let rule = "may not promote into checkout-dev";
    let promotion = shop.promotion("1.0.0", "dev");
    refused("created", &tenant.create(&promotion).await?, rule)?;
    let mut generated = promotion.clone();
    generated["metadata"] = json!({"generateName": "asked-", "namespace": shop.name});
    refused(
        "with another's name",
        &tenant.create(&generated).await?,
        rule,
    )?;
    let file = bed_file(tenant, &promotion.to_string())?;
    let applied = ["apply", "--server-side", "-f", &file];
    refused("applied", &tenant.kubectl(&applied).await?, rule)?;
    // The role "edit" lets its holders act as ServiceAccounts of the namespace: no way round either.
    let account = format!("system:serviceaccount:{}:default", shop.name);
    let impersonated = ["create", "--as", &account, "-f", &file];
    let answer = tenant.kubectl(&impersonated).await?;
    refused("as a ServiceAccount", &answer, "cannot create resource")?;
    let mut back = named(shop.promotion("1.0.0", "prod"), "back");
    for (field, value) in [
        ("action", "Rollback"),
        ("reason", "x"),
        ("incident", "INC-1"),
    ] {
        back["spec"][field] = json!(value);
    }
    let rule = "may not promote into checkout-prod";
    refused("a rollback", &tenant.create(&back).await?, rule)?;
    let stored = shop.promotions().list(&ListParams::default()).await?;
    ensure!(stored.items.is_empty(), "stored: {:?}", stored.items);
    Ok(())
}

/// Not through the objects that a Promotion leads to.
async fn around_it(tenant: &Tenant<'_>) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    let claim = json!({"status": {"effectiveTier": "Development", "conditions": []}}).to_string();
    let kind = "environments.lockmaster.dev";
    let dev = shop.environment_name("dev");
    let arguments = [
        "patch",
        kind,
        &dev,
        "--subresource=status",
        "--type=merge",
        "-p",
        &claim,
    ];
    let answer = tenant.kubectl(&arguments).await?;
    refused("a status", &answer, "only the operator writes this")?;
    // There is no field by which an Environment asks for a release by itself; the day there is one,
    // this fails, and setting it must need the verb promote.
    let desired = json!({"spec": {"desired": {"release": "checkout-1.0.0"}}}).to_string();
    tenant
        .kubectl(&["patch", kind, &dev, "--type=merge", "-p", &desired])
        .await?;
    let stored = tenant.kubectl(&["get", kind, &dev, "-o", "json"]).await?;
    let stored = stored.required("read an Environment")?.stdout;
    ensure!(!stored.contains("desired"), "stored: {stored}");
    Ok(())
}

/// GHSA-7g9x-cp9g-92mr: what Kargo refused one by one it did in a batch. In a list, each counts for
/// itself: the one that is allowed is created, the others are not.
pub(super) async fn cve_2026_27112_each_of_a_list_counts_for_itself(
    bed: &Bed,
) -> anyhow::Result<()> {
    let tenant = Tenant::open(bed, "tenancy-list", &unasking()).await?;
    let shop = &tenant.shop;
    let image = shop.image("listed").await?;
    let released = tenant.create(&shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    tenant.may_promote("dev").await?;
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        named(shop.promotion("1.0.0", "prod"), "first"),
        named(shop.promotion("1.0.0", "dev"), "second"),
        named(shop.promotion("1.0.0", "staging"), "third"),
    ]});
    let answer = tenant.create(&list).await?;
    refused(
        "two of a list",
        &answer,
        "may not promote into checkout-prod",
    )?;
    refused(
        "two of a list",
        &answer,
        "may not promote into checkout-staging",
    )?;
    shop.wait_for("second", State::Succeeded).await?;
    let stored = shop.promotions().list(&ListParams::default()).await?;
    let names: Vec<_> = stored.items.iter().map(ResourceExt::name_any).collect();
    ensure!(names == ["second"], "stored: {names:?}");
    // The one apply is that of the Promotion that was allowed.
    let written = written(&[shop])?;
    let into_dev = format!("namespaces/{}/", shop.target_namespace("dev"));
    ensure!(
        written.len() == 1 && written.iter().all(|one| one.contains(&into_dev)),
        "the operator wrote: {written:#?}"
    );
    Ok(())
}

/// Another's Promotion is not turned into something else, and not aborted.
async fn of_somebody_else(tenant: &Tenant<'_>) -> anyhow::Result<()> {
    let shop = &tenant.shop;
    // It never was in dev: it waits, and could be changed.
    let other = shop.image("other").await?;
    shop.apply(&[shop.release("1.1.0", &other)]).await?;
    let name = shop.promote("1.1.0", "staging").await?;
    shop.wait_for(&name, State::Blocked).await?;
    let kind = "promotions.lockmaster.dev";
    for (what, spec, rule) in [
        (
            "another release",
            json!({"release": "checkout-1.0.0"}),
            "a Promotion never changes",
        ),
        (
            "another place",
            json!({"environment": "checkout-dev"}),
            "a Promotion never changes",
        ),
        ("an abort", json!({"abort": true}), "V13 "),
    ] {
        let patch = json!({"spec": spec}).to_string();
        let arguments = ["patch", kind, &name, "--type=merge", "-p", &patch];
        refused(what, &tenant.kubectl(&arguments).await?, rule)?;
    }
    Ok(())
}

/// Kubernetes once let objects of the whole cluster be reached through a namespace, by the rights that
/// somebody has there. Whoever may write everything in a namespace writes no policy, and no window.
pub(super) async fn cve_2019_11247_rules_are_not_reached_through_a_namespace(
    bed: &Bed,
) -> anyhow::Result<()> {
    let tenant = Tenant::open(bed, "tenancy-scopes", &Rules::default()).await?;
    let shop = &tenant.shop;
    let policy = format!("{}-evidence", shop.name);
    for (kind, name) in [
        ("clusterpromotionpolicies", policy.as_str()),
        ("changewindows", "any"),
        ("trustedroots", "any"),
        ("revocations", "any"),
    ] {
        let whole = format!("{kind}.lockmaster.dev");
        for verb in ["get", "delete"] {
            let answer = tenant.kubectl(&[verb, &whole, name]).await?;
            refused(&format!("{verb} {kind}"), &answer, "cannot")?;
        }
        let api = "/apis/lockmaster.dev/v1alpha1";
        let path = format!("{api}/namespaces/{}/{kind}/{name}", shop.name);
        for verb in ["get", "delete"] {
            let answer = tenant.kubectl(&[verb, "--raw", &path]).await?;
            refused(&path, &answer, "could not find the requested resource")?;
        }
    }
    let mut lax = shop.policies(&unasking()).remove(0);
    lax["metadata"]["namespace"] = json!(shop.name);
    let answer = tenant.create(&lax).await?;
    refused("a policy", &answer, "cannot create resource")?;
    let stored = shop
        .kubectl_as(
            bed.cluster.admin(),
            &["get", "clusterpromotionpolicies.lockmaster.dev", &policy],
        )
        .await?;
    stored.required("find the policy where it was")?;
    nothing_written(&[shop])
}

/// A file that kubectl reads.
fn bed_file(tenant: &Tenant<'_>, text: &str) -> anyhow::Result<String> {
    let directory = tenant.shop.bed.cluster.directory();
    let path = directory.join(format!("{}.json", tenant.shop.name));
    std::fs::write(&path, text).context("failed to write a manifest")?;
    Ok(path.display().to_string())
}
