//! Was it built by a trusted builder from the source that the Release names? (M05, M09, M16)

use super::evidence::{Diagnosis, Question, Signature, ask_all};
use crate::case::Case;
use crate::evidence::{Bundle, Content, Provenance as Statement, SLSA_PROVENANCE_V1};
use crate::gate::{Finding, Gate};
use crate::policy::ProvenanceRule;
use crate::reason::Reason;
use crate::release::clip;

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
        let Some(statement) = statement(bundle) else {
            continue;
        };
        match rules
            .iter()
            .map(|rule| judge(question, rule, bundle, statement))
            .reduce(best)
        {
            Some(Ok(finding)) => return finding,
            Some(Err(refusal)) => refusals.push(refusal),
            None => {}
        }
    }
    // The refusal that came furthest tells most: a wrong commit by the right builder says more
    // than the statement of a stranger.
    let authorities: Vec<_> = rules.iter().map(|rule| rule.authority.as_str()).collect();
    refusals
        .into_iter()
        .max_by_key(|refusal| refusal.progress)
        .map_or_else(
            || nothing(question, &authorities.join(", ")),
            |refusal| Finding::deny(refusal.reason, refusal.message),
        )
}

fn statement(bundle: &Bundle) -> Option<Result<&Statement, &str>> {
    match &bundle.content {
        Content::Provenance(statement) => Some(Ok(statement)),
        Content::Unreadable {
            predicate: Some(predicate),
            problem,
        } if predicate == SLSA_PROVENANCE_V1 => Some(Err(problem)),
        Content::Signature
        | Content::Sbom(_)
        | Content::Other { .. }
        | Content::Unreadable { .. } => None,
    }
}

/// A refusal, and how many questions were answered well before it.
struct Refusal {
    progress: u8,
    reason: Reason,
    message: String,
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
        reason,
        message,
    })
}

fn judge(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    bundle: &Bundle,
    statement: Result<&Statement, &str>,
) -> Result<Finding, Refusal> {
    let signer = signer_about_subject(question, rule, bundle)?;
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
        invocation: _,
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
    same_source(question, statement)?;
    same_build(question, rule, signer, statement)?;
    let commit = short(commit);
    let text = format!("built by {builder} from {repository} at {commit}, {reference}");
    let evidence = vec![question.reference(&rule.authority, bundle, signer)];
    Ok(Finding::pass(Reason::EvidenceValid, text).resting_on(evidence))
}

