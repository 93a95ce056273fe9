//! The annotation that narrows windows: `Tue-Thu 10:00-12:00 Europe/Berlin` (M23).
//!
//! It is written by whoever requests a Promotion, so it can only take time away: [`super::state`]
//! intersects it with the windows of every policy.

use super::{Calendar, ClockTime, Day, Error, RANGE_LIMIT, Range, Window};
use crate::release::clip;

/// What every message about an unreadable annotation shows.
pub(super) const EXAMPLE: &str = "Tue-Thu 10:00-12:00 Europe/Berlin";

/// Room for 16 windows; more is not something a person wrote.
const LENGTH_LIMIT: usize = 512;

/// Parses the value of the annotation `lockmaster.dev/window`: `days from-to zone`, several joined
/// by `;`, open where any of them is. Days are `Mon`, `Mon-Fri`, `Fri-Mon` or `Mon,Wed`.
pub fn parse_annotation(text: &str) -> Result<Vec<Window>, Error> {
    if text.chars().count() > LENGTH_LIMIT {
        return Err(unreadable(text, "it is longer than 512 characters"));
    }
    let parts: Vec<&str> = text.split(';').collect();
    if parts.len() > RANGE_LIMIT {
        return Err(unreadable(text, "it has more than 16 windows"));
    }
    parts.into_iter().map(parse_window).collect()
}

fn parse_window(part: &str) -> Result<Window, Error> {
    let fields: Vec<&str> = part.split_whitespace().collect();
    let [days, times, zone] = fields.as_slice() else {
        return Err(unreadable(
            part,
            &format!(
                "it has {} parts separated by spaces instead of 3",
                fields.len()
            ),
        ));
    };
    let days = parse_days(days).map_err(|problem| unreadable(part, &problem))?;
    let (from, to) = times
        .split_once('-')
        .ok_or_else(|| unreadable(part, &format!("\"{}\" is not from-to", clip(times))))?;
    let from = parse_time(part, from)?;
    let to = parse_time(part, to)?;
    let calendar = Calendar {
        zone: (*zone).to_owned(),
        ranges: vec![Range { days, from, to }],
    };
    Window::new(&calendar).map_err(|error| unreadable(part, &error.to_string()))
}

fn parse_time(part: &str, text: &str) -> Result<ClockTime, Error> {
    ClockTime::parse(text).map_err(|error| unreadable(part, &error.to_string()))
}

/// The days in the order of the week, each once, however often they are named.
fn parse_days(text: &str) -> Result<Vec<Day>, String> {
    let mut days = Vec::new();
    for item in text.split(',') {
        match item.split_once('-') {
            Some((first, last)) => days.extend(from_to(parse_day(first)?, parse_day(last)?)),
            None => days.push(parse_day(item)?),
        }
    }
    days.sort_unstable();
    days.dedup();
    Ok(days)
}

/// From `first` through `last`, over the end of the week where need be: `Fri-Mon` is four days.
fn from_to(first: Day, last: Day) -> impl Iterator<Item = Day> {
    Day::ALL.into_iter().filter(move |day| {
        if first <= last {
            (first..=last).contains(day)
        } else {
            *day >= first || *day <= last
        }
    })
}

fn parse_day(text: &str) -> Result<Day, String> {
    Day::ALL
        .into_iter()
        .find(|day| day.word() == text)
        .ok_or_else(|| format!("\"{}\" is no day (Mon Tue Wed Thu Fri Sat Sun)", clip(text)))
}

fn unreadable(text: &str, problem: &str) -> Error {
    Error::Annotation {
        text: clip(text.trim()),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> String {
        let words: Vec<_> = parse_days(text)
            .unwrap()
            .into_iter()
            .map(Day::word)
            .collect();
        words.join(" ")
    }

    #[test]
    fn days_are_single_listed_or_a_stretch_of_the_week() {
        assert_eq!(days("Mon"), "Mon");
        assert_eq!(days("Mon-Fri"), "Mon Tue Wed Thu Fri");
        assert_eq!(days("Mon,Wed"), "Mon Wed");
        assert_eq!(days("Wed,Mon-Tue,Mon"), "Mon Tue Wed");
        assert_eq!(days("Fri-Mon"), "Mon Fri Sat Sun");
        assert_eq!(days("Sun-Sun"), "Sun");
    }

    #[test]
    fn several_windows_are_joined_by_semicolons() {
        let windows =
            parse_annotation("Tue-Thu 10:00-12:00 Europe/Berlin; Sat 22:00-06:00 UTC").unwrap();
        assert_eq!(windows.len(), 2);
        assert_eq!(windows[1].ranges[0].days, [Day::Sat]);
        assert_eq!(windows[1].zone.iana_name(), Some("UTC"));
        let most = vec![EXAMPLE; 14].join(";");
        assert_eq!(parse_annotation(&most).unwrap().len(), 14);
    }

    #[test]
    fn what_cannot_be_read_says_what_was_expected() {
        let check = |text: &str, problem: &str| {
            let message = parse_annotation(text).unwrap_err().to_string();
            assert!(message.contains(problem), "{text}: {message}");
            assert!(
                message.contains(&format!("such as \"{EXAMPLE}\"")),
                "{message}"
            );
            assert!(message.len() < 700, "{message}");
        };
        check("", "it has 0 parts separated by spaces instead of 3");
        check("always", "it has 1 parts separated by spaces instead of 3");
        check(
            "Mon 10:00-12:00",
            "it has 2 parts separated by spaces instead of 3",
        );
        check(
            "Mon 10:00 - 12:00 UTC",
            "it has 5 parts separated by spaces instead of 3",
        );
        check(
            "Mon 10:00-12:00 UTC;",
            "it has 0 parts separated by spaces instead of 3",
        );
        check("Mo 10:00-12:00 UTC", "\"Mo\" is no day");
        check("mon 10:00-12:00 UTC", "\"mon\" is no day");
        check("Mon- 10:00-12:00 UTC", "\"\" is no day");
        check("Mon 10:00 UTC", "\"10:00\" is not from-to");
        check("Mon 10-12 UTC", "\"10\" is not a time of day");
        check("Mon 24:00-12:00 UTC", "cannot start at 24:00");
        check("Mon 10:00-12:00 Berlin", "such as Europe/Berlin;");
        check(&"x".repeat(513), "longer than 512 characters");
        check(&";".repeat(16), "more than 16 windows");
    }
}
