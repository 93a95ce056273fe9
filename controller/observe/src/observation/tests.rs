//! What one look makes of objects that are finished, unreadable or gone.

use std::cell::RefCell;
use std::convert::Infallible;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use lockmaster_core::policy::RegoRule;
use lockmaster_core::release::Digest;
use lockmaster_core::rules::LOOK_LIMIT;
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::pull_secrets::PullSecrets;
use crate::registry::{Config, RegistryClient};

mod attached;

/// Caches with these Promotions and nothing else.
fn observer(promotions: Vec<Value>) -> Observer {
    let stores = Stores {
        promotions: stored(promotions),
        ..empty()
    };
    let config = Config {
        registries: Vec::new(),
        user_agent: "lockmaster/test".into(),
    };
    let registry = RegistryClient::new(&config).unwrap();
    let (secrets, wake) = (PullSecrets::new(silent()), unbounded_channel().0);
    let evidence = EvidenceStore::new(registry, secrets, wake, Box::new(|_, _| {}));
    over(stores, evidence)
}

/// A cache with these objects.
fn stored<K>(objects: Vec<Value>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    let (cache, mut writer): (_, Writer<K>) = store();
    for object in objects {
        writer.apply_watcher_event(&Event::Apply(serde_json::from_value(object).unwrap()));
    }
    cache
}

fn empty() -> Stores {
    Stores {
        environments: store().0,
        promotions: store().0,
        releases: store().0,
        records: store().0,
        policies: store().0,
        windows: store().0,
        trusted_roots: store().0,
        revocations: store().0,
        namespaces: store().0,
    }
}

/// An API server that never answers.
fn silent() -> Client {
    let never = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    Client::new(never, "default")
}

/// An observer that sees no workload.
fn over(stores: Stores, evidence: EvidenceStore) -> Observer {
    let workloads = Workloads::new(silent(), unbounded_channel().0);
    Observer::new(stores, Arc::new(workloads), Arc::new(evidence))
}

fn promotion(name: &str) -> Value {
    json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Promotion",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{name}-uid"),
            "creationTimestamp": "2026-11-24T10:00:00Z",
        },
        "spec": {"release": "checkout-1.0.0", "environment": "prod"},
    })
}

fn finished(name: &str) -> Value {
    let mut object = promotion(name);
    object["status"] = json!({
        "observedGeneration": 1, "state": "Succeeded", "summary": "ran",
        "record": {"name": "prod-000001", "hash": Digest::of(b"r"), "outcome": "Succeeded"},
    });
    object
}

fn unreadable(name: &str) -> Value {
    let mut object = promotion(name);
    object["spec"]["action"] = json!("Sideways");
    object
}

/// An Environment that this Promotion holds.
fn held_by(name: &str, uid: &str) -> Environment {
    let claim = json!({
        "intent": {"attempt": 1, "at": "2026-11-24T10:00:00Z", "targets": []},
        "account": {
            "promotion": {
                "name": name, "uid": uid, "specHash": Digest::of(b"p"), "action": "Promote",
                "release": "checkout-1.0.0", "created": "2026-11-24T10:00:00Z",
                "requestedBy": {"name": "", "kind": "Unknown"},
            },
            "effectiveTier": "Development",
        },
    });
    let object = json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "prod", "namespace": "shop", "uid": "e"},
        "spec": {
            "product": "checkout", "tier": "Development",
            "targets": [{"workload": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "namespace": "shop",
            }}],
        },
        "status": {"observedGeneration": 1, "active": claim},
    });
    serde_json::from_value(object).unwrap()
}

fn observe(
    observer: &Observer,
    environment: &Environment,
    first_seen: &dyn Fn(&str),
) -> Observation {
    let now = Timestamp::UNIX_EPOCH;
    let object = Arc::new(kube::core::DeserializeGuard(Ok(environment.clone())));
    let remember = |uid: &str| {
        first_seen(uid);
        now
    };
    observer
        .observe(object, environment, Observed::Pending, remember, now)
        .unwrap()
}

