//! The decision: from everything that was seen to at most one change. Total, pure, deterministic.

mod attempt;
mod claimed;
mod ending;
mod known;
mod landing;
mod plans;
mod revoked;
mod waiting;

use jiff::Timestamp;

pub use self::landing::refusal;

use crate::case::Case;
use crate::decision::{Decision, Progress};
use crate::environment::{Environment, Running};
use crate::facts::Facts;
use crate::promotion::{Account, Promotion, PromotionReference};
use crate::record::{GateSummary, Record};
use crate::standing;
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
    let mut relist = waiting.relist;
    if let Some(step) = claimed {
        promotions.extend(step.progress);
        // What holds the Environment goes first; the others get their turn while it waits.
        mutation = step.mutation.or(mutation);
        next = next.earlier(step.wake);
        relist.extend(step.relist);
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
    let current = standing::current_record(&input.facts.records);
    Decision {
        effective_tier: input.environment.effective_tier(&input.facts.namespaces),
        current: current.and_then(running),
        last_known_good: standing::last_known_good(input).and_then(running),
        concerns: standing::concerns(input),
        promotions,
        mutation,
        next,
        relist,
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
