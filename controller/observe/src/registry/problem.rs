//! Why something could not be read from a registry, and what class of trouble that is.

use lockmaster_core::facts::{Cause, Unavailable};
use lockmaster_core::release::Digest;

/// Reading what is attached to an image failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read {what}: {problem}")]
pub struct FetchError {
    /// What was being read, with the image it was read for.
    pub what: String,
    /// Why that failed.
    pub problem: Problem,
}

impl FetchError {
    /// The class of trouble, for the verdict.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.problem.cause()
    }
}

impl From<FetchError> for Unavailable {
    fn from(error: FetchError) -> Self {
        Self {
            cause: error.cause(),
            message: error.to_string(),
        }
    }
}

/// Why one answer is not usable. No text of it holds a header, a token or a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No connection, a broken one, or an answer that ended early.
    #[error("{0}")]
    Connection(String),
    /// The one deadline for everything about an image passed.
    #[error("it took longer than {0} seconds")]
    Deadline(u64),
    /// What is being read of other images left no memory for this one until the deadline.
    #[error("for {0} seconds there was no memory for it beside what else is being read")]
    Memory(u64),
    /// The registry is overloaded or broken: 429 or 5xx.
    #[error("the registry answered {0}")]
    Overloaded(u16),
    /// 401 or 403, also after asking for a token.
    #[error("the registry answered {0}: it may not be read without credentials")]
    Forbidden(u16),
    /// The registry asks for credentials in a way that is not followed.
    #[error("{0}")]
    Challenge(String),
    /// The address must not be connected to (CVE-2026-22772 and its family).
    #[error("{0}")]
    Address(String),
    /// 404.
    #[error("the registry does not have it")]
    Missing,
    /// Any other status.
    #[error("the registry answered {0}")]
    Status(u16),
    /// More bytes or things than are read (CVE-2023-46737, CVE-2024-29902 and their family).
    #[error("there are more than {limit} {what}")]
    Limit {
        /// What there are too many of.
        what: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// The bytes are not those of the digest (CVE-2022-47633).
    #[error("the registry sent {found} instead")]
    Hash {
        /// The digest of what was sent.
        found: Digest,
    },
    /// The document contradicts itself, its descriptor or its headers (CVE-2021-41190).
    #[error("{0}")]
    Document(String),
    /// A redirection that is not followed (CVE-2026-50163 and its family).
    #[error("{0}")]
    Redirect(String),
}

impl Problem {
    /// The class of trouble, for the verdict.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Connection(_) | Self::Deadline(_) | Self::Memory(_) | Self::Overloaded(_) => {
                Cause::Unreachable
            }
            Self::Forbidden(_) | Self::Challenge(_) | Self::Address(_) => Cause::Forbidden,
            Self::Missing => Cause::Missing,
            Self::Limit { .. } => Cause::Truncated,
            Self::Status(_) | Self::Hash { .. } | Self::Document(_) | Self::Redirect(_) => {
                Cause::Untrustworthy
            }
        }
    }

    pub(super) fn reading(self, what: impl Into<String>) -> FetchError {
        FetchError {
            what: what.into(),
            problem: self,
        }
    }
}
