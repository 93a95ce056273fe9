//! Policies, windows, trusted roots and revocations as they were seen: what they say, or what is wrong with them.

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, Revocation, TrustedRoot};
use lockmaster_core::evidence::RootText;
use lockmaster_core::facts::{TrustedRootFact, WindowFact};
use lockmaster_core::policy::{Policy, PolicyContent, PolicyFact};
use lockmaster_core::revocation::{self, RevocationFact};
use lockmaster_core::window::{Calendar, Window};

use crate::stores::Guarded;

/// A policy as it was seen: its rules with their keys, or what is wrong with it.
#[must_use]
pub fn policy_fact(object: &Guarded<ClusterPromotionPolicy>) -> PolicyFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| policy_content(object.spec.clone().into()));
    PolicyFact {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.meta().generation.unwrap_or_default(),
        content,
    }
}

/// A policy's rules with the names of its keys, or the first thing that is wrong with them.
pub fn policy_content(policy: Policy) -> Result<PolicyContent, String> {
    if let Some(first) = policy.contradictions().into_iter().next() {
        return Err(first);
    }
    let mut keys = BTreeMap::new();
    for authority in &policy.authorities {
        let mut ids = Vec::new();
        for (position, key) in authority.keys.iter().enumerate() {
            let parsed = lockmaster_verify::parse_key(&key.pem).map_err(|error| {
                format!(
                    "spec.authorities[{}].keys[{position}].pem: {error}",
                    authority.name
                )
            })?;
            ids.push(parsed.id);
        }
        keys.insert(authority.name.clone(), ids);
    }
    let digest = policy.digest().map_err(|error| error.to_string())?;
    Ok(PolicyContent {
        policy,
        digest,
        keys,
    })
}

/// A window as it was seen, or what is wrong with it.
#[must_use]
pub fn window_fact(object: &Guarded<ChangeWindow>) -> WindowFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| {
            let calendar = Calendar::from(object.spec.clone());
            Window::new(&calendar).map_err(|error| error.to_string())?;
            Ok(calendar)
        });
    let uid = object.uid().unwrap_or_default();
    WindowFact {
        uid,
        generation: object.meta().generation.unwrap_or_default(),
        content,
    }
}

/// A trusted root as it was seen, or what is wrong with it.
#[must_use]
pub fn trusted_root_fact(object: &Guarded<TrustedRoot>) -> TrustedRootFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| trusted_root_content(&object.spec.json));
    TrustedRootFact {
        uid: object.uid().unwrap_or_default(),
        generation: object.meta().generation.unwrap_or_default(),
        content,
    }
}

/// A trusted root by its text, or what is wrong with it.
pub fn trusted_root_content(json: &str) -> Result<RootText, String> {
    lockmaster_verify::TrustedRoot::parse(json)
        .map_err(|error| format!("spec.json: {error}"))
        .map(|_| RootText::new(json))
}

/// A revocation as it was seen, or what is wrong with it.
#[must_use]
pub fn revocation_fact(object: &Guarded<Revocation>) -> RevocationFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| {
            let content = revocation::Revocation::from(object.spec.clone());
            content.contradiction().map_or(Ok(content), Err)
        });
    RevocationFact {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.meta().generation.unwrap_or_default(),
        content,
    }
}
