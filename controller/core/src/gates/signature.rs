//! Is the image signed by those who must sign it? (M11 to M13; CVE-2022-35929, CVE-2023-33959)

use super::evidence::{Diagnosis, Question, Signature as SignatureOf, Signing, ask_all};
use crate::case::Case;
use crate::evidence::{Bundle, COSIGN_SIGN, Content};
use crate::gate::{Finding, Gate, Subject};
use crate::policy::SignatureRule;
use crate::reason::Reason;

/// See the module.
#[derive(Debug)]
pub(super) struct Signature;

impl Gate for Signature {
    fn name(&self) -> &'static str {
        "signature"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::EvidenceValid,
            Reason::EvidencePending,
            Reason::SignatureMissing,
            Reason::OnlyAttestationsFound,
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

    fn find(&self, case: &Case<'_>) -> Finding {
        ask_all(
            case,
            |content| content.policy.evidence.signatures.is_some(),
            |question| match &question.content.policy.evidence.signatures {
                Some(rule) => signed(question, rule),
                None => Finding::not_required("no matching policy asks for it"),
            },
        )
    }
}

/// Every authority counts once, by one signature that is about this digest and meets all of its
/// conditions; and no signer counts for two of them.
fn signed(question: &Question<'_>, rule: &SignatureRule) -> Finding {
    let candidates: Vec<Vec<Found<'_>>> = rule
        .authorities
        .iter()
        .map(|authority| candidates(question, authority))
        .collect();
    let references: Vec<_> = disjoint(&candidates)
        .into_iter()
        .zip(&rule.authorities)
        .filter_map(|(found, authority)| {
            let (bundle, signature) = found?;
            Some(question.reference(authority, bundle, signature))
        })
        .collect();
    let threshold = rule.threshold.max(1) as usize;
    if references.len() >= threshold {
        let names: Vec<_> = references
            .iter()
            .map(|reference| reference.authority.as_str())
            .collect();
        return Finding::pass(
            Reason::EvidenceValid,
            format!("signed by {}", names.join(", ")),
        )
        .resting_on(references);
    }
    refusal(question, rule, references.len())
}

type Found<'a> = (&'a Bundle, SignatureOf<'a>);

fn candidates<'a>(question: &Question<'a>, authority: &str) -> Vec<Found<'a>> {
    let bundles = question.evidence.bundles.iter();
    let signatures = bundles.filter(|bundle| bundle.content == Content::Signature);
    signatures
        .filter(|bundle| question.is_about_subject(bundle))
        .filter_map(|bundle| Some((bundle, question.signer(authority, COSIGN_SIGN, bundle)?)))
        .collect()
}

/// Gives as many authorities as can be a signer of their own: one that is taken already is taken
/// over where its first owner has another (augmenting paths; there are at most 8 authorities).
fn disjoint<'a>(candidates: &[Vec<Found<'a>>]) -> Vec<Option<Found<'a>>> {
    let mut owners: Vec<Option<Found<'a>>> = vec![None; candidates.len()];
    for authority in 0..candidates.len() {
        let mut asked = vec![false; candidates.len()];
        give(authority, candidates, &mut owners, &mut asked);
    }
    owners
}

fn give<'a>(
    authority: usize,
    candidates: &[Vec<Found<'a>>],
    owners: &mut Vec<Option<Found<'a>>>,
    asked: &mut Vec<bool>,
) -> bool {
    let Some(own) = candidates.get(authority) else {
        return false;
    };
    if asked.get(authority).copied().unwrap_or(true) {
        return false;
    }
    asked
        .iter_mut()
        .skip(authority)
        .take(1)
        .for_each(|flag| *flag = true);
    for found in own {
        let holder = owners
            .iter()
            .position(|owned| owned.is_some_and(|(_, other)| other.is_by_same(found.1)));
        let free = holder.is_none_or(|holder| give(holder, candidates, owners, asked));
        if free {
            owners
                .iter_mut()
                .skip(authority)
                .take(1)
                .for_each(|owned| *owned = Some(*found));
            return true;
        }
    }
    false
}

