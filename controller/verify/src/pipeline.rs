//! Our own predicates. The shapes and their limits are the core's; see `docs/reference/predicates/`.

use lockmaster_core::evidence::{Change, Checks, NotApplicable, TaggedRelease};

use crate::predicate::read;

/// Reads `change/v1`; the error is the problem in words.
pub(crate) fn read_change(text: &str) -> Result<Change, String> {
    let change: Change = read("change/v1 statement", text)?;
    change.check()?;
    Ok(change)
}

/// Reads `checks/v1`; the error is the problem in words.
pub(crate) fn read_checks(text: &str) -> Result<Checks, String> {
    let checks: Checks = read("checks/v1 statement", text)?;
    checks.check()?;
    Ok(checks)
}

/// Reads `release/v1`; the error is the problem in words.
pub(crate) fn read_release(text: &str) -> Result<TaggedRelease, String> {
    let release: TaggedRelease = read("release/v1 statement", text)?;
    release.check()?;
    Ok(release)
}

/// Reads `not-applicable/v1`; the error is the problem in words.
pub(crate) fn read_not_applicable(text: &str) -> Result<NotApplicable, String> {
    let statement: NotApplicable = read("not-applicable/v1 statement", text)?;
    statement.check()?;
    Ok(statement)
}
