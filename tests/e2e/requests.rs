//! What a promotion costs: requests to the API server and to the registry, as exact integers.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use libtest_mimic::Trial;
use lockmaster_core::status::State;
use lockmaster_tests::audit::AuditEvent;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cluster::NAMESPACE;
use lockmaster_tests::progress;
use lockmaster_tests::shop::{Rules, Shop};

use crate::beds::Beds;
use crate::guard_cases::GUARDS;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.exclusive("requests::of_a_promotion", of_a_promotion),
        beds.exclusive("requests::of_an_approval", of_an_approval),
        beds.exclusive("requests::of_waiting_for_the_window", of_waiting),
        beds.exclusive("requests::latency", latency),
    ]
}

/// Claim, intent, live look at the workload, apply, record, conclude, release.
const PER_PROMOTION: usize = 7;
/// The plan published and a decision latched: two writes and, right before the latch, two reads of
/// the guards.
const PER_APPROVAL: usize = 4;
/// Manifest, referrers, and for each of three bundles its manifest and its blob.
const PER_COLD_DIGEST: usize = 8;
/// Policies, windows, trusted roots, revocations and namespaces: one look shared by everything that
/// begins within two seconds, and by the applies of what began.
const FRESHNESS: [&str; 5] = [
    "changewindows",
    "clusterpromotionpolicies",
    "namespaces",
    "revocations",
    "trustedroots",
];
/// How long such a look is shared.
const LOOK_SHARED: Duration = Duration::from_secs(2);
/// What a look at the guards lists.
const GUARD_KINDS: [&str; 2] = [
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
];
/// At most this many Events for one promotion.
const EVENTS: usize = 4;
/// How long nothing may be asked while a promotion waits for a person or a clock.
const WAITING: Duration = Duration::from_secs(5);
/// How often it is waited for silence, while promotions of earlier tests may still go on.
const SILENCES: usize = 3;

/// What the operator asked of the API server during something.
#[derive(Debug)]
struct Cost {
    requests: Vec<String>,
    freshness: Vec<String>,
    events: usize,
}

impl Cost {
    fn is_nothing(&self) -> bool {
        self.requests.is_empty() && self.freshness.is_empty() && self.events == 0
    }
}

fn is_ours(event: &AuditEvent) -> bool {
    event.user_agent.starts_with("lockmaster/") && event.verb != "watch"
}

/// Counts everything that the operator asks while `of` runs; nobody else uses the bed meanwhile. What
/// earlier tests left in namespaces of their own, such as waiting for a signature, is theirs.
async fn cost<T>(
    shop: &Shop<'_>,
    of: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Cost, T)> {
    let log = shop.bed.cluster.audit_log()?;
    let before = log.matching(is_ours)?.len();
    let done = of.await?;
    // Events are written beside the pass, a moment later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut asked = log.matching(is_ours)?.split_off(before);
    asked.retain(|event| !is_of_another(shop, event));
    without_inspections(&mut asked);
    let of_kind = |kinds: &[&str], event: &AuditEvent| {
        event.verb == "list" && kinds.contains(&event.resource.as_str())
    };
    let (events, asked): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .partition(|event| event.resource == "events");
    let (freshness, requests): (Vec<_>, Vec<_>) = asked
        .into_iter()
        .partition(|event| of_kind(&FRESHNESS, event));
    let mut freshness: Vec<_> = freshness.into_iter().map(|event| event.resource).collect();
    freshness.sort();
    let text = |event: &AuditEvent| {
        let AuditEvent {
            verb,
            resource,
            subresource,
            name,
            ..
        } = event;
        format!("{verb} {resource}/{subresource} {name}")
    };
    let cost = Cost {
        requests: requests.iter().map(text).collect(),
        freshness,
        events: events.len(),
    };
    Ok((cost, done))
}

fn is_of_another(shop: &Shop<'_>, event: &AuditEvent) -> bool {
    let stages = ["dev", "staging", "prod"].map(|stage| shop.target_namespace(stage));
    let ours = |namespace: &String| *namespace == shop.name || stages.contains(namespace);
    !event.namespace.is_empty() && event.namespace != NAMESPACE && !ours(&event.namespace)
}

