//! What every pass shares.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use lockmaster_observe::observation::Observer;

use crate::act::Writer;
use crate::events::Events;
use crate::fresh::Freshness;
use crate::guard::GuardWatch;
use crate::metrics::Metrics;
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
}
