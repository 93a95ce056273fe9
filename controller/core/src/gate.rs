//! A gate asks one question about a promotion; its report is the answer, with a stable reason.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::promotion::Action;
use crate::reason::Reason;
use crate::release::{Digest, ImageReference};

/// The answer of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// Satisfied.
    Pass,
    /// Time, a person or another promotion can satisfy it.
    Hold,
    /// Not for this release under these rules; somebody must change something.
    Deny,
    /// What it depends on could not be seen: closed, and looked up again.
    Unknown,
    /// Nobody asks this question here.
    NotRequired,
}

impl Verdict {
    /// Whether the promotion may go on as far as this gate is concerned.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Pass | Self::NotRequired => true,
            Self::Hold | Self::Deny | Self::Unknown => false,
        }
    }

    /// Deny beats Unknown beats Hold beats the rest: a bad signature is final even while a window
    /// is closed.
    pub(crate) fn severity(self) -> u8 {
        match self {
            Self::NotRequired => 0,
            Self::Pass => 1,
            Self::Hold => 2,
            Self::Unknown => 3,
            Self::Deny => 4,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "Pass",
            Self::Hold => "Hold",
            Self::Deny => "Deny",
            Self::Unknown => "Unknown",
            Self::NotRequired => "NotRequired",
        })
    }
}

/// One piece of evidence that a gate relied on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceReference {
    /// Which policy and authority it satisfied, `policy/authority`.
    pub authority: String,
    /// Digest of the bundle.
    pub digest: Digest,
    /// Digest of what is signed in it, which stays the same however the bundle is written; left out
    /// for a signature over the manifest itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Digest>,
    /// Who signed it: SHA-256 of a key's SubjectPublicKeyInfo, or the identity that a certificate
    /// names and, in brackets, its issuer.
    pub signer: String,
    /// When it was signed at the latest, where a trusted timestamp or transparency log says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub signed_at: Option<Timestamp>,
}

/// One gate's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateReport {
    /// Name of the gate.
    pub name: String,
    /// Its answer.
    pub verdict: Verdict,
    /// Why, as a word that never changes its meaning.
    pub reason: Reason,
    /// Why, for a person; ends with what to do next where something must be done.
    pub message: String,
    /// When the answer may change by the clock alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::time::Schema>")]
    pub next_change: Option<Timestamp>,
    /// What the answer rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceReference>,
}

/// What was not read yet and may change an answer: without it a gate would take for absent what
/// lies in another place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// The images of this index, and what is attached to each of them.
    Children(ImageReference),
    /// The tags beside this image, or this image of an index.
    Tags(ImageReference),
    /// The lists of what is attached to this image once more: those that are known are too old.
    Lists(ImageReference),
}

/// What a gate finds, before its name is put on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The answer.
    pub verdict: Verdict,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, for a person.
    pub message: String,
    /// When the clock alone may change it.
    pub next_change: Option<Timestamp>,
    /// What it rests on.
    pub evidence: Vec<EvidenceReference>,
    /// What must be read before it can say more.
    pub wants: Vec<Want>,
    /// Whether somebody who may say so says no, or may have said it: that stands whatever else would
    /// do. What is only missing, or not theirs, is none.
    pub objection: bool,
}

