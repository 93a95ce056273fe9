//! The watch caches: what fills them.

use std::fmt::Debug;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{Store, store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use lockmaster_api::{
    ChangeWindow, ClusterPromotionPolicy, Environment, Promotion, PromotionRecord, Release,
    Revocation, TrustedRoot,
};
use lockmaster_observe::backoff::Backoff;
use lockmaster_observe::stores::{Guarded, Stores};
use serde::de::DeserializeOwned;

use crate::acceptance::Acceptance;
use crate::context::Context;
use crate::guard::GuardWatch;
use crate::news::{Change, News};
use crate::wake::Waker;

/// The caches, and what fills them.
pub(crate) struct Caches {
    /// To read from.
    pub(crate) stores: Stores,
    writers: Writers,
}

type CacheWriter<K> = kube::runtime::reflector::store::Writer<K>;

struct Writers {
    environments: CacheWriter<Guarded<Environment>>,
    promotions: CacheWriter<Guarded<Promotion>>,
    releases: CacheWriter<Guarded<Release>>,
    records: CacheWriter<Guarded<PromotionRecord>>,
    policies: CacheWriter<Guarded<ClusterPromotionPolicy>>,
    windows: CacheWriter<Guarded<ChangeWindow>>,
    trusted_roots: CacheWriter<Guarded<TrustedRoot>>,
    revocations: CacheWriter<Guarded<Revocation>>,
    namespaces: CacheWriter<PartialObjectMeta<Namespace>>,
}

impl Caches {
    /// Empty caches.
    pub(crate) fn prepare() -> Self {
        let (environments, environments_writer) = store();
        let (promotions, promotions_writer) = store();
        let (releases, releases_writer) = store();
        let (records, records_writer) = store();
        let (policies, policies_writer) = store();
        let (windows, windows_writer) = store();
        let (trusted_roots, trusted_roots_writer) = store();
        let (revocations, revocations_writer) = store();
        let (namespaces, namespaces_writer) = store();
        Self {
            stores: Stores {
                environments,
                promotions,
                releases,
                records,
                policies,
                windows,
                trusted_roots,
                revocations,
                namespaces,
            },
            writers: Writers {
                environments: environments_writer,
                promotions: promotions_writer,
                releases: releases_writer,
                records: records_writer,
                policies: policies_writer,
                windows: windows_writer,
                trusted_roots: trusted_roots_writer,
                revocations: revocations_writer,
                namespaces: namespaces_writer,
            },
        }
    }

    /// Fills the caches for ever, and tells of what changed.
    pub(crate) fn fill(self, client: &Client, waker: &Waker, context: &Arc<Context>) {
        let Writers {
            environments,
            promotions,
            releases,
            records,
            policies,
            windows,
            trusted_roots,
            revocations,
            namespaces,
        } = self.writers;
        let acceptance = Acceptance::new(
            context.writer.clone(),
            self.stores,
            context.observer.policies.clone(),
        );
        let news = News {
            waker: waker.clone(),
            context: context.clone(),
            acceptance: Arc::new(acceptance),
        };
        spawn(client, environments, &news, News::environments);
        spawn(client, promotions, &news, News::promotions);
        spawn(client, releases, &news, News::releases);
        spawn(client, records, &news, News::records);
        spawn(client, policies, &news, News::policies);
        spawn(client, windows, &news, News::windows);
        spawn(client, trusted_roots, &news, News::trusted_roots);
        spawn(client, revocations, &news, News::revocations);
        spawn(client, namespaces, &news, |news, _| news.waker.all());
        for_guards::<ValidatingAdmissionPolicy>(client, context.guard.clone());
        for_guards::<ValidatingAdmissionPolicyBinding>(client, context.guard.clone());
    }
}

/// Fills one cache for ever and tells of every change after it shows there.
fn spawn<K, T>(
    client: &Client,
    writer: CacheWriter<K>,
    told: &T,
    tell: impl Fn(&T, &Change<K>) + Send + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    T: Clone + Send + 'static,
{
    let reader: Store<K> = writer.as_reader();
    let told = told.clone();
    let watched = watch::<K>(client)
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer);
    tokio::spawn(async move {
        futures::pin_mut!(watched);
        while let Some(event) = watched.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => {
                    tell(&told, &Change::One(object));
                }
                Ok(watcher::Event::InitDone) => tell(&told, &Change::All(reader.state())),
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "failed to watch");
                }
            }
        }
    });
}

fn watch<K>(
    client: &Client,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(Api::<K>::all(client.clone()), watcher::Config::default()).backoff(Backoff::watch())
}

/// Any change of an admission policy or binding may be one of a guard.
fn for_guards<K>(client: &Client, guard: Arc<GuardWatch>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let watched = watch::<PartialObjectMeta<K>>(client);
    tokio::spawn(async move {
        futures::pin_mut!(watched);
        while let Some(event) = watched.next().await {
            let ours = match &event {
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => {
                    object.name_any().starts_with("lockmaster-")
                }
                Ok(watcher::Event::InitDone) | Err(_) => true,
                Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => false,
            };
            if ours {
                guard.inspect_soon();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use std::convert::Infallible;
    use std::time::Duration;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    #[tokio::test]
    async fn a_listing_is_told_of_once_however_long_it_is() {
        let service = tower::service_fn(|request: Request<Body>| async move {
            if request.uri().query().is_some_and(|q| q.contains("watch=")) {
                std::future::pending::<()>().await;
            }
            let item = |name: &str| json!({"metadata": {"name": name, "resourceVersion": "5"}});
            let list = json!({
                "apiVersion": "v1", "kind": "PartialObjectMetadataList",
                "metadata": {"resourceVersion": "7"}, "items": [item("a"), item("b"), item("c")],
            });
            let body = Body::from(list.to_string().into_bytes());
            Ok::<_, Infallible>(Response::new(body))
        });
        let (told, mut changes) = unbounded_channel();
        let writer = store::<PartialObjectMeta<Namespace>>().1;
        let client = Client::new(service, "default");
        spawn(
            &client,
            writer,
            &told,
            |told: &UnboundedSender<_>, change| {
                let told = told.send(match change {
                    Change::One(_) => None,
                    Change::All(all) => Some(all.len()),
                });
                assert!(told.is_ok());
            },
        );
        assert_eq!(changes.recv().await, Some(Some(3)));
        let more = tokio::time::timeout(Duration::from_millis(100), changes.recv()).await;
        assert!(more.is_err(), "told again: {more:?}");
    }
}
