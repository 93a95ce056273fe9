//! From a Deployment and its pods to what the core wants to know of a workload.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ManagedFieldsEntry};
use lockmaster_core::environment::{
    CONSENT_ANNOTATION, FENCE_ANNOTATION, FIELD_MANAGER, INTENT_ANNOTATION,
};
use lockmaster_core::facts::{self, Container, Workload};
use lockmaster_core::policy::{LabelExpression, LabelOperator, NamespaceSelector};
use lockmaster_core::release::Digest;
use serde_json::Value;

/// A Deployment reduced to what is needed: it is kept for every target.
#[derive(Debug, Clone)]
pub struct SeenDeployment {
    /// Everything but the pods.
    pub workload: Workload,
    /// Which pods are its own.
    pub selector: NamespaceSelector,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// A pod reduced to what is needed.
#[derive(Debug, Clone)]
pub struct SeenPod {
    /// What the core wants to know.
    pub pod: facts::Pod,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is on its way out, or over: evicted or completed pods stay for a while, and
    /// their ReplicaSet does not count them either.
    pub leaving: bool,
}

/// Reduces a Deployment.
#[must_use]
pub fn deployment(object: Deployment) -> SeenDeployment {
    let Deployment {
        metadata,
        spec,
        status,
    } = object;
    let annotations = metadata.annotations.unwrap_or_default();
    let spec = spec.unwrap_or_default();
    let status = status.unwrap_or_default();
    let managed = metadata.managed_fields.unwrap_or_default();
    let pod_spec = spec.template.spec.unwrap_or_default();
    let containers = pod_spec.containers.into_iter().map(|container| Container {
        owners: owners(&managed, &container.name),
        applied_by_us: applied_by_us(&managed, &container.name),
        image: container.image.unwrap_or_default(),
        name: container.name,
    });
    let init = pod_spec.init_containers.unwrap_or_default().into_iter();
    let init = init.map(|container| (container.name, container.image.unwrap_or_default()));
    let workload = Workload {
        uid: metadata.uid.unwrap_or_default(),
        consent: annotations.get(CONSENT_ANNOTATION).cloned(),
        intent: annotations.get(INTENT_ANNOTATION).cloned(),
        fence: annotations.get(FENCE_ANNOTATION).cloned(),
        containers: containers.collect(),
        init_images: init.collect(),
        observed: status.observed_generation.unwrap_or_default()
            >= metadata.generation.unwrap_or_default(),
        // The API server fills in 1; a Deployment without the field never reaches us.
        replicas: spec.replicas.unwrap_or(1),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        total: status.replicas.unwrap_or_default(),
        pods: Vec::new(),
    };
    SeenDeployment {
        workload,
        selector: selector(spec.selector),
        resource_version: metadata.resource_version.unwrap_or_default(),
    }
}

fn selector(selector: LabelSelector) -> NamespaceSelector {
    let operator = |word: &str| match word {
        "In" => Some(LabelOperator::In),
        "NotIn" => Some(LabelOperator::NotIn),
        "Exists" => Some(LabelOperator::Exists),
        "DoesNotExist" => Some(LabelOperator::DoesNotExist),
        _ => None,
    };
    let expressions = selector.match_expressions.unwrap_or_default().into_iter();
    NamespaceSelector {
        match_labels: selector.match_labels.unwrap_or_default(),
        match_expressions: expressions
            .filter_map(|expression| {
                Some(LabelExpression {
                    key: expression.key,
                    operator: operator(&expression.operator)?,
                    values: expression.values.unwrap_or_default(),
                })
            })
            .collect(),
    }
}

/// Reduces a pod.
#[must_use]
pub fn pod(object: Pod) -> SeenPod {
    let Pod {
        metadata, status, ..
    } = object;
    let status = status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let containers = status.container_statuses.unwrap_or_default();
    SeenPod {
        pod: facts::Pod {
            name: metadata.name.unwrap_or_default(),
            ready: conditions
                .iter()
                .any(|c| c.type_ == "Ready" && c.status == "True"),
            running: containers.iter().filter_map(running).collect(),
            trouble: containers.iter().find_map(trouble),
        },
        labels: metadata.labels.unwrap_or_default(),
        leaving: metadata.deletion_timestamp.is_some()
            || matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")),
    }
}

/// The digest a node says a container runs: the end of its imageID, `registry/path@sha256:…`, or
/// `sha256:…` where the runtime names the configuration, to which cri-dockerd adds `docker://`.
fn running(status: &ContainerStatus) -> Option<(String, Digest)> {
    let digest = status.image_id.rsplit('@').next()?;
    let digest = digest.strip_prefix("docker://").unwrap_or(digest);
    Some((status.name.clone(), Digest::parse(digest).ok()?))
}

/// Reasons of a waiting container that only mean "not yet".
const PATIENCE: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn trouble(status: &ContainerStatus) -> Option<String> {
    let state = status.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        return (!PATIENCE.contains(&reason))
            .then(|| format!("container {} is waiting: {reason}", status.name));
    }
    let ended = state.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("Terminated");
    Some(format!(
        "container {} ended: {reason} (exit code {})",
        status.name, ended.exit_code
    ))
}

