//! Promotions that do not hold the Environment: what is in their way, and whose turn it is.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::claimed::{rolling, rolling_progress};
use super::known::{is_pending, start};
use super::plans::{Plans, plans};
use super::{Input, account, recorded};
use crate::case::Case;
use crate::decision::{Cleared, Mutation, Next, Progress};
use crate::facts::Facts;
use crate::gate::{GateReport, Verdict, evaluate};
use crate::gates;
use crate::promotion::{Claim, Intent, Promotion, RecordReference, ReleaseReference};
use crate::reason::Reason;
use crate::record::{Ending, Outcome, Record, Times};
use crate::release::ImageReference;
use crate::status::State;

/// How long a first report waits for what a promotion depends on. Objects of one `kubectl apply`
/// arrive by different watches, and evidence takes a few round trips; a report of that costs a
/// write and tells nobody anything. Explained within five seconds all the same.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_secs(2);

/// What the waiting promotions come to.
pub(super) struct Step {
    pub(super) progress: Vec<Progress>,
    pub(super) mutation: Option<Mutation>,
    pub(super) next: Next,
    /// See [`crate::decision::Decision::relist`].
    pub(super) relist: BTreeSet<ImageReference>,
}

/// Looks at every unfinished promotion but the one with the uid `holder`.
pub(super) fn step(input: &Input<'_>, holder: Option<&str>) -> Step {
    let mut waiting: Vec<&Promotion> = input
        .promotions
        .iter()
        .filter(|promotion| Some(promotion.uid.as_str()) != holder && !promotion.is_finished())
        .collect();
    waiting.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    let held = input.environment.active.is_some();
    let mut step = Step {
        progress: Vec::new(),
        mutation: None,
        next: Next::AwaitChange,
        relist: BTreeSet::new(),
    };
    let mut turn_taken = held || waiting.iter().any(|other| other.memory.intent.is_some());
    for promotion in &waiting {
        let mut case = Case::new(promotion, input);
        let mut progress = look(&case);
        let ended = match &promotion.memory.intent {
            Some(intent) => resumed(&case, &mut progress, intent),
            None => ending(&case, &progress, &waiting),
        };
        let its_turn = ended.is_none() && !turn_taken && progress.is_clear();
        if its_turn {
            let start = start(&mut case);
            // It keeps its turn while what is attached is listed anew.
            turn_taken = !start.relist.is_empty();
            step.relist.extend(start.relist);
            step.next = step.next.earlier(start.wake);
            progress = Progress {
                plan: progress.plan,
                overtaken_plan: progress.overtaken_plan,
                ..start.progress
            };
        }
        let cleared = its_turn && progress.is_clear();
        let mutation = ended.or_else(|| cleared.then(|| claim(&case, &progress)).flatten());
        if matches!(mutation, Some(Mutation::Claim(_))) {
            turn_taken = true;
        } else if progress.state == State::Pending {
            progress.summary = queued(input, &waiting, promotion);
        }
        progress.report &= mutation.is_none();
        step.next = wake(step.next, promotion, &progress, input.now);
        if step.mutation.is_none() {
            step.mutation = mutation;
        }
        step.progress.push(progress);
    }
    step
}

fn wake(next: Next, promotion: &Promotion, progress: &Progress, now: Timestamp) -> Next {
    let grace_ends = promotion
        .first_seen
        .checked_add(GRACE)
        .ok()
        .filter(|ends| *ends > now);
    progress
        .gates
        .iter()
        .filter_map(|gate| gate.next_change)
        .filter(|change| *change > now)
        .fold(next, |next, change| next.earlier(Some(change)))
        .earlier(grace_ends.filter(|_| !progress.report))
}

