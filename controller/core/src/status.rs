//! What a Promotion's and an Environment's status say. Computed here and nowhere else, and never
//! read back by a decision: only `requestedBy`, `plan`, `approvals`, `gates`, `rollout.intent`,
//! `record` and the Environment's `active` and `concerns` are memory.

mod ending;
mod state;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::approval::Approval;
use crate::canonical::is_default;
use crate::decision::{Decision, Progress};
use crate::environment::{Running, Tier};
use crate::gate::{Gate, GateReport, Verdict};
use crate::gates;
use crate::plan::PublishedPlan;
use crate::promotion::{Claim, Intent, RecordReference, Requester};
use crate::reason::Reason;
use crate::standing::{Artifact, Concern};
use crate::time::whole_seconds;

pub use self::ending::{Concluded, concluded};
pub use self::state::{Meaning, State};

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// A condition in the shape that Kubernetes tools read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, for a person.
    pub message: String,
    /// When its status changed last.
    #[schemars(with = "crate::time::Schema")]
    pub last_transition_time: Timestamp,
    /// The generation it was said of.
    pub observed_generation: i64,
}

/// What a Promotion's roll-out remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The open intent: what is being changed, exactly. Gone once it is concluded; the record
    /// keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
}

/// Status of a Promotion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// The generation that all of this is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// Where it stands, in one word.
    #[serde(default)]
    pub state: State,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The gate that is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// What is promoted: version and short digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// Who asked, as recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// What an approver agrees to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PublishedPlan>,
    /// The plan that was published last, where what would be promoted differs by now and the new plan
    /// is not published yet, because a gate other than window and approval is not open or the guards
    /// are not proven. Nobody can decide about it; what changed since is told with the new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtaken_plan: Option<PublishedPlan>,
    /// Every gate's answer, in the order of the gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub gates: Vec<GateReport>,
    /// Decisions of people, latched; append-only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub approvals: Vec<Approval>,
    /// The roll-out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// Where the account of it is kept, once it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordReference>,
    /// `Ready` and its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Status of an Environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// The generation that all of this is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// The highest of its own tier and its namespaces' tier labels: what policies match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_tier: Option<Tier>,
    /// The promotion that holds the Environment, with all that it is about to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Claim>,
    /// What runs, as the records say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Running>,
    /// What else ran here with success, newest first choice for going back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_known_good: Option<Running>,
    /// What verifying these again found against them, and what it found against others that ran before
    /// them. Memory: what cannot be judged right now stands as it did, also after a restart, and the
    /// Environments that come after read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 34))]
    pub concerns: Vec<Concern>,
    /// `Ready`, and how what runs (`ArtifactVerified`) and what would be gone back to
    /// (`RollbackReady`) stand today.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A condition as it is said in one pass, before it is known when it changed.
struct Said {
    kind: &'static str,
    status: ConditionStatus,
    reason: Reason,
    message: String,
}

fn said(kind: &'static str, status: ConditionStatus, reason: Reason, message: &str) -> Said {
    Said {
        kind,
        status,
        reason,
        message: message.to_owned(),
    }
}

/// The conditions of this pass; a status that did not change keeps the time of its last change.
fn conditions(
    previous: &[Condition],
    said: Vec<Said>,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    said.into_iter()
        .map(
            |Said {
                 kind,
                 status,
                 reason,
                 message,
             }| {
                let unchanged = previous
                    .iter()
                    .find(|old| old.kind == kind && old.status == status);
                Condition {
                    kind: kind.to_owned(),
                    status,
                    reason,
                    message,
                    last_transition_time: unchanged
                        .map_or_else(|| whole_seconds(now), |old| old.last_transition_time),
                    observed_generation: generation,
                }
            },
        )
        .collect()
}

/// The condition that stands for some gates: the worst of them; of equals the one named first.
fn of_gates(kind: &'static str, names: &[&str], gates: &[GateReport]) -> Option<Said> {
    let worst = names
        .iter()
        .filter_map(|name| gates.iter().find(|gate| gate.name == *name))
        .reduce(|worst, gate| {
            if gate.verdict.severity() > worst.verdict.severity() {
                gate
            } else {
                worst
            }
        })?;
    let status = match worst.verdict {
        Verdict::Pass | Verdict::NotRequired => ConditionStatus::True,
        Verdict::Hold | Verdict::Deny => ConditionStatus::False,
        Verdict::Unknown => ConditionStatus::Unknown,
    };
    Some(said(kind, status, worst.reason, &worst.message))
}

