//! What passes look at, for tests: one Environment with one Promotion and one workload.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use clap::Parser;
use http::{Method, Request, Response};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store;
use kube::{Client, Config};
use lockmaster_api::{Environment, Promotion, convert};
use lockmaster_core::canonical::{self, Domain};
use lockmaster_core::facts::{Facts, Observed};
use lockmaster_core::record::{Content, Record};
use lockmaster_core::release::{Digest, ImageReference};
use lockmaster_observe::evidence::EvidenceStore;
use lockmaster_observe::observation::{Observation, Observer};
use lockmaster_observe::pull_secrets::PullSecrets;
use lockmaster_observe::registry::{self, RegistryClient};
use lockmaster_observe::stores::Stores;
use lockmaster_observe::workloads::Workloads;
use serde_json::{Value, json};
use tokio::sync::mpsc::unbounded_channel;

use crate::act::Writer;
use crate::args::Args;
use crate::context::{Context, Failures, FirstSeen, Refusals};
use crate::events::Events;
use crate::fresh::Freshness;
use crate::guard::GuardWatch;
use crate::metrics::Metrics;
use crate::reverify::Schedule;
use crate::written::Written;

/// Environment `shop/prod` that changes Deployment `checkout`.
pub(crate) fn environment() -> Environment {
    serde_json::from_value(json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "prod", "namespace": "shop", "uid": "e", "resourceVersion": "5"},
        "spec": {
            "product": "checkout", "tier": "Development",
            "targets": [{"workload": {
                "apiVersion": "apps/v1", "kind": "Deployment",
                "name": "checkout", "namespace": "shop",
            }}],
        },
    }))
    .unwrap()
}

/// A Promotion into that Environment.
pub(crate) fn promotion(name: &str) -> Promotion {
    serde_json::from_value(json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Promotion",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("{name}-uid"),
            "resourceVersion": "5", "creationTimestamp": "2026-11-24T10:00:00Z",
        },
        "spec": {"release": "checkout-1.0.0", "environment": "prod"},
    }))
    .unwrap()
}

/// An image in a registry that nobody runs.
pub(crate) fn image() -> ImageReference {
    let text = format!("127.0.0.1:1/shop/checkout@{}", Digest::of(b"image"));
    ImageReference::parse(&text).unwrap()
}

/// The first record of that Environment.
pub(crate) fn record() -> Record {
    let content: Content = serde_json::from_value(json!({
        "sequence": 1,
        "environment": {"name": "prod", "uid": "e", "effectiveTier": "Development"},
        "promotion": {
            "name": "p", "uid": "p-uid", "specHash": Digest::of(b"p"), "action": "Promote",
            "release": "r", "created": "2026-11-24T10:00:00Z",
            "requestedBy": {"name": "", "kind": "Unknown"},
        },
        "outcome": "Aborted", "reason": "Aborted", "message": "m",
        "times": {"requested": "2026-11-24T10:00:00Z", "finished": "2026-11-24T10:00:00Z"},
    }))
    .unwrap();
    let hash = canonical::hash(Domain::Record, &content).unwrap();
    Record { content, hash }
}

/// The status of that Environment while Promotion `p` holds it.
pub(crate) fn held_by_p() -> Value {
    json!({"active": {
        "intent": {"attempt": 1, "at": "2026-11-24T10:00:00Z", "targets": []},
        "account": {
            "promotion": {
                "name": "p", "uid": "p-uid", "specHash": Digest::of(b"p"),
                "action": "Promote", "release": "checkout-1.0.0",
                "created": "2026-11-24T10:00:00Z",
                "requestedBy": {"name": "", "kind": "Unknown"},
            },
            "effectiveTier": "Development",
        },
    }})
}

/// A look at that Environment with Promotion `p`; nothing else is there.
pub(crate) fn observation() -> Observation {
    observation_with(&["p"])
}

