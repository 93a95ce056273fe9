//! A look at one image: planned, under way, ended.

use std::time::Instant;

use jiff::Timestamp;
use lockmaster_core::evidence::Anchor;
use tokio::task::AbortHandle;

use crate::registry::Waiters;

/// What a look is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A reader waits for it.
    Now,
    /// It was planned for later.
    Later,
    /// To verify the image again, as was wanted at that instant.
    Verify(Timestamp),
}

/// A look under way or planned, which ends when it is told to.
pub(super) struct Running {
    pub(super) task: AbortHandle,
    pub(super) waiters: Waiters,
    pub(super) since: Instant,
    pub(super) purpose: Purpose,
}

impl Running {
    /// Whether nobody waits for it.
    pub(super) fn is_planned(&self) -> bool {
        matches!(self.purpose, Purpose::Later)
    }

    /// Since when the image is verified again by it, where it is.
    pub(super) fn verifying(&self) -> Option<Timestamp> {
        match self.purpose {
            Purpose::Verify(at) => Some(at),
            Purpose::Now | Purpose::Later => None,
        }
    }
}

/// A look that has ended.
#[derive(Clone, Copy)]
pub(super) struct Ended<'a> {
    /// On whose account it was.
    pub(super) namespace: &'a str,
    /// Who waited for it, which tells it apart from the one that took its place meanwhile.
    pub(super) waiters: &'a Waiters,
    /// The namespace that was in trouble of its own, and looked again by itself, if it was that.
    pub(super) retry_of: Option<&'a str>,
    /// What was judged under, or would have been.
    pub(super) anchors: &'a [Anchor],
}
