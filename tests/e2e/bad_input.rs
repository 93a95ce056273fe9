//! Bad input: a clear message that names the field or file and the mend; nothing else is affected.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::Api;
use libtest_mimic::Trial;
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy};
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{Condition, ConditionStatus, PromotionStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cluster::Output;
use lockmaster_tests::shop::{Rules, Shop};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.shared(
            "bad_input::objects_are_refused_by_name_of_the_field",
            objects,
        ),
        beds.shared(
            "bad_input::a_zone_that_does_not_exist_closes_its_policy",
            zone,
        ),
        beds.exclusive(
            "bad_input::an_unknown_policy_field_closes_everything",
            policy,
        ),
        beds.shared("bad_input::a_malformed_kubeconfig_is_named", kubeconfig),
        beds.shared("bad_input::a_port_in_use_is_named", port),
    ]
}

/// How long a program that cannot start may take to say so.
const SAID: Duration = Duration::from_secs(20);

/// An output that must be a failure which says all of this, without a panic.
fn refused(what: &str, output: &Output, says: &[&str]) -> anyhow::Result<()> {
    let text = format!("{}{}", output.stdout, output.stderr);
    ensure!(!output.success(), "{what}: expected a failure, saw: {text}");
    ensure!(!text.contains("panicked"), "{what}: it panicked: {text}");
    for word in says {
        ensure!(
            text.contains(word),
            "{what}: expected \"{word}\" in: {text}"
        );
    }
    Ok(())
}

/// What the API server refuses by itself, with the field's path.
async fn objects(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "bad-objects", &Rules::default()).await?;
    let image = shop.image("good").await?;
    let release = shop.release("1.0.0", &image);
    let environment = shop.environment("dev");
    let promotion = shop.promotion("1.0.0", "dev");
    let change = |object: &Value, pointer: &str, value: Value| {
        let mut object = object.clone();
        let field = object.pointer_mut(pointer);
        *field.with_context(|| format!("no {pointer}"))? = value;
        object["metadata"]["name"] = json!("bad");
        anyhow::Ok(object)
    };
    let tag = json!(format!("{}:1.0.0", image.repository));
    let cases = [
        (
            "a tag instead of a digest",
            change(&release, "/spec/components/0/image", tag)?,
            ["spec.components[0].image", "crane digest IMAGE tells it"],
        ),
        (
            "an unknown kind of workload",
            change(
                &environment,
                "/spec/targets/0/workload/kind",
                json!("Rocket"),
            )?,
            ["spec.targets[0].workload.kind", "Deployment"],
        ),
        (
            "an unknown tier",
            change(&environment, "/spec/tier", json!("Prod"))?,
            ["spec.tier", "Production"],
        ),
        (
            "a version that is none",
            change(&release, "/spec/version", json!("v1"))?,
            ["spec.version", "1.42.0"],
        ),
        (
            "a Promotion that names nothing",
            change(&promotion, "/spec/environment", json!(""))?,
            ["spec.environment", ""],
        ),
    ];
    for (what, object, says) in cases {
        let object = object.to_string();
        let arguments = ["create", "--dry-run=server", "-f", "-"];
        let admin = &bed.cluster.admin().kubeconfig;
        let output = bed
            .cluster
            .kubectl(admin, &arguments, Some(&object))
            .await?;
        refused(what, &output, &says)?;
    }
    let unknown = json!({"apiVersion": "lockmaster.dev/v1alpha1", "kind": "Promotions",
                         "metadata": {"name": "x"}});
    let output = shop.create_as(bed.cluster.admin(), &unknown).await?;
    let says = ["no matches for kind \"Promotions\""];
    refused("an unknown kind", &output, &says)?;
    // None of it has hurt the good ones.
    shop.apply(&[release]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    Ok(())
}

fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.kind == "Ready")
}

/// Waits for `Ready` of a cluster-scoped object to be False, and returns its message.
async fn complaint<K>(
    shop: &Shop<'_>,
    name: &str,
    conditions: impl Fn(&Value) -> anyhow::Result<Vec<Condition>>,
) -> anyhow::Result<String>
where
    K: kube::Resource<DynamicType = ()>,
{
    let resource = kube::core::ApiResource::erase::<K>(&());
    let api: Api<kube::api::DynamicObject> = Api::all_with(shop.bed.cluster.client(), &resource);
    shop.until(
        &format!("{name} to say that it is not in force"),
        async || {
            let object = api.get(name).await.ok()?;
            let found = conditions(&object.data).ok()?;
            let ready = ready(&found)?;
            (ready.status == ConditionStatus::False).then(|| ready.message.clone())
        },
    )
    .await
}

fn conditions(data: &Value) -> anyhow::Result<Vec<Condition>> {
    let all = data.pointer("/status/conditions").cloned();
    Ok(serde_json::from_value(all.unwrap_or_default())?)
}

