//! Production may change in its window only: a request outside waits, costs nothing, and goes on
//! by itself at the right second.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use lockmaster_core::promotion::WINDOW_ANNOTATION;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{PromotionStatus, State};
use serde_json::{Value, json};

use super::checks::{self, build, gate, generation, held, promote_through, untouched};
use super::{Scenario, Show};
use crate::audit::AuditEvent;
use crate::bed::Bed;
use crate::shop::{Rules, Shop};

const NAME: &str = "outside-window";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "a request outside the change window waits without a sound and goes on when it opens",
    in_demo: true,
    exclusive: false,
    play: |bed, show| Box::pin(play(bed, show)),
};

/// Half an hour off the full hour, and no summer time: no civil time here ever happens twice.
const ZONE: &str = "Asia/Kolkata";
/// From the request until the window opens: long enough to see that nothing happens meanwhile.
const AHEAD: SignedDuration = SignedDuration::from_secs(8);
/// How long the window is open.
const OPEN_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How long the request must have been waited for in silence, at least.
const SILENCE: SignedDuration = SignedDuration::from_secs(2);

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let window = format!("{NAME}-window");
    let rules = Rules {
        windows: vec![window.clone()],
        ..Rules::default()
    };
    let shop = Shop::open(bed, NAME, &rules).await?;
    show.step("checkout 1.0.0 has been in dev and staging");
    build(&shop, "1.0.0", true).await?;
    promote_through(&shop, "1.0.0", &["dev", "staging"]).await?;
    opens(&shop, show, &window).await?;
    narrowed(&shop, show).await
}

/// Production waits for its window.
async fn opens(shop: &Shop<'_>, show: &Show, window: &str) -> anyhow::Result<()> {
    let opening = whole_second(Timestamp::now() + AHEAD)?;
    shop.apply(&[change_window(window, opening)?]).await?;
    show.step(&format!(
        "prod may change from {} on; bob asks now, too early",
        clock(opening)?
    ));
    let before = generation(shop, "prod").await?;
    let name = shop.promote("1.0.0", "prod").await?;
    let waiting = ("window", Reason::OutsideWindow);
    let status = held(shop, &name, State::AwaitingWindow, waiting).await?;
    let change = gate(&status, "window")?.next_change;
    ensure!(
        change == Some(opening),
        "expected the window gate to name {opening} as its next change, saw {change:?}"
    );
    let bob = &shop.bed.people.bob;
    show.command(shop, bob, &["get", "promotions"]).await?;
    show.command(shop, bob, &["promote", "explain", &name])
        .await?;
    silent_until(shop, opening).await?;
    untouched(shop, "prod", before).await?;
    let status = shop.wait_for(&name, State::Succeeded).await?;
    let took = opening.duration_until(Timestamp::now());
    let begun = begun_in_window(shop, &status, window, opening).await?;
    show.step(&format!(
        "it began at {} by itself and was done {} s after the opening; not one request to the \
         API server before",
        clock(begun)?,
        took.as_secs()
    ));
    show.command(shop, bob, &["get", "promotions"]).await
}

/// Waits until just before the opening. From the moment the request is known to wait until then,
/// the operator must not have asked the API server for anything about this shop.
async fn silent_until(shop: &Shop<'_>, opening: Timestamp) -> anyhow::Result<()> {
    // Its report is known before its Event is written.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let from = Timestamp::now();
    let until = opening - SignedDuration::from_millis(300);
    let silence = from.duration_until(until);
    ensure!(
        silence >= SILENCE,
        "expected to see {SILENCE:#} of waiting, but the window opens in {silence:#}: the machine \
         is too slow for this scenario"
    );
    tokio::time::sleep(silence.unsigned_abs()).await;
    let asked = shop.bed.cluster.audit_log()?.matching(|event| {
        let within = |at: &Timestamp| (from..until).contains(at);
        is_operators(event, &shop.name) && event.received.parse().is_ok_and(|at| within(&at))
    })?;
    let asked: Vec<_> = asked
        .iter()
        .map(|event| format!("{} {}", event.verb, event.uri))
        .collect();
    ensure!(
        asked.is_empty(),
        "expected the operator to ask the API server for nothing while it waits, saw {asked:?}"
    );
    Ok(())
}

/// A request of the operator about this shop. Watches stand for minutes and are renewed by the
/// clock, whatever anybody waits for.
fn is_operators(event: &AuditEvent, shop: &str) -> bool {
    let ours = event.user_agent.starts_with("lockmaster/") && event.verb != "watch";
    ours && (event.namespace == shop || event.namespace.starts_with(&format!("{shop}-")))
}

