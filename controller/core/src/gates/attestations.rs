//! Is every further statement that a policy asks for attached, and does it say yes? (M17 to M20, M127, M129, M145)

mod checks;
mod opinions;
mod ruled;
#[cfg(test)]
mod tests;
mod words;

use self::opinions::{Opinion, opinion, stated};
pub(crate) use self::ruled::questions;
use self::words::{Says, Sum, Word, sum};
use super::evidence::{
    Called, Freshness, Question, Refusal, Signature, Signing, ask_both_levels, earlier,
};
use crate::case::Case;
use crate::evidence::{Bundle, Content, NOT_APPLICABLE, names_its_time};
use crate::gate::{EvidenceReference, Finding, Gate, Subject, Verdict};
use crate::policy::{AttestationRule, CheckRule};
use crate::reason::Reason;
use crate::release::clip;

/// See the module.
#[derive(Debug)]
pub(super) struct Attestations;

impl Gate for Attestations {
    fn name(&self) -> &'static str {
        "attestations"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::EvidenceValid,
            Reason::EvidencePending,
            Reason::AttestationMissing,
            Reason::AttestationFailed,
            Reason::AttestationInvalid,
            Reason::EvidenceStale,
            Reason::RuleUnanswered,
            Reason::SignerNotTrusted,
            Reason::SignatureInvalid,
            Reason::TrustedRootInvalid,
            Reason::ArtifactMissing,
            Reason::IndexInvalid,
            Reason::RegistryUnavailable,
            Reason::EvidenceTruncated,
            Reason::SourceNotAllowed,
            Reason::ReleaseNotFound,
            Reason::ReleaseInvalid,
        ]
    }

    fn subject(&self) -> Subject {
        Subject::Evidence
    }

    fn binds_rollbacks(&self) -> bool {
        false
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        ask_both_levels(
            case,
            |content| !content.policy.evidence.attestations.is_empty(),
            |question| {
                let rules = &question.content.policy.evidence.attestations;
                question.lately(all(question, rules))
            },
        )
    }
}

/// Every entry must be met by itself.
fn all<'a>(question: &Question<'a>, rules: &'a [AttestationRule]) -> Finding {
    if let Err(unread) = question.all_read() {
        return unread;
    }
    let findings = rules.iter().map(|rule| Entry { question, rule }.find());
    together(findings.collect(), |messages| messages.join("; "))
}

/// One entry of a policy, asked of one image.
struct Entry<'q, 'a> {
    question: &'q Question<'a>,
    rule: &'a AttestationRule,
}

/// A statement of the entry's type about this digest, by an authority that may make it.
struct Statement<'a> {
    bundle: &'a Bundle,
    authority: &'a str,
    signature: Signature<'a>,
}

/// How it is called, after the entry's name.
const STATEMENT: Called = Called {
    one: "one",
    found: "the one",
    strange: Reason::SignerNotTrusted,
};

