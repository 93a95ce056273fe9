//! What the status says of a promotion that is over.

use jiff::Timestamp;

use super::{PromotionStatus, Rollout, State, with_conditions};
use crate::gate::GateReport;
use crate::promotion::RecordReference;

/// How a promotion ended, for its status.
#[derive(Debug, Clone)]
pub struct Concluded {
    /// Its record.
    pub record: RecordReference,
    /// Why it ended so, for a person.
    pub message: String,
    /// What was promoted, where the record knows.
    pub artifact: Option<String>,
    /// What the gates say now, where that is to be said; empty where what they said is kept.
    pub gates: Vec<GateReport>,
}

/// The status of a promotion that is over.
#[must_use]
pub fn concluded(
    previous: &PromotionStatus,
    generation: i64,
    end: Concluded,
    now: Timestamp,
) -> PromotionStatus {
    let Concluded {
        record,
        message,
        artifact,
        gates,
    } = end;
    let gates = if gates.is_empty() {
        previous.gates.clone()
    } else {
        gates
    };
    let (state, reason) = State::of_outcome(record.outcome);
    let status = PromotionStatus {
        observed_generation: generation,
        state,
        summary: message,
        blocked_by: None,
        artifact: artifact.or_else(|| previous.artifact.clone()),
        gates,
        rollout: Rollout { intent: None },
        record: Some(record),
        ..previous.clone()
    };
    with_conditions(status, reason, now)
}
