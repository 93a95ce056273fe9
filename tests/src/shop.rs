//! One product in three Environments, in namespaces of its own: the ground on which a scenario is
//! played. Policies are cluster-wide and add up, so every shop's policy selects its own label.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value that was just written here makes the field, and never panics"
)]

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use lockmaster_api::{Environment, Promotion, PromotionRecord};
use lockmaster_core::status::{PromotionStatus, State};
use serde_json::{Value, json};

use crate::bed::Bed;
use crate::cluster::{Output, Person};
use crate::cosign::Format;
use crate::evidence::{Provenance, spdx};
use crate::image::Image;

/// The source that every genuine release of the shops comes from.
pub const REPOSITORY: &str = "https://git.example/shop/checkout";
/// The builder that the policies trust.
pub const BUILDER: &str = "https://builder.example/release";
/// The commit of every genuine release.
pub const COMMIT: &str = "3c1e9f2a3c1e9f2a3c1e9f2a3c1e9f2a3c1e9f2a";
/// The stages, in the order in which a release goes through them.
pub const STAGES: [&str; 3] = ["dev", "staging", "prod"];

/// How long anything may take that is not waited for on purpose.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// What the shop's policies ask for.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Ask for signature, provenance and SBOM from tier Staging on.
    pub evidence: bool,
    /// How many release managers must approve Production.
    pub approvals: u32,
    /// Names of the windows for Production.
    pub windows: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            evidence: true,
            approvals: 0,
            windows: vec!["Always".into()],
        }
    }
}

/// One product in three Environments.
pub struct Shop<'a> {
    /// What it stands on.
    pub bed: &'a Bed,
    /// Its namespace, and the prefix of its targets' namespaces.
    pub name: String,
}

impl<'a> Shop<'a> {
    /// Makes namespaces, workloads with their consent, rights, Environments and policies.
    pub async fn open(bed: &'a Bed, name: &str, rules: &Rules) -> anyhow::Result<Self> {
        let shop = Self {
            bed,
            name: name.to_owned(),
        };
        let mut objects = vec![shop.namespace(name, None)];
        for stage in STAGES {
            objects.extend(shop.target(stage));
            objects.push(shop.environment(stage));
        }
        objects.extend(shop.rights());
        objects.extend(shop.policies(rules));
        shop.apply(&objects)
            .await
            .with_context(|| format!("failed to open the shop {name}"))?;
        shop.settled().await?;
        Ok(shop)
    }