/// Evaluates every gate of one promotion and names its state.
pub(super) fn look(case: &Case<'_>) -> Progress {
    let promotion = case.promotion;
    let gates: Vec<GateReport> = gates::ALL
        .iter()
        .map(|gate| evaluate(*gate, case))
        .collect();
    let (state, reason, blocking) = state_of(&gates);
    let summary = blocking.map_or_else(String::new, |gate| gate.message.clone());
    let blocked_by = blocking.map(|gate| gate.name.clone());
    let Plans { plan, overtaken } = plans(case, &gates);
    let grace = promotion.first_seen.checked_add(GRACE);
    // Right after a start all facts are still being looked up, also those of what was reported long
    // ago: a report of that would only be taken back.
    let settled = (promotion.memory.reported && !is_pending(case))
        || grace.is_ok_and(|ends| case.now >= ends);
    let needs_people = matches!(state, State::AwaitingApproval | State::AwaitingWindow);
    Progress {
        name: promotion.name.clone(),
        uid: promotion.uid.clone(),
        generation: promotion.generation,
        state,
        reason,
        summary,
        blocked_by,
        artifact: case.artifact(),
        requested_by: promotion.requester(),
        plan,
        overtaken_plan: overtaken,
        latch: gates::latches(case),
        report: settled || needs_people,
        gates,
    }
}

/// State and reason from the gates. What a person must mend comes first; among things that are
/// merely awaited, people before the clock.
fn state_of(gates: &[GateReport]) -> (State, Reason, Option<&GateReport>) {
    let with = |verdict| gates.iter().find(move |gate| gate.verdict == verdict);
    let held = |name| {
        gates
            .iter()
            .find(|gate| gate.verdict == Verdict::Hold && gate.name == name)
    };
    let otherwise_held = gates.iter().find(|gate| {
        gate.verdict == Verdict::Hold && gate.name != "approval" && gate.name != "window"
    });
    if let Some(gate) = with(Verdict::Deny) {
        let no_policy = gate.reason == Reason::NoPolicy;
        let reason = if no_policy {
            Reason::NoPolicy
        } else {
            Reason::GateFailed
        };
        return (State::Blocked, reason, Some(gate));
    }
    if let Some(gate) = with(Verdict::Unknown) {
        let evidence = matches!(
            gate.reason,
            Reason::RegistryUnavailable | Reason::EvidencePending | Reason::EvidenceTruncated
        );
        let reason = if evidence {
            Reason::EvidenceUnavailable
        } else {
            Reason::GateFailed
        };
        return (State::Blocked, reason, Some(gate));
    }
    if let Some(gate) = otherwise_held {
        return (State::Blocked, Reason::GateFailed, Some(gate));
    }
    if let Some(gate) = held("approval") {
        return (
            State::AwaitingApproval,
            Reason::AwaitingApproval,
            Some(gate),
        );
    }
    if let Some(gate) = held("window") {
        return (State::AwaitingWindow, Reason::OutsideWindow, Some(gate));
    }
    (State::Pending, Reason::Queued, None)
}

/// A promotion whose intent is open although nothing holds the Environment: the Environment was read
/// as it was before the claim, or its status was lost. The claim is written again as it was; under
/// the resourceVersion of an old reading that fails, and nobody else gets a turn meanwhile.
fn resumed(case: &Case<'_>, progress: &mut Progress, intent: &Intent) -> Option<Mutation> {
    let promotion = case.promotion;
    if let Some(record) = recorded_before(promotion, case.facts) {
        return Some(conclude(promotion, record));
    }
    progress.gates.clone_from(&promotion.memory.gates);
    let mut account = account(case, progress)?;
    account.plan_hash = promotion.memory.plan.as_ref().map(|plan| plan.hash.clone());
    let claim = Claim {
        intent: intent.clone(),
        account,
    };
    *progress = rolling_progress(promotion, &claim, rolling(&claim));
    let free = case.environment.active.is_none();
    free.then(|| Mutation::Claim(Box::new(Cleared(claim))))
}

