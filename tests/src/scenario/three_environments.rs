//! One digest goes through three Environments; a person must agree before the last one.

use anyhow::{Context as _, ensure};
use kube::api::DeleteParams;
use lockmaster_core::promotion::Action;
use lockmaster_core::reason::Reason;
use lockmaster_core::record::Outcome;
use lockmaster_core::status::{EnvironmentStatus, PromotionStatus, State};
use serde_json::json;

use super::checks::{
    self, annotate, build, chain, decide, decision, denied, generation, held, may_promote,
    promote_as, promote_through, untouched,
};
use super::{Scenario, Show};
use crate::bed::Bed;
use crate::image::Image;
use crate::shop::{Rules, Shop};

const NAME: &str = "three-environments";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "the same digest goes through dev, staging and prod, and a person agrees before prod",
    in_demo: true,
    exclusive: false,
    play: |bed, show| Box::pin(play(bed, show)),
};

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let rules = Rules {
        approvals: 1,
        ..Rules::default()
    };
    let shop = Shop::open(bed, NAME, &rules).await?;
    let first = forward(&shop, show).await?;
    approved(&shop, show).await?;
    arrived(&shop, show, &first).await?;
    let second = second_version(&shop, show).await?;
    back(&shop, show, &first).await?;
    repeated(&shop, show).await?;
    missing_environment(&shop, show, &second).await
}

/// Version 1.0.0 is built, signed, attested, and goes through dev and staging by itself.
async fn forward(shop: &Shop<'_>, show: &Show) -> anyhow::Result<Image> {
    show.step("bob builds checkout 1.0.0: an image with signature, provenance and SBOM");
    let image = build(shop, "1.0.0", true).await?;
    show.step("and promotes it into dev, then staging: every gate passes, it goes by itself");
    promote_through(shop, "1.0.0", &["dev", "staging"]).await?;
    show.step("into prod, where the policy wants a release manager's approval:");
    let name = shop.promote("1.0.0", "prod").await?;
    let status = shop.wait_for(&name, State::AwaitingApproval).await?;
    ensure!(
        status.blocked_by.as_deref() == Some("approval"),
        "expected prod to be blocked by approval alone, saw {:?}",
        status.blocked_by
    );
    let people = &shop.bed.people;
    show.command(shop, &people.bob, &["get", "promotions"])
        .await?;
    show.command(shop, &people.alice, &["promote", "explain", &name])
        .await?;
    Ok(image)
}

/// The requester may not approve; a release manager may, and then it goes on.
async fn approved(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    let people = &shop.bed.people;
    let name = crate::shop::promotion_name("1.0.0", "prod");
    let plan = checks::plan(shop, &name).await?;
    let before = generation(shop, "prod").await?;
    show.step("bob asked for it, so bob cannot approve it: the API server itself refuses");
    let own = decision(
        lockmaster_core::approval::Vote::Approve,
        "bob@corp",
        &plan.hash,
        "go",
    );
    let output = annotate((shop, show), &people.bob, &name, "release-manager", &own).await?;
    denied(&output, "V7 the requester cannot decide")?;
    untouched(shop, "prod", before).await?;
    show.step("alice is a release manager:");
    decide((shop, show), &people.alice, "approve", &name, "go").await?;
    let status = shop.wait_for(&name, State::Succeeded).await?;
    let by: Vec<_> = status
        .approvals
        .iter()
        .map(|approval| approval.by.as_str())
        .collect();
    ensure!(
        by == ["alice@corp"],
        "expected one approval, by alice@corp, saw {by:?}"
    );
    show.command(shop, &people.bob, &["get", "promotions"])
        .await
}

/// The pods run the digest that was signed, and every Environment has its account of it.
async fn arrived(shop: &Shop<'_>, show: &Show, image: &Image) -> anyhow::Result<()> {
    let ids = checks::same_digest(shop, image).await?;
    show.step(&format!(
        "all pods of dev, staging and prod report {}",
        ids.join(", ")
    ));
    for stage in crate::shop::STAGES {
        let records = chain(shop, stage, 1).await?;
        let record = records.first().context("expected a record")?;
        ensure!(
            record.spec.content.outcome == Outcome::Succeeded,
            "expected the record of {stage} to say Succeeded, saw {}",
            record.spec.content.outcome
        );
        let what = "current 1.0.0 and no lastKnownGood";
        checks::environment(shop, stage, what, |status| runs(status, "1.0.0", None)).await?;
    }
    show.command(shop, &shop.bed.people.bob, &["get", "promotionrecords"])
        .await
}

fn runs(status: &EnvironmentStatus, current: &str, known_good: Option<&str>) -> bool {
    let version = |running: &Option<lockmaster_core::environment::Running>| {
        running.as_ref().map(|running| running.version.to_string())
    };
    version(&status.current).as_deref() == Some(current)
        && version(&status.last_known_good).as_deref() == known_good
}