    /// Applies objects as the administrator.
    pub async fn apply(&self, objects: &[Value]) -> anyhow::Result<()> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.bed.cluster.apply(&list.to_string()).await
    }

    /// Waits until the operator has seen the Environments, so that a scenario's own requests can be
    /// told from those of setting up.
    async fn settled(&self) -> anyhow::Result<()> {
        for stage in STAGES {
            let environment = self.environment_name(stage);
            self.until(
                &format!("Environment {environment} to be seen"),
                async || {
                    let object = self.environments().get(&environment).await.ok()?;
                    object.status?.effective_tier
                },
            )
            .await?;
        }
        Ok(())
    }

    fn namespace(&self, name: &str, tier: Option<&str>) -> Value {
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

    fn rights(&self) -> Vec<Value> {
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

    /// Pushes an image of its own to the registry with the referrers API.
    pub async fn image(&self, marker: &str) -> anyhow::Result<Image> {
        let marker = format!("{}-{marker}", self.name);
        let (tools, registry) = (&self.bed.tools, &self.bed.registry);
        Image::push(tools, registry, &self.repository(), &marker).await
    }

    /// The path of the shop's own repository in a registry.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("shop/{}", self.name)
    }

    /// Pushes an image and attaches everything that the policies ask for.
    pub async fn proven_image(&self, marker: &str, version: &str) -> anyhow::Result<Image> {
        let image = self.image(marker).await?;
        self.prove(&image, version).await?;
        Ok(image)
    }

    /// Attaches everything that the policies ask for.
    pub async fn prove(&self, image: &Image, version: &str) -> anyhow::Result<()> {
        self.sign(image).await?;
        self.attest_provenance(
            image,
            &Provenance::new(REPOSITORY, version, COMMIT, BUILDER),
        )
        .await?;
        self.attest_sbom(image).await
    }

    /// Signs as the release authority.
    pub async fn sign(&self, image: &Image) -> anyhow::Result<()> {
        self.bed
            .cosign
            .sign(image, &self.bed.keys.release, Format::Bundle)
            .await
    }

    /// Attests provenance as the build.
    pub async fn attest_provenance(&self, image: &Image, says: &Provenance) -> anyhow::Result<()> {
        let key = &self.bed.keys.ci;
        let predicate = says.predicate();
        self.bed
            .cosign
            .attest(image, key, "slsaprovenance1", &predicate, Format::Bundle)
            .await
    }

    /// Attests a bill of materials as the build.
    pub async fn attest_sbom(&self, image: &Image) -> anyhow::Result<()> {
        let predicate = spdx("checkout", 12);
        let key = &self.bed.keys.ci;
        self.bed
            .cosign
            .attest(image, key, "spdxjson", &predicate, Format::Bundle)
            .await
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

    /// Creates an object as somebody.
    pub async fn create_as(&self, person: &Person, object: &Value) -> anyhow::Result<Output> {
        let text = object.to_string();
        self.bed
            .cluster
            .kubectl(&person.kubeconfig, &["create", "-f", "-"], Some(&text))
            .await
    }

    /// Creates a Promotion as bob and returns its name.
    pub async fn promote(&self, version: &str, stage: &str) -> anyhow::Result<String> {
        self.create_as(&self.bed.people.bob, &self.promotion(version, stage))
            .await?
            .required("create a Promotion as bob")?;
        Ok(promotion_name(version, stage))
    }

    /// Runs kubectl in the shop's namespace as somebody.
    pub async fn kubectl_as(&self, person: &Person, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments);
        self.bed
            .cluster
            .kubectl(&person.kubeconfig, &all, None)
            .await
    }

    /// Runs the plugin in the shop's namespace as somebody.
    pub async fn plugin_as(&self, person: &Person, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = tokio::process::Command::new(&self.bed.product.plugin);
        command
            .args(arguments)
            .args(["-n", self.name.as_str()])
            .env("KUBECONFIG", &person.kubeconfig)
            .env("NO_COLOR", "1");
        crate::cluster::run(command, None).await
    }

    /// The Promotions of the shop.
    #[must_use]
    pub fn promotions(&self) -> Api<Promotion> {
        Api::namespaced(self.bed.cluster.client(), &self.name)
    }

    /// The Environments of the shop.
    #[must_use]
    pub fn environments(&self) -> Api<Environment> {
        Api::namespaced(self.bed.cluster.client(), &self.name)
    }

    /// The records of a stage, oldest first.
    pub async fn records(&self, stage: &str) -> anyhow::Result<Vec<PromotionRecord>> {
        let api: Api<PromotionRecord> = Api::namespaced(self.bed.cluster.client(), &self.name);
        let mut records = api
            .list(&ListParams::default())
            .await
            .context("failed to list records")?
            .items;
        let name = self.environment_name(stage);
        records.retain(|record| record.spec.content.environment.name == name);
        records.sort_by_key(ResourceExt::name_any);
        Ok(records)
    }

    /// The image that a stage's workload is set to.
    pub async fn image_of(&self, stage: &str) -> anyhow::Result<String> {
        let api: Api<k8s_openapi::api::apps::v1::Deployment> =
            Api::namespaced(self.bed.cluster.client(), &self.target_namespace(stage));
        let deployment = api
            .get("checkout")
            .await
            .context("failed to read the workload")?;
        let spec = deployment.spec.and_then(|spec| spec.template.spec);
        let container = spec.and_then(|spec| spec.containers.into_iter().next());
        container
            .and_then(|container| container.image)
            .context("the workload has no image")
    }

    /// The imageIDs that the pods of a stage report, sorted and without repetition.
    pub async fn image_ids(&self, stage: &str) -> anyhow::Result<Vec<String>> {
        let api: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.bed.cluster.client(), &self.target_namespace(stage));
        let pods = api
            .list(&ListParams::default())
            .await
            .context("failed to list the pods")?;
        let living = pods
            .items
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        let statuses = living
            .filter_map(|pod| pod.status?.container_statuses)
            .flatten();
        let mut ids: Vec<String> = statuses.map(|status| status.image_id).collect();
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// The status of a Promotion once it is as wanted; the error shows the last one seen.
    pub async fn wait(
        &self,
        promotion: &str,
        wanted: impl Fn(&PromotionStatus) -> bool,
    ) -> anyhow::Result<PromotionStatus> {
        let api = self.promotions();
        let started = Instant::now();
        loop {
            let object = api
                .get(promotion)
                .await
                .context("failed to read a Promotion")?;
            let status = object.status.unwrap_or_default();
            if wanted(&status) {
                return Ok(status);
            }
            if started.elapsed() > PATIENCE {
                let seen = serde_json::to_string_pretty(&status)?;
                bail!("Promotion {promotion} is not as expected after {PATIENCE:?}: {seen}");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The status of a Promotion once it is in this state.
    pub async fn wait_for(&self, promotion: &str, state: State) -> anyhow::Result<PromotionStatus> {
        let wanted = |status: &PromotionStatus| {
            let conditions = &status.conditions;
            status.state == state && conditions.iter().any(|condition| condition.kind == "Ready")
        };
        self.wait(promotion, wanted).await
    }

    /// Promotes into a stage and waits for success.
    pub async fn promote_with_success(
        &self,
        version: &str,
        stage: &str,
    ) -> anyhow::Result<PromotionStatus> {
        let promotion = self.promote(version, stage).await?;
        self.wait_for(&promotion, State::Succeeded).await
    }

    /// Waits for something; the error says for what.
    pub async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await {
                return Ok(found);
            }
            if started.elapsed() > PATIENCE {
                bail!("waited {PATIENCE:?} in vain for {what}");
            }
            tokio::time::sleep(LOOK).await;
        }
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

/// The name of the Promotion of a version into a stage.
#[must_use]
pub fn promotion_name(version: &str, stage: &str) -> String {
    format!("checkout-{version}-{stage}")
}
