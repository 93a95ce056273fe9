//! Change windows: when something may change, as weekly calendars in a time zone (M23).
//!
//! A calendar says what people mean: civil days, civil times, a zone. It is resolved once into a
//! [`Window`], which answers for any instant whether it is open, since when, until when, and when
//! it opens next (M24 records that occurrence). The instant is always an argument: nothing here
//! has a clock, and the zone rules are compiled in, so that the operator, the CLI and a replay
//! years later give the same answer.

mod annotation;
mod occurrence;

use std::fmt;

use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::annotation::parse_annotation;
pub use self::occurrence::{Occurrence, WindowState, state};
use crate::release::clip;

/// At most this many ranges in one calendar, and this many windows in one annotation: each answer
/// walks all of them, for up to a year of days.
pub const RANGE_LIMIT: usize = 16;

/// Why a calendar or an annotation is not a window; the message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `HH:MM`, `HH:MM:SS` or `24:00`.
    #[error(
        "\"{0}\" is not a time of day: expected HH:MM or HH:MM:SS, such as 09:30 \
         (a range may also end at 24:00)"
    )]
    Time(String),
    /// A range that starts when its day is over.
    #[error("a range cannot start at 24:00: write 00:00 and the day after")]
    StartsAtDayEnd,
    /// The time zone does not exist.
    #[error("there is no time zone \"{zone}\": expected an IANA name, such as {suggestion}")]
    Zone {
        /// The name that was given.
        zone: String,
        /// A name that exists, close to the given one where there is such.
        suggestion: String,
    },
    /// No range, or too many.
    #[error("a calendar has 1 to 16 ranges, this one has {0}")]
    Ranges(usize),
    /// No day, or too many.
    #[error("a range has 1 to 7 days, this one has {0}")]
    Days(usize),
    /// The annotation cannot be read.
    #[error(
        "the window \"{text}\" cannot be read: {problem}; expected \"days from-to zone\", such as \
         \"{example}\", and at most 16 of them joined by \";\"",
        example = annotation::EXAMPLE
    )]
    Annotation {
        /// The annotation, or the part of it that is wrong.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// A day of the week.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[schemars(inline)]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All days, in the order of the week.
    pub const ALL: [Self; 7] = [
        Self::Mon,
        Self::Tue,
        Self::Wed,
        Self::Thu,
        Self::Fri,
        Self::Sat,
        Self::Sun,
    ];

    /// The word that names the day in calendars and annotations.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Mon => "Mon",
            Self::Tue => "Tue",
            Self::Wed => "Wed",
            Self::Thu => "Thu",
            Self::Fri => "Fri",
            Self::Sat => "Sat",
            Self::Sun => "Sun",
        }
    }

    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

/// A time on the wall: `HH:MM`, `HH:MM:SS`, or `24:00` for the end of the day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime(Clock);

/// Ordered so that the end of the day comes after every time in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    At(Time),
    DayEnd,
}

/// What the API server checks of an end; a start is the same without `24:00`.
const END_PATTERN: &str = "^(([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?|24:00)$";
const START_PATTERN: &str = "^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$";

impl ClockTime {
    /// Parses `HH:MM`, `HH:MM:SS` or `24:00`. A leap second (`23:59:60`) is refused: nobody's wall
    /// clock shows it, and the zone rules know none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text == "24:00" {
            return Ok(Self(Clock::DayEnd));
        }
        let error = || Error::Time(clip(text));
        let mut fields = text.split(':').map(two_digits);
        let hour = fields.next().flatten().ok_or_else(error)?;
        let minute = fields.next().flatten().ok_or_else(error)?;
        // The seconds may be absent, but not unreadable.
        let second = fields.next().unwrap_or(Some(0)).ok_or_else(error)?;
        let time = Time::new(hour, minute, second, 0).map_err(|_| error())?;
        if fields.next().is_some() {
            Err(error())
        } else {
            Ok(Self(Clock::At(time)))
        }
    }

    /// The time within its day, or nothing for the end of the day.
    fn within_day(self) -> Option<Time> {
        match self.0 {
            Clock::At(time) => Some(time),
            Clock::DayEnd => None,
        }
    }
}

