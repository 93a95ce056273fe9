//! The shipped guards on a real API server, with real client certificates and the operator's token:
//! every case says who must be let through, or which rule must refuse.
//!
//! The operator is played by a test that holds its token, so that each state can be made by hand.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Resource};
use libtest_mimic::Trial;
use lockmaster_api::{
    ChangeWindow, ClusterPromotionPolicy, Environment, Promotion, PromotionRecord, Release,
    Revocation,
};
use lockmaster_tests::cluster::{NAMESPACE, Person};
use serde_json::{Value, json};

use crate::beds::{Bare, Beds};

mod decisions;
mod objects;
mod probes;
mod requests;
mod stored;

/// Every shipped guard.
pub(crate) const GUARDS: [&str; 5] = ["approval", "promote", "delete", "status", "environment"];

/// How long RBAC, a guard or a deletion may take to come into force.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.bare("guard_cases::decisions", decisions::decisions),
        beds.bare("guard_cases::nulls", decisions::nulls),
        beds.bare("guard_cases::requests", requests::requests),
        beds.bare("guard_cases::requesters", requests::requesters),
        beds.bare("guard_cases::deletion", requests::deletion),
        beds.bare("guard_cases::rejection", requests::rejection),
        beds.bare("guard_cases::records", objects::records),
        beds.bare("guard_cases::environments", objects::environments),
        beds.bare("guard_cases::held_environments", objects::held),
        beds.bare("guard_cases::policies", objects::policies),
        beds.bare("guard_cases::operator", probes::operator),
        beds.bare("guard_cases::probes", probes::probes),
        beds.bare("guard_cases::stored_values", stored::values),
        beds.bare("guard_cases::stored_tags", stored::tags),
    ]
}

/// What the API server answered.
type Answer = kube::Result<DynamicObject>;

/// Cases that build on each other, in a namespace of their own.
pub(crate) struct Story<'a> {
    bare: &'a Bare,
    namespace: &'static str,
    cases: usize,
    wrong: Vec<String>,
}

impl<'a> Story<'a> {
    /// A namespace in which bob may promote into prod, alice and carol may approve as release
    /// managers, and all three may edit everything, status and records included: RBAC must not be
    /// what refuses.
    async fn begin(bare: &'a Bare, namespace: &'static str) -> anyhow::Result<Self> {
        bare.cluster.ensure_namespace(namespace).await?;
        bare.cluster.apply(&roles(namespace)).await?;
        for (person, verb, name, subresource) in [
            (&bare.bob, "promote", "prod", ""),
            (&bare.alice, "approve", "prod", "release-manager"),
            (&bare.carol, "approve", "prod", "release-manager"),
            (&bare.alice, "patch", "", "status"),
        ] {
            wait_for_right(person, namespace, verb, name, subresource).await?;
        }
        Ok(Self {
            bare,
            namespace,
            cases: 0,
            wrong: Vec::new(),
        })
    }

    /// This must be let through.
    fn allow<T, E: Display>(&mut self, case: &str, answer: Result<T, E>) {
        self.cases += 1;
        if let Err(error) = answer {
            self.wrong
                .push(format!("{case}: must be allowed, and got: {error}"));
        }
    }

    /// This must be refused, and the refusal must say `words`.
    fn deny<T, E: Display>(&mut self, case: &str, words: &str, answer: Result<T, E>) {
        self.cases += 1;
        match answer {
            Ok(_) => self
                .wrong
                .push(format!("{case}: must be denied ({words}), and was allowed")),
            Err(error) if error.to_string().contains(words) => {}
            Err(error) => self.wrong.push(format!(
                "{case}: must be denied by {words:?}, and got: {error}"
            )),
        }
    }

    /// This must be refused by one rule of one guard.
    fn guard<T, E: Display>(&mut self, guard: &str, rule: &str, case: &str, answer: Result<T, E>) {
        self.deny(case, &denial(guard, rule), answer);
    }

    /// Fails with all that went wrong.
    fn end(self, cases: usize) -> anyhow::Result<()> {
        ensure!(
            self.wrong.is_empty(),
            "{} of {} cases:\n  {}",
            self.wrong.len(),
            self.cases,
            self.wrong.join("\n  ")
        );
        ensure!(self.cases == cases, "{} cases ran, not {cases}", self.cases);
        Ok(())
    }

