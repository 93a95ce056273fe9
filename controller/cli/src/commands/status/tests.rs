//! Golden output of `status`.

use clap::Parser as _;

use super::*;
use crate::args::{Arguments, Command};
use crate::stage::tests::environment;

fn places() -> Vec<Environment> {
    let mut dev = environment("checkout-dev", "checkout", Some("dev"));
    let mut staging = environment("checkout-staging", "checkout", Some("staging"));
    let mut prod = environment("checkout-prod", "checkout", Some("prod"));
    let after =
        |name: &str| serde_json::from_value(serde_json::json!([{"environment": name}])).unwrap();
    staging.spec.after = after("checkout-dev");
    staging.spec.tier = Tier::Staging;
    prod.spec.after = after("checkout-staging");
    prod.spec.tier = Tier::Staging;
    let digest = format!("sha256:{}", "9f2c41d07a11".repeat(6).get(..64).unwrap());
    dev.status = serde_json::from_value(serde_json::json!({
        "effectiveTier": "Development",
        "current": {
            "release": "checkout-1.42.0", "version": "1.42.0", "artifactSet": digest,
            "components": [{"component": "checkout", "digest": digest}],
            "since": "2026-12-02T10:14:00Z", "record": "checkout-dev-000007",
        },
    }))
    .unwrap();
    prod.status =
        serde_json::from_value(serde_json::json!({"effectiveTier": "Production"})).unwrap();
    vec![prod, staging, environment("search", "search", None), dev]
}

fn promotion(name: &str, environment: &str, status: &serde_json::Value) -> Promotion {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Promotion",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("{name}-uid")},
        "spec": {"release": "checkout-1.42.0", "environment": environment},
        "status": status,
    }))
    .unwrap()
}

fn promotions() -> Vec<Promotion> {
    let gate = |name: &str, verdict: &str, reason: &str, next: Option<&str>| {
        serde_json::json!({
            "name": name, "verdict": verdict, "reason": reason, "message": "m", "nextChange": next,
        })
    };
    let waiting = serde_json::json!({
        "state": "AwaitingApproval", "artifact": "1.42.0@9f2c41d07a11", "summary": "s",
        "gates": [
            gate("release", "Pass", "ReleaseAccepted", None),
            gate("window", "Hold", "OutsideWindow", Some("2026-12-08T08:00:00Z")),
            gate("approval", "Hold", "AwaitingApproval", None),
        ],
    });
    let blocked = serde_json::json!({
        "state": "Blocked",
        "gates": [gate("signature", "Deny", "SignerNotTrusted", None)],
    });
    let rolling = serde_json::json!({"state": "RollingOut", "summary": "1 of 3 pods ready"});
    let over = serde_json::json!({"state": "Succeeded"});
    let lost = serde_json::json!({"state": "Pending", "summary": "it does not exist"});
    vec![
        promotion("checkout-1.42.0-prod", "checkout-prod", &waiting),
        promotion("checkout-1.43.0-prod", "checkout-prod", &blocked),
        promotion("checkout-1.42.0-staging", "checkout-staging", &rolling),
        promotion("checkout-1.42.0-dev", "checkout-dev", &over),
        promotion("checkout-1.42.0-moon", "checkout-moon", &lost),
    ]
}

fn listed<K>(readable: Vec<K>) -> Listed<K> {
    Listed {
        readable,
        unreadable: vec![],
    }
}

fn style(words: &[&str]) -> Style {
    let words = ["kubectl-promote", "status", "--color=never"]
        .iter()
        .chain(words);
    let command = Arguments::try_parse_from(words).unwrap().command;
    let Command::Status(status) = command else {
        panic!("{command:?}")
    };
    Style::of(&status.display)
}

#[test]
fn the_tree_shows_what_runs_and_what_waits() {
    let view = View::of("shop", None, &listed(places()), &listed(promotions()));
    let expect = "\
PRODUCT   STAGE    ENVIRONMENT       TIER         RUNNING              SINCE
checkout  dev      checkout-dev      Development  1.42.0@9f2c41d07a11  2026-12-02T10:14:00Z
checkout  staging  checkout-staging  Staging      -
└─ ▶ checkout-1.42.0-staging  -  RollingOut
   1 of 3 pods ready
checkout  prod     checkout-prod     Production   -
├─ ◷ checkout-1.42.0-prod  1.42.0@9f2c41d07a11  AwaitingApproval
│  ├─ ◷ window  OutsideWindow, may change at 2026-12-08T08:00:00Z
│  └─ ◷ approval  AwaitingApproval
└─ ✘ checkout-1.43.0-prod  -  Blocked
   └─ ✘ signature  SignerNotTrusted
search    search   search            Development  -

Into Environments that do not exist, or cannot be read:
└─ ◷ checkout-1.42.0-moon  -  Pending
   it does not exist
";
    assert_eq!(view.render(style(&[])), expect);
}

#[test]
fn one_product_in_ascii() {
    let view = View::of(
        "shop",
        Some("search"),
        &listed(places()),
        &listed(promotions()),
    );
    let expect = "\
PRODUCT  STAGE   ENVIRONMENT  TIER         RUNNING  SINCE
search   search  search       Development  -
";
    assert_eq!(view.render(style(&["--ascii"])), expect);
    let all = View::of("shop", None, &listed(places()), &listed(promotions()))
        .render(style(&["--ascii"]));
    assert!(all.is_ascii(), "{all}");
}

