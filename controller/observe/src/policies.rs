//! Policies as facts. What is costly to read of them, keys and rules in Rego, is read once a generation
//! and away from the threads on which passes run: a rule is read by a process of its own.

use std::collections::HashMap;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::{Resource, ResourceExt};
use lockmaster_api::ClusterPromotionPolicy;
use lockmaster_core::policy::PolicyFact;
use lockmaster_rego::Sandbox;

use crate::rules::policy_fact;
use crate::stores::Guarded;

type Object = Arc<Guarded<ClusterPromotionPolicy>>;
/// Uid and generation.
type Key = (String, i64);

/// What the policies say, by generation.
pub struct Policies {
    /// Reads their rules.
    pub(crate) sandbox: Arc<Sandbox>,
    known: Mutex<HashMap<Key, Arc<PolicyFact>>>,
    reading: tokio::sync::Mutex<()>,
}

impl Policies {
    /// Nothing is known yet; rules are read in `sandbox`.
    #[must_use]
    pub fn new(sandbox: Sandbox) -> Self {
        Self {
            sandbox: Arc::new(sandbox),
            known: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Reads what was not read yet. Awaited before [`Self::facts`], which may not wait.
    pub async fn read(&self, objects: &[Object]) {
        if self.missing(objects).is_empty() {
            return;
        }
        // Passes that wait for the same policy have it read once.
        let _turn = self.reading.lock().await;
        let missing = self.missing(objects);
        let sandbox = self.sandbox.clone();
        let read = tokio::task::spawn_blocking(move || {
            let facts = missing.iter().map(|object| fact_of(object, &sandbox));
            facts.collect::<Vec<_>>()
        });
        match read.await {
            Ok(facts) => self.known().extend(facts),
            Err(error) => tracing::warn!(%error, "policies could not be read"),
        }
    }

    /// One policy as it is seen.
    pub async fn fact(&self, object: &Object) -> Arc<PolicyFact> {
        self.read(slice::from_ref(object)).await;
        self.seen(object)
    }

    /// All of these, sorted by name; others are forgotten.
    pub(crate) fn facts(&self, objects: &[Object]) -> Vec<PolicyFact> {
        let current = |key: &Key| objects.iter().any(|object| key_of(object) == *key);
        self.known().retain(|key, _| current(key));
        let seen = objects.iter().map(|object| self.seen(object));
        let mut facts: Vec<_> = seen.map(|fact| fact.as_ref().clone()).collect();
        facts.sort_by(|a, b| a.name.cmp(&b.name));
        facts
    }

    /// A generation that came after the last [`Self::read`] is read here and now, by a pass that is
    /// woken again by that same event.
    fn seen(&self, object: &Object) -> Arc<PolicyFact> {
        if object.0.is_err() {
            // Costs nothing, and says what is wrong now.
            return Arc::new(policy_fact(object, &self.sandbox));
        }
        let known = self.known().get(&key_of(object)).cloned();
        known.unwrap_or_else(|| {
            let (key, fact) = fact_of(object, &self.sandbox);
            self.known().insert(key, fact.clone());
            fact
        })
    }

    fn missing(&self, objects: &[Object]) -> Vec<Object> {
        let known = self.known();
        let missing = objects.iter();
        let missing =
            missing.filter(|object| object.0.is_ok() && !known.contains_key(&key_of(object)));
        missing.cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Arc<PolicyFact>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(object: &Object) -> Key {
    let generation = object.meta().generation.unwrap_or_default();
    (object.uid().unwrap_or_default(), generation)
}

fn fact_of(object: &Object, sandbox: &Sandbox) -> (Key, Arc<PolicyFact>) {
    (key_of(object), Arc::new(policy_fact(object, sandbox)))
}