/// The signature by which the statement, about this very digest, is the rule's authority's.
fn signer_about_subject<'a>(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    bundle: &'a Bundle,
) -> Result<Signature<'a>, Refusal> {
    let authority = std::slice::from_ref(&rule.authority);
    let Some(signer) = question.signer(&rule.authority, SLSA_PROVENANCE_V1, bundle) else {
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

/// What the certificate says of the build must be what the provenance says. Not where the signer
/// may sign in builds of other repositories: then it is no part of the product's own build.
fn same_build(
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
/// provenance the Release's commit and the tag of its version.
fn same_source(question: &Question<'_>, statement: &Statement) -> Result<(), Refusal> {
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
    let tag = format!("refs/tags/{}", release.tag());
    let comparisons = [
        (
            "repository",
            source.repository.as_str(),
            statement.repository.as_str(),
        ),
        ("commit", source.commit.as_str(), statement.commit.as_str()),
        ("tag", tag.as_str(), statement.reference.as_str()),
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

fn nothing(question: &Question<'_>, authorities: &str) -> Finding {
    Finding::hold(
        Reason::ProvenanceMissing,
        format!(
            "policy {} needs SLSA provenance signed by {authorities}; none is attached; it is looked \
             for again by itself; attach it: cosign attest --key KEY --type slsaprovenance1 \
             --predicate FILE {}",
            question.policy, question.image
        ),
    )
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Form, Verified};
    use crate::facts::{Cause, Observed, Unavailable};
    use crate::fixtures::keyless::rest_on_root;
    use crate::fixtures::{
        ask, authority, bundles, check, image, key, provenance, ready, roll_back, with_policy,
    };
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass, Unknown};
    use crate::release;
    use crate::snapshot::Snapshot;

    fn said(snapshot: &mut Snapshot, change: impl FnOnce(&mut Statement)) {
        match &mut bundles(snapshot)[1].content {
            Content::Provenance(statement) => change(statement),
            other => panic!("{other:?}"),
        }
    }

    fn released(snapshot: &mut Snapshot, change: impl FnOnce(&mut release::Release)) {
        match snapshot.facts.releases.get_mut("checkout-1.42.0") {
            Some(Observed::Known(release)) => change(release),
            other => panic!("{other:?}"),
        }
    }

    fn tagged(snapshot: &mut Snapshot, tag: &str) {
        released(snapshot, |release| {
            release.source.as_mut().unwrap().tag = Some(tag.into());
        });
    }

    fn unavailable(snapshot: &mut Snapshot, cause: Cause) {
        let message = "GET https://registry.example: 503".into();
        let why = Observed::Unavailable(Unavailable { cause, message });
        snapshot.facts.evidence.insert(image("1.42.0"), why);
    }

    #[test]
    fn every_reason() {
        check(
            &Provenance,
            &[
                (|_| {}, Pass, Reason::EvidenceValid, "refs/tags/v1.42.0"),
                (
                    |s| with_policy(s, |policy| policy.evidence.provenance.clear()),
                    NotRequired,
                    Reason::NotRequired,
                    "no matching policy",
                ),
                (
                    |s| drop(s.facts.evidence.insert(image("1.42.0"), Observed::Pending)),
                    Unknown,
                    Reason::EvidencePending,
                    "asking registry.example",
                ),
                (
                    |s| bundles(s).truncate(1),
                    Hold,
                    Reason::ProvenanceMissing,
                    "none is attached",
                ),
                (
                    |s| said(s, |p| p.commit = "ba5eba11".repeat(5)),
                    Deny,
                    Reason::ProvenanceMismatch,
                    "names commit ba5eba11",
                ),
                (
                    |s| said(s, |p| p.reference = "refs/heads/main".into()),
                    Deny,
                    Reason::ProvenanceMismatch,
                    "names tag refs/heads/main, the Release refs/tags/v1.42.0",
                ),
                (
                    |s| said(s, |p| p.build_type = "https://example/other".into()),
                    Deny,
                    Reason::ProvenanceMismatch,
                    "build type https://example/other",
                ),
                (
                    |s| released(s, |release| release.source = None),
                    Deny,
                    Reason::ProvenanceMismatch,
                    "has no spec.source",
                ),
                (
                    |s| tagged(s, "v1.41.3"),
                    Deny,
                    Reason::ProvenanceMismatch,
                    "names tag v1.41.3, and its version belongs to tag v1.42.0",
                ),
                (
                    |s| tagged(s, "v1.42.0"),
                    Pass,
                    Reason::EvidenceValid,
                    "refs/tags/v1.42.0",
                ),
                (
                    |s| {
                        said(s, |p| {
                            p.repository = "https://git.example/eve/checkout".into()
                        })
                    },
                    Deny,
                    Reason::SourceNotAllowed,
                    "https://git.example/eve/checkout",
                ),
                (
                    |s| said(s, |p| p.builder = "https://laptop.example/bob".into()),
                    Deny,
                    Reason::BuilderNotTrusted,
                    "authority ci of policy production does not speak for",
                ),
                (
                    |s| {
                        bundles(s)[1].verified_by.clear();
                        bundles(s)[1].key_hint = Some(key("eve"));
                    },
                    Deny,
                    Reason::SignerNotTrusted,
                    "somebody else signed it",
                ),
                (
                    |s| bundles(s)[1].verified_by.clear(),
                    Deny,
                    Reason::SignatureInvalid,
                    "does not verify",
                ),
                (
                    |s| bundles(s)[1] = provenance("1.41.3"),
                    Deny,
                    Reason::SignatureInvalid,
                    "not about this digest",
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
                    |s| match s.facts.evidence.get_mut(&image("1.42.0")) {
                        Some(Observed::Known(evidence)) => {
                            let problem = "it lists another index".into();
                            evidence.form = Form::Unfit { problem };
                        }
                        other => panic!("{other:?}"),
                    },
                    Deny,
                    Reason::IndexInvalid,
                    "publish an index of plain images",
                ),
                (
                    |s| {
                        rest_on_root(s);
                        s.facts.trusted_roots.clear();
                    },
                    Deny,
                    Reason::TrustedRootInvalid,
                    "TrustedRoot public-good does not exist",
                ),
                (
                    |s| s.facts.releases.clear(),
                    Hold,
                    Reason::ReleaseNotFound,
                    "Release",
                ),
                (
                    |s| released(s, |release| release.components.clear()),
                    Deny,
                    Reason::ReleaseInvalid,
                    "no component",
                ),
            ],
        );
    }

    fn reason(spoil: impl FnOnce(&mut Snapshot)) -> Reason {
        let mut snapshot = ready();
        spoil(&mut snapshot);
        ask(&Provenance, &snapshot).reason
    }

    #[test]
    fn an_unreadable_predicate_is_no_proof_and_another_type_is_not_asked() {
        let unreadable = |predicate: Option<&str>| {
            let predicate = predicate.map(str::to_owned);
            move |s: &mut Snapshot| {
                let problem = "no builder".into();
                bundles(s)[1].content = Content::Unreadable { predicate, problem };
            }
        };
        let mismatch = reason(unreadable(Some(SLSA_PROVENANCE_V1)));
        assert_eq!(mismatch, Reason::ProvenanceMismatch);
        assert_eq!(reason(unreadable(None)), Reason::ProvenanceMissing);
        assert_eq!(
            reason(unreadable(Some("https://x"))),
            Reason::ProvenanceMissing
        );
    }

    #[test]
    fn a_builder_is_bound_to_the_authority_that_signed() {
        let bound = |s: &mut Snapshot| {
            with_policy(s, |policy| {
                policy.authorities.push(authority("other"));
                policy.evidence.provenance.push(ProvenanceRule {
                    authority: "other".into(),
                    builders: vec!["https://other.example".into()],
                    build_types: policy.evidence.provenance[0].build_types.clone(),
                });
            });
            said(s, |p| p.builder = "https://other.example".into());
        };
        assert_eq!(reason(bound), Reason::BuilderNotTrusted, "signed by ci");
        let by_its_own = reason(|s| {
            bound(s);
            bundles(s)[1].verified_by = [Verified::by_key(key("other"))].into();
        });
        assert_eq!(by_its_own, Reason::EvidenceValid);
    }

    #[test]
    fn one_good_statement_is_enough_and_the_nearest_refusal_speaks() {
        let second = |s: &mut Snapshot| {
            let mut stranger = provenance("1.42.0");
            stranger.verified_by.clear();
            bundles(s).insert(0, stranger);
        };
        assert_eq!(reason(second), Reason::EvidenceValid);
        let nearest = reason(|s| {
            said(s, |p| p.commit = "0".repeat(40));
            second(s);
        });
        assert_eq!(nearest, Reason::ProvenanceMismatch);
    }

    #[test]
    fn a_rollback_needs_provenance_too() {
        let rollback = reason(|s| {
            roll_back(s);
            bundles(s).truncate(1);
        });
        assert_eq!(rollback, Reason::ProvenanceMissing);
    }
}
