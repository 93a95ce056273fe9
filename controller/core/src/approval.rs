//! Decisions of people: how they are written, and when they count.
//!
//! The API server's guard makes `by=` and `plan=` true before anything is stored; what is read
//! here is checked again all the same, because a guard can be absent.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::release::Digest;

/// Prefix of the annotation that carries a decision; the rest is the slot.
pub const APPROVAL_PREFIX: &str = "approval.lockmaster.dev/";

/// How long a decision counts: rights are checked only when it is written, so it must not count
/// for ever.
pub const VALID_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Most characters of an annotation's value (guard rule V3).
const VALUE_LIMIT: usize = 1024;

/// What a person decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Vote {
    /// Go.
    Approve,
    /// Do not go.
    Reject,
}

/// Where a decision came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalSource {
    /// The guarded annotation.
    Annotation,
}

/// A decision as the operator latched it. The list is append-only; the annotation may vanish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The role it was given for.
    pub role: String,
    /// The slot: the role, or `<role>.<n>` for further approvers of the same role.
    pub slot: String,
    /// Approve or reject.
    pub decision: Vote,
    /// User name of the person, as the API server authenticated it.
    pub by: String,
    /// References, such as a ticket; may be empty.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Why.
    pub reason: String,
    /// The plan content it was given for.
    pub content: Digest,
    /// When it was latched.
    #[schemars(with = "crate::time::Schema")]
    pub at: Timestamp,
    /// How it was given.
    pub source: ApprovalSource,
}

impl Approval {
    /// When it stops counting, unless it was given in a window that is open for longer.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.at.checked_add(VALID_FOR).unwrap_or(Timestamp::MAX)
    }
}

/// A decision as its annotation says it, before it is latched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The slot, from the annotation's key.
    pub slot: String,
    /// The role, from the slot.
    pub role: String,
    /// Approve or reject.
    pub decision: Vote,
    /// Who, by their own account.
    pub by: String,
    /// Hash of the plan it was given for.
    pub plan: Digest,
    /// References.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// The role of a slot: what stands before the first dot.
#[must_use]
pub fn role_of(slot: &str) -> &str {
    slot.split('.').next().unwrap_or_default()
}

/// Reads one annotation; `None` where it is no decision in the documented grammar.
#[must_use]
pub fn parse(key: &str, value: &str) -> Option<Written> {
    let slot = key.strip_prefix(APPROVAL_PREFIX)?;
    if value.chars().count() > VALUE_LIMIT || value.chars().any(char::is_control) {
        return None;
    }
    let mut fields = value.splitn(5, ';');
    let decision = match fields.next()? {
        "approve" => Vote::Approve,
        "reject" => Vote::Reject,
        _ => return None,
    };
    let by = fields
        .next()?
        .strip_prefix("by=")
        .filter(|by| !by.is_empty())?;
    let plan = Digest::parse(fields.next()?.strip_prefix("plan=")?).ok()?;
    let reference = fields.next()?.strip_prefix("ref=")?;
    let reason = fields
        .next()?
        .strip_prefix("reason=")
        .filter(|reason| !reason.is_empty())?;
    Some(Written {
        slot: slot.to_owned(),
        role: role_of(slot).to_owned(),
        decision,
        by: by.to_owned(),
        plan,
        reference: reference.to_owned(),
        reason: reason.to_owned(),
    })
}

/// The annotation's value for a decision; the inverse of [`parse`].
#[must_use]
pub fn render(decision: Vote, by: &str, plan: &Digest, reference: &str, reason: &str) -> String {
    let word = match decision {
        Vote::Approve => "approve",
        Vote::Reject => "reject",
    };
    format!("{word};by={by};plan={plan};ref={reference};reason={reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        format!("{APPROVAL_PREFIX}release-manager.2")
    }

    #[test]
    fn a_reason_may_hold_anything_and_cannot_forge_the_name() {
        let plan = Digest::of(b"plan");
        let value = render(
            Vote::Approve,
            "alice@corp",
            &plan,
            "CHG-1",
            "go; and by=eve;x",
        );
        let written = parse(&key(), &value).unwrap();
        assert_eq!(written.by, "alice@corp");
        assert_eq!(written.reason, "go; and by=eve;x");
        assert_eq!(
            (written.slot.as_str(), written.role.as_str()),
            ("release-manager.2", "release-manager")
        );
    }

    #[test]
    fn what_is_not_in_the_grammar_is_no_decision() {
        let plan = Digest::of(b"plan");
        let good = render(Vote::Reject, "alice@corp", &plan, "", "no");
        assert!(parse(&key(), &good).is_some());
        let wrong = [
            "yes please".to_owned(),
            good.replace("reason=no", "reason="),
            good.replace("by=alice@corp", "by="),
            good.replace("ref=;", ""),
            good.replace("sha256:", "sha512:"),
            good.replace("no", "line\nbreak"),
            good.replace("no", &"x".repeat(1100)),
            good.replace("reject", "Reject"),
        ];
        for value in wrong {
            assert_eq!(parse(&key(), &value), None, "{value}");
        }
        assert_eq!(parse("lockmaster.dev/window", &good), None);
    }
}