/// Every five minutes the operator proves its guards, whatever anybody promotes: one probe for each,
/// after one look at them. Where that falls into a measurement, it is taken out.
fn without_inspections(asked: &mut Vec<AuditEvent>) {
    let probes = asked
        .iter()
        .filter(|event| event.user_agent.contains("(probe)"))
        .count();
    asked.retain(|event| !event.user_agent.contains("(probe)"));
    for kind in GUARD_KINDS {
        for _ in 0..probes.div_ceil(GUARDS.len()) {
            if let Some(at) = asked.iter().position(|event| event.resource == kind) {
                asked.remove(at);
            }
        }
    }
}

/// Waits until the claim is gone too: its release is the last write.
async fn finished(shop: &Shop<'_>, promotion: &str, stage: &str) -> anyhow::Result<()> {
    shop.wait_for(promotion, State::Succeeded).await?;
    let environment = shop.environment_name(stage);
    shop.until("the claim to be released", async || {
        let object = shop.environments().get(&environment).await.ok()?;
        object.status?.active.is_none().then_some(())
    })
    .await
}

/// How often the operator asked the registry about the shop's images.
fn asked_registry(shop: &Shop<'_>) -> Vec<String> {
    let repository = format!("/v2/{}/", shop.repository());
    let asked = shop.bed.registry.requests();
    let ours = asked.iter().filter(|exchange| {
        exchange.user_agent.starts_with("lockmaster/") && exchange.path.starts_with(&repository)
    });
    ours.map(|exchange| format!("{} {}", exchange.method, exchange.path))
        .collect()
}

/// One promotion into one Deployment, without and with evidence, cold and warm.
async fn of_a_promotion(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "requests", &Rules::default()).await?;
    let image = shop.proven_image("counted", "1.0.0").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    // dev asks for no evidence; staging is the first to ask, prod finds it warm.
    for (stage, expected) in [("dev", 0), ("staging", PER_COLD_DIGEST), ("prod", 0)] {
        let before = asked_registry(&shop).len();
        // Each has a look of its own then.
        tokio::time::sleep(LOOK_SHARED).await;
        let (cost, ()) = cost(&shop, async {
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
        ensure!(
            cost.freshness == FRESHNESS,
            "{stage}: looked at {:?} right before, not at {FRESHNESS:?} once each",
            cost.freshness
        );
        ensure!(cost.events <= EVENTS, "{stage}: {} Events", cost.events);
        let asked = asked_registry(&shop).split_off(before);
        ensure!(
            asked.len() == expected,
            "{stage}: {} registry requests instead of {expected}: {asked:#?}",
            asked.len()
        );
    }
    Ok(())
}

/// A promotion that waits for a person costs nothing while it waits, and exactly four requests more
/// for the approval.
async fn of_an_approval(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        approvals: 1,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "requests-approval", &rules).await?;
    let image = shop.image("approved").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    for stage in ["dev", "staging"] {
        let promotion = shop.promote("1.0.0", stage).await?;
        finished(&shop, &promotion, stage).await?;
    }
    let (asking, promotion) = cost(&shop, async {
        let promotion = shop.promote("1.0.0", "prod").await?;
        shop.wait_for(&promotion, State::AwaitingApproval).await?;
        Ok(promotion)
    })
    .await?;
    silent(&shop).await?;
    let (after, ()) = cost(&shop, async {
        let arguments = [
            "approve",
            &promotion,
            "--role",
            "release-manager",
            "--reason",
            "go",
            "--yes",
        ];
        let output = shop.plugin_as(&bed.people.alice, &arguments).await?;
        output.required("approve as alice")?;
        finished(&shop, &promotion, "prod").await
    })
    .await?;
    let all = asking.requests.len() + after.requests.len();
    ensure!(
        all == PER_PROMOTION + PER_APPROVAL,
        "{all} requests instead of {}: {asking:#?} {after:#?}",
        PER_PROMOTION + PER_APPROVAL
    );
    ensure!(
        asking.events + after.events <= EVENTS,
        "more than {EVENTS} Events: {asking:?} {after:?}"
    );
    Ok(())
}

