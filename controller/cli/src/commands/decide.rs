//! `approve` and `reject`: one guarded annotation per decision.

use std::fmt::Write as _;
use std::time::Duration;

use kube::ResourceExt as _;
use lockmaster_api::Promotion;
use lockmaster_core::approval::{self, APPROVAL_PREFIX, Approval, Vote};
use lockmaster_core::plan::{Plan, PublishedPlan};
use lockmaster_core::status::PromotionStatus;
use serde_json::{Map, Value, json};

use super::confirmed;
use crate::args::Decide;
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure};
use crate::output::{self, Style};
use crate::slot::{self, Choice};
use crate::{identity, plan};

/// Field manager of decisions. Never `kubectl…`: Flux strips what such managers wrote.
const FIELD_MANAGER: &str = "promotion-approver";

/// How long the latch is awaited: it takes less than 2 s when the operator runs.
const LATCH: Duration = Duration::from_secs(5);

/// How often it is looked for.
const PAUSE: Duration = Duration::from_millis(250);

/// Runs it.
pub(super) async fn run(arguments: Decide, vote: Vote) -> anyhow::Result<Exit> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    cluster.refuse_impersonation()?;
    let me = identity::whoami(&cluster).await?;
    output::note(&format!("You are {me} (says the API server)."));
    let mut worst = Exit::Done;
    for name in &arguments.promotions {
        let exit = match decide(&cluster, &arguments, vote, &me, name).await {
            Ok(exit) => exit,
            // The others are asked for all the same: they are decisions of their own.
            Err(error) if arguments.promotions.len() > 1 => {
                let Failure { exit, message } = crate::failure::of(&error);
                output::note(&format!("error: {name}: {message}"));
                exit
            }
            Err(error) => return Err(error),
        };
        worst = worst.max(exit);
    }
    Ok(worst)
}

async fn decide(
    cluster: &Cluster,
    arguments: &Decide,
    vote: Vote,
    me: &str,
    name: &str,
) -> anyhow::Result<Exit> {
    let promotion: Promotion = cluster.get(name).await?;
    let status = promotion.status.clone().unwrap_or_default();
    let published = published(name, &status)?;
    let plan = plan::read(published, &promotion.uid().unwrap_or_default())?;
    let style = Style::of(&arguments.display);
    output::note(&shown(&promotion, &status, published, &plan, style));
    let Choice { slot, stale } = slot::choose(
        &arguments.role,
        me,
        published,
        promotion.annotations(),
        &status.approvals,
    )
    .map_err(|text| Failure::new(Exit::NotPermitted, text))?;
    let value = value(arguments, vote, me, published, &slot)?;
    let (verb, role) = (verb(vote), &arguments.role);
    if !arguments.yes && !confirmed(&format!("{verb} as {role}?")).await? {
        return Err(Failure::usage("nothing was written").into());
    }
    let patch = patch(&slot, &value, &stale);
    let _: Promotion = cluster.merge(name, &patch, FIELD_MANAGER).await?;
    let written = Written {
        slot: &slot,
        vote,
        me,
        plan: published,
    };
    latched(cluster, name, &written, style).await
}

/// The plan that can be decided about now.
fn published<'a>(name: &str, status: &'a PromotionStatus) -> Result<&'a PublishedPlan, Failure> {
    let word = status.state.meaning().word;
    if status.state.meaning().finished {
        let text = format!("{name} is over ({word}): there is nothing to decide");
        return Err(Failure::usage(text));
    }
    let why = if status.summary.is_empty() {
        word
    } else {
        &status.summary
    };
    status.plan.as_ref().ok_or_else(|| {
        let text = if status.overtaken_plan.is_some() {
            format!(
                "the plan of {name} changed, and the new one is published once the guards are proven \
                 and every gate but window and approval is open: {why}"
            )
        } else {
            format!("{name} has no plan to decide about yet: {why}")
        };
        Failure::new(Exit::Waiting, text)
    })
}

fn verb(vote: Vote) -> &'static str {
    match vote {
        Vote::Approve => "Approve",
        Vote::Reject => "Reject",
    }
}

