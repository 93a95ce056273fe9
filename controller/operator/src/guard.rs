//! Whether the API server's guards make approvals unforgeable right now: they must be exactly the
//! shipped ones (fingerprint), and each must really deny (probe).

mod shipped;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, Config};
use lockmaster_core::canonical;
use lockmaster_core::facts::{Cause, Guard, Observed, Unavailable};
use lockmaster_core::release::Digest;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use self::shipped::{BINDING, Expected, Live, POLICY, SHIPPED, compare, expected, policy_name};
use crate::args::Args;

/// What every probe is denied with, beside the name of the policy that denies it.
const PROBE_MESSAGE: &str = "P0 this guard is in force";
/// Between two probes while all is well.
const PROBE_EVERY: Duration = Duration::from_mins(5);
/// A changed policy or binding takes up to 0.65 s to bite; probing earlier would only see the past.
const SETTLE: Duration = Duration::from_secs(1);
/// The first pause while something is wrong; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause while something is wrong.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// A probe that takes longer proves nothing.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// A decision of a person waits for this look; the next pass asks again.
const LIST_DEADLINE: Duration = Duration::from_secs(2);

/// The guards could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused or did not answer.
    #[error("failed to read the guards")]
    List(#[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("failed to read the guards: no answer within {LIST_DEADLINE:?}")]
    Silent,
    /// A shipped guard cannot be read: a defect of this build.
    #[error("failed to read the shipped guard {0}")]
    Shipped(&'static str),
    /// The guards' fingerprint could not be made.
    #[error("failed to fingerprint the guards")]
    Fingerprint(#[from] canonical::Error),
}

/// Knows whether approvals can be trusted.
pub(crate) struct GuardWatch {
    client: Client,
    probe: Config,
    namespace: String,
    expected: Vec<Expected>,
    state: Mutex<State>,
    look: Notify,
    /// Told when the state changed.
    changed: UnboundedSender<()>,
}

struct State {
    observed: Observed<Guard>,
    ready: BTreeMap<&'static str, bool>,
}

impl GuardWatch {
    /// Knows nothing yet; [`GuardWatch::run`] finds out. `client` must not retry.
    pub(crate) fn new(
        client: Client,
        probe: Config,
        args: &Args,
        changed: UnboundedSender<()>,
    ) -> Result<Self, Error> {
        let ready = SHIPPED.iter().map(|(guard, _)| (*guard, false)).collect();
        Ok(Self {
            client,
            probe,
            namespace: args.namespace.clone(),
            expected: expected(&args.namespace, &args.service_account)?,
            state: Mutex::new(State {
                observed: Observed::Pending,
                ready,
            }),
            look: Notify::new(),
            changed,
        })
    }

    /// What is known.
    pub(crate) fn state(&self) -> Observed<Guard> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observed
            .clone()
    }

    /// Per guard, whether it was found as shipped and denying.
    pub(crate) fn ready(&self) -> BTreeMap<&'static str, bool> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ready
            .clone()
    }

    /// Asks for a look: something about the guards changed.
    pub(crate) fn inspect_soon(&self) {
        self.look.notify_one();
    }

    /// Looks again and again, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let (observed, ready) = self.inspect().await;
            let well = ready.values().all(|ready| *ready);
            self.learn(observed, ready);
            let wait = if well { PROBE_EVERY } else { pause };
            pause = if well {
                FIRST_PAUSE
            } else {
                (pause * 2).min(LONGEST_PAUSE)
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.look.notified() => tokio::time::sleep(SETTLE).await,
            }
        }
    }

    fn learn(&self, observed: Observed<Guard>, ready: BTreeMap<&'static str, bool>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let news = state.observed != observed;
        if news {
            let problem = match &observed {
                Observed::Known(guard) => guard.problem.clone(),
                Observed::Unavailable(why) => Some(why.message.clone()),
                Observed::Pending => None,
            };
            tracing::info!(problem, "approval guards inspected");
        }
        *state = State { observed, ready };
        drop(state);
        if news && self.changed.send(()).is_err() {
            tracing::debug!("nobody listens for changes of the guards any more");
        }
    }

    async fn inspect(&self) -> (Observed<Guard>, BTreeMap<&'static str, bool>) {
        let nothing = || SHIPPED.iter().map(|(guard, _)| (*guard, false)).collect();
        let live = match self.live().await {
            Ok(live) => live,
            Err(error) => {
                let message = format!("the guards cannot be read: {error}");
                let why = Unavailable {
                    cause: Cause::Unreachable,
                    message,
                };
                return (Observed::Unavailable(why), nothing());
            }
        };
        let mut problems = live.problems;
        for (guard, _) in SHIPPED {
            if !problems.contains_key(guard)
                && let Err(problem) = self.prove(guard).await
            {
                problems.insert(guard, problem);
            }
        }
        let ready = SHIPPED
            .iter()
            .map(|(guard, _)| (*guard, !problems.contains_key(guard)))
            .collect();
        let problem = problems.into_values().next();
        (
            Observed::Known(Guard {
                epoch: live.epoch,
                problem,
            }),
            ready,
        )
    }

    /// The guards as they are stored right now, two requests; without probing.
    pub(crate) async fn read_live(&self) -> Result<Guard, Error> {
        let live = self.live().await?;
        Ok(Guard {
            epoch: live.epoch,
            problem: live.problems.into_values().next(),
        })
    }

    async fn live(&self) -> Result<Live, Error> {
        let (policies, bindings) = tokio::join!(self.list(POLICY), self.list(BINDING));
        compare(&self.expected, &[(POLICY, policies?), (BINDING, bindings?)])
    }

    async fn list(&self, kind: &'static str) -> Result<Vec<DynamicObject>, Error> {
        let resource = resource(kind);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let parameters = ListParams::default();
        match tokio::time::timeout(LIST_DEADLINE, api.list(&parameters)).await {
            Ok(Ok(list)) => Ok(list.items),
            Ok(Err(error)) => Err(Error::List(Box::new(error))),
            Err(_) => Err(Error::Silent),
        }
    }

    /// Sends what only a living guard denies, over a new connection, and requires that the denial
    /// names this guard's policy and its probe rule: RBAC or another policy proves nothing.
    async fn prove(&self, guard: &'static str) -> Result<(), String> {
        let client = Client::try_from(self.probe.clone())
            .map_err(|error| format!("failed to connect for a probe: {error}"))?;
        let (resource, body) = probe(guard, &self.namespace);
        let api: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, &resource);
        let object: DynamicObject = serde_json::from_value(body)
            .map_err(|error| format!("failed to make the probe for guard {guard}: {error}"))?;
        let parameters = PostParams {
            dry_run: true,
            field_manager: None,
        };
        let answer = tokio::time::timeout(PROBE_DEADLINE, api.create(&parameters, &object)).await;
        match answer {
            Err(_) => Err(format!("guard {guard}: the probe was not answered in time")),
            Ok(Ok(_)) => Err(format!(
                "guard {guard} does not deny: is ValidatingAdmissionPolicyBinding {} there and in \
                 force? install the chart again",
                policy_name(guard)
            )),
            Ok(Err(kube::Error::Api(status)))
                if status
                    .message
                    .contains(&format!("'{}'", policy_name(guard)))
                    && status.message.contains(PROBE_MESSAGE) =>
            {
                Ok(())
            }
            Ok(Err(kube::Error::Api(status))) => Err(format!(
                "guard {guard}: the probe was refused by something else: {}",
                status.message
            )),
            Ok(Err(error)) => Err(format!(
                "guard {guard}: the probe was not answered: {error}"
            )),
        }
    }
}

