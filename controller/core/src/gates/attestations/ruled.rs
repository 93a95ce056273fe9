//! What the rule in Rego of an entry says of each statement that the entry may count.
//!
//! It is asked like the rules of a policy, about one statement and without the time: how old one may
//! be is said by `maxAge`, and what was promoted is asked the same again later.

use std::cell::RefCell;

use super::opinions::{Opinion, is_of_commit, opinion};
use super::words::{Says, Word};
use super::{Entry, Statement};
use crate::case::Case;
use crate::evidence::{Bundle, Content};
use crate::gate::Finding;
use crate::gates::evidence::{Question, ask_all};
use crate::gates::rules::{self, Answer, Signed};
use crate::policy::PolicyContent;
use crate::reason::Reason;
use crate::rules::RuleQuestion;

/// Gives away everything that the rules of entries are asked, one question after the other: all of
/// them at once hold all that is known of the images.
pub(crate) fn questions(case: &Case<'_>, take: &mut dyn FnMut(RuleQuestion)) {
    let take = RefCell::new(take);
    let has_rule = |content: &PolicyContent| {
        let mut entries = content.policy.evidence.attestations.iter();
        entries.any(|entry| entry.rule.is_some())
    };
    // Nothing is answered here, so that images of an index are asked about too.
    let _ = ask_all(case, has_rule, |question| {
        of_image(question, &mut **take.borrow_mut());
        Finding::unknown(Reason::RuleUnanswered, "")
    });
}

fn of_image(question: &Question<'_>, take: &mut dyn FnMut(RuleQuestion)) {
    if question.all_read().is_err() {
        return;
    }
    for rule in &question.content.policy.evidence.attestations {
        let entry = Entry { question, rule };
        let bundles = question.evidence.bundles.iter();
        let statements = bundles.filter_map(|bundle| entry.statement(bundle)?.ok());
        for statement in statements.filter(|statement| entry.would_count(statement.bundle)) {
            if let Some(asked) = entry.rule_question(&statement) {
                take(asked);
            }
        }
    }
}

impl Entry<'_, '_> {
    /// Whether the statement is a yes but for the rule and its age. Each check of several is asked
    /// about by itself.
    fn would_count(&self, bundle: &Bundle) -> bool {
        if let Content::Checks(checks) = &bundle.content {
            return is_of_commit(self.question, &checks.commit).is_ok();
        }
        matches!(opinion(self.question, self.rule, bundle), Opinion::Yes)
    }

    fn rule_question(&self, statement: &Statement<'_>) -> Option<RuleQuestion> {
        let Statement {
            bundle,
            authority,
            signature,
        } = statement;
        let signed = Signed {
            predicate_type: bundle.content.predicate_type()?,
            bundle,
            authority,
            signature: *signature,
        };
        let rego = self.rule.rule.as_deref()?;
        let input = rules::about_statement(self.question, &self.rule.name, &signed)?;
        Some(RuleQuestion {
            rego: rego.into(),
            input: input.into(),
        })
    }

    /// What the rule says of a statement; nothing, where there is none or it allows it.
    pub(super) fn ruled(&self, statement: &Statement<'_>) -> Option<Says> {
        self.rule.rule.as_ref()?;
        if let Content::Custom {
            value: Err(problem),
            ..
        } = &statement.bundle.content
        {
            return Some(Says::Unreadable(problem.clone()));
        }
        let Some(question) = self.rule_question(statement) else {
            return Some(Says::Unanswered("it cannot be asked".to_owned()));
        };
        let answers = &self.question.case.facts.rules;
        match Answer::of(answers.get(&question.key())) {
            Answer::Yes => None,
            Answer::No(why) | Answer::Broken(why) => Some(Says::No(why)),
            Answer::Nothing(why) => Some(Says::Unanswered(why)),
        }
    }
}

/// Nothing is known, because the rule has no answer about this statement.
pub(super) fn unanswered(entry: &Entry<'_, '_>, word: &Word<'_>, why: &str) -> Finding {
    let (name, by) = (&entry.rule.name, word.authority);
    let text = format!(
        "the rule of {name} has no answer about the statement by {by}: {why}; it is asked again by \
         itself"
    );
    Finding::unknown(Reason::RuleUnanswered, text).until(rules::retry_at(entry.question.case.now))
}
