//! Whether the API server's guards make approvals unforgeable right now: they must be exactly the
//! shipped ones (fingerprint), and each must really deny (probe).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{DynamicObject, ListParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client, Config, ResourceExt};
use lockmaster_core::canonical::{self, Domain};
use lockmaster_core::facts::{Cause, Guard, Observed, Unavailable};
use lockmaster_core::release::Digest;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::args::Args;

/// The guards that the chart installs, byte for byte what this operator expects to find.
const SHIPPED: [(&str, &str); 5] = [
    (
        "approval",
        include_str!("../../../charts/lockmaster/files/guards/approval.yaml"),
    ),
    (
        "promote",
        include_str!("../../../charts/lockmaster/files/guards/promote.yaml"),
    ),
    (
        "delete",
        include_str!("../../../charts/lockmaster/files/guards/delete.yaml"),
    ),
    (
        "status",
        include_str!("../../../charts/lockmaster/files/guards/status.yaml"),
    ),
    (
        "environment",
        include_str!("../../../charts/lockmaster/files/guards/environment.yaml"),
    ),
];

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

/// The guards could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused or did not answer.
    #[error("failed to read the guards")]
    List(#[source] Box<kube::Error>),
    /// A shipped guard cannot be read: a defect of this build.
    #[error("failed to read the shipped guard {0}")]
    Shipped(&'static str),
    /// The guards' fingerprint could not be made.
    #[error("failed to fingerprint the guards")]
    Fingerprint(#[from] canonical::Error),
}

/// One object that must exist with exactly this spec.
struct Expected {
    guard: &'static str,
    kind: &'static str,
    name: String,
    spec: Value,
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
    /// Knows nothing yet; [`GuardWatch::run`] finds out.
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
        let list = api.list(&ListParams::default()).await;
        Ok(list.map_err(|error| Error::List(Box::new(error)))?.items)
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

const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

fn policy_name(guard: &str) -> String {
    format!("lockmaster-{guard}-guard")
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

/// The shipped guards with this installation's namespace and ServiceAccount filled in.
fn expected(namespace: &str, service_account: &str) -> Result<Vec<Expected>, Error> {
    let mut all = Vec::new();
    for (guard, text) in SHIPPED {
        let text = text
            .replace("__NAMESPACE__", namespace)
            .replace("__SERVICE_ACCOUNT__", service_account);
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|_| Error::Shipped(guard))?;
        for document in documents {
            let text = |pointer| document.pointer(pointer).and_then(Value::as_str);
            let kind = match text("/kind") {
                Some("ValidatingAdmissionPolicy") => POLICY,
                Some("ValidatingAdmissionPolicyBinding") => BINDING,
                _ => return Err(Error::Shipped(guard)),
            };
            let name = text("/metadata/name")
                .ok_or(Error::Shipped(guard))?
                .to_owned();
            let spec = normalised(document.get("spec").cloned().unwrap_or_default());
            all.push(Expected {
                guard,
                kind,
                name,
                spec,
            });
        }
    }
    Ok(all)
}

/// A spec without exactly what the API server adds to it.
fn normalised(mut spec: Value) -> Value {
    if let Some(constraints) = spec
        .get_mut("matchConstraints")
        .and_then(Value::as_object_mut)
    {
        constraints.retain(|key, value| match key.as_str() {
            "matchPolicy" => *value != json!("Equivalent"),
            "namespaceSelector" | "objectSelector" => *value != json!({}),
            _ => true,
        });
        let rules = constraints
            .get_mut("resourceRules")
            .and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
            rule.retain(|key, value| key != "scope" || *value != json!("*"));
        }
    }
    spec
}

/// The guards as stored: their fingerprint, and what is wrong with each.
struct Live {
    epoch: Digest,
    problems: BTreeMap<&'static str, String>,
}

/// Compares what is stored with what was shipped. The fingerprint covers uid and generation, so
/// that "delete, forge, restore" and "edit, forge, edit back" leave another one behind.
fn compare(
    expected: &[Expected],
    stored: &[(&'static str, Vec<DynamicObject>)],
) -> Result<Live, Error> {
    let mut problems = BTreeMap::new();
    let mut fingerprint = Vec::new();
    for Expected {
        guard,
        kind,
        name,
        spec,
    } in expected
    {
        let objects = stored
            .iter()
            .filter(|(stored, _)| stored == kind)
            .flat_map(|(_, list)| list);
        let mut objects = objects.into_iter();
        let Some(object) = objects.find(|object| object.name_any() == *name) else {
            problems.insert(
                *guard,
                format!("{kind} {name} is missing; install the chart again"),
            );
            continue;
        };
        let live = normalised(object.data.get("spec").cloned().unwrap_or_default());
        if live != *spec {
            let text = format!("{kind} {name} is not the shipped one; install the chart again");
            problems.insert(*guard, text);
        }
        let generation = object.metadata.generation.unwrap_or_default();
        let spec = canonical::hash(Domain::GuardEpoch, &live)?;
        fingerprint.push((*kind, name.clone(), object.uid(), generation, spec));
    }
    fingerprint.sort();
    Ok(Live {
        epoch: canonical::hash(Domain::GuardEpoch, &fingerprint)?,
        problems,
    })
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

    fn stored() -> Vec<(&'static str, Vec<DynamicObject>)> {
        let object = |expected: &Expected| -> DynamicObject {
            let mut spec = expected.spec.clone();
            if let Some(constraints) = spec.get_mut("matchConstraints") {
                constraints["matchPolicy"] = json!("Equivalent");
                constraints["namespaceSelector"] = json!({});
                constraints["resourceRules"][0]["scope"] = json!("*");
            }
            serde_json::from_value(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": expected.kind,
                "metadata": {"name": expected.name, "uid": expected.name, "generation": 1},
                "spec": spec,
            }))
            .unwrap()
        };
        let all = expected("lockmaster-system", "lockmaster").unwrap();
        let of = |kind| {
            all.iter()
                .filter(|e| e.kind == kind)
                .map(object)
                .collect::<Vec<_>>()
        };
        vec![(POLICY, of(POLICY)), (BINDING, of(BINDING))]
    }

    fn live(stored: &[(&'static str, Vec<DynamicObject>)]) -> Live {
        compare(
            &expected("lockmaster-system", "lockmaster").unwrap(),
            stored,
        )
        .unwrap()
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let live = live(&stored());
        assert!(live.problems.is_empty(), "{:?}", live.problems);
    }

    #[test]
    fn a_missing_binding_and_an_edited_rule_are_found_and_named() {
        let mut missing = stored();
        missing[1].1.remove(0);
        assert!(
            live(&missing).problems["approval"].contains("Binding"),
            "missing"
        );
        let mut edited = stored();
        edited[0].1[0].data["spec"]["validations"][1]["expression"] = json!("true");
        assert!(live(&edited).problems["approval"].contains("not the shipped one"));
        let mut ignored = stored();
        ignored[0].1[0].data["spec"]["failurePolicy"] = json!("Ignore");
        assert!(!live(&ignored).problems.is_empty());
    }

    #[test]
    fn editing_back_and_restoring_leave_another_epoch() {
        let before = live(&stored()).epoch;
        let mut edited_back = stored();
        edited_back[0].1[0].metadata.generation = Some(3);
        assert_ne!(live(&edited_back).epoch, before);
        let mut restored = stored();
        restored[1].1[2].metadata.uid = Some("another".into());
        assert_ne!(live(&restored).epoch, before);
    }
}
