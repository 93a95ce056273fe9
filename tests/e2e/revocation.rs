//! What somebody revokes goes nowhere any more: while it waits, between its intent and the apply, and
//! under a key that was disclosed.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use lockmaster_api::{Environment, Revocation};
use lockmaster_core::gate::GateReport;
use lockmaster_core::reason::Reason;
use lockmaster_core::record::Outcome;
use lockmaster_core::status::{
    Condition, ConditionStatus, EnvironmentStatus, PromotionStatus, State,
};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::image::Image;
use lockmaster_tests::proxy::Exchange;
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::{Value, json};

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.shared("revocation::of_what_waits_and_of_what_runs", waits),
        beds.shared("revocation::of_a_bundle_that_everything_rests_on", bundle),
        beds.exclusive("revocation::between_intent_and_apply", between),
        beds.exclusive(
            "revocation::one_that_cannot_be_read_closes_everything",
            unreadable,
        ),
    ]
}

/// A Revocation with this name and these fields.
pub(crate) fn revocation(name: &str, fields: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Revocation",
        "metadata": {"name": name},
        "spec": {"reason": "built on a compromised runner"},
    });
    for (key, value) in fields.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

/// Takes a Revocation away again.
pub(crate) async fn lift(bed: &Bed, name: &str) -> anyhow::Result<()> {
    let api: Api<Revocation> = Api::all(bed.cluster.client());
    let deleted = api.delete(name, &DeleteParams::default()).await;
    deleted.map(drop).context("failed to delete a Revocation")
}

/// Waits until a gate of a Promotion gives this reason, and returns its report.
pub(crate) async fn gate(
    shop: &Shop<'_>,
    promotion: &str,
    name: &str,
    reason: Reason,
) -> anyhow::Result<GateReport> {
    let found = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates
            .find(|gate| gate.name == name && gate.reason == reason)
            .cloned()
    };
    let status = shop
        .wait(promotion, |status| found(status).is_some())
        .await?;
    found(&status).context("expected the report that was just seen")
}

/// Waits until an Environment says this of a condition, and returns its status.
pub(crate) async fn condition(
    shop: &Shop<'_>,
    stage: &str,
    kind: &str,
    expected: (ConditionStatus, Reason),
) -> anyhow::Result<EnvironmentStatus> {
    let name = shop.environment_name(stage);
    let says = |one: &Condition| one.kind == kind && (one.status, one.reason) == expected;
    shop.until(
        &format!("{kind} of {name} to be {expected:?}"),
        async || {
            let object: Environment = shop.environments().get(&name).await.ok()?;
            object
                .status
                .filter(|status| status.conditions.iter().any(says))
        },
    )
    .await
}

/// Waits until there is an Event with this reason about an Environment.
pub(crate) async fn event(shop: &Shop<'_>, stage: &str, reason: Reason) -> anyhow::Result<()> {
    let name = shop.environment_name(stage);
    let api: Api<k8s_openapi::api::events::v1::Event> =
        Api::namespaced(shop.bed.cluster.client(), &shop.name);
    shop.until(&format!("an Event {reason} about {name}"), async || {
        let all = api.list(&ListParams::default()).await.ok()?;
        let mut all = all.items.into_iter();
        all.find(|event| {
            let about = event
                .regarding
                .as_ref()
                .and_then(|about| about.name.as_deref());
            about == Some(&name) && event.reason.as_deref() == Some(reason.word())
        })
    })
    .await
    .map(drop)
}

/// Waits until the gauge of a concern has this value; 0 where it is not exposed.
pub(crate) async fn counted(
    shop: &Shop<'_>,
    stage: &str,
    reason: &str,
    expected: &str,
) -> anyhow::Result<()> {
    let labels = format!(
        "lockmaster_artifact_concerns{{promotion_namespace=\"{}\",product=\"checkout\",\
         environment=\"{stage}\",reason=\"{reason}\"}} ",
        shop.name
    );
    shop.until(&format!("{labels}{expected}"), async || {
        let operator = shop.bed.operator.lock().await;
        let page = operator.metrics().await.ok()?;
        let value = page.lines().find_map(|line| line.strip_prefix(&labels));
        (value.unwrap_or("0") == expected).then_some(())
    })
    .await
}

/// A shop whose Production waits for a person, and an image that went through dev and staging.
async fn waiting<'a>(bed: &'a Bed, name: &str) -> anyhow::Result<(Shop<'a>, Image, String)> {
    let rules = Rules {
        approvals: 1,
        ..Rules::default()
    };
    let shop = Shop::open(bed, name, &rules).await?;
    let image = shop.proven_image("good", "1.0.0").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    shop.promote_with_success("1.0.0", "staging").await?;
    let promotion = shop.promote("1.0.0", "prod").await?;
    shop.wait_for(&promotion, State::AwaitingApproval).await?;
    Ok((shop, image, promotion))
}

