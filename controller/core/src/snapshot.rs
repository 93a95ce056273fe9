//! Everything a decision saw, as one file: so that it can be asked again, without a cluster.
//!
//! The format is versioned and **unstable**: it follows the facts, so a snapshot is good for the
//! version that wrote it. What must last is in the records.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decide::{Input, decide};
use crate::decision::{Decision, Mutation, Next};
use crate::environment::Environment;
use crate::facts::Facts;
use crate::promotion::Promotion;
use crate::reason::Reason;
use crate::record::Record;
use crate::report::{Marks, Report};
use crate::status::State;

/// The versions of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiVersion {
    /// The only one.
    #[serde(rename = "cli.lockmaster.dev/v1")]
    V1,
}

/// The kinds of file of that version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// What one decision saw.
    Snapshot,
}

/// What one decision saw of one Environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// `cli.lockmaster.dev/v1`.
    pub api_version: ApiVersion,
    /// `Snapshot`.
    pub kind: Kind,
    /// The instant of the pass.
    pub now: Timestamp,
    /// The Environment.
    pub environment: Environment,
    /// Its unfinished promotions.
    pub promotions: Vec<Promotion>,
    /// Everything else that was looked at.
    pub facts: Facts,
}

impl Snapshot {
    /// The snapshot of what a decision is about to see.
    #[must_use]
    pub fn of(input: &Input<'_>) -> Self {
        let Input {
            promotions,
            environment,
            facts,
            now,
        } = *input;
        Self {
            api_version: ApiVersion::V1,
            kind: Kind::Snapshot,
            now,
            environment: environment.clone(),
            promotions: promotions.to_vec(),
            facts: facts.clone(),
        }
    }

    /// What a decision may look at.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        Input {
            promotions: &self.promotions,
            environment: &self.environment,
            facts: &self.facts,
            now: self.now,
        }
    }

    /// How each promotion stands by these facts, by name.
    #[must_use]
    pub fn replay(&self) -> Vec<Report> {
        self.reports(&decide(&self.input()))
    }

    /// The reports as text, and what would be done next.
    #[must_use]
    pub fn render(&self, marks: Marks) -> String {
        let decision = decide(&self.input());
        let reports = self.reports(&decision);
        let mut texts: Vec<_> = reports.iter().map(|report| report.render(marks)).collect();
        texts.push(self.next(&decision));
        texts.join("\n")
    }

    fn reports(&self, decision: &Decision) -> Vec<Report> {
        let mut promotions: Vec<_> = self.promotions.iter().collect();
        promotions.sort_by(|a, b| a.name.cmp(&b.name));
        promotions
            .into_iter()
            .map(|promotion| {
                let mut all = decision.promotions.iter();
                match all.find(|progress| progress.uid == promotion.uid) {
                    Some(progress) => Report::of_progress(promotion, progress),
                    None => self.remembered(promotion, decision),
                }
            })
            .collect()
    }

    /// A promotion of which nothing new is said: its last words are being written, or were.
    fn remembered(&self, promotion: &Promotion, decision: &Decision) -> Report {
        let finished = promotion.memory.record.as_ref();
        let (state, reason) = finished.map_or_else(
            || match &promotion.memory.intent {
                Some(intent) if intent.undo.is_some() => (State::RollingBack, Reason::RollingBack),
                Some(_) => (State::RollingOut, Reason::RollingOut),
                None => (State::Pending, Reason::Queued),
            },
            |record| State::of_outcome(record.outcome),
        );
        let summary = match &decision.mutation {
            Some(Mutation::Record(record)) if record.content.promotion.uid == promotion.uid => {
                record.content.message.clone()
            }
            Some(Mutation::Conclude { uid, message, .. }) if *uid == promotion.uid => {
                message.clone()
            }
            Some(_) | None => String::new(),
        };
        let claim = self.environment.active.as_ref();
        let own = claim.filter(|claim| claim.account.promotion.uid == promotion.uid);
        let release = own.and_then(|claim| claim.account.release.as_ref());
        let artifact = release.map(crate::promotion::ReleaseReference::short);
        Report::of_memory(promotion, (state, reason), summary, artifact)
    }

    fn next(&self, decision: &Decision) -> String {
        let subject = match &decision.mutation {
            None => {
                return match decision.next {
                    Next::AwaitChange => "next: wait for a change\n".to_owned(),
                    Next::At(instant) => format!("next: wait for a change, or until {instant}\n"),
                };
            }
            Some(Mutation::Claim(cleared)) => self.name_of(&cleared.claim().account.promotion.uid),
            Some(Mutation::Record(record)) => {
                let Record { content, hash: _ } = record.as_ref();
                let name = &content.promotion.name;
                format!("{name} as {} ({})", content.outcome, content.reason)
            }
            Some(Mutation::Conclude {
                promotion, record, ..
            }) => format!("{promotion} as {}", record.outcome),
            Some(Mutation::Intent { uid, .. } | Mutation::Release { uid }) => self.name_of(uid),
            Some(Mutation::Apply { uid, target, .. } | Mutation::Fence { uid, target, .. }) => {
                format!("{} for {}", target.workload, self.name_of(uid))
            }
        };
        let step = decision.mutation.as_ref().map_or("", Mutation::step);
        format!("next: {step} {subject}\n")
    }

    fn name_of(&self, uid: &str) -> String {
        let found = self
            .promotions
            .iter()
            .find(|promotion| promotion.uid == uid);
        found.map_or_else(|| uid.to_owned(), |promotion| promotion.name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_snapshot_reads_back_as_it_was_written() {
        let snapshot = fixtures::ready();
        let text = serde_json::to_string(&snapshot).unwrap();
        let again: Snapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(again, snapshot);
        assert_eq!(again.render(Marks::Ascii), snapshot.render(Marks::Ascii));
    }

    #[test]
    fn another_version_or_an_unknown_field_is_refused() {
        let text = serde_json::to_string(&fixtures::ready()).unwrap();
        let check = |text: &str, problem: &str| {
            let error = serde_json::from_str::<Snapshot>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(problem), "{error}");
        };
        check(&text.replacen("/v1\"", "/v2\"", 1), "cli.lockmaster.dev/v2");
        check(
            &text.replacen("\"kind\"", "\"kynd\"", 1),
            "unknown field `kynd`",
        );
    }

    #[test]
    fn a_promotion_that_is_over_is_told_from_its_record() {
        let mut snapshot = fixtures::ready();
        let record = fixtures::record(&snapshot, 1, "9.9.9", crate::record::Outcome::Failed);
        snapshot.promotions[0].memory.record = Some(crate::promotion::RecordReference {
            name: record.object_name(),
            hash: record.hash,
            outcome: record.content.outcome,
        });
        let reports = snapshot.replay();
        assert_eq!(reports[0].state, State::Failed);
        assert_eq!(reports[0].reason, Some(Reason::Failed));
        assert_eq!(reports[0].exit_code(), 5);
    }
}
