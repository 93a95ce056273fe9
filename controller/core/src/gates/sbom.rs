//! Is there a bill of materials for exactly this digest, by somebody who may say so? (M14, M15)

use super::evidence::{Called, Question, Refusal, Signing, ask_each_image};
use crate::case::Case;
use crate::evidence::{Bundle, Content, Sbom as Bill, SbomFormat, denied_by};
use crate::gate::{Finding, Gate, Subject};
use crate::policy::SbomRule;
use crate::reason::Reason;
use crate::release::clip;

/// See the module.
#[derive(Debug)]
pub(super) struct Sbom;

impl Gate for Sbom {
    fn name(&self) -> &'static str {
        "sbom"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::EvidenceValid,
            Reason::EvidencePending,
            Reason::SbomMissing,
            Reason::SbomSignerNotTrusted,
            Reason::SbomInvalid,
            Reason::SignatureInvalid,
            Reason::ArtifactMissing,
            Reason::IndexInvalid,
            Reason::TrustedRootInvalid,
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
        ask_each_image(
            case,
            |content| content.policy.evidence.sbom.is_some(),
            |question| match &question.content.policy.evidence.sbom {
                Some(rule) => attached(question, rule),
                None => Finding::not_required("no matching policy asks for it"),
            },
        )
    }
}

fn attached(question: &Question<'_>, rule: &SbomRule) -> Finding {
    let mut refusals = Vec::new();
    for bundle in &question.evidence.bundles {
        let Some((predicate, bill)) = bill(bundle) else {
            continue;
        };
        match judge(question, rule, bundle, predicate, bill) {
            Ok(finding) => return finding,
            Err(refusal) => refusals.push(refusal),
        }
    }
    Refusal::nearest(refusals).unwrap_or_else(|| {
        let Signing { who, key } = question.signing(&rule.authorities);
        Finding::hold(
            Reason::SbomMissing,
            format!(
                "policy {} needs an SBOM signed by {}; none is attached; it is looked for again by \
                 itself; attach it{who}: cosign attest{key} --type cyclonedx --predicate FILE {} (or \
                 --type spdxjson)",
                question.policy,
                rule.authorities.join(" or "),
                question.image
            ),
        )
    })
}

/// How it is called.
const BILL: Called = Called {
    one: "an SBOM",
    found: "the SBOM",
    strange: Reason::SbomSignerNotTrusted,
};

/// The bill that a bundle holds, and its exact predicate type.
fn bill(bundle: &Bundle) -> Option<(&str, Result<&Bill, &str>)> {
    let predicate = bundle.content.predicate_type()?;
    if let Content::Sbom(bill) = &bundle.content {
        return Some((predicate, Ok(bill)));
    }
    let problem = bundle.content.problem()?;
    SbomFormat::of_predicate(predicate).map(|_| (predicate, Err(problem)))
}

fn judge(
    question: &Question<'_>,
    rule: &SbomRule,
    bundle: &Bundle,
    predicate: &str,
    bill: Result<&Bill, &str>,
) -> Result<Finding, Refusal> {
    let speakers = (rule.authorities.iter(), &rule.authorities[..]);
    let (authority, signer) = question.signed_by(&BILL, speakers, (predicate, bundle))?;
    let bill = bill.map_err(|problem| {
        let text = format!("the SBOM cannot be read: {problem}");
        Refusal::new(2, Reason::SbomInvalid, text)
    })?;
    if !rule.formats.is_empty() && !rule.formats.contains(&bill.format) {
        let text = format!(
            "the SBOM is {}, which the policy does not accept",
            bill.format
        );
        return Err(Refusal::new(3, Reason::SbomInvalid, text));
    }
    let least = rule.min_components.unwrap_or(1).max(1);
    if bill.components < least {
        let text = format!(
            "the SBOM lists {} components, at least {least} are needed",
            bill.components
        );
        return Err(Refusal::new(4, Reason::SbomInvalid, text));
    }
    if let Some(text) = denied(rule, bill) {
        return Err(Refusal::new(5, Reason::SbomInvalid, text));
    }
    let text = format!(
        "{} {}, {} components",
        bill.format, bill.version, bill.components
    );
    Ok(Finding::pass(Reason::EvidenceValid, text)
        .resting_on(vec![question.reference(authority, bundle, signer)]))
}

