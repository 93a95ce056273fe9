//! What the gates that look at evidence share: looking at the images, the policies, and the bundles.

mod age;
mod known;
mod lately;
#[cfg(test)]
mod past_bugs;
mod platforms;
mod refusal;
mod signer;
mod signing;
mod tagged;

use crate::case::Case;
use crate::evidence::{Bundle, Evidence};
use crate::facts::{Observed, trusted_root};
use crate::gate::{EvidenceReference, Finding, Want};
use crate::policy::{IndexEvidence, PolicyContent};
use crate::reason::Reason;
use crate::release::{Digest, ImageReference};

pub(super) use age::{Freshness, earlier, is_future};
pub(super) use known::known;
use known::{pending, unavailable};
pub(super) use platforms::unfit;
use platforms::{Levels, Rule};
pub(super) use refusal::{Called, Refusal};
pub(super) use signer::{Diagnosis, STRANGERS_TRIGGER, Signature};
pub(super) use signing::Signing;

/// One policy's question about one image.
pub(super) struct Question<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) policy: &'a str,
    pub(super) content: &'a PolicyContent,
    pub(super) image: &'a ImageReference,
    pub(super) evidence: &'a Evidence,
}

/// Asks `question` of every image under every policy that `asks`, and gives the worst answer. Of an
/// index: what suffices on it, or on each of its images.
pub(super) fn ask_all(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    question: impl Fn(&Question<'_>) -> Finding,
) -> Finding {
    ask(case, asks, |_| true, Levels::Either, question)
}

/// The same, for what may also say no: that stands on either level, whatever the other one says.
pub(super) fn ask_both_levels(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    question: impl Fn(&Question<'_>) -> Finding,
) -> Finding {
    ask(case, asks, |_| true, Levels::Both, question)
}

/// The same, for what tells what is in an image: what suffices on each image of an index, and on the
/// index only where the policy says so.
pub(super) fn ask_each_image(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    question: impl Fn(&Question<'_>) -> Finding,
) -> Finding {
    ask(case, asks, accepts_index, Levels::Either, question)
}

/// The same, for what may also say no: that stands on either level, whatever the policy takes from
/// the index.
pub(super) fn ask_both_levels_of_each_image(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    question: impl Fn(&Question<'_>) -> Finding,
) -> Finding {
    ask(case, asks, accepts_index, Levels::Both, question)
}

fn accepts_index(content: &PolicyContent) -> bool {
    match content.policy.evidence.index_evidence {
        IndexEvidence::Accept => true,
        IndexEvidence::Refuse => false,
    }
}

fn ask(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    on_index: impl Fn(&PolicyContent) -> bool,
    levels: Levels,
    question: impl Fn(&Question<'_>) -> Finding,
) -> Finding {
    let asking: Vec<_> = case
        .policies
        .iter()
        .filter(|(_, content)| asks(content))
        .collect();
    if asking.is_empty() {
        return Finding::not_required("no matching policy asks for it");
    }
    if case.release.is_none() {
        return Finding::hold(
            Reason::ReleaseNotFound,
            "it is looked up once the Release is there",
        );
    }
    let mut findings = Vec::new();
    for image in case.images() {
        for (fact, content) in &asking {
            let rule = Rule {
                case,
                policy: &fact.name,
                content,
                on_index: on_index(content),
                levels,
                question: &question,
            };
            findings.push(rule.of(image));
        }
    }
    Finding::worst(findings)
        .unwrap_or_else(|| Finding::deny(Reason::ReleaseInvalid, "the Release has no component"))
}

/// What is attached to an image, or what to say while that cannot be seen.
pub(super) fn seen<'a>(case: &Case<'a>, image: &ImageReference) -> Result<&'a Evidence, Finding> {
    match case.facts.evidence.get(image) {
        Some(observed) => known(image, observed),
        None => Err(Finding::deny(
            Reason::SourceNotAllowed,
            format!(
                "{} is not asked for evidence: no policy gives it to product {} in \
                 namespace {}",
                image.repository(),
                case.environment.product,
                case.environment.namespace
            ),
        )),
    }
}

/// What does not suffice says nothing yet while there are tags beside the image that were not read.
pub(super) fn beside_tags(answer: Finding, image: &ImageReference, evidence: &Evidence) -> Finding {
    if answer.verdict.is_open() {
        return answer;
    }
    tags_read(image, evidence).err().unwrap_or(answer)
}

fn tags_read(image: &ImageReference, evidence: &Evidence) -> Result<(), Finding> {
    match &evidence.tags {
        Observed::Known(()) => Ok(()),
        Observed::Unavailable(why) => Err(unavailable(why)),
        Observed::Pending => Err(pending(image).wanting(vec![Want::Tags(image.clone())])),
    }
}

impl Question<'_> {
    /// Whether a bundle's statement is about this artifact.
    pub(super) fn is_about_subject(&self, bundle: &Bundle) -> bool {
        bundle.subjects.contains(&self.evidence.subject)
    }

    /// Whether everything that the policy trusts could be read.
    pub(super) fn usable(&self) -> Result<(), Finding> {
        let facts = &self.case.facts;
        let mut named = self.content.policy.trusted_roots();
        let unusable = named.find_map(|name| trusted_root(&facts.trusted_roots, name).err());
        unusable.map_or(Ok(()), |problem| {
            Err(Finding::deny(
                Reason::TrustedRootInvalid,
                format!("policy {} rests on it: {problem}", self.policy),
            ))
        })
    }

    /// Whether nothing is left unread that may speak against the image: a report, a failed check. What
    /// one statement alone satisfies need not ask.
    pub(super) fn all_read(&self) -> Result<(), Finding> {
        tags_read(self.image, self.evidence)
    }

    /// Whether the bundle's own hint names a key of one of the authorities, or names none: then a
    /// signature that does not verify is a bad one rather than somebody else's. Diagnosis only.
    pub(super) fn claims_to_be_from(&self, authorities: &[String], bundle: &Bundle) -> bool {
        bundle.key_hint.as_ref().is_none_or(|hint| {
            authorities
                .iter()
                .any(|authority| self.content.keys_of(authority).contains(hint))
        })
    }

    /// Why a bundle that says `what` is none of these authorities', and whether it pretends to be.
    pub(super) fn not_theirs(
        &self,
        what: &str,
        authorities: &[String],
        bundle: &Bundle,
    ) -> (bool, String) {
        let must = authorities.join(" or ");
        match self.diagnose(authorities, bundle) {
            Diagnosis::Bad(why) => {
                let text = format!("{what} was found whose signature does not verify{why}");
                (true, text)
            }
            Diagnosis::Nearly(why) => {
                let text = format!("{what} was found, but {why}; {must} must sign it");
                (false, text)
            }
            Diagnosis::Stranger(_) => {
                let text = format!("{what} was found, but {must} must sign it");
                (false, text)
            }
        }
    }

    /// How a gate's report names a bundle it relied on.
    pub(super) fn reference(
        &self,
        authority: &str,
        bundle: &Bundle,
        signature: Signature<'_>,
    ) -> EvidenceReference {
        EvidenceReference {
            authority: format!("{}/{authority}", self.policy),
            digest: bundle.digest.clone(),
            payload: bundle.payload.clone(),
            signer: signature.by().to_string(),
            signed_at: signature.at(),
        }
    }

    /// The digests that a bundle is about instead of this artifact, for a message.
    pub(super) fn other_subjects(bundle: &Bundle) -> String {
        let shown: Vec<_> = bundle.subjects.iter().take(3).map(Digest::as_str).collect();
        if shown.is_empty() {
            "no sha256 digest at all".to_owned()
        } else {
            shown.join(", ")
        }
    }
}

#[cfg(test)]
mod tests;
