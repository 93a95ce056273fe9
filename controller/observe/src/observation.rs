//! One look at an Environment and everything its promotions depend on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, Environment, Promotion, convert};
use lockmaster_core::case::{matching, needs};
use lockmaster_core::decide::Input;
use lockmaster_core::facts::{Cause, Facts, Guard, Observed, Unavailable, WindowFact, Workload};
use lockmaster_core::policy::{Policy, PolicyContent, PolicyFact};
use lockmaster_core::record::Record;
use lockmaster_core::release::{ImageReference, Release};
use lockmaster_core::window::{Calendar, Window};
use lockmaster_core::{environment, gates, promotion};

use crate::evidence::EvidenceStore;
use crate::stores::{Guarded, Stores};
use crate::workloads::Workloads;

/// Everything observations are made from.
pub struct Observer {
    /// The watch caches.
    pub stores: Stores,
    /// The watched workloads.
    pub workloads: Arc<Workloads>,
    /// The evidence.
    pub evidence: Arc<EvidenceStore>,
    policies: Mutex<HashMap<(String, i64), Arc<PolicyFact>>>,
}

/// One look.
pub struct Observation {
    /// The Environment.
    pub environment: environment::Environment,
    /// Its unfinished promotions.
    pub promotions: Vec<promotion::Promotion>,
    /// Everything else.
    pub facts: Facts,
    /// When.
    pub now: Timestamp,
    /// The Environment as it is stored.
    pub environment_object: Arc<Guarded<Environment>>,
    /// The promotions as they are stored, by uid.
    pub promotion_objects: BTreeMap<String, Arc<Guarded<Promotion>>>,
}

impl Observation {
    /// What the decision looks at.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        Input {
            promotions: &self.promotions,
            environment: &self.environment,
            facts: &self.facts,
            now: self.now,
        }
    }

    /// The Environment as it is stored.
    #[must_use]
    pub fn environment_object(&self) -> Option<&Environment> {
        self.environment_object.0.as_ref().ok()
    }

    /// A promotion as it is stored.
    #[must_use]
    pub fn promotion_object(&self, uid: &str) -> Option<&Promotion> {
        self.promotion_objects.get(uid)?.0.as_ref().ok()
    }
}

/// The object lacks what every stored object has.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Environment.
    #[error("failed to read the Environment")]
    Environment(#[source] convert::Error),
}

impl Observer {
    /// An observer over these caches.
    #[must_use]
    pub fn new(stores: Stores, workloads: Arc<Workloads>, evidence: Arc<EvidenceStore>) -> Self {
        Self {
            stores,
            workloads,
            evidence,
            policies: Mutex::default(),
        }
    }

    /// Looks at one Environment. `first_seen` tells when this process saw a promotion first.
    pub fn observe(
        &self,
        object: Arc<Guarded<Environment>>,
        readable: &Environment,
        guard: Observed<Guard>,
        first_seen: impl Fn(&str) -> Timestamp,
        now: Timestamp,
    ) -> Result<Observation, Error> {
        let environment = convert::environment(readable).map_err(Error::Environment)?;
        let (promotions, promotion_objects) = self.promotions(&environment, first_seen);
        let mut facts = self.facts(&environment, &promotions, guard);
        facts.evidence = self.evidence(&environment, &facts);
        Ok(Observation {
            environment,
            promotions,
            facts,
            now,
            environment_object: object,
            promotion_objects,
        })
    }

    /// Whether the change windows of the Environment's policies are open now; nothing where no
    /// policy names any.
    #[must_use]
    pub fn window_open(&self, readable: &Environment, now: Timestamp) -> Option<bool> {
        let environment = convert::environment(readable).ok()?;
        let facts = self.facts(&environment, &[], Observed::Pending);
        gates::window_open(&environment, &facts, now)
    }

