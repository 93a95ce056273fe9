//! Did the required checks pass on the commit of the Release? Several statements add up: each check
//! is looked for in all of them, and its newest conclusion counts.

use std::collections::BTreeSet;

use super::opinions::is_of_commit;
use super::words::{Says, Word};
use super::{Entry, Statement};
use crate::evidence::{Check, Conclusion, Content};
use crate::policy::CheckRule;
use crate::release::clip;

/// The names that are asked about, the required ones first, and whether each must be there.
pub(super) fn asked(rule: &CheckRule) -> Vec<(&str, bool)> {
    let required = rule.required.iter().map(|name| (name.as_str(), true));
    let security = rule.security.iter().map(|name| (name.as_str(), false));
    let mut seen = BTreeSet::new();
    let all = required.chain(security);
    all.filter(|(name, _)| seen.insert(*name)).collect()
}

/// What the statements say of one check; those about another commit say nothing, and why is kept.
pub(super) fn words<'a>(
    entry: &Entry<'_, 'a>,
    rule: &CheckRule,
    statements: &[Statement<'a>],
    name: &str,
    others: &mut Vec<String>,
) -> Vec<Word<'a>> {
    let mut words = Vec::new();
    for statement in statements {
        let Content::Checks(checks) = &statement.bundle.content else {
            // What cannot be read might be the one that says no.
            let problem = statement.bundle.content.problem().unwrap_or_default();
            let says = Says::Unreadable(problem.to_owned());
            words.push(entry.word(statement, says));
            continue;
        };
        if let Err(why) = is_of_commit(entry.question, &checks.commit) {
            others.push(why);
            continue;
        }
        if let Some(says) = entry.ruled(statement) {
            words.push(entry.word(statement, says));
            continue;
        }
        let found = checks.checks.iter().find(|check| check.name == name);
        words.extend(found.map(|check| {
            let says = match objection(rule, check) {
                Some(why) => Says::No(why),
                None => entry.yes(statement),
            };
            entry.word(statement, says)
        }));
    }
    words
}

/// Why a check does not pass.
fn objection(rule: &CheckRule, check: &Check) -> Option<String> {
    let Check {
        name,
        conclusion,
        url,
        quarantined,
    } = check;
    let name = clip(name);
    let run = url
        .as_ref()
        .map_or_else(String::new, |url| format!(", see {}", clip(url)));
    if *conclusion != Conclusion::Success {
        return Some(format!("check {name} ended with {conclusion}{run}"));
    }
    let left_out = quarantined.first()?;
    let test = clip(&left_out.test);
    if rule.security.contains(&check.name) {
        return Some(format!(
            "check {name} left out {test}, and nothing of a security check may be left out{run}"
        ));
    }
    Some(format!(
        "check {name} left out {test} until {}, which needs an approved exception; there are none \
         yet, so mend the test and run the check with it{run}",
        left_out.until
    ))
}
