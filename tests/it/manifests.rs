//! The objects behind each example, as people write them: made from the facts of its snapshot.
//! `UPDATE=1 cargo test -p lockmaster-tests --test it` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kube::api::ObjectMeta;
use lockmaster_api::environment::{After, Health, Rollback};
use lockmaster_api::{
    ChangeWindow, ChangeWindowSpec, ClusterPromotionPolicy, ClusterPromotionPolicySpec,
    Environment, EnvironmentSpec, Promotion, PromotionSpec, Release, ReleaseSpec, Revocation,
    RevocationSpec, TrustedRoot, TrustedRootSpec,
};
use lockmaster_core::promotion::WINDOW_ANNOTATION;
use lockmaster_core::snapshot::Snapshot;
use lockmaster_core::{environment, policy, promotion, release, revocation};
use serde::Serialize;

use crate::repository::is_generated;
use crate::scenarios::{self, Scenario};

/// Keys that can be read, in place of the names that snapshots have instead of keys: each authority has
/// its own.
const KEYS: [&str; 3] = [
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEiUYFDQ68+sanZRgMeF967XEufNdd
8wi8+JeaP17rbIYltMFDBHkW2NIHhT0fFqyaB8H35sS3aTodCS8Dj7dxwg==",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEncwwg6wfIlXcjv0CSfiDN5ubjjJo
zqPk8+YV+PYYQDjkVZpNJF+xq7Yho1jUIznDG2HGv+QoBp/lD6yhQr+A2g==",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZRDfdF1c6JeAdZOxt5MFNBvDP2yd
hqjSHVUfNGyrxM5WPsXuezDklccxdw6ykYhXkl1BH+7UVn2kNXiVylbiHA==",
];

/// A root that can be read, in place of the one that snapshots have.
const ROOT: &str =
    include_str!("../../controller/verify/test_data/private-sigstore/trusted_root.json");

fn meta(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectMeta::default()
    }
}

fn of_release(release: &release::Release, namespace: &str) -> Release {
    let release::Release {
        name,
        product,
        version,
        components,
        source,
    } = release.clone();
    let spec = ReleaseSpec {
        product,
        version,
        components,
        source,
    };
    Release {
        metadata: meta(&name, Some(namespace)),
        spec,
    }
}

fn of_environment(environment: &environment::Environment) -> Environment {
    let environment::Environment {
        namespace,
        name,
        uid: _,
        generation: _,
        product,
        stage,
        tier,
        after,
        targets,
        deadline,
        automatic_rollback,
        pull_secrets,
        active: _,
        concerns: _,
        reverify_at: _,
    } = environment.clone();
    let after = after.into_iter().map(|environment| After { environment });
    let spec = EnvironmentSpec {
        product,
        stage: Some(stage),
        tier,
        after: after.collect(),
        targets,
        health: Health { deadline },
        rollback: Rollback {
            automatic: automatic_rollback,
        },
        pull_secrets,
    };
    Environment {
        metadata: meta(&name, Some(&namespace)),
        spec,
        status: None,
    }
}

/// As it is asked for: decisions and the requester's name are never part of a new object.
fn of_promotion(promotion: &promotion::Promotion) -> Promotion {
    let promotion::Request {
        release,
        environment,
        action,
        reason,
        incident,
        abort: _,
    } = promotion.request.clone();
    let window = promotion.annotations.get(WINDOW_ANNOTATION).cloned();
    let annotations = window.map(|window| BTreeMap::from([(WINDOW_ANNOTATION.to_owned(), window)]));
    Promotion {
        metadata: ObjectMeta {
            annotations,
            ..meta(&promotion.name, Some(&promotion.namespace))
        },
        spec: PromotionSpec {
            release,
            environment,
            action,
            reason,
            incident,
            abort: None,
        },
        status: None,
    }
}

fn of_policy(name: &str, policy: &policy::Policy) -> ClusterPromotionPolicy {
    let policy::Policy {
        matches,
        sources,
        mut authorities,
        evidence,
        approvals,
        windows,
        rules,
        uncovered_containers,
    } = policy.clone();
    assert!(authorities.len() <= KEYS.len(), "an authority has no key");
    for (authority, key) in authorities.iter_mut().zip(KEYS) {
        for text in &mut authority.keys {
            text.pem = format!("-----BEGIN PUBLIC KEY-----\n{key}\n-----END PUBLIC KEY-----\n");
        }
    }
    let spec = ClusterPromotionPolicySpec {
        matches,
        sources,
        authorities,
        evidence,
        approvals,
        windows,
        rules,
        uncovered_containers,
    };
    ClusterPromotionPolicy {
        metadata: meta(name, None),
        spec,
        status: None,
    }
}

fn of_root(name: &str) -> TrustedRoot {
    TrustedRoot {
        metadata: meta(name, None),
        spec: TrustedRootSpec {
            version: 1,
            json: ROOT.to_owned(),
        },
        status: None,
    }
}

fn of_revocation(name: &str, content: &revocation::Revocation) -> Revocation {
    let revocation::Revocation {
        reason,
        digests,
        bundles,
        signers,
        records,
    } = content.clone();
    let spec = RevocationSpec {
        reason,
        digests,
        bundles,
        signers,
        records,
    };
    Revocation {
        metadata: meta(name, None),
        spec,
        status: None,
    }
}

/// The documents of one example.
fn manifests(scenario: &Scenario) -> String {
    let Snapshot {
        environment,
        promotions,
        facts,
        ..
    } = &scenario.snapshot;
    let mut text = format!(
        "# {}\n# The objects that are asked about in snapshot.yaml. A policy names your own keys and roots.\n",
        scenario.purpose
    );
    for (name, fact) in &facts.windows {
        if let Ok(calendar) = &fact.content {
            let (zone, ranges) = (calendar.zone.clone(), calendar.ranges.clone());
            let spec = ChangeWindowSpec { zone, ranges };
            let metadata = meta(name, None);
            let status = None;
            add(
                &mut text,
                &ChangeWindow {
                    metadata,
                    spec,
                    status,
                },
            );
        }
    }
    for fact in &facts.policies {
        if let Ok(content) = &fact.content {
            add(&mut text, &of_policy(&fact.name, &content.policy));
        }
    }
    for name in facts.trusted_roots.keys() {
        add(&mut text, &of_root(name));
    }
    for fact in &facts.revocations {
        if let Ok(content) = &fact.content {
            add(&mut text, &of_revocation(&fact.name, content));
        }
    }
    add(&mut text, &of_environment(environment));
    for release in facts.releases.values().filter_map(|seen| seen.known()) {
        add(&mut text, &of_release(release, &environment.namespace));
    }
    for promotion in promotions {
        add(&mut text, &of_promotion(promotion));
    }
    text
}

fn add<T: Serialize>(text: &mut String, object: &T) {
    let yaml = serde_saphyr::to_string(object).unwrap();
    // Writing to a String cannot fail.
    let _ = write!(text, "---\n{}\n", yaml.trim_end());
}

#[test]
fn manifests_are_those_of_the_scenarios() {
    for scenario in scenarios::all() {
        let path = format!("examples/{}/manifests.yaml", scenario.name);
        is_generated(&path, &manifests(&scenario));
    }
}
