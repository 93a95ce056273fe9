//! What wakes the passes: every watch, and which Environments a change concerns.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Config;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{Controller, WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use lockmaster_api::{Environment, Promotion, PromotionRecord, Release};
use lockmaster_core::status::PromotionStatus;
use lockmaster_observe::backoff::Backoff;
use lockmaster_observe::evidence::EvidenceStore;
use lockmaster_observe::observation::Observer;
use lockmaster_observe::registry::{self, RegistryClient};
use lockmaster_observe::stores::{Guarded, Stores};
use lockmaster_observe::workloads::Workloads;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::act::Writer;
use crate::args::Args;
use crate::clients::Clients;
use crate::context::{Context, Failures, FirstSeen};
use crate::events::Events;
use crate::fresh::Freshness;
use crate::guard::GuardWatch;
use crate::http::Listeners;
use crate::metrics::{Metrics, Snapshot, Unfinished};
use crate::written::Written;
use crate::{acceptance, reconcile, unplaced};

type EnvironmentRef = ObjectRef<Guarded<Environment>>;
type PromotionRef = ObjectRef<Guarded<Promotion>>;

/// Passes that may run at once. A pass waits for the API server most of its time; more would only
/// queue there.
const CONCURRENCY: u16 = 16;

/// Wakes passes.
#[derive(Clone)]
struct Waker {
    environments: UnboundedSender<EnvironmentRef>,
    promotions: UnboundedSender<PromotionRef>,
    stores: Stores,
}

impl Waker {
    fn environment(&self, namespace: &str, name: &str) {
        // A closed channel means that the process is on its way out.
        let _ = self
            .environments
            .send(ObjectRef::new(name).within(namespace));
    }

    fn all(&self) {
        for object in self.stores.readable_environments() {
            self.environment(&object.namespace().unwrap_or_default(), &object.name_any());
        }
    }

    /// A Promotion changed: its Environment looks, and if there is none, somebody says so.
    fn promotion(&self, object: &Guarded<Promotion>) {
        let Ok(promotion) = &object.0 else { return };
        let namespace = promotion.namespace().unwrap_or_default();
        self.environment(&namespace, &promotion.spec.environment);
        if self
            .stores
            .environment(&namespace, &promotion.spec.environment)
            .is_none_or(|e| e.0.is_err())
        {
            let _ = self.promotions.send(ObjectRef::from_obj(object));
        }
    }

    /// An Environment came, changed or went: itself, and the promotions that name it.
    fn environment_changed(&self, object: &Guarded<Environment>) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        self.environment(&namespace, &name);
        for promotion in self.stores.promotions_of(&namespace, &name) {
            let _ = self
                .promotions
                .send(ObjectRef::from_obj(promotion.as_ref()));
        }
    }

    fn release(&self, object: &Guarded<Release>) {
        let (namespace, name) = (object.namespace(), object.name_any());
        for promotion in self.stores.promotions.state() {
            let Ok(promotion) = &promotion.0 else {
                continue;
            };
            if promotion.namespace() == namespace && promotion.spec.release == name {
                let namespace = namespace.clone().unwrap_or_default();
                self.environment(&namespace, &promotion.spec.environment);
            }
        }
    }

    /// A record: its Environment, and every one that comes after it.
    fn record(&self, object: &Guarded<PromotionRecord>) {
        let Ok(record) = &object.0 else { return };
        let namespace = record.namespace().unwrap_or_default();
        let recorded = &record.spec.content.environment.name;
        self.environment(&namespace, recorded);
        for object in self.stores.readable_environments() {
            let Ok(environment) = &object.0 else { continue };
            let follows = environment
                .spec
                .after
                .iter()
                .any(|after| after.environment == *recorded);
            if follows && environment.namespace().as_deref() == Some(&namespace) {
                self.environment(&namespace, &environment.name_any());
            }
        }
    }

    /// Something changed in a namespace that holds targets.
    fn workloads(&self, namespace: &str) {
        for object in self.stores.readable_environments() {
            let Ok(environment) = &object.0 else { continue };
            let mut targets = environment.spec.targets.iter();
            if targets.any(|target| target.workload.namespace == namespace) {
                let own = environment.namespace().unwrap_or_default();
                self.environment(&own, &environment.name_any());
            }
        }
    }

    /// Something became known about an image: the promotions that would bring it.
    fn evidence(&self, image: &lockmaster_core::release::ImageReference) {
        for object in self.stores.releases.state() {
            let Ok(release) = &object.0 else { continue };
            if release
                .spec
                .components
                .iter()
                .any(|component| component.image == *image)
            {
                self.release(&object);
            }
        }
    }
}

