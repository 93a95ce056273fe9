//! How instants look in the API: RFC 3339 in UTC, whole seconds unless an order depends on more.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;

/// An instant, for crates that have no calendar of their own.
pub use jiff::Timestamp as Instant;

/// Schema of an RFC 3339 instant, for `#[schemars(with = …)]`.
#[derive(Debug)]
pub struct Schema;

impl JsonSchema for Schema {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "format": "date-time"})
    }
}

/// The instant cut to whole seconds, so that two passes of one second write the same text.
#[must_use]
pub fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

/// The instant so long before, cut to whole seconds, so that what did not change looks the same a moment
/// later; rather too old than too young. Nothing where that is before all time.
#[must_use]
pub fn whole_seconds_before(now: Timestamp, elapsed: Duration) -> Option<Timestamp> {
    let elapsed = SignedDuration::try_from(elapsed).ok()?;
    Some(whole_seconds(now.checked_sub(elapsed).ok()?))
}

/// The instant that an RFC 3339 text names: for crates that have no calendar of their own.
#[must_use]
pub fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
