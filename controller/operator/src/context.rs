//! What every pass shares.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lockmaster_core::facts::Refusal;
use lockmaster_observe::observation::Observer;

use crate::act::Writer;
use crate::events::Events;
use crate::fresh::Freshness;
use crate::guard::GuardWatch;
use crate::metrics::Metrics;
use crate::reverify::Schedule;
use crate::written::Written;

/// Shared by all passes of this process.
pub(crate) struct Context {
    /// Looks.
    pub(crate) observer: Observer,
    /// Writes.
    pub(crate) writer: Writer,
    /// Knows whether approvals can be trusted.
    pub(crate) guard: Arc<GuardWatch>,
    /// Looks at the rules once more before a promotion begins.
    pub(crate) fresh: Freshness,
    /// What this process wrote.
    pub(crate) written: Written,
    /// Counts.
    pub(crate) metrics: Arc<Metrics>,
    /// Tells people.
    pub(crate) events: Events,
    /// When each promotion was seen first.
    pub(crate) first_seen: FirstSeen,
    /// Failures in a row, by Environment.
    pub(crate) failures: Failures,
    /// What the API server refused, by Environment.
    pub(crate) refusals: Refusals,
    /// When what runs is verified again.
    pub(crate) schedule: Schedule,
}

/// When each promotion was seen first by this process.
#[derive(Default)]
pub(crate) struct FirstSeen(Mutex<HashMap<String, Timestamp>>);

impl FirstSeen {
    /// When `uid` was seen first; now, if it was not seen before.
    pub(crate) fn of(&self, uid: &str, now: Timestamp) -> Timestamp {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.entry(uid.to_owned()).or_insert(now)
    }

    /// Forgets all promotions but these.
    pub(crate) fn keep_only(&self, uids: &HashSet<String>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|uid, _| uids.contains(uid));
    }

    /// Forgets a promotion that is finished or gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }
}

/// The last refused write to a workload, by Environment, and how often it was refused in a row.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<String, (Refusal, u32)>>);

impl Refusals {
    /// Keeps a refusal of an attempt and returns it with what is known of those before it: since
    /// when there are any, and when the write is tried again. The pauses double.
    pub(crate) fn note(&self, key: &str, refused: Refused, now: Timestamp) -> Refusal {
        let Refused {
            attempt,
            forbidden,
            message,
        } = refused;
        let mut refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = refusals
            .get(key)
            .filter(|(kept, _)| kept.attempt == attempt);
        let count = before.map_or(1, |(_, count)| count.saturating_add(1));
        let refusal = Refusal {
            attempt,
            forbidden,
            message,
            since: before.map_or(now, |(kept, _)| kept.since),
            retry_at: now.checked_add(doubling(count)).unwrap_or(now),
        };
        refusals.insert(key.to_owned(), (refusal.clone(), count));
        refusal
    }

    /// The last one of an Environment.
    pub(crate) fn of(&self, key: &str) -> Option<Refusal> {
        let refusals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.get(key).map(|(refusal, _)| refusal.clone())
    }

    /// Forgets that of an Environment: a write was taken, or nothing is under way any more.
    pub(crate) fn forget(&self, key: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

/// A write that was just refused.
pub(crate) struct Refused {
    /// Key of the attempt.
    pub(crate) attempt: String,
    /// Whether not even a fence can be written.
    pub(crate) forbidden: bool,
    /// What the API server answered.
    pub(crate) message: String,
}

/// The longest pause between two attempts at what fails.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pause after so many failures in a row: doubling from one second.
pub(crate) fn doubling(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
}

/// Failures in a row, by key: how long the next pause is.
#[derive(Default)]
pub(crate) struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    /// Counts one more failure and returns how many there were in a row.
    pub(crate) fn count(&self, key: &str) -> u32 {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Forgets the failures of a key that succeeded.
    pub(crate) fn reset(&self, key: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotions_that_are_gone_are_not_remembered() {
        let seen = FirstSeen::default();
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        seen.of("gone", first);
        seen.of("here", first);
        seen.keep_only(&HashSet::from(["here".to_owned()]));
        assert_eq!(seen.of("here", later), first);
        assert_eq!(seen.of("gone", later), later);
    }

    #[test]
    fn refusals_in_a_row_are_tried_again_later_and_later() {
        let refusals = Refusals::default();
        let refuse = |attempt: &str, second: i64| {
            let refused = Refused {
                attempt: attempt.into(),
                forbidden: false,
                message: "no".into(),
            };
            let refusal = refusals.note("shop/prod", refused, at(second));
            let pause = refusal.retry_at.duration_since(at(second)).as_secs();
            (refusal.since, pause)
        };
        assert_eq!(refuse("uid/1", 0), (at(0), 1));
        assert_eq!(refuse("uid/1", 1), (at(0), 2));
        assert_eq!(refuse("uid/1", 3), (at(0), 4));
        assert_eq!(refuse("uid/2", 7), (at(7), 1), "another attempt");
        refusals.forget("shop/prod");
        assert_eq!(refusals.of("shop/prod"), None);
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }
}