#[tokio::test]
async fn an_unreadable_holder_is_not_taken_for_a_deleted_one() {
    let observer = observer(vec![unreadable("p"), promotion("q")]);
    let look = |name, uid| observe(&observer, &held_by(name, uid), &|_| {}).unreadable_holder;
    let problem = look("p", "p-uid").unwrap();
    assert!(
        problem.contains("Promotion p holds") && problem.contains("Sideways"),
        "{problem}"
    );
    assert_eq!(look("p", "another"), None, "re-created under the same name");
    assert_eq!(look("gone", "gone-uid"), None);
    assert_eq!(look("q", "q-uid"), None, "readable");
}

#[tokio::test]
async fn finished_promotions_are_neither_looked_at_nor_remembered() {
    let observer = observer(vec![finished("old"), promotion("new")]);
    let asked = RefCell::new(Vec::new());
    let seen = observe(&observer, &held_by("new", "new-uid"), &|uid| {
        asked.borrow_mut().push(uid.to_owned());
    });
    assert_eq!(seen.promotions.len(), 1);
    assert_eq!(*asked.borrow(), ["new-uid"]);
}

/// A policy with one rule, for every Environment.
fn ruling(rego: &str) -> Value {
    json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ClusterPromotionPolicy",
        "metadata": {"name": "all", "uid": "all-uid", "generation": 1},
        "spec": {"rules": [{"name": "any", "rego": format!("package lockmaster\n{rego}\n")}]},
    })
}

/// Caches with one promotion of `checkout-1.0.0`, and a policy with this rule.
fn ruled(rego: &str) -> Observer {
    let mut observer = observer(vec![promotion("p")]);
    observer.policies = Arc::new(Policies::new(Sandbox::without_protection()));
    let (policies, mut writer): (_, Writer<Guarded<lockmaster_api::ClusterPromotionPolicy>>) =
        store();
    writer.apply_watcher_event(&Event::Apply(serde_json::from_value(ruling(rego)).unwrap()));
    let (releases, mut writer): (_, Writer<Guarded<lockmaster_api::Release>>) = store();
    let release = json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": "checkout-1.0.0", "namespace": "shop"},
        "spec": {
            "product": "checkout", "version": "1.0.0",
            "components": [{
                "image": format!("registry.example/shop/checkout@{}", Digest::of(b"i")),
            }],
        },
    });
    writer.apply_watcher_event(&Event::Apply(serde_json::from_value(release).unwrap()));
    let (namespaces, mut writer) = store();
    let namespace = json!({"metadata": {"name": "shop"}});
    writer.apply_watcher_event(&Event::Apply(serde_json::from_value(namespace).unwrap()));
    (observer.stores.policies, observer.stores.releases) = (policies, releases);
    observer.stores.namespaces = namespaces;
    observer
}

/// Else passes that wait for the rules of others would take all places, also from those without.
#[tokio::test]
async fn only_so_many_passes_wait_for_rules() {
    let observer = ruled("allow := true");
    let mut seen = observe(&observer, &held_by("gone", "gone-uid"), &|_| {});
    let taken = ["other", "third"].map(|namespace| observer.asking.place(namespace).unwrap());
    assert_eq!(observer.ask_rules(&mut seen).await, RulesAsked::Later);
    assert!(seen.facts.rules.is_empty());
    for fact in &mut seen.facts.policies {
        fact.content.as_mut().unwrap().policy.rules.clear();
    }
    assert_eq!(
        observer.ask_rules(&mut seen).await,
        RulesAsked::Now,
        "it has none"
    );
    drop(taken);
    let mut seen = observe(&observer, &held_by("gone", "gone-uid"), &|_| {});
    assert_eq!(observer.ask_rules(&mut seen).await, RulesAsked::Now);
    assert_eq!(seen.facts.rules.len(), 1);
}

/// However many Environments a namespace has, and however long their rules take.
#[tokio::test]
async fn one_namespace_does_not_take_all_places_for_rules() {
    let observer = ruled("allow := true");
    let own = observer.asking.place("shop");
    let mut seen = observe(&observer, &held_by("gone", "gone-uid"), &|_| {});
    assert_eq!(observer.ask_rules(&mut seen).await, RulesAsked::Later);
    assert!(observer.asking.place("other").is_some());
    drop(own);
    assert_eq!(observer.ask_rules(&mut seen).await, RulesAsked::Now);
    assert_eq!(seen.facts.rules.len(), 1);
}