/// The first licence that the policy denies (M15).
fn denied(rule: &SbomRule, bill: &Bill) -> Option<String> {
    if rule.denied_licenses.is_empty() {
        return None;
    }
    let mut licenses = bill.licenses.iter();
    let found = licenses.find_map(|license| {
        let entry = denied_by(&license.text, &rule.denied_licenses)?;
        Some((license, entry))
    });
    match found {
        Some((license, entry)) => Some(format!(
            "the SBOM lists {} under {}, which deniedLicenses denies by {entry}; replace it",
            license.component,
            clip(&license.text)
        )),
        None if bill.more_licenses => Some(
            "the SBOM names more licences, or longer ones, than are read, so that a denied one may \
             be among them"
                .to_owned(),
        ),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{CYCLONEDX, SPDX};

    use crate::fixtures::unseen::check_judging;

    use crate::fixtures::{ask, bundles, key, ready, roll_back, sbom, with_policy};
    use crate::gate::Verdict::{Deny, Hold, NotRequired, Pass};
    use crate::snapshot::Snapshot;

    fn rule(snapshot: &mut Snapshot, change: impl FnOnce(&mut SbomRule)) {
        with_policy(snapshot, |policy| {
            change(policy.evidence.sbom.as_mut().unwrap())
        });
    }

    fn lists(snapshot: &mut Snapshot, number: u64) {
        match &mut bundles(snapshot)[2].content {
            Content::Sbom(bill) => bill.components = number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_reason() {
        check_judging(
            &Sbom,
            &[
                (
                    |_| {},
                    Pass,
                    Reason::EvidenceValid,
                    "CycloneDX 1.6, 214 components",
                ),
                (
                    |s| with_policy(s, |policy| policy.evidence.sbom = None),
                    NotRequired,
                    Reason::NotRequired,
                    "no matching policy",
                ),
                (
                    |s| {
                        roll_back(s);
                        bundles(s).clear();
                    },
                    NotRequired,
                    Reason::NotRequired,
                    "a rollback",
                ),
                (
                    |s| bundles(s).truncate(2),
                    Hold,
                    Reason::SbomMissing,
                    "none is attached",
                ),
                (
                    |s| {
                        bundles(s)[2].verified_by.clear();
                        bundles(s)[2].key_hint = Some(key("eve"));
                    },
                    Deny,
                    Reason::SbomSignerNotTrusted,
                    "ci must sign it",
                ),
                (
                    |s| lists(s, 0),
                    Deny,
                    Reason::SbomInvalid,
                    "lists 0 components",
                ),
                (
                    |s| rule(s, |rule| rule.min_components = Some(215)),
                    Deny,
                    Reason::SbomInvalid,
                    "at least 215",
                ),
                (
                    |s| rule(s, |rule| rule.formats = vec![SbomFormat::Spdx]),
                    Deny,
                    Reason::SbomInvalid,
                    "is CycloneDX",
                ),
                (
                    |s| rule(s, |rule| rule.denied_licenses = vec!["apache-*".into()]),
                    Deny,
                    Reason::SbomInvalid,
                    "lists left-pad under Apache-2.0, which deniedLicenses denies by apache-*",
                ),
                (
                    |s| {
                        let predicate = Some(CYCLONEDX.to_owned());
                        let problem = "no components".into();
                        bundles(s)[2].content = Content::Unreadable { predicate, problem };
                    },
                    Deny,
                    Reason::SbomInvalid,
                    "cannot be read: no components",
                ),
                (
                    |s| bundles(s)[2].verified_by.clear(),
                    Deny,
                    Reason::SignatureInvalid,
                    "does not verify",
                ),
                (
                    |s| bundles(s)[2] = sbom("1.41.3"),
                    Deny,
                    Reason::SignatureInvalid,
                    "not about this digest",
                ),
            ],
        );
    }

    #[test]
    fn denied_licenses_are_expressions_and_what_was_not_kept_may_be_one() {
        let denied = |license: &str, more: bool| {
            let mut snapshot = ready();
            rule(&mut snapshot, |rule| {
                rule.denied_licenses = vec![license.into()]
            });
            match &mut bundles(&mut snapshot)[2].content {
                Content::Sbom(bill) => bill.more_licenses = more,
                other => panic!("{other:?}"),
            }
            ask(&Sbom, &snapshot)
        };
        assert_eq!(
            denied("GPL-2.0-only", false).verdict,
            Pass,
            "MIT may be chosen"
        );
        assert_eq!(denied("AGPL-*", false).verdict, Pass);
        let more = denied("AGPL-*", true);
        assert_eq!((more.verdict, more.reason), (Deny, Reason::SbomInvalid));
        assert!(
            more.message.contains("may be among them"),
            "{}",
            more.message
        );
    }

    #[test]
    fn an_unreadable_bill_beside_a_good_one_does_no_harm() {
        let mut snapshot = ready();
        let mut broken = sbom("1.42.0");
        broken.content = Content::Unreadable {
            predicate: Some(SPDX.to_owned()),
            problem: "truncated".into(),
        };
        bundles(&mut snapshot).insert(0, broken);
        assert_eq!(ask(&Sbom, &snapshot).verdict, Pass);
    }
}
