//! What a scrape of the metrics counts at that moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use lockmaster_api::PolicyStatus;
use lockmaster_core::reason::Reason;
use lockmaster_core::standing::Artifact;
use lockmaster_core::status::{ConditionStatus, PromotionStatus, State};
use lockmaster_observe::stores::{Guarded, Stores};

use crate::context::Context;

/// One unfinished promotion, for counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Its namespace.
    pub(crate) namespace: String,
    /// Its product.
    pub(crate) product: String,
    /// Stage of its Environment.
    pub(crate) stage: String,
    /// Where it stands.
    pub(crate) state: State,
}

/// What is held against artifacts that run or would be gone back to, for counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// Namespace of the Environment.
    pub(crate) namespace: String,
    /// Its product.
    pub(crate) product: String,
    /// Its stage.
    pub(crate) stage: String,
    /// What it is.
    pub(crate) reason: Reason,
}

/// What is counted at the moment of a scrape, because it is a state and not an event.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// Unfinished promotions.
    pub(crate) promotions: Vec<Unfinished>,
    /// Per stage that has a window: whether it is open for at least one Environment.
    pub(crate) windows: Vec<(String, bool)>,
    /// Per guard: whether it is proven.
    pub(crate) guards: Vec<(String, bool)>,
    /// What is held against what runs.
    pub(crate) concerns: Vec<Held>,
    /// Per kind: how many objects are not in force, because they cannot be read.
    pub(crate) not_ready: Vec<(String, usize)>,
    /// Registries that are left alone after failures in a row.
    pub(crate) left_alone: Vec<String>,
}

/// Counts what a scrape shows.
pub(crate) fn snapshot(context: &Context) -> Snapshot {
    let stores = &context.observer.stores;
    let now = Timestamp::now();
    let mut windows = BTreeMap::new();
    let mut concerns = Vec::new();
    for object in stores.readable_environments() {
        let Ok(environment) = &object.0 else { continue };
        let stage = environment
            .spec
            .stage
            .clone()
            .unwrap_or_else(|| environment.name_any());
        let held = environment
            .status
            .iter()
            .flat_map(|status| &status.concerns)
            // Of what ran before, nobody mends anything: it only proves nothing.
            .filter(|concern| concern.artifact != Artifact::Earlier);
        concerns.extend(held.map(|concern| Held {
            namespace: environment.namespace().unwrap_or_default(),
            product: environment.spec.product.clone(),
            stage: stage.clone(),
            reason: concern.reason,
        }));
        if let Some(open) = context.observer.window_open(environment, now) {
            *windows.entry(stage).or_default() |= open;
        }
    }
    let guards = context.guard.ready().into_iter();
    Snapshot {
        promotions: unfinished(stores),
        windows: windows.into_iter().collect(),
        concerns,
        not_ready: not_ready(stores),
        left_alone: context.observer.evidence.left_alone(),
        guards: guards
            .map(|(guard, ready)| (guard.to_owned(), ready))
            .collect(),
    }
}

/// How many objects of each kind are not in force: as they say themselves, or not readable at all.
fn not_ready(stores: &Stores) -> Vec<(String, usize)> {
    vec![
        count(&stores.policies, |one| one.status.as_ref()),
        count(&stores.windows, |one| one.status.as_ref()),
        count(&stores.trusted_roots, |one| one.status.as_ref()),
        count(&stores.revocations, |one| one.status.as_ref()),
    ]
}

fn count<K>(
    store: &Store<Guarded<K>>,
    status: impl Fn(&K) -> Option<&PolicyStatus>,
) -> (String, usize)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let says_no = |status: &PolicyStatus| {
        let mut conditions = status.conditions.iter();
        conditions.any(|one| one.kind == "Ready" && one.status == ConditionStatus::False)
    };
    let objects = store.state();
    let not_ready = objects.iter().filter(|object| match &object.0 {
        Ok(object) => status(object).is_some_and(says_no),
        Err(_) => true,
    });
    (K::kind(&()).into_owned(), not_ready.count())
}

fn unfinished(stores: &Stores) -> Vec<Unfinished> {
    let mut found = Vec::new();
    for object in stores.promotions.state() {
        let Ok(promotion) = &object.0 else { continue };
        let status = promotion.status.as_ref();
        if status.is_some_and(|status| status.record.is_some()) {
            continue;
        }
        let namespace = promotion.namespace().unwrap_or_default();
        let environment = stores.environment(&namespace, &promotion.spec.environment);
        let environment = environment
            .as_ref()
            .and_then(|object| object.0.as_ref().ok());
        let stage = environment.and_then(|environment| environment.spec.stage.clone());
        found.push(Unfinished {
            product: environment
                .map(|e| e.spec.product.clone())
                .unwrap_or_default(),
            stage: stage.unwrap_or_else(|| promotion.spec.environment.clone()),
            state: status
                .cloned()
                .unwrap_or_else(PromotionStatus::default)
                .state,
            namespace,
        });
    }
    found
}
