//! From civil days and times to instants: when a window is open, and when that changes.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Range, Window};

/// How far an answer is searched, in days: first as far as nearly every answer lies (a calendar
/// repeats weekly, clocks change at most a few times a year), then a year and a month. A year,
/// because windows in two zones may meet only in the weeks in which their clocks are apart
/// differently; nothing new comes after it.
const SEARCH_DAYS: [i64; 2] = [16, 400];

/// An occurrence can reach this many days past the day it belongs to: one for crossing midnight,
/// one for a zone's jump over a whole day (Pacific/Apia, 2011), one to spare.
const REACH_DAYS: i32 = 3;

/// One stretch of time in which something is open: from `start`, up to but not including `end`.
/// The record of a promotion names the occurrence it began in (M24).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Occurrence {
    /// The first instant in it.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

impl Occurrence {
    /// Whether the instant lies in it.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// Whether the windows are open together, and when that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum WindowState {
    /// All are open.
    Open {
        /// The first instant at which not all are; nothing if that does not come within a year.
        until: Option<Timestamp>,
    },
    /// Not all are open.
    Closed {
        /// The next instant at which all are; nothing if that does not come within a year.
        opens: Option<Timestamp>,
    },
}

impl WindowState {
    /// Whether a promotion may begin.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Closed { .. } => false,
        }
    }

    /// When to look again.
    #[must_use]
    pub fn next_change(self) -> Option<Timestamp> {
        match self {
            Self::Open { until: change } | Self::Closed { opens: change } => change,
        }
    }
}

impl Window {
    /// The occurrence the instant lies in. Occurrences that overlap or touch are one; only where
    /// they touch without end (always open) it is the one of a single range that ends last, so
    /// that what is recorded and what expires with it stays bounded.
    #[must_use]
    pub fn open_at(&self, now: Timestamp) -> Option<Occurrence> {
        for days in SEARCH_DAYS {
            let (from, to) = (shift(now, -days), shift(now, days));
            let runs = union(std::slice::from_ref(self), from, to);
            let run = runs.into_iter().find(|run| run.contains(now))?;
            if from < run.start && run.end < to {
                return Some(run);
            }
        }
        self.occurrences(now, now)
            .into_iter()
            .filter(|one| one.contains(now))
            .max_by_key(|one| one.end)
    }

    /// When the window closes, if it is open, or opens, if it is closed; nothing if that does not
    /// happen within a year.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        search(&[std::slice::from_ref(self)], now).next_change()
    }

    /// Every occurrence that meets `[from, to]`, unsorted and unmerged, and some around it.
    fn occurrences(&self, from: Timestamp, to: Timestamp) -> Vec<Occurrence> {
        let reach = jiff::Span::new().days(REACH_DAYS);
        let first = self
            .zone
            .to_datetime(from)
            .date()
            .checked_sub(reach)
            .unwrap_or(Date::MIN);
        let last = self.zone.to_datetime(to).date();
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok())
            .take_while(|day| *day <= last);
        days.flat_map(|day| {
            self.ranges
                .iter()
                .filter_map(move |range| self.on(day, range))
        })
        .collect()
    }

    /// The occurrence of the range that belongs to the day. None where the clocks skip it: between
    /// 02:30 and 03:15 there is no time when they go from 02:00 to 03:00, as 02:30 means 03:30.
    fn on(&self, day: Date, range: &Range) -> Option<Occurrence> {
        let Range { days, from, to } = range;
        if !days.iter().any(|one| one.weekday() == day.weekday()) {
            return None;
        }
        let opens = day.to_datetime(from.within_day()?);
        let closes = match to.within_day() {
            Some(time) if from < to => day.to_datetime(time),
            // Midnight: the next day's first moment is this day's end.
            None => day.tomorrow().ok()?.at(0, 0, 0, 0),
            Some(time) => day.tomorrow().ok()?.to_datetime(time),
        };
        let instant = |civil| self.zone.to_ambiguous_timestamp(civil).compatible().ok();
        let one = Occurrence {
            start: instant(opens)?,
            end: instant(closes)?,
        };
        (one.start < one.end).then_some(one)
    }
}

