//! What a promotion costs: requests to the API server and to the registry, as exact integers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lockmaster_core::status::State;
use lockmaster_tests::audit::AuditEvent;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::shop::{Rules, Shop};

/// Claim, intent, live look at the workload, apply, record, conclude, release.
const PER_PROMOTION: usize = 7;
/// The plan published and a decision latched: two writes and, right before the latch, two reads of
/// the guards.
const PER_APPROVAL: usize = 4;
/// Manifest, referrers, and for each of three bundles its manifest and its blob.
const PER_COLD_DIGEST: usize = 8;
/// Policies, windows and namespaces: one look shared by everything that begins within two seconds.
const FRESHNESS: [&str; 3] = ["changewindows", "clusterpromotionpolicies", "namespaces"];
/// At most this many Events for one promotion.
const EVENTS: usize = 4;

fn is_ours(event: &AuditEvent) -> bool {
    event.user_agent.starts_with("lockmaster/") && event.verb != "watch"
}

/// What the operator asked of the API server during something.
#[derive(Debug)]
struct Cost {
    requests: Vec<String>,
    freshness: Vec<String>,
    events: usize,
}

async fn cost<T>(
    bed: &Bed,
    of: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Cost, T)> {
    let log = bed.cluster.audit_log()?;
    let before = log.matching(is_ours)?.len();
    let done = of.await?;
    // The audit log is written a moment after the reply.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = log.matching(is_ours)?.split_off(before);
    let (events, asked): (Vec<_>, Vec<_>) =
        asked.into_iter().partition(|event| event.resource == "events");
    let (freshness, requests): (Vec<_>, Vec<_>) = asked.into_iter().partition(|event| {
        event.verb == "list" && FRESHNESS.contains(&event.resource.as_str())
    });
    let text = |event: &AuditEvent| {
        format!("{} {}/{} {}", event.verb, event.resource, event.subresource, event.name)
    };
    let mut freshness: Vec<_> = freshness.iter().map(|event| event.resource.clone()).collect();
    freshness.sort();
    let requests = requests.iter().map(text).collect();
    Ok((Cost { requests, freshness, events: events.len() }, done))
}

/// Waits until the claim is gone too: its release is the last write.
async fn finished(shop: &Shop<'_>, promotion: &str, stage: &str) -> anyhow::Result<()> {
    shop.wait_for(promotion, State::Succeeded).await?;
    let environment = shop.environment_name(stage);
    shop.until("the claim to be released", async || {
        let object = shop.environments().get(&environment).await.ok()?;
        object.status.is_some_and(|status| status.active.is_none()).then_some(())
    })
    .await
}

/// One promotion into one Deployment, without and with evidence, cold and warm.
pub(crate) async fn of_a_promotion(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "requests", &Rules::default()).await?;
    let image = shop.proven_image("counted", "1.0.0").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let registry = |bed: &Bed| {
        let asked = bed.registry.requests();
        asked.iter().filter(|exchange| exchange.user_agent.starts_with("lockmaster/")).count()
    };
    bed.registry.clear_requests();
    // dev asks for no evidence; staging is the first to ask, prod finds it warm.
    for (stage, expected) in [("dev", 0), ("staging", PER_COLD_DIGEST), ("prod", 0)] {
        let before = registry(bed);
        let (cost, ()) = cost(bed, async {
            let promotion = shop.promote("1.0.0", stage).await?;
            finished(&shop, &promotion, stage).await
        })
        .await?;
        ensure!(
            cost.requests.len() == PER_PROMOTION,
            "{stage}: {} requests instead of {PER_PROMOTION}: {:#?}",
            cost.requests.len(),
            cost.requests
        );
        ensure!(cost.freshness == FRESHNESS, "{stage}: freshness {:?}", cost.freshness);
        ensure!(cost.events <= EVENTS, "{stage}: {} events", cost.events);
        let asked = registry(bed) - before;
        ensure!(asked == expected, "{stage}: {asked} registry requests instead of {expected}");
    }
    Ok(())
}

/// A promotion that waits for a person costs nothing while it waits, and exactly four requests more
/// for the approval.
pub(crate) async fn of_an_approval(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules { evidence: false, approvals: 1, ..Rules::default() };
    let shop = Shop::open(bed, "requests-approval", &rules).await?;
    let image = shop.image("approved").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    shop.promote_with_success("1.0.0", "staging").await?;
    let (asking, promotion) = cost(bed, async {
        let promotion = shop.promote("1.0.0", "prod").await?;
        shop.wait_for(&promotion, State::AwaitingApproval).await?;
        Ok(promotion)
    })
    .await?;
    let (waiting, ()) = cost(bed, async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    })
    .await?;
    ensure!(
        waiting.requests.is_empty() && waiting.events == 0 && waiting.freshness.is_empty(),
        "waiting is not free: {waiting:?}"
    );
    let (after, ()) = cost(bed, async {
        let arguments = ["approve", &promotion, "--role", "release-manager", "--reason", "go", "--yes"];
        shop.plugin_as(&bed.people.alice, &arguments).await?.required("approve as alice")?;
        finished(&shop, &promotion, "prod").await
    })
    .await?;
    let all = asking.requests.len() + after.requests.len();
    ensure!(
        all == PER_PROMOTION + PER_APPROVAL,
        "{all} requests instead of {}: {asking:#?} {after:#?}",
        PER_PROMOTION + PER_APPROVAL
    );
    ensure!(asking.events + after.events <= EVENTS, "{asking:?} {after:?}");
    Ok(())
}

/// How long from creation to the apply, with everything satisfied and evidence warm: reported, not
/// asserted, because machines differ.
pub(crate) async fn latency(bed: &Bed) -> anyhow::Result<()> {
    const ROUNDS: usize = 11;
    let shop = Shop::open(bed, "latency", &Rules { evidence: false, ..Rules::default() }).await?;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let version = format!("1.{round}.0");
        let image = shop.image(&version).await?;
        shop.apply(&[shop.release(&version, &image)]).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let object: lockmaster_api::Promotion =
            serde_json::from_value(shop.promotion(&version, "dev"))?;
        let started = Instant::now();
        let created = shop.promotions().create(&kube::api::PostParams::default(), &object);
        let promotion = created.await.context("failed to create a Promotion")?;
        let wanted = image.reference();
        shop.until("the image to be applied", async || {
            (shop.image_of("dev").await.ok()? == wanted).then_some(())
        })
        .await?;
        took.push(started.elapsed());
        let name = promotion.metadata.name.unwrap_or_default();
        finished(&shop, &name, "dev").await?;
    }
    took.sort();
    let median = took.get(ROUNDS / 2).copied().unwrap_or_default();
    eprintln!("creation to apply, {ROUNDS} rounds (debug build): median {median:?}, {took:?}");
    Ok(())
}
