//! Looks at one image in the background: reads what is attached, and lets it be judged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockmaster_core::evidence::Anchor;
use lockmaster_core::facts::{Cause, Unavailable};
use lockmaster_core::release::{Digest, ImageReference};

use super::entry::{Entry, Wanted};
use super::failures::Trouble;
use super::judging::{JudgeError, Judged, judge_all};
use super::reader::Key;
use super::running::Ended;
use super::seen::Seen;
use super::{FetchOutcome, Inner, size};
use crate::registry::{Artifact, Credentials, Listing, Looked, Reach, Waiters};

/// Why a task runs.
#[derive(Clone, Copy)]
pub(super) enum Work {
    /// To know something at all, or to judge under anchors that were not asked about before.
    Complete,
    /// To look again, after this delay.
    ReadAgain(Duration),
    /// The same, of a namespace that is in trouble of its own.
    Retry(Duration),
    /// To look again now, and whether the registry still has the image itself.
    ReadWhole,
}

impl Inner {
    /// Looks on behalf of those that wait for it.
    pub(super) async fn work(self: Arc<Self>, key: Key, waiters: Waiters, work: Work) {
        if let Work::ReadAgain(delay) | Work::Retry(delay) = work {
            tokio::time::sleep(delay).await;
        }
        let first = waiters.account();
        let retry_of = matches!(work, Work::Retry(_)).then_some(&*first);
        loop {
            let Some(wanted) = self.lock().get(&key).map(Entry::wanted) else {
                return;
            };
            let anchors = wanted.anchors.clone();
            let seen = self.look(&key, &waiters, work, wanted).await;
            let ended = Ended {
                namespace: &waiters.account(),
                waiters: &waiters,
                retry_of,
                anchors: &anchors,
            };
            let is_over = size::keep(&mut self.lock(), &key, ended, seen);
            self.tell(&key.image);
            if is_over {
                return;
            }
        }
    }

    /// Wakes whoever waits for an image, and for an index of it: some know only that.
    fn tell(&self, image: &ImageReference) {
        let entries = self.lock();
        let indexes = entries.iter().filter(|(_, entry)| {
            let mut children = entry.children().iter();
            children.any(|child| child.digest == *image.digest())
        });
        let indexes: BTreeSet<_> = indexes.map(|(index, _)| &index.image).collect();
        for known in indexes.into_iter().chain([image]) {
            // Nobody listens only when the operator is ending.
            let _ = self.wake.send(known.clone());
        }
    }

    async fn look(
        &self,
        key: &Key,
        waiters: &Waiters,
        work: Work,
        wanted: Wanted,
    ) -> Result<Seen, Trouble> {
        let Wanted {
            known,
            anchors,
            reach,
        } = wanted;
        let namespace = waiters.account();
        let credentials = self.reader.credentials(key, &namespace, false).await?;
        let cached = self.cached(key, &credentials, work, known.as_deref());
        let is_listed = cached.is_none();
        let (artifact, reach, listing) = if let Some(cached) = cached {
            cached
        } else {
            let before = known.as_deref().filter(|known| {
                matches!(work, Work::ReadAgain(_) | Work::Retry(_))
                    && known.is_judged_under(&anchors)
            });
            let names = before.and_then(|known| known.listing.names.as_ref());
            let fetched = self.fetch(key, waiters, credentials, reach, names);
            match (fetched.await?, before) {
                (Looked::Found(artifact), _) => {
                    let listing = artifact.listing.clone();
                    let unlisted = || failed(&key.image, Cause::Untrustworthy, "nothing lists it");
                    (artifact, reach, listing.ok_or_else(unlisted)?)
                }
                (Looked::Unchanged(at), Some(before)) => {
                    let mut same = before.clone();
                    (same.reach, same.listing.at) = (reach, at);
                    return Ok(same);
                }
                (Looked::Unchanged(_), None) => {
                    let text = "nothing is known of it";
                    return Err(failed(&key.image, Cause::Untrustworthy, text).into());
                }
            }
        };
        let (form, places) = (artifact.form.clone(), artifact.places.clone());
        let mut judged = self
            .judge((&key.image, waiters), artifact, known, anchors)
            .await?;
        for one in judged.iter_mut().filter(|_| is_listed) {
            one.withdrawn = false;
        }
        Ok(Seen {
            form,
            judged,
            places,
            reach,
            listing,
        })
    }

    /// What is still in memory, where that is enough. It reaches no further than the look that brought
    /// it, and is as old as that.
    fn cached(
        &self,
        key: &Key,
        credentials: &Credentials,
        work: Work,
        known: Option<&Seen>,
    ) -> Option<(Arc<Artifact>, Reach, Listing)> {
        let client = &self.reader.client;
        match work {
            Work::Complete => {
                let known = known.filter(|known| !known.judged.is_empty())?;
                let cached = client.read_cached(&key.image, credentials, &known.places)?;
                Some((Arc::new(cached), known.reach, known.listing.clone()))
            }
            Work::ReadAgain(_) | Work::Retry(_) => None,
            Work::ReadWhole => {
                client.forget_manifest(&key.image, credentials);
                None
            }
        }
    }

    async fn judge(
        &self,
        (image, waiters): (&ImageReference, &Waiters),
        artifact: Arc<Artifact>,
        known: Option<Arc<Seen>>,
        anchors: Vec<Anchor>,
    ) -> Result<Vec<Judged>, Unavailable> {
        let (digest, limit) = (image.digest().clone(), self.limits.judging);
        // Never closed, so this is always a permit. It goes where it is used: what is under way
        // cannot be ended from outside.
        let turn = waiters.first(|namespace| self.judging_of.of(&namespace).acquire_owned());
        let (turn, _) = turn.await;
        let permit = Arc::clone(&self.judging).acquire_owned().await;
        // Megabytes of JSON and dozens of signatures: not on a thread that serves others.
        let judge = move || {
            let _permits = (turn, permit);
            let known = known.as_ref().map_or(&[][..], |seen| &seen.judged);
            judge_all(&digest, &artifact, known, &anchors, limit)
        };
        let (cause, text) = match tokio::task::spawn_blocking(judge).await {
            Ok(Ok(judged)) => return Ok(judged),
            Ok(Err(error @ JudgeError::Manifest)) => (Cause::Untrustworthy, error.to_string()),
            Ok(Err(error @ JudgeError::Deadline(_))) => (Cause::Unreachable, error.to_string()),
            Err(_) => (Cause::Untrustworthy, "the attempt ended early".to_owned()),
        };
        Err(failed(image, cause, &text))
    }

    async fn fetch(
        &self,
        key: &Key,
        waiters: &Waiters,
        credentials: Credentials,
        reach: Reach,
        known: Option<&Digest>,
    ) -> Result<Looked<Arc<Artifact>>, Trouble> {
        let start = Instant::now();
        let fetched = self.reader.fetch(key, waiters, credentials, reach, known);
        let fetched = fetched.await;
        let outcome = match &fetched {
            Ok(_) => FetchOutcome::Fetched,
            Err(trouble) if trouble.account.is_some() => FetchOutcome::ShareUsedUp,
            Err(trouble) => FetchOutcome::Failed(trouble.unavailable.cause),
        };
        (self.observer)(start.elapsed(), outcome);
        fetched.inspect_err(|trouble| {
            let (image, error) = (&key.image, &trouble.unavailable.message);
            tracing::debug!(%image, error, "evidence not read");
        })
    }
}

fn failed(image: &ImageReference, cause: Cause, text: &str) -> Unavailable {
    Unavailable {
        cause,
        message: format!("failed to judge the evidence of {image}: {text}"),
    }
}