#[test]
fn json_is_versioned() {
    let view = View::of("shop", None, &listed(places()), &listed(promotions()));
    let value = serde_json::to_value(view).unwrap();
    let at = |pointer: &str| value.pointer(pointer).unwrap().clone();
    assert_eq!(at("/apiVersion"), "cli.lockmaster.dev/v1");
    assert_eq!(at("/kind"), "Status");
    assert_eq!(at("/environments/0/running/version"), "1.42.0");
    assert_eq!(at("/environments/2/promotions/1/exitCode"), 7);
    assert_eq!(
        at("/environments/2/promotions/0/closed/0/reason"),
        "OutsideWindow"
    );
    assert_eq!(at("/unplaced/0/name"), "checkout-1.42.0-moon");
}

/// The dev Environment with what is held against artifacts there.
fn concerned() -> Vec<Environment> {
    let held = |artifact: &str, reason: &str, eligible: bool| {
        serde_json::json!({
            "artifact": artifact, "record": "checkout-dev-000007",
            "artifactSet": format!("sha256:{}", "9f2c41d07a11".repeat(6).get(..64).unwrap()),
            "reason": reason, "message": format!("{reason}; mend it"), "eligible": eligible,
            "since": "2026-12-03T02:30:00Z",
        })
    };
    let mut environments = places();
    for environment in &mut environments {
        let concerns = match environment.name_any().as_str() {
            "checkout-dev" => vec![
                held("Running", "Revoked", false),
                held("KnownGood", "ArtifactMissing", true),
            ],
            "checkout-staging" => vec![
                held("Running", "EvidenceWithdrawn", true),
                held("Earlier", "SignatureInvalid", false),
                held("Earlier", "Revoked", false),
            ],
            _ => continue,
        };
        let mut status = environment.status.take().unwrap_or_default();
        status.concerns = serde_json::from_value(concerns.into()).unwrap();
        environment.status = Some(status);
    }
    environments
}

#[test]
fn what_is_held_against_what_runs_stands_below_it() {
    let view = View::of("shop", None, &listed(concerned()), &listed(promotions()));
    let text = view.render(style(&[]));
    let expect = "\
checkout  dev      checkout-dev      Development  1.42.0@9f2c41d07a11  2026-12-02T10:14:00Z
├─ ✘ what runs (checkout-dev-000007)  Revoked since 2026-12-03T02:30:00Z, proves nothing to what comes after
│  Revoked; mend it
└─ ◷ what would be gone back to (checkout-dev-000007)  ArtifactMissing since 2026-12-03T02:30:00Z
   ArtifactMissing; mend it
checkout  staging  checkout-staging  Staging      -
├─ ◷ what runs (checkout-dev-000007)  EvidenceWithdrawn since 2026-12-03T02:30:00Z
│  EvidenceWithdrawn; mend it
├─ · 2 that succeeded before and prove nothing any more: kubectl get environments.lockmaster.dev checkout-staging -n shop -o yaml
└─ ▶ checkout-1.42.0-staging  -  RollingOut
   1 of 3 pods ready
";
    assert!(text.contains(expect), "{text}");
    let ascii = view.render(style(&["--ascii"]));
    assert!(ascii.is_ascii(), "{ascii}");
    let value = serde_json::to_value(view).unwrap();
    let at = |pointer: &str| value.pointer(pointer).unwrap().clone();
    assert_eq!(at("/environments/0/concerns/0/reason"), "Revoked");
    assert_eq!(at("/environments/0/concerns/0/eligible"), false);
    assert_eq!(at("/environments/1/concerns/2/artifact"), "Earlier");
    assert_eq!(value.pointer("/environments/2/concerns"), None);
}

#[test]
fn a_circle_of_environments_is_shown_all_the_same() {
    let mut environments = places();
    for environment in &mut environments {
        environment.spec.after =
            serde_json::from_value(serde_json::json!([{"environment": "checkout-prod"}])).unwrap();
    }
    assert_eq!(in_order(environments.iter().collect()).len(), 4);
}

#[test]
fn what_cannot_be_read_is_shown_with_its_problem() {
    let mut environments = listed(places());
    environments
        .readable
        .retain(|e| e.name_any() != "checkout-prod");
    environments.unreadable = vec![crate::read::tests::unreadable()];
    let promotions = listed(promotions());
    let view = View::of("shop", None, &environments, &promotions);
    let text = view.render(style(&["--ascii"]));
    let expect = "? Environment checkout-prod cannot be read: spec.health.deadline: \"999h\" is";
    assert!(text.contains(expect), "{text}");
    let (_, unplaced) = text.split_once("or cannot be read:").unwrap();
    assert!(unplaced.contains("checkout-1.42.0-prod"), "{text}");
    let value = serde_json::to_value(&view).unwrap();
    assert_eq!(value["unreadable"][0]["name"], "checkout-prod");
    let search = View::of("shop", Some("search"), &environments, &promotions);
    assert!(search.unreadable.is_empty(), "it is of another product");
}