/// What is being decided: from the plan's own bytes, and how the gates stand.
fn shown(
    promotion: &Promotion,
    status: &PromotionStatus,
    published: &PublishedPlan,
    plan: &Plan,
    style: Style,
) -> String {
    let requester = match plan.requested_by.name.as_str() {
        "" => "somebody unknown",
        name => name,
    };
    let mut text = format!(
        "Promotion {}/{} ({}), requested by {requester}\n\
         Environment {}, effective tier {}\n\
         Plan {}, content computed again and equal\n{}",
        promotion.namespace().unwrap_or_default(),
        promotion.name_any(),
        plan.action,
        promotion.spec.environment,
        plan.environment.effective_tier,
        published.hash,
        plan::change(plan)
    );
    for gate in &status.gates {
        let mark = style.verdict(gate.verdict);
        // Writing to a String cannot fail.
        let _ = write!(text, "  {mark} {:<10}  {}", gate.name, gate.reason);
        if let Some(instant) = gate.next_change {
            let _ = write!(text, ", may change at {instant}");
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// The annotation's value, read back before it is sent: what the guard would refuse as malformed is
/// refused here with the flag to mend.
fn value(
    arguments: &Decide,
    vote: Vote,
    me: &str,
    published: &PublishedPlan,
    slot: &str,
) -> Result<String, Failure> {
    let Decide {
        reference, reason, ..
    } = arguments;
    let value = approval::render(vote, me, &published.hash, reference, reason);
    let key = format!("{APPROVAL_PREFIX}{slot}");
    let same = approval::parse(&key, &value).is_some_and(|written| {
        written.by == me && written.reference == *reference && written.reason == *reason
    });
    if same {
        return Ok(value);
    }
    Err(Failure::usage(
        "the decision cannot be written down: --reason must say something, --ref has no \";\", \
         neither has line breaks or other control characters, and all of it is at most 1024 \
         characters",
    ))
}

fn patch(slot: &str, value: &str, stale: &[String]) -> Value {
    let mut annotations = Map::new();
    for slot in stale {
        annotations.insert(format!("{APPROVAL_PREFIX}{slot}"), Value::Null);
    }
    annotations.insert(format!("{APPROVAL_PREFIX}{slot}"), json!(value));
    json!({"metadata": {"annotations": annotations}})
}

/// A decision that was written.
struct Written<'a> {
    slot: &'a str,
    vote: Vote,
    me: &'a str,
    plan: &'a PublishedPlan,
}

impl Written<'_> {
    fn is(&self, latched: &Approval) -> bool {
        latched.slot == self.slot
            && latched.by == self.me
            && latched.decision == self.vote
            && latched.content == self.plan.content
    }
}

/// Waits until the operator has copied the decision: from then on nobody can take it away.
async fn latched(
    cluster: &Cluster,
    name: &str,
    written: &Written<'_>,
    style: Style,
) -> anyhow::Result<Exit> {
    let noun = match written.vote {
        Vote::Approve => "approval",
        Vote::Reject => "rejection",
    };
    let (slot, namespace) = (written.slot, cluster.namespace());
    let deadline = tokio::time::Instant::now() + LATCH;
    while tokio::time::Instant::now() < deadline {
        let promotion: Promotion = cluster.get(name).await?;
        let status = promotion.status.unwrap_or_default();
        if let Some(latched) = status.approvals.iter().rev().find(|a| written.is(a)) {
            let mark = style.verdict(lockmaster_core::gate::Verdict::Pass);
            style.print(&format!(
                "{mark} {noun} of {namespace}/{name} in slot {slot}, latched at {}\n",
                latched.at
            ))?;
            return Ok(Exit::Done);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mark = style.verdict(lockmaster_core::gate::Verdict::Hold);
    style.print(&format!(
        "{mark} {noun} of {namespace}/{name} written in slot {slot}, not latched after {} s\n",
        LATCH.as_secs()
    ))?;
    output::note(&format!(
        "it counts once the operator has latched it; why that takes so long: kubectl promote \
         explain {name} -n {namespace}"
    ));
    Ok(Exit::Waiting)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use lockmaster_core::status::State;

    use super::*;
    use crate::args::{Arguments, Command};
    use crate::plan::tests::published;

    fn arguments(words: &[&str]) -> Decide {
        let words = [
            "kubectl-promote",
            "approve",
            "p",
            "--role",
            "release-manager",
        ]
        .iter()
        .chain(words);
        let command = Arguments::try_parse_from(words).unwrap().command;
        let Command::Approve(decide) = command else {
            panic!("{command:?}")
        };
        decide
    }

    #[test]
    fn the_value_is_in_the_documented_grammar() {
        let plan = published();
        let given = arguments(&["--ref", "CHG-1042", "--reason", "go; by=eve"]);
        let text = value(
            &given,
            Vote::Approve,
            "alice@corp",
            &plan,
            "release-manager",
        )
        .unwrap();
        assert_eq!(
            text,
            format!(
                "approve;by=alice@corp;plan={};ref=CHG-1042;reason=go; by=eve",
                plan.hash
            )
        );
    }

    #[test]
    fn what_the_guard_would_refuse_is_not_sent() {
        let plan = published();
        let long = "x".repeat(1000);
        for words in [
            vec!["--reason", ""],
            vec!["--reason", "a\nb"],
            vec!["--reason", &long],
            vec!["--reason", "go", "--ref", "CHG-1;CHG-2"],
        ] {
            let given = arguments(&words);
            let failure = value(&given, Vote::Reject, "alice", &plan, "qa").unwrap_err();
            assert!(failure.message.contains("--reason"), "{failure}");
        }
        let given = arguments(&["--reason", "go"]);
        assert!(value(&given, Vote::Approve, "a;b", &plan, "qa").is_err());
    }

    #[test]
    fn one_write_decides_and_makes_room() {
        let patch = patch("release-manager.2", "approve;…", &["security".to_owned()]);
        assert_eq!(
            patch,
            json!({"metadata": {"annotations": {
                "approval.lockmaster.dev/release-manager.2": "approve;…",
                "approval.lockmaster.dev/security": null,
            }}})
        );
    }

    #[test]
    fn without_a_plan_there_is_nothing_to_decide() {
        let mut status = PromotionStatus {
            state: State::Blocked,
            summary: "nothing is attached".into(),
            ..PromotionStatus::default()
        };
        let failure = super::published("p", &status).unwrap_err();
        assert_eq!(failure.exit, Exit::Waiting);
        assert!(failure.message.contains("nothing is attached"), "{failure}");
        status.overtaken_plan = Some(published());
        let failure = super::published("p", &status).unwrap_err();
        assert_eq!(failure.exit, Exit::Waiting);
        let said = "the plan of p changed, and the new one is published once";
        assert!(failure.message.contains(said), "{failure}");
        status.state = State::Succeeded;
        status.plan = Some(published());
        let failure = super::published("p", &status).unwrap_err();
        assert!(failure.message.contains("is over (Succeeded)"), "{failure}");
    }
}
