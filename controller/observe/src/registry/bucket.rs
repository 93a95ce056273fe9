//! How many requests a registry gets in a second, and which part of them a namespace.
//!
//! A token bucket for each namespace (as the generic cell rate algorithm: one instant instead of a
//! count). The rate is the registry's, divided by the namespaces that used theirs a moment ago, so
//! who floods a registry slows down nobody but himself to less than an equal part.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The buckets of one registry. The caller says what time it is.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Between two requests, with one namespace.
    interval: Duration,
    burst: u32,
    /// When all that a namespace took would have been allowed one by one; in the past when it took
    /// nothing lately.
    due: BTreeMap<String, Instant>,
}

impl Buckets {
    /// So many requests in a second in all, and so many at once for each namespace.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second.max(1),
            burst: burst.max(1),
            due: BTreeMap::new(),
        }
    }

    /// Takes one request of a namespace's share and returns how long to wait before it is sent.
    /// Takes nothing where that is longer than `patience`, which the error says.
    pub(super) fn take(
        &mut self,
        namespace: &str,
        now: Instant,
        patience: Duration,
    ) -> Result<Duration, Duration> {
        self.due.retain(|_, due| *due > now);
        let others = self.due.keys().filter(|known| *known != namespace).count();
        let parts = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
        let interval = self.interval.saturating_mul(parts);
        let due = self.due.get(namespace).copied().unwrap_or(now) + interval;
        let ahead = due.saturating_duration_since(now);
        let wait = ahead.saturating_sub(interval.saturating_mul(self.burst));
        if wait > patience {
            return Err(wait);
        }
        self.due.insert(namespace.to_owned(), due);
        Ok(wait)
    }

    /// Whether no namespace took anything lately.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.due.values().all(|due| *due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn a_burst_is_free_and_then_the_rate_holds() {
        let now = Instant::now();
        let mut buckets = Buckets::new(10, 20);
        for _ in 0..20 {
            assert_eq!(buckets.take("a", now, PATIENCE), Ok(Duration::ZERO));
        }
        assert_eq!(
            buckets.take("a", now, PATIENCE),
            Ok(Duration::from_millis(100))
        );
        assert_eq!(
            buckets.take("a", now, PATIENCE),
            Ok(Duration::from_millis(200))
        );
        let later = now + Duration::from_secs(10);
        assert!(buckets.is_idle(later) && !buckets.is_idle(now));
        assert_eq!(
            buckets.take("a", later, PATIENCE),
            Ok(Duration::ZERO),
            "full again"
        );
    }

    #[test]
    fn who_floods_waits_alone_and_for_no_longer_than_it_has_patience() {
        let now = Instant::now();
        let mut buckets = Buckets::new(10, 20);
        let mut taken = 0;
        while buckets.take("flood", now, PATIENCE).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 20 + 50, "the burst, and five seconds of the rate");
        let wait = buckets.take("flood", now, PATIENCE).unwrap_err();
        assert!(wait > PATIENCE, "{wait:?}");
        for _ in 0..20 {
            assert_eq!(buckets.take("quiet", now, PATIENCE), Ok(Duration::ZERO));
        }
    }

    #[test]
    fn namespaces_that_ask_all_the_time_have_equal_parts() {
        let start = Instant::now();
        let mut buckets = Buckets::new(100, 10);
        let mut sent = BTreeMap::new();
        for tick in 0..10_000_u64 {
            let now = start + Duration::from_millis(tick);
            for namespace in ["a", "b", "c", "d"] {
                let greedy = if namespace == "a" { 10 } else { 1 };
                for _ in 0..greedy {
                    if buckets.take(namespace, now, Duration::ZERO).is_ok() {
                        *sent.entry(namespace).or_insert(0_u32) += 1;
                    }
                }
            }
        }
        let all: u32 = sent.values().sum();
        assert!(
            (950..1150).contains(&all),
            "100 in a second, and bursts: {all}"
        );
        for (namespace, sent) in &sent {
            assert!((230..290).contains(sent), "{namespace}: {sent}");
        }
    }
}
