//! What a shop consists of, as manifests.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value that was just written here makes the field, and never panics"
)]

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{BUILDER, COMMIT, REPOSITORY, Rules, STAGES, Shop, promotion_name};
use crate::image::Image;

impl Shop<'_> {
    pub(super) fn namespace(&self, name: &str, tier: Option<&str>) -> Value {
        let mut labels = json!({"shop": self.name});
        if let Some(tier) = tier {
            labels["lockmaster.dev/tier"] = json!(tier);
        }
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    }

    /// The namespace of a stage's workload.
    #[must_use]
    pub fn target_namespace(&self, stage: &str) -> String {
        format!("{}-{stage}", self.name)
    }

    /// The name of a stage's Environment.
    #[must_use]
    pub fn environment_name(&self, stage: &str) -> String {
        format!("checkout-{stage}")
    }

    /// The namespace of a stage, its workload, and the rights that the operator needs there.
    #[must_use]
    pub fn target(&self, stage: &str) -> Vec<Value> {
        let namespace = self.target_namespace(stage);
        let tier = (stage == "prod").then_some("Production");
        vec![
            self.namespace(&namespace, tier),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": "lockmaster-target", "namespace": namespace},
                "rules": [
                    {"apiGroups": ["apps"], "resources": ["deployments"],
                     "verbs": ["get", "list", "watch", "patch"]},
                    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
                ],
            }),
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": "lockmaster-target", "namespace": namespace},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role",
                            "name": "lockmaster-target"},
                "subjects": [{"kind": "ServiceAccount", "name": "lockmaster",
                              "namespace": crate::cluster::NAMESPACE}],
            }),
            self.deployment(stage),
        ]
    }

    /// The workload of a stage, as its owner made it.
    #[must_use]
    pub fn deployment(&self, stage: &str) -> Value {
        let consent = format!("{}/{}", self.name, self.environment_name(stage));
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "checkout", "namespace": self.target_namespace(stage),
                "annotations": {"lockmaster.dev/authorized-by": consent},
            },
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "checkout"}},
                "template": {
                    "metadata": {"labels": {"app": "checkout"}},
                    "spec": {"containers": [{"name": "app", "image": "registry.example/bootstrap:0"}]},
                },
            },
        })
    }

    /// The Environment of a stage.
    #[must_use]
    pub fn environment(&self, stage: &str) -> Value {
        let (tier, after) = match stage {
            "dev" => ("Development", json!([])),
            "staging" => (
                "Staging",
                json!([{"environment": self.environment_name("dev")}]),
            ),
            _ => (
                "Production",
                json!([{"environment": self.environment_name("staging")}]),
            ),
        };
        json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": self.environment_name(stage), "namespace": self.name},
            "spec": {
                "product": "checkout", "stage": stage, "tier": tier, "after": after,
                "targets": [{"workload": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout",
                    "namespace": self.target_namespace(stage),
                }}],
                "health": {"deadline": "20s"},
                "rollback": {"automatic": true},
            },
        })
    }

    /// An Environment of tier Development that nothing comes before, for one more stage.
    pub fn development(&self, stage: &str) -> anyhow::Result<Value> {
        let mut environment = self.environment(stage);
        let spec = environment.get_mut("spec").and_then(Value::as_object_mut);
        let spec = spec.context("the Environment has no spec")?;
        spec.insert("tier".to_owned(), json!("Development"));
        spec.insert("after".to_owned(), json!([]));
        Ok(environment)
    }

    pub(super) fn rights(&self) -> Vec<Value> {
        let role = |name: &str, rules: Value| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": name, "namespace": self.name}, "rules": rules,
            })
        };
        let binding = |name: &str, kind: &str, role: &str, group: &str| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": name, "namespace": self.name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group",
                              "name": group}],
            })
        };
        let environments: Vec<String> = STAGES
            .iter()
            .map(|stage| self.environment_name(stage))
            .collect();
        let may = |resource: &str, verb: &str| {
            json!([{"apiGroups": ["lockmaster.dev"], "resources": [resource],
                    "resourceNames": environments, "verbs": [verb]}])
        };
        let edit = json!([{"apiGroups": ["lockmaster.dev"], "resources": ["*"], "verbs": ["*"]},
                          {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]);
        vec![
            role("may-promote", may("environments", "promote")),
            role(
                "may-approve",
                may("environments/release-manager", "approve"),
            ),
            role("edit-everything", restricted(edit)),
            binding(
                "requesters",
                "ClusterRole",
                "lockmaster-requester",
                "requesters",
            ),
            binding(
                "requesters-view",
                "ClusterRole",
                "lockmaster-viewer",
                "requesters",
            ),
            binding("requesters-promote", "Role", "may-promote", "requesters"),
            binding(
                "approvers",
                "ClusterRole",
                "lockmaster-approver",
                "release-managers",
            ),
            binding(
                "approvers-view",
                "ClusterRole",
                "lockmaster-viewer",
                "release-managers",
            ),
            binding(
                "approvers-approve",
                "Role",
                "may-approve",
                "release-managers",
            ),
            binding("editors", "Role", "edit-everything", "editors"),
        ]
    }

    /// The shop's policies: evidence from Staging on, approvals and windows for Production.
    #[must_use]
    pub fn policies(&self, rules: &Rules) -> Vec<Value> {
        let policy = |suffix: &str, tiers: &[&str], rest: Value| {
            let mut spec = json!({
                "match": {"tiers": tiers, "namespaceSelector": {"matchLabels": {"shop": self.name}}},
            });
            for (key, value) in rest.as_object().into_iter().flatten() {
                spec[key] = value.clone();
            }
            json!({
                "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ClusterPromotionPolicy",
                "metadata": {"name": format!("{}-{suffix}", self.name)}, "spec": spec,
            })
        };
        let evidence = if rules.evidence {
            self.evidence_rules()
        } else {
            json!({})
        };
        let mut people = json!({"windows": rules.windows});
        if rules.approvals > 0 {
            people["approvals"] = json!([{"role": "release-manager", "min": rules.approvals}]);
        }
        vec![
            policy("evidence", &["Staging", "Production"], evidence),
            policy("people", &["Production"], people),
        ]
    }

    fn evidence_rules(&self) -> Value {
        let keys = &self.bed.keys;
        json!({
            "sources": [{
                "namespaces": [self.name], "product": "checkout",
                "repositories": [REPOSITORY],
                "imageRepositories": [
                    format!("{}/shop/*", self.bed.registry.address()),
                    format!("{}/shop/*", self.bed.fallback.address()),
                ],
            }],
            "authorities": [
                {"name": "release", "keys": [{"pem": keys.release.pem}],
                 "predicateTypes": ["https://sigstore.dev/cosign/sign/v1"]},
                {"name": "ci", "keys": [{"pem": keys.ci.pem}],
                 "predicateTypes": ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document",
                                    "https://cyclonedx.org/bom"]},
            ],
            "evidence": {
                "signatures": {"authorities": ["release"], "threshold": 1},
                "provenance": [{
                    "authority": "ci", "builders": [BUILDER],
                    "buildTypes": [crate::evidence::WORKFLOW_BUILD_TYPE],
                }],
                "sbom": {"authorities": ["ci"]},
            },
        })
    }

    /// The Release of an image.
    #[must_use]
    pub fn release(&self, version: &str, image: &Image) -> Value {
        json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": format!("checkout-{version}"), "namespace": self.name},
            "spec": {
                "product": "checkout", "version": version,
                "components": [{"image": image.reference()}],
                "source": {"repository": REPOSITORY, "commit": COMMIT, "tag": format!("v{version}")},
            },
        })
    }

    /// A Promotion of `checkout-<version>` into a stage.
    #[must_use]
    pub fn promotion(&self, version: &str, stage: &str) -> Value {
        json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Promotion",
            "metadata": {"name": promotion_name(version, stage), "namespace": self.name},
            "spec": {
                "release": format!("checkout-{version}"),
                "environment": self.environment_name(stage),
            },
        })
    }
}

/// RBAC knows no exceptions: editing everything of ours without the verbs that are granted per
/// Environment means naming the ordinary verbs.
fn restricted(mut rules: Value) -> Value {
    rules[0]["verbs"] = json!([
        "get", "list", "watch", "create", "update", "patch", "delete"
    ]);
    rules
}
