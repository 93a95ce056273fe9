//! What is asked in one look: of what runs, of the promotion whose turn it is, and of some that wait.
//!
//! Anybody who may promote may queue any number of promotions. All of their questions at once would
//! fill the memory, and the time that there is for answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{RETRY, asked};
use crate::case::{Case, matching};
use crate::decide::Input;
use crate::gates::attestations;
use crate::policy::PolicyContent;
use crate::promotion::{Action, Promotion};
use crate::release::Digest;
use crate::rules::{
    LOOK_LIMIT, PROMOTIONS_LIMIT, RuleOutcome, RuleQuestion, RuleQuestions, STANDING_LIMIT,
};
use crate::standing;

/// What the rules of the matching policies and of their entries are asked, by its key: of promotions
/// and, by entries, of what runs. What is answered goes into [`crate::facts::Facts::rules`] under the
/// same key; what is not asked has no answer, which closes. What is `known` is not asked again: who
/// asks once more at the same instant has room for what was left out.
#[must_use]
pub fn questions(
    input: &Input<'_>,
    known: &dyn Fn(&Digest) -> Option<RuleOutcome>,
) -> RuleQuestions {
    let mut collected = Collected::new(known);
    let mut take = |question| collected.take(question, STANDING_LIMIT);
    standing::rule_questions(input, &mut take);
    let of_standing = std::mem::take(&mut collected.questions.left_out);
    for promotion in in_turn(input) {
        let case = Case::new(promotion, input);
        attestations::questions(&case, &mut |question| collected.take(question, LOOK_LIMIT));
        let asked = asked(&case).filter_map(Result::ok);
        for question in asked.filter_map(|asked| asked.question) {
            collected.take(question, LOOK_LIMIT);
        }
    }
    if of_standing {
        let mut take = |question| collected.take(question, LOOK_LIMIT);
        standing::rule_questions(input, &mut take);
    }
    collected.questions
}

/// Whether there is anything to ask: a promotion, and a matching policy with rules or with an entry
/// that has one; or what runs, and such an entry.
#[must_use]
pub fn has_rules(input: &Input<'_>) -> bool {
    let (environment, facts) = (input.environment, input.facts);
    let tier = environment.effective_tier(&facts.namespaces);
    let policies = matching(environment, facts, tier);
    let by_entries = |content: &PolicyContent| {
        let mut entries = content.policy.evidence.attestations.iter();
        entries.any(|entry| entry.rule.is_some())
    };
    let contents = policies.iter().map(|(_, content)| content);
    let ruled = contents
        .clone()
        .any(|content| !content.policy.rules.is_empty());
    let by_entries = contents.into_iter().any(|content| by_entries(content));
    let promotes = !input.promotions.is_empty();
    (promotes && (ruled || by_entries))
        || (by_entries && standing::artifacts(input).next().is_some())
}

/// The promotions that are asked about, the most urgent first: what holds the Environment, ways back
/// and the oldest that wait, and as many of the others by turns, so that none waits for ever behind
/// those that no rule will let pass.
fn in_turn<'a>(input: &Input<'a>) -> Vec<&'a Promotion> {
    let active = input.environment.active.as_ref();
    let holder = active.map(|claim| claim.account.promotion.uid.as_str());
    let unfinished = input.promotions.iter().filter(|one| !one.is_finished());
    let (mut first, mut waiting): (Vec<_>, Vec<_>) =
        unfinished.partition(|one| holder == Some(one.uid.as_str()) || one.memory.intent.is_some());
    // Nobody queues so many that a way back is not asked about.
    let forward = |one: &Promotion| one.request.action == Action::Promote;
    waiting.sort_by(|a, b| (forward(a), a.created, &a.name).cmp(&(forward(b), b.created, &b.name)));
    let oldest = waiting.len().min(PROMOTIONS_LIMIT / 2);
    let mut others = waiting.split_off(oldest);
    first.append(&mut waiting);
    let turns = others.len().div_ceil(PROMOTIONS_LIMIT / 2).max(1);
    let turn = usize::try_from(input.now.as_second() / RETRY).unwrap_or(0) % turns;
    let others = others.drain(..).skip(turn * (PROMOTIONS_LIMIT / 2));
    first.extend(others.take(PROMOTIONS_LIMIT / 2));
    first
}

/// Questions, as long as there is room for them.
struct Collected<'a> {
    known: &'a dyn Fn(&Digest) -> Option<RuleOutcome>,
    questions: RuleQuestions,
    /// Those of the open ones.
    keys: BTreeSet<Digest>,
    /// Whoever asks may have copied them; held is one of each.
    texts: BTreeMap<Digest, Arc<str>>,
    size: usize,
}

