//! Where a promotion stands, and what follows from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reason::Reason;
use crate::record::Outcome;

/// Where a promotion stands.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum State {
    /// Nothing is in its way but others of its kind.
    #[default]
    Pending,
    /// A gate is closed.
    Blocked,
    /// A person must approve.
    AwaitingApproval,
    /// A window must open.
    AwaitingWindow,
    /// The digest is being rolled out and watched.
    RollingOut,
    /// The previous digest is being brought back.
    RollingBack,
    /// It ran and was healthy.
    Succeeded,
    /// A newer one replaced it.
    Superseded,
    /// A person ended it.
    Aborted,
    /// A person said no.
    Rejected,
    /// It did not succeed.
    Failed,
    /// It did not succeed, and what ran before runs again.
    RolledBack,
}

/// What follows from a state, in one table: for conditions, exit codes and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The state.
    pub state: State,
    /// The word, also as a metric label in snake_case.
    pub word: &'static str,
    /// The metric label.
    pub label: &'static str,
    /// Exit code of `kubectl promote explain` and of `create --wait`.
    pub exit_code: u8,
    /// Whether the promotion is over.
    pub finished: bool,
    /// Whether the operator is changing something right now (kstatus `Reconciling`).
    pub reconciling: bool,
    /// Whether it needs somebody although nothing more will happen (kstatus `Stalled`); a blocked
    /// one is stalled when a gate says Deny.
    pub stalled: bool,
}

impl State {
    /// The table.
    pub const ALL: &'static [Meaning] = &[
        meaning(Self::Pending, "Pending", "pending", 3).is_open(),
        meaning(Self::Blocked, "Blocked", "blocked", 2).is_open(),
        meaning(
            Self::AwaitingApproval,
            "AwaitingApproval",
            "awaiting_approval",
            3,
        )
        .is_open(),
        meaning(Self::AwaitingWindow, "AwaitingWindow", "awaiting_window", 3).is_open(),
        meaning(Self::RollingOut, "RollingOut", "rolling_out", 3)
            .is_open()
            .is_reconciling(),
        meaning(Self::RollingBack, "RollingBack", "rolling_back", 5)
            .is_open()
            .is_reconciling(),
        meaning(Self::Succeeded, "Succeeded", "succeeded", 0),
        meaning(Self::Superseded, "Superseded", "superseded", 4),
        meaning(Self::Aborted, "Aborted", "aborted", 4),
        meaning(Self::Rejected, "Rejected", "rejected", 4).is_stalled(),
        meaning(Self::Failed, "Failed", "failed", 5).is_stalled(),
        meaning(Self::RolledBack, "RolledBack", "rolled_back", 5).is_stalled(),
    ];

    /// What follows from it.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        let known = Self::ALL.iter().find(|meaning| meaning.state == self);
        known.copied().unwrap_or(meaning(self, "", "", 1))
    }

    /// The state of a promotion that ended so.
    #[must_use]
    pub fn of_outcome(outcome: Outcome) -> (Self, Reason) {
        match outcome {
            Outcome::Succeeded => (Self::Succeeded, Reason::Succeeded),
            Outcome::Failed => (Self::Failed, Reason::Failed),
            Outcome::RolledBack => (Self::RolledBack, Reason::RolledBack),
            Outcome::Rejected => (Self::Rejected, Reason::Rejected),
            Outcome::Aborted => (Self::Aborted, Reason::Aborted),
            Outcome::Superseded => (Self::Superseded, Reason::Superseded),
        }
    }
}

const fn meaning(state: State, word: &'static str, label: &'static str, exit_code: u8) -> Meaning {
    let (finished, reconciling, stalled) = (true, false, false);
    Meaning {
        state,
        word,
        label,
        exit_code,
        finished,
        reconciling,
        stalled,
    }
}

impl Meaning {
    const fn is_open(mut self) -> Self {
        self.finished = false;
        self
    }

    const fn is_reconciling(mut self) -> Self {
        self.reconciling = true;
        self
    }

    const fn is_stalled(mut self) -> Self {
        self.stalled = true;
        self
    }
}
