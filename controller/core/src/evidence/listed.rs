//! How old the list of what is attached to an artifact is.
//!
//! What is attached stays a fact; that nothing else is attached does not. So what one further scan,
//! check or statement would turn into a no rests on a list, and a list says something for a while only.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::facts::Unavailable;

/// How old a list may be when a promotion begins that a scan, a check, a VEX statement or a rule in
/// Rego may stop. Registries tell nobody what was pushed; this is one request in that time.
pub const LIST_AGE: SignedDuration = SignedDuration::from_mins(10);

/// When the registry said last what is attached to an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// When it was asked for the list that is known; where absent nobody knows, which counts as long
    /// ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Since when it is being asked once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Timestamp>,
    /// How asking once more failed; gone as soon as it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedListing>,
}

/// A list that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedListing {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: Unavailable,
}

/// What a list is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recency<'a> {
    /// It is of the last [`LIST_AGE`].
    Recent,
    /// It is older, and must be asked for once more.
    Outdated,
    /// It is older, and asking once more failed within that time.
    Failed(&'a Unavailable),
}

impl Listed {
    /// At that instant.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self {
            at: Some(at),
            ..Self::default()
        }
    }

    /// What the list is worth now. One from the future is worth nothing: some clock is wrong.
    #[must_use]
    pub fn recency(&self, now: Timestamp) -> Recency<'_> {
        let is_recent = |at: Timestamp| at <= now && now.duration_since(at) <= LIST_AGE;
        match (self.at, &self.failed) {
            (Some(at), _) if is_recent(at) => Recency::Recent,
            (_, Some(failed)) if is_recent(failed.at) => Recency::Failed(&failed.why),
            (_, Some(_) | None) => Recency::Outdated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Cause;
    use crate::fixtures::at;

    #[test]
    fn a_list_counts_for_ten_minutes_and_so_does_a_failure() {
        let why = Unavailable {
            cause: Cause::Unreachable,
            message: "503".into(),
        };
        let now = at("2026-11-24T10:10:00Z");
        let of = |listed: Option<&str>, failed: Option<&str>| Listed {
            at: listed.map(at),
            asking: None,
            failed: failed.map(|text| FailedListing {
                at: at(text),
                why: why.clone(),
            }),
        };
        let (young, old) = (Some("2026-11-24T10:00:00Z"), Some("2026-11-24T09:59:59Z"));
        assert_eq!(of(young, None).recency(now), Recency::Recent);
        assert_eq!(of(young, young).recency(now), Recency::Recent);
        assert_eq!(of(old, None).recency(now), Recency::Outdated);
        assert_eq!(of(old, young).recency(now), Recency::Failed(&why));
        assert_eq!(of(old, old).recency(now), Recency::Outdated, "tried again");
        assert_eq!(of(None, None).recency(now), Recency::Outdated);
        assert_eq!(of(None, young).recency(now), Recency::Failed(&why));
        let future = Some("2026-11-24T10:10:01Z");
        assert_eq!(of(future, future).recency(now), Recency::Outdated);
    }
}
