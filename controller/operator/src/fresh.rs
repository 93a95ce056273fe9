//! A last look at the rules, right before a promotion may begin: the watch caches may be behind,
//! and a policy that was tightened or a tier that was raised just now must count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::{Api, Client, Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, TrustedRoot};
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
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// The shared look.
pub(crate) struct Freshness {
    client: Client,
    last: Mutex<Last>,
}

/// How the last look ended.
#[derive(Default)]
struct Last {
    seen: Option<(Instant, Rules)>,
    failed: Option<Instant>,
}

/// The look failed, so nothing may begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused.
    #[error("failed to look at {what} before beginning a promotion")]
    Refused {
        /// At what.
        what: &'static str,
        /// Its answer.
        source: kube::Error,
    },
    /// The look would be too old by now.
    #[error(
        "failed to look at the rules before beginning a promotion: no answer within {SHARED_FOR:?}"
    )]
    Silent,
    /// Another promotion looked meanwhile, for both, and failed.
    #[error("failed to look at the rules before beginning a promotion: the shared look failed")]
    Shared,
}

impl Freshness {
    /// Looks with this client, which must not retry.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            last: Mutex::default(),
        }
    }

    /// Whether the rules that were decided on are those that are stored.
    pub(crate) async fn holds(&self, seen: &Observation, stores: &Stores) -> Result<bool, Error> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        let rules = self.rules(&mut last, asked).await?;
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
            && labels;
        if !same {
            // What is stored is newer than what was seen: do not compare with it again.
            last.seen = None;
        }
        Ok(same)
    }

    /// The rules by a look that is young enough. Whoever waited while a look failed fails with it:
    /// one deadline after the other would hold up everybody.
    async fn rules(&self, last: &mut Last, asked: Instant) -> Result<Rules, Error> {
        if let Some((at, rules)) = &last.seen
            && at.elapsed() < SHARED_FOR
        {
            return Ok(rules.clone());
        }
        if last.failed.is_some_and(|failed| failed > asked) {
            return Err(Error::Shared);
        }
        let at = Instant::now();
        let looked = tokio::time::timeout(SHARED_FOR, self.look()).await;
        let looked = looked.unwrap_or(Err(Error::Silent));
        let looked = looked.and_then(|rules| {
            let young = at.elapsed() < SHARED_FOR;
            young.then_some(rules).ok_or(Error::Silent)
        });
        match &looked {
            Ok(rules) => last.seen = Some((at, rules.clone())),
            Err(_) => last.failed = Some(Instant::now()),
        }
        looked
    }

    async fn look(&self) -> Result<Rules, Error> {
        let (policies, windows, trusted_roots, namespaces) = tokio::join!(
            self.versions::<ClusterPromotionPolicy>("policies"),
            self.versions::<ChangeWindow>("change windows"),
            self.versions::<TrustedRoot>("trusted roots"),
            self.namespaces(),
        );
        Ok(Rules {
            policies: policies?,
            windows: windows?,
            trusted_roots: trusted_roots?,
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
