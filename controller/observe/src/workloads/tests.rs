//! The watches against an API server that refuses and stumbles.

use std::collections::VecDeque;
use std::convert::Infallible;

use http::{Request, Response};
use kube::client::Body;
use lockmaster_core::environment::{WorkloadApiVersion, WorkloadKind};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// What the API server answers to lists and watches of Deployments, one after the other.
#[derive(Default)]
struct Script {
    lists: VecDeque<u16>,
    watches: VecDeque<u16>,
}

fn answer(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string().into_bytes()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}

fn failure(code: u16) -> Response<Body> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": "scripted", "reason": "Scripted",
    });
    answer(code, &body)
}

fn listing() -> Response<Body> {
    let body = json!({
        "kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {"resourceVersion": "7"},
        "items": [{
            "metadata": {"name": "checkout", "uid": "u", "resourceVersion": "5"},
            "spec": {"selector": {}, "template": {"spec": {"containers": []}}},
        }],
    });
    answer(200, &body)
}

/// A client whose lists and watches of Deployments follow the script; when that is over, lists
/// succeed and watches stay silent. Pods are always readable, and there are none.
fn client(script: Script) -> Client {
    let script = Arc::new(Mutex::new(script));
    let service = tower::service_fn(move |request: Request<Body>| {
        let pods = request.uri().path().ends_with("/pods");
        let watch = request.uri().query().is_some_and(|q| q.contains("watch="));
        let code = {
            let mut script = locked(&script);
            let answers = if watch {
                &mut script.watches
            } else {
                &mut script.lists
            };
            if pods { None } else { answers.pop_front() }
        };
        async move {
            let response = match code {
                Some(200) | None if !watch && pods => answer(
                    200,
                    &json!({"kind": "PodList", "apiVersion": "v1", "items": [],
                            "metadata": {"resourceVersion": "7"}}),
                ),
                Some(200) | None if !watch => listing(),
                Some(code) => failure(code),
                None => std::future::pending().await,
            };
            Ok::<_, Infallible>(response)
        }
    });
    Client::new(service, "default")
}

fn reference() -> WorkloadReference {
    WorkloadReference {
        api_version: WorkloadApiVersion::AppsV1,
        kind: WorkloadKind::Deployment,
        name: "checkout".into(),
        namespace: "shop".into(),
    }
}

fn follow(script: Script) -> (Workloads, UnboundedReceiver<String>) {
    let (changed, changes) = unbounded_channel();
    let workloads = Workloads::new(client(script), changed);
    workloads.follow(&BTreeSet::from(["shop".to_owned()]));
    (workloads, changes)
}

/// Waits until the view is as it should be; each change of it is announced.
async fn until(
    workloads: &Workloads,
    changes: &mut UnboundedReceiver<String>,
    wanted: impl Fn(&Observed<Workload>) -> bool,
) {
    let waiting = async {
        while !wanted(&workloads.read(&reference()).workload) {
            changes.recv().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    let seen = workloads.read(&reference()).workload;
    assert!(waited.is_ok(), "still {seen:?}");
}

fn is_known(seen: &Observed<Workload>) -> bool {
    seen.known().is_some()
}

/// Refused for the moment: the Role is named, and nothing ends because of it yet.
fn asks_for_the_role(seen: &Observed<Workload>) -> bool {
    matches!(seen, Observed::Unavailable(why)
        if why.cause == Cause::Unreachable && why.message.contains("kubectl promote init"))
}

#[test]
fn only_a_lasting_refusal_is_the_owners_will() {
    assert_eq!(cause_of_refusal(Duration::ZERO), Cause::Unreachable);
    let almost = REFUSED_FOR_GOOD.saturating_sub(Duration::from_millis(1));
    assert_eq!(cause_of_refusal(almost), Cause::Unreachable);
    assert_eq!(cause_of_refusal(REFUSED_FOR_GOOD), Cause::Forbidden);
}

#[tokio::test]
async fn a_stumbling_watch_leaves_a_complete_view_in_use() {
    let (workloads, mut changes) = follow(Script {
        watches: [500, 500].into(),
        ..Script::default()
    });
    until(&workloads, &mut changes, is_known).await;
    // Both refusals, 500 ms apart, and the silent watch after them.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    let look = workloads.read(&reference());
    assert!(is_known(&look.workload), "{:?}", look.workload);
    assert_eq!(look.resource_version.as_deref(), Some("5"));
}

#[tokio::test]
async fn a_role_that_comes_back_is_noticed_in_a_quiet_namespace() {
    let (workloads, mut changes) = follow(Script {
        watches: [403].into(),
        ..Script::default()
    });
    until(&workloads, &mut changes, asks_for_the_role).await;
    until(&workloads, &mut changes, is_known).await;
}

#[tokio::test]
async fn a_missing_role_is_said_until_it_is_granted() {
    let (workloads, mut changes) = follow(Script {
        lists: [403, 403].into(),
        ..Script::default()
    });
    until(&workloads, &mut changes, asks_for_the_role).await;
    until(&workloads, &mut changes, is_known).await;
}

#[tokio::test]
async fn a_view_that_was_never_complete_says_that_it_cannot_be_read() {
    let (workloads, mut changes) = follow(Script {
        lists: [500].into(),
        ..Script::default()
    });
    until(
        &workloads,
        &mut changes,
        |seen| matches!(seen, Observed::Unavailable(why) if why.cause == Cause::Unreachable),
    )
    .await;
    until(&workloads, &mut changes, is_known).await;
}