impl<'a> Entry<'_, 'a> {
    fn find(&self) -> Finding {
        let (mut statements, mut refusals) = (Vec::new(), Vec::new());
        for bundle in &self.question.evidence.bundles {
            match self.statement(bundle) {
                None => {}
                Some(Ok(statement)) => statements.push(statement),
                Some(Err(refusal)) => refusals.push(refusal),
            }
        }
        match &self.rule.checks {
            Some(checks) => self.find_checks(checks, &statements, refusals),
            None => self.find_one(&statements, refusals),
        }
    }

    fn find_one(&self, statements: &[Statement<'a>], mut refusals: Vec<Refusal>) -> Finding {
        let mut words = Vec::new();
        for statement in statements {
            let says = match opinion(self.question, self.rule, statement.bundle) {
                Opinion::Yes => self.ruled(statement).unwrap_or_else(|| self.yes(statement)),
                Opinion::No(why) => Says::No(why),
                Opinion::Unreadable(why) => Says::Unreadable(why),
                Opinion::Other(why) => {
                    refusals.push(answers_another(why));
                    continue;
                }
            };
            words.push(self.word(statement, says));
        }
        self.answer(&words, &self.rule.name, &refusals)
    }

    /// Every check must be met by itself.
    fn find_checks(
        &self,
        rule: &CheckRule,
        statements: &[Statement<'a>],
        mut refusals: Vec<Refusal>,
    ) -> Finding {
        let mut others = Vec::new();
        let mut asked = Vec::new();
        for (check, required) in checks::asked(rule) {
            let words = checks::words(self, rule, statements, check, &mut others);
            if required || !words.is_empty() {
                asked.push((check, words));
            }
        }
        refusals.extend(others.into_iter().map(answers_another));
        let findings: Vec<_> = asked
            .iter()
            .map(|(check, words)| self.answer(words, check, &refusals))
            .collect();
        let (name, count) = (&self.rule.name, findings.len());
        let summary = format!("{name}: {count} checks are met");
        together(findings, |_| summary)
    }

    /// What a bundle is to this entry; nothing, where it is of another type.
    fn statement(&self, bundle: &'a Bundle) -> Option<Result<Statement<'a>, Refusal>> {
        let Self { question, rule } = self;
        let kind = &rule.predicate_type;
        if bundle.content.predicate_type() != Some(kind) {
            return None;
        }
        let speaks = |authority: &&String| match (&bundle.content, &rule.summary) {
            (Content::Summary(summary), Some(rule)) => rule.verifiers.iter().any(|verifier| {
                verifier.authority == **authority && verifier.id == summary.verifier
            }),
            (_, None)
            // Which verifier it names is not known, so that anybody's might be a no.
            | (Content::Unreadable { .. } | Content::Custom { .. }, Some(_)) => true,
            // It counts for nothing, whoever speaks.
            (
                Content::Signature
                | Content::Provenance(_)
                | Content::Sbom(_)
                | Content::Scan(_)
                | Content::Vex(_)
                | Content::Tests(_)
                | Content::Change(_)
                | Content::Checks(_)
                | Content::Release(_)
                | Content::NotApplicable(_),
                Some(_),
            ) => false,
        };
        let mut speakers = rule.authorities.iter().filter(speaks).peekable();
        if speakers.peek().is_none() {
            return Some(Err(answers_another(
                "it is by a verifier that the entry does not list",
            )));
        }
        let speakers = (speakers, &rule.authorities[..]);
        let signed = question.signed_by(&STATEMENT, speakers, (kind, bundle));
        Some(signed.map(|(authority, signature)| Statement {
            bundle,
            authority,
            signature,
        }))
    }

    /// A yes, unless its age is wrong.
    fn yes(&self, statement: &Statement<'_>) -> Says {
        let stated = stated(&statement.bundle.content);
        // Whoever can push may have the same signature stamped anew.
        let trusted = stated.and(statement.signature.at());
        let times = [stated, trusted].into_iter().flatten();
        match Freshness::of(times, self.rule.max_age, self.question.case.now) {
            Freshness::Fresh(until) => Says::Yes(until),
            Freshness::Stale(since) => Says::TooOld(format!("it is too old since {since}")),
            Freshness::Future(time) => Says::TooOld(format!("it is of {time}, in the future")),
            Freshness::Unknown => Says::TooOld(
                "it does not say when it was made, and a timestamp of its signature may be anybody's \
                 of today; state the time (timeVerified)"
                    .to_owned(),
            ),
        }
    }

    fn word(&self, statement: &Statement<'a>, says: Says) -> Word<'a> {
        let Statement {
            bundle,
            authority,
            signature,
        } = statement;
        Word {
            authority,
            time: stated(&bundle.content),
            signed: signature.at(),
            says,
            reference: self.question.reference(authority, bundle, *signature),
        }
    }

    /// What the words say of `what`: the entry's name or one of its checks.
    fn answer(&self, words: &[Word<'_>], what: &str, refusals: &[Refusal]) -> Finding {
        let name = &self.rule.name;
        match sum(words) {
            Sum::Yes(word, until) => {
                let text = format!("{what}: by {}", word.authority);
                Finding::pass(Reason::EvidenceValid, text)
                    .until(until)
                    .resting_on(vec![word.reference.clone()])
            }
            Sum::No(word, why) => self.against(Reason::AttestationFailed, word, why),
            Sum::Unreadable(word, why) => {
                let why = format!("it cannot be read: {why}");
                self.against(Reason::AttestationInvalid, word, &why)
            }
            Sum::Unanswered(word, why) => ruled::unanswered(self, word, why),
            Sum::TooOld(word, why) => self.excused(what).unwrap_or_else(|| {
                let text = format!("{name}, by {}: {why}; attest it again", word.authority);
                Finding::hold(Reason::EvidenceStale, text)
            }),
            Sum::Silence => self
                .excused(what)
                .unwrap_or_else(|| self.nothing(what, refusals)),
        }
    }

    fn against(&self, reason: Reason, word: &Word<'_>, why: &str) -> Finding {
        let (name, by) = (&self.rule.name, word.authority);
        let mend = if names_its_time(&self.rule.predicate_type) {
            "mend that and attest it again"
        } else {
            "statements of this type do not say when they were made, so no other one takes it back: \
             mend that in another image, or let the administrators revoke the bundle"
        };
        let text = format!("{name}, by {by}: {why}; {mend}");
        Finding::deny(reason, text)
            .resting_on(vec![word.reference.clone()])
            .objecting()
    }

    /// That it does not apply, by somebody who may say so, with a reason (M19).
    fn excused(&self, what: &str) -> Option<Finding> {
        let rule = self.rule.not_applicable.as_ref()?;
        let question = self.question;
        question.evidence.bundles.iter().find_map(|bundle| {
            let Content::NotApplicable(statement) = &bundle.content else {
                return None;
            };
            if statement.what != what || !question.is_about_subject(bundle) {
                return None;
            }
            let mut authorities = rule.authorities.iter();
            let reference = authorities.find_map(|authority| {
                let signature = question.signer(authority, NOT_APPLICABLE, bundle)?;
                Some(question.reference(authority, bundle, signature))
            })?;
            let (by, rationale) = (clip(&statement.by), clip(&statement.rationale));
            let text = format!("{what}: does not apply, says {by}: {rationale}");
            Some(Finding::pass(Reason::EvidenceValid, text).resting_on(vec![reference]))
        })
    }

    /// Nothing counts: because of what is wrong with what was found, or because there is none.
    fn nothing(&self, what: &str, refusals: &[Refusal]) -> Finding {
        let Self { question, rule } = self;
        let name = &rule.name;
        let by = rule.authorities.join(" or ");
        let nearest = refusals.iter().max_by_key(|refusal| refusal.progress);
        if let Some(Refusal { reason, text, .. }) = nearest {
            return Finding::deny(*reason, format!("{name}: {text}"));
        }
        let kind = &rule.predicate_type;
        let policy = question.policy;
        let wanted = if what == name {
            format!("attestation {name} ({kind}) signed by {by}")
        } else {
            format!("check {what} in a statement {kind} signed by {by}, for {name}")
        };
        let or = match &rule.not_applicable {
            None => String::new(),
            Some(rule) => {
                let by = rule.authorities.join(" or ");
                format!(" or, where it does not apply, {NOT_APPLICABLE} of \"{what}\" by {by}")
            }
        };
        let Signing { who, key } = question.signing(&rule.authorities);
        Finding::hold(
            Reason::AttestationMissing,
            format!(
                "policy {policy} needs {wanted}{or}; none is attached; it is looked for again by \
                 itself; attach it{who}: cosign attest{key} --type {kind} --predicate FILE {}",
                question.image
            ),
        )
    }
}

/// A statement that answers another question.
fn answers_another(why: impl AsRef<str>) -> Refusal {
    let text = format!("one was found that does not count: {}", why.as_ref());
    Refusal::new(2, Reason::AttestationInvalid, text)
}

/// The worst of several answers or, where all are good, one that says so with `met` of their messages.
fn together(findings: Vec<Finding>, met: impl FnOnce(Vec<String>) -> String) -> Finding {
    let messages = findings.iter().map(|finding| finding.message.clone());
    let messages: Vec<_> = messages.collect();
    let ends = findings.iter().map(|finding| finding.next_change);
    let ends = ends.fold(None, earlier);
    match Finding::worst(findings) {
        None => Finding::not_required("no matching policy asks for it"),
        Some(worst) if worst.verdict == Verdict::Pass => {
            let mut evidence: Vec<EvidenceReference> = Vec::new();
            for reference in worst.evidence {
                if !evidence.contains(&reference) {
                    evidence.push(reference);
                }
            }
            Finding::pass(Reason::EvidenceValid, met(messages))
                .until(ends)
                .resting_on(evidence)
        }
        Some(worst) => worst,
    }
}
