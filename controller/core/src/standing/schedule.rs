//! When an image is looked at again.

use jiff::{SignedDuration, Timestamp};

use crate::facts::{Cause, Look};
use crate::release::Digest;

/// A registry that did not answer says nothing of the image: it is asked again before its turn.
const ASKED_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// Between two looks that people ask for.
const BETWEEN: SignedDuration = SignedDuration::from_secs(10);

/// When an image is due to be looked at again: every `every`, each at an instant of its own, so
/// that not all are read at once. `started` is when this process began, which remembers no look from
/// before; what a person `asked` for comes before.
#[must_use]
pub fn due(
    image: &Digest,
    look: &Look,
    every: SignedDuration,
    started: Timestamp,
    asked: Option<Timestamp>,
) -> Timestamp {
    let last = look.at.unwrap_or(started);
    let turn = match &look.problem {
        Some(why) if why.cause != Cause::Missing => {
            let tried = look.at.unwrap_or(started);
            after(tried, ASKED_AGAIN_AFTER.min(every))
        }
        Some(_) | None => next(image, every, last),
    };
    let asked = asked.filter(|asked| look.at.is_none_or(|at| *asked > at));
    let earliest = look.at.map_or(started, |at| after(at, BETWEEN));
    asked.map_or(turn, |asked| turn.min(asked.max(earliest)))
}

/// The first instant after `since` that is a whole number of `every` from the image's own offset. By
/// the wall clock: what restarts often gets its turn all the same.
fn next(image: &Digest, every: SignedDuration, since: Timestamp) -> Timestamp {
    let every = every.as_secs().max(1);
    let [a, b, c, d, ..] = image.sha256();
    let offset = i64::from(u32::from_be_bytes([a, b, c, d]));
    let past = (since.as_second() - offset).rem_euclid(every);
    after(since, SignedDuration::from_secs(every - past))
}

fn after(since: Timestamp, pause: SignedDuration) -> Timestamp {
    since.checked_add(pause).unwrap_or(since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unavailable;
    use crate::fixtures::{at, digest};

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn looked(at: Option<Timestamp>, cause: Option<Cause>) -> Look {
        let problem = cause.map(|cause| Unavailable {
            cause,
            message: "no".into(),
        });
        Look { at, problem }
    }

    #[test]
    fn each_image_has_one_turn_in_every_interval_and_not_all_the_same() {
        let (start, mut turns) = (
            at("2026-11-24T10:00:00Z"),
            std::collections::BTreeSet::new(),
        );
        for version in 0..50 {
            let image = digest(&format!("1.{version}.0"));
            let first = due(&image, &looked(None, None), HOUR, start, None);
            assert!(first > start && first <= start + HOUR, "{first}");
            let second = due(&image, &looked(Some(first), None), HOUR, start, None);
            assert_eq!(second, first + HOUR);
            // Whoever restarts meanwhile keeps to it.
            let restarted = first - SignedDuration::from_secs(1);
            assert_eq!(
                due(&image, &looked(None, None), HOUR, restarted, None),
                first
            );
            turns.insert(first);
        }
        assert!(turns.len() > 40, "{turns:?}");
    }

    #[test]
    fn a_registry_that_did_not_answer_is_asked_before_the_turn() {
        let (image, start) = (digest("1.42.0"), at("2026-11-24T10:00:00Z"));
        let failed = looked(Some(start), Some(Cause::Unreachable));
        assert_eq!(
            due(&image, &failed, HOUR, start, None),
            start + ASKED_AGAIN_AFTER
        );
        let gone = looked(Some(start), Some(Cause::Missing));
        assert_eq!(
            due(&image, &gone, HOUR, start, None),
            next(&image, HOUR, start)
        );
    }

    #[test]
    fn a_person_asks_for_a_look_once_and_not_too_often() {
        let (image, start) = (digest("1.42.0"), at("2026-11-24T10:00:00Z"));
        let ask = |look: &Look, asked: &str| due(&image, look, HOUR, start, Some(at(asked)));
        let never = looked(None, None);
        let turn = due(&image, &never, HOUR, start, None);
        assert_eq!(
            ask(&never, "2026-11-24T09:00:00Z"),
            start,
            "also before the start"
        );
        assert_eq!(
            ask(&never, "2026-11-24T10:00:07Z"),
            at("2026-11-24T10:00:07Z")
        );
        assert_eq!(
            ask(&never, "2027-01-01T00:00:00Z"),
            turn,
            "its turn comes before"
        );
        let just_now = looked(Some(at("2026-11-24T10:00:07Z")), None);
        let regular = due(&image, &just_now, HOUR, start, None);
        assert_eq!(
            ask(&just_now, "2026-11-24T10:00:07Z"),
            regular,
            "that was done"
        );
        assert_eq!(
            ask(&just_now, "2026-11-24T10:00:08Z"),
            at("2026-11-24T10:00:17Z")
        );
    }
}