/// What there was no room for is asked in the same look: a minute later it is another question.
#[tokio::test]
async fn rules_without_room_are_asked_in_the_same_look() {
    let observer = ruled("allow := true");
    let mut seen = observe(&observer, &held_by("gone", "gone-uid"), &|_| {});
    let policy = &mut seen.facts.policies[0].content.as_mut().unwrap().policy;
    let rule = policy.rules[0].clone();
    policy.rules = (0..4)
        .map(|number| RegoRule {
            name: number.to_string(),
            rego: format!("{}\n# {number}{}", rule.rego, "x".repeat(LOOK_LIMIT / 2)),
        })
        .collect();
    assert_eq!(observer.ask_rules(&mut seen).await, RulesAsked::Now);
    let answers: Vec<_> = seen.facts.rules.values().collect();
    assert_eq!(answers.len(), 4, "one in each round");
    assert!(
        answers.iter().all(|answer| answer.is_answer()),
        "{answers:?}"
    );
}

#[tokio::test]
async fn rules_are_asked_about_what_was_seen() {
    let look = async |rego: &str| {
        let observer = ruled(rego);
        let mut seen = observe(&observer, &held_by("gone", "gone-uid"), &|_| {});
        assert!(seen.facts.rules.is_empty());
        observer.ask_rules(&mut seen).await;
        let decision = lockmaster_core::decide::decide(&seen.input());
        let mut gates = decision.promotions[0].gates.iter();
        gates.find(|gate| gate.name == "rules").unwrap().clone()
    };
    let gate = look("allow if input.release.version == \"1.0.0\"").await;
    assert_eq!(gate.message, "allowed by any of policy all");
    let gate = look("allow if input.release.version == \"2.0.0\"").await;
    assert!(gate.message.contains("no value"), "{}", gate.message);
    let gate = look("default allow := false\ndeny contains input.component.repository").await;
    let expect = "denies checkout: registry.example/shop/checkout";
    assert!(gate.message.contains(expect), "{}", gate.message);
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_makes_its_policy_invalid() {
    let problem = |rego: &str| ruled(rego).policies().remove(0).content.unwrap_err();
    let expect = "spec.rules[any].rego: line 2, column 9: expecting expression";
    assert_eq!(problem("allow = = true"), expect);
    let sends = problem("allow if http.send({})");
    assert!(
        sends.contains("line 2, column 10: http.send is refused"),
        "{sends}"
    );
    assert!(ruled("allow := true").policies().remove(0).content.is_ok());
}

/// CVE-2023-34091: Kyverno passed over objects that were being deleted, and a finalizer keeps one there
/// for as long as somebody likes. What is being deleted is seen like the rest, and rules like the rest.
#[tokio::test]
async fn cve_2023_34091_what_is_being_deleted_is_seen_like_the_rest() {
    let deleting = |mut object: Value| {
        object["metadata"]["deletionTimestamp"] = json!("2026-11-24T10:00:00Z");
        object["metadata"]["finalizers"] = json!(["example/never"]);
        vec![object]
    };
    let rule = "default allow := false\ndeny contains \"no\"";
    let revocation = json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Revocation",
        "metadata": {"name": "r", "uid": "r-uid", "generation": 1},
        "spec": {"reason": "disclosed", "digests": [Digest::of(b"i")]},
    });
    let mut observer = ruled(rule);
    observer.stores.promotions = stored(deleting(promotion("p")));
    observer.stores.policies = stored(deleting(ruling(rule)));
    observer.stores.revocations = stored(deleting(revocation));
    let mut seen = observe(&observer, &held_by("gone", "gone-uid"), &|_| {});
    observer.ask_rules(&mut seen).await;
    let decision = lockmaster_core::decide::decide(&seen.input());
    let [progress] = decision.promotions.as_slice() else {
        panic!("{:?}", decision.promotions)
    };
    for name in ["rules", "revocation"] {
        let mut gates = progress.gates.iter();
        let gate = gates.find(|gate| gate.name == name).unwrap();
        assert!(!gate.verdict.is_open(), "{gate:?}");
        assert!(
            gate.message.contains("no") || gate.message.contains("disclosed"),
            "{gate:?}"
        );
    }
}
