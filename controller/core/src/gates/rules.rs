//! Does each rule in Rego that a policy states allow the image? (M05)

mod answer;
mod input;
mod questions;
mod shown;

pub(super) use answer::Answer;
pub(super) use input::about_statement;
pub(super) use shown::Signed;

use std::rc::Rc;
use std::sync::Arc;

use jiff::Timestamp;

use super::evidence::{Question, seen};
use crate::case::Case;
use crate::evidence::Evidence;
use crate::gate::{EvidenceReference, Finding, Gate, Subject, Verdict, Want};
use crate::policy::{PolicyContent, PolicyFact};
use crate::reason::Reason;
use crate::release::{Component, ImageReference, Release};
use crate::rules::RuleQuestion;

/// What only the clock can change in an answer is looked at again every full hour: rarely enough
/// that a status that says when does not change all the time.
const ASK_AGAIN: i64 = 3600;
/// What gave no answer is asked again sooner.
const RETRY: i64 = 600;

pub use questions::{has_rules, questions};

/// See the module.
#[derive(Debug)]
pub(super) struct Rules;

impl Gate for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::RulesAllow,
            Reason::RuleDenied,
            Reason::RuleUnanswered,
            Reason::TrustedRootInvalid,
            Reason::EvidencePending,
            Reason::ArtifactMissing,
            Reason::RegistryUnavailable,
            Reason::EvidenceTruncated,
            Reason::SourceNotAllowed,
            Reason::ReleaseNotFound,
            Reason::ReleaseInvalid,
        ]
    }

    fn subject(&self) -> Subject {
        Subject::Rules
    }

    /// Without what the rules are asked: that holds all that is known of each image.
    fn wants(&self, case: &Case<'_>) -> Vec<Want> {
        let components = case.release.iter().flat_map(|release| &release.components);
        let unread = components.flat_map(|component| {
            let ruling = ruling(case);
            ruling.filter_map(|(fact, content)| {
                readable(case, (&fact.name, content), &component.image).err()
            })
        });
        unread.flat_map(|finding| finding.wants).collect()
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        if ruling(case).next().is_none() {
            return Finding::not_required("no matching policy has rules in Rego");
        }
        if case.release.is_none() {
            let text = "they are asked once the Release is there";
            return Finding::hold(Reason::ReleaseNotFound, text);
        }
        let mut allowing = Vec::new();
        let mut shown = Vec::new();
        let mut findings = Vec::new();
        for asked in asked(case) {
            findings.push(match asked {
                Ok(asked) => {
                    allowing.push(asked.rule.clone());
                    shown.push(Rc::clone(&asked.shown));
                    asked.finding(case)
                }
                Err(finding) => finding,
            });
        }
        allowing.dedup();
        match Finding::worst(findings) {
            None => Finding::deny(Reason::ReleaseInvalid, "the Release has no component"),
            Some(worst) if worst.verdict == Verdict::Pass => shown::allowed(&allowing, &shown),
            Some(worst) => worst,
        }
    }
}

fn ruling<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a PolicyFact, &'a PolicyContent)> {
    let policies = case.policies.clone().into_iter();
    policies.filter(|(_, content)| !content.policy.rules.is_empty())
}

/// One rule, asked about one component.
struct Asked {
    /// Name of the rule and of its policy.
    rule: String,
    component: String,
    question: Option<RuleQuestion>,
    /// What it is shown of what was signed.
    shown: Rc<[EvidenceReference]>,
}

/// Every rule about every component, or why it cannot be asked; made one component after the other,
/// because each holds all that is known of its image.
fn asked<'a>(case: &'a Case<'a>) -> impl Iterator<Item = Result<Asked, Finding>> {
    let texts = |content: &PolicyContent| -> Vec<Arc<str>> {
        let rules = content.policy.rules.iter();
        rules.map(|rule| Arc::from(rule.rego.as_str())).collect()
    };
    let ruling: Vec<_> = ruling(case)
        .map(|(fact, content)| (fact, content, texts(content)))
        .collect();
    let components = case.release.into_iter().flat_map(move |release| {
        let components = release.components.iter();
        components.map(move |component| (release, component))
    });
    components.flat_map(move |(release, component)| {
        let all = ruling.iter().flat_map(|(fact, content, texts)| {
            match about(case, (&fact.name, content, texts), release, component) {
                Ok(asked) => asked.into_iter().map(Ok).collect(),
                Err(finding) => vec![Err(finding)],
            }
        });
        all.collect::<Vec<_>>()
    })
}