    fn api<K: Resource<DynamicType = ()>>(&self, who: &Person) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<K>(&());
        Api::namespaced_with(who.client.clone(), self.namespace, &resource)
    }

    async fn create(&self, who: &Person, body: Value) -> Answer {
        create(who, self.namespace, body, false).await
    }

    /// A Promotion into prod; `spec` and `annotations` are added.
    async fn promote(&self, who: &Person, name: &str, spec: Value, annotations: Value) -> Answer {
        let mut body = promotion(name);
        merge(&mut body["spec"], spec);
        body["metadata"]["annotations"] = annotations;
        self.create(who, body).await
    }

    async fn patch<K>(&self, who: &Person, name: &str, body: Value) -> Answer
    where
        K: Resource<DynamicType = ()>,
    {
        let api = self.api::<K>(who);
        api.patch(name, &PatchParams::default(), &Patch::Merge(body))
            .await
    }

    async fn patch_status<K>(&self, who: &Person, name: &str) -> Answer
    where
        K: Resource<DynamicType = ()>,
    {
        let body = json!({"status": {"summary": "forged", "conditions": []}});
        let api = self.api::<K>(who);
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(body))
            .await
    }

    /// Sets, or with null removes, annotations of a Promotion.
    async fn annotate(&self, who: &Person, name: &str, annotations: Value) -> Answer {
        let body = json!({"metadata": {"annotations": annotations}});
        self.patch::<Promotion>(who, name, body).await
    }

    async fn delete<K>(&self, who: &Person, name: &str) -> kube::Result<()>
    where
        K: Resource<DynamicType = ()>,
    {
        let api = self.api::<K>(who);
        api.delete(name, &DeleteParams::default()).await.map(drop)
    }

    async fn delete_all<K>(&self, who: &Person) -> kube::Result<()>
    where
        K: Resource<DynamicType = ()>,
    {
        let api = self.api::<K>(who);
        let all = ListParams::default();
        api.delete_collection(&DeleteParams::default(), &all)
            .await
            .map(drop)
    }

    /// Deletes the namespace with all that is in it, and waits until it is gone.
    async fn delete_namespace(&self) -> anyhow::Result<()> {
        let name = self.namespace;
        let arguments = ["delete", "namespace", name, "--wait", "--timeout=60s"];
        let admin = &self.bare.cluster.admin().kubeconfig;
        let output = self.bare.cluster.kubectl(admin, &arguments, None).await?;
        output.required("delete the namespace").map(drop)
    }

    /// Adds to the status of a Promotion.
    async fn report(&self, name: &str, status: Value) -> Answer {
        self.report_on::<Promotion>(name, status).await
    }

    /// Adds to a status, as the operator does: a whole status under its resourceVersion.
    async fn report_on<K>(&self, name: &str, status: Value) -> Answer
    where
        K: Resource<DynamicType = ()>,
    {
        let api = self.api::<K>(&self.bare.account);
        let mut object = api.get(name).await?;
        if object.data["status"].is_object() && status.is_object() {
            merge(&mut object.data["status"], status);
        } else {
            object.data["status"] = status;
        }
        api.replace_status(name, &PostParams::default(), &object)
            .await
    }
}

/// What a refusal by this rule says: the policy, its binding, and the rule.
fn denial(guard: &str, rule: &str) -> String {
    format!(
        "ValidatingAdmissionPolicy 'lockmaster-{guard}-guard' with binding \
         'lockmaster-{guard}-guard' denied request: {rule}"
    )
}

/// Tries what this guard's rule P0 refuses, as the operator does.
pub(crate) async fn probe(account: &Person, guard: &str) -> anyhow::Result<()> {
    let name = format!("guard-probe-{guard}");
    let body = match guard {
        "status" => record(&name),
        "environment" => environment(&name),
        _ => {
            let mut body = promotion(&name);
            body["spec"]["environment"] = json!("guard-probe");
            body
        }
    };
    match create(account, NAMESPACE, body, true).await {
        Ok(_) => bail!("the probe was let through"),
        Err(error) => {
            let words = denial(guard, "P0 this guard is in force");
            ensure!(error.to_string().contains(&words), "{error}");
            Ok(())
        }
    }
}

