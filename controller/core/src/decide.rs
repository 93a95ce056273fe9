//! The decision: from everything that was seen to at most one change. Total, pure, deterministic.

mod attempt;
mod claimed;
mod ending;
mod landing;
mod revoked;
mod waiting;

use jiff::Timestamp;

pub use self::landing::refusal;

use crate::case::{Case, running_record};
use crate::decision::{Decision, Progress};
use crate::environment::{Environment, Running};
use crate::facts::Facts;
use crate::promotion::{Account, Promotion, PromotionReference};
use crate::record::{GateSummary, Outcome, Record};
use crate::time::whole_seconds;

/// Everything a decision may look at. Nothing else is consulted.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Every unfinished promotion of the Environment.
    pub promotions: &'a [Promotion],
    /// The Environment.
    pub environment: &'a Environment,
    /// Everything else that was looked at.
    pub facts: &'a Facts,
    /// The instant of the pass.
    pub now: Timestamp,
}

/// Decides.
pub fn decide(input: &Input<'_>) -> Decision {
    let claimed = input
        .environment
        .active
        .as_ref()
        .map(|claim| claimed::step(input, claim));
    let holder = claimed.as_ref().and_then(|step| step.promotion.clone());
    let waiting = waiting::step(input, holder.as_deref());
    let mut promotions: Vec<Progress> = waiting.progress;
    let mut mutation = waiting.mutation;
    let mut next = waiting.next;
    if let Some(step) = claimed {
        promotions.extend(step.progress);
        // What holds the Environment goes first; the others get their turn while it waits.
        mutation = step.mutation.or(mutation);
        next = next.earlier(step.wake);
    }
    if input.facts.records_problem.is_some() {
        // What was done, and what is over already, cannot be known: nothing is done on top of it.
        // That is said of each, also of those that would have ended just now.
        mutation = None;
        for progress in &mut promotions {
            progress.report = true;
        }
    }
    promotions.sort_by(|a, b| a.name.cmp(&b.name));
    let current = current_record(&input.facts.records);
    Decision {
        effective_tier: input.environment.effective_tier(&input.facts.namespaces),
        current: current.and_then(running),
        last_known_good: last_known_good(input, current).and_then(running),
        promotions,
        mutation,
        next,
    }
}

fn running(record: &Record) -> Option<Running> {
    let release = record.content.release.as_ref()?;
    Some(Running {
        release: release.name.clone(),
        version: release.version.clone(),
        artifact_set: release.artifact_set.clone(),
        components: release.components.clone(),
        since: record.content.times.finished,
        record: record.object_name(),
    })
}

/// The record of success of what runs, where the newest record left something known to be good. What
/// a failed promotion left behind is nothing that succeeded: then nobody says what runs.
fn current_record(records: &[Record]) -> Option<&Record> {
    let newest = records
        .last()
        .filter(|newest| !newest.content.left.is_empty())?;
    running_record(records).filter(|good| {
        let release = good.content.release.as_ref();
        release.is_some_and(|release| {
            let left = &newest.content.left;
            left.iter().all(|pair| release.components.contains(pair))
        })
    })
}

/// The newest success of other artifacts than those that run, unless it was revoked.
fn last_known_good<'a>(input: &Input<'a>, current: Option<&Record>) -> Option<&'a Record> {
    let runs = current.and_then(|record| record.content.release.as_ref());
    input.facts.records.iter().rev().find(|record| {
        record.content.outcome == Outcome::Succeeded
            && runs.is_none_or(|release| !record.content.is_about(&release.artifact_set))
            && revoked::is_good(input, record)
    })
}

/// What a record will say of the promotion, as everything stands in this pass.
fn account(case: &Case<'_>, progress: &Progress) -> Option<Account> {
    let promotion = case.promotion;
    let guard_epoch = case.facts.guard.known().map(|guard| &guard.epoch);
    let minted = case.plan.as_ref().zip(guard_epoch);
    // What people agreed to has the hash under which they read it, whatever the guards are now.
    let published = promotion.memory.plan.as_ref().filter(|plan| {
        let content = case.plan.as_ref().map(|minted| &minted.content);
        content == Some(&plan.content)
    });
    let plan_hash = published.map(|plan| plan.hash.clone());
    let plan_hash = plan_hash
        .or_else(|| minted.map(|(plan, epoch)| crate::plan::bound_hash(&plan.content, epoch)));
    Some(Account {
        promotion: PromotionReference {
            name: promotion.name.clone(),
            uid: promotion.uid.clone(),
            spec_hash: promotion.request.hash().ok()?,
            action: promotion.request.action,
            release: promotion.request.release.clone(),
            created: promotion.created,
            reason: promotion.request.reason.clone(),
            incident: promotion.request.incident.clone(),
            requested_by: promotion.requester(),
        },
        release: case.release_reference(),
        effective_tier: case.tier,
        plan_hash,
        policies: case.policy_references(),
        gates: progress
            .gates
            .iter()
            .map(|gate| GateSummary {
                name: gate.name.clone(),
                verdict: gate.verdict,
                reason: gate.reason,
                evidence: gate.evidence.clone(),
            })
            .collect(),
        approvals: promotion.memory.approvals.clone(),
        window: crate::gates::window_in_force(case),
    })
}

/// The instant that records keep.
fn recorded(now: Timestamp) -> Timestamp {
    whole_seconds(now)
}

#[cfg(test)]
mod tests;