/// The same with these Promotions.
pub(crate) fn observation_with(promotions: &[&str]) -> Observation {
    let now = Timestamp::UNIX_EPOCH;
    let objects: Vec<_> = promotions.iter().map(|name| promotion(name)).collect();
    let facts = Facts {
        cluster: String::new(),
        guard: Observed::Pending,
        namespaces: BTreeMap::from([("shop".to_owned(), BTreeMap::new())]),
        releases: BTreeMap::new(),
        policies: vec![],
        windows: BTreeMap::new(),
        trusted_roots: BTreeMap::new(),
        revocations: vec![],
        workloads: vec![Observed::Pending],
        refused: None,
        records: vec![],
        records_problem: None,
        upstream: BTreeMap::new(),
        upstream_problems: BTreeMap::new(),
        upstream_concerns: BTreeMap::new(),
        ran: BTreeMap::new(),
        evidence: BTreeMap::new(),
        rules: BTreeMap::new(),
    };
    Observation {
        environment: convert::environment(&environment()).unwrap(),
        promotions: objects
            .iter()
            .map(|object| convert::promotion(object, now).unwrap())
            .collect(),
        facts,
        now,
        environment_object: Arc::new(DeserializeGuard(Ok(environment()))),
        promotion_objects: objects
            .into_iter()
            .map(|object| {
                let uid = object.metadata.uid.clone().unwrap();
                (uid, Arc::new(DeserializeGuard(Ok(object))))
            })
            .collect(),
        unreadable_holder: None,
        workload_versions: BTreeMap::new(),
    }
}

/// What was written: method, path and body, in order. Events are not among it.
pub(crate) type Writes = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// An API server that stores whatever it is sent.
pub(crate) fn agreeing() -> (Client, Writes) {
    let writes = Writes::default();
    let kept = writes.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let kept = kept.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let path = parts.uri.path().to_owned();
            if !path.ends_with("/events") {
                let body = serde_json::from_slice(&bytes).unwrap_or_default();
                kept.lock().unwrap().push((parts.method, path, body));
            }
            Ok::<_, Infallible>(Response::new(Body::from(bytes)))
        }
    });
    (Client::new(service, "default"), writes)
}

/// Empty caches.
pub(crate) fn stores() -> Stores {
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

/// What passes share, over these caches and this API server.
pub(crate) fn context(client: &Client, stores: Stores) -> Context {
    let config = registry::Config {
        registries: Vec::new(),
        user_agent: "lockmaster/test".into(),
    };
    let registry = RegistryClient::new(&config).unwrap();
    let (secrets, wake) = (PullSecrets::new(client.clone()), unbounded_channel().0);
    let evidence = EvidenceStore::new(registry, secrets, wake, Box::new(|_, _| {}));
    let workloads = Workloads::new(client.clone(), unbounded_channel().0);
    let guard = GuardWatch::new(
        client.clone(),
        Config::new(http::Uri::from_static("http://127.0.0.1:1")),
        &Args::parse_from(["lockmaster"]),
        unbounded_channel().0,
    );
    Context {
        observer: Observer::new(stores, Arc::new(workloads), Arc::new(evidence)),
        writer: Writer::new(client.clone()),
        guard: Arc::new(guard.unwrap()),
        fresh: Freshness::new(client.clone()),
        written: Written::default(),
        metrics: Arc::new(Metrics::new()),
        events: Events::new(client.clone()),
        first_seen: FirstSeen::default(),
        failures: Failures::default(),
        refusals: Refusals::default(),
        schedule: Schedule {
            every: SignedDuration::from_hours(1),
            started: Timestamp::UNIX_EPOCH,
        },
    }
}

/// Reads rules in the process of the test: nobody started it so that it could be started again.
pub(crate) fn policies() -> Arc<lockmaster_observe::policies::Policies> {
    let sandbox = lockmaster_rego::Sandbox::without_protection();
    Arc::new(lockmaster_observe::policies::Policies::new(sandbox))
}