/// Exactly two digits: `9:30` and `+9:30` are refused, as the schema's pattern refuses them.
fn two_digits(text: &str) -> Option<i8> {
    let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl TryFrom<String> for ClockTime {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        Self::parse(&text)
    }
}

impl From<ClockTime> for String {
    fn from(value: ClockTime) -> String {
        value.to_string()
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(time) = self.within_day() else {
            return f.write_str("24:00");
        };
        write!(f, "{:02}:{:02}", time.hour(), time.minute())?;
        if time.second() == 0 {
            Ok(())
        } else {
            write!(f, ":{:02}", time.second())
        }
    }
}

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl JsonSchema for ClockTime {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClockTime".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "maxLength": 8, "pattern": END_PATTERN})
    }
}

/// Some hours of some days: open from `from`, up to but not including `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    /// The days on which it opens.
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Day>,
    /// When it opens, on the zone's wall clocks: HH:MM or HH:MM:SS. A time that is skipped when
    /// clocks go forward means as much later as they skip; of a time that comes twice when they go
    /// back, the first is meant. The same holds for `to`.
    #[schemars(regex(pattern = START_PATTERN))]
    pub from: ClockTime,
    /// When it closes: HH:MM, HH:MM:SS or 24:00. At or before `from` it means the next day, so
    /// that 22:00 to 06:00 is one night.
    pub to: ClockTime,
}

/// A weekly calendar in one time zone: the content of a ChangeWindow (M23).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Calendar {
    /// IANA name of the time zone, such as Europe/Berlin or UTC. The rules are those compiled into
    /// the operator.
    #[schemars(length(min = 1, max = 64))]
    pub zone: String,
    /// When the window is open: any of these.
    #[schemars(length(min = 1, max = 16))]
    pub ranges: Vec<Range>,
}

impl Calendar {
    /// Whether this can be resolved into a [`Window`]; the error says what to write instead.
    pub fn check(&self) -> Result<(), Error> {
        Window::new(self).map(drop)
    }
}

/// A [`Calendar`] whose zone exists and whose ranges can occur.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    zone: TimeZone,
    ranges: Vec<Range>,
}

impl Window {
    /// Resolves the calendar's zone and checks what the schema of the API server checks too:
    /// snapshots and annotations never pass that schema.
    pub fn new(calendar: &Calendar) -> Result<Self, Error> {
        let Calendar { zone, ranges } = calendar;
        if !(1..=RANGE_LIMIT).contains(&ranges.len()) {
            return Err(Error::Ranges(ranges.len()));
        }
        for Range { days, from, to: _ } in ranges {
            if !(1..=Day::ALL.len()).contains(&days.len()) {
                return Err(Error::Days(days.len()));
            }
            from.within_day().ok_or(Error::StartsAtDayEnd)?;
        }
        Ok(Self {
            zone: resolve(zone)?,
            ranges: ranges.clone(),
        })
    }

    /// The instant as people in the window's zone read it: `Tue 2026-11-24 10:00 CET`.
    #[must_use]
    pub fn local(&self, instant: jiff::Timestamp) -> String {
        instant
            .to_zoned(self.zone.clone())
            .strftime("%a %Y-%m-%d %H:%M %Z")
            .to_string()
    }
}

/// Only the compiled-in database: what a machine has installed must not change a verdict. Names
/// that jiff resolves without naming a place (`Etc/Unknown`) are refused.
fn resolve(zone: &str) -> Result<TimeZone, Error> {
    let database = TimeZoneDatabase::bundled();
    database
        .get(zone)
        .ok()
        .filter(|found| !found.is_unknown())
        .ok_or_else(|| Error::Zone {
            zone: clip(zone),
            suggestion: same_city(&database, zone).unwrap_or_else(|| "Europe/Berlin or UTC".into()),
        })
}

