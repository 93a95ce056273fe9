//! A last look at the rules, right before a promotion may begin, and at what is revoked, right before
//! each apply: the watch caches may be behind, and what was tightened or revoked just now must count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, Revocation, TrustedRoot};
use lockmaster_observe::observation::Observation;
use lockmaster_observe::stores::{Guarded, Stores};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// How old a look may be, and so how long it may take. All promotions that begin within it share
/// one.
const SHARED_FOR: Duration = Duration::from_secs(2);

/// Name, uid and generation. Not resourceVersion: our own `Ready` writes change that.
type Version = (String, String, i64);

/// The rules as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules {
    policies: BTreeSet<Version>,
    windows: BTreeSet<Version>,
    trusted_roots: BTreeSet<Version>,
    revocations: BTreeSet<Version>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// The shared looks.
pub(crate) struct Freshness {
    client: Client,
    rules: Mutex<Last<Rules>>,
    revocations: Mutex<Last<BTreeSet<Version>>>,
}

/// How the last look ended.
struct Last<T> {
    seen: Option<(Instant, T)>,
    failed: Option<Instant>,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        let (seen, failed) = (None, None);
        Self { seen, failed }
    }
}

impl<T: Clone> Last<T> {
    /// What was seen, while that is young enough.
    fn young(&self) -> Option<T> {
        let (at, seen) = self.seen.as_ref()?;
        (at.elapsed() < SHARED_FOR).then(|| seen.clone())
    }

    /// What a look that is young enough saw. Whoever waited while one failed fails with it: one
    /// deadline after the other would hold up everybody.
    async fn read(
        &mut self,
        asked: Instant,
        look: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if let Some(seen) = self.young() {
            return Ok(seen);
        }
        if self.failed.is_some_and(|failed| failed > asked) {
            return Err(Error::Shared);
        }
        let at = Instant::now();
        let looked = tokio::time::timeout(SHARED_FOR, look).await;
        let looked = looked.unwrap_or(Err(Error::Silent));
        let looked = looked.and_then(|seen| {
            let young = at.elapsed() < SHARED_FOR;
            young.then_some(seen).ok_or(Error::Silent)
        });
        match &looked {
            Ok(seen) => self.seen = Some((at, seen.clone())),
            Err(_) => self.failed = Some(Instant::now()),
        }
        looked
    }
}

/// The look failed, so nothing may be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused.
    #[error("failed to look at {what} right before a change")]
    Refused {
        /// At what.
        what: &'static str,
        /// Its answer.
        source: kube::Error,
    },
    /// The look would be too old by now.
    #[error("failed to look at the rules right before a change: no answer within {SHARED_FOR:?}")]
    Silent,
    /// Another promotion looked meanwhile, for both, and failed.
    #[error("failed to look at the rules right before a change: the shared look failed")]
    Shared,
}

impl Freshness {
    /// Looks with this client, which must not retry.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            rules: Mutex::default(),
            revocations: Mutex::default(),
        }
    }

    /// Whether the rules that were decided on are those that are stored: asked right before an
    /// intent.
    pub(crate) async fn holds(&self, seen: &Observation, stores: &Stores) -> Result<bool, Error> {
        let asked = Instant::now();
        let mut last = self.rules.lock().await;
        // Five listings side by side are large.
        let rules = last.read(asked, Box::pin(self.look())).await?;
        let decided: BTreeSet<Version> = seen
            .facts
            .policies
            .iter()
            .map(|fact| (fact.name.clone(), fact.uid.clone(), fact.generation))
            .collect();
        let windows = versions(&stores.windows);
        let trusted_roots = versions(&stores.trusted_roots);
        let labels = seen
            .facts
            .namespaces
            .iter()
            .all(|(name, labels)| rules.namespaces.get(name) == Some(labels));
        let same = decided == rules.policies
            && windows == rules.windows
            && trusted_roots == rules.trusted_roots
            && revoked(seen) == rules.revocations
            && labels;
        if !same {
            // What is stored is newer than what was seen: do not compare with it again.
            last.seen = None;
        }
        Ok(same)
    }

    /// Whether the Revocations that were decided on are those that are stored: asked right before an
    /// apply. Nearly always the look before its intent is young enough.
    pub(crate) async fn revocations_hold(&self, seen: &Observation) -> Result<bool, Error> {
        let asked = Instant::now();
        let decided = revoked(seen);
        let mut rules = self.rules.lock().await;
        if let Some(rules) = rules.young()
            && rules.revocations == decided
        {
            return Ok(true);
        }
        rules.seen = None;
        drop(rules);
        let mut last = self.revocations.lock().await;
        let look = self.versions::<Revocation>("revocations");
        let same = last.read(asked, look).await? == decided;
        if !same {
            last.seen = None;
        }
        Ok(same)
    }

    async fn look(&self) -> Result<Rules, Error> {
        let (policies, windows, trusted_roots, revocations, namespaces) = tokio::join!(
            self.versions::<ClusterPromotionPolicy>("policies"),
            self.versions::<ChangeWindow>("change windows"),
            self.versions::<TrustedRoot>("trusted roots"),
            self.versions::<Revocation>("revocations"),
            self.namespaces(),
        );
        Ok(Rules {
            policies: policies?,
            windows: windows?,
            trusted_roots: trusted_roots?,
            revocations: revocations?,
            namespaces: namespaces?,
        })
    }

    async fn versions<K>(&self, what: &'static str) -> Result<BTreeSet<Version>, Error>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let list = api.list_metadata(&ListParams::default()).await;
        let list = list.map_err(|source| Error::Refused { what, source })?;
        Ok(list.items.iter().map(version).collect())
    }

    async fn namespaces(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let list = api.list_metadata(&ListParams::default()).await;
        let list = list.map_err(|source| Error::Refused {
            what: "namespaces",
            source,
        })?;
        let labels = list.items.into_iter().map(|namespace| {
            (
                namespace.name_any(),
                namespace.metadata.labels.unwrap_or_default(),
            )
        });
        Ok(labels.collect())
    }
}

/// The Revocations that were decided on.
fn revoked(seen: &Observation) -> BTreeSet<Version> {
    let facts = seen.facts.revocations.iter();
    facts
        .map(|fact| (fact.name.clone(), fact.uid.clone(), fact.generation))
        .collect()
}

/// Everything of a kind, as its watch showed it last.
fn versions<K>(store: &Store<Guarded<K>>) -> BTreeSet<Version>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let objects = store.state();
    objects
        .iter()
        .map(|object| version(object.as_ref()))
        .collect()
}

fn version<K: Resource>(object: &K) -> Version {
    let meta = object.meta();
    (
        meta.name.clone().unwrap_or_default(),
        meta.uid.clone().unwrap_or_default(),
        meta.generation.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