impl<'a> Collected<'a> {
    fn new(known: &'a dyn Fn(&Digest) -> Option<RuleOutcome>) -> Self {
        Self {
            known,
            questions: RuleQuestions::default(),
            keys: BTreeSet::new(),
            texts: BTreeMap::new(),
            size: 0,
        }
    }

    /// Leaves out what there is no room for within so many bytes; what is smaller may still find some.
    fn take(&mut self, question: RuleQuestion, limit: usize) {
        let key = question.key();
        let RuleQuestions {
            open,
            answered,
            left_out,
        } = &mut self.questions;
        if self.keys.contains(&key) || answered.contains_key(&key) {
            return;
        }
        if let Some(answer) = (self.known)(&key) {
            answered.insert(key, answer);
            return;
        }
        let RuleQuestion { rego, input } = question;
        let texts = [rego, input].map(|text| (Digest::of(text.as_bytes()), text));
        let known = |text| self.texts.contains_key(text);
        let new = texts.iter().filter(|(digest, _)| !known(digest));
        let size = self.size + new.map(|(_, text)| text.len()).sum::<usize>();
        if size > limit {
            *left_out = true;
            return;
        }
        self.size = size;
        let [rego, input] =
            texts.map(|(digest, text)| Arc::clone(self.texts.entry(digest).or_insert(text)));
        self.keys.insert(key.clone());
        open.push((key, RuleQuestion { rego, input }));
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::fixtures::ruled::{questions, ruled};
    use crate::fixtures::{ready, with_policy};
    use crate::promotion::Intent;
    use crate::snapshot::Snapshot;

    /// So many promotions of the same Release, the youngest first.
    fn queue(count: usize) -> Snapshot {
        let mut snapshot = ready();
        ruled(&mut snapshot);
        let one = snapshot.promotions[0].clone();
        let copies = (0..count).rev().map(|number| {
            let mut copy = one.clone();
            copy.uid = format!("uid-{number:03}");
            copy.name = format!("p-{number:03}");
            copy.created += SignedDuration::from_secs(i64::try_from(number).unwrap());
            copy
        });
        snapshot.promotions = copies.collect();
        snapshot
    }

    fn asked_now(snapshot: &Snapshot) -> Vec<String> {
        let asked = in_turn(&snapshot.input());
        asked.into_iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn few_are_asked_at_a_time_and_each_has_its_turn() {
        assert_eq!(asked_now(&queue(3)), ["p-000", "p-001", "p-002"]);
        let mut snapshot = queue(500);
        let mut seen = BTreeSet::new();
        for _ in 0..62 {
            let now = asked_now(&snapshot);
            assert!(
                now.len() <= PROMOTIONS_LIMIT && now[..2] == ["p-000", "p-001"],
                "{now:?}"
            );
            seen.extend(now);
            snapshot.now += SignedDuration::from_secs(RETRY);
        }
        assert_eq!(seen.len(), 500);
    }

    #[test]
    fn a_way_back_waits_for_none_that_was_queued_before() {
        let mut snapshot = queue(500);
        snapshot.promotions[0].request.action = Action::Rollback;
        let name = snapshot.promotions[0].name.clone();
        assert_eq!(asked_now(&snapshot)[0], name, "it was the youngest");
    }

    #[test]
    fn what_holds_the_environment_is_asked_first() {
        let mut snapshot = queue(500);
        let mut last = snapshot.promotions.remove(0);
        last.memory.intent = Some(Intent {
            attempt: 1,
            at: snapshot.now,
            undo: None,
            targets: vec![],
        });
        let name = last.name.clone();
        snapshot.promotions.push(last);
        assert_eq!(asked_now(&snapshot)[0], name);
    }

    /// One Release has dozens of components, and each is asked about with all that is known of it.
    #[test]
    fn questions_are_collected_as_far_as_there_is_room() {
        let mut snapshot = queue(1);
        with_policy(&mut snapshot, |policy| {
            policy.rules[0].rego.push_str(&"#".repeat(LOOK_LIMIT / 2));
            let mut second = policy.rules[0].clone();
            second.name = "second".into();
            second.rego.push(' ');
            let third = crate::policy::RegoRule {
                name: "third".into(),
                rego: "package lockmaster".into(),
            };
            policy.rules.extend([second, third]);
        });
        let questions = questions(&snapshot);
        let sizes: Vec<_> = questions.values().map(|one| one.rego.len()).collect();
        assert_eq!(sizes.len(), 2, "{sizes:?}");
        assert!(
            sizes.iter().any(|size| *size < 100),
            "the small one has room"
        );
        let inputs: Vec<_> = questions.values().map(|one| one.input.as_ptr()).collect();
        assert_eq!(inputs[0], inputs[1], "one text for all rules");
    }
}