/// The path of a container's image in `managedFields`.
fn owns_image(entry: &ManagedFieldsEntry, container: &str) -> bool {
    let key = format!("k:{}", serde_json::json!({ "name": container }));
    let path = [
        "f:spec",
        "f:template",
        "f:spec",
        "f:containers",
        key.as_str(),
        "f:image",
    ];
    entry
        .fields_v1
        .as_ref()
        .is_some_and(|fields| contains(&fields.0, &path))
}

fn contains(fields: &Value, path: &[&str]) -> bool {
    path.iter()
        .try_fold(fields, |fields, step| fields.get(step))
        .is_some()
}

/// Sorted `manager/operation` of everyone who owns the image field.
fn owners(managed: &[ManagedFieldsEntry], container: &str) -> Vec<String> {
    let mut owners: Vec<_> = managed
        .iter()
        .filter(|entry| owns_image(entry, container))
        .map(|entry| {
            let manager = entry.manager.as_deref().unwrap_or_default();
            format!(
                "{manager}/{}",
                entry.operation.as_deref().unwrap_or_default()
            )
        })
        .collect();
    owners.sort();
    owners.dedup();
    owners
}

/// Whether our own server-side apply owns the image and the intent annotation together.
fn applied_by_us(managed: &[ManagedFieldsEntry], container: &str) -> bool {
    let intent = format!("f:{INTENT_ANNOTATION}");
    managed.iter().any(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && owns_image(entry, container)
            && entry.fields_v1.as_ref().is_some_and(|fields| {
                contains(&fields.0, &["f:metadata", "f:annotations", intent.as_str()])
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a literal reads better without a borrow"
    )]
    fn seen(managed: Value) -> SeenDeployment {
        deployment(
            serde_json::from_value(json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "d", "uid": "u", "generation": 3, "managedFields": managed},
                "spec": {
                    "replicas": 2, "selector": {"matchLabels": {"app": "d"}},
                    "template": {"spec": {"containers": [{"name": "app", "image": "i"}]}}
                },
                "status": {"observedGeneration": 2}
            }))
            .unwrap(),
        )
    }

    fn image_fields() -> Value {
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {"f:image": {}}
        }}}}})
    }

    #[test]
    fn owners_are_a_sorted_set_of_manager_and_operation() {
        let entry = |manager, operation| json!({"manager": manager, "operation": operation, "fieldsV1": image_fields()});
        let seen = seen(json!([entry("kubectl", "Update"), entry("flux", "Apply")]));
        assert_eq!(
            seen.workload.containers[0].owners,
            ["flux/Apply", "kubectl/Update"]
        );
        assert!(!seen.workload.containers[0].applied_by_us);
        assert!(
            !seen.workload.observed,
            "its controller is one generation behind"
        );
    }

    #[test]
    fn an_apply_of_ours_owns_image_and_annotation_together() {
        let mut fields = image_fields();
        let ours = |fields: &Value| json!([{"manager": "lockmaster", "operation": "Apply", "fieldsV1": fields}]);
        assert!(
            !seen(ours(&fields)).workload.containers[0].applied_by_us,
            "the image alone"
        );
        fields["f:metadata"] = json!({"f:annotations": {"f:lockmaster.dev/intent": {}}});
        assert!(seen(ours(&fields)).workload.containers[0].applied_by_us);
        let update = json!([{"manager": "lockmaster", "operation": "Update", "fieldsV1": fields}]);
        assert!(
            !seen(update).workload.containers[0].applied_by_us,
            "an update is not our apply"
        );
    }

    #[test]
    fn pods_say_what_they_run_and_what_is_wrong() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let object = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "status": {
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{
                    "name": "app", "image": "x", "imageID": format!("r.example/a@{digest}"),
                    "ready": false, "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}}
                }]
            }
        }))
        .unwrap();
        let seen = pod(object);
        assert_eq!(seen.pod.running["app"].as_str(), digest);
        assert!(!seen.pod.ready);
        assert_eq!(
            seen.pod.trouble.as_deref(),
            Some("container app is waiting: CrashLoopBackOff")
        );
    }

    #[test]
    fn every_way_to_name_an_image_is_read() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let reads = |image_id: &str| {
            let status = ContainerStatus {
                image_id: image_id.to_owned(),
                ..ContainerStatus::default()
            };
            running(&status).map(|(_, digest)| digest.to_string())
        };
        for image_id in [
            format!("r.example/a@{digest}"),
            format!("docker-pullable://r.example/a@{digest}"),
            format!("docker://{digest}"),
            digest.clone(),
        ] {
            assert_eq!(reads(&image_id), Some(digest.clone()), "{image_id}");
        }
        for image_id in ["", "r.example/a:tag", "sha256:ab", "http://sha256:ab"] {
            assert_eq!(reads(image_id), None, "{image_id}");
        }
    }

    #[test]
    fn pods_that_are_over_are_not_counted() {
        let leaving = |object| pod(serde_json::from_value(object).unwrap()).leaving;
        let in_phase = |phase: &str| json!({"metadata": {"name": "p"}, "status": {"phase": phase}});
        assert!(leaving(in_phase("Failed")), "evicted");
        assert!(leaving(in_phase("Succeeded")), "completed");
        assert!(!leaving(in_phase("Running")));
        assert!(!leaving(in_phase("Pending")));
        assert!(leaving(
            json!({"metadata": {"name": "p", "deletionTimestamp": "2026-11-24T10:00:00Z"}})
        ));
    }
}
