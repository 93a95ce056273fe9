//! What this process wrote, so that a pass never decides on a view from before its own write.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The kinds that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Environment statuses.
    Environment,
    /// Promotion statuses.
    Promotion,
    /// PromotionRecords.
    Record,
    /// Workloads.
    Workload,
}

type Key = (Kind, String, String);

/// resourceVersions of writes whose effect the watch caches may not show yet.
#[derive(Default)]
pub(crate) struct Written(Mutex<HashMap<Key, u64>>);

impl Written {
    /// Remembers a write. A resourceVersion that is no number is not remembered: then nothing can
    /// be compared, and the preconditions of the writes alone protect.
    pub(crate) fn remember(&self, kind: Kind, namespace: &str, name: &str, version: Option<&str>) {
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            let key = (kind, namespace.to_owned(), name.to_owned());
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key, version);
        }
    }

    /// Whether the view shows an object no older than our last write to it. A view that has caught
    /// up is forgotten about.
    pub(crate) fn is_seen(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> bool {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(expected) = written.get(&key) else {
            return true;
        };
        let seen = version.and_then(|version| version.parse::<u64>().ok());
        let caught_up = seen.is_some_and(|seen| seen >= *expected);
        if caught_up {
            written.remove(&key);
        }
        caught_up
    }

    /// The objects of a kind in a namespace that the view may not show yet.
    pub(crate) fn pending(&self, kind: Kind, namespace: &str) -> Vec<String> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = written
            .keys()
            .filter(|(k, n, _)| *k == kind && n == namespace);
        keys.map(|(_, _, name)| name.clone()).collect()
    }

    /// Forgets a write whose object is gone.
    pub(crate) fn forget(&self, kind: Kind, namespace: &str, name: &str) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_from_before_our_write_is_not_decided_on() {
        let written = Written::default();
        let seen = |version| written.is_seen(Kind::Promotion, "shop", "p", version);
        assert!(seen(Some("7")), "nothing was written");
        written.remember(Kind::Promotion, "shop", "p", Some("9"));
        assert!(!seen(Some("8")));
        assert!(!seen(None), "the object is not there yet");
        assert_eq!(written.pending(Kind::Promotion, "shop"), ["p"]);
        assert!(seen(Some("9")));
        assert!(written.pending(Kind::Promotion, "shop").is_empty());
    }
}