/// A window that nobody can read opens nothing, says so, and closes nothing else.
async fn zone(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        windows: vec!["bad-zone".into()],
        ..Rules::default()
    };
    let shop = Shop::open(bed, "bad-zone", &rules).await?;
    shop.apply(&[json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ChangeWindow",
        "metadata": {"name": "bad-zone"},
        "spec": {"zone": "Europe/Atlantis", "ranges": [
            {"days": ["Mon"], "from": "09:00", "to": "16:00"}]},
    })])
    .await?;
    let said = complaint::<ChangeWindow>(&shop, "bad-zone", conditions).await?;
    for word in ["zone", "Europe/Atlantis"] {
        ensure!(said.contains(word), "expected \"{word}\" in: {said}");
    }
    let image = shop.image("good").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    shop.promote_with_success("1.0.0", "staging").await?;
    let name = shop.promote("1.0.0", "prod").await?;
    let closed = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates.any(|gate| gate.name == "window" && !gate.verdict.is_open())
    };
    let status = shop.wait(&name, closed).await?;
    let gate = status.gates.iter().find(|gate| gate.name == "window");
    let message = gate.map(|gate| gate.message.clone()).unwrap_or_default();
    ensure!(
        message.contains("bad-zone"),
        "expected the window gate to name the window, saw {message}"
    );
    Ok(())
}

/// A policy that cannot be read may be about anything, so it closes every Environment until it is
/// mended or removed; then all goes on.
async fn policy(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "bad-policy", &rules).await?;
    let image = shop.image("good").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let name = "bad-policy-misspelt";
    shop.apply(&[json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ClusterPromotionPolicy",
        "metadata": {"name": name},
        "spec": {"match": {"tiers": ["Production"]}, "aprovals": [{"role": "qa", "min": 1}]},
    })])
    .await?;
    let closed = closed_by_a_policy(&shop, name).await;
    // It closes every Environment of the bed: away with it, whatever came of this.
    let delete = ["delete", "clusterpromotionpolicies.lockmaster.dev", name];
    let admin = &bed.cluster.admin().kubeconfig;
    let deleted = bed.cluster.kubectl(admin, &delete, None).await?;
    let promotion = closed?;
    deleted.required("delete a policy")?;
    shop.wait_for(&promotion, State::Succeeded).await?;
    Ok(())
}

async fn closed_by_a_policy(shop: &Shop<'_>, name: &str) -> anyhow::Result<String> {
    let said = complaint::<ClusterPromotionPolicy>(shop, name, conditions).await?;
    for word in ["aprovals", "approvals"] {
        ensure!(said.contains(word), "expected \"{word}\" in: {said}");
    }
    let promotion = shop.promote("1.0.0", "dev").await?;
    let unreadable = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates.any(|gate| gate.reason == Reason::PolicyInvalid && gate.message.contains(name))
    };
    let status = shop.wait(&promotion, unreadable).await?;
    ensure!(
        status.state == State::Blocked,
        "expected the Promotion to be blocked, saw {:?}",
        status.state
    );
    Ok(promotion)
}

/// Runs one of the product's programs, which must end soon.
async fn run(mut command: Command) -> anyhow::Result<Output> {
    let output = tokio::time::timeout(SAID, command.kill_on_drop(true).output()).await;
    let output = output.context("it neither ended nor said anything")?;
    let output = output.context("failed to run it")?;
    Ok(Output {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// The operator and the plugin name the file that they cannot read.
async fn kubeconfig(bed: &Bed) -> anyhow::Result<()> {
    let file = bed.cluster.directory().join("malformed.kubeconfig");
    std::fs::write(&file, "apiVersion: v1\nclusters: {").context("failed to write a file")?;
    let name = file.display().to_string();
    let mut operator = Command::new(&bed.product.operator);
    operator
        .args([
            "--metrics-address=127.0.0.1:0",
            "--health-address=127.0.0.1:0",
        ])
        .env("KUBECONFIG", &file);
    refused(
        "the operator",
        &run(operator).await?,
        &["KUBECONFIG", &name],
    )?;
    let mut plugin = Command::new(&bed.product.plugin);
    plugin
        .args(["status", "-n", "shop"])
        .env("KUBECONFIG", &file);
    let output = run(plugin).await?;
    refused("the plugin", &output, &[&name])?;
    ensure!(
        output.status == Some(1),
        "expected exit code 1, saw {:?}",
        output.status
    );
    Ok(())
}

/// The operator names the address that it cannot listen on, and the flag that changes it.
async fn port(bed: &Bed) -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0").context("failed to take a port")?;
    let address = taken.local_addr().context("failed to read an address")?;
    for flag in ["--metrics-address", "--health-address"] {
        let other = if flag == "--metrics-address" {
            "--health-address"
        } else {
            "--metrics-address"
        };
        let mut operator = Command::new(&bed.product.operator);
        operator
            .arg(format!("{flag}={address}"))
            .arg(format!("{other}=127.0.0.1:0"))
            .env("KUBECONFIG", &bed.cluster.admin().kubeconfig);
        let output = run(operator).await?;
        refused(
            "the operator",
            &output,
            &[flag, &address.to_string(), "in use"],
        )?;
    }
    Ok(())
}
