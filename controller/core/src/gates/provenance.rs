//! Was it built by a trusted builder from the source that the Release names? (M05, M09 to M11, M16, M128, M145)

mod build;
mod source;
#[cfg(test)]
mod tests;

use super::evidence::{Diagnosis, Question, Signature, Signing, ask_all};
use crate::case::Case;
use crate::evidence::{
    Bundle, Content, Provenance as Statement, SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1,
};
use crate::gate::{Finding, Gate, Subject};
use crate::policy::ProvenanceRule;
use crate::reason::Reason;

/// See the module.
#[derive(Debug)]
pub(super) struct Provenance;

impl Gate for Provenance {
    fn name(&self) -> &'static str {
        "provenance"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::EvidenceValid,
            Reason::EvidencePending,
            Reason::ProvenanceMissing,
            Reason::ProvenanceMismatch,
            Reason::SourceNotAllowed,
            Reason::BuilderNotTrusted,
            Reason::AttestationMissing,
            Reason::SignerNotTrusted,
            Reason::SignatureInvalid,
            Reason::TrustedRootInvalid,
            Reason::ArtifactMissing,
            Reason::IndexInvalid,
            Reason::RegistryUnavailable,
            Reason::EvidenceTruncated,
            Reason::ReleaseNotFound,
            Reason::ReleaseInvalid,
        ]
    }

    fn subject(&self) -> Subject {
        Subject::Evidence
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        ask_all(
            case,
            |content| !content.policy.evidence.provenance.is_empty(),
            |question| attested(question, &question.content.policy.evidence.provenance),
        )
    }
}

/// One statement must meet all of one rule: its signer, its subject, its builder, its build type,
/// and the source.
fn attested(question: &Question<'_>, rules: &[ProvenanceRule]) -> Finding {
    let mut refusals = Vec::new();
    for bundle in &question.evidence.bundles {
        let Some((predicate, statement)) = statement(bundle) else {
            continue;
        };
        match rules
            .iter()
            .map(|rule| judge(question, rule, (predicate, bundle), statement))
            .reduce(best)
        {
            Some(Ok(finding)) => return finding,
            Some(Err(refusal)) => refusals.push(refusal),
            None => {}
        }
    }
    // The refusal that came furthest tells most: a wrong commit by the right builder says more
    // than the statement of a stranger.
    let authorities: Vec<_> = rules.iter().map(|rule| rule.authority.clone()).collect();
    refusals
        .into_iter()
        .max_by_key(|refusal| refusal.progress)
        .map_or_else(|| nothing(question, &authorities), Refusal::finding)
}

/// The provenance that a bundle holds, whatever its version, and its exact predicate type.
fn statement(bundle: &Bundle) -> Option<(&str, Result<&Statement, &str>)> {
    let predicate = bundle.content.predicate_type()?;
    if let Content::Provenance(statement) = &bundle.content {
        return Some((predicate, Ok(statement)));
    }
    let known = [SLSA_PROVENANCE_V1, SLSA_PROVENANCE_V0_2].contains(&predicate);
    let problem = bundle.content.problem().filter(|_| known)?;
    Some((predicate, Err(problem)))
}

/// A refusal, and how many questions were answered well before it.
struct Refusal {
    progress: u8,
    /// Whether somebody may still attach what is missing.
    waits: bool,
    reason: Reason,
    message: String,
}

impl Refusal {
    fn finding(self) -> Finding {
        let Self {
            progress: _,
            waits,
            reason,
            message,
        } = self;
        if waits {
            Finding::hold(reason, message)
        } else {
            Finding::deny(reason, message)
        }
    }
}

fn best(
    first: Result<Finding, Refusal>,
    second: Result<Finding, Refusal>,
) -> Result<Finding, Refusal> {
    match (first, second) {
        (Ok(finding), _) | (_, Ok(finding)) => Ok(finding),
        (Err(first), Err(second)) => Err(if second.progress > first.progress {
            second
        } else {
            first
        }),
    }
}

