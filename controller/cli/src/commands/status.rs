//! `status`: what runs where, and what is on its way.

mod concerns;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kube::ResourceExt;
use lockmaster_api::{Environment, Promotion};
use lockmaster_core::environment::{Running, Tier};
use lockmaster_core::gate::{GateReport, Verdict};
use lockmaster_core::report::Report;
use lockmaster_core::standing::Concern;
use lockmaster_core::status::State;
use serde::Serialize;

use super::wait;
use crate::args::Status;
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure};
use crate::output::{self, API_VERSION, Style};
use crate::read::{Listed, Unreadable};
use crate::stage;

/// Runs it.
pub(super) async fn run(arguments: Status) -> anyhow::Result<Exit> {
    let Status {
        product,
        output,
        display,
        connection,
    } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let (environments, promotions) =
        tokio::try_join!(cluster.list::<Environment>(), cluster.list::<Promotion>())?;
    let product = product.as_deref();
    let view = View::of(cluster.namespace(), product, &environments, &promotions);
    if let Some(product) = product.filter(|_| view.is_empty()) {
        return Err(unknown(product, cluster.namespace(), &environments.readable).into());
    }
    match output {
        Some(format) => output::value(format, &view)?,
        None if view.is_empty() => {
            let namespace = cluster.namespace();
            output::note(&format!(
                "namespace {namespace} has no Environments; to begin: kubectl promote init --help"
            ));
        }
        None => {
            let style = Style::of(&display);
            style.print(&view.render(style))?;
        }
    }
    Ok(Exit::Done)
}

fn unknown(product: &str, namespace: &str, environments: &[Environment]) -> Failure {
    let known: BTreeSet<_> = environments
        .iter()
        .map(|e| e.spec.product.as_str())
        .collect();
    let known: Vec<_> = known.into_iter().collect();
    let known = match known.as_slice() {
        [] => "it has none at all".to_owned(),
        names => format!("it has those of {}", names.join(", ")),
    };
    Failure::usage(format!(
        "namespace {namespace} has no Environment of product {product}; {known}"
    ))
}

/// Everything that is shown, as JSON and YAML have it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    api_version: &'static str,
    kind: &'static str,
    namespace: String,
    environments: Vec<Place>,
    /// Promotions into Environments that do not exist, or cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unplaced: Vec<Moving>,
    /// Environments and Promotions that cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<Unreadable>,
}

/// An Environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    name: String,
    product: String,
    stage: String,
    tier: Tier,
    after: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<Running>,
    /// What verifying again holds against what runs and what would be gone back to, as the
    /// Environment's status has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    concerns: Vec<Concern>,
    /// Promotions that are not over; the one that holds the Environment first.
    promotions: Vec<Moving>,
}

/// A Promotion that is not over.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Moving {
    name: String,
    /// Whether it holds the Environment.
    active: bool,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact: Option<String>,
    summary: String,
    /// Gates that are closed.
    closed: Vec<GateReport>,
    exit_code: u8,
}

impl View {
    fn of(
        namespace: &str,
        product: Option<&str>,
        environments: &Listed<Environment>,
        promotions: &Listed<Promotion>,
    ) -> Self {
        let unreadable = environments.unreadable.iter();
        let unreadable = unreadable.chain(&promotions.unreadable);
        let unreadable: Vec<_> = unreadable
            .filter(|object| product.is_none_or(|name| object.may_be_of(name)))
            .cloned()
            .collect();
        let (environments, promotions) = (&environments.readable, &promotions.readable);
        let shown: Vec<_> = environments
            .iter()
            .filter(|environment| product.is_none_or(|name| name == environment.spec.product))
            .collect();
        let names: BTreeSet<_> = environments.iter().map(ResourceExt::name_any).collect();
        let unplaced = promotions
            .iter()
            .filter(|promotion| product.is_none() && !names.contains(&promotion.spec.environment))
            .filter_map(|promotion| Moving::of(promotion, None))
            .collect();
        Self {
            api_version: API_VERSION,
            kind: "Status",
            namespace: namespace.to_owned(),
            environments: in_order(shown)
                .into_iter()
                .map(|environment| Place::of(environment, promotions))
                .collect(),
            unplaced,
            unreadable,
        }
    }

    fn is_empty(&self) -> bool {
        self.environments.is_empty() && self.unplaced.is_empty() && self.unreadable.is_empty()
    }