/// A second version takes the first one's place in dev; the older one is refused there.
async fn second_version(shop: &Shop<'_>, show: &Show) -> anyhow::Result<Image> {
    show.step("version 1.1.0 goes into dev: its record is linked to that of 1.0.0");
    let image = build(shop, "1.1.0", true).await?;
    promote_through(shop, "1.1.0", &["dev"]).await?;
    chain(shop, "dev", 2).await?;
    let what = "current 1.1.0, lastKnownGood 1.0.0";
    checks::environment(shop, "dev", what, |status| {
        runs(status, "1.1.0", Some("1.0.0"))
    })
    .await?;

    show.step("1.0.0 is older than what runs in dev now: refused");
    let before = generation(shop, "dev").await?;
    let name = promote_as(shop, "checkout-backwards", "1.0.0", "dev", &json!({})).await?;
    held(
        shop,
        &name,
        State::Blocked,
        ("release", Reason::VersionNotNewer),
    )
    .await?;
    let bob = &shop.bed.people.bob;
    show.command(shop, bob, &["promote", "explain", &name])
        .await?;
    let output = shop
        .kubectl_as(bob, &["delete", "promotions.lockmaster.dev", &name])
        .await?;
    output.required("delete a Promotion as bob")?;
    untouched(shop, "dev", before).await?;
    Ok(image)
}

/// Going back is a request of its own, with a reason and an incident, and is recorded as such.
async fn back(shop: &Shop<'_>, show: &Show, first: &Image) -> anyhow::Result<()> {
    show.step("going back says why, and is recorded like everything else:");
    let bob = &shop.bed.people.bob;
    let arguments = [
        "promote",
        "create",
        "checkout-1.0.0",
        "--to",
        "dev",
        "--rollback",
        "--reason",
        "checkout is slow",
        "--incident",
        "INC-7",
        "--name",
        "checkout-back",
        "--wait",
    ];
    show.run(shop, bob, &arguments)
        .await?
        .required("roll back as bob")?;
    shop.wait_for("checkout-back", State::Succeeded).await?;
    let image = shop.image_of("dev").await?;
    ensure!(
        image == first.reference(),
        "expected dev to be set to {} again, saw {image}",
        first.reference()
    );
    let records = chain(shop, "dev", 3).await?;
    let record = records.last().context("expected a record")?;
    let said = &record.spec.content.promotion;
    ensure!(
        said.action == Action::Rollback
            && said.reason.as_deref() == Some("checkout is slow")
            && said.incident.as_deref() == Some("INC-7"),
        "expected the record to name rollback, reason and incident, saw {said:?}"
    );
    let what = "current 1.0.0, lastKnownGood 1.1.0";
    checks::environment(shop, "dev", what, |status| {
        runs(status, "1.0.0", Some("1.1.0"))
    })
    .await?;
    Ok(())
}

/// A finished request that is applied, deleted or created again changes nothing.
async fn repeated(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    show.step("1.1.0-dev is over: applied again, deleted, created again, it moves nothing");
    let bob = &shop.bed.people.bob;
    let name = crate::shop::promotion_name("1.1.0", "dev");
    let before = generation(shop, "dev").await?;
    let done = status_of(shop, &name).await?;
    let manifest = shop.promotion("1.1.0", "dev");
    let arguments = [
        "-n",
        shop.name.as_str(),
        "apply",
        "--server-side",
        "-f",
        "-",
    ];
    let text = manifest.to_string();
    let output = shop
        .bed
        .cluster
        .kubectl(&bob.kubeconfig, &arguments, Some(&text))
        .await?;
    output.required("apply a finished Promotion again")?;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let again = status_of(shop, &name).await?;
    ensure!(
        again == done,
        "expected the status of {name} to stay as it was, saw {again:?} instead of {done:?}"
    );
    let output = shop
        .kubectl_as(bob, &["delete", "promotions.lockmaster.dev", &name])
        .await?;
    output.required("delete a finished Promotion as bob")?;
    untouched(shop, "dev", before).await?;
    let mirrored = shop.promote_with_success("1.1.0", "dev").await?;
    ensure!(
        mirrored.record == done.record,
        "expected the re-created Promotion to name record {:?}, saw {:?}",
        done.record,
        mirrored.record
    );
    untouched(shop, "dev", before).await?;
    chain(shop, "dev", 3).await?;
    Ok(())
}

async fn status_of(shop: &Shop<'_>, name: &str) -> anyhow::Result<PromotionStatus> {
    let object = shop
        .promotions()
        .get(name)
        .await
        .context("failed to read a Promotion")?;
    object
        .status
        .context("expected the Promotion to have a status")
}

/// A request into an Environment that does not exist says so, and goes on once it does.
async fn missing_environment(shop: &Shop<'_>, show: &Show, image: &Image) -> anyhow::Result<()> {
    show.step("a Promotion into an Environment that does not exist yet:");
    shop.apply(&may_promote(shop, "qa")).await?;
    let name = shop.promote("1.1.0", "qa").await?;
    let absent = |status: &PromotionStatus| {
        let mut conditions = status.conditions.iter();
        conditions.any(|ready| ready.kind == "Ready" && ready.reason == Reason::EnvironmentNotFound)
    };
    shop.wait(&name, absent).await?;
    show.command(shop, &shop.bed.people.bob, &["promote", "explain", &name])
        .await?;
    show.step("once somebody creates it, the Promotion goes on by itself");
    let mut objects = shop.target("qa");
    objects.push(shop.development("qa")?);
    shop.apply(&objects).await?;
    shop.wait_for(&name, State::Succeeded).await?;
    let before = generation(shop, "qa").await?;
    let deleted = shop
        .promotions()
        .delete(&name, &DeleteParams::default())
        .await;
    deleted.context("failed to delete a finished Promotion")?;
    untouched(shop, "qa", before).await?;
    let left = shop.image_of("qa").await?;
    ensure!(
        left == image.reference(),
        "expected qa to keep {} after its Promotion was deleted, saw {left}",
        image.reference()
    );
    Ok(())
}