/// What is attached to an image that is asked about, once all of it may be judged; nothing where the
/// policy has nothing looked up.
fn readable<'a>(
    case: &Case<'a>,
    (policy, content): (&str, &PolicyContent),
    image: &ImageReference,
) -> Result<Option<&'a Evidence>, Finding> {
    let looked_up = content.policy.asks();
    let known = looked_up.then(|| seen(case, image)).transpose()?;
    let nothing = nothing(image);
    let question = Question {
        case,
        policy,
        content,
        image,
        evidence: known.unwrap_or(&nothing),
    };
    question.usable()?;
    if looked_up {
        question.all_read()?;
        question.listed_lately()?;
    }
    Ok(known)
}

/// A policy without authorities has nothing looked up: no signature could count for it.
fn nothing(image: &ImageReference) -> Evidence {
    Evidence::new(image.digest().clone(), Vec::new())
}

fn about(
    case: &Case<'_>,
    (policy, content, texts): (&str, &PolicyContent, &[Arc<str>]),
    release: &Release,
    component: &Component,
) -> Result<Vec<Asked>, Finding> {
    let image = &component.image;
    let known = readable(case, (policy, content), image)?;
    let nothing = nothing(image);
    let question = Question {
        case,
        policy,
        content,
        image,
        evidence: known.unwrap_or(&nothing),
    };
    let signed = shown::shown(&question);
    let input = input::of(&question, &signed, release, component).map(Arc::<str>::from);
    let shown = shown::references(&question, &signed);
    let rules = content.policy.rules.iter().zip(texts);
    let rules = rules.map(|(rule, rego)| Asked {
        rule: format!("{} of policy {policy}", rule.name),
        component: release.component_name(component).to_owned(),
        question: input.clone().map(|input| RuleQuestion {
            rego: Arc::clone(rego),
            input,
        }),
        shown: Rc::clone(&shown),
    });
    Ok(rules.collect())
}

impl Asked {
    /// What its answer means. Everything but a plain yes closes.
    fn finding(&self, case: &Case<'_>) -> Finding {
        let Self {
            rule,
            component,
            question,
            shown: _,
        } = self;
        let answer = match question {
            Some(question) => Answer::of(case.facts.rules.get(&question.key())),
            None => Answer::Nothing("it cannot be asked".to_owned()),
        };
        let deny = |text: String| {
            let text = format!("rule {rule} {text}");
            Finding::deny(Reason::RuleDenied, text).until(next(case.now, ASK_AGAIN))
        };
        match answer {
            Answer::Yes => Finding::pass(Reason::RulesAllow, format!("allowed by {rule}")),
            Answer::No(why) => deny(format!(
                "denies {component}: {why}; mend that, or ask the owners of the policy"
            )),
            Answer::Broken(why) => deny(format!("has no valid answer about {component}: {why}")),
            Answer::Nothing(why) => {
                let text = format!(
                    "rule {rule} has no answer about {component}: {why}; it is asked again by itself"
                );
                Finding::unknown(Reason::RuleUnanswered, text).until(next(case.now, RETRY))
            }
        }
    }
}

/// When what gave no answer is asked again.
pub(super) fn retry_at(now: Timestamp) -> Option<Timestamp> {
    next(now, RETRY)
}

