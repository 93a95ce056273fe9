//! What the answer of a rule means, in words.

use crate::rules::RuleOutcome;

/// What was not asked: it is asked in a later look, where others make room.
const NOT_ASKED: &str = "it was not asked yet, because others are asked first or there is too much \
                         to look at (if that stays, end Promotions that wait, or attach less)";

/// What an answer means; only a yes opens.
pub(in crate::gates) enum Answer {
    /// It allows it.
    Yes,
    /// It does not, and says why.
    No(String),
    /// It is no yes, and what is wrong with the rule.
    Broken(String),
    /// Nothing is known, and why; it is asked again.
    Nothing(String),
}

impl Answer {
    /// Of a question that was asked, or was not.
    pub(in crate::gates) fn of(outcome: Option<&RuleOutcome>) -> Self {
        let broken = |why: &str| {
            let mend = "ask the owners of the policy to mend it";
            Self::Broken(format!("the rule {why} ({mend})"))
        };
        match outcome {
            Some(RuleOutcome::Allowed) => Self::Yes,
            Some(RuleOutcome::Denied { messages }) if messages.is_empty() => {
                broken("does not allow it, and does not say why")
            }
            Some(RuleOutcome::Denied { messages }) => Self::No(messages.join("; ")),
            Some(RuleOutcome::Undefined) => broken("gives allow no value for it, which is no yes"),
            Some(RuleOutcome::Malformed { problem }) => {
                broken(&format!("gives no yes or no about it: {problem}"))
            }
            Some(RuleOutcome::Failed { problem }) => broken(&format!("fails on it: {problem}")),
            Some(RuleOutcome::TimedOut) => {
                Self::Nothing("it took too long (if that stays, it must become simpler)".to_owned())
            }
            Some(RuleOutcome::Unavailable { problem }) => Self::Nothing(problem.clone()),
            None => Self::Nothing(NOT_ASKED.to_owned()),
        }
    }
}
