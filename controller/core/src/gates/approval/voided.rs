//! Whose approval was for another plan, and what changed since.

use std::collections::BTreeSet;

use super::Missing;
use crate::approval::{self, Vote};
use crate::case::Case;
use crate::plan::Minted;

/// Says of whom an approval for one of the missing roles does not count any more, because it was for
/// another plan, and why; the beginning of what to do about it follows in the same sentence.
pub(super) fn voided(case: &Case<'_>, missing: &[Missing]) -> String {
    let Some(plan) = &case.plan else {
        return String::new();
    };
    let memory = &case.promotion.memory;
    let still_counts = |by: &str, role: &str| {
        let mut latched = memory.approvals.iter();
        latched.any(|one| one.by == by && one.role == role && one.content == plan.content)
    };
    let is_missing = |role: &str| missing.iter().any(|need| need.role == role);
    let latched = memory.approvals.iter();
    let latched = latched.filter(|one| one.decision == Vote::Approve);
    let latched = latched.map(|one| (one.by.clone(), one.role.clone()));
    let people: BTreeSet<(String, String)> = latched
        .chain(for_another_plan(case))
        .filter(|(by, role)| is_missing(role) && !still_counts(by, role))
        .collect();
    if people.is_empty() {
        return String::new();
    }
    let people: Vec<_> = people
        .iter()
        .map(|(by, role)| format!("{by} ({role})"))
        .collect();
    let since = changed_since(case, plan);
    let what = if since.is_empty() {
        "kubectl promote explain shows the new one".to_owned()
    } else {
        since.join(", ")
    };
    format!(
        "; the approval of {} counts no longer, because the plan changed since ({what}), and may be \
         given again",
        people.join(", ")
    )
}

/// Approvals in annotations that name another plan than the published one, by people: the plan changed
/// before they were latched.
fn for_another_plan<'a>(case: &'a Case<'_>) -> impl Iterator<Item = (String, String)> + 'a {
    let published = case.promotion.memory.plan.as_ref();
    let requester = case.promotion.requester().name;
    let written = case.promotion.annotations.iter();
    let written = written.filter_map(|(key, value)| approval::parse(key, value));
    written
        .filter(|one| one.decision == Vote::Approve)
        .filter(move |one| published.is_some_and(|plan| plan.hash != one.plan))
        .filter(move |one| one.by != requester && !one.by.starts_with("system:"))
        .map(|one| (one.by, one.role))
}

/// What differs in this plan from the last one that somebody agreed to, as far as that is known. It is
/// remembered beside the new plan, because the one before is gone by then.
pub(crate) fn changed_since(case: &Case<'_>, plan: &Minted) -> Vec<String> {
    let memory = &case.promotion.memory;
    let Some(before) = memory.plan.as_ref().or(memory.overtaken_plan.as_ref()) else {
        return Vec::new();
    };
    if before.content == plan.content {
        return before.changed.clone();
    }
    let mut changed = crate::plan::changes(&before.preimage, &plan.preimage);
    let mut approvals = memory.approvals.iter();
    if !approvals.any(|one| one.content == before.content) {
        let earlier = before.changed.iter();
        let earlier = earlier.filter(|text| !changed.contains(text)).cloned();
        let earlier: Vec<_> = earlier.collect();
        changed.extend(earlier);
        changed.truncate(crate::plan::CHANGES_LIMIT);
    }
    changed
}
