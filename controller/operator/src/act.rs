//! Carries out a decision: at most one change to the world, under exactly its preconditions.
//!
//! The write verbs of this file, of `events.rs` and of `guard.rs` are what the chart grants; a test
//! compares them.

use std::future::Future;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, ObjectMeta};
use kube::{Api, Client, Resource, ResourceExt};
use lockmaster_api::{Environment, Promotion, PromotionRecord};
use lockmaster_core::decide::refusal;
use lockmaster_core::environment::{
    FENCE_ANNOTATION, FIELD_MANAGER, INTENT_ANNOTATION, WorkloadReference,
};
use lockmaster_core::facts::Workload;
use lockmaster_core::promotion::{IntentTarget, attempt_key};
use lockmaster_core::record::Record;
use lockmaster_core::status::{EnvironmentStatus, PromotionStatus};
use lockmaster_observe::records::ENVIRONMENT_LABEL;
use lockmaster_observe::workload;
use serde_json::{Value, json};

use crate::clients::WRITE_DEADLINE;

/// Label of a record: uid of its promotion.
pub(crate) const PROMOTION_LABEL: &str = "lockmaster.dev/promotion-uid";

/// How a write ended.
#[derive(Debug)]
pub(crate) enum Written<T> {
    /// It is stored.
    Done(T),
    /// Something it depended on had changed; nothing was written. Look again.
    Raced(String),
}

/// A write whose outcome is not known, or that was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused it or could not be reached.
    #[error("failed to {what}")]
    Refused {
        /// Which write.
        what: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// No answer within the deadline.
    #[error("failed to {what}: no answer within {WRITE_DEADLINE:?}, the outcome is not known")]
    Silent {
        /// Which write.
        what: String,
    },
}

/// Longest answer of the API server that is repeated to people: webhooks may say anything.
const ANSWER_LIMIT: usize = 512;

impl Error {
    /// What the API server said, where it understood the write and refused it: repeating it at once
    /// would be refused as well.
    pub(crate) fn refusal(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Refused { source, .. } => {
                let kube::Error::Api(status) = source.as_ref() else {
                    return None;
                };
                is_refusal(status.code).then_some(status.as_ref())
            }
            Self::Silent { .. } => None,
        }
    }
}

/// Client errors but for those that time mends: no identity yet (401), too slow (408), too much (429).
fn is_refusal(code: u16) -> bool {
    (400..500).contains(&code) && ![401, 408, 429].contains(&code)
}

/// The answer in one line, with the mend where rights are missing.
pub(crate) fn refused(reference: &WorkloadReference, status: &kube::core::Status) -> String {
    let answer: String = status.message.chars().take(ANSWER_LIMIT).collect();
    let answer = answer.replace(char::is_control, " ");
    if lacks_rights(status) {
        return format!(
            "the API server refuses to change {reference}: {answer}; its owner grants the Role that \
             `kubectl promote init` prints (get, list, watch, patch on deployments), and it goes on"
        );
    }
    format!("the API server refuses to change {reference}: {answer}; it is tried again")
}

/// Whether RBAC refused it, and no webhook or policy: those answer 403 as well.
pub(crate) fn lacks_rights(status: &kube::core::Status) -> bool {
    status.code == 403 && status.message.contains("is forbidden: User \"")
}

/// Writes, without retrying.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
}