/// The zone whose last part is the given name, so that "Berlin" and "america/new york" find theirs.
fn same_city(database: &TimeZoneDatabase, zone: &str) -> Option<String> {
    let city = zone.rsplit('/').next()?.trim().replace(' ', "_");
    let names = || database.available().map(|name| name.to_string());
    names().find(|name| {
        name.rsplit('/')
            .next()
            .is_some_and(|last| last.eq_ignore_ascii_case(&city))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(zone: &str) -> Calendar {
        let range = Range {
            days: vec![Day::Mon, Day::Tue],
            from: ClockTime::parse("09:00").unwrap(),
            to: ClockTime::parse("17:30").unwrap(),
        };
        Calendar {
            zone: zone.into(),
            ranges: vec![range],
        }
    }

    #[test]
    fn times_are_two_digits_each() {
        for right in ["00:00", "23:59", "09:30:15", "24:00"] {
            assert_eq!(ClockTime::parse(right).unwrap().to_string(), right);
        }
        assert_eq!(
            ClockTime::parse("10:00:00").unwrap(),
            ClockTime::parse("10:00").unwrap()
        );
        for wrong in [
            "",
            "9:30",
            "24:01",
            "24:00:00",
            "10:60",
            "10:00:60",
            "+9:30",
            "10",
            "10:00:00:00",
        ] {
            let message = ClockTime::parse(wrong).unwrap_err().to_string();
            assert!(message.contains("expected HH:MM"), "{wrong}: {message}");
        }
        assert!(ClockTime::parse("23:59:59").unwrap() < ClockTime::parse("24:00").unwrap());
    }

    #[test]
    fn zones_must_exist_and_a_near_one_is_named() {
        let message = |zone: &str| calendar(zone).check().unwrap_err().to_string();
        assert_eq!(
            message("Berlin"),
            "there is no time zone \"Berlin\": expected an IANA name, such as Europe/Berlin"
        );
        assert!(message("america/new york").ends_with("such as America/New_York"));
        assert!(message("CEST").ends_with("such as Europe/Berlin or UTC"));
        assert!(message("").ends_with("such as Europe/Berlin or UTC"));
        assert!(message("Etc/Unknown").starts_with("there is no time zone"));
        assert!(message("../../etc/passwd").starts_with("there is no time zone"));
        for zone in ["UTC", "Europe/Berlin", "europe/berlin", "Asia/Kolkata"] {
            assert_eq!(calendar(zone).check(), Ok(()), "{zone}");
        }
    }

    #[test]
    fn bounds_hold_without_the_schema_too() {
        let mut many = calendar("UTC");
        many.ranges = vec![many.ranges[0].clone(); 17];
        assert_eq!(many.check(), Err(Error::Ranges(17)));
        many.ranges.clear();
        assert_eq!(many.check(), Err(Error::Ranges(0)));
        let mut idle = calendar("UTC");
        idle.ranges[0].days.clear();
        assert_eq!(idle.check(), Err(Error::Days(0)));
        let mut late = calendar("UTC");
        late.ranges[0].from = ClockTime::parse("24:00").unwrap();
        assert_eq!(late.check(), Err(Error::StartsAtDayEnd));
    }

    #[test]
    fn the_stored_form_is_what_people_write() {
        let text =
            r#"{"zone":"UTC","ranges":[{"days":["Mon","Tue"],"from":"09:00","to":"24:00"}]}"#;
        let parsed: Calendar = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), text);
        for wrong in [
            r#"{"zone":"UTC","ranges":[],"bogus":1}"#,
            r#"{"zone":"UTC","ranges":[{"days":["mon"],"from":"09:00","to":"24:00"}]}"#,
            r#"{"zone":"UTC","ranges":[{"days":["Mon"],"from":"9","to":"24:00"}]}"#,
        ] {
            assert!(serde_json::from_str::<Calendar>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_schema_is_bounded_and_a_start_is_never_the_end_of_a_day() {
        let schema = serde_json::to_value(schemars::schema_for!(Calendar)).unwrap();
        let text = schema.to_string();
        assert!(
            text.contains(r#""maxItems":16"#) && text.contains(r#""maxItems":7"#),
            "{text}"
        );
        let range = &schema["$defs"]["Range"]["properties"];
        assert_eq!(range["from"]["pattern"], START_PATTERN);
        assert_eq!(range["to"]["pattern"], END_PATTERN);
        assert_eq!(range["to"]["maxLength"], 8);
    }
}