    fn render(&self, style: Style) -> String {
        let mut rows = vec![
            [
                "PRODUCT",
                "STAGE",
                "ENVIRONMENT",
                "TIER",
                "RUNNING",
                "SINCE",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        rows.extend(self.environments.iter().map(Place::row));
        let mut lines = output::table(&rows).into_iter();
        let mut text = format!("{}\n", lines.next().unwrap_or_default());
        for (place, line) in self.environments.iter().zip(lines) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
            concerns::push(&mut text, (&self.namespace, place), style);
            push_promotions(&mut text, &place.promotions, style);
        }
        if !self.unplaced.is_empty() {
            text.push_str("\nInto Environments that do not exist, or cannot be read:\n");
            push_promotions(&mut text, &self.unplaced, style);
        }
        if !self.unreadable.is_empty() {
            text.push('\n');
        }
        for object in &self.unreadable {
            let _ = writeln!(
                text,
                "{} {}",
                style.verdict(Verdict::Unknown),
                object.line()
            );
        }
        text
    }
}

impl Place {
    fn of(environment: &Environment, promotions: &[Promotion]) -> Self {
        let name = environment.name_any();
        let status = environment.status.clone().unwrap_or_default();
        let active = status.active.map(|claim| claim.account.promotion.uid);
        let mut moving: Vec<_> = promotions
            .iter()
            .filter(|promotion| promotion.spec.environment == name)
            .filter_map(|promotion| Moving::of(promotion, active.as_deref()))
            .collect();
        moving.sort_by(|a, b| (!a.active, &a.name).cmp(&(!b.active, &b.name)));
        let after = environment.spec.after.iter();
        Self {
            product: environment.spec.product.clone(),
            stage: stage::stage_of(environment),
            tier: status.effective_tier.unwrap_or(environment.spec.tier),
            after: after.map(|after| after.environment.clone()).collect(),
            running: status.current,
            concerns: status.concerns,
            promotions: moving,
            name,
        }
    }

    fn row(&self) -> Vec<String> {
        let (running, since) = match &self.running {
            None => ("-".to_owned(), String::new()),
            Some(running) => (artifact(running), running.since.to_string()),
        };
        vec![
            self.product.clone(),
            self.stage.clone(),
            self.name.clone(),
            self.tier.to_string(),
            running,
            since,
        ]
    }
}

impl Moving {
    /// `None` for one that is over.
    fn of(promotion: &Promotion, active: Option<&str>) -> Option<Self> {
        let report = wait::report(promotion);
        if report.state.meaning().finished || report.record.is_some() {
            return None;
        }
        let exit_code = report.exit_code();
        let Report {
            state,
            artifact,
            summary,
            gates,
            name,
            ..
        } = report;
        Some(Self {
            name,
            active: active.is_some() && active == promotion.uid().as_deref(),
            state,
            artifact,
            summary,
            closed: gates
                .into_iter()
                .filter(|gate| !gate.verdict.is_open())
                .collect(),
            exit_code,
        })
    }
}

fn push_promotions(text: &mut String, promotions: &[Moving], style: Style) {
    let [one, last, past_one, past_last] = style.branches();
    for (position, moving) in promotions.iter().enumerate() {
        let is_last = position + 1 == promotions.len();
        let (branch, trunk) = if is_last {
            (last, past_last)
        } else {
            (one, past_one)
        };
        let mark = style.state(moving.state);
        let word = moving.state.meaning().word;
        let artifact = moving.artifact.as_deref().unwrap_or("-");
        let _ = writeln!(text, "{branch}{mark} {}  {artifact}  {word}", moving.name);
        for (gate_position, gate) in moving.closed.iter().enumerate() {
            let branch = if gate_position + 1 == moving.closed.len() {
                last
            } else {
                one
            };
            let mark = style.verdict(gate.verdict);
            let _ = write!(text, "{trunk}{branch}{mark} {}  {}", gate.name, gate.reason);
            if let Some(instant) = gate.next_change {
                let _ = write!(text, ", may change at {instant}");
            }
            text.push('\n');
        }
        if moving.closed.is_empty() && !moving.summary.is_empty() {
            let _ = writeln!(text, "{trunk}{}", moving.summary);
        }
    }
}

/// Version and short digest of what runs.
fn artifact(running: &Running) -> String {
    match running.components.as_slice() {
        [only] => format!("{}@{}", running.version, only.digest.short()),
        set => format!("{} ({})", running.version, set.len()),
    }
}

/// By product, then in the order of promotion: what comes before stands above, otherwise by tier
/// and name.
fn in_order(mut environments: Vec<&Environment>) -> Vec<&Environment> {
    environments.sort_by_key(|e| (e.spec.product.clone(), e.spec.tier, e.name_any()));
    let mut sorted: Vec<&Environment> = Vec::new();
    while !environments.is_empty() {
        let waits = |environment: &Environment| {
            let after = &environment.spec.after;
            let product = &environment.spec.product;
            after.iter().any(|after| {
                environments.iter().any(|other| {
                    other.name_any() == after.environment && other.spec.product == *product
                })
            })
        };
        let product = environments.first().map(|e| e.spec.product.clone());
        let ready = environments.iter().position(|environment| {
            Some(&environment.spec.product) == product.as_ref() && !waits(environment)
        });
        // A circle has no first one; any will do to show it.
        sorted.push(environments.remove(ready.unwrap_or(0)));
    }
    sorted
}

#[cfg(test)]
mod tests;
