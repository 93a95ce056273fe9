//! Is it the source of the Release, by provenance, policy and certificate, and the tag of its version?

use super::{Refusal, held, refused};
use crate::evidence::{Content, Provenance as Statement, TAGGED_RELEASE};
use crate::gate::EvidenceReference;
use crate::gates::evidence::{Question, Signature, Signing};
use crate::pattern;
use crate::policy::{ProvenanceRule, ReleaseRule};
use crate::reason::Reason;
use crate::release::clip;

/// What the certificate says of the build must be what the provenance says. Not where the signer
/// may sign in builds of other repositories: then it is no part of the product's own build.
pub(super) fn is_that_of_certificate(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    signature: Signature<'_>,
    statement: &Statement,
) -> Result<(), Refusal> {
    let keyless = question.content.policy.authority(&rule.authority);
    let keyless = keyless.and_then(|authority| authority.keyless.as_ref());
    let rule = keyless.and_then(|keyless| keyless.claims.as_ref());
    let elsewhere = rule.is_some_and(|rule| !rule.source_repositories.is_empty());
    let Some(claims) = signature.claims().filter(|_| !elsewhere) else {
        return Ok(());
    };
    let comparisons = [
        (
            "repository",
            &claims.source_repository,
            &statement.repository,
        ),
        ("commit", &claims.source_commit, &statement.commit),
        ("ref", &claims.source_reference, &statement.reference),
    ];
    for (what, claimed, stated) in comparisons {
        if let Some(claimed) = claimed
            && claimed != stated
        {
            let text = format!(
                "the provenance names {what} {}, and the certificate that signed it {}",
                clip(stated),
                clip(claimed)
            );
            return refused(8, Reason::ProvenanceMismatch, text);
        }
    }
    Ok(())
}

/// The provenance, the policy's sources and the Release must name the same repository, and the
/// provenance the Release's commit.
pub(super) fn is_that_of_release(
    question: &Question<'_>,
    statement: &Statement,
) -> Result<(), Refusal> {
    let case = question.case;
    let Some(release) = case.release else {
        return Ok(());
    };
    let listed = question.content.policy.sources.iter().any(|rule| {
        rule.covers(&case.environment.namespace, &release.product)
            && rule.repositories.contains(&statement.repository)
    });
    if !listed {
        return refused(
            5,
            Reason::SourceNotAllowed,
            format!(
                "built from {}, which policy {} does not list in spec.sources[].repositories for \
                 {} in namespace {}",
                statement.repository, question.policy, release.product, case.environment.namespace
            ),
        );
    }
    let Some(source) = &release.source else {
        return refused(
            6,
            Reason::ProvenanceMismatch,
            format!(
                "Release {} has no spec.source to compare the provenance with; create one that \
                 names repository and commit",
                release.name
            ),
        );
    };
    if let Some(tag) = &source.tag
        && *tag != release.tag()
    {
        return refused(
            6,
            Reason::ProvenanceMismatch,
            format!(
                "Release {} names tag {}, and its version belongs to tag {}; create one that \
                 agrees with itself",
                release.name,
                clip(tag),
                release.tag()
            ),
        );
    }
    let comparisons = [
        (
            "repository",
            source.repository.as_str(),
            statement.repository.as_str(),
        ),
        ("commit", source.commit.as_str(), statement.commit.as_str()),
    ];
    match comparisons
        .into_iter()
        .find(|(_, wanted, found)| wanted != found)
    {
        None => Ok(()),
        Some((what, wanted, found)) => refused(
            7,
            Reason::ProvenanceMismatch,
            format!("the provenance names {what} {found}, the Release {wanted}"),
        ),
    }
}

/// The ref is the tag of the Release's version, or somebody who may says that the tag is at this
/// commit: images are built first and tagged when they are released (M09 to M11).
pub(super) fn names_the_tag(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    statement: &Statement,
) -> Result<Option<EvidenceReference>, Refusal> {
    let Some(release) = question.case.release else {
        return Ok(None);
    };
    let (tag, found) = (release.tag(), &statement.reference);
    if *found == format!("refs/tags/{tag}") {
        return Ok(None);
    }
    let Some(tagged) = &question.content.policy.evidence.release else {
        let text = format!("the provenance names tag {found}, the Release refs/tags/{tag}");
        return refused(11, Reason::ProvenanceMismatch, text);
    };
    let branch = found.strip_prefix("refs/heads/");
    let mut branches = rule.branches.iter();
    let listed = branches.any(|pattern| branch.is_some_and(|name| pattern::matches(pattern, name)));
    if !listed && !rule.branches.is_empty() {
        let text = format!(
            "it was built from {}, and the policy lists the branches {}",
            clip(found),
            rule.branches.join(", ")
        );
        return refused(11, Reason::ProvenanceMismatch, text);
    }
    tag_statement(question, tagged, &tag).map(Some)
}

/// The statement of an authority that may name the tag, about this digest and this Release.
fn tag_statement(
    question: &Question<'_>,
    rule: &ReleaseRule,
    tag: &str,
) -> Result<EvidenceReference, Refusal> {
    let mut nearest: Option<String> = None;
    for bundle in &question.evidence.bundles {
        if bundle.content.predicate_type() != Some(TAGGED_RELEASE) {
            continue;
        }
        let mut authorities = rule.authorities.iter();
        let signed = authorities.find_map(|authority| {
            let signature = question.signer(authority, TAGGED_RELEASE, bundle)?;
            Some((authority, signature))
        });
        let why = match (signed, &bundle.content) {
            (None, _) => question.not_theirs("one", &rule.authorities, bundle).1,
            (Some(_), _) if !question.is_about_subject(bundle) => format!(
                "one was found that is about {}, not about this digest",
                Question::other_subjects(bundle)
            ),
            (Some((authority, signature)), Content::Release(statement)) => {
                match question.is_tagged(statement) {
                    Ok(()) => return Ok(question.reference(authority, bundle, signature)),
                    Err(why) => format!("one was found that does not count: {why}"),
                }
            }
            (Some(_), content) => format!(
                "one was found that cannot be read: {}",
                content.problem().unwrap_or_default()
            ),
        };
        nearest = Some(why);
    }
    let by = rule.authorities.join(" or ");
    let needs = format!(
        "policy {} needs a statement {TAGGED_RELEASE} by {by} that tag {tag} is at this commit, or \
         provenance for that tag",
        question.policy
    );
    let Signing { who, key } = question.signing(&rule.authorities);
    match nearest {
        Some(why) => refused(11, Reason::ProvenanceMismatch, format!("{needs}; {why}")),
        None => held(
            11,
            Reason::AttestationMissing,
            format!(
                "{needs}; none is attached; it is looked for again by itself; attach it when the \
                 release is tagged{who}: cosign attest{key} --type {TAGGED_RELEASE} --predicate \
                 FILE {}",
                question.image
            ),
        ),
    }
}
