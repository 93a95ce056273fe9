//! What is known today of one record of success: the evidence gates, asked once more.

use std::collections::BTreeSet;

use crate::case::{Case, matching};
use crate::decide::Input;
use crate::evidence::Evidence;
use crate::facts::{Cause, Observed, Ran, Unavailable};
use crate::gate::{EvidenceReference, Gate, GateReport, Verdict, Want, evaluate};
use crate::gates;
use crate::promotion::{Action, Memory, Promotion, Request};
use crate::reason::Reason;
use crate::record::Record;
use crate::release::Digest;
use crate::revocation::{of_reference, unreadable};
use crate::rules::RuleQuestion;

use super::Artifact;

/// What a gate says where somebody signed a word against the artifact, whatever else is missing.
const WORDS_AGAINST: [Reason; 3] = [
    Reason::VulnerabilityBlocked,
    Reason::AttestationFailed,
    Reason::AttestationInvalid,
];

/// Reasons for which a gate is closed without a word about the artifact: nothing can be judged.
const UNJUDGED: [Reason; 4] = [
    Reason::TrustedRootInvalid,
    Reason::ReleaseInvalid,
    Reason::ReleaseNotFound,
    // What runs is older than the newest scan sooner or later, and none the worse for that.
    Reason::EvidenceStale,
];

/// How a record of success stands.
pub(super) enum Standing {
    /// As it did when it was promoted.
    Good,
    /// Nobody can tell right now.
    Unknown,
    /// The registry answers, and what it says lets nothing be judged: an alert, which takes back
    /// nothing that was held before.
    Unseen { reason: Reason, message: String },
    /// Something is held against it.
    Held {
        reason: Reason,
        message: String,
        /// Whether it still counts in the Environments that come after.
        eligible: bool,
    },
}

impl Standing {
    /// The worst is said: what takes away eligibility first, then anything, then not knowing.
    fn severity(&self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Unknown => 1,
            Self::Unseen { .. } | Self::Held { eligible: true, .. } => 2,
            Self::Held {
                eligible: false, ..
            } => 3,
        }
    }
}

/// Asks what the gates would say of it today.
pub(super) fn judge(input: &Input<'_>, artifact: Artifact, record: &Record) -> Standing {
    let facts = input.facts;
    let Some(ran) = facts.ran.get(&record.object_name()) else {
        return Standing::Unknown;
    };
    if unreadable(&facts.revocations).is_some() || facts.records_problem.is_some() {
        return Standing::Unknown;
    }
    let today = Today {
        input,
        artifact,
        record,
        ran,
    };
    let promotion = today.promotion();
    let case = today.case(&promotion);
    let found = gates::evidence().map(|gate| today.of_gate(gate, &evaluate(gate, &case)));
    today
        .unseen()
        .into_iter()
        .chain(found)
        // The first of the worst speaks.
        .reduce(|worst, next| {
            if next.severity() > worst.severity() {
                next
            } else {
                worst
            }
        })
        .unwrap_or(Standing::Good)
}

/// What must be read before it can be said how these stand.
pub(super) fn wants(input: &Input<'_>, artifact: Artifact, record: &Record) -> BTreeSet<Want> {
    let ran = input.facts.ran.get(&record.object_name());
    ran.map_or_else(BTreeSet::new, |ran| {
        let today = Today {
            input,
            artifact,
            record,
            ran,
        };
        gates::wants_of_running(&today.case(&today.promotion()))
    })
}

/// Gives away what the rules of entries are asked about a record of success.
pub(super) fn rule_questions(
    input: &Input<'_>,
    artifact: Artifact,
    record: &Record,
    take: &mut dyn FnMut(RuleQuestion),
) {
    if let Some(ran) = input.facts.ran.get(&record.object_name()) {
        let today = Today {
            input,
            artifact,
            record,
            ran,
        };
        gates::statement_questions(&today.case(&today.promotion()), take);
    }
}

