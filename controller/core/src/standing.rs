//! How what runs, and what would be gone back to, stands today: re-verified from what is known now.
//!
//! Nothing here rolls anything back. A failed signature or a Revocation takes away what a record
//! proves to the Environments that come after; evidence that is gone from the registry only alerts.

mod judge;
mod schedule;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::case::running_record;
use crate::decide::Input;
use crate::gate::Want;
use crate::gates;
use crate::reason::Reason;
use crate::record::{Outcome, Record};
use crate::release::{ComponentDigest, Digest};
use crate::revocation::{Revoked, of_artifact, of_record, of_reference, unreadable};
use crate::rules::RuleQuestion;
use crate::time::whole_seconds;

use self::judge::{Standing, judge};
pub use self::schedule::due;

/// Which of the artifacts that ran with success.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Artifact {
    /// What runs.
    Running,
    /// What would be gone back to.
    KnownGood,
    /// What succeeded here and is neither any more, so that nobody asks about it again.
    Earlier,
}

/// Artifacts of which an Environment remembers that they were found to prove nothing, the newest.
pub const EARLIER_LIMIT: usize = 32;

impl Artifact {
    /// For a person, at the beginning of a sentence.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Running => "what runs",
            Self::KnownGood => "what would be gone back to",
            Self::Earlier => "what succeeded before",
        }
    }
}

/// How what is revoked ends that runs, or would be gone back to.
const NOT_UNDONE: &str = "nothing is rolled back by itself: promote another version, or go back";
/// How it ends where it is the last that could be gone back to.
const NOTHING_LEFT: &str = "nothing else is left to go back to";

/// What is held against artifacts that ran here with success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Concern {
    /// Which artifacts.
    pub artifact: Artifact,
    /// Name of the PromotionRecord of their success.
    pub record: String,
    /// Hash over their digests.
    pub artifact_set: Digest,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, for a person; ends with what to do next.
    pub message: String,
    /// Whether the record still counts in the Environments that come after.
    pub eligible: bool,
    /// Since when.
    #[schemars(with = "crate::time::Schema")]
    pub since: Timestamp,
}

impl Concern {
    /// The same of what these artifacts are by now: others ran since, or they run again. Of what is
    /// neither any more, nothing is to be undone.
    fn of(&self, artifact: Artifact) -> Self {
        let words =
            [Artifact::Running, Artifact::KnownGood, Artifact::Earlier].map(Artifact::words);
        let mut rests = words
            .iter()
            .filter_map(|words| self.message.strip_prefix(words));
        let message = rests.next().map_or_else(
            || self.message.clone(),
            |rest| format!("{}{rest}", artifact.words()),
        );
        let ends = [format!("; {NOT_UNDONE}"), format!(", and {NOTHING_LEFT}")];
        let mut starts = ends
            .iter()
            .filter_map(|end| message.strip_suffix(end.as_str()));
        let message = match (artifact, starts.next()) {
            (Artifact::Earlier, Some(start)) => format!("{start}; promote another version"),
            (Artifact::Earlier, None) | (Artifact::Running | Artifact::KnownGood, _) => message,
        };
        Self {
            artifact,
            message,
            ..self.clone()
        }
    }
}

/// The record of success of what runs, where the newest record left something known to be good. What
/// a failed promotion left behind is nothing that succeeded: then nobody says what runs.
pub(crate) fn current_record(records: &[Record]) -> Option<&Record> {
    let newest = records
        .last()
        .filter(|newest| !newest.content.left.is_empty())?;
    running_record(records).filter(|good| {
        let release = good.content.release.as_ref();
        release.is_some_and(|release| {
            let left = &newest.content.left;
            left.iter().all(|pair| release.components.contains(pair))
        })
    })
}

/// The successes of other artifacts than those that run, newest first.
fn others<'a>(input: &Input<'a>) -> impl Iterator<Item = &'a Record> {
    let current = current_record(&input.facts.records);
    let runs = current.and_then(|record| record.content.release.as_ref());
    input.facts.records.iter().rev().filter(move |record| {
        record.content.outcome == Outcome::Succeeded
            && runs.is_none_or(|release| !record.content.is_about(&release.artifact_set))
    })
}

/// The newest success of other artifacts than those that run, unless it was revoked.
pub(crate) fn last_known_good<'a>(input: &Input<'a>) -> Option<&'a Record> {
    others(input).find(|record| of_success(input, record).is_none())
}

/// The Revocation of a record of success: of itself, or of one of its artifacts.
fn of_success<'a>(input: &Input<'a>, record: &'a Record) -> Option<Revoked<'a>> {
    let all = &input.facts.revocations;
    let namespace = &input.environment.namespace;
    let components = record.content.release.iter().flat_map(|r| &r.components);
    let mut digests = components.map(|ComponentDigest { digest, .. }| digest);
    digests
        .find_map(|digest| Some(of_artifact(input.facts, digest)?.1))
        .or_else(|| of_record(all, namespace, &record.object_name()))
}

/// What is re-verified: what runs, and what would be gone back to.
pub fn artifacts<'a>(input: &Input<'a>) -> impl Iterator<Item = (Artifact, &'a Record)> {
    let current = current_record(&input.facts.records);
    let current = current.map(|record| (Artifact::Running, record));
    let good = last_known_good(input).map(|record| (Artifact::KnownGood, record));
    current.into_iter().chain(good)
}

/// What must be read before it can be said how these stand.
#[must_use]
pub fn wants(input: &Input<'_>) -> BTreeSet<Want> {
    artifacts(input)
        .flat_map(|(artifact, record)| judge::wants(input, artifact, record))
        .collect()
}