async fn create(who: &Person, namespace: &str, body: Value, dry_run: bool) -> Answer {
    let object: DynamicObject = serde_json::from_value(body).map_err(kube::Error::SerdeError)?;
    let resource = match object.types.as_ref().map(|types| types.kind.as_str()) {
        Some("PromotionRecord") => ApiResource::erase::<PromotionRecord>(&()),
        Some("Environment") => ApiResource::erase::<Environment>(&()),
        Some("ClusterPromotionPolicy") => ApiResource::erase::<ClusterPromotionPolicy>(&()),
        Some("ChangeWindow") => ApiResource::erase::<ChangeWindow>(&()),
        Some("Revocation") => ApiResource::erase::<Revocation>(&()),
        Some("Release") => ApiResource::erase::<Release>(&()),
        _ => ApiResource::erase::<Promotion>(&()),
    };
    let of_cluster = ["ChangeWindow", "ClusterPromotionPolicy", "Revocation"];
    let api = if of_cluster.contains(&resource.kind.as_str()) {
        Api::all_with(who.client.clone(), &resource)
    } else {
        Api::namespaced_with(who.client.clone(), namespace, &resource)
    };
    let parameters = PostParams {
        dry_run,
        ..PostParams::default()
    };
    api.create(&parameters, &object).await
}

fn promotion(name: &str) -> Value {
    json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Promotion",
        "metadata": {"name": name},
        "spec": {"release": "checkout-1", "environment": "prod"},
    })
}

fn environment(name: &str) -> Value {
    json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": name},
        "spec": {
            "product": "checkout", "stage": "prod", "tier": "Production",
            "after": [{"environment": "staging"}],
            "targets": [target("checkout")],
        },
    })
}

fn target(name: &str) -> Value {
    json!({"workload": {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": name, "namespace": "shop-prod",
    }})
}

/// A digest that is nothing's.
fn digest(pair: &str) -> String {
    format!("sha256:{}", pair.repeat(32))
}

const INSTANT: &str = "2026-11-24T10:00:00Z";

fn record(name: &str) -> Value {
    json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "PromotionRecord",
        "metadata": {"name": name},
        "spec": {
            "sequence": 1, "hash": digest("ab"), "message": "m",
            "outcome": "Succeeded", "reason": "Succeeded",
            "environment": {"name": "prod", "uid": "u", "effectiveTier": "Production"},
            "promotion": {
                "action": "Promote", "created": INSTANT, "name": "p1", "release": "r",
                "requestedBy": {"name": "bob@corp", "kind": "Person"},
                "specHash": digest("ab"), "uid": "u",
            },
            "times": {"requested": INSTANT, "finished": INSTANT},
        },
    })
}

/// Puts the fields of `more` into `object`.
fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

fn roles(namespace: &str) -> String {
    let mut manifests = Vec::new();
    let mut grant = |name: &str, rule: Value, users: &[&str]| {
        let subject = |user: &&str| {
            json!({
                "kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io",
            })
        };
        let metadata = json!({"name": name, "namespace": namespace});
        manifests.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": metadata, "rules": [rule],
        }));
        manifests.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": users.iter().map(subject).collect::<Vec<_>>(),
        }));
    };
    let rule = |resources: Value, verbs: Value, names: Value| {
        json!({
            "apiGroups": ["lockmaster.dev"], "resources": resources, "verbs": verbs,
            "resourceNames": names,
        })
    };
    let prod = json!(["prod"]);
    let promote = rule(json!(["environments"]), json!(["promote"]), prod.clone());
    grant("promote-prod", promote, &["bob@corp"]);
    let approve = rule(
        json!(["environments/release-manager"]),
        json!(["approve"]),
        prod,
    );
    grant("approve-prod", approve, &["alice@corp", "carol@corp"]);
    let everything = rule(json!(["*"]), json!(EDIT), json!([]));
    let everybody = ["alice@corp", "bob@corp", "carol@corp"];
    grant("editor", everything, &everybody);
    json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string()
}

/// Every verb of an editor; `promote` and `approve` are none of them.
const EDIT: [&str; 8] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];

/// Waits until RBAC knows what was granted.
async fn wait_for_right(
    person: &Person,
    namespace: &str,
    verb: &str,
    name: &str,
    subresource: &str,
) -> anyhow::Result<()> {
    let attributes = ResourceAttributes {
        group: Some("lockmaster.dev".to_owned()),
        resource: Some("environments".to_owned()),
        subresource: Some(subresource.to_owned()).filter(|text| !text.is_empty()),
        name: Some(name.to_owned()).filter(|text| !text.is_empty()),
        namespace: Some(namespace.to_owned()).filter(|text| !text.is_empty()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(person.client.clone());
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let answer = api.create(&PostParams::default(), &review).await;
        let answer = answer.context("failed to ask about a right")?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("{person} never got the right to {verb}")
}
