//! What is watched, as it was seen last. Every kind is read through kube's `DeserializeGuard`, so
//! that one malformed object is a fact about that object and never the end of a watch.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store};
use lockmaster_api::{
    ChangeWindow, ClusterPromotionPolicy, Environment, Promotion, PromotionRecord, Release,
    Revocation, TrustedRoot,
};

/// An object as it was read, or why it could not be.
pub type Guarded<K> = DeserializeGuard<K>;

/// The watch caches of one process.
#[derive(Clone)]
pub struct Stores {
    /// Environments of all namespaces.
    pub environments: Store<Guarded<Environment>>,
    /// Promotions of all namespaces.
    pub promotions: Store<Guarded<Promotion>>,
    /// Releases of all namespaces.
    pub releases: Store<Guarded<Release>>,
    /// PromotionRecords of all namespaces.
    pub records: Store<Guarded<PromotionRecord>>,
    /// ClusterPromotionPolicies.
    pub policies: Store<Guarded<ClusterPromotionPolicy>>,
    /// ChangeWindows.
    pub windows: Store<Guarded<ChangeWindow>>,
    /// TrustedRoots.
    pub trusted_roots: Store<Guarded<TrustedRoot>>,
    /// Revocations.
    pub revocations: Store<Guarded<Revocation>>,
    /// Metadata of all namespaces.
    pub namespaces: Store<PartialObjectMeta<Namespace>>,
}

impl Stores {
    /// Every readable Environment.
    #[must_use]
    pub fn readable_environments(&self) -> Vec<Arc<Guarded<Environment>>> {
        let mut all = self.environments.state();
        all.retain(|object| object.0.is_ok());
        all
    }

    /// The Promotions that name an Environment. One that cannot be read names nothing.
    #[must_use]
    pub fn promotions_of(
        &self,
        namespace: &str,
        environment: &str,
    ) -> Vec<Arc<Guarded<Promotion>>> {
        let mut all = self.promotions.state();
        all.retain(|object| {
            object.0.as_ref().is_ok_and(|promotion| {
                promotion.metadata.namespace.as_deref() == Some(namespace)
                    && promotion.spec.environment == environment
            })
        });
        all
    }

    /// The Environment with this name, readable or not.
    #[must_use]
    pub fn environment(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<Environment>>> {
        self.environments
            .get(&ObjectRef::new(name).within(namespace))
    }

    /// The Promotion with this name, readable or not.
    #[must_use]
    pub fn promotion(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<Promotion>>> {
        self.promotions.get(&ObjectRef::new(name).within(namespace))
    }

    /// The PromotionRecord with this name, readable or not.
    #[must_use]
    pub fn record(&self, namespace: &str, name: &str) -> Option<Arc<Guarded<PromotionRecord>>> {
        self.records.get(&ObjectRef::new(name).within(namespace))
    }

    /// uid of the namespace kube-system, which tells clusters apart; empty before it was seen.
    #[must_use]
    pub fn cluster(&self) -> String {
        let system = self.namespaces.get(&ObjectRef::new("kube-system"));
        system
            .and_then(|namespace| namespace.metadata.uid.clone())
            .unwrap_or_default()
    }
}