/// Gives away what the rules of entries are asked about these. What is answered goes where the answers
/// to all rules go.
pub(crate) fn rule_questions(input: &Input<'_>, take: &mut dyn FnMut(RuleQuestion)) {
    for (artifact, record) in artifacts(input) {
        judge::rule_questions(input, artifact, record, take);
    }
}

/// What is held against what runs and what would be gone back to. What cannot be judged right now
/// stands as it did.
pub(crate) fn concerns(input: &Input<'_>) -> Vec<Concern> {
    let mut found: Vec<Concern> = artifacts(input)
        .filter_map(|(artifact, record)| concern(input, artifact, record))
        .collect();
    if last_known_good(input).is_none()
        && let Some((record, revoked)) =
            others(input).find_map(|record| Some((record, of_success(input, record)?)))
    {
        let message = format!(
            "{} is revoked by {revoked}, and {NOTHING_LEFT}",
            record.object_name()
        );
        let standing = Standing::Held {
            reason: Reason::Revoked,
            message,
            eligible: false,
        };
        found.extend(said(input, Artifact::KnownGood, record, standing));
    }
    let earlier = earlier(input, &found);
    found.extend(earlier);
    found
}

/// What was found to prove nothing downstream, and is not looked at any more because others ran
/// since: it stays so until it is judged again, and good.
fn earlier(input: &Input<'_>, found: &[Concern]) -> Vec<Concern> {
    let judged = artifacts(input).filter_map(|(_, record)| record.content.release.as_ref());
    let judged = judged.map(|release| &release.artifact_set);
    let said = found.iter().map(|held| &held.artifact_set);
    let judged: BTreeSet<&Digest> = judged.chain(said).collect();
    let before = input.environment.concerns.iter();
    let kept = before.filter(|held| {
        !held.eligible && !judged.contains(&held.artifact_set) && !is_lifted(input, held)
    });
    let mut kept: Vec<Concern> = kept.map(|held| held.of(Artifact::Earlier)).collect();
    kept.sort_by_key(|held| Reverse(held.since));
    kept.truncate(EARLIER_LIMIT);
    kept
}

/// Whether it was held for a Revocation that names it no longer.
fn is_lifted(input: &Input<'_>, held: &Concern) -> bool {
    let all = &input.facts.revocations;
    if held.reason != Reason::Revoked || unreadable(all).is_some() {
        return false;
    }
    let mut records = input.facts.records.iter();
    let record = records.find(|record| record.object_name() == held.record);
    record.is_some_and(|record| {
        if !is_seen_through(input, record) {
            return false;
        }
        // Of the others nothing is held for what they rested on.
        let asked_again = |name: &str| gates::evidence().any(|gate| gate.name() == name);
        let gates = record.content.gates.iter();
        let gates = gates.filter(|gate| asked_again(&gate.name));
        let mut rested = gates.flat_map(|gate| &gate.evidence);
        of_success(input, record).is_none()
            && !rested.any(|reference| of_reference(all, reference, input.now).is_some())
    })
}

/// Whether no Revocation can name an image inside of these artifacts unseen: an index has its images
/// known, or none names any image at all.
fn is_seen_through(input: &Input<'_>, record: &Record) -> bool {
    let facts = input.facts;
    let readable = facts.revocations.iter();
    let mut readable = readable.filter_map(|fact| fact.content.as_ref().ok());
    if readable.all(|revocation| revocation.digests.is_empty()) {
        return true;
    }
    let components = record.content.release.iter().flat_map(|r| &r.components);
    let mut digests = components.map(|component| &component.digest);
    digests.all(|digest| facts.is_form_known(digest))
}

fn concern(input: &Input<'_>, artifact: Artifact, record: &Record) -> Option<Concern> {
    let standing = match of_success(input, record) {
        Some(revoked) => Standing::Held {
            reason: Reason::Revoked,
            message: format!("{} is revoked by {revoked}; {NOT_UNDONE}", artifact.words()),
            eligible: false,
        },
        None => judge(input, artifact, record),
    };
    said(input, artifact, record, standing)
}

/// The concern that a standing is, with the instant since when it is the same.
fn said(
    input: &Input<'_>,
    artifact: Artifact,
    record: &Record,
    standing: Standing,
) -> Option<Concern> {
    let artifact_set = &record.content.release.as_ref()?.artifact_set;
    let mut held = input.environment.concerns.iter();
    let before = held.find(|before| before.artifact_set == *artifact_set);
    let stands = |before: &Concern| before.of(artifact);
    let held = |(reason, message), eligible| Concern {
        artifact,
        record: record.object_name(),
        artifact_set: artifact_set.clone(),
        reason,
        message,
        eligible,
        since: before
            .filter(|before| before.reason == reason)
            .map_or_else(|| whole_seconds(input.now), |before| before.since),
    };
    match standing {
        Standing::Good => None,
        Standing::Unknown => before.map(stands),
        Standing::Unseen { .. } if before.is_some_and(|before| !before.eligible) => {
            before.map(stands)
        }
        // What is only missing takes back no word against it; a Revocation that is lifted was one.
        Standing::Held { eligible: true, .. }
            if before
                .is_some_and(|before| !before.eligible && before.reason != Reason::Revoked) =>
        {
            before.map(stands)
        }
        Standing::Unseen { reason, message } => Some(held((reason, message), true)),
        Standing::Held {
            reason,
            message,
            eligible,
        } => Some(held((reason, message), eligible)),
    }
}

#[cfg(test)]
mod tests;
