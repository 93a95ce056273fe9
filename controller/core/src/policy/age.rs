//! How old evidence may be.

use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An age as people write it: `30m`, `24h`, `90d`. One number and one unit, where a day is 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Age {
    number: u16,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Minutes,
    Hours,
    Days,
}

/// A text that is no age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an age from 1m to 9999d: write for example 24h or 90d")]
pub struct AgeError(String);

impl Age {
    /// So many hours.
    #[must_use]
    pub fn hours(number: u16) -> Self {
        let unit = Unit::Hours;
        Self { number, unit }
    }

    /// So many days.
    #[must_use]
    pub fn days(number: u16) -> Self {
        let unit = Unit::Days;
        Self { number, unit }
    }

    /// The duration.
    #[must_use]
    pub fn duration(self) -> SignedDuration {
        let minutes = match self.unit {
            Unit::Minutes => 1,
            Unit::Hours => 60,
            Unit::Days => 24 * 60,
        };
        SignedDuration::from_mins(i64::from(self.number) * minutes)
    }
}

impl TryFrom<String> for Age {
    type Error = AgeError;
    fn try_from(text: String) -> Result<Self, AgeError> {
        let units = [('m', Unit::Minutes), ('h', Unit::Hours), ('d', Unit::Days)];
        let found = units.into_iter().find_map(|(letter, unit)| {
            let digits = text.strip_suffix(letter)?;
            // Digits alone, and no leading zero: parsing would take a sign as well.
            let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
            let number = digits.parse().ok().filter(|_| plain && digits.len() <= 4)?;
            Some(Self { number, unit })
        });
        found.ok_or_else(|| AgeError(crate::release::clip(&text)))
    }
}

impl From<Age> for String {
    fn from(age: Age) -> String {
        age.to_string()
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Minutes => 'm',
            Unit::Hours => 'h',
            Unit::Days => 'd',
        };
        write!(f, "{}{unit}", self.number)
    }
}

impl JsonSchema for Age {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Age".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 5,
            "pattern": "^[1-9][0-9]{0,3}[mhd]$",
        })
    }
}
