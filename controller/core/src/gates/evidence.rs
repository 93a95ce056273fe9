//! What the three evidence gates share: looking at the images, the policies, and the bundles.

#[cfg(test)]
mod past_bugs;
mod platforms;
mod signer;

use crate::case::Case;
use crate::evidence::{Bundle, Evidence};
use crate::gate::{EvidenceReference, Finding};
use crate::policy::{IndexEvidence, PolicyContent};
use crate::reason::Reason;
use crate::release::{Digest, ImageReference};

use platforms::Rule;

pub(super) use signer::{Diagnosis, Signature};

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
    ask(case, asks, |_| true, question)
}

/// The same, for what tells what is in an image: what suffices on each image of an index, and on the
/// index only where the policy says so.
pub(super) fn ask_each_image(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    question: impl Fn(&Question<'_>) -> Finding,
) -> Finding {
    let accepts = |content: &PolicyContent| match content.policy.evidence.index_evidence {
        IndexEvidence::Accept => true,
        IndexEvidence::Refuse => false,
    };
    ask(case, asks, accepts, question)
}

fn ask(
    case: &Case<'_>,
    asks: impl Fn(&PolicyContent) -> bool,
    on_index: impl Fn(&PolicyContent) -> bool,
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
                question: &question,
            };
            findings.push(rule.of(image));
        }
    }
    Finding::worst(findings)
        .unwrap_or_else(|| Finding::deny(Reason::ReleaseInvalid, "the Release has no component"))
}

impl Question<'_> {
    /// Whether a bundle's statement is about this artifact.
    pub(super) fn is_about_subject(&self, bundle: &Bundle) -> bool {
        bundle.subjects.contains(&self.evidence.subject)
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
