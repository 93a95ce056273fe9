//! What a rule is shown of what was signed, and how a report names it.
//!
//! Nobody can tell which of it made a rule say yes, so that its yes rests on all of it: a Revocation
//! of any of these signers reaches what rests on the rule alone.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::super::evidence::{Question, Signature};
use crate::evidence::Bundle;
use crate::gate::{EvidenceReference, Finding};
use crate::reason::Reason;
use crate::release::Digest;

/// Most that a report names: reports stand in three objects, of which each has little more than a
/// megabyte. An image has at most that many bundles that are read.
const NAMED_LIMIT: usize = 128;

/// A statement or signature, and the authority whose word it is.
#[derive(Clone, Copy)]
pub(in crate::gates) struct Signed<'a> {
    pub(in crate::gates) predicate_type: &'a str,
    pub(in crate::gates) bundle: &'a Bundle,
    pub(in crate::gates) authority: &'a str,
    pub(in crate::gates) signature: Signature<'a>,
}

/// What verifies under a key of an authority that may sign it, and is about this very digest. What
/// the registry holds besides is never shown to a rule: it could only mislead it.
pub(super) fn shown<'a>(question: &Question<'a>) -> Vec<Signed<'a>> {
    let authorities = &question.content.policy.authorities;
    let bundles = question.evidence.bundles.iter();
    let about = bundles.filter(|bundle| question.is_about_subject(bundle));
    let mut shown: Vec<_> = about
        .flat_map(|bundle| {
            let signed = authorities.iter().filter_map(|authority| {
                let predicate_type = readable_type(bundle)?;
                let signature = question.signer(&authority.name, predicate_type, bundle)?;
                Some(Signed {
                    predicate_type,
                    bundle,
                    authority: &authority.name,
                    signature,
                })
            });
            signed.collect::<Vec<_>>()
        })
        .collect();
    // The registry chooses the order in which it lists; a rule must not depend on that.
    shown.sort_by(|a, b| order(a).cmp(&order(b)));
    shown
}

fn order<'a>(signed: &Signed<'a>) -> (&'a str, &'a str, &'a Digest) {
    (
        signed.predicate_type,
        signed.authority,
        &signed.bundle.digest,
    )
}

/// The exact type of a statement that could be read.
fn readable_type(bundle: &Bundle) -> Option<&str> {
    let readable = bundle.content.problem().is_none();
    bundle.content.predicate_type().filter(|_| readable)
}

/// How reports name what a rule is shown.
pub(super) fn references(question: &Question<'_>, shown: &[Signed<'_>]) -> Rc<[EvidenceReference]> {
    let references = shown.iter();
    references
        .map(|signed| question.reference(signed.authority, signed.bundle, signed.signature))
        .collect()
}

/// Every rule says yes, by these names. That rests on all that they were shown.
pub(super) fn allowed(by: &[String], shown: &[Rc<[EvidenceReference]>]) -> Finding {
    // The rules of one policy are shown the same.
    let mut distinct = shown.to_vec();
    distinct.dedup_by(|a, b| Rc::ptr_eq(a, b));
    let all = distinct.iter().flat_map(|shown| shown.iter().cloned());
    match named(all.collect()) {
        Ok(evidence) => {
            let text = format!("allowed by {}", by.join(", "));
            Finding::pass(Reason::RulesAllow, text).resting_on(evidence)
        }
        Err(signers) => Finding::unknown(
            Reason::EvidenceTruncated,
            format!(
                "the rules are shown what {signers} signers signed, and a report names at most \
                 {NAMED_LIMIT}, so that a Revocation of the others would not be seen; remove from \
                 the registry what they need not see, or let the policy name fewer who may sign"
            ),
        ),
    }
}

