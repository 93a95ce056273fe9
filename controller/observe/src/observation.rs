//! One look at an Environment and everything its promotions depend on.

pub(crate) mod attached;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use lockmaster_api::{Environment, Promotion, TrustedRoot, convert};
use lockmaster_core::decide::Input;
use lockmaster_core::environment::WorkloadReference;
use lockmaster_core::facts::{
    Cause, Facts, Guard, Observed, TrustedRootFact, TrustedRoots, Unavailable, WindowFact,
};
use lockmaster_core::policy::PolicyFact;
use lockmaster_core::release::Release;
use lockmaster_core::{environment, gates, promotion};
use lockmaster_rego::Sandbox;

pub use crate::asking::RulesAsked;
pub use crate::rules::{
    policy_content, policy_fact, revocation_fact, trusted_root_content, trusted_root_fact,
    window_fact,
};

use crate::asking::Asking;
use crate::evidence::EvidenceStore;
use crate::policies::Policies;
use crate::records::Chains;
use crate::rules::{concerns, revocations};
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
    /// What the policies say, and where their rules in Rego are read and asked.
    pub policies: Arc<Policies>,
    /// Places of passes that ask rules.
    pub(crate) asking: Asking,
    trusted_roots: Mutex<HashMap<(String, i64), Arc<TrustedRootFact>>>,
    chains: Chains,
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
    /// Why the Promotion that holds the Environment cannot be read although it is there. Nothing
    /// may be decided then: in the facts it looks like one that was deleted.
    pub unreadable_holder: Option<String>,
    /// The resourceVersions of exactly the workloads in the facts.
    pub workload_versions: BTreeMap<WorkloadReference, String>,
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
            policies: Arc::new(Policies::new(Sandbox::of_this_program())),
            asking: Asking::new(),
            trusted_roots: Mutex::default(),
            chains: Chains::default(),
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
        let Asked {
            promotions,
            objects,
            unreadable_holder,
        } = self.promotions(&environment, first_seen);
        let mut facts = self.rules(&environment, guard);
        let workload_versions = self.add_world(&mut facts, &environment, &promotions);
        self.add_evidence(&mut facts, &environment, &promotions, now);
        self.add_ran(&mut facts, &environment, now);
        Ok(Observation {
            environment,
            promotions,
            facts,
            now,
            environment_object: object,
            promotion_objects: objects,
            unreadable_holder,
            workload_versions,
        })
    }

    /// Whether the change windows of the Environment's policies are open now; nothing where no
    /// policy names any.
    #[must_use]
    pub fn window_open(&self, readable: &Environment, now: Timestamp) -> Option<bool> {
        let environment = convert::environment(readable).ok()?;
        let rules = self.rules(&environment, Observed::Pending);
        gates::window_open(&environment, &rules, now)
    }

    fn promotions(
        &self,
        environment: &environment::Environment,
        first_seen: impl Fn(&str) -> Timestamp,
    ) -> Asked {
        let mut asked = Asked {
            unreadable_holder: self.unreadable_holder(environment),
            ..Asked::default()
        };
        for object in self
            .stores
            .promotions_of(&environment.namespace, &environment.name)
        {
            let Ok(readable) = &object.0 else { continue };
            let status = readable.status.as_ref();
            if status.is_some_and(|status| status.record.is_some()) {
                continue;
            }
            let uid = readable.uid().unwrap_or_default();
            if let Ok(promotion) = convert::promotion(readable, first_seen(&uid)) {
                asked.promotions.push(promotion);
                asked.objects.insert(uid, object);
            }
        }
        asked
    }

    /// Why the Promotion of the claim cannot be read, where it is there and cannot be.
    fn unreadable_holder(&self, environment: &environment::Environment) -> Option<String> {
        let holder = &environment.active.as_ref()?.account.promotion;
        let object = self
            .stores
            .promotion(&environment.namespace, &holder.name)?;
        if object.uid().as_deref() != Some(&holder.uid) {
            return None;
        }
        let problem = match &object.0 {
            Err(invalid) => invalid.error.clone(),
            Ok(readable) => convert::promotion(readable, Timestamp::UNIX_EPOCH)
                .err()?
                .to_string(),
        };
        Some(format!(
            "Promotion {} holds this Environment and cannot be read: {problem}",
            holder.name
        ))
    }

    /// What rules the Environment: the guards, the policies and windows, the labels.
    fn rules(&self, environment: &environment::Environment, guard: Observed<Guard>) -> Facts {
        let policies = self.policies();
        Facts {
            cluster: self.stores.cluster(),
            guard,
            namespaces: self.namespaces(environment),
            releases: BTreeMap::new(),
            windows: self.windows(&policies),
            trusted_roots: self.trusted_roots(&policies),
            revocations: revocations(&self.stores.revocations.state()),
            policies,
            workloads: Vec::new(),
            refused: None,
            records: Vec::new(),
            records_problem: None,
            upstream: BTreeMap::new(),
            upstream_problems: BTreeMap::new(),
            upstream_concerns: BTreeMap::new(),
            ran: BTreeMap::new(),
            evidence: BTreeMap::new(),
            rules: BTreeMap::new(),
        }
    }

    /// What is asked for, what runs and what was recorded. Returns the resourceVersions of the
    /// workloads.
    fn add_world(
        &self,
        facts: &mut Facts,
        environment: &environment::Environment,
        promotions: &[promotion::Promotion],
    ) -> BTreeMap<WorkloadReference, String> {
        let namespace = &environment.namespace;
        facts.releases = promotions
            .iter()
            .map(|promotion| &promotion.request.release)
            .map(|name| (name.clone(), self.release(namespace, name)))
            .collect();
        let mut versions = BTreeMap::new();
        for target in &environment.targets {
            let look = self.workloads.read(&target.workload);
            facts.workloads.push(look.workload);
            versions.extend(Some(target.workload.clone()).zip(look.resource_version));
        }
        let records = self.stores.records.state();
        let own = self.chains.of(&records, namespace, &environment.name);
        (facts.records, facts.records_problem) = (own.records, own.problem);
        for before in &environment.after {
            if let Some(object) = self.stores.environment(namespace, before) {
                let chain = self.chains.of(&records, namespace, before);
                facts.upstream.insert(before.clone(), chain.records);
                let problem = Some(before.clone()).zip(chain.problem);
                facts.upstream_problems.extend(problem);
                let held = Some(before.clone()).zip(concerns(&object));
                facts.upstream_concerns.extend(held);
            }
        }
        versions
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

    pub(crate) fn release(&self, namespace: &str, name: &str) -> Observed<Release> {
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

    /// Every policy, sorted by name.
    #[must_use]
    pub fn policies(&self) -> Vec<PolicyFact> {
        self.policies.facts(&self.stores.policies.state())
    }

    /// Reads the policies that were not read yet: awaited before [`Self::observe`], which may not
    /// wait.
    pub async fn read_policies(&self) {
        self.policies.read(&self.stores.policies.state()).await;
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

    /// The TrustedRoots that policies name. Each is read once a generation.
    fn trusted_roots(&self, policies: &[PolicyFact]) -> TrustedRoots {
        let named = policies
            .iter()
            .filter_map(|fact| fact.content.as_ref().ok())
            .flat_map(|content| content.policy.trusted_roots());
        let objects = self.stores.trusted_roots.state();
        let key = |object: &Guarded<TrustedRoot>| {
            (
                object.uid().unwrap_or_default(),
                object.meta().generation.unwrap_or_default(),
            )
        };
        let mut known = self
            .trusted_roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.retain(|known, _| objects.iter().any(|object| key(object) == *known));
        named
            .filter_map(|name| {
                let object = self.stores.trusted_roots.get(&ObjectRef::new(name))?;
                let fact = known
                    .entry(key(&object))
                    .or_insert_with(|| Arc::new(trusted_root_fact(&object)));
                Some((name.to_owned(), fact.as_ref().clone()))
            })
            .collect()
    }
}

/// The unfinished promotions of an Environment.
#[derive(Default)]
struct Asked {
    promotions: Vec<promotion::Promotion>,
    objects: BTreeMap<String, Arc<Guarded<Promotion>>>,
    unreadable_holder: Option<String>,
}

#[cfg(test)]
mod tests;
