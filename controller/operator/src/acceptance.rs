//! `Ready` of policies, windows, trusted roots and revocations: once a generation, outside the Environments' passes.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::core::ApiResource;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, PolicyStatus, Revocation, TrustedRoot};
use lockmaster_core::status::acceptance;
use lockmaster_observe::observation::{revocation_fact, trusted_root_fact, window_fact};
use lockmaster_observe::policies::Policies;
use lockmaster_observe::stores::{Guarded, Stores};

use crate::act::{Writer, Written, version_of};

/// The first pause after a write that failed; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause after a write that failed.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Says whether policies, windows, trusted roots and revocations are in force.
pub(crate) struct Acceptance {
    writer: Writer,
    stores: Stores,
    /// What policies say, as the passes see it.
    policies: Arc<Policies>,
    /// By uid: what this process said of an object that cannot be read, and of which generation.
    said: Mutex<HashMap<String, (i64, String)>>,
}

impl Acceptance {
    /// Writes with this writer.
    pub(crate) fn new(writer: Writer, stores: Stores, policies: Arc<Policies>) -> Self {
        Self {
            writer,
            stores,
            policies,
            said: Mutex::default(),
        }
    }

    /// Says whether a policy is in force.
    pub(crate) async fn policy(&self, object: &Guarded<ClusterPromotionPolicy>) {
        let readable = object.0.as_ref().ok();
        let before = readable.map(|policy| policy.status.clone().unwrap_or_default());
        let fact = self.policies.fact(&Arc::new(object.clone())).await;
        let problem = fact.content.as_ref().err().cloned();
        self.say(&self.stores.policies, object, before, problem)
            .await;
    }

    /// Says whether a window is in force.
    pub(crate) async fn window(&self, object: &Guarded<ChangeWindow>) {
        let readable = object.0.as_ref().ok();
        let before = readable.map(|window| window.status.clone().unwrap_or_default());
        let problem = window_fact(object).content.err();
        self.say(&self.stores.windows, object, before, problem)
            .await;
    }

    /// Says whether a trusted root is in force.
    pub(crate) async fn trusted_root(&self, object: &Guarded<TrustedRoot>) {
        let readable = object.0.as_ref().ok();
        let before = readable.map(|root| root.status.clone().unwrap_or_default());
        let problem = trusted_root_fact(object).content.err();
        self.say(&self.stores.trusted_roots, object, before, problem)
            .await;
    }

    /// Says whether a revocation is in force.
    pub(crate) async fn revocation(&self, object: &Guarded<Revocation>) {
        let readable = object.0.as_ref().ok();
        let before = readable.map(|revocation| revocation.status.clone().unwrap_or_default());
        let problem = revocation_fact(object).content.err();
        self.say(&self.stores.revocations, object, before, problem)
            .await;
    }

