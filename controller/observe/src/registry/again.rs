//! A look at an image that was looked at before: the lists first, and the rest only where they name
//! something else now.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockmaster_core::release::{Digest, ImageReference};

use super::carriers::{Layer, Place};
use super::discovery::{Found, Visit};
use super::problem::{FetchError, Problem};
use super::shares::{Lane, Turn};
use super::traffic::TrafficEvent;
use super::{Artifact, Credentials, Inner, Reach, RegistryClient, Waiters};

/// Whether a look that took too long says nothing of the registry: it waited for its namespace's share
/// for half of the time or more. With less of that, the registry was slow too, which all are told. Where
/// others wait, much less is enough to look again on the account of one of them.
fn waited_for_own(waited: Duration, deadline: Duration, waiters: &Waiters) -> bool {
    waited >= deadline / if waiters.are_several() { 10 } else { 2 }
}

/// What was listed, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When the lists were asked for.
    pub at: Instant,
    /// A hash of what they named; absent where a part of that could not be had, so that the next look
    /// tries it again.
    pub names: Option<Digest>,
}

/// How a look ended.
#[derive(Debug)]
pub enum Looked<T> {
    /// The lists, asked for at that instant, name what they named before.
    Unchanged(Instant),
    /// Everything was read.
    Found(T),
}

/// What the lists name, before any of it is read.
pub(super) struct Named {
    pub(super) referrers: Vec<(Digest, u64)>,
    pub(super) older: Vec<(Place, Vec<Layer>)>,
    pub(super) at: Instant,
}

impl Named {
    /// Equal where the lists name the same, in whatever order. What it is read as follows from these
    /// digests alone.
    pub(super) fn digest(&self) -> Digest {
        let referrers = self.referrers.iter();
        let referrers = referrers.map(|(manifest, _)| format!("referrer {manifest}\n"));
        let older = self.older.iter();
        let older = older.map(|(place, _)| format!("{:?} {}\n", place.carrier, place.manifest));
        let lines: BTreeSet<String> = referrers.chain(older).collect();
        Digest::of(String::from_iter(lines).as_bytes())
    }
}

impl Visit<'_> {
    /// The same where the lists do not name what they named before; nothing but them is read where
    /// they do.
    pub(super) async fn discover_changes(
        &self,
        known: &Digest,
    ) -> Result<Looked<Found>, FetchError> {
        let at = Instant::now();
        let (lists, older) = tokio::join!(self.lists(), self.older_formats());
        // Of an image that is not known to be there a 404 says nothing.
        let mut subject = None;
        if lists.are_missing() {
            subject = Some(self.subject().await?);
        }
        let named = self.named(at, lists, older).await?;
        if named.digest() == *known {
            return Ok(Looked::Unchanged(at));
        }
        let subject = match subject {
            Some(subject) => subject,
            None => self.subject().await?,
        };
        self.read(subject, named).await.map(Looked::Found)
    }
}

impl RegistryClient {
    /// Asks what is attached to an image, as far as `reach` says. Where the lists name what is `known`
    /// of them already, nothing else is read: what has a digest stays what it is. It goes on the
    /// account of whoever of those that wait has a turn first.
    pub async fn look_again(
        &self,
        waiters: &Waiters,
        image: &ImageReference,
        credentials: &Credentials,
        reach: Reach,
        known: &Digest,
    ) -> Result<Looked<Arc<Artifact>>, FetchError> {
        let credentials = credentials.clone();
        self.inner
            .fetch_changes(waiters, credentials, image, reach, known)
            .await
    }
}

impl Inner {
    async fn fetch_changes(
        &self,
        waiters: &Waiters,
        credentials: Credentials,
        image: &ImageReference,
        reach: Reach,
        known: &Digest,
    ) -> Result<Looked<Arc<Artifact>>, FetchError> {
        let lane = self.lane(image);
        let (_turn, credentials) = self.turn(&lane, waiters, credentials, image).await;
        let visit = self.visit(&lane, &credentials, image, reach);
        let discovery = Box::pin(visit.discover_changes(known));
        Ok(match self.in_time(&visit, waiters, discovery).await? {
            Looked::Unchanged(at) => Looked::Unchanged(at),
            Looked::Found(found) => Looked::Found(Arc::new(visit.keep(found))),
        })
    }

    /// A turn, which does not count as the registry's time, and the credentials on the account of
    /// whose turn it is.
    pub(super) async fn turn<'a>(
        &'a self,
        lane: &'a Lane,
        waiters: &Waiters,
        credentials: Credentials,
        image: &ImageReference,
    ) -> (Turn<'a>, Credentials) {
        let start = Instant::now();
        let turn = self.shares.turn(lane, waiters).await;
        let waited = TrafficEvent::Turn(start.elapsed());
        self.source.note(image, waited);
        (turn, credentials.on_account_of(waiters.account()))
    }

    /// What a look finds, within the time that it has.
    pub(super) async fn in_time<T>(
        &self,
        visit: &Visit<'_>,
        waiters: &Waiters,
        look: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        if let Ok(found) = tokio::time::timeout(self.deadline, look).await {
            return found;
        }
        let seconds = self.deadline.as_secs();
        let waited = visit.budget.waited_for_own();
        let problem = if waited_for_own(waited, self.deadline, waiters) {
            Problem::Waited {
                namespace: visit.credentials.namespace().to_owned(),
                seconds,
                // To the nearest second.
                waited: (waited + Duration::from_millis(500)).as_secs(),
            }
        } else if visit.budget.is_waiting() {
            Problem::Memory(seconds)
        } else {
            Problem::Deadline(seconds)
        };
        Err(problem.reading(format!("the evidence of {}", visit.image)))
    }
}