/// What a report names of all that rules were shown: each piece once, in an order of its own, and at
/// most [`NAMED_LIMIT`] of them. Every signer is among them, by the signature that a Revocation of
/// that signer covers first; then every bundle, as far as there is room; then what else they count
/// for. With more signers than can be named, their number: a yes that rests on somebody whom nobody
/// could call off is none.
fn named(mut all: Vec<EvidenceReference>) -> Result<Vec<EvidenceReference>, usize> {
    all.sort_by(|a, b| name(a).cmp(&name(b)));
    all.dedup();
    if all.len() <= NAMED_LIMIT {
        return Ok(all);
    }
    let mut of_signers: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, reference) in all.iter().enumerate() {
        let first = of_signers.entry(&reference.signer).or_insert(place);
        let before = all.get(*first);
        if before.is_some_and(|before| is_covered_before(reference, before)) {
            *first = place;
        }
    }
    let signers = of_signers.len();
    let mut kept: BTreeSet<usize> = of_signers.into_values().collect();
    if kept.len() > NAMED_LIMIT {
        return Err(signers);
    }
    let at = |place: &usize| all.get(*place).map(|reference| &reference.digest);
    let mut bundles: BTreeSet<_> = kept.iter().filter_map(at).collect();
    let references = || all.iter().enumerate();
    let of_bundles: Vec<_> = references()
        .filter(|(_, reference)| bundles.insert(&reference.digest))
        .map(|(place, _)| place)
        .collect();
    let others = references().map(|(place, _)| place);
    for place in of_bundles.into_iter().chain(others) {
        if kept.len() == NAMED_LIMIT {
            break;
        }
        kept.insert(place);
    }
    let chosen = all.iter().enumerate();
    let chosen = chosen.filter(|(place, _)| kept.contains(place));
    Ok(chosen.map(|(_, reference)| reference.clone()).collect())
}

fn name(reference: &EvidenceReference) -> impl Ord + '_ {
    let EvidenceReference {
        authority,
        digest,
        payload,
        signer,
        signed_at,
    } = reference;
    (authority, digest, signer, signed_at, payload)
}

