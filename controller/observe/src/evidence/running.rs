//! A look at one image that is under way or planned.

use std::time::Instant;

use jiff::Timestamp;
use tokio::task::AbortHandle;

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