    fn promotions(
        &self,
        environment: &environment::Environment,
        first_seen: impl Fn(&str) -> Timestamp,
    ) -> (
        Vec<promotion::Promotion>,
        BTreeMap<String, Arc<Guarded<Promotion>>>,
    ) {
        let mut promotions = Vec::new();
        let mut objects = BTreeMap::new();
        for object in self
            .stores
            .promotions_of(&environment.namespace, &environment.name)
        {
            let Ok(readable) = &object.0 else { continue };
            let uid = readable.uid().unwrap_or_default();
            let Ok(promotion) = convert::promotion(readable, first_seen(&uid)) else {
                continue;
            };
            if !promotion.is_finished() {
                promotions.push(promotion);
                objects.insert(uid, object);
            }
        }
        (promotions, objects)
    }

    fn facts(
        &self,
        environment: &environment::Environment,
        promotions: &[promotion::Promotion],
        guard: Observed<Guard>,
    ) -> Facts {
        let policies = self.policies();
        let releases = promotions
            .iter()
            .map(|promotion| &promotion.request.release)
            .map(|name| (name.clone(), self.release(&environment.namespace, name)))
            .collect();
        let workloads: Vec<Observed<Workload>> = environment
            .targets
            .iter()
            .map(|target| self.workloads.read(&target.workload).workload)
            .collect();
        Facts {
            cluster: self.stores.cluster(),
            guard,
            namespaces: self.namespaces(environment),
            releases,
            windows: self.windows(&policies),
            policies,
            workloads,
            records: self.records(&environment.namespace, &environment.name),
            upstream: self.upstream(environment),
            evidence: BTreeMap::new(),
        }
    }

    fn namespaces(
        &self,
        environment: &environment::Environment,
    ) -> BTreeMap<String, BTreeMap<String, String>> {
        let seen = environment.namespaces().filter_map(|name| {
            let namespace = self.stores.namespaces.get(&ObjectRef::new(name))?;
            Some((
                name.to_owned(),
                namespace.metadata.labels.clone().unwrap_or_default(),
            ))
        });
        seen.collect()
    }

    fn release(&self, namespace: &str, name: &str) -> Observed<Release> {
        let found = self
            .stores
            .releases
            .get(&ObjectRef::new(name).within(namespace));
        let unavailable = |cause, message| Observed::Unavailable(Unavailable { cause, message });
        match found.as_ref().map(|object| &object.0) {
            None => unavailable(Cause::Missing, format!("Release {name} does not exist")),
            Some(Err(invalid)) => unavailable(
                Cause::Untrustworthy,
                format!("Release {name} cannot be read: {}", invalid.error),
            ),
            Some(Ok(object)) => match convert::release(object) {
                Ok(release) => Observed::Known(release),
                Err(error) => unavailable(Cause::Untrustworthy, error.to_string()),
            },
        }
    }

    /// Every policy, sorted by name. What is costly to read (its keys) is read once a generation.
    #[must_use]
    pub fn policies(&self) -> Vec<PolicyFact> {
        let objects = self.stores.policies.state();
        let mut known = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        let key = |object: &Guarded<ClusterPromotionPolicy>| {
            (object.uid().unwrap_or_default(), object.meta_generation())
        };
        known.retain(|known, _| objects.iter().any(|object| key(object) == *known));
        let mut facts: Vec<PolicyFact> = objects
            .iter()
            .map(|object| {
                let fact = known
                    .entry(key(object))
                    .or_insert_with(|| Arc::new(policy_fact(object)));
                fact.as_ref().clone()
            })
            .collect();
        facts.sort_by(|a, b| a.name.cmp(&b.name));
        facts
    }

    fn windows(&self, policies: &[PolicyFact]) -> BTreeMap<String, WindowFact> {
        let named = policies
            .iter()
            .filter_map(|fact| fact.content.as_ref().ok())
            .flat_map(|content| &content.policy.windows);
        named
            .filter_map(|name| {
                let object = self.stores.windows.get(&ObjectRef::new(name))?;
                Some((name.clone(), window_fact(&object)))
            })
            .collect()
    }

