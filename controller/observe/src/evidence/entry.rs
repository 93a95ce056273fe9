//! What is known about one image, and what runs or is planned for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lockmaster_core::evidence::{Anchor, AnchorId, Child, Evidence, FailedListing, Listed};
use lockmaster_core::facts::{Look, Observed, Unavailable};
use lockmaster_core::release::{Digest, ImageReference};
use lockmaster_core::time::whole_seconds_before;
use tokio::task::AbortHandle;

use super::delay::Delay;
use super::failures::{Failure, Failures, Trouble};
use super::running::{Ended, Purpose, Running};
use super::seen::Seen;
use super::told::Told;
use crate::registry::{Reach, Waiters};

/// What the next look needs.
pub(super) struct Wanted {
    /// What is known already.
    pub(super) known: Option<Arc<Seen>>,
    /// All anchors asked about.
    pub(super) anchors: Vec<Anchor>,
    /// How far it goes.
    pub(super) reach: Reach,
}

/// One image. Dropping it ends its task.
#[derive(Default)]
pub(super) struct Entry {
    /// Everything that is attached, as the last look that succeeded found it.
    facts: Option<Arc<Seen>>,
    /// Who wanted that look, and the bytes that its facts take.
    held: Option<(String, usize)>,
    /// The facts as passes have them.
    told: Told,
    /// Why the last looks failed, if they did.
    failures: Failures,
    /// What is asked about, and when it was last: keys are rotated, and roots have versions.
    asked: BTreeMap<AnchorId, (Anchor, Instant)>,
    /// How far the next look goes; never less far than the last one.
    reach: Reach,
    asked_at: Option<Instant>,
    running: Option<Running>,
    delay: Delay,
    /// It runs or would be gone back to: what was seen once is kept.
    kept: bool,
    /// When it was verified again last.
    verified_at: Option<Timestamp>,
}

/// Who has not asked for this long asks no more, or asks with other pull secrets.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// The same for what runs: its Environment looks when it is due to be verified again, which is once in
/// a week at least.
const KEPT_ABANDONED_AFTER: Duration = Duration::from_hours(2 * 168);

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.task.abort();
        }
    }
}

impl Entry {
    pub(super) fn ask(&mut self, anchors: &[Anchor]) {
        let now = Instant::now();
        self.asked_at = Some(now);
        for anchor in anchors {
            let asked = self.asked.entry(anchor.id());
            asked.or_insert_with(|| (anchor.clone(), now)).1 = now;
        }
        self.asked
            .retain(|_, (_, at)| at.elapsed() < KEPT_ABANDONED_AFTER);
    }

