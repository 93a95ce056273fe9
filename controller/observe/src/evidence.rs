//! What is known about the evidence of images, for a pass that may not wait.
//!
//! [`EvidenceStore::read`] answers at once from memory and starts a fetch when it must; the fetch
//! ends by naming the image on a channel, which wakes the pass. Only facts are kept: which bundle
//! says what, and under which key it verifies. Facts stay true, so a known image costs no request;
//! absence is no fact, so an image whose evidence did not suffice is read again, ever more rarely.

mod delay;
mod entry;
mod failures;
mod judging;
mod looking;
mod reader;
mod running;
mod seen;
pub(crate) mod size;
mod told;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lockmaster_core::evidence::{Anchor, Evidence};
use lockmaster_core::facts::{Cause, Look, Observed};
use lockmaster_core::release::ImageReference;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::pull_secrets::PullSecrets;
use crate::registry::{PerNamespace, RegistryClient, Waiters};
use entry::Entry;
use looking::Work;
pub use reader::Asker;
use reader::{Key, Reader};
use running::Purpose;

/// The registry tells nobody that something was pushed: it is asked again after 10 seconds, then
/// ever more rarely, up to every 10 minutes.
const FIRST_DELAY: Duration = Duration::from_secs(10);
const MOST_DELAY: Duration = Duration::from_mins(10);

/// Longest time that everything attached to one image is judged, which all others wait for. The
/// largest evidence that is read takes a second or two under a dozen keys.
const JUDGING_DEADLINE: Duration = Duration::from_secs(4);

/// Images of one namespace that stand in line to be judged: so the next one there is another's.
const JUDGED_OF_ONE_NAMESPACE: usize = 1;

/// Images judged at a time. The largest bundle takes three times its size meanwhile, and a second
/// one beside it would not fit; what waits holds its part of the memory for reading.
pub(crate) const JUDGED_AT_A_TIME: usize = 1;

/// How long things may take, and how long is waited.
#[derive(Clone, Copy)]
struct Limits {
    first_delay: Duration,
    most_delay: Duration,
    judging: Duration,
}

const LIMITS: Limits = Limits {
    first_delay: FIRST_DELAY,
    most_delay: MOST_DELAY,
    judging: JUDGING_DEADLINE,
};

/// How a fetch ended, for a histogram of its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchOutcome {
    /// Everything attached was read.
    Fetched,
    /// It could not be read.
    Failed(Cause),
    /// The namespace that it was read for has used up its own share, which says nothing of a registry.
    ShareUsedUp,
}

/// Called with duration and end of every fetch from a registry.
pub type FetchObserver = Box<dyn Fn(Duration, FetchOutcome) + Send + Sync>;

/// Evidence by image. Clones share it.
#[derive(Clone)]
pub struct EvidenceStore {
    inner: Arc<Inner>,
}

struct Inner {
    reader: Reader,
    wake: UnboundedSender<ImageReference>,
    observer: FetchObserver,
    limits: Limits,
    judging: Arc<Semaphore>,
    judging_of: PerNamespace,
    entries: Mutex<BTreeMap<Key, Entry>>,
}

impl EvidenceStore {
    /// A store that reads through `client`, with these pull secrets where an Environment names some,
    /// names images on `wake` when something became known about them, and reports every fetch to
    /// `observer`.
    #[must_use]
    pub fn new(
        client: RegistryClient,
        pull_secrets: PullSecrets,
        wake: UnboundedSender<ImageReference>,
        observer: FetchObserver,
    ) -> Self {
        let reader = Reader {
            client,
            pull_secrets,
        };
        Self::with_limits(reader, wake, observer, LIMITS)
    }

    fn with_limits(
        reader: Reader,
        wake: UnboundedSender<ImageReference>,
        observer: FetchObserver,
        limits: Limits,
    ) -> Self {
        let entries = Mutex::default();
        let judging = Arc::new(Semaphore::new(JUDGED_AT_A_TIME));
        Self {
            inner: Arc::new(Inner {
                reader,
                wake,
                observer,
                limits,
                judging,
                judging_of: PerNamespace::new(JUDGED_OF_ONE_NAMESPACE),
                entries,
            }),
        }
    }

    /// What is known `now` about `image` to who asks, with the signatures under `anchors`. Never waits. Must
    /// be called on a Tokio runtime: what is not known yet is fetched or judged in the background,
    /// and the image named on the channel when that is done, and each index that lists it.
    ///
    /// Who asks must be allowed to by a policy's sources: without pull secrets of its own, the
    /// operator's logins are used for it.
    #[must_use]
    pub fn read(
        &self,
        image: &ImageReference,
        asker: &Asker,
        anchors: &[Anchor],
        now: Timestamp,
    ) -> Observed<Evidence> {
        let mut entries = self.inner.lock();
        let key = Key::new(image, asker);
        let entry = entries.entry(key.clone()).or_default();
        entry.ask(anchors);
        let seen = entry.read(image.digest(), (&asker.namespace, anchors), now);
        if matches!(seen, Observed::Pending) {
            self.join_or_run(entry, key, asker, (Work::Complete, Purpose::Now));
        }
        seen
    }

    /// What is known about each image, with the signatures under all anchors that are given for it: two
    /// releases may name one image and need it judged under different ones.
    #[must_use]
    pub fn read_all(
        &self,
        asker: &Asker,
        needs: impl IntoIterator<Item = (ImageReference, Vec<Anchor>)>,
        now: Timestamp,
    ) -> BTreeMap<ImageReference, Observed<Evidence>> {
        let mut anchors_of: BTreeMap<ImageReference, Vec<Anchor>> = BTreeMap::new();
        for (image, anchors) in needs {
            anchors_of.entry(image).or_default().extend(anchors);
        }
        let seen = anchors_of.into_iter().map(|(image, anchors)| {
            let evidence = self.read(&image, asker, &anchors, now);
            (image, evidence)
        });
        seen.collect()
    }

