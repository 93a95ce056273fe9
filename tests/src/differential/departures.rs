//! Where one side does not judge as the table alone would have it, and why that is right.
//!
//! What the table would have: both accept what nothing was done to and what is harmless, and neither
//! accepts anything else. Each departure from that is one entry here; a disagreement is explained
//! when the entries foretell both verdicts.

use super::keys::Kind;
use super::table::{Format, Row};

mod cosign;
mod ours;

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Lockmaster,
    Cosign,
}

/// One way in which a side departs. Lists that are empty stand for everything.
#[derive(Debug)]
pub(super) struct Departure {
    formats: &'static [Format],
    keys: &'static [Kind],
    mutations: &'static [&'static str],
    /// What it says instead.
    accepts: bool,
    pub(super) because: &'static str,
}

const ANY: Departure = Departure {
    formats: &[],
    keys: &[],
    mutations: &[],
    accepts: false,
    because: "",
};

impl Departure {
    fn is_about(&self, row: &Row) -> bool {
        let Self {
            formats,
            keys,
            mutations,
            accepts: _,
            because: _,
        } = self;
        (formats.is_empty() || formats.contains(&row.format))
            && (keys.is_empty() || (row.format.has_many_keys() && keys.contains(&row.key)))
            && (mutations.is_empty() || mutations.contains(&row.mutation.name))
    }
}

/// All departures of a side; the first that is about a row holds.
pub(super) fn of(side: Side) -> &'static [Departure] {
    match side {
        Side::Lockmaster => ours::ALL,
        Side::Cosign => cosign::ALL,
    }
}

/// What a side says of a row, and the departure by which it says something else than the table.
pub(super) fn foretell(side: Side, row: &Row) -> (bool, Option<&'static Departure>) {
    let found = of(side).iter().find(|departure| departure.is_about(row));
    let by_table = row.mutation.harmless;
    let departs = found.filter(|departure| departure.accepts != by_table);
    let says = departs.map_or(by_table, |departure| departure.accepts);
    (says, departs)
}
