//! Why something could not be read from a registry, and what class of trouble that is.

use std::time::Duration;

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
    #[error("the registry answered {status}{}", pause(.retry_after.as_ref()))]
    Overloaded {
        /// The status.
        status: u16,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It failed so often that it is not asked for a while.
    #[error(
        "the registry failed {failures} times in a row and is not asked again for {seconds} seconds"
    )]
    LeftAlone {
        /// How often it failed.
        failures: u32,
        /// How long it is not asked.
        seconds: u64,
    },
    /// Others that use the registry have a right to their part of it.
    #[error(
        "the namespace has used up its share of requests to the registry for {seconds} seconds; it \
         is tried again by itself"
    )]
    Share {
        /// Whose share it is; not for people, who may be of another.
        namespace: String,
        /// How long until it may send one more.
        seconds: u64,
    },
    /// The deadline passed, and so much of the time went by with waiting for what others of the same
    /// namespace use that the registry may have answered in time: half of it, or a tenth where another
    /// namespace waits for the same.
    #[error(
        "it took longer than {seconds} seconds, {waited} of which it waited for the namespace's share \
         of requests and memory; it is tried again by itself"
    )]
    Waited {
        /// Whose share was waited for; not for people, who may be of another.
        namespace: String,
        /// The deadline.
        seconds: u64,
        /// How much of that was waited.
        waited: u64,
    },
    /// 401 or 403, also after asking for a token.
    #[error("the {who} answered {status}: {}", forbidden(*.login))]
    Forbidden {
        /// The registry, or its token service.
        who: &'static str,
        /// The status.
        status: u16,
        /// Whether there was a login for it.
        login: bool,
    },
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
    /// A directory is no image layout, or a file of it is missing, spoilt or somewhere else.
    #[error("{0}")]
    Layout(String),
}

impl Problem {
    /// The class of trouble, for the verdict.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Connection(_)
            | Self::Deadline(_)
            | Self::Memory(_)
            | Self::Overloaded { .. }
            | Self::LeftAlone { .. }
            | Self::Share { .. }
            | Self::Waited { .. } => Cause::Unreachable,
            Self::Forbidden { .. } | Self::Challenge(_) | Self::Address(_) => Cause::Forbidden,
            Self::Missing => Cause::Missing,
            Self::Limit { .. } => Cause::Truncated,
            Self::Status(_)
            | Self::Hash { .. }
            | Self::Document(_)
            | Self::Redirect(_)
            | Self::Layout(_) => Cause::Untrustworthy,
        }
    }

    /// Whether it says that the host is in trouble, whoever asks: no connection, a broken one, 5xx.
    pub(super) fn is_the_hosts_trouble(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Overloaded { status, .. } => *status >= 500,
            Self::Deadline(_)
            | Self::Memory(_)
            | Self::LeftAlone { .. }
            | Self::Share { .. }
            | Self::Waited { .. }
            | Self::Forbidden { .. }
            | Self::Challenge(_)
            | Self::Address(_)
            | Self::Missing
            | Self::Status(_)
            | Self::Limit { .. }
            | Self::Hash { .. }
            | Self::Document(_)
            | Self::Redirect(_)
            | Self::Layout(_) => false,
        }
    }

    /// Whether the registry said nothing about what was asked for, so that another place may be asked.
    /// Who has used up its share was not refused by the registry, and is not sent to a mirror, which
    /// may not list yet what the registry lists.
    pub(super) fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Connection(_) | Self::Overloaded { .. } | Self::LeftAlone { .. }
        )
    }

    /// The namespace that has used up its own share, where that alone is why. Another one that asks for
    /// the same may be answered.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Share { namespace, .. } | Self::Waited { namespace, .. } => Some(namespace),
            Self::Connection(_)
            | Self::Deadline(_)
            | Self::Memory(_)
            | Self::Overloaded { .. }
            | Self::LeftAlone { .. }
            | Self::Forbidden { .. }
            | Self::Challenge(_)
            | Self::Address(_)
            | Self::Missing
            | Self::Status(_)
            | Self::Limit { .. }
            | Self::Hash { .. }
            | Self::Document(_)
            | Self::Redirect(_)
            | Self::Layout(_) => None,
        }
    }

    pub(super) fn reading(self, what: impl Into<String>) -> FetchError {
        FetchError {
            what: what.into(),
            problem: self,
        }
    }
}

fn pause(asked_for: Option<&Duration>) -> String {
    asked_for.map_or_else(String::new, |pause| {
        format!(" and asks for a pause of {} seconds", pause.as_secs())
    })
}

fn forbidden(login: bool) -> &'static str {
    if login {
        "the user name and password for it are refused, or may not read this repository; mend them \
         or their rights"
    } else {
        "it may not be read without credentials; name a pull secret in spec.pullSecrets of the \
         Environment, or give the operator some in its list of registries"
    }
}
