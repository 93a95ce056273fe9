//! When a GET is sent again: after what passes by itself, three times in all, with pauses.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use super::problem::Problem;

/// How often a request is sent. More would only wait for the deadline of the whole look.
const ATTEMPTS: u32 = 3;

/// The pause after the first attempt; it doubles.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A pause that is asked for is kept up to this; a longer one ends the look, which is made again
/// later by itself.
const MOST_ASKED_FOR: Duration = Duration::from_secs(3);

/// The attempts at one request.
#[derive(Debug)]
pub(super) struct Attempts {
    left: u32,
    pause: Duration,
}

impl Attempts {
    /// Three, with pauses from `first` on.
    pub(super) fn new(first: Duration) -> Self {
        Self {
            left: ATTEMPTS,
            pause: first,
        }
    }

    /// One.
    pub(super) fn once() -> Self {
        Self {
            left: 1,
            pause: Duration::ZERO,
        }
    }

    /// After an attempt failed: how long to wait before the next, or that there is none. `random`
    /// spreads the pauses of those that failed together.
    pub(super) fn after(&mut self, problem: &Problem, random: u64) -> Option<Duration> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            return None;
        }
        let asked_for = match problem {
            Problem::Connection(_) => None,
            Problem::Overloaded {
                status: 429 | 502..=504,
                retry_after,
            } => *retry_after,
            Problem::Overloaded { .. }
            | Problem::Deadline(_)
            | Problem::Memory(_)
            | Problem::LeftAlone { .. }
            | Problem::Share { .. }
            | Problem::Waited { .. }
            | Problem::Forbidden { .. }
            | Problem::Challenge(_)
            | Problem::Address(_)
            | Problem::Missing
            | Problem::Status(_)
            | Problem::Limit { .. }
            | Problem::Hash { .. }
            | Problem::Document(_)
            | Problem::Redirect(_)
            | Problem::Layout(_) => return None,
        };
        if asked_for.is_some_and(|pause| pause > MOST_ASKED_FOR) {
            return None;
        }
        let own = jittered(self.pause, random);
        self.pause = self.pause.saturating_mul(2);
        Some(asked_for.map_or(own, |pause| pause.max(own)))
    }
}

/// From a half of the pause to all of it.
fn jittered(pause: Duration, random: u64) -> Duration {
    let half = pause / 2;
    let parts = u32::try_from(random % 1024).unwrap_or(0);
    half + half * parts / 1024
}

/// A number that nobody foresees.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The pause that `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date, which is
/// compared with the answer's own `Date`, so that nobody's clock matters.
pub(super) fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number has are a long time too.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let parser = DateTimeParser::new();
    let until = parser.parse_timestamp(value).ok()?;
    let now = parser.parse_timestamp(date?.trim()).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overloaded(status: u16, retry_after: Option<u64>) -> Problem {
        Problem::Overloaded {
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn three_attempts_with_pauses_that_double_and_vary() {
        let mut attempts = Attempts::new(Duration::from_millis(200));
        let broken = Problem::Connection("reset".to_owned());
        assert_eq!(attempts.after(&broken, 0), Some(Duration::from_millis(100)));
        let second = attempts.after(&broken, 1023).unwrap();
        assert!(second > Duration::from_millis(390) && second < Duration::from_millis(400));
        assert_eq!(attempts.after(&broken, 0), None);
        assert_eq!(Attempts::once().after(&broken, 0), None);
        assert_ne!(random(), random());
    }

    #[test]
    fn only_what_passes_by_itself_is_tried_again() {
        for status in [429, 502, 503, 504] {
            let mut attempts = Attempts::new(FIRST_PAUSE);
            assert!(attempts.after(&overloaded(status, None), 0).is_some());
        }
        for problem in [
            overloaded(500, None),
            overloaded(501, Some(1)),
            Problem::Missing,
            Problem::Status(405),
            Problem::Address("private".to_owned()),
            Problem::Document("both".to_owned()),
        ] {
            let mut attempts = Attempts::new(FIRST_PAUSE);
            assert_eq!(attempts.after(&problem, 0), None, "{problem}");
        }
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept_and_an_absurd_one_ends_it() {
        let after = |asked| Attempts::new(FIRST_PAUSE).after(&overloaded(503, asked), 0);
        assert_eq!(after(Some(2)), Some(Duration::from_secs(2)));
        assert_eq!(after(Some(0)), Some(FIRST_PAUSE / 2), "never at once");
        assert_eq!(after(Some(4)), None);
        assert_eq!(after(Some(u64::MAX)), None);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let date = Some("Tue, 24 Nov 2026 10:00:00 GMT");
        let seconds = |value| retry_after(value, date).map(|pause| pause.as_secs());
        assert_eq!(seconds(" 120 "), Some(120));
        assert_eq!(seconds("99999999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Tue, 24 Nov 2026 10:00:02 GMT"), Some(2));
        assert_eq!(seconds("Tue, 24 Nov 2026 09:00:00 GMT"), Some(0), "over");
        for unreadable in ["", "-1", "1.5", "soon", "2026-11-24T10:00:00Z"] {
            assert_eq!(seconds(unreadable), None, "{unreadable}");
        }
        assert_eq!(retry_after("Tue, 24 Nov 2026 10:00:02 GMT", None), None);
    }
}
