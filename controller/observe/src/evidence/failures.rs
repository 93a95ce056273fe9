//! Why looks at one image failed, and whom that is said to.
//!
//! All who read with the same logins share what is known of an image, and each look is made on the
//! account of one namespace. What failed for want of that namespace's own share is its own trouble:
//! nobody else is told of it, and whoever else asks looks on an account of his own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use lockmaster_core::evidence::{Anchor, AnchorId};
use lockmaster_core::facts::{Observed, Unavailable};
use tokio::task::AbortHandle;

use super::delay::Delay;
use crate::registry::FetchError;

/// Why a look did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) unavailable: Unavailable,
    /// The namespace whose account alone it failed on; nothing where anybody's look would have failed.
    pub(super) account: Option<String>,
}

impl From<Unavailable> for Trouble {
    fn from(unavailable: Unavailable) -> Self {
        Self {
            unavailable,
            account: None,
        }
    }
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        let account = error.problem.account().map(str::to_owned);
        Self {
            account,
            unavailable: error.into(),
        }
    }
}

/// A look failed.
pub(super) struct Failure {
    pub(super) unavailable: Unavailable,
    /// The anchors that it would have judged under: who asks about another is worth one more look.
    pub(super) anchors: BTreeSet<AnchorId>,
    pub(super) at: Instant,
}

impl Failure {
    /// Now, under these anchors.
    pub(super) fn new(unavailable: Unavailable, anchors: &[Anchor]) -> Self {
        Self {
            unavailable,
            anchors: anchors.iter().map(Anchor::id).collect(),
            at: Instant::now(),
        }
    }

    pub(super) fn observed<T>(&self) -> Observed<T> {
        Observed::Unavailable(self.unavailable.clone())
    }
}

/// The last failures since a look succeeded.
#[derive(Default)]
pub(super) struct Failures {
    of_all: Option<Failure>,
    own: BTreeMap<String, Own>,
}

/// The failure of one namespace, which looks again by itself: what all wait for is not kept by it.
struct Own {
    failure: Failure,
    /// When it wanted the image verified again, where it wanted that.
    verified_at: Option<Timestamp>,
    delay: Delay,
    retry: Option<AbortHandle>,
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(task) = &self.retry {
            task.abort();
        }
    }
}

/// Who fails and does not ask again for this long is forgotten: its share is another one by then.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

impl Own {
    fn is_remembered(&self) -> bool {
        self.failure.at.elapsed() < FORGOTTEN_AFTER
    }
}

impl Failures {
    /// The last one that a namespace is told.
    pub(super) fn of(&self, namespace: &str) -> Option<&Failure> {
        let own = self.own_of(namespace).map(|own| &own.failure);
        own.or(self.of_all.as_ref())
    }

    fn own_of(&self, namespace: &str) -> Option<&Own> {
        self.own.get(namespace).filter(|own| own.is_remembered())
    }

    /// Whether the last look would have failed for anybody.
    pub(super) fn are_of_all(&self) -> bool {
        self.of_all.is_some()
    }

    /// When a namespace that is in trouble of its own wanted the image verified again.
    pub(super) fn verified_at(&self, namespace: &str) -> Option<Timestamp> {
        self.own_of(namespace)?.verified_at
    }

    /// What anybody's look would have met: it is the last for all.
    pub(super) fn add(&mut self, failure: Failure) {
        self.of_all = Some(failure);
        self.own.clear();
    }

    /// What only this namespace's look met, which was to verify the image again, or was planned after
    /// this delay.
    pub(super) fn add_own(
        &mut self,
        namespace: String,
        failure: Failure,
        (verified_at, delay): (Option<Timestamp>, Option<Delay>),
    ) {
        self.own.retain(|_, own| own.is_remembered());
        if let Some(own) = self.own.get_mut(&namespace) {
            own.failure = failure;
            own.verified_at = verified_at.or(own.verified_at);
        } else {
            let own = Own {
                failure,
                verified_at,
                delay: delay.unwrap_or_default(),
                retry: None,
            };
            self.own.insert(namespace, own);
        }
    }

    /// The delays of a namespace that is in trouble of its own; nothing where it is not.
    pub(super) fn delay_of(&mut self, namespace: &str) -> Option<&mut Delay> {
        let own = self.own.get_mut(namespace);
        Some(&mut own.filter(|own| own.is_remembered())?.delay)
    }

    /// Whether a namespace is in trouble of its own.
    pub(super) fn are_own(&self, namespace: &str) -> bool {
        self.own_of(namespace).is_some()
    }

    /// Whether it looks again by itself.
    pub(super) fn is_retrying(&self, namespace: &str) -> bool {
        let own = self.own_of(namespace);
        own.is_some_and(|own| own.retry.is_some())
    }

    /// Lets it look again by itself.
    pub(super) fn retry(&mut self, namespace: &str, task: AbortHandle) {
        match self.own.get_mut(namespace) {
            Some(own) => own.retry = Some(task),
            None => task.abort(),
        }
    }

    /// That look has ended.
    pub(super) fn retried(&mut self, namespace: &str) {
        if let Some(own) = self.own.get_mut(namespace) {
            own.retry = None;
        }
    }

    /// Lets all of them be so much longer ago.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        let own = self.own.values_mut().map(|own| &mut own.failure);
        for failure in own.chain(&mut self.of_all) {
            failure.at = failure.at.checked_sub(by).unwrap_or(failure.at);
        }
    }
}