    /// Writes `Ready` where it says something else, and again after a pause where that failed. An
    /// object that has changed or gone is left to its own event.
    async fn say<K>(
        &self,
        store: &Store<Guarded<K>>,
        object: &Guarded<K>,
        before: Option<PolicyStatus>,
        problem: Option<String>,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    {
        let mut pause = FIRST_PAUSE;
        while is_newest(store, object) && !self.is_said(object, before.as_ref(), problem.as_deref())
        {
            if self
                .write(object, before.as_ref(), problem.as_deref())
                .await
            {
                self.remember(object, before.is_none(), problem.as_deref());
                if let Some(problem) = problem {
                    let kind = K::kind(&());
                    tracing::warn!(%kind, name = object.name_any(), problem, "not in force");
                }
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether that is said already: by the status itself, or where it cannot be read, by what was
    /// written.
    fn is_said<K: Resource<DynamicType = ()>>(
        &self,
        object: &Guarded<K>,
        before: Option<&PolicyStatus>,
        problem: Option<&str>,
    ) -> bool {
        if before.is_some() {
            return before == Some(&status(object, before, problem));
        }
        let uid = object.uid().unwrap_or_default();
        let said = self.said().get(&uid).cloned();
        said == problem.map(|problem| (generation(object), problem.to_owned()))
    }

    /// Writes; whether it is stored.
    async fn write<K: Resource<DynamicType = ()>>(
        &self,
        object: &Guarded<K>,
        before: Option<&PolicyStatus>,
        problem: Option<&str>,
    ) -> bool {
        let resource = ApiResource::erase::<K>(&());
        let name = object.name_any();
        let version = version_of(object).unwrap_or_default();
        let status = match serde_json::to_value(status(object, before, problem)) {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!(kind = resource.kind, name, %error, "failed to write the status as JSON");
                return false;
            }
        };
        match self
            .writer
            .acceptance(&resource, &name, version, status)
            .await
        {
            Ok(Written::Done(_)) => true,
            Ok(Written::Raced(why)) => {
                tracing::debug!(
                    kind = resource.kind,
                    name,
                    why,
                    "whether it is in force: raced"
                );
                false
            }
            Err(error) => {
                tracing::warn!(kind = resource.kind, name, %error, "failed to say whether it is in force");
                false
            }
        }
    }

    fn remember<K: Resource<DynamicType = ()>>(
        &self,
        object: &Guarded<K>,
        unreadable: bool,
        problem: Option<&str>,
    ) {
        let uid = object.uid().unwrap_or_default();
        match problem.filter(|_| unreadable) {
            Some(problem) => {
                let said = (generation(object), problem.to_owned());
                self.said().insert(uid, said);
            }
            None => {
                self.said().remove(&uid);
            }
        }
    }

    fn said(&self) -> MutexGuard<'_, HashMap<String, (i64, String)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn generation<K: Resource>(object: &Guarded<K>) -> i64 {
    object.meta().generation.unwrap_or_default()
}

fn status<K: Resource>(
    object: &Guarded<K>,
    before: Option<&PolicyStatus>,
    problem: Option<&str>,
) -> PolicyStatus {
    let conditions = before.map(|status| status.conditions.as_slice());
    PolicyStatus {
        observed_generation: generation(object),
        conditions: acceptance(
            conditions.unwrap_or_default(),
            generation(object),
            problem,
            Timestamp::now(),
        ),
    }
}

/// Whether the cache has nothing newer.
fn is_newest<K>(store: &Store<Guarded<K>>, object: &Guarded<K>) -> bool
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
{
    let stored: Option<Arc<Guarded<K>>> = store.get(&ObjectRef::from_obj(object));
    stored.is_some_and(|stored| version_of(stored.as_ref()) == version_of(object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use kube::runtime::reflector::store;
    use kube::runtime::reflector::store::Writer as CacheWriter;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    /// A policy that cannot be read, as the API server stored it.
    fn unreadable(version: &str, generation: i64, field: &str) -> Value {
        json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ClusterPromotionPolicy",
            "metadata": {"name": "production", "uid": "u", "generation": generation,
                         "resourceVersion": version},
            "spec": {field: true},
        })
    }

    /// Lets the cache show it, and the acceptance hear of it.
    async fn hear(
        acceptance: &Acceptance,
        cache: &mut CacheWriter<Guarded<ClusterPromotionPolicy>>,
        object: Value,
    ) {
        let object: Guarded<ClusterPromotionPolicy> = serde_json::from_value(object).unwrap();
        cache.apply_watcher_event(&Event::Apply(object.clone()));
        acceptance.policy(&object).await;
    }

    #[tokio::test]
    async fn an_unreadable_policy_is_written_to_once_for_what_is_wrong_with_it() {
        let (client, writes) = fixtures::agreeing();
        let (policies, mut cache) = store();
        let stores = Stores {
            policies,
            ..fixtures::stores()
        };
        let acceptance = Acceptance::new(Writer::new(client), stores, fixtures::policies());
        let count = || writes.lock().unwrap().len();
        hear(&acceptance, &mut cache, unreadable("1", 1, "bogus")).await;
        assert_eq!(count(), 1);
        hear(&acceptance, &mut cache, unreadable("2", 1, "bogus")).await;
        assert_eq!(count(), 1, "our own write came back");
        hear(&acceptance, &mut cache, unreadable("3", 2, "bogus")).await;
        assert_eq!(count(), 2, "another generation");
        hear(&acceptance, &mut cache, unreadable("4", 2, "other")).await;
        assert_eq!(count(), 3, "something else is wrong");
    }

    #[tokio::test]
    async fn an_object_that_has_changed_meanwhile_is_left_to_its_own_event() {
        let (client, writes) = fixtures::agreeing();
        let acceptance = Acceptance::new(
            Writer::new(client),
            fixtures::stores(),
            fixtures::policies(),
        );
        let object = serde_json::from_value(unreadable("1", 1, "bogus")).unwrap();
        acceptance.policy(&object).await;
        assert!(writes.lock().unwrap().is_empty(), "it is gone");
    }

    #[tokio::test]
    async fn a_rule_that_cannot_be_read_is_said_with_its_place() {
        let (client, writes) = fixtures::agreeing();
        let (policies, mut cache) = store();
        let stores = Stores {
            policies,
            ..fixtures::stores()
        };
        let acceptance = Acceptance::new(Writer::new(client), stores, fixtures::policies());
        let mut policy = unreadable("1", 1, "bogus");
        let rego = "package lockmaster\nallow if time.now_ns() > 0\n";
        policy["spec"] = json!({"rules": [{"name": "late", "rego": rego}]});
        hear(&acceptance, &mut cache, policy).await;
        let writes = writes.lock().unwrap();
        let [(_, _, body)] = writes.as_slice() else {
            panic!("{writes:?}");
        };
        let ready = &body["status"]["conditions"][0];
        assert_eq!(ready["status"], "False");
        let message = ready["message"].as_str().unwrap();
        let place = "spec.rules[late].rego: line 2, column 10: time.now_ns is refused";
        assert!(message.contains(place), "{message}");
    }
}