    /// What the next look needs.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            known: self.facts.clone(),
            anchors: self
                .asked
                .values()
                .map(|(anchor, _)| anchor.clone())
                .collect(),
            reach: self.reach,
        }
    }

    /// Lets this and all later looks read the tags; says whether one is to be made for that now.
    pub(super) fn reach_for_tags(&mut self, namespace: &str) -> bool {
        let read = self.facts.as_ref().map(|seen| seen.reach);
        let joined = self.join_running(namespace);
        let under_way = self.reach == Reach::Tags && joined;
        self.reach = Reach::Tags;
        read != Some(Reach::Tags) && !under_way
    }

    /// Whether nobody asks for it any more, and nothing is planned.
    pub(super) fn is_abandoned(&self) -> bool {
        let after = if self.kept {
            KEPT_ABANDONED_AFTER
        } else {
            ABANDONED_AFTER
        };
        let lately = |at: Instant| at.elapsed() < after;
        self.running.is_none() && !self.asked_at.is_some_and(lately)
    }

    /// Since when nobody asks for it, where that is long enough to let it go for something else.
    pub(super) fn unused_since(&self) -> Option<Instant> {
        self.asked_at.filter(|_| self.is_abandoned())
    }

    /// Whether this is what is known already.
    pub(super) fn holds(&self, seen: &Seen) -> bool {
        self.held.is_some() && self.facts.as_deref().map(digests) == Some(digests(seen))
    }

    /// Lets facts stay when the registry lists them no longer.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }

    /// When it was verified again last, or is, and how the last look ended for a namespace. What only
    /// another one could not read was not looked at for this one.
    pub(super) fn last_look(&self, namespace: &str) -> Look {
        let failure = self.failures.of(namespace);
        let running = self.running.as_ref();
        // One that stands in the lines of others alone may stand there for long.
        let running = running.filter(|one| one.waiters.serves(namespace));
        let verifying = running.and_then(Running::verifying);
        let own = self.failures.verified_at(namespace);
        Look {
            at: verifying.or(own).or(self.verified_at),
            problem: failure.map(|failure| failure.unavailable.clone()),
        }
    }

    /// Whether a look has ended that says something to a namespace, well or not.
    pub(super) fn was_looked_at(&self, namespace: &str) -> bool {
        self.facts.is_some() || self.failures.of(namespace).is_some()
    }

    /// Lets all that was ever asked be so much longer ago.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        let older = |at: &mut Instant| *at = at.checked_sub(by).unwrap_or(*at);
        if let Some(seen) = &mut self.facts {
            older(&mut Arc::make_mut(seen).listing.at);
        }
        self.failures.age(by);
    }

    /// Lets it have been asked for so much longer ago.
    #[cfg(test)]
    pub(super) fn forget_asking(&mut self, by: Duration) {
        self.asked_at = self.asked_at.and_then(|at| at.checked_sub(by));
    }

    /// The images of this index, as far as it was looked at.
    pub(super) fn children(&self) -> &[Child] {
        self.facts.as_ref().map_or(&[], |seen| seen.form.children())
    }

    /// The same as images.
    pub(super) fn children_of(&self, index: &ImageReference) -> Vec<ImageReference> {
        let seen = self.facts.as_ref();
        seen.map_or_else(Vec::new, |seen| seen.form.images(index))
    }

    /// Whether a look is running or planned that a namespace may wait for. One that is in trouble of its
    /// own may look sooner than what is planned for all, or than what stands in the lines of others.
    pub(super) fn is_running(&self, namespace: &str) -> bool {
        if !self.is_in_trouble(namespace) {
            return self.running.is_some();
        }
        let running = self.running.as_ref().filter(|one| !one.is_planned());
        let served = running.is_some_and(|one| one.waiters.serves(namespace));
        served || self.failures.is_retrying(namespace)
    }

    /// Whether a look is running that ends as soon as it can.
    pub(super) fn is_completing(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| !running.is_planned())
    }

    /// Lets a look that is running, and ends as soon as it can, go on the account of this namespace too;
    /// says whether there is one.
    pub(super) fn join_running(&self, namespace: &str) -> bool {
        let completing = self.is_completing();
        if completing {
            self.join(namespace);
        }
        completing
    }

    /// Lets a look that is running or planned go on the account of this namespace too.
    pub(super) fn join(&self, namespace: &str) {
        if let Some(running) = &self.running {
            running.waiters.join(namespace);
        }
    }

    /// Puts a task in the place of the one before, which ends; who waited for that one waits for this.
    pub(super) fn run(&mut self, (task, waiters): (AbortHandle, Waiters), purpose: Purpose) {
        if let Some(before) = self.running.take() {
            before.task.abort();
            waiters.join_all(&before.waiters);
        }
        self.running = Some(Running {
            task,
            waiters,
            since: Instant::now(),
            purpose,
        });
    }

    /// Plans a look on the account of a namespace that is in trouble of its own.
    pub(super) fn retry(&mut self, namespace: &str, task: AbortHandle) {
        self.failures.retry(namespace, task);
    }

    /// Whether a namespace is in trouble of its own.
    pub(super) fn is_in_trouble(&self, namespace: &str) -> bool {
        self.failures.are_own(namespace)
    }

    /// What is known to a namespace with respect to `anchors`. Pending, which asks for a look at once,
    /// until every bundle was tried with all of them, or a look that would have done so failed.
    pub(super) fn read(
        &mut self,
        subject: &Digest,
        (namespace, anchors): (&str, &[Anchor]),
        now: Timestamp,
    ) -> Observed<Evidence> {
        let failure = self.failures.of(namespace);
        let seen = match (&self.facts, failure) {
            (None, None) => return Observed::Pending,
            (None, Some(failure)) => return failure.observed(),
            // Absence is no fact, and stays unknown until a look succeeds.
            (Some(seen), Some(failure)) if seen.judged.is_empty() => return failure.observed(),
            (Some(seen), _) => Arc::clone(seen),
        };
        let facts = &seen.judged;
        let wanted: BTreeSet<AnchorId> = anchors.iter().map(Anchor::id).collect();
        let is_tried = |id: &AnchorId| facts.iter().all(|one| one.tried.contains(id));
        let mut untried = wanted.iter().filter(|id| !is_tried(id)).peekable();
        if untried.peek().is_some() {
            return match failure {
                Some(failure) if untried.all(|id| failure.anchors.contains(id)) => {
                    failure.observed()
                }
                _ => Observed::Pending,
            };
        }
        let withdrawn = facts.iter().filter(|one| one.withdrawn);
        let withdrawn = withdrawn.map(|one| one.bundle.digest.clone()).collect();
        Observed::Known(Evidence {
            subject: subject.clone(),
            form: seen.form.clone(),
            bundles: self.told.of(wanted, facts.iter().map(|one| &one.bundle)),
            tags: self.tags(seen.reach, namespace),
            withdrawn,
            listed: self.listed(&seen, namespace, now),
        })
    }

    /// Whose facts these are, and the bytes that they take; nothing where none are known.
    pub(super) fn held(&self) -> Option<(&str, usize)> {
        let (namespace, bytes) = self.held.as_ref()?;
        Some((namespace, *bytes))
    }

    /// Notes on whose behalf the facts are kept, and the bytes that they take.
    pub(super) fn hold(&mut self, namespace: &str, bytes: usize) {
        self.held = Some((namespace.to_owned(), bytes));
    }

    /// How old the lists are, by a clock that nobody sets.
    fn listed(&self, seen: &Seen, namespace: &str, now: Timestamp) -> Listed {
        let at = |instant: Instant| whole_seconds_before(now, instant.elapsed());
        let running = self.running.as_ref().filter(|one| !one.is_planned());
        let failed = self.failures.of(namespace).and_then(|failure| {
            let (at, why) = (at(failure.at)?, failure.unavailable.clone());
            Some(FailedListing { at, why })
        });
        Listed {
            at: at(seen.listing.at),
            asking: running.and_then(|running| at(running.since)),
            failed,
        }
    }

    /// Whether what lies under tags is known too, where the last good look went as far as `seen`.
    fn tags(&self, seen: Reach, namespace: &str) -> Observed<()> {
        match (seen, self.reach, self.failures.of(namespace)) {
            (Reach::Tags, _, _) => Observed::Known(()),
            (Reach::Referrers, Reach::Tags, Some(failure)) => failure.observed(),
            (Reach::Referrers, _, _) => Observed::Pending,
        }
    }

    /// Notes why a look that goes on for others failed for one namespace.
    pub(super) fn fail_alone(
        &mut self,
        namespace: String,
        ended: Ended<'_>,
        unavailable: Unavailable,
    ) {
        let failure = Failure::new(unavailable, ended.anchors);
        let running = self.running.as_ref();
        let running = running.filter(|one| one.waiters.is_same_look(ended.waiters));
        let verifying = running.and_then(Running::verifying);
        self.failures.add_own(namespace, failure, (verifying, None));
    }

    /// Takes in what a look brought. Facts stay facts: a failure is kept beside them.
    pub(super) fn finish(&mut self, ended: Ended<'_>, seen: Result<Seen, Trouble>) {
        let mut running = None;
        if let Some(namespace) = ended.retry_of {
            self.failures.retried(namespace);
        } else {
            // Another look may have taken its place while it ended.
            running = self
                .running
                .take_if(|one| one.waiters.is_same_look(ended.waiters));
        }
        let verified = running.as_ref().and_then(Running::verifying);
        match seen {
            Err(Trouble {
                unavailable,
                account,
            }) => {
                let failure = Failure::new(unavailable, ended.anchors);
                let Some(namespace) = account else {
                    self.verified_at = verified.or(self.verified_at);
                    return self.failures.add(failure);
                };
                let planned = running.is_some_and(|one| one.is_planned());
                // Whoever else asks does not wait longer for that.
                let delay = planned.then(|| self.delay.hand_over());
                self.failures.add_own(namespace, failure, (verified, delay));
            }
            Ok(seen) => {
                let is_same = self.facts.as_deref().map(digests) == Some(digests(&seen));
                if !is_same || self.failures.are_of_all() {
                    // Something was pushed, and more may follow soon; or the registry is back, and what
                    // was pushed meanwhile may be listed soon.
                    self.delay = Delay::default();
                }
                self.verified_at = verified.or(self.verified_at);
                (self.told, self.failures) = (Told::default(), Failures::default());
                self.facts = Some(Arc::new(seen));
            }
        }
    }

    /// What to take in of a look: nothing that is known is lost where somebody runs this image, and what
    /// was listed later stands. Looks on several accounts run side by side, and the one that ends last
    /// may have listed first.
    pub(super) fn complete(&self, found: &mut Seen, anchors: &[Anchor]) {
        let Some(known) = &self.facts else {
            return;
        };
        if known.listing.at > found.listing.at {
            *found = Seen::clone(known);
        } else if self.kept {
            found.add_withdrawn(known, anchors);
        }
    }

    /// The next delay. A namespace in trouble of its own has its own.
    pub(super) fn next_delay(
        &mut self,
        namespace: &str,
        bounds: (Duration, Duration),
        image: &Digest,
    ) -> Duration {
        let own = self.failures.delay_of(namespace);
        own.unwrap_or(&mut self.delay).next(bounds, image)
    }
}

fn digests(seen: &Seen) -> BTreeSet<&Digest> {
    seen.judged.iter().map(|one| &one.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_not_forgotten_between_two_looks() {
        let entry = |kept, hours| {
            let mut entry = Entry::default();
            entry.kept = kept;
            entry.asked_at = Instant::now().checked_sub(Duration::from_hours(hours));
            entry
        };
        assert!(!entry(false, 0).is_abandoned());
        assert!(entry(false, 2).is_abandoned());
        assert!(!entry(true, 169).is_abandoned(), "it is due once in a week");
        assert!(entry(true, 400).is_abandoned());
    }
}
