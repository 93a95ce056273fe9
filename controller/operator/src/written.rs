//! What this process wrote, so that a pass never decides on a view from before its own write.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// How long a write is waited for at most. A watch that is further behind, or an object that went
/// before the watch showed our write, must not stop an Environment for ever; the preconditions of
/// the writes protect then. Records are waited for without an end: no later write depends on one, and
/// a pass that does not know that a promotion is over would go on with it.
const WAITED_FOR: Duration = Duration::from_secs(30);

/// resourceVersions of writes whose effect the watch caches may not show yet, and since when.
#[derive(Default)]
pub(crate) struct Written(Mutex<HashMap<Key, (u64, Instant)>>);

impl Written {
    /// Remembers a write. A resourceVersion that is no number is not remembered: then nothing can
    /// be compared, and the preconditions of the writes alone protect.
    pub(crate) fn remember(&self, kind: Kind, namespace: &str, name: &str, version: Option<&str>) {
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            let key = (kind, namespace.to_owned(), name.to_owned());
            let now = Instant::now();
            let mut written = self.locked();
            written.retain(|(kind, ..), (_, at)| {
                *kind == Kind::Record || now.duration_since(*at) < WAITED_FOR
            });
            written.insert(key, (version, now));
        }
    }

    /// Whether the view shows an object no older than our last write to it. A view that has caught
    /// up is forgotten about, and so is one that was waited for too long.
    pub(crate) fn is_seen(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> bool {
        self.is_seen_at(kind, namespace, name, version, Instant::now())
    }

    fn is_seen_at(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        version: Option<&str>,
        now: Instant,
    ) -> bool {
        let key = (kind, namespace.to_owned(), name.to_owned());
        let mut written = self.locked();
        let Some((expected, at)) = written.get(&key).copied() else {
            return true;
        };
        let seen = version.and_then(|version| version.parse::<u64>().ok());
        let caught_up = seen.is_some_and(|seen| seen >= expected);
        let given_up = kind != Kind::Record && now.duration_since(at) >= WAITED_FOR;
        if given_up && !caught_up {
            tracing::warn!(
                ?kind,
                namespace,
                name,
                "our write did not show; not waited for"
            );
        }
        if caught_up || given_up {
            written.remove(&key);
        }
        caught_up || given_up
    }

    /// The objects of a kind in a namespace that the view may not show yet.
    pub(crate) fn pending(&self, kind: Kind, namespace: &str) -> Vec<String> {
        let written = self.locked();
        let keys = written
            .keys()
            .filter(|(k, n, _)| *k == kind && n == namespace);
        keys.map(|(_, _, name)| name.clone()).collect()
    }

    /// Forgets a write that shows, or whose object is gone.
    pub(crate) fn forget(&self, kind: Kind, namespace: &str, name: &str) {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.locked().remove(&key);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Key, (u64, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn a_write_that_never_shows_is_waited_for_only_so_long() {
        let written = Written::default();
        written.remember(Kind::Workload, "shop", "d", Some("9"));
        let seen = |after| {
            let at = Instant::now() + after;
            written.is_seen_at(Kind::Workload, "shop", "d", None, at)
        };
        assert!(!seen(Duration::from_secs(29)));
        assert!(seen(WAITED_FOR));
        assert!(written.pending(Kind::Workload, "shop").is_empty());
    }
}