async fn waits(bed: &Bed) -> anyhow::Result<()> {
    let (shop, image, promotion) = waiting(bed, "revoked").await?;
    let name = "revoked-digest";
    let before = shop.image_of("staging").await?;
    shop.apply(&[revocation(name, &json!({"digests": [image.digest]}))])
        .await?;
    let report = gate(&shop, &promotion, "revocation", Reason::Revoked).await?;
    for word in [name, "built on a compromised runner"] {
        ensure!(
            report.message.contains(word),
            "expected {word} in: {}",
            report.message
        );
    }
    shop.wait_for(&promotion, State::Blocked).await?;
    // What runs says so too, and stays.
    let revoked = (ConditionStatus::False, Reason::Revoked);
    for stage in ["dev", "staging"] {
        condition(&shop, stage, "ArtifactVerified", revoked).await?;
        event(&shop, stage, Reason::Revoked).await?;
        counted(&shop, stage, "revoked", "1").await?;
    }
    ensure!(
        shop.image_of("staging").await? == before,
        "something was rolled back"
    );
    // It says itself that it is in force.
    let api: Api<Revocation> = Api::all(bed.cluster.client());
    shop.until("the Revocation to be Ready", async || {
        let status = api.get(name).await.ok()?.status?;
        let ready = status
            .conditions
            .into_iter()
            .find(|one| one.kind == "Ready")?;
        (ready.status == ConditionStatus::True).then_some(())
    })
    .await?;
    // Lifted, all is as before.
    lift(bed, name).await?;
    shop.wait_for(&promotion, State::AwaitingApproval).await?;
    let good = (ConditionStatus::True, Reason::NotRevoked);
    condition(&shop, "staging", "ArtifactVerified", good).await?;
    counted(&shop, "staging", "revoked", "0").await
}

/// Without its bundle staging would not let it in today, so that it proves nothing to prod.
async fn bundle(bed: &Bed) -> anyhow::Result<()> {
    let (shop, _, promotion) = waiting(bed, "revoked-bundle").await?;
    let status = shop.wait_for(&promotion, State::AwaitingApproval).await?;
    let signature = status.gates.iter().find(|gate| gate.name == "signature");
    let evidence = signature.and_then(|gate| gate.evidence.first());
    let evidence = evidence.context("expected the evidence of the signature")?;
    let name = "revoked-bundle";
    let digest = evidence.digest.as_str();
    shop.apply(&[revocation(name, &json!({"bundles": [digest]}))])
        .await?;
    let report = gate(&shop, &promotion, "signature", Reason::SignerNotTrusted).await?;
    let words = format!("revoked by Revocation {name}");
    ensure!(report.message.contains(&words), "{}", report.message);
    let upstream = gate(&shop, &promotion, "upstream", Reason::Revoked).await?;
    ensure!(upstream.message.contains(&words), "{}", upstream.message);
    lift(bed, name).await?;
    shop.wait_for(&promotion, State::AwaitingApproval).await?;
    Ok(())
}

fn is_apply(exchange: &Exchange) -> bool {
    exchange.method == "PATCH"
        && exchange.path.contains("/deployments/")
        && exchange.path.contains("force=true")
}

/// The apply is on its way to the API server when its artifact is revoked: it never lands.
async fn between(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "revoked-late", &rules).await?;
    let image = shop.image("held").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let before = shop.image_of("dev").await?;
    bed.proxy.clear();
    let hold = bed.proxy.hold_request(is_apply);
    let promotion = shop.promote("1.0.0", "dev").await?;
    hold.reached().await?;
    let name = "revoked-late";
    shop.apply(&[revocation(name, &json!({"digests": [image.digest]}))])
        .await?;
    let status = shop.wait_for(&promotion, State::Failed).await?;
    ensure!(status.summary.contains(name), "{}", status.summary);
    let record = shop
        .records("dev")
        .await?
        .pop()
        .context("expected a record")?;
    let content = &record.spec.content;
    ensure!(
        (content.outcome, content.reason) == (Outcome::Failed, Reason::Revoked),
        "expected Failed as Revoked, saw {} as {}",
        content.outcome,
        content.reason
    );
    hold.release();
    let answer = shop
        .until("the held apply to be answered", async || {
            let all = bed.proxy.exchanges();
            all.iter()
                .filter(|exchange| is_apply(exchange))
                .find_map(|apply| apply.status)
        })
        .await?;
    ensure!(answer == 409, "expected a conflict (409), saw {answer}");
    ensure!(
        shop.image_of("dev").await? == before,
        "the late apply landed"
    );
    // Nothing more is sent.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let applies = bed
        .proxy
        .exchanges()
        .iter()
        .filter(|one| is_apply(one))
        .count();
    ensure!(applies == 1, "{applies} applies of what was revoked");
    lift(bed, name).await
}

async fn unreadable(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "revoked-typo", &rules).await?;
    let image = shop.image("good").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let name = "revoked-typo";
    let misspelt = json!({"digests": [image.digest], "digest": [image.digest]});
    shop.apply(&[revocation(name, &misspelt)]).await?;
    let closed = closed(&shop, name).await;
    // It closes every Environment of the bed: away with it, whatever came of this.
    lift(bed, name).await?;
    shop.wait_for(&closed?, State::Succeeded).await?;
    Ok(())
}

async fn closed(shop: &Shop<'_>, name: &str) -> anyhow::Result<String> {
    let resource = kube::core::ApiResource::erase::<Revocation>(&());
    let api: Api<kube::api::DynamicObject> = Api::all_with(shop.bed.cluster.client(), &resource);
    let said = shop
        .until(
            "the Revocation to say that it is not in force",
            async || {
                let object = api.get(name).await.ok()?;
                let ready = object.data.pointer("/status/conditions/0")?;
                (ready["status"] == "False").then(|| ready["message"].to_string())
            },
        )
        .await?;
    ensure!(said.contains("Unknown field digest"), "{said}");
    let metrics = shop.bed.operator.lock().await.metrics().await?;
    let counted = "lockmaster_objects_not_ready{kind=\"Revocation\"} 1";
    ensure!(metrics.contains(counted), "{metrics}");
    let promotion = shop.promote("1.0.0", "dev").await?;
    let report = gate(shop, &promotion, "revocation", Reason::RevocationInvalid).await?;
    ensure!(report.message.contains(name), "{}", report.message);
    let object = shop.promotions().get(&promotion).await?;
    ensure!(object.metadata.uid.is_some() && object.name_any() == promotion);
    Ok(promotion)
}
