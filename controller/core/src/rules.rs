//! Rules that a policy states in Rego: what they are asked, and what they answered.
//!
//! Nothing here reads Rego. A question holds the whole rule and all that it may look at, and an
//! answer is a fact like any other, kept under the hash of its question: it can never answer another
//! one, and whoever replays the facts gets the same verdict without asking again.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::canonical::{self, Domain};
use crate::release::Digest;

/// Longest text of one rule, in characters: what the schema counts too.
pub const REGO_LIMIT: usize = 32 * 1024;
/// Most rules of one policy.
pub const RULES_LIMIT: usize = 16;
/// Most messages of one answer that are kept.
pub const MESSAGES_LIMIT: usize = 8;

/// Most that all questions of one look may hold, in bytes, each text counted once: who answers holds
/// it several times over.
pub const LOOK_LIMIT: usize = 4 << 20;
/// Of that, what is kept for questions about what runs: however many promotions wait.
pub const STANDING_LIMIT: usize = LOOK_LIMIT / 4;
/// Promotions of one Environment whose rules are asked in one look, besides the one that holds it.
pub const PROMOTIONS_LIMIT: usize = 16;

/// One rule, asked about one image. Questions share their texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleQuestion {
    /// The rule: a module of Rego v1.
    pub rego: Arc<str>,
    /// All that it may look at, as canonical JSON: `input`.
    pub input: Arc<str>,
}

impl RuleQuestion {
    /// Names exactly this question: SHA-256 over both texts.
    #[must_use]
    pub fn key(&self) -> Digest {
        let Self { rego, input } = self;
        // With the length before it nothing can move from one text into the other.
        let text = format!("{}\n{rego}{input}", rego.len());
        canonical::hash_text(Domain::RuleQuestion, &text)
    }
}

/// What is to be asked in one look, by key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleQuestions {
    /// What has no answer yet, as far as there is room: [`LOOK_LIMIT`]. The most urgent comes first,
    /// since there may not be time for all.
    pub open: Vec<(Digest, RuleQuestion)>,
    /// The answers that are known already.
    pub answered: BTreeMap<Digest, RuleOutcome>,
    /// Whether there was no room for others.
    pub left_out: bool,
}

/// What a rule answered. Only [`RuleOutcome::Allowed`] opens anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum RuleOutcome {
    /// `allow` is true, and `deny` has nothing to say.
    Allowed,
    /// `allow` is false, or `deny` says why not.
    Denied {
        /// What `deny` says, sorted and clipped; at most [`MESSAGES_LIMIT`].
        messages: Vec<String>,
    },
    /// `allow` has no value, and `deny` has nothing to say.
    Undefined,
    /// `allow` is neither true nor false, or `deny` is no collection of texts.
    Malformed {
        /// Which of the two, and what it is instead.
        problem: String,
    },
    /// The rule cannot be read, or what it does is an error.
    Failed {
        /// Where and what, clipped.
        problem: String,
    },
    /// There was no answer in time: nothing is known.
    TimedOut,
    /// It could not be asked, or asking it ended without an answer: nothing is known.
    Unavailable {
        /// What happened.
        problem: String,
    },
}

impl RuleOutcome {
    /// Whether it says anything of what was asked, and so stays true.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Allowed
            | Self::Denied { .. }
            | Self::Undefined
            | Self::Malformed { .. }
            | Self::Failed { .. } => true,
            Self::TimedOut | Self::Unavailable { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_moves_from_the_rule_into_the_input() {
        let question = |rego: &str, input: &str| RuleQuestion {
            rego: rego.into(),
            input: input.into(),
        };
        assert_eq!(question("a", "b").key(), question("a", "b").key());
        assert_ne!(question("a", "b").key(), question("ab", "").key());
        assert_ne!(question("1\na", "b").key(), question("1", "\nab").key());
    }
}
