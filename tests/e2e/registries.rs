//! Evidence is found in both kinds of registries, in both forms of a bill of materials, and in
//! private ones.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{PromotionStatus, State};
use lockmaster_tests::audit::AuditEvent;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cosign::Format;
use lockmaster_tests::evidence::{Provenance, cyclonedx};
use lockmaster_tests::image::Image;
use lockmaster_tests::shop::{BUILDER, COMMIT, REPOSITORY, Rules, Shop};
use serde_json::{Value, json};

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.shared("registries::the_fallback_tag_is_read", fallback),
        beds.shared("registries::older_formats_are_read", older_formats),
        beds.shared("registries::each_platform_of_an_index", index),
        beds.exclusive(
            "registries::a_private_one_is_read_with_pull_secrets",
            private,
        ),
    ]
}

/// What cosign attaches in its older formats, in a registry whose referrers API answers, with
/// nothing, and in one without it: the gates say the same as of bundles.
async fn older_formats(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "older", &Rules::default()).await?;
    for (version, registry) in [("1.0.0", &bed.registry), ("1.1.0", &bed.fallback)] {
        let path = shop.repository();
        let image = Image::push(&bed.tools, registry, &path, version).await?;
        let (keys, cosign) = (&bed.keys, &bed.cosign);
        cosign.sign(&image, &keys.release, Format::Legacy).await?;
        let says = Provenance::new(REPOSITORY, version, COMMIT, BUILDER).predicate();
        let bill = cyclonedx("checkout", 7);
        for (kind, predicate) in [("slsaprovenance1", &says), ("cyclonedx", &bill)] {
            cosign
                .attest(&image, &keys.ci, kind, predicate, Format::Legacy)
                .await?;
        }
        shop.apply(&[shop.release(version, &image)]).await?;
        shop.promote_with_success(version, "dev").await?;
        let status = shop.promote_with_success(version, "staging").await?;
        all_valid(&status)?;
    }
    // Signed by somebody else, in the same format.
    let image = shop.image("stranger").await?;
    let key = &bed.keys.stranger;
    bed.cosign.sign(&image, key, Format::Legacy).await?;
    shop.apply(&[shop.release("1.2.0", &image)]).await?;
    let name = shop.promote("1.2.0", "staging").await?;
    refused(&shop, &name, Reason::SignatureInvalid, "does not verify").await
}

/// An index is signed as a whole; each of its images needs a bill of materials of its own.
async fn index(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "index", &Rules::default()).await?;
    let (tools, registry) = (&bed.tools, &bed.registry);
    let platforms = ["linux/amd64", "linux/arm64"];
    let (index, images) =
        Image::push_index(tools, registry, &shop.repository(), "index", &platforms).await?;
    shop.prove(&index, "1.0.0").await?;
    shop.attest_sbom(&images[0]).await?;
    shop.apply(&[shop.release("1.0.0", &index)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    let name = shop.promote("1.0.0", "staging").await?;
    let words = "linux/arm64: policy";
    refused(&shop, &name, Reason::SbomMissing, words).await?;
    shop.attest_sbom(&images[1]).await?;
    let status = shop.wait_for(&name, State::Succeeded).await?;
    all_valid(&status)?;
    let runs = shop.image_of("staging").await?;
    ensure!(runs == index.reference(), "staging runs {runs}");
    Ok(())
}

/// Waits until a gate refuses for this reason, in these words.
async fn refused(shop: &Shop<'_>, name: &str, reason: Reason, words: &str) -> anyhow::Result<()> {
    let is_said = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        let said = |gate: &lockmaster_core::gate::GateReport| {
            gate.reason == reason && gate.message.contains(words)
        };
        status.state == State::Blocked && gates.any(said)
    };
    shop.wait(name, is_said).await?;
    Ok(())
}

fn all_valid(status: &PromotionStatus) -> anyhow::Result<()> {
    for name in ["signature", "provenance", "sbom"] {
        let mut gates = status.gates.iter();
        let valid = gates.any(|gate| gate.name == name && gate.reason == Reason::EvidenceValid);
        ensure!(
            valid,
            "expected gate {name} to find valid evidence, saw {:?}",
            status.gates
        );
    }
    Ok(())
}

/// What nobody may ever see again.
const CANARY: &str = "canary-4f1d7b";
const USER: &str = "robot";
const SECRET: &str = "registry-login";

/// Lets everybody in again, however the test ends.
struct Private<'a>(&'a Bed);

impl Drop for Private<'_> {
    fn drop(&mut self) {
        self.0.registry.proxy().require(None);
    }
}

