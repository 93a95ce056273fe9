//! The last look, against an API server that knows more than the caches, refuses, or is silent.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response, StatusCode};
use kube::client::Body;
use lockmaster_core::policy::PolicyFact;
use lockmaster_core::revocation::RevocationFact;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{observation, stores};

/// The rules as the API server has them.
#[derive(Clone, Copy)]
struct Stored {
    policy_generation: i64,
    namespace_tier: Option<&'static str>,
    revocation: Option<&'static str>,
}

/// As the observation of [`decided`] saw them.
const UNCHANGED: Stored = Stored {
    policy_generation: 1,
    namespace_tier: None,
    revocation: None,
};

fn items(path: &str, stored: Stored) -> Value {
    let meta =
        |name: &str, generation: i64| json!({"name": name, "uid": "u", "generation": generation});
    if path.ends_with("/clusterpromotionpolicies") {
        return json!([{"metadata": meta("production", stored.policy_generation)}]);
    }
    if path.ends_with("/revocations") {
        let all = stored
            .revocation
            .map(|name| json!({"metadata": meta(name, 1)}));
        return all.into_iter().collect();
    }
    if path.ends_with("/namespaces") {
        let mut shop = meta("shop", 1);
        if let Some(tier) = stored.namespace_tier {
            shop["labels"] = json!({"lockmaster.dev/tier": tier});
        }
        return json!([{"metadata": shop}]);
    }
    json!([])
}

fn response(code: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = code;
    response
}

/// An API server that has these rules.
fn serving(stored: Stored) -> Freshness {
    counting(stored).0
}

/// The same, and how often it was asked.
fn counting(stored: Stored) -> (Freshness, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        count.fetch_add(1, Ordering::Relaxed);
        let body = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
            "metadata": {}, "items": items(request.uri().path(), stored),
        });
        async move { Ok::<_, Infallible>(response(StatusCode::OK, &body)) }
    });
    (Freshness::new(Client::new(service, "default")), asked)
}

fn decided() -> Observation {
    let mut seen = observation();
    seen.facts.policies = vec![PolicyFact {
        name: "production".into(),
        uid: "u".into(),
        generation: 1,
        content: Err("not looked at".into()),
    }];
    seen
}

#[tokio::test]
async fn the_rules_that_were_decided_on_hold() {
    let fresh = serving(UNCHANGED);
    assert!(fresh.holds(&decided(), &stores()).await.unwrap());
}

#[tokio::test]
async fn a_policy_that_was_tightened_just_now_stops_an_intent() {
    let fresh = serving(Stored {
        policy_generation: 2,
        ..UNCHANGED
    });
    assert!(!fresh.holds(&decided(), &stores()).await.unwrap());
}

#[tokio::test]
async fn a_tier_that_was_raised_just_now_stops_an_intent() {
    let fresh = serving(Stored {
        namespace_tier: Some("Production"),
        ..UNCHANGED
    });
    assert!(!fresh.holds(&decided(), &stores()).await.unwrap());
}

const REVOKED: Stored = Stored {
    revocation: Some("bad-build"),
    ..UNCHANGED
};

#[tokio::test]
async fn what_was_revoked_just_now_stops_an_intent_and_an_apply() {
    let (fresh, asked) = counting(REVOKED);
    assert!(!fresh.holds(&decided(), &stores()).await.unwrap());
    assert!(!fresh.revocations_hold(&decided()).await.unwrap());
    assert_eq!(
        asked.load(Ordering::Relaxed),
        6,
        "looked at once more, alone"
    );
    let mut seen = decided();
    seen.facts.revocations = vec![RevocationFact {
        name: "bad-build".into(),
        uid: "u".into(),
        generation: 1,
        content: Err("not looked at".into()),
    }];
    assert!(fresh.revocations_hold(&seen).await.unwrap());
    // Lifted just now, it is looked at again as well.
    let fresh = serving(UNCHANGED);
    assert!(!fresh.revocations_hold(&seen).await.unwrap());
}

#[tokio::test]
async fn the_look_before_an_intent_serves_its_apply() {
    let (fresh, asked) = counting(UNCHANGED);
    assert!(fresh.holds(&decided(), &stores()).await.unwrap());
    let before = asked.load(Ordering::Relaxed);
    assert!(fresh.revocations_hold(&decided()).await.unwrap());
    assert_eq!(asked.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn a_refusal_is_not_asked_again_within_one_look() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let service = tower::service_fn(move |_: Request<Body>| {
        count.fetch_add(1, Ordering::Relaxed);
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429,
                          "message": "scripted", "reason": "TooManyRequests"});
        async move { Ok::<_, Infallible>(response(StatusCode::TOO_MANY_REQUESTS, &body)) }
    });
    let fresh = Freshness::new(Client::new(service, "default"));
    let error = fresh.holds(&decided(), &stores()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 5, "one for each kind");
}

#[tokio::test]
async fn a_silent_api_server_holds_nobody_longer_than_one_deadline() {
    let service = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Body>, Infallible>>()
    });
    let fresh = Freshness::new(Client::new(service, "default"));
    let (seen, stores) = (decided(), stores());
    let begun = Instant::now();
    let (one, other) = tokio::join!(fresh.holds(&seen, &stores), fresh.holds(&seen, &stores));
    assert!(matches!(one, Err(Error::Silent)));
    assert!(matches!(other, Err(Error::Shared)));
    assert!(begun.elapsed() < SHARED_FOR + Duration::from_secs(1));
}
