//! Judges what is attached to an image, each bundle once under each anchor.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lockmaster_core::evidence::{Anchor, AnchorId, Bundle};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Reading, Subject, Trust};

use crate::registry::Artifact;

/// A bundle's facts, and the anchors that were tried: `verified_by` says nothing of any other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    /// Names it among what is attached to the image.
    pub(super) id: Digest,
    pub(super) bundle: Bundle,
    pub(super) tried: BTreeSet<AnchorId>,
    /// The registry listed it once, and not any more when it was asked last.
    pub(super) withdrawn: bool,
}

/// Why what is attached was not judged.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum JudgeError {
    /// The client compares it as well; said once more, because everything rests on it.
    #[error("the manifest has another digest")]
    Manifest,
    /// The time for it ran out.
    #[error("it took longer than {} seconds", .0.as_secs())]
    Deadline(Duration),
}

/// The facts about everything in `artifact`: those already known, and those under anchors that were
/// not tried before. No bundle is begun after `limit`.
pub(super) fn judge_all(
    digest: &Digest,
    artifact: &Artifact,
    known: &[Judged],
    anchors: &[Anchor],
    limit: Duration,
) -> Result<Vec<Judged>, JudgeError> {
    let start = Instant::now();
    let subject = Subject::new(digest, &artifact.manifest).ok_or(JudgeError::Manifest)?;
    let known: BTreeMap<&Digest, &Judged> = known.iter().map(|one| (&one.id, one)).collect();
    let wanted: BTreeSet<AnchorId> = anchors.iter().map(Anchor::id).collect();
    // Nearly always all bundles were tried under the same anchors, so that each is read once.
    let mut trusts: BTreeMap<Vec<AnchorId>, Trust> = BTreeMap::new();
    let mut reading = Reading::default();
    let judged = artifact.bundles.iter().map(|candidate| {
        if start.elapsed() >= limit {
            return Err(JudgeError::Deadline(limit));
        }
        let before = known.get(&candidate.id);
        let withdrawn = before.is_some_and(|one| one.withdrawn);
        let tried = before.map(|one| one.tried.clone()).unwrap_or_default();
        let untried: Vec<AnchorId> = wanted.difference(&tried).cloned().collect();
        let trust = trusts.entry(untried.clone()).or_insert_with(|| {
            let untried = anchors
                .iter()
                .filter(|anchor| untried.contains(&anchor.id()));
            Trust::new(&untried.cloned().collect::<Vec<_>>())
        });
        let mut all = tried;
        all.extend(untried.iter().cloned());
        let mut bundle = match before {
            Some(one) if untried.is_empty() => one.bundle.clone(),
            Some(one) => {
                let mut bundle = candidate
                    .candidate
                    .judge_with(&subject, trust, &mut reading);
                if bundle.subjects.is_empty() {
                    // A message signature names its subject only under a key that verifies it.
                    bundle.subjects.clone_from(&one.bundle.subjects);
                }
                let before = one.bundle.clone();
                bundle.verified_by.extend(before.verified_by);
                bundle.failures.extend(before.failures);
                bundle
            }
            None => candidate
                .candidate
                .judge_with(&subject, trust, &mut reading),
        };
        // It was read anew, unless everything was tried before.
        bundle.forget_unproven();
        Ok(Judged {
            id: candidate.id.clone(),
            bundle,
            tried: all,
            withdrawn,
        })
    });
    judged.collect()
}
