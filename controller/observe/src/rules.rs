//! Policies, windows, trusted roots and revocations as they were seen: what they say, or what is wrong
//! with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::{Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, Environment, Revocation, TrustedRoot};
use lockmaster_core::evidence::RootText;
use lockmaster_core::facts::{TrustedRootFact, WindowFact};
use lockmaster_core::policy::{Policy, PolicyContent, PolicyFact};
use lockmaster_core::revocation::{self, RevocationFact};
use lockmaster_core::standing::Concern;
use lockmaster_core::window::{Calendar, Window};
use lockmaster_rego::Sandbox;

use crate::stores::Guarded;

/// A policy as it was seen: its rules with their keys, or what is wrong with it.
#[must_use]
pub fn policy_fact(object: &Guarded<ClusterPromotionPolicy>, sandbox: &Sandbox) -> PolicyFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| {
            let content = policy_content(object.spec.clone().into(), sandbox);
            // One at a time is what a condition has room for.
            content.map_err(|problems| problems.into_iter().next().unwrap_or_default())
        });
    PolicyFact {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.meta().generation.unwrap_or_default(),
        content,
    }
}

/// A policy's rules with the names of its keys, or all that is wrong with them: with the keys only
/// where the rest is in order, and with its rules in Rego only where the keys are too.
pub fn policy_content(policy: Policy, sandbox: &Sandbox) -> Result<PolicyContent, Vec<String>> {
    let found = |problems: Vec<String>| {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    };
    found(policy.contradictions())?;
    let (mut keys, mut problems) = (BTreeMap::new(), Vec::new());
    for authority in &policy.authorities {
        let mut ids = Vec::new();
        for (position, key) in authority.keys.iter().enumerate() {
            match lockmaster_verify::parse_key(&key.pem) {
                Ok(parsed) => ids.push(parsed.id),
                Err(error) => problems.push(format!(
                    "spec.authorities[{}].keys[{position}].pem: {error}",
                    authority.name
                )),
            }
        }
        keys.insert(authority.name.clone(), ids);
    }
    found(problems)?;
    found(unreadable_rules(&policy, sandbox))?;
    let digest = policy.digest().map_err(|error| vec![error.to_string()])?;
    Ok(PolicyContent {
        policy,
        digest,
        keys,
    })
}

/// The rules in Rego that cannot be read, each with the place and what is wrong there.
fn unreadable_rules(policy: &Policy, sandbox: &Sandbox) -> Vec<String> {
    let rules = policy.rules.iter();
    let rules = rules.map(|rule| (format!("spec.rules[{}].rego", rule.name), &rule.rego));
    let entries = policy.evidence.attestations.iter();
    let entries = entries.filter_map(|entry| {
        let field = format!("spec.evidence.attestations[{}].rule", entry.name);
        Some((field, entry.rule.as_ref()?))
    });
    let (fields, texts): (Vec<_>, Vec<_>) = rules
        .chain(entries)
        .map(|(field, rego)| (field, rego.as_str()))
        .unzip();
    if texts.is_empty() {
        return Vec::new();
    }
    let checked = fields.into_iter().zip(sandbox.check(&texts));
    let problems = checked.filter_map(|(field, problem)| Some(format!("{field}: {}", problem?)));
    problems.collect()
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

/// Every revocation, sorted by name.
pub(crate) fn revocations(objects: &[Arc<Guarded<Revocation>>]) -> Vec<RevocationFact> {
    let mut facts: Vec<_> = objects
        .iter()
        .map(|object| revocation_fact(object))
        .collect();
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    facts
}

/// What an Environment says is held against what ran there, if anything.
pub(crate) fn concerns(object: &Guarded<Environment>) -> Option<Vec<Concern>> {
    let status = object.0.as_ref().ok()?.status.as_ref()?;
    let concerns = &status.concerns;
    (!concerns.is_empty()).then(|| concerns.clone())
}