/// The next instant whose seconds are a multiple of these.
fn next(now: Timestamp, seconds: i64) -> Option<Timestamp> {
    let second = now.as_second();
    Timestamp::from_second(second - second.rem_euclid(seconds) + seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Cause, Observed};
    use crate::fixtures::keyless::rest_on_root;
    use crate::fixtures::policies::without_statements;
    use crate::fixtures::ruled::{answer, questions, ruled};
    use crate::fixtures::unseen;
    use crate::fixtures::{
        ask, at, authority, check, image, policy_fact, ready, roll_back, with_policy,
    };
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass, Unknown};
    use crate::gates;
    use crate::policy::{Policy, RegoRule};
    use crate::rules::RuleOutcome;
    use crate::snapshot::Snapshot;

    fn answered(snapshot: &mut Snapshot, outcome: RuleOutcome) {
        ruled(snapshot);
        answer(snapshot, &outcome);
    }

    fn denied(messages: &[&str]) -> RuleOutcome {
        RuleOutcome::Denied {
            messages: messages.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn unavailable(snapshot: &mut Snapshot, cause: Cause) {
        ruled(snapshot);
        unseen::unavailable(snapshot, cause);
    }

    #[test]
    fn a_rule_is_asked_once_all_that_is_attached_was_read() {
        let wants = |snapshot: &Snapshot| {
            gates::wants(&Case::new(&snapshot.promotions[0], &snapshot.input()))
        };
        let mut snapshot = ready();
        without_statements(&mut snapshot);
        answered(&mut snapshot, denied(&["only one build"]));
        match snapshot.facts.evidence.get_mut(&image("1.42.0")) {
            Some(Observed::Known(evidence)) => evidence.tags = Observed::Pending,
            other => panic!("{other:?}"),
        }
        assert_eq!(ask(&Rules, &snapshot).reason, Reason::EvidencePending);
        assert_eq!(wants(&snapshot), [Want::Tags(image("1.42.0"))].into());
        assert!(questions(&snapshot).is_empty());
        crate::fixtures::evidence(&mut snapshot).tags = Observed::Known(());
        answer(&mut snapshot, &RuleOutcome::Allowed);
        assert_eq!(ask(&Rules, &snapshot).verdict, Pass);
        assert!(wants(&snapshot).is_empty());
    }

    #[test]
    fn every_reason() {
        check(
            &Rules,
            &[
                (
                    |_| {},
                    NotRequired,
                    Reason::NotRequired,
                    "no matching policy",
                ),
                (
                    |s| answered(s, RuleOutcome::Allowed),
                    Pass,
                    Reason::RulesAllow,
                    "allowed by two-builds of policy production",
                ),
                (
                    |s| answered(s, denied(&["only one build", "not on a weekend"])),
                    Deny,
                    Reason::RuleDenied,
                    "denies checkout: only one build; not on a weekend; mend that",
                ),
                (
                    |s| answered(s, denied(&[])),
                    Deny,
                    Reason::RuleDenied,
                    "does not say why",
                ),
                (
                    |s| answered(s, RuleOutcome::Undefined),
                    Deny,
                    Reason::RuleDenied,
                    "no value",
                ),
                (
                    |s| {
                        let problem = "allow is a string".into();
                        answered(s, RuleOutcome::Malformed { problem });
                    },
                    Deny,
                    Reason::RuleDenied,
                    "allow is a string",
                ),
                (
                    |s| {
                        let problem = "line 3: no such function".into();
                        answered(s, RuleOutcome::Failed { problem });
                    },
                    Deny,
                    Reason::RuleDenied,
                    "has no valid answer about checkout: the rule fails on it: line 3",
                ),
                (
                    |s| answered(s, RuleOutcome::TimedOut),
                    Unknown,
                    Reason::RuleUnanswered,
                    "took too long",
                ),
                (
                    |s| {
                        let problem = "it needs more memory than it may".into();
                        answered(s, RuleOutcome::Unavailable { problem });
                    },
                    Unknown,
                    Reason::RuleUnanswered,
                    "more memory",
                ),
                (ruled, Unknown, Reason::RuleUnanswered, "not asked yet"),
                (
                    |s| {
                        ruled(s);
                        s.facts.evidence.insert(image("1.42.0"), Observed::Pending);
                    },
                    Unknown,
                    Reason::EvidencePending,
                    "asking registry.example",
                ),
                (
                    |s| unavailable(s, Cause::Missing),
                    Hold,
                    Reason::ArtifactMissing,
                    "push",
                ),
                (
                    |s| unavailable(s, Cause::Unreachable),
                    Unknown,
                    Reason::RegistryUnavailable,
                    "503",
                ),
                (
                    |s| unavailable(s, Cause::Truncated),
                    Unknown,
                    Reason::EvidenceTruncated,
                    "remove",
                ),
                (
                    |s| {
                        rest_on_root(s);
                        ruled(s);
                        s.facts.trusted_roots.clear();
                    },
                    Deny,
                    Reason::TrustedRootInvalid,
                    "policy production rests on it",
                ),
                (
                    |s| {
                        ruled(s);
                        s.facts.evidence.clear();
                    },
                    Deny,
                    Reason::SourceNotAllowed,
                    "no policy gives it",
                ),
                (
                    |s| {
                        ruled(s);
                        s.facts.releases.clear();
                    },
                    Hold,
                    Reason::ReleaseNotFound,
                    "Release",
                ),
                (
                    |s| {
                        ruled(s);
                        match s.facts.releases.get_mut("checkout-1.42.0") {
                            Some(Observed::Known(release)) => release.components.clear(),
                            other => panic!("{other:?}"),
                        }
                    },
                    Deny,
                    Reason::ReleaseInvalid,
                    "no component",
                ),
            ],
        );
    }

    #[test]
    fn an_answer_counts_for_its_own_question_alone() {
        let mut snapshot = ready();
        answered(&mut snapshot, RuleOutcome::Allowed);
        assert_eq!(ask(&Rules, &snapshot).verdict, Pass);
        let check = |what: &str, change: fn(&mut Snapshot)| {
            let mut other = snapshot.clone();
            change(&mut other);
            let report = ask(&Rules, &other);
            assert_eq!(report.reason, Reason::RuleUnanswered, "{what}");
        };
        check("another rule", |s| {
            with_policy(s, |policy| policy.rules[0].rego.push('\n'));
        });
        check("another instant", |s| s.now = at("2026-11-24T10:01:00Z"));
        check("another Environment", |s| {
            s.environment.name = "other".into()
        });
        check("other evidence", |s| {
            crate::fixtures::bundles(s).truncate(2);
        });
        check("another action", roll_back);
    }

    #[test]
    fn every_rule_must_allow_every_component() {
        let mut snapshot = ready();
        ruled(&mut snapshot);
        with_policy(&mut snapshot, |policy| {
            let second = RegoRule {
                name: "second".into(),
                ..policy.rules[0].clone()
            };
            policy.rules.push(RegoRule {
                rego: "package lockmaster\n".into(),
                ..second
            });
        });
        if let Some(Observed::Known(release)) = snapshot.facts.releases.get_mut("checkout-1.42.0") {
            let mut worker = release.components[0].clone();
            worker.name = Some("worker".into());
            release.components.push(worker);
        }
        answer(&mut snapshot, &RuleOutcome::Allowed);
        assert_eq!(snapshot.facts.rules.len(), 4, "two rules, two components");
        let report = ask(&Rules, &snapshot);
        assert_eq!(report.verdict, Pass, "{}", report.message);
        for key in snapshot.facts.rules.clone().into_keys() {
            let mut other = snapshot.clone();
            other.facts.rules.insert(key, RuleOutcome::Undefined);
            assert_eq!(ask(&Rules, &other).verdict, Deny);
        }
    }

    #[test]
    fn a_policy_without_authorities_is_asked_without_a_registry() {
        let mut snapshot = ready();
        let policy = Policy {
            rules: vec![RegoRule {
                name: "any".into(),
                rego: "package lockmaster".into(),
            }],
            ..Policy::default()
        };
        assert!(policy.contradictions().is_empty());
        snapshot.facts.policies = vec![policy_fact("all", policy.clone())];
        snapshot.facts.evidence.clear();
        answer(&mut snapshot, &RuleOutcome::Allowed);
        assert_eq!(ask(&Rules, &snapshot).reason, Reason::RulesAllow);
        let policy = Policy {
            authorities: vec![authority("ci")],
            ..policy
        };
        let found = policy.contradictions().join("\n");
        assert!(found.contains("spec.sources"), "{found}");
        snapshot.facts.policies = vec![policy_fact("all", policy)];
        assert_eq!(ask(&Rules, &snapshot).reason, Reason::SourceNotAllowed);
    }

    #[test]
    fn a_denial_is_looked_at_again_at_the_full_hour() {
        let mut snapshot = ready();
        snapshot.now = at("2026-11-24T10:34:56Z");
        answered(&mut snapshot, denied(&["no"]));
        let change = |snapshot: &Snapshot| ask(&Rules, snapshot).next_change;
        assert_eq!(change(&snapshot), Some(at("2026-11-24T11:00:00Z")));
        answer(&mut snapshot, &RuleOutcome::TimedOut);
        assert_eq!(change(&snapshot), Some(at("2026-11-24T10:40:00Z")));
        answer(&mut snapshot, &RuleOutcome::Allowed);
        assert_eq!(change(&snapshot), None);
    }

    #[test]
    fn a_rollback_is_ruled_too_and_the_rule_knows() {
        let mut snapshot = ready();
        ruled(&mut snapshot);
        roll_back(&mut snapshot);
        answer(&mut snapshot, &RuleOutcome::Undefined);
        assert_eq!(ask(&Rules, &snapshot).verdict, Deny);
        let questions = questions(&snapshot);
        let input = &questions.values().next().unwrap().input;
        assert!(input.contains("\"action\":\"Rollback\""), "{input}");
    }

    /// They may ask for anything, a day of the week for example: no reason to doubt what runs.
    #[test]
    fn what_runs_is_not_ruled_again() {
        let mut again = crate::gates::evidence();
        assert!(again.all(|gate| gate.name() != Rules.name()));
    }
}