/// The record must name the window and an intent inside it; answers with that instant.
async fn begun_in_window(
    shop: &Shop<'_>,
    status: &PromotionStatus,
    window: &str,
    opening: Timestamp,
) -> anyhow::Result<Timestamp> {
    let records = checks::chain(shop, "prod", 1).await?;
    let record = records.first().context("expected a record")?;
    let named = status
        .record
        .as_ref()
        .map(|reference| reference.name.as_str());
    ensure!(
        named == record.metadata.name.as_deref(),
        "expected the Promotion to name its record {:?}, saw {named:?}",
        record.metadata.name
    );
    let content = &record.spec.content;
    let begun = content
        .times
        .intent
        .context("expected the record to say when it began")?;
    ensure!(
        begun >= opening,
        "expected it to begin at {opening} or later, saw {begun}"
    );
    let seen = content
        .window
        .as_ref()
        .context("expected the record to name its window")?;
    ensure!(
        seen.names == [window] && seen.start == opening && seen.end == Some(opening + OPEN_FOR),
        "expected the record to name {window}, open until {}, saw {seen:?}",
        opening + OPEN_FOR
    );
    Ok(begun)
}

/// Whoever requests can narrow the windows of one Promotion, and nobody can widen them.
async fn narrowed(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let closed = format!("{} UTC", range(now - hour * 2, now - hour, "UTC")?);
    show.step(&format!(
        "bob narrows his own request for dev to \"{closed}\", which is over"
    ));
    build(shop, "1.1.0", true).await?;
    let before = generation(shop, "dev").await?;
    let mut promotion = shop.promotion("1.1.0", "dev");
    let annotations = json!({WINDOW_ANNOTATION: closed});
    if let Some(metadata) = promotion.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("annotations".to_owned(), annotations);
    }
    let bob = &shop.bed.people.bob;
    shop.create_as(bob, &promotion)
        .await?
        .required("create a Promotion as bob")?;
    let name = crate::shop::promotion_name("1.1.0", "dev");
    held(
        shop,
        &name,
        State::AwaitingWindow,
        ("window", Reason::OutsideWindow),
    )
    .await?;
    show.step("one that nobody can read is no permission either:");
    annotate(shop, show, &name, &format!("{WINDOW_ANNOTATION}=whenever")).await?;
    held(
        shop,
        &name,
        State::Blocked,
        ("window", Reason::WindowAnnotationInvalid),
    )
    .await?;
    show.command(shop, bob, &["get", "promotions"]).await?;
    untouched(shop, "dev", before).await?;
    show.step("without it, the request goes on:");
    annotate(shop, show, &name, &format!("{WINDOW_ANNOTATION}-")).await?;
    shop.wait_for(&name, State::Succeeded).await?;
    Ok(())
}

async fn annotate(
    shop: &Shop<'_>,
    show: &Show,
    promotion: &str,
    change: &str,
) -> anyhow::Result<()> {
    let arguments = [
        "annotate",
        "--overwrite",
        "promotions.lockmaster.dev",
        promotion,
        change,
    ];
    let output = show.run(shop, &shop.bed.people.bob, &arguments).await?;
    output.required("annotate a Promotion as bob")?;
    Ok(())
}

/// A ChangeWindow that opens at this instant, every day, and closes again later.
fn change_window(name: &str, opening: Timestamp) -> anyhow::Result<Value> {
    Ok(json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ChangeWindow",
        "metadata": {"name": name},
        "spec": {"zone": ZONE, "ranges": [{
            "days": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
            "from": local(opening, ZONE, "%H:%M:%S")?,
            "to": local(opening + OPEN_FOR, ZONE, "%H:%M:%S")?,
        }]},
    }))
}

fn range(from: Timestamp, to: Timestamp, zone: &str) -> anyhow::Result<String> {
    Ok(format!(
        "Mon-Sun {}-{}",
        local(from, zone, "%H:%M")?,
        local(to, zone, "%H:%M")?
    ))
}

fn clock(instant: Timestamp) -> anyhow::Result<String> {
    local(instant, "UTC", "%H:%M:%S UTC")
}

fn local(instant: Timestamp, zone: &str, format: &str) -> anyhow::Result<String> {
    let zone = TimeZoneDatabase::bundled()
        .get(zone)
        .context("failed to find a time zone")?;
    Ok(instant.to_zoned(zone).strftime(format).to_string())
}

fn whole_second(instant: Timestamp) -> anyhow::Result<Timestamp> {
    Timestamp::from_second(instant.as_second()).context("failed to round an instant")
}