/// A promotion that waits for a window that opens much later costs nothing while it waits.
async fn of_waiting(bed: &Bed) -> anyhow::Result<()> {
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "requests-window", &rules).await?;
    let image = shop.image("waiting").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    let mut promotion = shop.promotion("1.0.0", "dev");
    let now = Timestamp::now();
    let closed = now
        .to_zoned(jiff::tz::TimeZone::UTC)
        .weekday()
        .wrapping_add(3);
    let day = format!("{closed:?}").chars().take(3).collect::<String>();
    promotion["metadata"]["annotations"] =
        serde_json::json!({"lockmaster.dev/window": format!("{day} 10:00-12:00 UTC")});
    let created = shop.create_as(&bed.people.bob, &promotion).await?;
    created.required("create a Promotion as bob")?;
    let name = lockmaster_tests::shop::promotion_name("1.0.0", "dev");
    shop.wait_for(&name, State::AwaitingWindow).await?;
    silent(&shop).await
}

async fn silent(shop: &Shop<'_>) -> anyhow::Result<()> {
    // The Event of the report before is written beside it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut waiting = None;
    for _ in 0..SILENCES {
        let (cost, ()) = cost(shop, async {
            tokio::time::sleep(WAITING).await;
            Ok(())
        })
        .await?;
        if cost.is_nothing() {
            return Ok(());
        }
        // The looks right before a change are at the whole cluster: they may be another's.
        let may_be_another = cost.requests.is_empty() && cost.events == 0;
        waiting = Some(cost);
        if !may_be_another {
            break;
        }
    }
    bail!("waiting is not free: {waiting:?}")
}

/// How long from creation to the apply, with all gates satisfied and evidence warm, by the clock of
/// the API server's audit log: reported, not asserted, because machines differ.
async fn latency(bed: &Bed) -> anyhow::Result<()> {
    const ROUNDS: usize = 7;
    let shop = Shop::open(bed, "latency", &Rules::default()).await?;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let version = format!("1.{round}.0");
        let image = shop.proven_image(&version, &version).await?;
        shop.apply(&[shop.release(&version, &image)]).await?;
        for stage in ["dev", "staging"] {
            let promotion = shop.promote(&version, stage).await?;
            finished(&shop, &promotion, stage).await?;
        }
        let promotion = shop.promote(&version, "prod").await?;
        finished(&shop, &promotion, "prod").await?;
        took.push(from_creation_to_apply(&shop, &promotion)?);
    }
    took.sort();
    let median = took.get(ROUNDS / 2).context("expected a median")?;
    progress::line(&format!(
        "creation to apply, debug build, {ROUNDS} rounds: median {} ms, longest {} ms",
        median.as_millis(),
        took.last()
            .map(SignedDuration::as_millis)
            .unwrap_or_default()
    ));
    Ok(())
}

/// From the reply to the creation of a Promotion into prod until the reply to its apply.
fn from_creation_to_apply(shop: &Shop<'_>, promotion: &str) -> anyhow::Result<SignedDuration> {
    let target = shop.target_namespace("prod");
    let mut instants = shop.bed.cluster.audit_log()?.matching(|event| {
        let created = event.verb == "create"
            && event.resource == "promotions"
            && event.namespace == shop.name
            && event.name == promotion;
        let applied = event.uri.contains("force=true")
            && event.resource == "deployments"
            && event.namespace == target
            && event.user_agent.contains("(writer)");
        created || applied
    })?;
    let applied = instants.pop().context("expected an apply")?;
    let created = instants.pop().context("expected a creation")?;
    ensure!(
        created.verb == "create" && applied.verb == "patch",
        "expected a creation and an apply, saw {created:?} and {applied:?}"
    );
    let (created, applied): (Timestamp, Timestamp) =
        (created.reached.parse()?, applied.reached.parse()?);
    Ok(applied.duration_since(created))
}
