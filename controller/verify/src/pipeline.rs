//! Our own predicates. The shapes and their limits are the core's; see `docs/reference/predicates/`.

use lockmaster_core::evidence::{Change, Checks, NotApplicable, TaggedRelease};

use crate::predicate::{read, short};

/// Longest statement of checks: 256 of them, with what was left out of each.
const CHECKS_LIMIT: usize = 1 << 20;

/// Longest of the others: 64 names or addresses in each of their lists.
const OTHER_LIMIT: usize = 256 << 10;

/// Reads `change/v1`; the error is the problem in words.
pub(crate) fn read_change(text: &str) -> Result<Change, String> {
    let change: Change = read(
        "change/v1 statement",
        short("change/v1 statement", text, OTHER_LIMIT)?,
    )?;
    change.check()?;
    Ok(change)
}

/// Reads `checks/v1`; the error is the problem in words.
pub(crate) fn read_checks(text: &str) -> Result<Checks, String> {
    let checks: Checks = read(
        "checks/v1 statement",
        short("checks/v1 statement", text, CHECKS_LIMIT)?,
    )?;
    checks.check()?;
    Ok(checks)
}

/// Reads `release/v1`; the error is the problem in words.
pub(crate) fn read_release(text: &str) -> Result<TaggedRelease, String> {
    let release: TaggedRelease = read(
        "release/v1 statement",
        short("release/v1 statement", text, OTHER_LIMIT)?,
    )?;
    release.check()?;
    Ok(release)
}

/// Reads `not-applicable/v1`; the error is the problem in words.
pub(crate) fn read_not_applicable(text: &str) -> Result<NotApplicable, String> {
    let statement: NotApplicable = read(
        "not-applicable/v1 statement",
        short("not-applicable/v1 statement", text, OTHER_LIMIT)?,
    )?;
    statement.check()?;
    Ok(statement)
}