/// Starts everything and runs until it is told to stop.
pub(crate) async fn run(args: &Args, clients: Clients, listeners: Listeners) -> anyhow::Result<()> {
    let watches = Watches::prepare();
    let (environments, environment_requests) = unbounded_channel();
    let (promotions, promotion_requests) = unbounded_channel();
    let waker = Waker {
        environments,
        promotions,
        stores: watches.stores.clone(),
    };
    let writer = Writer::new(clients.writer.clone());
    let (guard_changed, guard_changes) = unbounded_channel();
    let guard = Arc::new(GuardWatch::new(
        clients.reader.clone(),
        clients.probe,
        args,
        guard_changed,
    )?);
    let metrics = Arc::new(Metrics::new());
    let (changed, workload_changes) = unbounded_channel();
    let workloads = Arc::new(Workloads::new(clients.reader.clone(), changed));
    let (evidence, evidence_changes) = evidence_store(args, &metrics)?;
    let observer = Observer::new(watches.stores.clone(), workloads.clone(), evidence);
    let context = Arc::new(Context {
        observer,
        events: Events::new(writer.client()),
        writer,
        guard: guard.clone(),
        fresh: Freshness::new(clients.reader.clone()),
        written: Written::default(),
        metrics: metrics.clone(),
        first_seen: FirstSeen::default(),
        failures: Failures::default(),
    });
    let ready = Arc::new(AtomicBool::new(false));
    let scraped = context.clone();
    listeners.serve(ready.clone(), move || {
        scraped.metrics.render(snapshot(&scraped))
    });
    watches.start(&clients.reader, &waker, &context);
    forward(
        workload_changes,
        waker.clone(),
        |waker, namespace: String| waker.workloads(&namespace),
    );
    forward(evidence_changes, waker.clone(), |waker, image| {
        waker.evidence(&image);
    });
    forward(guard_changes, waker.clone(), |waker, ()| waker.all());
    complete(&context.observer.stores)
        .await
        .context("failed to fill the watch caches")?;
    ready.store(true, Ordering::Release);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    tokio::spawn(guard.run());
    waker.all();
    passes(context, environment_requests, promotion_requests).await;
    Ok(())
}

fn evidence_store(
    args: &Args,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(
    Arc<EvidenceStore>,
    UnboundedReceiver<lockmaster_core::release::ImageReference>,
)> {
    let config = registry::Config {
        plain_http: args.plain_http_registry.iter().cloned().collect(),
        user_agent: concat!("lockmaster/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let client = RegistryClient::new(&config).context("failed to set up the registry client")?;
    let (fetched, changes) = unbounded_channel();
    let metrics = metrics.clone();
    let observe = Box::new(move |took, outcome| metrics.fetched(took, outcome));
    Ok((
        Arc::new(EvidenceStore::new(client, fetched, observe)),
        changes,
    ))
}

fn forward<T: Send + 'static>(
    mut changes: UnboundedReceiver<T>,
    waker: Waker,
    wake: fn(&Waker, T),
) {
    tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            wake(&waker, change);
        }
    });
}

/// Runs the passes until SIGTERM or SIGINT; those under way are finished.
async fn passes(
    context: Arc<Context>,
    environments: UnboundedReceiver<EnvironmentRef>,
    promotions: UnboundedReceiver<PromotionRef>,
) {
    let stores = context.observer.stores.clone();
    let config = Config::default().concurrency(CONCURRENCY);
    let by_environment = Controller::for_stream(futures::stream::pending(), stores.environments)
        .with_config(config.clone())
        .reconcile_on(requests(environments))
        .shutdown_on_signal()
        .run(
            reconcile::reconcile,
            reconcile::after_error,
            context.clone(),
        );
    let by_promotion = Controller::for_stream(futures::stream::pending(), stores.promotions)
        .with_config(config)
        .reconcile_on(requests(promotions))
        .shutdown_on_signal()
        .run(unplaced::reconcile, unplaced::after_error, context);
    tokio::join!(
        by_environment.for_each(|_| async {}),
        by_promotion.for_each(|_| async {})
    );
}

fn requests<T>(receiver: UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|request| (request, receiver))
    })
}

/// Waits until every cache was filled once.
async fn complete(stores: &Stores) -> anyhow::Result<()> {
    let Stores {
        environments,
        promotions,
        releases,
        records,
        policies,
        windows,
        namespaces,
    } = stores;
    tokio::try_join!(
        environments.wait_until_ready(),
        promotions.wait_until_ready(),
        releases.wait_until_ready(),
        records.wait_until_ready(),
        policies.wait_until_ready(),
        windows.wait_until_ready(),
        namespaces.wait_until_ready(),
    )?;
    Ok(())
}

