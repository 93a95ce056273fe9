//! What is refused of our own predicates: what their schemas refuse, said with the field's name.

use std::collections::BTreeSet;

use super::{Change, Check, Checks, NotApplicable, Quarantine, TaggedRelease};
use crate::release::clip;

/// Names of people, branches, checks and tags: longer ones say nothing that shorter ones cannot.
const NAME_LIMIT: usize = 256;
/// Addresses.
const URL_LIMIT: usize = 1024;
/// Sentences in which somebody explains.
const TEXT_LIMIT: usize = 2048;
/// People, reviews, requests, commits, digests of one statement.
const LIST_LIMIT: usize = 64;
/// Checks of one statement.
const CHECK_LIMIT: usize = 256;
/// Numbers that a statement of checks may carry.
const MEASUREMENT_LIMIT: usize = 32;

impl Change {
    /// Refuses what the schema refuses; the error names the field.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            commit,
            branch,
            authors,
            merged_by,
            reviewers,
            pull_requests,
            base_tag,
            risk: _,
            security: _,
            cherry_pick_of,
        } = self;
        is_commit("commit", commit)?;
        text("branch", branch, NAME_LIMIT)?;
        if authors.is_empty() {
            return Err("authors is empty".to_owned());
        }
        texts("authors", authors, NAME_LIMIT)?;
        texts("mergedBy", merged_by, NAME_LIMIT)?;
        texts("reviewers", reviewers, NAME_LIMIT)?;
        texts("pullRequests", pull_requests, URL_LIMIT)?;
        texts("baseTag", base_tag, NAME_LIMIT)?;
        short("cherryPickOf", cherry_pick_of.len(), LIST_LIMIT)?;
        let mut picked = cherry_pick_of.iter();
        picked.try_for_each(|commit| is_commit("cherryPickOf", commit))
    }
}

impl Checks {
    /// Refuses what the schema refuses, and two checks of one name; the error names the field.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            commit,
            finished_on: _,
            checks,
            measurements,
        } = self;
        is_commit("commit", commit)?;
        if checks.is_empty() {
            return Err("checks is empty".to_owned());
        }
        short("checks", checks.len(), CHECK_LIMIT)?;
        short("measurements", measurements.len(), MEASUREMENT_LIMIT)?;
        let mut keys = measurements.keys();
        keys.try_for_each(|key| text("measurements", key, NAME_LIMIT))?;
        let mut names = BTreeSet::new();
        for check in checks {
            check.check()?;
            if !names.insert(&check.name) {
                return Err(format!("the check \"{}\" stands twice", clip(&check.name)));
            }
        }
        Ok(())
    }
}

impl Check {
    fn check(&self) -> Result<(), String> {
        let Self {
            name,
            conclusion: _,
            url,
            quarantined,
        } = self;
        text("checks[].name", name, NAME_LIMIT)?;
        texts("checks[].url", url, URL_LIMIT)?;
        short("checks[].quarantined", quarantined.len(), LIST_LIMIT)?;
        for quarantine in quarantined {
            let Quarantine {
                test,
                rationale,
                approver,
                until: _,
                ticket,
            } = quarantine;
            text("quarantined[].test", test, NAME_LIMIT)?;
            text("quarantined[].rationale", rationale, TEXT_LIMIT)?;
            text("quarantined[].approver", approver, NAME_LIMIT)?;
            texts("quarantined[].ticket", ticket, URL_LIMIT)?;
        }
        Ok(())
    }
}

impl TaggedRelease {
    /// Refuses what the schema refuses; the error names the field.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            product,
            version: _,
            tag,
            commit,
            digests,
        } = self;
        if let Some(product) = product {
            is_product(product)?;
        }
        text("tag", tag, NAME_LIMIT)?;
        is_commit("commit", commit)?;
        if digests.is_empty() {
            return Err("digests is empty".to_owned());
        }
        short("digests", digests.len(), LIST_LIMIT)
    }
}

impl NotApplicable {
    /// Refuses what the schema refuses; the error names the field.
    pub fn check(&self) -> Result<(), String> {
        let Self {
            what,
            rationale,
            by,
        } = self;
        text("what", what, NAME_LIMIT)?;
        text("rationale", rationale, TEXT_LIMIT)?;
        text("by", by, NAME_LIMIT)
    }
}

/// Whether this is a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal characters.
#[must_use]
pub fn is_git_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_commit(field: &str, text: &str) -> Result<(), String> {
    if is_git_commit(text) {
        return Ok(());
    }
    Err(format!(
        "{field} is not 40 or 64 lower-case hexadecimal characters"
    ))
}

fn is_product(text: &str) -> Result<(), String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let edges = [text.bytes().next(), text.bytes().last()];
    let good = edges.into_iter().all(|byte| byte.is_some_and(inner))
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && text.len() <= 63;
    if good {
        return Ok(());
    }
    Err("product is no name of a product".to_owned())
}

fn text(field: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{field} is empty"));
    }
    if text.chars().count() > limit {
        return Err(format!("{field} is longer than {limit} characters"));
    }
    Ok(())
}

fn texts<'a>(
    field: &str,
    all: impl IntoIterator<Item = &'a String, IntoIter: Clone>,
    limit: usize,
) -> Result<(), String> {
    let mut all = all.into_iter();
    short(field, all.clone().count(), LIST_LIMIT)?;
    all.try_for_each(|one| text(field, one, limit))
}

fn short(field: &str, length: usize, limit: usize) -> Result<(), String> {
    if length > limit {
        return Err(format!(
            "{field} has {length} entries, the limit is {limit}"
        ));
    }
    Ok(())
}
