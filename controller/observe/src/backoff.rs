//! Pauses between attempts: doubling, up to a limit.

use std::time::Duration;

use kube::runtime::utils::Backoff as Pause;

use crate::workloads::LONGEST_WATCH_PAUSE;

/// The first pause of a watch that failed.
const FIRST: Duration = Duration::from_millis(500);

/// Pauses that double up to a limit.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
    limit: Duration,
}

impl Backoff {
    /// For watches.
    #[must_use]
    pub fn watch() -> Self {
        Self {
            next: FIRST,
            limit: LONGEST_WATCH_PAUSE,
        }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.next;
        self.next = (pause * 2).min(self.limit);
        Some(pause)
    }
}

impl Pause for Backoff {
    fn reset(&mut self) {
        self.next = FIRST;
    }
}
