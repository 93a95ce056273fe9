//! What is wrong with a rule, and where.

use lockmaster_core::release::clip;
use serde::{Deserialize, Serialize};

/// What the interpreter calls the text of a rule in its messages.
pub(crate) const FILE: &str = "rule.rego";

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct RuleError {
    /// Line of the rule, from 1; 0 where it is about the rule as a whole.
    pub line: u32,
    /// Column of that line, from 1.
    pub column: u32,
    /// What is wrong, clipped, and what to do where that is not plain.
    pub problem: String,
}

impl RuleError {
    /// A problem at a place.
    pub(crate) fn at(line: u32, column: u32, problem: &str) -> Self {
        Self {
            line,
            column,
            problem: clip(problem),
        }
    }

    /// A problem of the rule as a whole.
    pub(crate) fn whole(problem: &str) -> Self {
        Self::at(0, 0, problem)
    }

    /// What the interpreter says, without the lines that it repeats: these may be long, and are in
    /// the policy anyway.
    pub(crate) fn of_interpreter(message: &str) -> Self {
        let place = message.lines().find_map(place).unwrap_or((0, 0));
        let problem = message.lines().find_map(|line| line.split_once("error: "));
        let problem = problem.map_or_else(|| message.trim(), |(_, problem)| problem);
        Self::at(place.0, place.1, problem)
    }
}

/// The line and the column of the first `rule.rego:3:12`.
fn place(line: &str) -> Option<(u32, u32)> {
    let (_, place) = line.split_once(FILE)?;
    let mut numbers = place
        .strip_prefix(':')?
        .split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_interpreter_only_place_and_problem_are_kept() {
        let message = "\n--> rule.rego:3:12\n  |\n3 |  input.a = = 1\n  |            ^\nerror: \
                       expecting expression";
        let error = RuleError::of_interpreter(message);
        assert_eq!(error.to_string(), "line 3, column 12: expecting expression");
        let short = RuleError::of_interpreter("rule.rego:3:22 error: expecting `in`");
        assert_eq!(short.to_string(), "line 3, column 22: expecting `in`");
        let plain = RuleError::of_interpreter("not a valid rule path");
        assert_eq!(
            (plain.line, plain.problem.as_str()),
            (0, "not a valid rule path")
        );
    }
}