    fn upstream(&self, environment: &environment::Environment) -> BTreeMap<String, Vec<Record>> {
        let namespace = &environment.namespace;
        let existing = environment
            .after
            .iter()
            .filter(|name| self.stores.environment(namespace, name).is_some());
        existing
            .map(|name| (name.clone(), self.records(namespace, name)))
            .collect()
    }

    /// The records of an Environment, oldest first. A record whose hash is not that of its content
    /// proves nothing and is left out.
    fn records(&self, namespace: &str, environment: &str) -> Vec<Record> {
        let mut records: Vec<Record> = self
            .stores
            .records
            .state()
            .iter()
            .filter(|object| object.metadata_namespace() == Some(namespace))
            .filter_map(|object| object.0.as_ref().ok())
            .filter(|object| object.spec.content.environment.name == environment)
            .map(|object| Record::from(object.spec.clone()))
            .collect();
        records.sort_by_key(|record| record.content.sequence);
        records
    }

    fn evidence(
        &self,
        environment: &environment::Environment,
        facts: &Facts,
    ) -> BTreeMap<ImageReference, Observed<lockmaster_core::evidence::Evidence>> {
        let tier = environment.effective_tier(&facts.namespaces);
        let policies = matching(environment, facts, tier);
        let releases = facts.releases.values().filter_map(Observed::known);
        releases
            .flat_map(|release| needs(environment, release, &policies))
            .map(|(image, keys)| {
                let evidence = self.evidence.read(&image, &keys);
                (image, evidence)
            })
            .collect()
    }
}

/// Metadata of a guarded object.
trait GuardedMeta {
    fn meta_generation(&self) -> i64;
    fn metadata_namespace(&self) -> Option<&str>;
}

impl<K: kube::Resource> GuardedMeta for Guarded<K> {
    fn meta_generation(&self) -> i64 {
        self.meta().generation.unwrap_or_default()
    }

    fn metadata_namespace(&self) -> Option<&str> {
        self.meta().namespace.as_deref()
    }
}

/// A policy as it was seen: its rules with their keys, or what is wrong with it.
#[must_use]
pub fn policy_fact(object: &Guarded<ClusterPromotionPolicy>) -> PolicyFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| policy_content(object.spec.clone().into()));
    PolicyFact {
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        generation: object.meta_generation(),
        content,
    }
}

/// A policy's rules with the names of its keys, or the first thing that is wrong with them.
pub fn policy_content(policy: Policy) -> Result<PolicyContent, String> {
    if let Some(first) = policy.contradictions().into_iter().next() {
        return Err(first);
    }
    let mut keys = BTreeMap::new();
    for authority in &policy.authorities {
        let mut ids = Vec::new();
        for (position, key) in authority.keys.iter().enumerate() {
            let parsed = lockmaster_verify::parse_key(&key.pem).map_err(|error| {
                format!(
                    "spec.authorities[{}].keys[{position}].pem: {error}",
                    authority.name
                )
            })?;
            ids.push(parsed.id);
        }
        keys.insert(authority.name.clone(), ids);
    }
    let digest = policy.digest().map_err(|error| error.to_string())?;
    Ok(PolicyContent {
        policy,
        digest,
        keys,
    })
}

/// A window as it was seen, or what is wrong with it.
#[must_use]
pub fn window_fact(object: &Guarded<ChangeWindow>) -> WindowFact {
    let content = object
        .0
        .as_ref()
        .map_err(|invalid| invalid.error.clone())
        .and_then(|object| {
            let calendar = Calendar::from(object.spec.clone());
            Window::new(&calendar).map_err(|error| error.to_string())?;
            Ok(calendar)
        });
    let uid = object.uid().unwrap_or_default();
    WindowFact {
        uid,
        generation: object.meta_generation(),
        content,
    }
}