/// Whether every group and the narrowing have an open window, and when that changes (M23). A group
/// is the windows of one policy: any of them will do. An empty group is never open, since its
/// policy asked for windows that are not there; without any group there is nothing to wait for.
#[must_use]
pub fn state(groups: &[Vec<Window>], narrowing: Option<&[Window]>, now: Timestamp) -> WindowState {
    let all: Vec<&[Window]> = groups.iter().map(Vec::as_slice).chain(narrowing).collect();
    search(&all, now)
}

fn search(groups: &[&[Window]], now: Timestamp) -> WindowState {
    // Whether it is open now is known after the first round; the later one only looks further.
    let mut open = groups.is_empty();
    for days in SEARCH_DAYS {
        let horizon = shift(now, days);
        let Some(joint) = intersection(groups, now, horizon) else {
            break;
        };
        let Some(run) = joint.into_iter().find(|run| now < run.end) else {
            continue;
        };
        open = run.contains(now);
        if open && run.end < horizon {
            return WindowState::Open {
                until: Some(run.end),
            };
        }
        if !open && run.start < horizon {
            return WindowState::Closed {
                opens: Some(run.start),
            };
        }
    }
    if open {
        WindowState::Open { until: None }
    } else {
        WindowState::Closed { opens: None }
    }
}

/// Where all groups are open at once; nothing without groups.
fn intersection(groups: &[&[Window]], from: Timestamp, to: Timestamp) -> Option<Vec<Occurrence>> {
    groups
        .iter()
        .map(|group| union(group, from, to))
        .reduce(|left, right| meet(&left, &right))
}

/// Where any of the windows is open: sorted, and apart from each other. A run that meets `from` or
/// `to` may be longer than it is given here.
fn union(windows: &[Window], from: Timestamp, to: Timestamp) -> Vec<Occurrence> {
    let mut all: Vec<Occurrence> = windows
        .iter()
        .flat_map(|window| window.occurrences(from, to))
        .collect();
    all.sort_unstable();
    let mut runs: Vec<Occurrence> = Vec::new();
    for one in all {
        match runs.last_mut() {
            Some(run) if one.start <= run.end => run.end = run.end.max(one.end),
            _ => runs.push(one),
        }
    }
    runs
}

/// Where both lists are open; both are sorted, and their runs apart.
fn meet(left: &[Occurrence], right: &[Occurrence]) -> Vec<Occurrence> {
    let mut met = Vec::new();
    let (mut lefts, mut rights) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(one), Some(other)) = (lefts.peek(), rights.peek()) {
        let both = Occurrence {
            start: one.start.max(other.start),
            end: one.end.min(other.end),
        };
        if both.start < both.end {
            met.push(both);
        }
        if one.end < other.end {
            lefts.next();
        } else {
            rights.next();
        }
    }
    met
}