fn promotion_conditions(status: &PromotionStatus, reason: Reason) -> Vec<Said> {
    let meaning = status.state.meaning();
    let text = &status.summary;
    let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
    let ready = if status.state == State::Succeeded {
        yes
    } else {
        no
    };
    let mut list = vec![said("Ready", ready, reason, text)];
    let gates = &status.gates;
    let verified: Vec<_> = gates::verifying().map(Gate::name).collect();
    list.extend(of_gates("ArtifactVerified", &verified, gates));
    list.extend(of_gates("UpstreamVerified", &["upstream"], gates));
    list.extend(of_gates("WindowOpen", &["window"], gates));
    list.extend(of_gates("Approved", &["approval"], gates));
    let recorded = if status.record.is_some() { yes } else { no };
    list.push(said(
        "Recorded",
        recorded,
        reason,
        status.record.as_ref().map_or("", |r| &r.name),
    ));
    if meaning.reconciling {
        list.push(said("Reconciling", yes, reason, text));
    }
    let denied = gates.iter().any(|gate| gate.verdict == Verdict::Deny) && !meaning.finished;
    if meaning.stalled || (status.state == State::Blocked && denied) {
        list.push(said("Stalled", yes, reason, text));
    }
    list
}

fn with_conditions(mut status: PromotionStatus, reason: Reason, now: Timestamp) -> PromotionStatus {
    let said = promotion_conditions(&status, reason);
    status.conditions = conditions(&status.conditions, said, status.observed_generation, now);
    status
}

/// The status of a promotion that stands as `progress` says. `latched` are decisions that the
/// writer has just checked against the guards; they are added at the end.
#[must_use]
pub fn reported(
    previous: &PromotionStatus,
    progress: &Progress,
    latched: &[Approval],
    now: Timestamp,
) -> PromotionStatus {
    let mut approvals = previous.approvals.clone();
    approvals.extend(latched.iter().cloned());
    let status = PromotionStatus {
        observed_generation: progress.generation,
        state: progress.state,
        summary: progress.summary.clone(),
        blocked_by: progress.blocked_by.clone(),
        artifact: progress
            .artifact
            .clone()
            .or_else(|| previous.artifact.clone()),
        requested_by: Some(progress.requested_by.clone()),
        plan: progress.plan.clone(),
        overtaken_plan: progress.overtaken_plan.clone(),
        gates: progress.gates.clone(),
        approvals,
        rollout: previous.rollout.clone(),
        record: previous.record.clone(),
        conditions: previous.conditions.clone(),
    };
    with_conditions(status, progress.reason, now)
}

/// The same, with the intent that is about to be carried out.
#[must_use]
pub fn intended(
    previous: &PromotionStatus,
    progress: &Progress,
    intent: Intent,
    now: Timestamp,
) -> PromotionStatus {
    let mut status = reported(previous, progress, &[], now);
    status.rollout.intent = Some(intent);
    status
}

/// The status of a Promotion that cannot be judged at all, because its Environment is absent or
/// unreadable.
#[must_use]
pub fn unplaced(
    previous: &PromotionStatus,
    generation: i64,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> PromotionStatus {
    let status = PromotionStatus {
        observed_generation: generation,
        state: State::Pending,
        summary: message,
        blocked_by: Some("environment".to_owned()),
        gates: Vec::new(),
        ..previous.clone()
    };
    with_conditions(status, reason, now)
}

/// The status of an Environment, with the claim that holds it.
#[must_use]
pub fn environment_status(
    previous: &EnvironmentStatus,
    generation: i64,
    decision: &Decision,
    active: Option<Claim>,
    now: Timestamp,
) -> EnvironmentStatus {
    let text = format!("effective tier {}", decision.effective_tier);
    let mut list = vec![said(
        "Ready",
        ConditionStatus::True,
        Reason::Accepted,
        &text,
    )];
    let Decision {
        current,
        last_known_good,
        concerns,
        ..
    } = decision;
    for (kind, artifact, running) in [
        ("ArtifactVerified", Artifact::Running, current),
        ("RollbackReady", Artifact::KnownGood, last_known_good),
    ] {
        let held = concerns.iter().find(|held| held.artifact == artifact);
        list.extend(standing(kind, held, running.as_ref()));
    }
    EnvironmentStatus {
        observed_generation: generation,
        effective_tier: Some(decision.effective_tier),
        active,
        current: current.clone(),
        last_known_good: last_known_good.clone(),
        concerns: concerns.clone(),
        conditions: conditions(&previous.conditions, list, generation, now),
    }
}

/// How artifacts that ran with success stand, where there are any.
fn standing(kind: &'static str, held: Option<&Concern>, running: Option<&Running>) -> Option<Said> {
    if let Some(Concern {
        reason, message, ..
    }) = held
    {
        return Some(said(kind, ConditionStatus::False, *reason, message));
    }
    let text = format!("nothing is held against what {} proves", running?.record);
    Some(said(kind, ConditionStatus::True, Reason::NotRevoked, &text))
}

/// `Ready` of an object that is only read: a policy or a window.
#[must_use]
pub fn acceptance(
    previous: &[Condition],
    generation: i64,
    problem: Option<&str>,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = match problem {
        None => said(
            "Ready",
            ConditionStatus::True,
            Reason::Accepted,
            "read and in force",
        ),
        Some(problem) => said("Ready", ConditionStatus::False, Reason::Invalid, problem),
    };
    conditions(previous, vec![ready], generation, now)
}
