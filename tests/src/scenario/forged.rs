//! Approvals that are not what they say: each is refused by the API server itself, and what was
//! rejected stays rejected.

use anyhow::ensure;
use lockmaster_core::approval::{APPROVAL_PREFIX, Vote};
use lockmaster_core::promotion::WINDOW_ANNOTATION;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::State;
use serde_json::json;

use super::checks::{
    annotate, build, chain, decision, denied, gate, generation, held, plan, promote_as,
    promote_through, set, untouched,
};
use super::{Scenario, Show};
use crate::bed::Bed;
use crate::shop::{Rules, Shop};

const NAME: &str = "forged";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "forged, born, outdated and stripped decisions are refused; a rejection stays",
    in_demo: true,
    exclusive: true,
    play: |bed, show| Box::pin(play(bed, show)),
};

const SLOT: &str = "release-manager";

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let rules = Rules {
        approvals: 1,
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, NAME, &rules).await?;
    build(&shop, "1.0.0", false).await?;
    promote_through(&shop, "1.0.0", &["dev", "staging"]).await?;
    let before = generation(&shop, "prod").await?;
    born(&shop, show).await?;
    let name = shop.promote("1.0.0", "prod").await?;
    forged(&shop, show, &name).await?;
    outdated(&shop, show, &name).await?;
    stripped(&shop, show, &name).await?;
    again(&shop, show).await?;
    untouched(&shop, "prod", before).await
}

/// A Promotion whose manifest carries its approval, as from a repository or a backup.
async fn born(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    show.step("bob creates a Promotion with alice's approval already in the manifest:");
    let nothing = lockmaster_core::release::Digest::parse(&format!("sha256:{}", "0".repeat(64)))?;
    let value = decision(Vote::Approve, "alice@corp", &nothing, "go");
    let mut promotion = shop.promotion("1.0.0", "prod");
    let key = format!("{APPROVAL_PREFIX}{SLOT}");
    set(&mut promotion, "/metadata/annotations", json!({key: value}))?;
    let output = shop.create_as(&shop.bed.people.bob, &promotion).await?;
    show.refusal(&output);
    denied(&output, "V1 approvals cannot be part of a new object")
}

/// mallory may edit everything in the namespace, and tries.
async fn forged(shop: &Shop<'_>, show: &Show, name: &str) -> anyhow::Result<()> {
    let mallory = &shop.bed.people.mallory;
    let plan = plan(shop, name).await?.hash;
    show.step("mallory may edit every object in the namespace, and writes alice's approval:");
    let value = decision(Vote::Approve, "alice@corp", &plan, "go");
    let output = annotate((shop, show), mallory, name, SLOT, &value).await?;
    denied(&output, "V4 a decision must say by=mallory@corp")?;
    show.step("then an approval of mallory's own:");
    let value = decision(Vote::Approve, "mallory@corp", &plan, "go");
    let output = annotate((shop, show), mallory, name, SLOT, &value).await?;
    denied(&output, "V9 user mallory@corp may not fill slot")?;
    show.step("then the status, where recorded decisions are kept:");
    let status = json!({"status": {"approvals": []}}).to_string();
    let arguments = [
        "patch",
        "promotions.lockmaster.dev",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    let output = show.run(shop, mallory, &arguments).await?;
    denied(&output, "only the operator writes this")
}

/// A decision about what was planned before does not count for what is planned now.
async fn outdated(shop: &Shop<'_>, show: &Show, name: &str) -> anyhow::Result<()> {
    let people = &shop.bed.people;
    let old = plan(shop, name).await?.hash;
    show.step("bob narrows the window of his request, so the plan is another one");
    let pair = format!("{WINDOW_ANNOTATION}=Mon-Sun 00:00-24:00 UTC");
    let arguments = ["annotate", "promotions.lockmaster.dev", name, &pair];
    let output = shop.kubectl_as(&people.bob, &arguments).await?;
    output.required("annotate a Promotion as bob")?;
    let changed = shop.wait(name, |status| {
        status.plan.as_ref().is_some_and(|plan| plan.hash != old)
    });
    changed.await?;
    show.step("alice approves the plan that she read before:");
    let value = decision(Vote::Approve, "alice@corp", &old, "go");
    let output = annotate((shop, show), &people.alice, name, SLOT, &value).await?;
    denied(&output, "V5 the plan changed")
}

/// While the operator is away, nobody can take a rejection away before it is recorded.
async fn stripped(shop: &Shop<'_>, show: &Show, name: &str) -> anyhow::Result<()> {
    let people = &shop.bed.people;
    let plan = plan(shop, name).await?.hash;
    show.step("the operator is killed; carol rejects meanwhile:");
    let mut operator = shop.bed.operator.lock().await;
    operator.kill();
    let value = decision(Vote::Reject, "carol@corp", &plan, "not before the audit");
    let output = annotate((shop, show), &people.carol, name, SLOT, &value).await?;
    let refusals = stripping(shop, show, name, &plan).await;
    // Others need the operator, whatever came of this.
    operator.restart().await?;
    drop(operator);
    output.required("reject as carol")?;
    refusals?;
    show.step("the operator is back, and the rejection stands:");
    let status = shop.wait_for(name, State::Rejected).await?;
    let by: Vec<_> = status.approvals.iter().map(|one| one.by.as_str()).collect();
    ensure!(
        by == ["carol@corp"],
        "expected carol's rejection to be recorded and nothing else, saw {by:?}"
    );
    chain(shop, "prod", 1).await?;
    show.command(shop, &people.bob, &["promote", "explain", name])
        .await
}

async fn stripping(
    shop: &Shop<'_>,
    show: &Show,
    name: &str,
    plan: &lockmaster_core::release::Digest,
) -> anyhow::Result<()> {
    let people = &shop.bed.people;
    show.step("mallory removes the rejection:");
    let key = format!("{APPROVAL_PREFIX}{SLOT}-");
    let arguments = ["annotate", "promotions.lockmaster.dev", name, &key];
    let output = show.run(shop, &people.mallory, &arguments).await?;
    denied(&output, "V12 another person's rejection stays")?;
    show.step("alice overwrites it with an approval:");
    let value = decision(Vote::Approve, "alice@corp", plan, "go");
    let output = annotate((shop, show), &people.alice, name, SLOT, &value).await?;
    denied(&output, "V11 another person's decision cannot be changed")
}

/// Asking again under another name is no second try.
async fn again(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    show.step("bob asks again under another name: the rejection holds until it expires");
    let name = promote_as(shop, "checkout-once-more", "1.0.0", "prod", &json!({})).await?;
    let rejected = ("approval", Reason::Rejected);
    let status = held(shop, &name, State::Blocked, rejected).await?;
    let report = gate(&status, "approval")?;
    ensure!(
        report.next_change.is_some(),
        "expected the rejection to say when it expires, saw {report:?}"
    );
    show.command(shop, &shop.bed.people.bob, &["get", "promotions"])
        .await
}
