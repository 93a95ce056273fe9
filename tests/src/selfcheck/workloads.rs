//! Roll-outs and crashes of simulated pods.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use lockmaster_tests::image::Image;
use lockmaster_tests::progress;

use crate::{Bed, PATIENCE};

pub(crate) fn deployment(name: &str, image: &Image) -> String {
    serde_json::json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "web", "image": image.reference() }] },
            },
        },
    })
    .to_string()
}

async fn pods(bed: &Bed, app: &str) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(bed.cluster.client(), "default");
    Ok(pods
        .list(&ListParams::default().labels(&format!("app={app}")))
        .await?
        .items)
}

async fn ready_replicas(bed: &Bed, name: &str) -> anyhow::Result<i32> {
    let deployments: Api<Deployment> = Api::namespaced(bed.cluster.client(), "default");
    let status = deployments.get(name).await?.status;
    Ok(status
        .and_then(|status| status.ready_replicas)
        .unwrap_or_default())
}

pub(crate) async fn a_deployment_rolls_out_with_its_image_id(bed: &Bed) -> anyhow::Result<()> {
    bed.cluster.apply(&deployment("good", &bed.good)).await?;
    let started = Instant::now();
    while ready_replicas(bed, "good").await? < 2 {
        ensure!(
            started.elapsed() < PATIENCE,
            "no roll-out; pods: {:?}",
            pods(bed, "good").await?
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    progress::line(&format!("roll-out of two pods {:?}", started.elapsed()));
    for pod in pods(bed, "good").await? {
        let statuses = pod.status.and_then(|status| status.container_statuses);
        let status = statuses
            .and_then(|mut all| all.pop())
            .context("no container status")?;
        ensure!(
            status.image_id == bed.good.reference(),
            "image id {}",
            status.image_id
        );
        ensure!(status.ready, "not ready");
    }
    Ok(())
}

pub(crate) async fn a_crash_digest_never_gets_ready(bed: &Bed) -> anyhow::Result<()> {
    bed.cluster.apply(&deployment("crash", &bed.crash)).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let crashing = pods(bed, "crash").await?.into_iter().filter(|pod| {
            let all = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter());
            all.flatten().any(|status| {
                let waiting = status
                    .state
                    .as_ref()
                    .and_then(|state| state.waiting.as_ref());
                let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
                reason == Some("CrashLoopBackOff") && status.restart_count > 0 && !status.ready
            })
        });
        if crashing.count() == 2 {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "no crash: {:?}",
            pods(bed, "crash").await?
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(
        ready_replicas(bed, "crash").await? == 0,
        "a crashing pod got ready"
    );
    Ok(())
}
