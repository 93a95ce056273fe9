//! From stored objects to the core's values.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lockmaster_core::{environment, promotion, release};

use crate::{Environment, EnvironmentSpec, Promotion, PromotionSpec, Release, ReleaseSpec};

/// What a stored object always has, and a literal in a file may lack.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the object: metadata.{0} is missing")]
pub struct Error(&'static str);

/// Annotations that decisions look at; all others stay out of memory.
fn is_ours(key: &str) -> bool {
    key.starts_with("lockmaster.dev/")
        || key.starts_with(lockmaster_core::approval::APPROVAL_PREFIX)
}

fn name(meta: &ObjectMeta) -> Result<String, Error> {
    meta.name.clone().ok_or(Error("name"))
}

fn namespace(meta: &ObjectMeta) -> Result<String, Error> {
    meta.namespace.clone().ok_or(Error("namespace"))
}

/// The Release as the core knows it.
pub fn release(object: &Release) -> Result<release::Release, Error> {
    let ReleaseSpec {
        product,
        version,
        components,
        source,
    } = object.spec.clone();
    Ok(release::Release {
        name: name(&object.metadata)?,
        product,
        version,
        components,
        source,
    })
}

/// The Environment as the core knows it.
pub fn environment(object: &Environment) -> Result<environment::Environment, Error> {
    let EnvironmentSpec {
        product,
        stage,
        tier,
        after,
        targets,
        health,
        rollback,
        pull_secrets,
    } = object.spec.clone();
    let meta = &object.metadata;
    let name = name(meta)?;
    Ok(environment::Environment {
        namespace: namespace(meta)?,
        uid: meta.uid.clone().ok_or(Error("uid"))?,
        generation: meta.generation.unwrap_or_default(),
        product,
        stage: stage.unwrap_or_else(|| name.clone()),
        name,
        tier,
        after: after.into_iter().map(|after| after.environment).collect(),
        targets,
        deadline: health.deadline,
        automatic_rollback: rollback.automatic,
        pull_secrets,
        active: object
            .status
            .as_ref()
            .and_then(|status| status.active.clone()),
        concerns: object
            .status
            .as_ref()
            .map(|status| status.concerns.clone())
            .unwrap_or_default(),
        // What is no instant asks for nothing.
        reverify_at: meta
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(environment::RECONCILE_ANNOTATION))
            .and_then(|value| value.parse().ok()),
    })
}

/// The Promotion as the core knows it. `first_seen` is when this process saw it first.
pub fn promotion(
    object: &Promotion,
    first_seen: jiff::Timestamp,
) -> Result<promotion::Promotion, Error> {
    let PromotionSpec {
        release,
        environment,
        action,
        reason,
        incident,
        abort,
    } = object.spec.clone();
    let meta = &object.metadata;
    let annotations: BTreeMap<_, _> = meta
        .annotations
        .iter()
        .flatten()
        .filter(|(key, _)| is_ours(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let status = object.status.clone();
    let reported = status
        .as_ref()
        .is_some_and(|status| !status.conditions.is_empty());
    let status = status.unwrap_or_default();
    Ok(promotion::Promotion {
        namespace: namespace(meta)?,
        name: name(meta)?,
        uid: meta.uid.clone().ok_or(Error("uid"))?,
        generation: meta.generation.unwrap_or_default(),
        created: meta
            .creation_timestamp
            .as_ref()
            .ok_or(Error("creationTimestamp"))?
            .0,
        first_seen,
        annotations,
        request: promotion::Request {
            release,
            environment,
            action,
            reason,
            incident,
            abort: abort.unwrap_or_default(),
        },
        memory: promotion::Memory {
            requested_by: status.requested_by,
            plan: status.plan,
            overtaken_plan: status.overtaken_plan,
            approvals: status.approvals,
            gates: status.gates,
            intent: status.rollout.intent,
            record: status.record,
            reported,
        },
    })
}
