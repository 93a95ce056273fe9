//! One product in three Environments, in namespaces of its own: the ground on which a scenario is
//! played. Policies are cluster-wide and add up, so every shop's policy selects its own label.

mod manifests;
mod waiting;

use anyhow::Context as _;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use lockmaster_api::{Environment, Promotion, PromotionRecord};
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
}

/// The name of the Promotion of a version into a stage.
#[must_use]
pub fn promotion_name(version: &str, stage: &str) -> String {
    format!("checkout-{version}-{stage}")
}