    /// The pass found that what is known about `image` does not satisfy a gate, or is not
    /// available: it is read again later, and the image named on the channel after that. Calls
    /// while that is planned or running change nothing.
    pub fn insufficient(&self, image: &ImageReference, asker: &Asker) {
        let mut entries = self.inner.lock();
        let key = Key::new(image, asker);
        let Some(entry) = entries.get_mut(&key) else {
            return;
        };
        let namespace = asker.namespace.as_str();
        if entry.is_running(namespace) {
            if !entry.is_in_trouble(namespace) {
                entry.join(namespace);
            }
            return;
        }
        if !entry.was_looked_at(namespace) {
            return;
        }
        let Limits {
            first_delay,
            most_delay,
            ..
        } = self.inner.limits;
        let delay = entry.next_delay(namespace, (first_delay, most_delay), image.digest());
        if entry.is_in_trouble(namespace) {
            // Whoever else asks does not wait for this one.
            let (task, _) = self.spawn(key, asker, Work::Retry(delay));
            entry.retry(namespace, task);
        } else {
            let task = self.spawn(key, asker, Work::ReadAgain(delay));
            entry.run(task, Purpose::Later);
        }
    }

    /// The pass found that what is known about `image` would not satisfy a gate, and its tags were
    /// not read yet: they are read now, and with every later look.
    pub fn read_tags(&self, image: &ImageReference, asker: &Asker) {
        let mut entries = self.inner.lock();
        let key = Key::new(image, asker);
        let Some(entry) = entries.get_mut(&key) else {
            return;
        };
        if entry.reach_for_tags(&asker.namespace) {
            let task = self.spawn(key, asker, Work::ReadAgain(Duration::ZERO));
            entry.run(task, Purpose::Now);
        }
    }

    /// What is known of `image` is good, and what is not known may be too old: the lists are read now,
    /// and the rest where they name something else. Calls while that is under way change nothing.
    pub fn list_again(&self, image: &ImageReference, asker: &Asker) {
        let mut entries = self.inner.lock();
        let key = Key::new(image, asker);
        if let Some(entry) = entries.get_mut(&key) {
            let again = (Work::ReadAgain(Duration::ZERO), Purpose::Now);
            self.join_or_run(entry, key, asker, again);
        }
    }

    /// What is known about `image`, which runs or would be gone back to, and how the last look ended.
    /// Nothing is fetched for this. From now on what was seen of the image is kept, though the
    /// registry list it no longer.
    #[must_use]
    pub fn peek(
        &self,
        image: &ImageReference,
        asker: &Asker,
        anchors: &[Anchor],
        now: Timestamp,
    ) -> (Observed<Evidence>, Look) {
        let mut entries = self.inner.lock();
        let entry = entries.entry(Key::new(image, asker)).or_default();
        entry.keep();
        entry.ask(anchors);
        let namespace = asker.namespace.as_str();
        let seen = entry.read(image.digest(), (namespace, anchors), now);
        (seen, entry.last_look(namespace))
    }

    /// Asks the registry again about `image`, its manifest included, and names the image on the
    /// channel after that. Must be called on a Tokio runtime.
    pub fn look_again(&self, image: &ImageReference, asker: &Asker, now: Timestamp) {
        let mut entries = self.inner.lock();
        let key = Key::new(image, asker);
        if let Some(entry) = entries.get_mut(&key) {
            self.join_or_run(entry, key, asker, (Work::ReadWhole, Purpose::Verify(now)));
        }
    }

    /// Forgets the images that are neither in `keep` nor listed by an index in it, and ends what is
    /// planned or running for them.
    pub fn forget(&self, keep: &BTreeSet<ImageReference>) {
        let mut entries = self.inner.lock();
        let kept = entries.iter().filter(|(key, _)| keep.contains(&key.image));
        let children = kept.flat_map(|(index, entry)| entry.children_of(&index.image));
        let children: BTreeSet<_> = children.collect();
        entries.retain(|key, entry| {
            let named = keep.contains(&key.image) || children.contains(&key.image);
            // What is read for all stays as long as anybody may ask for it.
            named && !(key.is_of_one() && entry.is_abandoned())
        });
    }

    /// Lets all that was ever asked be so much longer ago.
    #[cfg(test)]
    pub(crate) fn age(&self, by: Duration) {
        for entry in self.inner.lock().values_mut() {
            entry.age(by);
        }
    }

    /// The hosts of registries that are left alone now, after failures in a row.
    #[must_use]
    pub fn left_alone(&self) -> Vec<String> {
        self.inner.reader.client.left_alone()
    }

    /// Waits for the look that is under way, or begins this one. A look planned for later is not waited
    /// for.
    fn join_or_run(
        &self,
        entry: &mut Entry,
        key: Key,
        asker: &Asker,
        (work, purpose): (Work, Purpose),
    ) {
        if !entry.join_running(&asker.namespace) {
            entry.run(self.spawn(key, asker, work), purpose);
        }
    }

    fn spawn(&self, key: Key, asker: &Asker, work: Work) -> (AbortHandle, Waiters) {
        let waiters = Waiters::of(&asker.namespace);
        let task = Arc::clone(&self.inner).work(key, waiters.clone(), work);
        (tokio::spawn(task).abort_handle(), waiters)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        // A panic while it is held leaves an entry without its last change, which is only late.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