fn resource(kind: &str) -> ApiResource {
    let plural = match kind {
        POLICY => "validatingadmissionpolicies",
        _ => "validatingadmissionpolicybindings",
    };
    ApiResource {
        group: "admissionregistration.k8s.io".into(),
        version: "v1".into(),
        api_version: "admissionregistration.k8s.io/v1".into(),
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// What a guard is probed with: an object that nothing but its probe rule denies.
fn probe(guard: &str, namespace: &str) -> (ApiResource, Value) {
    let kind = |kind: &str, plural: &str| ApiResource {
        group: lockmaster_api::GROUP.into(),
        version: lockmaster_api::VERSION.into(),
        api_version: format!("{}/{}", lockmaster_api::GROUP, lockmaster_api::VERSION),
        kind: kind.into(),
        plural: plural.into(),
    };
    let (resource, spec) = match guard {
        "status" => (
            kind("PromotionRecord", "promotionrecords"),
            record_of_a_probe(),
        ),
        "environment" => (
            kind("Environment", "environments"),
            json!({
                "product": "guard-probe", "tier": "Production",
                "targets": [{"workload": {
                    "apiVersion": "apps/v1", "kind": "Deployment",
                    "name": "guard-probe", "namespace": namespace,
                }}],
            }),
        ),
        _ => (
            kind("Promotion", "promotions"),
            json!({"release": "guard-probe", "environment": "guard-probe"}),
        ),
    };
    let name = format!("guard-probe-{guard}");
    let body = json!({
        "apiVersion": resource.api_version, "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    (resource, body)
}

/// A record that its schema accepts; never stored.
fn record_of_a_probe() -> Value {
    let digest = Digest::of(b"guard-probe");
    let instant = "1970-01-01T00:00:00Z";
    json!({
        "sequence": 1,
        "environment": {"name": "guard-probe", "uid": "", "effectiveTier": "Production"},
        "promotion": {
            "name": "guard-probe", "uid": "", "specHash": digest, "action": "Promote",
            "release": "guard-probe", "created": instant,
            "requestedBy": {"name": "", "kind": "Unknown"},
        },
        "outcome": "Aborted", "reason": "Aborted", "message": "never stored",
        "times": {"requested": instant, "finished": instant},
        "hash": digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::time::Instant;

    #[tokio::test]
    async fn a_silent_api_server_does_not_hold_a_look_at_the_guards() {
        let silent = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<
                Result<http::Response<kube::client::Body>, std::convert::Infallible>,
            >()
        });
        let (changed, _changes) = tokio::sync::mpsc::unbounded_channel();
        let guard = GuardWatch::new(
            Client::new(silent, "default"),
            Config::new(http::Uri::from_static("http://127.0.0.1:1")),
            &Args::parse_from(["lockmaster"]),
            changed,
        )
        .unwrap();
        let begun = Instant::now();
        assert!(matches!(guard.read_live().await, Err(Error::Silent)));
        assert!(begun.elapsed() < 2 * LIST_DEADLINE);
    }
}
