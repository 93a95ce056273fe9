//! Environments that point at what is somebody else's.

use anyhow::ensure;
use lockmaster_core::environment::Tier;
use lockmaster_core::reason::Reason;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::{Value, json};

use super::{Tenant, named, nothing_written, refused, report, unasking};

/// What the victim's workload runs. Nobody else has any business with it.
const CANARY: &str = "canary-image-8e21";

/// The workload of a stage, with this consent, running the canary.
async fn runs_the_canary(
    shop: &Shop<'_>,
    stage: &str,
    consent: Option<&str>,
) -> anyhow::Result<()> {
    let mut workload = shop.deployment(stage);
    workload["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(format!("registry.example/{CANARY}:1"));
    workload["metadata"]["annotations"] = consent.map_or_else(
        || json!({}),
        |key| json!({"lockmaster.dev/authorized-by": key}),
    );
    shop.apply(&[workload]).await
}

fn targets(shop: &Shop<'_>, stage: &str) -> Value {
    json!([{"workload": {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout",
        "namespace": shop.target_namespace(stage),
    }}])
}

/// An Environment that calls itself Development and points at a production workload of somebody else:
/// the API server refuses it to who may not promote; the rules of Production hold for who may, and
/// the owner of the workload must have agreed besides.
pub(super) async fn cve_2021_41254_a_development_tier_opens_no_production(
    bed: &Bed,
) -> anyhow::Result<()> {
    let owner = Shop::open(bed, "tenancy-owner", &Rules::default()).await?;
    let tenant = Tenant::open(bed, "tenancy-tier", &unasking()).await?;
    let key = format!("{}/{}", owner.name, owner.environment_name("prod"));
    runs_the_canary(&owner, "prod", Some(&key)).await?;

    let mut sneaky = named(tenant.shop.development("dev")?, "sneaky");
    sneaky["spec"]["targets"] = targets(&owner, "prod");
    let rule = "may not change what sneaky promotes";
    refused("a new Environment", &tenant.create(&sneaky).await?, rule)?;
    let stolen = json!({"targets": targets(&owner, "prod"), "tier": "Development"});
    let answer = tenant.change("dev", stolen.clone()).await?;
    refused(
        "another target",
        &answer,
        "may not change what checkout-dev",
    )?;
    let lowered = json!({"tier": "Development"});
    let answer = tenant.change("prod", lowered).await?;
    refused("a lower tier", &answer, "may not change what checkout-prod")?;

    tenant.may_promote("dev").await?;
    let answer = tenant.change("dev", stolen).await?;
    answer.required("retarget an Environment with promote")?;
    let image = tenant.shop.image("unsigned").await?;
    let released = tenant.create(&tenant.shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    tenant.promote("sneaky", "1.0.0", "dev").await?;
    let status = tenant.held("sneaky", "target", Reason::TargetTaken).await?;
    // The owner's policies are asked as well: they name no source of this tenant.
    let signature = report(&status, "signature")?;
    ensure!(
        signature.reason == Reason::SourceNotAllowed,
        "expected the rules of Production, saw {signature:?}"
    );
    is_production(&tenant).await?;
    let foreign = [CANARY, key.as_str()];
    tenant.reads_nothing_of(&foreign).await?;

    // With consent the rules are still those of Production.
    let agreed = format!(
        "{}/{}",
        tenant.shop.name,
        tenant.shop.environment_name("dev")
    );
    runs_the_canary(&owner, "prod", Some(&agreed)).await?;
    let status = tenant.held("sneaky", "target", Reason::TargetReady).await?;
    let signature = report(&status, "signature")?;
    ensure!(
        signature.reason == Reason::SourceNotAllowed && status.plan.is_none(),
        "expected the rules of Production, saw {status:?}"
    );
    tenant.reads_nothing_of(&foreign).await?;
    nothing_written(&[&owner, &tenant.shop])
}

async fn is_production(tenant: &Tenant<'_>) -> anyhow::Result<()> {
    let name = tenant.shop.environment_name("dev");
    let environment = tenant.shop.environments().get(&name).await?;
    let tier = environment.status.and_then(|status| status.effective_tier);
    ensure!(
        tier == Some(Tier::Production),
        "expected effective tier Production, saw {tier:?}"
    );
    Ok(())
}

/// Workloads whose owner did not agree: asked by nobody, agreed with somebody else of the same name,
/// or nothing of the operator's to look at.
pub(super) async fn cve_2026_22039_a_target_that_does_not_consent(bed: &Bed) -> anyhow::Result<()> {
    let owner = Shop::open(bed, "tenancy-consent-owner", &unasking()).await?;
    let tenant = Tenant::open(bed, "tenancy-consent", &unasking()).await?;
    tenant.may_promote("dev").await?;
    let key = format!("{}/{}", owner.name, owner.environment_name("dev"));
    runs_the_canary(&owner, "dev", Some(&key)).await?;
    runs_the_canary(&owner, "staging", None).await?;
    let mut locked = owner.target("locked");
    locked.retain(|object| object["kind"] == "Namespace");
    owner.apply(&locked).await?;
    runs_the_canary(&owner, "locked", None).await?;

    let image = tenant.shop.image("unasked").await?;
    let released = tenant.create(&tenant.shop.release("1.0.0", &image)).await?;
    released.required("create a Release as the editor")?;
    for (stage, reason) in [
        ("dev", Reason::TargetTaken),
        ("staging", Reason::NotAuthorizedByTarget),
        ("locked", Reason::TargetNotReadable),
    ] {
        let answer = tenant.change("dev", json!({"targets": targets(&owner, stage)}));
        answer
            .await?
            .required("retarget an Environment with promote")?;
        tenant
            .promote(&format!("for-{stage}"), "1.0.0", "dev")
            .await?;
        let status = tenant
            .held(&format!("for-{stage}"), "target", reason)
            .await?;
        ensure!(status.plan.is_none(), "a plan was published: {status:?}");
        tenant.reads_nothing_of(&[CANARY, &key]).await?;
    }
    nothing_written(&[&owner, &tenant.shop])
}