/// Counts what a scrape shows.
fn snapshot(context: &Context) -> Snapshot {
    let stores = &context.observer.stores;
    let now = Timestamp::now();
    let mut windows = std::collections::BTreeMap::new();
    for object in stores.readable_environments() {
        let Ok(environment) = &object.0 else { continue };
        if let Some(open) = context.observer.window_open(environment, now) {
            let stage = environment
                .spec
                .stage
                .clone()
                .unwrap_or_else(|| environment.name_any());
            *windows.entry(stage).or_default() |= open;
        }
    }
    let guards = context.guard.ready().into_iter();
    Snapshot {
        promotions: unfinished(stores),
        windows: windows.into_iter().collect(),
        guards: guards
            .map(|(guard, ready)| (guard.to_owned(), ready))
            .collect(),
    }
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

/// A cache's writer with the watch that fills it.
struct Watches {
    stores: Stores,
    writers: Writers,
}

type CacheWriter<K> = kube::runtime::reflector::store::Writer<K>;

struct Writers {
    environments: CacheWriter<Guarded<Environment>>,
    promotions: CacheWriter<Guarded<Promotion>>,
    releases: CacheWriter<Guarded<Release>>,
    records: CacheWriter<Guarded<PromotionRecord>>,
    policies: CacheWriter<Guarded<lockmaster_api::ClusterPromotionPolicy>>,
    windows: CacheWriter<Guarded<lockmaster_api::ChangeWindow>>,
    namespaces: CacheWriter<PartialObjectMeta<Namespace>>,
}

impl Watches {
    fn prepare() -> Self {
        let (environments, environments_writer) = store();
        let (promotions, promotions_writer) = store();
        let (releases, releases_writer) = store();
        let (records, records_writer) = store();
        let (policies, policies_writer) = store();
        let (windows, windows_writer) = store();
        let (namespaces, namespaces_writer) = store();
        Self {
            stores: Stores {
                environments,
                promotions,
                releases,
                records,
                policies,
                windows,
                namespaces,
            },
            writers: Writers {
                environments: environments_writer,
                promotions: promotions_writer,
                releases: releases_writer,
                records: records_writer,
                policies: policies_writer,
                windows: windows_writer,
                namespaces: namespaces_writer,
            },
        }
    }

    fn start(self, client: &Client, waker: &Waker, context: &Arc<Context>) {
        let writers = self.writers;
        let w = || waker.clone();
        let followed = context.clone();
        spawn(client, writers.environments, w(), move |waker, object| {
            follow_targets(&followed);
            waker.environment_changed(object);
        });
        spawn(client, writers.promotions, w(), Waker::promotion);
        let named = context.clone();
        spawn(client, writers.releases, w(), move |waker, object| {
            forget_unnamed(&named);
            waker.release(object);
        });
        spawn(client, writers.records, w(), Waker::record);
        let writer = context.writer.clone();
        spawn(client, writers.policies, w(), move |waker, object| {
            let (writer, object) = (writer.clone(), object.clone());
            tokio::spawn(async move { acceptance::policy(&writer, &object).await });
            waker.all();
        });
        let writer = context.writer.clone();
        spawn(client, writers.windows, w(), move |waker, object| {
            let (writer, object) = (writer.clone(), object.clone());
            tokio::spawn(async move { acceptance::window(&writer, &object).await });
            waker.all();
        });
        spawn(client, writers.namespaces, w(), |waker, _| waker.all());
        for_guards::<ValidatingAdmissionPolicy>(client, context.guard.clone());
        for_guards::<ValidatingAdmissionPolicyBinding>(client, context.guard.clone());
    }
}

/// Watches the namespaces of the targets that Environments name now, and no others.
fn follow_targets(context: &Context) {
    let mut wanted = BTreeSet::new();
    for object in context.observer.stores.readable_environments() {
        let Ok(environment) = &object.0 else { continue };
        let targets = environment.spec.targets.iter();
        wanted.extend(targets.map(|target| target.workload.namespace.clone()));
    }
    context.observer.workloads.follow(&wanted);
}

/// Keeps evidence only of images that some Release names.
fn forget_unnamed(context: &Context) {
    let releases = context.observer.stores.releases.state();
    let readable = releases.iter().filter_map(|object| object.0.as_ref().ok());
    let components = readable.flat_map(|release| &release.spec.components);
    let named = components
        .map(|component| component.image.clone())
        .collect();
    context.observer.evidence.forget(&named);
}

/// Fills one cache for ever and tells of every change after it shows there.
fn spawn<K>(
    client: &Client,
    writer: CacheWriter<K>,
    waker: Waker,
    changed: impl Fn(&Waker, &K) + Send + Sync + 'static,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let reader: Store<K> = writer.as_reader();
    let watched = watch::<K>(client)
        .modify(|object| object.meta_mut().managed_fields = None)
        .reflect(writer);
    tokio::spawn(async move {
        futures::pin_mut!(watched);
        while let Some(event) = watched.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => {
                    changed(&waker, &object);
                }
                Ok(watcher::Event::InitDone) => {
                    for object in reader.state() {
                        changed(&waker, &object);
                    }
                    waker.all();
                }
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
