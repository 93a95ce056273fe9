//! Leaves a registry alone that does not work, and tries it again with one request at a time.
//!
//! Only what says that the registry itself is in trouble counts: no connection, a broken one, a 5xx.
//! A refusal or a 429 is an answer, so no tenant's credentials or haste close a registry for others.

use std::time::{Duration, Instant};

/// Failures in a row after which it is left alone. One look at an image may have 16 requests under
/// way, each tried three times.
const FAILURES_TO_OPEN: u32 = 5;

/// The first pause, and the longest; they double.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MOST_PAUSE: Duration = Duration::from_mins(1);

/// What is known of how one host does. The caller says what time it is.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    pause: Option<Duration>,
    open_until: Option<Instant>,
    probing: bool,
}

/// Why a request is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) failures: u32,
    /// Until it is tried again; zero while one request tries it.
    pub(super) remaining: Duration,
}

/// A request that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// Like any other.
    Normal,
    /// The one that finds out whether it works again.
    Probe,
}

impl Breaker {
    /// Whether a request may be sent. Each that may must be followed by one of the other three.
    pub(super) fn ask(&mut self, now: Instant) -> Result<Passage, Open> {
        let Some(until) = self.open_until else {
            return Ok(Passage::Normal);
        };
        let remaining = until.saturating_duration_since(now);
        if self.probing || !remaining.is_zero() {
            return Err(Open {
                failures: self.failures,
                remaining,
            });
        }
        self.probing = true;
        Ok(Passage::Probe)
    }

    /// It answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It is in trouble.
    pub(super) fn failed(&mut self, passage: Passage, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let is_probe = passage == Passage::Probe;
        if is_probe {
            self.probing = false;
        }
        // Those that were sent before it was left alone say nothing new.
        let opens = self.open_until.is_none() && self.failures >= FAILURES_TO_OPEN;
        if is_probe || opens {
            let pause = self
                .pause
                .map_or(FIRST_PAUSE, |last| (last * 2).min(MOST_PAUSE));
            self.pause = Some(pause);
            self.open_until = Some(now + pause);
        }
    }

    /// Nothing was learnt: the request was given up here, or never sent.
    pub(super) fn abandoned(&mut self, passage: Passage) {
        if passage == Passage::Probe {
            self.probing = false;
        }
    }

    /// Whether it is left alone, or only tried by one request.
    pub(super) fn is_open(&self) -> bool {
        self.open_until.is_some()
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_quiet(&self) -> bool {
        self.failures == 0 && !self.probing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            let passage = breaker.ask(now).unwrap();
            assert_eq!(passage, Passage::Normal);
            breaker.failed(passage, now);
        }
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_says_for_how_long() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 1..FAILURES_TO_OPEN {
                breaker.failed(Passage::Normal, now);
            }
            breaker.succeeded();
        }
        assert!(breaker.ask(now).is_ok(), "never that many in a row");
        let mut breaker = opened(now);
        let open = breaker.ask(now + seconds(2)).unwrap_err();
        assert_eq!((open.failures, open.remaining), (5, seconds(3)));
    }

    #[test]
    fn one_probe_finds_out_and_pauses_double_up_to_the_longest() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [5, 10, 20, 40, 60, 60] {
            let early = now + Duration::from_millis(pause * 1000 - 1);
            assert!(breaker.ask(early).is_err(), "{pause}");
            now += seconds(pause);
            let probe = breaker.ask(now).unwrap();
            assert_eq!(probe, Passage::Probe);
            assert!(breaker.ask(now).is_err(), "one at a time");
            breaker.failed(probe, now);
        }
        now += seconds(60);
        assert_eq!(breaker.ask(now), Ok(Passage::Probe));
        breaker.succeeded();
        assert!(breaker.is_quiet());
        assert_eq!(breaker.ask(now), Ok(Passage::Normal));
        let mut breaker = opened(now);
        assert_eq!(breaker.ask(now).unwrap_err().remaining, seconds(5), "anew");
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_it_to_the_next() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + seconds(5);
        let probe = breaker.ask(later).unwrap();
        breaker.abandoned(probe);
        assert_eq!(breaker.ask(later), Ok(Passage::Probe));
    }

    #[test]
    fn what_was_sent_before_it_opened_does_not_prolong_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(Passage::Normal, now + seconds(4));
        assert_eq!(breaker.ask(now + seconds(5)), Ok(Passage::Probe));
        breaker.failed(Passage::Normal, now + seconds(5));
        assert!(
            breaker.ask(now + seconds(5)).is_err(),
            "the probe is under way"
        );
        breaker.succeeded();
        assert_eq!(breaker.ask(now + seconds(5)), Ok(Passage::Normal));
    }
}
