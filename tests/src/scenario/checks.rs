//! What several scenarios ask and do: each either answers or fails with what it expected and saw.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt};
use lockmaster_api::{Environment, PromotionRecord};
use lockmaster_core::approval::{APPROVAL_PREFIX, Vote, render};
use lockmaster_core::gate::GateReport;
use lockmaster_core::plan::PublishedPlan;
use lockmaster_core::reason::Reason;
use lockmaster_core::record::Record;
use lockmaster_core::release::Digest;
use lockmaster_core::status::{EnvironmentStatus, PromotionStatus, State};
use serde_json::{Value, json};

use super::Show;
use crate::cluster::{Output, Person};
use crate::image::Image;
use crate::shop::{STAGES, Shop};

/// A command must have been refused, and the refusal must name this rule.
pub(super) fn denied(output: &Output, rule: &str) -> anyhow::Result<()> {
    let said = format!("{}{}", output.stdout, output.stderr);
    ensure!(
        !output.success(),
        "expected the API server to refuse this ({rule}), but it succeeded: {said}"
    );
    ensure!(
        said.contains(rule),
        "expected a refusal that says \"{rule}\", but it says: {said}"
    );
    Ok(())
}

/// What a gate says.
pub(super) fn gate<'a>(status: &'a PromotionStatus, name: &str) -> anyhow::Result<&'a GateReport> {
    let mut gates = status.gates.iter();
    let found = gates.find(|gate| gate.name == name);
    found.with_context(|| format!("expected a report of gate {name}, saw {:?}", status.gates))
}

/// Whether a gate gives this reason.
#[must_use]
pub(super) fn says(status: &PromotionStatus, name: &str, reason: Reason) -> bool {
    let mut gates = status.gates.iter();
    gates.any(|gate| gate.name == name && gate.reason == reason)
}

/// Waits until a Promotion is in this state because a gate gives this reason.
pub(super) async fn held(
    shop: &Shop<'_>,
    promotion: &str,
    state: State,
    (name, reason): (&str, Reason),
) -> anyhow::Result<PromotionStatus> {
    let as_wanted = |status: &PromotionStatus| status.state == state && says(status, name, reason);
    let outcome = shop.wait(promotion, as_wanted).await;
    outcome.with_context(|| format!("expected {state:?} because gate {name} says {reason}"))
}

/// Waits for the plan that people decide about.
pub(super) async fn plan(shop: &Shop<'_>, promotion: &str) -> anyhow::Result<PublishedPlan> {
    let status = shop.wait_for(promotion, State::AwaitingApproval).await?;
    status
        .plan
        .context("expected a plan to approve in status.plan, saw none")
}

/// The value of a decision's annotation.
#[must_use]
pub(super) fn decision(vote: Vote, by: &str, plan: &Digest, reason: &str) -> String {
    render(vote, by, plan, "", reason)
}