/// A registry that asks for a login. The operator reads evidence there with the Secret that the
/// Environment names, once it may get that by name, and says until then what is missing. No byte of
/// the Secret is seen again.
async fn private(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "private", &Rules::default()).await?;
    let image = shop.proven_image("private", "1.0.0").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    let login = STANDARD.encode(format!("{USER}:{CANARY}"));
    bed.registry.proxy().require(Some(format!("Basic {login}")));
    let _private = Private(bed);
    let name = shop.promote("1.0.0", "staging").await?;
    says(&shop, &name, "name a pull secret in spec.pullSecrets").await?;
    ensure!(
        asked_for_secrets(&shop)?.is_empty(),
        "no Secret is read that nobody names"
    );
    let mut environment = shop.environment("staging");
    environment["spec"]["pullSecrets"] = json!([SECRET]);
    shop.apply(&[environment]).await?;
    says(&shop, &name, "may not be read by the operator").await?;
    shop.apply(&printed_rights(&shop).await?).await?;
    let registry = format!("--docker-server={}", bed.registry.address());
    let (user, password) = (
        format!("--docker-username={USER}"),
        format!("--docker-password={CANARY}"),
    );
    let arguments = [
        "create",
        "secret",
        "docker-registry",
        SECRET,
        &registry,
        &user,
        &password,
    ];
    let made = shop.kubectl_as(bed.cluster.admin(), &arguments).await?;
    made.required("create the pull secret")?;
    shop.wait_for(&name, State::Succeeded).await?;
    let asked = asked_for_secrets(&shop)?;
    let expected = format!("get private/{SECRET}");
    ensure!(
        asked.iter().all(|one| *one == expected) && (2..=4).contains(&asked.len()),
        "expected that only this Secret is got, and that seldom, saw {asked:#?}"
    );
    nothing_of_the_secret_is_seen(&shop, &name, &login).await
}

/// Waits until the gate of signatures says this.
async fn says(shop: &Shop<'_>, name: &str, words: &str) -> anyhow::Result<()> {
    let said = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates.any(|gate| gate.name == "signature" && gate.message.contains(words))
    };
    shop.wait(name, said).await?;
    Ok(())
}

/// The requests of the operator for Secrets of the shop: verb, namespace and name.
fn asked_for_secrets(shop: &Shop<'_>) -> anyhow::Result<Vec<String>> {
    let asked = shop.bed.cluster.audit_log()?.matching(|event| {
        event.user_agent.starts_with("lockmaster/")
            && event.resource == "secrets"
            && event.namespace == shop.name
    })?;
    let text = |event: &AuditEvent| format!("{} {}/{}", event.verb, event.namespace, event.name);
    Ok(asked.iter().map(text).collect())
}

/// The Role for pull secrets and its binding, as `kubectl promote init` prints them.
async fn printed_rights(shop: &Shop<'_>) -> anyhow::Result<Vec<Value>> {
    let target = format!("staging={}/checkout", shop.target_namespace("staging"));
    let arguments = [
        "init",
        "--product",
        "checkout",
        "--target",
        &target,
        "--pull-secret",
        SECRET,
    ];
    let printed = shop.plugin_as(&shop.bed.people.alice, &arguments).await?;
    let printed = printed.required("print manifests")?.stdout;
    let all: Vec<Value> = serde_saphyr::from_multiple(&printed)?;
    let rights = all
        .into_iter()
        .filter(|object| object["metadata"]["name"] == "lockmaster-pull-secrets-checkout");
    let rights: Vec<_> = rights.collect();
    ensure!(
        rights.len() == 2,
        "expected a Role and its binding: {printed}"
    );
    Ok(rights)
}

/// Not in the log, not in anything that is stored but the Secret, not in what is told of it.
async fn nothing_of_the_secret_is_seen(
    shop: &Shop<'_>,
    name: &str,
    login: &str,
) -> anyhow::Result<()> {
    let bed = shop.bed;
    let mut seen = std::fs::read_to_string(&bed.operator_log).context("failed to read the log")?;
    ensure!(seen.contains("private"), "the log is of this");
    let kinds = "environments,promotions,releases,promotionrecords,events,deployments";
    let stored = shop
        .kubectl_as(bed.cluster.admin(), &["get", kinds, "-A", "-o", "yaml"])
        .await?;
    seen.push_str(&stored.required("read what is stored")?.stdout);
    let told = shop
        .plugin_as(&bed.people.bob, &["explain", name, "-o", "yaml"])
        .await?;
    seen.push_str(&told.required("explain it")?.stdout);
    let operator = bed.operator.lock().await;
    seen.push_str(&operator.metrics().await?);
    ensure!(seen.contains(SECRET), "the name of the Secret may be seen");
    for never in [CANARY, login, &STANDARD.encode(CANARY)] {
        ensure!(!seen.contains(never), "{never} is seen");
    }
    Ok(())
}

/// A registry without the referrers API: cosign lists what is attached under a tag, and the operator
/// reads that. Its gates say the same as with the API.
async fn fallback(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "fallback", &Rules::default()).await?;
    let image = Image::push(&bed.tools, &bed.fallback, &shop.repository(), "proven").await?;
    shop.sign(&image).await?;
    let says = Provenance::new(REPOSITORY, "1.0.0", COMMIT, BUILDER);
    shop.attest_provenance(&image, &says).await?;
    let (key, bill) = (&bed.keys.ci, cyclonedx("checkout", 7));
    bed.cosign
        .attest(&image, key, "cyclonedx", &bill, Format::Bundle)
        .await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    let status = shop.promote_with_success("1.0.0", "staging").await?;
    all_valid(&status)?;
    let runs = shop.image_of("staging").await?;
    ensure!(runs == image.reference(), "staging runs {runs}");
    // Without anything attached there is no such tag, and that is no error of the registry.
    let bare = Image::push(&bed.tools, &bed.fallback, &shop.repository(), "bare").await?;
    shop.apply(&[shop.release("1.0.1", &bare)]).await?;
    let name = shop.promote("1.0.1", "staging").await?;
    let missing = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        status.state == State::Blocked && gates.any(|gate| gate.reason == Reason::SignatureMissing)
    };
    shop.wait(&name, missing).await?;
    Ok(())
}