impl Finding {
    fn new(verdict: Verdict, reason: Reason, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            verdict,
            reason,
            message,
            next_change: None,
            evidence: Vec::new(),
            wants: Vec::new(),
            objection: false,
        }
    }

    /// Satisfied.
    #[must_use]
    pub fn pass(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, reason, message)
    }

    /// Time or a person can change it.
    #[must_use]
    pub fn hold(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Verdict::Hold, reason, message)
    }

    /// Somebody must change something.
    #[must_use]
    pub fn deny(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Verdict::Deny, reason, message)
    }

    /// It could not be seen.
    #[must_use]
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Verdict::Unknown, reason, message)
    }

    /// Nobody asks.
    #[must_use]
    pub fn not_required(message: impl Into<String>) -> Self {
        Self::new(Verdict::NotRequired, Reason::NotRequired, message)
    }

    /// What a gate that a rollback need not pass has found: it is told, and opens.
    #[must_use]
    pub fn reported(self) -> Self {
        let Self {
            verdict,
            reason,
            message,
            next_change: _,
            evidence,
            wants,
            objection: _,
        } = self;
        let told = match verdict {
            Verdict::Pass | Verdict::NotRequired => {
                Self::not_required(format!("a rollback need not pass it; it would: {message}"))
            }
            Verdict::Hold | Verdict::Deny | Verdict::Unknown => Self::not_required(format!(
                "a rollback need not pass it; it would not: {reason}: {message}"
            )),
        };
        told.resting_on(evidence).wanting(wants)
    }

    /// The same, with the instant at which the clock may change it.
    #[must_use]
    pub fn until(mut self, next_change: Option<Timestamp>) -> Self {
        self.next_change = next_change;
        self
    }

    /// The same, resting on these pieces of evidence.
    #[must_use]
    pub fn resting_on(mut self, evidence: Vec<EvidenceReference>) -> Self {
        self.evidence = evidence;
        self
    }

    /// The same, as a no that stands.
    #[must_use]
    pub fn objecting(mut self) -> Self {
        self.objection = true;
        self
    }

    /// The same, with what must be read before it can say more.
    #[must_use]
    pub fn wanting(mut self, wants: Vec<Want>) -> Self {
        self.wants = wants;
        self
    }

    /// The worst of several findings: each matching policy must be satisfied by itself. The
    /// evidence and the wishes of all of them are kept; of two equally bad a no that stands speaks, or
    /// the first one.
    #[must_use]
    pub fn worst(findings: Vec<Self>) -> Option<Self> {
        let all = findings.iter();
        let evidence = all.clone().flat_map(|f| f.evidence.clone()).collect();
        let wants = all.flat_map(|finding| finding.wants.clone()).collect();
        findings
            .into_iter()
            .reduce(|worst, finding| {
                let badness = |found: &Self| (found.verdict.severity(), found.objection);
                let worse = badness(&finding) > badness(&worst);
                if worse { finding } else { worst }
            })
            .map(|worst| worst.resting_on(evidence).wanting(wants))
    }
}

/// What a gate's answer is about. It decides what is read before a gate is asked, which gates are
/// asked again of what runs, and which of them say that the artifact itself is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// This promotion, now: the time, the target, who agreed.
    Promotion,
    /// What is attached to the artifact, and nothing else: the answer holds for whatever runs it.
    Evidence,
    /// Whether the artifact, or what proves it, was revoked.
    Revocation,
    /// Whatever a rule in Rego asks for, what is attached to the artifact among it.
    Rules,
}

/// One question that every promotion is asked.
pub trait Gate: Sync {
    /// Its name, as people and metrics read it.
    fn name(&self) -> &'static str;

    /// Every reason it can give.
    fn reasons(&self) -> &'static [Reason];

    /// What its answer is about.
    fn subject(&self) -> Subject {
        Subject::Promotion
    }

    /// The answer for one promotion; pure.
    fn find(&self, case: &Case<'_>) -> Finding;

    /// What must be read before it can say more: what its answer wants. Asked several times a pass, so
    /// that a gate whose answer is costly says it by itself.
    fn wants(&self, case: &Case<'_>) -> Vec<Want> {
        self.find(case).wants
    }

    /// Whether a rollback must pass it too, or is only told the answer.
    fn binds_rollbacks(&self) -> bool {
        true
    }
}

fn answer(gate: &dyn Gate, case: &Case<'_>) -> Finding {
    let found = gate.find(case);
    let only_told = case.promotion.request.action == Action::Rollback && !gate.binds_rollbacks();
    if only_told { found.reported() } else { found }
}

/// The gate's answer with its name on it.
#[must_use]
pub fn evaluate(gate: &dyn Gate, case: &Case<'_>) -> GateReport {
    let Finding {
        verdict,
        reason,
        message,
        next_change,
        evidence,
        wants: _,
        objection: _,
    } = answer(gate, case);
    GateReport {
        name: gate.name().to_owned(),
        verdict,
        reason,
        message,
        next_change,
        evidence,
    }
}