fn signatures<'a>(question: &'a Question<'_>) -> impl Iterator<Item = &'a Bundle> {
    let bundles = question.evidence.bundles.iter();
    bundles.filter(|bundle| bundle.content == Content::Signature)
}

/// Which of the ways to be not signed it is; all of them are closed.
fn refusal(question: &Question<'_>, rule: &SignatureRule, met: usize) -> Finding {
    let authorities = rule.authorities.join(", ");
    let needs = format!(
        "policy {} needs a signature by {authorities}",
        question.policy
    );
    if met > 0 {
        return Finding::hold(
            Reason::SignatureMissing,
            format!("{needs}, {} of them; {met} signed so far", rule.threshold),
        );
    }
    if signatures(question).next().is_none() {
        return nothing_signed(question, rule, &needs);
    }
    let trusted_elsewhere = signatures(question).find(|bundle| {
        !question.is_about_subject(bundle)
            && rule
                .authorities
                .iter()
                .any(|a| question.signer(a, COSIGN_SIGN, bundle).is_some())
    });
    if let Some(bundle) = trusted_elsewhere {
        return Finding::deny(
            Reason::SignatureInvalid,
            format!(
                "{needs}; the signature found was made for {}, not for this digest",
                Question::other_subjects(bundle)
            ),
        );
    }
    let mut stranger = None;
    for bundle in signatures(question) {
        match question.diagnose(&rule.authorities, bundle) {
            Diagnosis::Nearly(why) => {
                let text = format!("{needs}; a signature was found, but {why}");
                return Finding::deny(Reason::SignerNotTrusted, text);
            }
            Diagnosis::Bad(why) => {
                return Finding::deny(
                    Reason::SignatureInvalid,
                    format!("{needs}; a signature was found that does not verify{why}"),
                );
            }
            Diagnosis::Stranger(named) => stranger = stranger.or(named),
        }
    }
    let hint = signatures(question).find_map(|bundle| bundle.key_hint.as_ref());
    let by = stranger.or_else(|| hint.map(|key| format!("key {}", key.short())));
    let by = by.map_or_else(String::new, |by| format!(" ({by})"));
    Finding::deny(
        Reason::SignerNotTrusted,
        format!("{needs}; signatures were found, but made by somebody else{by}"),
    )
}

