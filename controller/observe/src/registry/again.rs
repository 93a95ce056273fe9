//! A look at an image that was looked at before: the lists first, and the rest only where they name
//! something else now.

use std::sync::Arc;
use std::time::Instant;

use lockmaster_core::release::{Digest, ImageReference};

use super::discovery::Visit;
use super::problem::FetchError;
use super::{Artifact, Credentials, Inner, Reach, RegistryClient};

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

impl RegistryClient {
    /// Asks what is attached to an image, as far as `reach` says. Where the lists name what is `known`
    /// of them already, nothing else is read: what has a digest stays what it is.
    pub async fn look_again(
        &self,
        image: &ImageReference,
        credentials: &Credentials,
        reach: Reach,
        known: &Digest,
    ) -> Result<Looked<Arc<Artifact>>, FetchError> {
        self.inner
            .fetch_changes(credentials, image, reach, known)
            .await
    }
}

impl Inner {
    async fn fetch_changes(
        &self,
        credentials: &Credentials,
        image: &ImageReference,
        reach: Reach,
        known: &Digest,
    ) -> Result<Looked<Arc<Artifact>>, FetchError> {
        let lane = self.lane(image);
        let _turn = self.turn(&lane, credentials, image).await;
        let visit = Visit {
            inner: self,
            image,
            credentials,
            reach,
            budget: self.shares.budget(&lane),
        };
        let discovery = Box::pin(visit.discover_changes(known));
        Ok(match self.in_time(&visit, discovery).await? {
            Looked::Unchanged(at) => Looked::Unchanged(at),
            Looked::Found(found) => Looked::Found(Arc::new(visit.keep(found))),
        })
    }
}
