//! What was decided: reports about promotions, and at most one change to the world.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::approval::Approval;
use crate::environment::{Running, Tier};
use crate::gate::GateReport;
use crate::plan::PublishedPlan;
use crate::promotion::{Claim, Intent, IntentTarget, RecordReference, Requester};
use crate::reason::Reason;
use crate::record::Record;
use crate::release::ImageReference;
use crate::standing::Concern;
use crate::status::State;

/// Everything one pass decided.
#[must_use]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The Environment's tier as it counts.
    pub effective_tier: Tier,
    /// What runs, as far as records say.
    pub current: Option<Running>,
    /// What else has run here with success, newest first choice.
    pub last_known_good: Option<Running>,
    /// What is held against these two.
    pub concerns: Vec<Concern>,
    /// What to say of each unfinished promotion.
    pub promotions: Vec<Progress>,
    /// The one change to the world.
    pub mutation: Option<Mutation>,
    /// When to look again without being woken.
    pub next: Next,
    /// Images of which must be listed anew what is attached, before what would begin now may: a look
    /// for each, whose end wakes the pass.
    pub relist: BTreeSet<ImageReference>,
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// When something that was looked at changes.
    AwaitChange,
    /// At this instant, if nothing changes before.
    At(Timestamp),
}

impl Next {
    /// The earlier of two.
    #[must_use]
    pub fn earlier(self, other: Option<Timestamp>) -> Self {
        match (self, other) {
            (next, None) => next,
            (Self::AwaitChange, Some(at)) => Self::At(at),
            (Self::At(first), Some(at)) => Self::At(first.min(at)),
        }
    }
}

/// How one unfinished promotion stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Name of the Promotion.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What each gate says, in registry order.
    pub gates: Vec<GateReport>,
    /// Where it stands.
    pub state: State,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, for a person.
    pub summary: String,
    /// The gate that is in the way.
    pub blocked_by: Option<String>,
    /// What is promoted: version and short digest, once known.
    pub artifact: Option<String>,
    /// Who asked.
    pub requested_by: Requester,
    /// The plan to publish.
    pub plan: Option<PublishedPlan>,
    /// The one that was published before, where the new one is not yet.
    pub overtaken_plan: Option<PublishedPlan>,
    /// Decisions to latch, after a live look at the guards.
    pub latch: Vec<Approval>,
    /// Whether it is worth a write now. Right after a promotion was seen first, what it depends on
    /// may still be on its way, and a report of that would only cost a request.
    pub report: bool,
}

impl Progress {
    /// Whether nothing is in its way.
    pub(crate) fn is_clear(&self) -> bool {
        self.state == State::Pending && self.latch.is_empty()
    }
}

/// An intent that every gate lets pass. Only `decide` makes one, so nothing else can begin to
/// change a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared(pub(crate) Claim);

impl Cleared {
    /// What was cleared.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.0
    }
}

/// A change to the world. Each names what must still be true for it to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutation {
    /// Write the claim into the Environment's status, under its resourceVersion.
    Claim(Box<Cleared>),
    /// Write the intent into the Promotion's status, under its resourceVersion. The first attempt
    /// needs a fresh look at policies, windows and namespaces right before.
    Intent {
        /// Name of the Promotion.
        promotion: String,
        /// Its uid.
        uid: String,
        /// The intent, equal to the claim's.
        intent: Intent,
    },
    /// Set the image of one workload, if its image and owners are still those of the intent.
    Apply {
        /// uid of the Promotion.
        uid: String,
        /// The attempt.
        attempt: u32,
        /// What to change.
        target: IntentTarget,
    },
    /// Make an apply that may still be under way conflict.
    Fence {
        /// uid of the Promotion.
        uid: String,
        /// The attempt.
        attempt: u32,
        /// Where.
        target: IntentTarget,
    },
    /// Create the record.
    Record(Box<Record>),
    /// Write the outcome into the Promotion's status.
    Conclude {
        /// Name of the Promotion.
        promotion: String,
        /// Its uid.
        uid: String,
        /// Its record.
        record: RecordReference,
        /// Why it ended so, as a word.
        reason: Reason,
        /// Why it ended so, for a person.
        message: String,
        /// What was promoted: version and short digest, where the record knows.
        artifact: Option<String>,
        /// What the gates say of one that ended while it waited. Empty where what they said at its
        /// intent, or before it was created again, is kept.
        gates: Vec<GateReport>,
    },
    /// Take the claim out of the Environment's status.
    Release {
        /// uid of the promotion that held it.
        uid: String,
    },
}

impl Mutation {
    /// The step's name, as logs and tests use it.
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::Claim(_) => "claim",
            Self::Intent { .. } => "intent",
            Self::Apply { .. } => "apply",
            Self::Fence { .. } => "fence",
            Self::Record(_) => "record",
            Self::Conclude { .. } => "conclude",
            Self::Release { .. } => "release",
        }
    }
}
