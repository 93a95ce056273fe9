//! What `init` prints.

use std::collections::BTreeMap;

use clap::Parser as _;

use super::*;
use crate::args::{Arguments, Command};

const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqGEVVwpRKsqYGqLWQzLJHwR4TP+R
cW9cKL+JSPOuLnQeMNHU5x4vvmRdIOnuL0K9P4RYw2tB2N6mIqVyY+BEgw==
-----END PUBLIC KEY-----
";

const THREE: [&str; 3] = [
    "--target=dev=shop-dev/checkout",
    "--target=staging=shop-staging/checkout",
    "--target=prod=shop-prod/checkout",
];

fn arguments(words: &[&str]) -> Init {
    let start = [
        "kubectl-promote",
        "init",
        "--product",
        "checkout",
        "-n",
        "shop",
    ];
    let words = start.iter().chain(words);
    let command = Arguments::try_parse_from(words).unwrap().command;
    let Command::Init(init) = command else {
        panic!("{command:?}")
    };
    *init
}

fn all() -> Init {
    let words = [
        "--image-container=app",
        "--requester-group=requesters",
        "--approver-group=release-managers",
        "--key=release.pub",
        "--image-repository=registry.example/shop/*",
        "--source=https://git.example/shop/checkout",
        "--builder=https://ci.example/builder",
        "--zone=Europe/Berlin",
    ];
    arguments(&[THREE.as_slice(), words.as_slice()].concat())
}

#[test]
fn the_text_is_as_documented() {
    let text = manifests(&all(), Some(KEY)).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/init/golden.yaml");
        std::fs::write(path, &text).unwrap();
        return;
    }
    let golden = include_str!("golden.yaml");
    assert!(
        text == golden,
        "not as golden.yaml (UPDATE=1 rewrites it):\n{text}"
    );
}

#[test]
fn all_of_it_can_be_read_again() {
    let text = manifests(&all(), Some(KEY)).unwrap();
    let kinds: Vec<String> = serde_saphyr::from_multiple::<serde_json::Value>(&text)
        .unwrap()
        .into_iter()
        .map(|document| {
            let kind = document["kind"].as_str().unwrap().to_owned();
            match kind.as_str() {
                "Environment" => {
                    serde_json::from_value::<Environment>(document).unwrap();
                }
                "ClusterPromotionPolicy" => {
                    let policy: lockmaster_api::ClusterPromotionPolicy =
                        serde_json::from_value(document).unwrap();
                    let policy = lockmaster_core::policy::Policy::from(policy.spec);
                    assert!(policy.contradictions().is_empty());
                }
                "ChangeWindow" => {
                    serde_json::from_value::<lockmaster_api::ChangeWindow>(document).unwrap();
                }
                _ => {}
            }
            kind
        })
        .collect();
    let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    assert_eq!(count("Environment"), 3);
    assert_eq!(count("ClusterPromotionPolicy"), 2);
    assert_eq!(count("ChangeWindow"), 1);
    assert_eq!(count("Role"), 3 + 2);
    assert_eq!(count("RoleBinding"), 3 + 3 + 3);
}

fn documents(init: &Init) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(&manifests(init, Some(KEY)).unwrap()).unwrap()
}

#[test]
fn the_operator_may_get_exactly_the_pull_secrets_that_are_named() {
    let mut init = all();
    assert!(!manifests(&init, None).unwrap().contains("secrets"));
    init.pull_secret = vec!["registry".into(), "mirror".into()];
    let all = documents(&init);
    let environments = all.iter().filter(|one| one["kind"] == "Environment");
    let named = serde_json::json!(["registry", "mirror"]);
    assert!(environments.clone().count() == 3);
    assert!(
        environments
            .clone()
            .all(|one| one["spec"]["pullSecrets"] == named)
    );
    let named_role =
        |one: &&serde_json::Value| one["metadata"]["name"] == "lockmaster-pull-secrets-checkout";
    let [role, binding] = all.iter().filter(named_role).collect::<Vec<_>>()[..] else {
        panic!("{all:?}")
    };
    assert_eq!(role["metadata"]["namespace"], "shop");
    let rules = serde_json::json!([{
        "apiGroups": [""], "resources": ["secrets"], "resourceNames": named, "verbs": ["get"],
    }]);
    assert_eq!(role["rules"], rules);
    assert_eq!(binding["subjects"][0]["name"], "lockmaster");
    init.pull_secret = vec!["a".into(); 5];
    let text = manifests(&init, None).unwrap_err().to_string();
    assert!(text.contains("4 at most"), "{text}");
}

/// Two policies for one namespace, each with the sources of one product, would close both products.
#[test]
fn a_second_product_meets_the_same_policy() {
    let mut second = all();
    second.product = "search".into();
    let global = |init: &Init| -> BTreeMap<String, serde_json::Value> {
        let documents = documents(init).into_iter();
        documents
            .filter(|document| document["metadata"]["namespace"].is_null())
            .map(|document| {
                let name = document["metadata"]["name"].as_str().unwrap().to_owned();
                (name, document)
            })
            .collect()
    };
    let (first, second) = (global(&all()), global(&second));
    let names: Vec<_> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["shop-europe-berlin", "shop-evidence", "shop-production"]
    );
    assert!(first.keys().eq(second.keys()), "{:?}", second.keys());
    assert_eq!(first["shop-production"], second["shop-production"]);
    assert_ne!(first["shop-evidence"], second["shop-evidence"]);
    let mut other_zone = all();
    other_zone.zone = Some("America/New_York".into());
    assert!(global(&other_zone).contains_key("shop-america-new-york"));
}

#[test]
fn namespaces_of_production_get_their_label_alone() {
    let text = manifests(&arguments(&THREE), None).unwrap();
    let labels: Vec<_> = text
        .lines()
        .filter(|line| line.contains("kubectl label"))
        .collect();
    let expect = "#   kubectl label namespace shop-prod lockmaster.dev/tier=Production";
    assert_eq!(labels, [expect]);
    let shared = ["--target=dev=shop/a", "--target=prod=shop/b"];
    let text = manifests(&arguments(&shared), None).unwrap();
    assert!(!text.contains("kubectl label"), "{text}");
    assert!(
        text.contains("nothing for shop: another stage runs there too"),
        "{text}"
    );
    let text = manifests(&arguments(&THREE[..2]), None).unwrap();
    assert!(
        !text.contains("tier that an Environment gives itself"),
        "{text}"
    );
}

#[test]
fn without_a_key_it_says_what_stays_closed() {
    let text = manifests(&arguments(&THREE), None).unwrap();
    assert!(
        text.contains("# Without a ClusterPromotionPolicy only tier Development"),
        "{text}"
    );
    assert!(!text.contains("kind: ClusterPromotionPolicy"), "{text}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    #[track_caller]
    fn refused(words: &[&str], expect: &str) {
        let text = manifests(&arguments(words), None).unwrap_err().to_string();
        assert!(text.contains(expect), "{text}");
    }
    refused(
        &["--target=moon=a/b"],
        "expected dev, test, staging or prod",
    );
    refused(
        &["--target=prod=a/b", "--target=dev=a/b"],
        "order of promotion",
    );
    refused(&["--target=dev=a/b", "--target=dev=a/c"], "stands twice");
    refused(
        &["--target=dev=a/b", "--approver-group=g"],
        "no stage is of tier Production",
    );
    let mut berlin = all();
    berlin.zone = Some("Europe/Berlim".into());
    let text = manifests(&berlin, Some(KEY)).unwrap_err().to_string();
    assert!(text.contains("--zone: there is no time zone"), "{text}");
}
