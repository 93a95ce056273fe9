//! Policies and windows as they were seen: what they say, or what is wrong with them.

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy};
use lockmaster_core::facts::WindowFact;
use lockmaster_core::policy::{Policy, PolicyContent, PolicyFact};
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
        .and_then(|object| policy_content(object.spec.clone().into(), sandbox));
    PolicyFact {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.meta().generation.unwrap_or_default(),
        content,
    }
}

/// A policy's rules with the names of its keys, or the first thing that is wrong with them.
pub fn policy_content(policy: Policy, sandbox: &Sandbox) -> Result<PolicyContent, String> {
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
    if let Some(first) = unreadable_rules(&policy, sandbox).into_iter().next() {
        return Err(first);
    }
    let digest = policy.digest().map_err(|error| error.to_string())?;
    Ok(PolicyContent {
        policy,
        digest,
        keys,
    })
}

/// The rules in Rego that cannot be read, each with the place and what is wrong there.
#[must_use]
pub fn unreadable_rules(policy: &Policy, sandbox: &Sandbox) -> Vec<String> {
    let texts: Vec<_> = policy.rules.iter().map(|rule| rule.rego.as_str()).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let checked = policy.rules.iter().zip(sandbox.check(&texts));
    let problems = checked.filter_map(|(rule, problem)| {
        let problem = problem?;
        Some(format!("spec.rules[{}].rego: {problem}", rule.name))
    });
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