impl Writer {
    /// Writes with this client.
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client, for Events.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Replaces an Environment's status under its resourceVersion.
    pub(crate) async fn environment_status(
        &self,
        object: &Environment,
        status: EnvironmentStatus,
    ) -> Result<Written<Environment>, Error> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let api: Api<Environment> = Api::namespaced(self.client.clone(), &namespace);
        let object = Environment {
            status: Some(status),
            ..object.clone()
        };
        let what = format!("write the status of Environment {namespace}/{name}");
        let parameters = PostParams::default();
        let write = api.replace_status(&name, &parameters, &object);
        bounded(what, write).await
    }

    /// Replaces a Promotion's status under its resourceVersion.
    pub(crate) async fn promotion_status(
        &self,
        object: &Promotion,
        status: PromotionStatus,
    ) -> Result<Written<Promotion>, Error> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let api: Api<Promotion> = Api::namespaced(self.client.clone(), &namespace);
        let object = Promotion {
            status: Some(status),
            ..object.clone()
        };
        let what = format!("write the status of Promotion {namespace}/{name}");
        let parameters = PostParams::default();
        let write = api.replace_status(&name, &parameters, &object);
        bounded(what, write).await
    }

    /// Creates a record; its name makes this the compare-and-swap of the chain.
    pub(crate) async fn record(
        &self,
        namespace: &str,
        record: Record,
    ) -> Result<Written<PromotionRecord>, Error> {
        let api: Api<PromotionRecord> = Api::namespaced(self.client.clone(), namespace);
        let name = record.object_name();
        let labels = [
            (
                PROMOTION_LABEL.to_owned(),
                record.content.promotion.uid.clone(),
            ),
            (
                ENVIRONMENT_LABEL.to_owned(),
                record.content.environment.name.clone(),
            ),
        ];
        let mut object = PromotionRecord::new(&name, record.into());
        object.metadata = ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels.into()),
            ..object.metadata
        };
        let what = format!("create PromotionRecord {namespace}/{name}");
        bounded(what, api.create(&PostParams::default(), &object)).await
    }

    /// Sets the image of one workload: a live look first, then an apply that holds only for exactly
    /// what was seen.
    pub(crate) async fn apply(
        &self,
        environment: &str,
        uid: &str,
        attempt: u32,
        target: &IntentTarget,
    ) -> Result<Written<Deployment>, Error> {
        let reference = &target.workload;
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &reference.namespace);
        let live = match bounded(format!("read {reference}"), api.get(&reference.name)).await? {
            Written::Done(live) => live,
            Written::Raced(why) => return Ok(Written::Raced(why)),
        };
        let version = live.resource_version().unwrap_or_default();
        let seen = workload::deployment(live).workload;
        if let Some(why) = refusal(environment, &seen, target, uid, attempt) {
            return Ok(Written::Raced(why));
        }
        let body = body(&seen, target, &version, &attempt_key(uid, attempt));
        self.patch(
            reference,
            "apply the image to",
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(body),
        )
        .await
    }

    /// Makes an apply that may still be under way conflict.
    pub(crate) async fn fence(
        &self,
        uid: &str,
        attempt: u32,
        reference: &WorkloadReference,
        version: &str,
    ) -> Result<Written<Deployment>, Error> {
        let body = json!({"metadata": {
            "resourceVersion": version,
            "annotations": { FENCE_ANNOTATION: attempt_key(uid, attempt) },
        }});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        self.patch(reference, "fence", &parameters, &Patch::Merge(body))
            .await
    }

    async fn patch(
        &self,
        reference: &WorkloadReference,
        verb: &str,
        parameters: &PatchParams,
        patch: &Patch<Value>,
    ) -> Result<Written<Deployment>, Error> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &reference.namespace);
        let what = format!("{verb} {reference}");
        bounded(what, api.patch(&reference.name, parameters, patch)).await
    }

    /// Writes the status of an object that is only read, readable or not.
    pub(crate) async fn acceptance(
        &self,
        resource: &ApiResource,
        name: &str,
        version: &str,
        status: Value,
    ) -> Result<Written<DynamicObject>, Error> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let body = json!({"metadata": {"resourceVersion": version}, "status": status});
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let what = format!("write the status of {} {name}", resource.kind);
        bounded(
            what,
            api.patch_status(name, &parameters, &Patch::Merge(body)),
        )
        .await
    }
}

/// The apply: hand-built, because a typed Deployment would send an empty selector. It names every
/// image that we own on this workload: an apply takes away what its manager owned and does not
/// mention any more.
fn body(seen: &Workload, target: &IntentTarget, version: &str, key: &str) -> Value {
    let ours = seen
        .containers
        .iter()
        .filter(|container| container.applied_by_us);
    let mut containers: Vec<Value> = ours
        .filter(|container| container.name != target.container)
        .map(|container| json!({"name": container.name, "image": container.image}))
        .collect();
    containers.push(json!({"name": target.container, "image": target.to}));
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": target.workload.name,
            "namespace": target.workload.namespace,
            "uid": target.uid,
            "resourceVersion": version,
            "annotations": { INTENT_ANNOTATION: key },
        },
        "spec": {"template": {"spec": {"containers": containers}}},
    })
}

/// One request within the deadline. A conflict, an object that exists already and one that is gone
/// mean that the view was old.
async fn bounded<T>(
    what: String,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<Written<T>, Error> {
    match tokio::time::timeout(WRITE_DEADLINE, request).await {
        Err(_) => Err(Error::Silent { what }),
        Ok(Ok(done)) => Ok(Written::Done(done)),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 || status.code == 404 => {
            Ok(Written::Raced(status.message.clone()))
        }
        Ok(Err(source)) => Err(Error::Refused {
            what,
            source: Box::new(source),
        }),
    }
}

/// The resourceVersion of a stored object.
pub(crate) fn version_of<K: Resource>(object: &K) -> Option<&str> {
    object.meta().resource_version.as_deref()
}