struct Today<'a> {
    input: &'a Input<'a>,
    artifact: Artifact,
    record: &'a Record,
    ran: &'a Ran,
}

impl Today<'_> {
    /// A request for what was promoted: the gates are asked about a promotion.
    fn promotion(&self) -> Promotion {
        let content = &self.record.content;
        Promotion {
            namespace: self.input.environment.namespace.clone(),
            name: content.promotion.name.clone(),
            uid: content.promotion.uid.clone(),
            generation: 0,
            created: content.promotion.created,
            first_seen: content.promotion.created,
            annotations: [].into(),
            request: Request {
                release: self.ran.release.name.clone(),
                environment: self.input.environment.name.clone(),
                // All questions are asked then.
                action: Action::Promote,
                reason: None,
                incident: None,
                abort: false,
            },
            memory: Memory::default(),
        }
    }

    fn case<'b>(&'b self, promotion: &'b Promotion) -> Case<'b> {
        let Input {
            environment,
            facts,
            now,
            ..
        } = *self.input;
        let tier = environment.effective_tier(&facts.namespaces);
        Case {
            promotion,
            environment,
            facts,
            now,
            release: Some(&self.ran.release),
            tier,
            policies: matching(environment, facts, tier),
            changes: None,
            plan: None,
            begins: false,
        }
    }

    /// The registry does not have an image any more (M96), or lets it not be verified again.
    fn unseen(&self) -> Option<Standing> {
        self.ran.looks.iter().find_map(|(image, look)| {
            let Unavailable { cause, message } = look.problem.as_ref()?;
            let words = self.artifact.words();
            let unverified = |reason, mend| {
                let text = format!(
                    "{image} cannot be verified again ({message}), so nobody sees what was attached \
                     to {words} since, or withdrawn; {mend}"
                );
                (reason, text)
            };
            let (reason, message) = match cause {
                Cause::Missing => (
                    Reason::ArtifactMissing,
                    format!(
                        "the registry does not have {image} any more ({message}), so {words} cannot \
                         be pulled again; push it again"
                    ),
                ),
                Cause::Truncated => unverified(
                    Reason::EvidenceTruncated,
                    "remove what does not belong there from the registry, old scans first",
                ),
                Cause::Forbidden => unverified(
                    Reason::RegistryUnavailable,
                    "mend the login that it is read with",
                ),
                Cause::Untrustworthy => unverified(
                    Reason::RegistryUnavailable,
                    "ask whoever runs the registry why it answers so",
                ),
                // It is asked again by itself, and most often answers then.
                Cause::Unreachable => return None,
            };
            Some(Standing::Unseen { reason, message })
        })
    }

    fn of_gate(&self, gate: &dyn Gate, report: &GateReport) -> Standing {
        match report.verdict {
            Verdict::NotRequired => Standing::Good,
            Verdict::Pass => self.rests_on_what_is_gone(gate, report),
            Verdict::Unknown => self.revoked(report).unwrap_or(Standing::Unknown),
            Verdict::Hold | Verdict::Deny => self.closed(report),
        }
    }

    /// It does not pass now, and what it rested on then was revoked.
    fn revoked(&self, report: &GateReport) -> Option<Standing> {
        let all = &self.input.facts.revocations;
        let mut rested = self.rested(&report.name);
        let revoked = rested.find_map(|reference| of_reference(all, reference, self.input.now))?;
        let message = format!(
            "gate {} rested on what is revoked by {revoked}, and does not pass now: {}",
            report.name, report.message
        );
        Some(Standing::Held {
            reason: Reason::Revoked,
            message,
            eligible: false,
        })
    }

    /// It passes by what is remembered, and the registry lists that no longer, nor what would do as well.
    fn rests_on_what_is_gone(&self, gate: &dyn Gate, report: &GateReport) -> Standing {
        let listed = self.listed();
        let mut rests = report.evidence.iter();
        match rests.find(|reference| !listed.contains(&reference.digest)) {
            Some(reference) if !self.is_replaced(gate) => {
                self.withdrawn(&report.name, &reference.digest)
            }
            Some(_) | None => Standing::Good,
        }
    }

    /// Whether a gate passes by what the registry lists now, as after a restart, which forgets the rest.
    /// Scanners replace their reports.
    fn is_replaced(&self, gate: &dyn Gate) -> bool {
        let mut facts = self.input.facts.clone();
        for image in self.ran.looks.keys() {
            if let Some(Observed::Known(known)) = facts.evidence.get_mut(image) {
                let gone = std::mem::take(&mut known.withdrawn);
                known.bundles.retain(|one| !gone.contains(&one.digest));
            }
        }
        let input = Input {
            facts: &facts,
            ..*self.input
        };
        let today = Today {
            input: &input,
            ..*self
        };
        let report = evaluate(gate, &today.case(&today.promotion()));
        report.verdict == Verdict::Pass
    }

    /// It would not pass today. What it rested on then tells why.
    fn closed(&self, report: &GateReport) -> Standing {
        if let Some(revoked) = self.revoked(report) {
            return revoked;
        }
        let listed = self.listed();
        let mut rested = self.rested(&report.name).map(|reference| &reference.digest);
        let gone = rested.find(|digest| !listed.contains(digest));
        // Whoever takes a yes away does not take the no away that stands beside it.
        let says_no = WORDS_AGAINST.contains(&report.reason);
        if let Some(digest) = gone.filter(|_| self.is_all_known() && !says_no) {
            return self.withdrawn(&report.name, digest);
        }
        if UNJUDGED.contains(&report.reason) {
            return Standing::Unknown;
        }
        let no_source = self.ran.release.source.is_none();
        let compared = [Reason::ProvenanceMismatch, Reason::AttestationInvalid];
        if compared.contains(&report.reason) && no_source {
            // The Release, which names the source, was deleted since.
            return Standing::Good;
        }
        Standing::Held {
            reason: report.reason,
            message: format!(
                "gate {} would not pass now: {}",
                report.name, report.message
            ),
            // What was never there is no word against it.
            eligible: report.verdict == Verdict::Hold
                || report.reason == Reason::OnlyAttestationsFound,
        }
    }

    fn withdrawn(&self, gate: &str, digest: &Digest) -> Standing {
        Standing::Held {
            reason: Reason::EvidenceWithdrawn,
            message: format!(
                "the registry lists the bundle {digest} no longer, on which gate {gate} rests for \
                 {}; attach it again. Nothing is revoked by that",
                self.artifact.words()
            ),
            eligible: true,
        }
    }

    /// What a gate rested on when this was promoted.
    fn rested(&self, gate: &str) -> impl Iterator<Item = &EvidenceReference> {
        let gates = self.record.content.gates.iter();
        let named = gates.filter(move |before| before.name == gate);
        named.flat_map(|before| &before.evidence)
    }

    /// What is known of each image.
    fn evidence(&self) -> impl Iterator<Item = Option<&Evidence>> {
        let seen = &self.input.facts.evidence;
        let images = self.ran.looks.keys();
        images.map(|image| seen.get(image).and_then(Observed::known))
    }

    /// Whether the registry was asked about everything that ran. Where today's sources do not give an
    /// image to the namespace, it was not.
    fn is_all_known(&self) -> bool {
        let components = self.ran.release.components.iter();
        let mut looked_at =
            components.map(|component| self.ran.looks.contains_key(&component.image));
        looked_at.all(|looked| looked) && self.evidence().all(|evidence| evidence.is_some())
    }

    /// The bundles that the registry listed last for any of the images.
    fn listed(&self) -> BTreeSet<&Digest> {
        self.evidence()
            .flatten()
            .flat_map(|evidence| {
                let bundles = evidence.bundles.iter().map(|bundle| &bundle.digest);
                bundles.filter(|digest| !evidence.withdrawn.contains(digest))
            })
            .collect()
    }
}
