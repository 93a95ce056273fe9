//! What is known about one image, and what runs or is planned for it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lockmaster_core::evidence::{Bundle, Evidence, KeyId, PublicKey};
use lockmaster_core::facts::{Observed, Unavailable};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Subject, judge};

use crate::registry::Artifact;

/// A bundle's facts, and the keys that were tried: `verified_by` says nothing of any other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) bundle: Bundle,
    pub(super) tried: BTreeSet<KeyId>,
}

/// What the last look brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Seen {
    /// Nobody has looked yet.
    #[default]
    Nothing,
    /// Everything that is attached.
    Known(Vec<Judged>),
    /// It could not be looked at.
    Unavailable(Unavailable),
}

/// One image. Dropping it ends its task.
#[derive(Default)]
pub(super) struct Entry {
    seen: Seen,
    asked: BTreeMap<KeyId, PublicKey>,
    running: Option<Running>,
    delay: Option<Duration>,
}

struct Running {
    task: tokio::task::AbortHandle,
    /// It is a look that was planned for later, not one that a reader waits for.
    planned: bool,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.task.abort();
        }
    }
}

impl Entry {
    pub(super) fn ask(&mut self, keys: &[PublicKey]) {
        for key in keys {
            if !self.asked.contains_key(&key.id) {
                self.asked.insert(key.id.clone(), key.clone());
            }
        }
    }

    pub(super) fn asked(&self) -> Vec<PublicKey> {
        self.asked.values().cloned().collect()
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(super) fn judged(&self) -> Vec<Judged> {
        match &self.seen {
            Seen::Known(judged) => judged.clone(),
            Seen::Nothing | Seen::Unavailable(_) => Vec::new(),
        }
    }

    /// Whether a look is running or planned.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a look is running that ends as soon as it can.
    pub(super) fn is_completing(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| !running.planned)
    }

    /// Puts a task in the place of the one before, which ends.
    pub(super) fn run(&mut self, task: tokio::task::AbortHandle, planned: bool) {
        if let Some(before) = self.running.replace(Running { task, planned }) {
            before.task.abort();
        }
    }

    /// What is known with respect to `keys`: pending until every bundle was tried with all of them.
    pub(super) fn read(&self, subject: &Digest, keys: &[PublicKey]) -> Observed<Evidence> {
        let judged = match &self.seen {
            Seen::Nothing => return Observed::Pending,
            Seen::Unavailable(unavailable) => return Observed::Unavailable(unavailable.clone()),
            Seen::Known(judged) => judged,
        };
        let wanted: BTreeSet<&KeyId> = keys.iter().map(|key| &key.id).collect();
        if judged
            .iter()
            .any(|one| wanted.iter().any(|key| !one.tried.contains(*key)))
        {
            return Observed::Pending;
        }
        let bundles = judged.iter().map(|one| {
            let mut bundle = one.bundle.clone();
            bundle.verified_by.retain(|key| wanted.contains(key));
            bundle
        });
        Observed::Known(Evidence {
            subject: subject.clone(),
            bundles: bundles.collect(),
        })
    }

    /// Takes in what a task brought. Facts stay facts: a failure does not take known ones away.
    pub(super) fn finish(&mut self, seen: Seen) {
        self.running = None;
        let keep = matches!(seen, Seen::Unavailable(_))
            && matches!(&self.seen, Seen::Known(judged) if !judged.is_empty());
        if keep {
            return;
        }
        if digests(&self.seen) != digests(&seen) {
            // Something was pushed, and more may follow soon.
            self.delay = None;
        }
        self.seen = seen;
    }

    /// The next delay: twice the last one, up to the longest, and up to an eighth more, so that
    /// images that became known together are not read together for ever.
    pub(super) fn next_delay(
        &mut self,
        (first, most): (Duration, Duration),
        image: &Digest,
    ) -> Duration {
        let delay = self.delay.map_or(first, |last| (last * 2).min(most));
        self.delay = Some(delay);
        let spread = image
            .hexadecimal()
            .get(..2)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        delay + delay / 8 * spread.unwrap_or(0) / 255
    }
}

fn digests(seen: &Seen) -> Option<BTreeSet<&Digest>> {
    match seen {
        Seen::Known(judged) => Some(judged.iter().map(|one| &one.bundle.digest).collect()),
        Seen::Nothing | Seen::Unavailable(_) => None,
    }
}

/// The facts about everything in `artifact`: those already known, and those under keys that were
/// not tried before. `None` when the manifest is not the subject's.
pub(super) fn judge_all(
    digest: &Digest,
    artifact: &Artifact,
    known: Vec<Judged>,
    keys: &[PublicKey],
) -> Option<Vec<Judged>> {
    let subject = Subject::new(digest, &artifact.manifest)?;
    let mut known: BTreeMap<Digest, Judged> = known
        .into_iter()
        .map(|one| (one.bundle.digest.clone(), one))
        .collect();
    let judged = artifact.bundles.iter().map(|candidate| {
        let before = known.remove(&candidate.digest);
        let tried = before
            .as_ref()
            .map(|one| one.tried.clone())
            .unwrap_or_default();
        let untried: Vec<PublicKey> = keys
            .iter()
            .filter(|key| !tried.contains(&key.id))
            .cloned()
            .collect();
        let mut all = tried;
        all.extend(untried.iter().map(|key| key.id.clone()));
        let bundle = match before {
            Some(one) if untried.is_empty() => one.bundle,
            Some(one) => {
                let mut bundle = judge(&subject, &candidate.bytes, &untried);
                if bundle.subjects.is_empty() {
                    // A message signature names its subject only under a key that verifies it.
                    bundle.subjects = one.bundle.subjects;
                }
                bundle.verified_by.extend(one.bundle.verified_by);
                bundle
            }
            None => judge(&subject, &candidate.bytes, &untried),
        };
        Judged { bundle, tried: all }
    });
    Some(judged.collect())
}
