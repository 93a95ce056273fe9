//! How old evidence is, and until when it counts.

use jiff::{SignedDuration, Timestamp};

use crate::policy::Age;

/// Clocks differ, and this much of it is nothing: what is further in the future than this was not
/// made by an honest clock.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Whether something of an age counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gates) enum Freshness {
    /// It does, before this instant; for ever, where no age is asked for.
    Fresh(Option<Timestamp>),
    /// It is too old since this instant.
    Stale(Timestamp),
    /// One of its times, this one, is in the future.
    Future(Timestamp),
    /// An age is asked for, and nothing says when it was made.
    Unknown,
}

impl Freshness {
    /// Of what was made at the oldest of `times`.
    pub(in crate::gates) fn of(
        times: impl IntoIterator<Item = Timestamp>,
        most: Option<Age>,
        now: Timestamp,
    ) -> Self {
        let mut oldest: Option<Timestamp> = None;
        for time in times {
            if is_future(time, now) {
                return Self::Future(time);
            }
            oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
        }
        let Some(most) = most else {
            return Self::Fresh(None);
        };
        let Some(oldest) = oldest else {
            return Self::Unknown;
        };
        let ends = oldest.saturating_add(most.duration()).unwrap_or(oldest);
        if now < ends {
            Self::Fresh(Some(ends))
        } else {
            Self::Stale(ends)
        }
    }
}

/// Whether a time is further in the future than clocks may differ.
pub(in crate::gates) fn is_future(time: Timestamp, now: Timestamp) -> bool {
    now.saturating_add(SKEW).is_ok_and(|latest| time > latest)
}

/// The earlier of two ends.
pub(in crate::gates) fn earlier(
    one: Option<Timestamp>,
    other: Option<Timestamp>,
) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;

    #[test]
    fn the_oldest_time_counts_up_to_the_instant_at_which_it_is_too_old() {
        let (now, day) = (at("2026-11-24T10:00:00Z"), Some(Age::hours(24)));
        let of = |times: &[&str]| Freshness::of(times.iter().map(|text| at(text)), day, now);
        let ends = |text| Freshness::Fresh(Some(at(text)));
        assert_eq!(of(&["2026-11-24T09:00:00Z"]), ends("2026-11-25T09:00:00Z"));
        let two = ["2026-11-24T09:00:00Z", "2026-11-23T10:00:01Z"];
        assert_eq!(of(&two), ends("2026-11-24T10:00:01Z"));
        assert_eq!(of(&["2026-11-23T10:00:00Z"]), Freshness::Stale(now));
        assert_eq!(
            of(&["0001-01-01T00:00:00Z"]),
            Freshness::Stale(at("0001-01-02T00:00:00Z"))
        );
        assert_eq!(of(&[]), Freshness::Unknown);
        assert_eq!(Freshness::of([], None, now), Freshness::Fresh(None));
    }

    #[test]
    fn nothing_is_made_in_the_future_beyond_what_clocks_differ() {
        let now = at("2026-11-24T10:00:00Z");
        let of = |text, most| Freshness::of([at(text)], most, now);
        let late = at("2026-11-24T10:05:01Z");
        assert_eq!(of("2026-11-24T10:05:01Z", None), Freshness::Future(late));
        assert_eq!(of("2026-11-24T10:05:00Z", None), Freshness::Fresh(None));
        let fresh = of("2026-11-24T10:05:00Z", Some(Age::hours(1)));
        assert_eq!(fresh, Freshness::Fresh(Some(at("2026-11-24T11:05:00Z"))));
    }
}