/// Whether a Revocation of the signer that covers the other one covers this one too, but not the
/// other way round: what nobody dates is judged as if made now, so it is covered by each.
fn is_covered_before(this: &EvidenceReference, other: &EvidenceReference) -> bool {
    match (this.signed_at, other.signed_at) {
        (None, Some(_)) => true,
        (Some(this), Some(other)) => this > other,
        (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::policies::{policy_fact, without_statements};
    use crate::fixtures::ruled::{answer, ruled};
    use crate::fixtures::{ask, at, bundles, key, ready};
    use crate::gate::Verdict;
    use crate::gates::rules::Rules;
    use crate::rules::RuleOutcome;

    fn reference(signer: usize, bundle: usize, signed_at: Option<&str>) -> EvidenceReference {
        EvidenceReference {
            authority: "production/ci".into(),
            digest: Digest::of(format!("bundle {bundle}").as_bytes()),
            payload: None,
            signer: format!("signer-{signer:03}"),
            signed_at: signed_at.map(at),
        }
    }

    fn signers(named: &[EvidenceReference]) -> BTreeSet<&str> {
        named.iter().map(|one| one.signer.as_str()).collect()
    }

    #[test]
    fn a_yes_rests_on_all_that_the_rules_were_shown() {
        let mut snapshot = ready();
        without_statements(&mut snapshot);
        ruled(&mut snapshot);
        // A second policy with the same authorities has a rule too.
        let policy = snapshot.facts.policies[0].content.clone().unwrap().policy;
        snapshot.facts.policies.push(policy_fact("second", policy));
        let mut stranger = bundles(&mut snapshot)[0].clone();
        stranger.digest = Digest::of(b"of a stranger");
        stranger.verified_by.clear();
        bundles(&mut snapshot).push(stranger);
        answer(&mut snapshot, &RuleOutcome::Allowed);
        let report = ask(&Rules, &snapshot);
        assert_eq!(report.verdict, Verdict::Pass, "{}", report.message);
        let count = bundles(&mut snapshot).len() - 1;
        let listed = bundles(&mut snapshot)[..count].to_vec();
        let expected: BTreeSet<_> = listed.iter().map(|bundle| &bundle.digest).collect();
        for policy in ["production/", "second/"] {
            let rests = report.evidence.iter();
            let rests = rests.filter(|one| one.authority.starts_with(policy));
            let digests: BTreeSet<_> = rests.map(|one| &one.digest).collect();
            assert_eq!(digests, expected, "{policy}");
        }
        assert_eq!(report.evidence.len(), 2 * count, "each once");
        let both = ["ci", "scanner"].map(|name| key(name).to_string());
        let both = both.iter().map(String::as_str).collect();
        assert_eq!(signers(&report.evidence), both);
        // The registry's order is not the report's.
        bundles(&mut snapshot).reverse();
        answer(&mut snapshot, &RuleOutcome::Allowed);
        assert_eq!(ask(&Rules, &snapshot), report);
        // What is no yes rests on nothing.
        answer(&mut snapshot, &RuleOutcome::Undefined);
        assert_eq!(ask(&Rules, &snapshot).evidence, []);
    }

    #[test]
    fn each_piece_is_named_once_in_an_order_of_its_own() {
        let all = [2, 0, 1, 0, 2].map(|number| reference(number, number, None));
        let expected = named(all.to_vec()).unwrap();
        assert_eq!(expected.len(), 3);
        assert_eq!(
            named(
                [1, 2, 0]
                    .map(|number| reference(number, number, None))
                    .to_vec()
            ),
            Ok(expected)
        );
    }

    #[test]
    fn every_signer_is_named_by_what_a_revocation_covers_first() {
        let (old, new) = (Some("2026-11-01T00:00:00Z"), Some("2026-11-02T00:00:00Z"));
        // Of one signer so much that nobody else's would have room; others sign once or twice.
        let mut all: Vec<_> = (0..2 * NAMED_LIMIT)
            .map(|bundle| reference(0, bundle, old))
            .collect();
        for (bundle, signed_at) in [(1000, old), (1001, new), (1002, old)] {
            all.push(reference(1, bundle, signed_at));
        }
        for (bundle, signed_at) in [(2000, new), (2001, None), (2002, old)] {
            all.push(reference(2, bundle, signed_at));
        }
        let few = named(all.clone()).unwrap();
        assert_eq!(few.len(), NAMED_LIMIT);
        assert_eq!(signers(&few).len(), 3);
        assert!(few.contains(&reference(1, 1001, new)));
        assert!(few.contains(&reference(2, 2001, None)));
        all.reverse();
        assert_eq!(named(all), Ok(few));
    }

    #[test]
    fn every_bundle_is_named_before_any_is_named_twice() {
        let of = |authority: &'static str| {
            (0..NAMED_LIMIT).map(move |bundle| EvidenceReference {
                authority: format!("production/{authority}"),
                ..reference(0, bundle, None)
            })
        };
        let named = named(of("a").chain(of("b")).collect()).unwrap();
        let bundles: BTreeSet<_> = named.iter().map(|one| &one.digest).collect();
        assert_eq!((named.len(), bundles.len()), (NAMED_LIMIT, NAMED_LIMIT));
    }

    #[test]
    fn a_yes_that_rests_on_more_signers_than_can_be_named_is_none() {
        let all = |count| (0..count).map(|number| reference(number, number, None));
        let found = allowed(&["one".into()], &[all(NAMED_LIMIT).collect()]);
        assert_eq!(found.verdict, Verdict::Pass);
        let found = allowed(&["one".into()], &[all(NAMED_LIMIT + 1).collect()]);
        assert_eq!(
            (found.verdict, found.reason),
            (Verdict::Unknown, Reason::EvidenceTruncated)
        );
        assert!(found.message.contains("129 signers"), "{}", found.message);
    }
}