/// The instant so many days of 24 hours away, or the last one there is.
fn shift(instant: Timestamp, days: i64) -> Timestamp {
    let furthest = if days < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    instant
        .checked_add(SignedDuration::from_hours(24 * days))
        .unwrap_or(furthest)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::civil::DateTime;
    use proptest::prelude::*;

    use super::super::{Calendar, ClockTime, Day, parse_annotation};
    use super::*;

    fn windows(text: &str) -> Vec<Window> {
        parse_annotation(text).unwrap()
    }

    fn window(text: &str) -> Window {
        windows(text).remove(0)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The window's answers just before, at and after the edges of one occurrence.
    fn check(window: &Window, start: &str, end: &str) {
        let (start, end) = (at(start), at(end));
        let nanosecond = SignedDuration::from_nanos(1);
        let occurrence = Some(Occurrence { start, end });
        assert_eq!(window.open_at(start - nanosecond), None, "before {start}");
        assert_eq!(window.next_change(start - nanosecond), Some(start));
        assert_eq!(window.open_at(start), occurrence);
        assert_eq!(window.next_change(start), Some(end));
        assert_eq!(window.open_at(end - nanosecond), occurrence);
        assert_eq!(window.next_change(end - nanosecond), Some(end));
        assert_eq!(window.open_at(end), None, "at {end}");
    }

    // In Berlin on 2026-03-29, 02:00 (01:00Z) becomes 03:00; on 2026-10-25, 03:00 (01:00Z) becomes
    // 02:00. Both are Sundays.

    #[test]
    fn clocks_going_forward_skip_an_hour() {
        let zone = "Europe/Berlin";
        check(
            &window(&format!("Sun 02:30-04:00 {zone}")),
            "2026-03-29T01:30Z",
            "2026-03-29T02:00Z",
        );
        check(
            &window(&format!("Sun 01:00-02:30 {zone}")),
            "2026-03-29T00:00Z",
            "2026-03-29T01:30Z",
        );
        check(
            &window(&format!("Sun 02:10-02:40 {zone}")),
            "2026-03-29T01:10Z",
            "2026-03-29T01:40Z",
        );
        check(
            &window(&format!("Sat 22:00-06:00 {zone}")),
            "2026-03-28T21:00Z",
            "2026-03-29T04:00Z",
        );
        check(
            &window(&format!("Sat 23:00-02:30 {zone}")),
            "2026-03-28T22:00Z",
            "2026-03-29T01:30Z",
        );
        // 02:30 means 03:30, which is after 03:15: this occurrence does not exist.
        let skipped = window(&format!("Sun 02:30-03:15 {zone}"));
        assert_eq!(
            skipped.next_change(at("2026-03-28T12:00Z")),
            Some(at("2026-04-05T00:30Z"))
        );
    }

    #[test]
    fn clocks_going_back_repeat_an_hour() {
        let zone = "Europe/Berlin";
        check(
            &window(&format!("Sun 02:30-03:00 {zone}")),
            "2026-10-25T00:30Z",
            "2026-10-25T02:00Z",
        );
        check(
            &window(&format!("Sun 02:30-02:45 {zone}")),
            "2026-10-25T00:30Z",
            "2026-10-25T00:45Z",
        );
        check(
            &window(&format!("Sun 01:30-02:30 {zone}")),
            "2026-10-24T23:30Z",
            "2026-10-25T00:30Z",
        );
        check(
            &window(&format!("Sat 22:00-06:00 {zone}")),
            "2026-10-24T20:00Z",
            "2026-10-25T05:00Z",
        );
        check(
            &window(&format!("Sat 23:00-02:30 {zone}")),
            "2026-10-24T21:00Z",
            "2026-10-25T00:30Z",
        );
    }

    #[test]
    fn midnight_leap_days_and_seconds_need_no_care() {
        check(
            &window("Tue 22:00-06:00 UTC"),
            "2026-11-24T22:00Z",
            "2026-11-25T06:00Z",
        );
        check(
            &window("Tue 00:00-24:00 UTC"),
            "2026-11-24T00:00Z",
            "2026-11-25T00:00Z",
        );
        check(
            &window("Tue 10:00-10:00 UTC"),
            "2026-11-24T10:00Z",
            "2026-11-25T10:00Z",
        );
        check(
            &window("Tue 10:00:30-10:00:31 UTC"),
            "2026-11-24T10:00:30Z",
            "2026-11-24T10:00:31Z",
        );
        check(
            &window("Tue 10:00-11:00 Asia/Kolkata"),
            "2026-03-31T04:30Z",
            "2026-03-31T05:30Z",
        );
        // 2028-02-29 is a Tuesday.
        check(
            &window("Tue 22:00-06:00 UTC"),
            "2028-02-29T22:00Z",
            "2028-03-01T06:00Z",
        );
        check(
            &window("Mon 22:00-24:00 UTC"),
            "2028-02-28T22:00Z",
            "2028-02-29T00:00Z",
        );
    }

    #[test]
    fn occurrences_that_touch_are_one() {
        check(
            &window("Mon-Fri 00:00-24:00 UTC"),
            "2026-11-23T00:00Z",
            "2026-11-28T00:00Z",
        );
        let text = r#"{"zone":"UTC","ranges":[
            {"days":["Mon"],"from":"10:00","to":"12:00"},
            {"days":["Mon"],"from":"12:00","to":"13:00"},
            {"days":["Mon"],"from":"11:00","to":"11:30"}]}"#;
        let calendar: Calendar = serde_json::from_str(text).unwrap();
        check(
            &Window::new(&calendar).unwrap(),
            "2026-11-23T10:00Z",
            "2026-11-23T13:00Z",
        );
    }

    #[test]
    fn always_open_never_changes_and_its_occurrence_is_bounded() {
        for zone in ["UTC", "Europe/Berlin", "Pacific/Apia"] {
            let always = window(&format!("Mon-Sun 00:00-24:00 {zone}"));
            let now = at("2026-10-25T00:30Z");
            assert_eq!(always.next_change(now), None);
            let occurrence = always.open_at(now).unwrap();
            assert!(occurrence.contains(now));
            assert!(occurrence.end.duration_since(occurrence.start).as_hours() <= 25);
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let nights = window("Mon-Sun 22:00-06:00 Asia/Kolkata");
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let _ = (nights.open_at(now), nights.next_change(now));
        }
    }

    #[test]
    fn any_window_of_a_policy_and_every_policy() {
        let now = at("2026-11-24T09:00Z"); // a Tuesday
        let either = windows("Tue 08:00-10:00 UTC; Tue 09:30-11:00 UTC");
        let other = windows("Tue 08:30-10:30 UTC");
        let narrow = windows("Tue 08:00-09:45 UTC");
        let until = |text| WindowState::Open {
            until: Some(at(text)),
        };
        let closed = |text| WindowState::Closed {
            opens: Some(at(text)),
        };
        assert_eq!(state(&[], None, now), WindowState::Open { until: None });
        assert_eq!(
            state(std::slice::from_ref(&either), None, now),
            until("2026-11-24T11:00Z")
        );
        let both = [either, other];
        assert_eq!(state(&both, None, now), until("2026-11-24T10:30Z"));
        assert_eq!(state(&both, Some(&narrow), now), until("2026-11-24T09:45Z"));
        let later = windows("Wed 08:00-09:00 UTC; Tue 10:15-23:00 UTC");
        assert_eq!(state(&both, Some(&later), now), closed("2026-11-24T10:15Z"));
        assert_eq!(state(&[], Some(&later), now), closed("2026-11-24T10:15Z"));
        let after = at("2026-11-24T10:30Z");
        assert_eq!(
            state(&both, Some(&later), after),
            closed("2026-12-01T10:15Z")
        );
    }

    #[test]
    fn what_never_opens_says_so() {
        let now = at("2026-11-24T09:00Z");
        let never = WindowState::Closed { opens: None };
        assert_eq!(
            state(&[Vec::new()], None, now),
            never,
            "a policy whose windows are missing"
        );
        assert_eq!(
            state(&[windows("Tue 08:00-10:00 UTC"), Vec::new()], None, now),
            never
        );
        assert_eq!(state(&[], Some(&[]), now), never);
        let apart = [
            windows("Mon 08:00-10:00 UTC"),
            windows("Mon 10:00-12:00 UTC"),
        ];
        assert_eq!(state(&apart, None, now), never);
    }

    #[test]
    fn zones_may_meet_only_while_their_clocks_differ() {
        // 14:00 in Berlin is 09:00 in New York for a few weeks a year, and 08:00 otherwise.
        let both = [
            windows("Mon-Fri 14:00-14:30 Europe/Berlin"),
            windows("Mon-Fri 09:00-09:30 America/New_York"),
        ];
        let opens = |now| state(&both, None, at(now));
        let spring = WindowState::Closed {
            opens: Some(at("2027-03-15T13:00Z")),
        };
        assert_eq!(opens("2026-11-24T09:00Z"), spring);
    }

    #[test]
    fn people_read_their_own_clock() {
        let text = window("Tue 10:00-12:00 Europe/Berlin").local(at("2026-03-31T08:00Z"));
        assert_eq!(text, "Tue 2026-03-31 10:00 CEST");
    }

    /// Every minute within nine days of the instant, and what the zone's clocks show then.
    fn minutes(zone: &jiff::tz::TimeZone, now: Timestamp) -> Vec<(Timestamp, DateTime)> {
        let first = now - SignedDuration::from_hours(9 * 24);
        (0..18 * 24 * 60)
            .map(|minute| first + SignedDuration::from_mins(minute))
            .map(|instant| (instant, zone.to_datetime(instant)))
            .collect()
    }

    /// An independent reading of the rule: walk the minutes, let each civil time mean the first
    /// minute that shows it, and a skipped one as much later as the clocks jumped.
    fn open_minutes(window: &Window, minutes: &[(Timestamp, DateTime)]) -> Vec<bool> {
        let mut first: BTreeMap<DateTime, usize> = BTreeMap::new();
        for (index, (_, civil)) in minutes.iter().enumerate() {
            first.entry(*civil).or_insert(index);
        }
        let meaning = |civil: DateTime| {
            first.get(&civil).copied().or_else(|| {
                let before = *first.range(..civil).next_back()?.1;
                let past = civil.duration_since(minutes[before].1).as_mins();
                Some(before + usize::try_from(past).unwrap()).filter(|i| *i < minutes.len())
            })
        };
        let mut open = vec![false; minutes.len()];
        let mut date = minutes[0].1.date().tomorrow().unwrap();
        while date < minutes[minutes.len() - 1].1.date() {
            let next = date.tomorrow().unwrap();
            for Range { days, from, to } in &window.ranges {
                if !days.iter().any(|day| day.weekday() == date.weekday()) {
                    continue;
                }
                let start = date.to_datetime(from.within_day().unwrap());
                let end = match to.within_day() {
                    Some(time) if to > from => date.to_datetime(time),
                    Some(time) => next.to_datetime(time),
                    None => next.at(0, 0, 0, 0),
                };
                if let (Some(start), Some(end)) = (meaning(start), meaning(end)) {
                    open.iter_mut()
                        .take(end)
                        .skip(start)
                        .for_each(|minute| *minute = true);
                }
            }
            date = next;
        }
        open
    }

    fn ranges() -> impl Strategy<Value = Vec<Range>> {
        let clock = |limit: u32| {
            (0..limit).prop_map(|half| format!("{:02}:{:02}", half / 4, half % 4 * 15))
        };
        let days = proptest::sample::subsequence(Day::ALL.to_vec(), 1..=7);
        let range = (days, clock(96), clock(97)).prop_map(|(days, from, to)| Range {
            days,
            from: ClockTime::parse(&from).unwrap(),
            to: ClockTime::parse(&to).unwrap(),
        });
        proptest::collection::vec(range, 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn every_minute_agrees_with_a_scan(
            ranges in ranges(),
            // Clocks change in each of these within a day; Lord Howe's by half an hour, and Apia
            // skipped a whole day.
            (zone, change) in proptest::sample::select(vec![
                ("Europe/Berlin", "2026-03-29T01:00Z"),
                ("Europe/Berlin", "2026-10-25T01:00Z"),
                ("America/New_York", "2026-11-01T06:00Z"),
                ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
                ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
                ("Pacific/Apia", "2011-12-30T10:00Z"),
                ("Asia/Kolkata", "2028-02-29T00:00Z"),
            ]),
            minute in -1500_i64..1500,
        ) {
            let window = Window::new(&Calendar { zone: zone.into(), ranges }).unwrap();
            let now = at(change) + SignedDuration::from_mins(minute);
            let minutes = minutes(&window.zone, now);
            let open = open_minutes(&window, &minutes);
            let here = 9 * 24 * 60;
            prop_assert_eq!(minutes[here].0, now);
            prop_assert_eq!(window.open_at(now).is_some(), open[here]);
            // The scan knows nothing of the days at its edges.
            let known = minutes.len() - 3 * 24 * 60;
            let change = (here..known).find(|i| open[*i] != open[here]).map(|i| minutes[i].0);
            let found = window.next_change(now).filter(|instant| *instant < minutes[known].0);
            prop_assert_eq!(found, change);
            if let Some(occurrence) = window.open_at(now).filter(|_| change.is_some()) {
                prop_assert_eq!(Some(occurrence.end), change);
                let since = (3 * 24 * 60..=here).rev().find(|i| !open[*i]).map(|i| minutes[i + 1].0);
                if let Some(since) = since {
                    prop_assert_eq!(occurrence.start, since);
                }
            }
        }
    }
}