fn refused<T>(progress: u8, reason: Reason, message: String) -> Result<T, Refusal> {
    Err(Refusal {
        progress,
        waits: false,
        reason,
        message,
    })
}

fn held<T>(progress: u8, reason: Reason, message: String) -> Result<T, Refusal> {
    Err(Refusal {
        progress,
        waits: true,
        reason,
        message,
    })
}

fn judge(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    (predicate, bundle): (&str, &Bundle),
    statement: Result<&Statement, &str>,
) -> Result<Finding, Refusal> {
    let signer = signer_about_subject(question, rule, (predicate, bundle))?;
    let statement = statement.or_else(|problem| {
        let text = format!("the provenance cannot be read: {problem}");
        refused(2, Reason::ProvenanceMismatch, text)
    })?;
    let Statement {
        builder,
        build_type,
        repository,
        reference,
        commit,
        ..
    } = statement;
    if !rule.builders.contains(builder) {
        let (authority, policy) = (&rule.authority, question.policy);
        let text = format!(
            "built by {builder}, which authority {authority} of policy {policy} does not speak for"
        );
        return refused(3, Reason::BuilderNotTrusted, text);
    }
    if !rule.build_types.contains(build_type) {
        let text = format!("build type {build_type} is not accepted by the policy");
        return refused(4, Reason::ProvenanceMismatch, text);
    }
    source::is_that_of_release(question, statement)?;
    source::is_that_of_certificate(question, rule, signer, statement)?;
    build::is_for_any_environment(question, rule, statement)?;
    build::is_pinned(rule, statement)?;
    let tagged = source::names_the_tag(question, rule, statement)?;
    let commit = short(commit);
    let by = tagged.as_ref().map_or_else(String::new, |reference| {
        format!(", tagged by {}", reference.authority)
    });
    let text = format!("built by {builder} from {repository} at {commit}, {reference}{by}");
    let evidence = std::iter::once(question.reference(&rule.authority, bundle, signer));
    let evidence = evidence.chain(tagged).collect();
    Ok(Finding::pass(Reason::EvidenceValid, text).resting_on(evidence))
}

/// The signature by which the statement, about this very digest, is the rule's authority's.
fn signer_about_subject<'a>(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    (predicate, bundle): (&str, &'a Bundle),
) -> Result<Signature<'a>, Refusal> {
    let authority = std::slice::from_ref(&rule.authority);
    let Some(signer) = question.signer(&rule.authority, predicate, bundle) else {
        let (reason, problem) = match question.diagnose(authority, bundle) {
            Diagnosis::Nearly(why) => (Reason::SignerNotTrusted, why),
            Diagnosis::Bad(why) => {
                let text = format!("its signature does not verify{why}");
                (Reason::SignatureInvalid, text)
            }
            Diagnosis::Stranger(_) => {
                let text = "somebody else signed it".to_owned();
                (Reason::SignerNotTrusted, text)
            }
        };
        let must = &rule.authority;
        let text = format!("provenance was found, but {problem}; {must} must sign it");
        return refused(0, reason, text);
    };
    if !question.is_about_subject(bundle) {
        let other = Question::other_subjects(bundle);
        let text = format!("the provenance found is about {other}, not about this digest");
        return refused(1, Reason::SignatureInvalid, text);
    }
    Ok(signer)
}

fn nothing(question: &Question<'_>, authorities: &[String]) -> Finding {
    let Signing { who, key } = question.signing(authorities);
    let by = authorities.join(", ");
    Finding::hold(
        Reason::ProvenanceMissing,
        format!(
            "policy {} needs SLSA provenance signed by {by}; none is attached; it is looked for again by \
             itself; attach it{who}: cosign attest{key} --type slsaprovenance1 --predicate FILE {}",
            question.policy, question.image
        ),
    )
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
