//! One way to hash: a domain prefix and RFC 8785 canonical JSON, under SHA-256.
//!
//! Approvals, records and re-execution protection all compare these hashes years later, so the
//! prefixes and the canonical form never change for a stored shape; golden vectors guard them.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::release::Digest;

/// What is left out where it is stored, so that a field that came later changes no hash.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is being hashed. The prefix keeps a value of one meaning from being replayed as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// The immutable fields of a Release.
    Release,
    /// The sorted (component, digest) pairs of a Release.
    ArtifactSet,
    /// The spec of a Promotion without `abort`.
    PromotionSpec,
    /// The preimage of what an approver agrees to.
    Plan,
    /// A plan's content bound to the guard epoch it was minted under.
    PlanHash,
    /// A PromotionRecord without its own hash.
    Record,
    /// The spec of a policy, as it was in force.
    Policy,
    /// The guard policies and bindings in force.
    GuardEpoch,
    /// A rule in Rego together with all that it is asked about.
    RuleQuestion,
}

impl Domain {
    fn prefix(self) -> &'static str {
        match self {
            Self::Release => "lockmaster.release.v1\n",
            Self::ArtifactSet => "lockmaster.artifactset.v1\n",
            Self::PromotionSpec => "lockmaster.promotion.v1\n",
            Self::Plan => "lockmaster.plan.v1\n",
            Self::PlanHash => "lockmaster.planhash.v1\n",
            Self::Record => "lockmaster.record.v1\n",
            Self::Policy => "lockmaster.policy.v1\n",
            Self::GuardEpoch => "lockmaster.guardepoch.v1\n",
            Self::RuleQuestion => "lockmaster.rulequestion.v1\n",
        }
    }
}

/// A value that cannot be written as canonical JSON (a map with keys that are no strings, a number
/// that is not finite). None of the hashed types here has either.
#[derive(Debug, thiserror::Error)]
#[error("failed to write canonical JSON: {0}")]
pub struct Error(String);

/// The RFC 8785 form of `value`, as text.
pub fn canonical<T: Serialize>(value: &T) -> Result<String, Error> {
    serde_json_canonicalizer::to_string(value).map_err(|error| Error(error.to_string()))
}

/// SHA-256 over the domain's prefix and the RFC 8785 form of `value`.
pub fn hash<T: Serialize>(domain: Domain, value: &T) -> Result<Digest, Error> {
    Ok(hash_text(domain, &canonical(value)?))
}

/// SHA-256 over the domain's prefix and a text that is canonical already.
#[must_use]
pub fn hash_text(domain: Domain, text: &str) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(domain.prefix().as_bytes());
    hasher.update(text.as_bytes());
    Digest::from_sha256(&hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_keep_equal_values_apart() {
        let value = serde_json::json!({"b": 1, "a": [true, null]});
        let release = hash(Domain::Release, &value).unwrap();
        let plan = hash(Domain::Plan, &value).unwrap();
        assert_ne!(release, plan);
    }

    #[test]
    fn the_canonical_form_is_stored_for_years() {
        let value = serde_json::json!({"b": 1.0, "a": "é", "c": {"z": [], "y": "\n"}});
        assert_eq!(
            canonical(&value).unwrap(),
            "{\"a\":\"é\",\"b\":1,\"c\":{\"y\":\"\\n\",\"z\":[]}}"
        );
        assert_eq!(
            hash(Domain::Record, &value).unwrap().as_str(),
            hash_text(Domain::Record, &canonical(&value).unwrap()).as_str()
        );
    }
}
