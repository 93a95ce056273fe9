//! What the operator may and may not do, and how it tells that each guard is in force.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use lockmaster_api::{Environment, Promotion};
use lockmaster_tests::cluster::NAMESPACE;
use serde_json::{Value, json};

use super::{GUARDS, PATIENCE, Story, create, probe, promotion};
use crate::beds::Bare;

/// The operator's account holds the chart's rights and no others.
pub(super) async fn operator(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-operator").await?;
    let account = &bare.account;
    let client = || account.client.clone();
    let answer = story.promote(&bare.bob, "p1", json!({}), Value::Null).await;
    story.allow("a Promotion to look at", answer);
    let answer = story.promote(account, "p2", json!({}), Value::Null).await;
    story.deny("it may not promote", "cannot create resource", answer);
    let answer = create(account, NAMESPACE, promotion("p2"), true).await;
    let rule = "may not promote into prod";
    story.deny("nor in its own namespace", rule, answer);
    let body = json!({"spec": {"abort": true}});
    let answer = story.patch::<Promotion>(account, "p1", body).await;
    story.deny("nor write a spec", "cannot patch resource", answer);
    let body = json!({"spec": {"tier": "Development"}});
    let answer = story.patch::<Environment>(account, "prod", body).await;
    story.deny("nor an Environment", "cannot patch resource", answer);
    let secrets: Api<Secret> = Api::namespaced(client(), story.namespace);
    let answer = secrets.list(&ListParams::default()).await;
    story.deny("nor read Secrets", "cannot list resource", answer);
    let deployments: Api<Deployment> = Api::namespaced(client(), story.namespace);
    let body = Patch::Merge(json!({}));
    let answer = deployments.patch("x", &PatchParams::default(), &body).await;
    story.deny("nor write workloads", "cannot patch resource", answer);
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client());
    let answer = policies.list(&ListParams::default()).await;
    story.allow("it may read the guards", answer);
    let parameters = DeleteParams::default();
    let answer = policies.delete("lockmaster-approval-guard", &parameters);
    story.deny("and not delete one", "cannot delete resource", answer.await);
    story.end(9)
}

/// Each probe is refused by its guard, and by nothing when that guard is away.
pub(super) async fn probes(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-probes").await?;
    let account = &bare.account;
    for guard in GUARDS {
        story.allow(guard, probe(account, guard).await);
    }
    let mut other = promotion("guard-probe-none");
    other["spec"]["environment"] = json!("guard-probe");
    let answer = create(account, NAMESPACE, other, true).await;
    story.allow("the probe of no guard is let through", answer);
    let maps: Api<ConfigMap> = Api::namespaced(bare.cluster.client(), NAMESPACE);
    let mut map = ConfigMap::default();
    map.metadata.name = Some("guard-probe-approval".to_owned());
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let answer = maps.create(&parameters, &map).await;
    story.allow("other kinds are nobody's business", answer);

    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(bare.cluster.client());
    for guard in GUARDS {
        let name = format!("lockmaster-{guard}-guard");
        let mut binding = bindings
            .get(&name)
            .await
            .context("failed to read a binding")?;
        bindings
            .delete(&name, &DeleteParams::default())
            .await
            .context("failed to delete a binding")?;
        let answer = until(bare, guard, false).await;
        story.allow(&format!("without its binding: {guard}"), answer);
        binding.metadata.resource_version = None;
        binding.metadata.uid = None;
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .context("failed to restore a binding")?;
        let answer = until(bare, guard, true).await;
        story.allow(&format!("with its binding again: {guard}"), answer);
    }
    story.end(17)
}

/// Waits until the probe of a guard is refused by it, or let through.
async fn until(bare: &Bare, guard: &str, in_force: bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = probe(&bare.account, guard).await;
        let let_through = answer
            .as_ref()
            .is_err_and(|error| error.to_string() == "the probe was let through");
        if answer.is_ok() == in_force && (in_force || let_through) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("in force {in_force}: never; last answer {answer:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
