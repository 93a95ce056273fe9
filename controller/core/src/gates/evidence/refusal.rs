//! Why a bundle does not count for a gate, and how near it came: where none counts, the nearest speaks.

use super::{Question, Signature};
use crate::evidence::Bundle;
use crate::gate::Finding;
use crate::reason::Reason;

/// A bundle of the type that is looked for, which does not count.
pub(in super::super) struct Refusal {
    /// How many questions were answered well before: 0 for who signed it, 1 for what it is about.
    pub(in super::super) progress: u8,
    pub(in super::super) reason: Reason,
    pub(in super::super) text: String,
}

impl Refusal {
    pub(in super::super) fn new(progress: u8, reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            progress,
            reason,
            text,
        }
    }

    /// What the nearest of them says.
    pub(in super::super) fn nearest(refusals: Vec<Self>) -> Option<Finding> {
        let nearest = refusals.into_iter().max_by_key(|one| one.progress)?;
        Some(Finding::deny(nearest.reason, nearest.text))
    }
}

/// How a gate calls what it looks for.
pub(in super::super) struct Called {
    /// With an article, such as "an SBOM".
    pub(in super::super) one: &'static str,
    /// As what was found, such as "the SBOM".
    pub(in super::super) found: &'static str,
    /// What it is, signed by somebody else.
    pub(in super::super) strange: Reason,
}

impl Question<'_> {
    /// The first of those who may speak whose signature of this type it is, about this very digest. All
    /// of `authorities` are named where it is nobody's.
    pub(in super::super) fn signed_by<'r, 'b>(
        &self,
        called: &Called,
        (mut speakers, authorities): (impl Iterator<Item = &'r String>, &[String]),
        (predicate, bundle): (&str, &'b Bundle),
    ) -> Result<(&'r str, Signature<'b>), Refusal> {
        let signed = speakers.find_map(|authority| {
            let signature = self.signer(authority, predicate, bundle)?;
            Some((authority.as_str(), signature))
        });
        let signed = signed.ok_or_else(|| {
            let (bad, text) = self.not_theirs(called.one, authorities, bundle);
            let reason = if bad {
                Reason::SignatureInvalid
            } else {
                called.strange
            };
            Refusal::new(0, reason, text)
        })?;
        if self.is_about_subject(bundle) {
            return Ok(signed);
        }
        let (found, other) = (called.found, Self::other_subjects(bundle));
        let text = format!("{found} found is about {other}, not about this digest");
        Err(Refusal::new(1, Reason::SignatureInvalid, text))
    }
}