/// Writes a decision's annotation with kubectl, as somebody; how it ended is the caller's to judge.
pub(super) async fn annotate(
    (shop, show): (&Shop<'_>, &Show),
    person: &Person,
    promotion: &str,
    slot: &str,
    value: &str,
) -> anyhow::Result<Output> {
    let pair = format!("{APPROVAL_PREFIX}{slot}={value}");
    let arguments = [
        "annotate",
        "--overwrite",
        "promotions.lockmaster.dev",
        promotion,
        &pair,
    ];
    show.run(shop, person, &arguments).await
}

/// Decides with the plugin, as somebody who may.
pub(super) async fn decide(
    (shop, show): (&Shop<'_>, &Show),
    person: &Person,
    verb: &str,
    promotion: &str,
    reason: &str,
) -> anyhow::Result<()> {
    let arguments = [
        "promote",
        verb,
        promotion,
        "--role",
        "release-manager",
        "--ref",
        "CHG-1042",
        "--reason",
        reason,
        "--yes",
    ];
    let output = show.run(shop, person, &arguments).await?;
    output.required(&format!("{verb} {promotion} as {person}"))?;
    Ok(())
}

/// Builds a version: an image, with evidence where asked for, and its Release, created by bob.
pub(super) async fn build(shop: &Shop<'_>, version: &str, proven: bool) -> anyhow::Result<Image> {
    let image = if proven {
        shop.proven_image(version, version).await?
    } else {
        shop.image(version).await?
    };
    let release = shop.release(version, &image);
    shop.create_as(&shop.bed.people.bob, &release)
        .await?
        .required("create a Release as bob")?;
    Ok(image)
}

/// Promotes a version through these stages, each with success.
pub(super) async fn promote_through(
    shop: &Shop<'_>,
    version: &str,
    stages: &[&str],
) -> anyhow::Result<()> {
    for stage in stages {
        shop.promote_with_success(version, stage).await?;
    }
    Ok(())
}

/// Creates a Promotion as bob under another name than [`Shop::promote`] gives it.
pub(super) async fn promote_as(
    shop: &Shop<'_>,
    name: &str,
    version: &str,
    stage: &str,
    spec: &Value,
) -> anyhow::Result<String> {
    let mut promotion = shop.promotion(version, stage);
    if let Some(metadata) = promotion.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("name".to_owned(), name.into());
    }
    if let Some(fields) = promotion.get_mut("spec").and_then(Value::as_object_mut) {
        fields.extend(spec.as_object().cloned().unwrap_or_default());
    }
    let created = shop.create_as(&shop.bed.people.bob, &promotion).await?;
    created.required(&format!("create Promotion {name} as bob"))?;
    Ok(name.to_owned())
}

/// The workload of a stage.
pub(super) async fn workload(shop: &Shop<'_>, stage: &str) -> anyhow::Result<Deployment> {
    let api: Api<Deployment> =
        Api::namespaced(shop.bed.cluster.client(), &shop.target_namespace(stage));
    api.get("checkout")
        .await
        .context("failed to read the workload")
}

/// The generation of a stage's workload: it grows with every write to its spec or annotations.
pub(super) async fn generation(shop: &Shop<'_>, stage: &str) -> anyhow::Result<i64> {
    let generation = workload(shop, stage).await?.metadata.generation;
    generation.context("expected the workload to have a generation")
}

/// Nobody may have written to a stage's workload since its generation was read.
pub(super) async fn untouched(shop: &Shop<'_>, stage: &str, before: i64) -> anyhow::Result<()> {
    let after = generation(shop, stage).await?;
    ensure!(
        after == before,
        "expected the workload of {stage} to stay at generation {before}, but it was written and \
         is at {after}"
    );
    Ok(())
}

/// The status of a stage's Environment once nothing holds it and it is as wanted.
pub(super) async fn environment(
    shop: &Shop<'_>,
    stage: &str,
    what: &str,
    wanted: impl Fn(&EnvironmentStatus) -> bool,
) -> anyhow::Result<EnvironmentStatus> {
    let name = shop.environment_name(stage);
    let api: Api<Environment> = shop.environments();
    let what = format!("Environment {name} to say {what}");
    shop.until(&what, async || {
        let status = api.get(&name).await.ok()?.status?;
        (status.active.is_none() && wanted(&status)).then_some(status)
    })
    .await
}

/// The records of a stage: exactly so many, each intact, numbered, and linked to the one before.
pub(super) async fn chain(
    shop: &Shop<'_>,
    stage: &str,
    length: usize,
) -> anyhow::Result<Vec<PromotionRecord>> {
    let records = shop.records(stage).await?;
    let names: Vec<_> = records.iter().map(ResourceExt::name_any).collect();
    ensure!(
        records.len() == length,
        "expected {length} records of {stage}, saw {}: {}",
        records.len(),
        names.join(", ")
    );
    let mut before: Option<&Record> = None;
    let all: Vec<Record> = records
        .iter()
        .map(|record| record.spec.clone().into())
        .collect();
    for (record, name) in all.iter().zip(&names) {
        ensure!(
            record.is_intact(),
            "expected the hash of record {name} to be that of its content, and it is not"
        );
        ensure!(
            record.object_name() == *name,
            "expected record {name} to be called {} as its content says",
            record.object_name()
        );
        let linked = match (&record.content.previous, before) {
            (None, None) => true,
            (Some(link), Some(before)) => {
                link.name == before.object_name() && link.hash == before.hash
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        ensure!(
            linked,
            "expected record {name} to be linked to the one before it, saw {:?}",
            record.content.previous
        );
        before = Some(record);
    }
    Ok(records)
}

/// The pods of all stages must run exactly this digest.
pub(super) async fn same_digest(shop: &Shop<'_>, image: &Image) -> anyhow::Result<Vec<String>> {
    let first = shop.image_ids("dev").await?;
    for stage in STAGES {
        let ids = shop.image_ids(stage).await?;
        let right = ids.iter().all(|id| id.ends_with(&image.digest));
        if ids != first || ids.len() != 1 || !right {
            bail!(
                "expected the pods of {stage} to run {} as those of dev do, saw {ids:?} in \
                 {stage} and {first:?} in dev",
                image.digest
            );
        }
    }
    Ok(first)
}

/// Nobody may have written to the workloads of these stages on the operator's behalf, as the audit
/// log of the API server has it: no apply, no fence.
pub(super) fn no_write_to_targets(shop: &Shop<'_>, stages: &[&str]) -> anyhow::Result<()> {
    let namespaces: Vec<_> = stages
        .iter()
        .map(|stage| shop.target_namespace(stage))
        .collect();
    let written = shop.bed.cluster.audit_log()?.matching(|event| {
        event.is_mutation()
            && event.user_agent.starts_with("lockmaster/")
            && namespaces.contains(&event.namespace)
    })?;
    let written: Vec<_> = written
        .iter()
        .map(|event| format!("{} {}", event.verb, event.uri))
        .collect();
    ensure!(
        written.is_empty(),
        "expected the operator to write to no target, saw {written:?}"
    );
    Ok(())
}

/// The right to promote into one more stage, for those who request.
pub(super) fn may_promote(shop: &Shop<'_>, stage: &str) -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    let name = format!("may-promote-{stage}");
    let metadata = json!({"name": name, "namespace": shop.name});
    vec![
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": ["lockmaster.dev"], "resources": ["environments"],
                       "resourceNames": [shop.environment_name(stage)], "verbs": ["promote"]}],
        }),
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": "requesters"}],
        }),
    ]
}

/// Sets one field of a manifest, by JSON pointer; everything on the way to it must exist.
pub(super) fn set(manifest: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    let (parent, field) = pointer
        .rsplit_once('/')
        .context("expected a JSON pointer")?;
    let parent = manifest.pointer_mut(parent).and_then(Value::as_object_mut);
    let parent = parent.with_context(|| format!("the manifest has no parent of {pointer}"))?;
    parent.insert(field.to_owned(), value);
    Ok(())
}

/// Sets one label of a manifest that has labels; a label's name has slashes, so no pointer fits.
pub(super) fn set_label(manifest: &mut Value, name: &str, value: &str) -> anyhow::Result<()> {
    let labels = manifest.pointer_mut("/metadata/labels");
    let labels = labels.and_then(Value::as_object_mut);
    let labels = labels.context("the manifest has no labels")?;
    labels.insert(name.to_owned(), value.into());
    Ok(())
}