/// How a promotion ends without ever having held the Environment, if it does.
fn ending(case: &Case<'_>, progress: &Progress, waiting: &[&Promotion]) -> Option<Mutation> {
    let promotion = case.promotion;
    if let Some(record) = recorded_before(promotion, case.facts) {
        let mut end = conclude(promotion, record);
        if let Mutation::Conclude { gates, .. } = &mut end
            && record.content.promotion.uid == promotion.uid
        {
            gates.clone_from(&progress.gates);
        }
        return Some(end);
    }
    let (outcome, reason, message) = if promotion.request.abort {
        (
            Outcome::Aborted,
            Reason::Aborted,
            "aborted before anything was changed".to_owned(),
        )
    } else if let Some(newer) = superseded_by(promotion, case.facts, waiting) {
        let text = format!("Promotion {} asks for the same and is newer", newer.name);
        (Outcome::Superseded, Reason::Superseded, text)
    } else {
        let rejected = progress.gates.iter().find(|gate| {
            // Without an instant it is this plan that was rejected; with one, an earlier
            // Promotion for the same artifacts, and that expires.
            gate.reason == Reason::Rejected && gate.next_change.is_none()
        })?;
        (
            Outcome::Rejected,
            Reason::Rejected,
            rejected.message.clone(),
        )
    };
    // Nothing was changed: what runs is what the record before says.
    let left = case
        .facts
        .newest_record()
        .map(|record| record.content.left.clone());
    let left = left.unwrap_or_default();
    let times = Times {
        requested: promotion.created,
        intent: None,
        finished: recorded(case.now),
    };
    let ending = Ending {
        outcome,
        reason,
        message,
        targets: Vec::new(),
        left,
        times,
    };
    let account = account(case, progress)?;
    let newest = case.facts.newest_record();
    let record = Record::next(case.environment, newest, account, ending).ok()?;
    Some(Mutation::Record(Box::new(record)))
}

/// The record of a promotion, or that of the same request before the object was re-created: it
/// mirrors that outcome and does nothing.
fn recorded_before<'a>(promotion: &Promotion, facts: &'a Facts) -> Option<&'a Record> {
    facts.record_of(&promotion.uid).or_else(|| {
        let hash = promotion.request.hash().ok()?;
        facts.records.iter().rev().find(|record| {
            let recorded = &record.content.promotion;
            recorded.name == promotion.name && recorded.spec_hash == hash
        })
    })
}

/// The write that ends a promotion as its record says.
pub(super) fn conclude(promotion: &Promotion, record: &Record) -> Mutation {
    let told = &record.content.message;
    let message = if record.content.promotion.uid == promotion.uid {
        told.clone()
    } else {
        format!(
            "asked for before, and over since then ({}: {told}); nothing was changed now",
            record.object_name()
        )
    };
    let release = record.content.release.as_ref();
    Mutation::Conclude {
        promotion: promotion.name.clone(),
        uid: promotion.uid.clone(),
        record: RecordReference {
            name: record.object_name(),
            hash: record.hash.clone(),
            outcome: record.content.outcome,
        },
        reason: record.content.reason,
        message,
        artifact: release.map(ReleaseReference::short),
        gates: Vec::new(),
    }
}

/// The newer request for the same, unless that one is over itself: a request that was re-created
/// mirrors its record and moves nothing.
fn superseded_by<'a>(
    promotion: &Promotion,
    facts: &Facts,
    waiting: &[&'a Promotion],
) -> Option<&'a Promotion> {
    waiting.iter().copied().find(|other| {
        other.uid != promotion.uid
            && !other.request.abort
            && other.request.release == promotion.request.release
            && other.request.action == promotion.request.action
            && (other.created, &other.name) > (promotion.created, &promotion.name)
            // Last: it hashes the request and goes through the records.
            && recorded_before(other, facts).is_none()
    })
}

fn claim(case: &Case<'_>, progress: &Progress) -> Option<Mutation> {
    let intent = Intent {
        attempt: 1,
        at: recorded(case.now),
        undo: None,
        targets: case.changes.clone()?,
    };
    let account = account(case, progress)?;
    Some(Mutation::Claim(Box::new(Cleared(Claim {
        intent,
        account,
    }))))
}

fn queued(input: &Input<'_>, waiting: &[&Promotion], promotion: &Promotion) -> String {
    let namespace = &promotion.namespace;
    let first = input.environment.active.as_ref().map_or_else(
        || {
            waiting
                .first()
                .filter(|first| first.uid != promotion.uid)
                .map(|first| &first.name)
        },
        |claim| Some(&claim.account.promotion.name),
    );
    first.map_or_else(
        || "all gates pass; it goes on at once".to_owned(),
        |first| {
            format!(
                "all gates pass; Promotion {first} holds the Environment or comes first; how it stands: \
                 kubectl promote explain {first} -n {namespace}; to end it now: kubectl promote abort \
                 {first} -n {namespace}"
            )
        },
    )
}