fn nothing_signed(question: &Question<'_>, rule: &SignatureRule, needs: &str) -> Finding {
    let bundles = &question.evidence.bundles;
    let problem = bundles.iter().find_map(|bundle| bundle.content.problem());
    if let Some(problem) = problem {
        return Finding::deny(
            Reason::SignatureInvalid,
            format!("{needs}; what was found cannot be read: {problem}"),
        );
    }
    if bundles.is_empty() {
        let Signing { who, key } = question.signing(&rule.authorities);
        return Finding::hold(
            Reason::SignatureMissing,
            format!(
                "{needs}; nothing is attached to it; it is looked for again by itself; sign it{who}: \
                 cosign sign{key} {}",
                question.image
            ),
        );
    }
    Finding::deny(
        Reason::OnlyAttestationsFound,
        format!("{needs}; only attestations were found, and an attestation is no signature"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Verified};
    use crate::facts::Observed;
    use crate::fixtures::unseen::check_judging;

    use crate::fixtures::{
        ask, authority, bundles, digest, image, key, ready, roll_back, signature, with_policy,
    };
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass};
    use crate::release::Digest;
    use crate::snapshot::Snapshot;

    #[test]
    fn every_reason() {
        check_judging(
            &Signature,
            &[
                (
                    |_| {},
                    Pass,
                    Reason::EvidenceValid,
                    "signed by production/ci",
                ),
                (
                    |s| with_policy(s, |policy| policy.evidence.signatures = None),
                    NotRequired,
                    Reason::NotRequired,
                    "no matching policy",
                ),
                (
                    |s| bundles(s).clear(),
                    Hold,
                    Reason::SignatureMissing,
                    "nothing is attached",
                ),
                (
                    |s| bundles(s).retain(|bundle| bundle.content != Content::Signature),
                    Deny,
                    Reason::OnlyAttestationsFound,
                    "an attestation is no signature",
                ),
                (
                    |s| {
                        bundles(s)[0].verified_by.clear();
                        bundles(s)[0].key_hint = Some(key("eve"));
                    },
                    Deny,
                    Reason::SignerNotTrusted,
                    "made by somebody else",
                ),
                (
                    |s| bundles(s)[0].verified_by.clear(),
                    Deny,
                    Reason::SignatureInvalid,
                    "does not verify",
                ),
                (
                    |s| bundles(s)[0] = signature("1.41.3"),
                    Deny,
                    Reason::SignatureInvalid,
                    "not for this digest",
                ),
            ],
        );
    }

    #[test]
    fn a_rollback_needs_a_signature_too() {
        let mut snapshot = ready();
        roll_back(&mut snapshot);
        bundles(&mut snapshot).clear();
        assert_eq!(ask(&Signature, &snapshot).reason, Reason::SignatureMissing);
    }

    /// Two authorities must sign.
    fn two(snapshot: &mut Snapshot) {
        with_policy(snapshot, |policy| {
            policy.authorities.push(authority("partner"));
            let rule = policy.evidence.signatures.as_mut().unwrap();
            rule.authorities.push("partner".into());
            rule.threshold = 2;
        });
    }

    #[test]
    fn a_threshold_counts_authorities_and_not_signatures() {
        let mut snapshot = ready();
        two(&mut snapshot);
        bundles(&mut snapshot).push(signature("1.42.0"));
        let once = ask(&Signature, &snapshot);
        assert_eq!(
            (once.verdict, once.reason),
            (Hold, Reason::SignatureMissing)
        );
        assert!(once.message.contains("1 signed so far"), "{}", once.message);
        let last = bundles(&mut snapshot).last_mut().unwrap();
        last.verified_by = [Verified::by_key(key("partner"))].into();
        let twice = ask(&Signature, &snapshot);
        assert_eq!((twice.verdict, twice.evidence.len()), (Pass, 2));
    }

    #[test]
    fn a_key_that_two_authorities_share_counts_once() {
        let mut snapshot = ready();
        two(&mut snapshot);
        let content = snapshot.facts.policies[0].content.as_mut().unwrap();
        content.keys.insert("partner".into(), vec![key("ci")]);
        assert_eq!(ask(&Signature, &snapshot).reason, Reason::SignatureMissing);
    }

    #[test]
    fn an_authority_signs_only_what_it_may_and_the_image_it_is_about() {
        let mut snapshot = ready();
        with_policy(&mut snapshot, |policy| {
            policy.authorities[0]
                .predicate_types
                .retain(|kind| kind != COSIGN_SIGN);
        });
        assert_eq!(ask(&Signature, &snapshot).reason, Reason::SignerNotTrusted);
        let mut snapshot = ready();
        let other = Digest::of(b"other");
        let evidence = Evidence::new(other.clone(), vec![signature("1.42.0")]);
        let known = Observed::Known(evidence);
        snapshot.facts.evidence.insert(image("1.42.0"), known);
        let report = ask(&Signature, &snapshot);
        assert_eq!(report.reason, Reason::SignatureInvalid);
        assert!(
            report.message.contains(digest("1.42.0").as_str()),
            "{}",
            report.message
        );
    }

    #[test]
    fn what_cannot_be_read_is_no_signature() {
        let mut snapshot = ready();
        let bundles = bundles(&mut snapshot);
        bundles.truncate(1);
        let problem = "not a bundle".into();
        bundles[0].content = Content::Unreadable {
            predicate: None,
            problem,
        };
        let report = ask(&Signature, &snapshot);
        assert_eq!(
            (report.verdict, report.reason),
            (Deny, Reason::SignatureInvalid)
        );
    }
}
