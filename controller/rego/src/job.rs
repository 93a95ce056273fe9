//! What goes from the sandbox to its child, and what comes back: one JSON document in, one line of
//! JSON for each part out, as soon as it is known. What a later part does to the child then costs
//! no answer that was given before.

use std::time::Duration;

use lockmaster_core::rules::{RuleOutcome, RuleQuestion};
use serde::{Deserialize, Serialize};

use crate::problem::RuleError;
use crate::rule::compile;

/// Longest answer: eight messages of 120 characters are 4 KiB at most.
pub(crate) const ANSWER_LIMIT: u64 = 16 * 1024;

/// What the child is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Job {
    /// To read rules, each by itself.
    Check(Vec<String>),
    /// To ask rules.
    Ask {
        /// What.
        questions: Vec<RuleQuestion>,
        /// How long one may take, in milliseconds.
        limit: u64,
    },
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// What is wrong with a rule, if anything.
    Checked(Option<RuleError>),
    /// What a rule answered.
    Asked(RuleOutcome),
}

impl Job {
    /// How many answers there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Check(rules) => rules.len(),
            Self::Ask { questions, .. } => questions.len(),
        }
    }

    /// What is left to do after so many answers.
    pub(crate) fn skip(&self, answers: usize) -> Self {
        match self {
            Self::Check(rules) => Self::Check(rules.iter().skip(answers).cloned().collect()),
            Self::Ask { questions, limit } => Self::Ask {
                questions: questions.iter().skip(answers).cloned().collect(),
                limit: *limit,
            },
        }
    }

    /// Does it, and hands over each answer; stops where nobody takes one.
    pub(crate) fn work(&self, mut hand_over: impl FnMut(Answer) -> bool) {
        match self {
            Self::Check(rules) => {
                for rego in rules {
                    if !hand_over(Answer::Checked(compile(rego).err())) {
                        return;
                    }
                }
            }
            Self::Ask { questions, limit } => {
                let limit = Duration::from_millis(*limit);
                for question in questions {
                    if !hand_over(Answer::Asked(ask(question, limit))) {
                        return;
                    }
                }
            }
        }
    }
}

fn ask(question: &RuleQuestion, limit: Duration) -> RuleOutcome {
    match compile(&question.rego) {
        Ok(rule) => rule.evaluate(&question.input, limit),
        // It was checked when the policy was read; whoever could not do that hears it now.
        Err(error) => RuleOutcome::Failed {
            problem: error.to_string(),
        },
    }
}
