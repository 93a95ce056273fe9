//! The operator starts with nothing but the chart's rights, and says that it is alive.

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use lockmaster_tests::operator::{Operator, OperatorOptions};
use lockmaster_tests::product::Product;
use serde_json::{Value, json};

use crate::beds::{Bare, Beds};

/// What a log line about a missing right of the chart speaks of.
const OURS: [&str; 4] = [
    "lockmaster.dev",
    "admissionregistration",
    "namespaces is",
    "events",
];

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.bare("start::the_chart_grants_enough", starts),
        beds.bare("start::the_charts_list_of_registries_is_read", reads),
    ]
}

/// What the values say of registries is what the operator reads, field by field; Secrets are files.
async fn reads(bare: &Bare) -> anyhow::Result<()> {
    let authority = bare.cluster.authority().certificate();
    let values = json!({"registries": [
        {
            "host": "registry.internal:5000", "privateAddresses": true,
            "certificateAuthorities": authority, "realms": ["https://auth.internal"],
            "limits": {"imagesAtATime": 4, "requestsPerSecond": 50, "burst": 100_000},
            "mirrors": [{"host": "mirror.internal", "plainHTTP": true}],
        },
        {"host": "plain.internal", "plainHTTP": true, "credentialsSecret": "login"},
    ]});
    let rendered = bare.cluster.render_chart(&[&values.to_string()]).await?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&rendered)?;
    let named = |kind: &str, name: &str| {
        let mut all = objects.iter();
        all.find(|one| one["kind"] == kind && one["metadata"]["name"] == name)
            .with_context(|| format!("the chart has no {kind} {name}"))
    };
    let list = named("ConfigMap", "lockmaster-registries")?;
    let list = list["data"]["registries.yaml"]
        .as_str()
        .context("no list")?;
    let mounted = "/etc/lockmaster/credentials/login";
    ensure!(
        list.contains(&format!("{mounted}/.dockerconfigjson")),
        "{list}"
    );
    let deployment = named("Deployment", "lockmaster")?.to_string();
    for part in [
        mounted,
        "\"secretName\":\"login\"",
        "--registries=/etc/lockmaster/registries/",
    ] {
        ensure!(deployment.contains(part), "no {part} in {deployment}");
    }
    // The file of the Secret is where the kubelet would put it; here it is somewhere else.
    let folder = tempfile::tempdir().context("failed to make a directory")?;
    std::fs::write(folder.path().join(".dockerconfigjson"), r#"{"auths":{}}"#)?;
    let list = list.replace(mounted, &folder.path().display().to_string());
    let path = folder.path().join("registries.yaml");
    std::fs::write(&path, list)?;
    let options = OperatorOptions {
        arguments: vec![format!("--registries={}", path.display())],
        ..OperatorOptions::default()
    };
    let operator = Operator::start(&bare.cluster, &Product::build()?, &options).await?;
    operator.terminate();
    std::fs::write(&path, "registries: [{host: a.example, insecure: true}]")?;
    let refused = Operator::start(&bare.cluster, &Product::build()?, &options).await;
    let text = format!("{:#}", refused.err().context("an unknown field was taken")?);
    ensure!(text.contains("insecure"), "not named: {text}");
    Ok(())
}

async fn starts(bare: &Bare) -> anyhow::Result<()> {
    let options = OperatorOptions::default();
    let operator = Operator::start(&bare.cluster, &Product::build()?, &options).await?;
    let log = std::fs::read_to_string(operator.log()).context("failed to read its log")?;
    let refused = log.lines().find(|line| {
        line.contains("forbidden") && OURS.iter().any(|resource| line.contains(resource))
    });
    ensure!(
        refused.is_none(),
        "the chart grants too little: {refused:?}"
    );
    ensure!(!operator.metrics().await?.is_empty(), "no metrics");
    operator.terminate();
    Ok(())
}
