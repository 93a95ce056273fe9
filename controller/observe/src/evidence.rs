//! What is known about the evidence of images, for a pass that may not wait.
//!
//! [`EvidenceStore::read`] answers at once from memory and starts a fetch when it must; the fetch
//! ends by naming the image on a channel, which wakes the pass. Only facts are kept: which bundle
//! says what, and under which key it verifies. Facts stay true, so a known image costs no request;
//! absence is no fact, so an image whose evidence did not suffice is read again, ever more rarely.

mod entry;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lockmaster_core::evidence::{Evidence, PublicKey};
use lockmaster_core::facts::{Cause, Observed, Unavailable};
use lockmaster_core::release::ImageReference;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;

use crate::registry::{Artifact, RegistryClient};
use entry::{Entry, Judged};

/// The registry tells nobody that something was pushed: it is asked again after 10 seconds, then
/// ever more rarely, up to every 10 minutes.
const FIRST_DELAY: Duration = Duration::from_secs(10);
const MOST_DELAY: Duration = Duration::from_mins(10);

/// How a fetch ended, for a histogram of its duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchOutcome {
    /// Everything attached was read.
    Fetched,
    /// It could not be read.
    Failed(Cause),
}

/// Called with duration and end of every fetch from a registry.
pub type FetchObserver = Box<dyn Fn(Duration, FetchOutcome) + Send + Sync>;

/// Evidence by image. Clones share it.
#[derive(Clone)]
pub struct EvidenceStore {
    inner: Arc<Inner>,
}

struct Inner {
    client: RegistryClient,
    wake: UnboundedSender<ImageReference>,
    observer: FetchObserver,
    delays: (Duration, Duration),
    entries: Mutex<BTreeMap<ImageReference, Entry>>,
}

impl EvidenceStore {
    /// A store that reads through `client`, names images on `wake` when something became known
    /// about them, and reports every fetch to `observer`.
    #[must_use]
    pub fn new(
        client: RegistryClient,
        wake: UnboundedSender<ImageReference>,
        observer: FetchObserver,
    ) -> Self {
        Self::with_delays(client, wake, observer, (FIRST_DELAY, MOST_DELAY))
    }

    fn with_delays(
        client: RegistryClient,
        wake: UnboundedSender<ImageReference>,
        observer: FetchObserver,
        delays: (Duration, Duration),
    ) -> Self {
        let entries = Mutex::default();
        Self {
            inner: Arc::new(Inner {
                client,
                wake,
                observer,
                delays,
                entries,
            }),
        }
    }

    /// What is known about `image`, with the signatures under `keys`. Never waits. Must be called
    /// on a Tokio runtime: what is not known yet is fetched or judged in the background, and the
    /// image named on the channel when that is done.
    #[must_use]
    pub fn read(&self, image: &ImageReference, keys: &[PublicKey]) -> Observed<Evidence> {
        let mut entries = self.inner.lock();
        let entry = entries.entry(image.clone()).or_default();
        entry.ask(keys);
        let seen = entry.read(image.digest(), keys);
        if matches!(seen, Observed::Pending) && !entry.is_completing() {
            // A look planned for later is not waited for.
            let task = self.spawn(image, Work::Complete);
            entry.run(task, false);
        }
        seen
    }

    /// The pass found that what is known about `image` does not satisfy a gate, or is not
    /// available: it is read again later, and the image named on the channel after that. Calls
    /// while that is planned or running change nothing.
    pub fn insufficient(&self, image: &ImageReference) {
        let mut entries = self.inner.lock();
        let Some(entry) = entries.get_mut(image) else {
            return;
        };
        if entry.is_running() || !entry.was_looked_at() {
            return;
        }
        let delay = entry.next_delay(self.inner.delays, image.digest());
        let task = self.spawn(image, Work::ReadAgain(delay));
        entry.run(task, true);
    }

    /// Forgets the images that are not in `keep`, and ends what is planned or running for them.
    pub fn forget(&self, keep: &BTreeSet<ImageReference>) {
        self.inner.lock().retain(|image, _| keep.contains(image));
    }

    fn spawn(&self, image: &ImageReference, work: Work) -> AbortHandle {
        let (inner, image) = (Arc::clone(&self.inner), image.clone());
        tokio::spawn(async move { inner.work(image, work).await }).abort_handle()
    }
}

/// Why a task runs.
#[derive(Clone, Copy)]
enum Work {
    /// To know something at all, or to judge under keys that were not asked about before.
    Complete,
    /// To look again, after this delay.
    ReadAgain(Duration),
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ImageReference, Entry>> {
        // A panic while it is held leaves an entry without its last change, which is only late.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(self: Arc<Self>, image: ImageReference, work: Work) {
        if let Work::ReadAgain(delay) = work {
            tokio::time::sleep(delay).await;
        }
        let asked = |entry: &Entry| (entry.facts(), entry.asked());
        let Some((known, keys)) = self.lock().get(&image).map(asked) else {
            return;
        };
        let seen = self.look(&image, work, known, keys.clone()).await;
        if let Some(entry) = self.lock().get_mut(&image) {
            entry.finish(seen, &keys);
        }
        // Nobody listens only when the operator is ending.
        let _ = self.wake.send(image);
    }

    async fn look(
        &self,
        image: &ImageReference,
        work: Work,
        known: Vec<Judged>,
        keys: Vec<PublicKey>,
    ) -> Result<Vec<Judged>, Unavailable> {
        let cached = match work {
            Work::Complete if !known.is_empty() => {
                let digests: Vec<_> = known.iter().map(|one| one.bundle.digest.clone()).collect();
                self.client.read_cached(image, &digests).map(Arc::new)
            }
            Work::Complete | Work::ReadAgain(_) => None,
        };
        let artifact = match cached {
            Some(artifact) => artifact,
            None => self.fetch(image).await?,
        };
        let digest = image.digest().clone();
        // Megabytes of JSON and dozens of signatures: not on a thread that serves others.
        let judged = move || entry::judge_all(&digest, &artifact, known, &keys);
        let failed = |text: &str| Unavailable {
            cause: Cause::Untrustworthy,
            message: format!("failed to judge the evidence of {image}: {text}"),
        };
        match tokio::task::spawn_blocking(judged).await {
            Ok(Some(judged)) => Ok(judged),
            Ok(None) => Err(failed("the manifest has another digest")),
            Err(_) => Err(failed("the attempt ended early")),
        }
    }

    async fn fetch(&self, image: &ImageReference) -> Result<Arc<Artifact>, Unavailable> {
        let start = Instant::now();
        let fetched = self.client.fetch(image).await;
        let outcome = match &fetched {
            Ok(_) => FetchOutcome::Fetched,
            Err(error) => FetchOutcome::Failed(error.cause()),
        };
        (self.observer)(start.elapsed(), outcome);
        fetched.map_err(|error| {
            tracing::debug!(%image, %error, "evidence not read");
            Unavailable::from(error)
        })
    }
}
