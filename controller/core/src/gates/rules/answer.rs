//! What the answer of a rule means, in words.

use crate::rules::RuleOutcome;

/// What was not asked: others had their turn, or took the room.
const NOT_ASKED: &str = "it was not asked yet, because others are asked first or there is too much \
                         to look at (if that stays, fewer Promotions of this Environment may wait, \
                         or less be attached)";

/// What an answer means; only a yes opens.
pub(in crate::gates) enum Answer {
    /// It allows it.
    Yes,
    /// It does not, and says why.
    No(String),
    /// It is neither, and what is wrong with the rule.
    Broken(String),
    /// Nothing is known, and why; it is asked again.
    Nothing(String),
}

impl Answer {
    /// Of a question that was asked, or was not.
    pub(in crate::gates) fn of(outcome: Option<&RuleOutcome>) -> Self {
        let broken =
            |why: &str| Self::Broken(format!("{why} (ask the owners of the policy to mend it)"));
        match outcome {
            Some(RuleOutcome::Allowed) => Self::Yes,
            Some(RuleOutcome::Denied { messages }) if messages.is_empty() => {
                Self::No("the rule does not allow it, and does not say why".to_owned())
            }
            Some(RuleOutcome::Denied { messages }) => Self::No(messages.join("; ")),
            Some(RuleOutcome::Undefined) => Self::Broken(
                "the rule gives allow no value for it, which is no yes (ask the owners of the policy \
                 to let it say why, by deny)"
                    .to_owned(),
            ),
            Some(RuleOutcome::Malformed { problem }) => {
                broken(&format!("the rule gives no yes or no about it: {problem}"))
            }
            Some(RuleOutcome::Failed { problem }) => broken(&format!("the rule fails on it: {problem}")),
            Some(RuleOutcome::TimedOut) => {
                Self::Nothing("it took too long (if that stays, it must become simpler)".to_owned())
            }
            Some(RuleOutcome::Unavailable { problem }) => Self::Nothing(problem.clone()),
            None => Self::Nothing(NOT_ASKED.to_owned()),
        }
    }
}
