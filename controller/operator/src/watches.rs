//! Starts everything, and runs the passes that the watches wake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::runtime::Controller;
use kube::runtime::controller::Config;
use lockmaster_observe::evidence::EvidenceStore;
use lockmaster_observe::observation::Observer;
use lockmaster_observe::pull_secrets::PullSecrets;
use lockmaster_observe::registry::{self, RegistryClient};
use lockmaster_observe::stores::Stores;
use lockmaster_observe::workloads::Workloads;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::act::Writer;
use crate::args::Args;
use crate::caches::Caches;
use crate::clients::Clients;
use crate::context::{Context, Failures, FirstSeen, Refusals};
use crate::events::Events;
use crate::fresh::Freshness;
use crate::guard::GuardWatch;
use crate::http::Listeners;
use crate::metrics::Metrics;
use crate::reverify::Schedule;
use crate::scrape::snapshot;
use crate::wake::{EnvironmentRef, PromotionRef, Waker};
use crate::written::Written;
use crate::{reconcile, registries, unplaced};

/// Passes that may run at once. A pass waits for the API server most of its time; more would only
/// queue there.
const CONCURRENCY: u16 = 16;

/// Starts everything and runs until it is told to stop.
pub(crate) async fn run(args: &Args, clients: Clients, listeners: Listeners) -> anyhow::Result<()> {
    let caches = Caches::prepare();
    let (environments, environment_requests) = unbounded_channel();
    let (promotions, promotion_requests) = unbounded_channel();
    let waker = Waker {
        environments,
        promotions,
        stores: caches.stores.clone(),
    };
    let writer = Writer::new(clients.writer.clone());
    let (guard_changed, guard_changes) = unbounded_channel();
    let guard = Arc::new(GuardWatch::new(
        clients.live.clone(),
        clients.probe,
        args,
        guard_changed,
    )?);
    let metrics = Arc::new(Metrics::new());
    let (changed, workload_changes) = unbounded_channel();
    let workloads = Arc::new(Workloads::new(clients.reader.clone(), changed));
    let (evidence, evidence_changes) = evidence_store(args, clients.live.clone(), &metrics)?;
    let observer = Observer::new(caches.stores.clone(), workloads.clone(), evidence);
    let context = Arc::new(Context {
        observer,
        events: Events::new(writer.client()),
        writer,
        guard: guard.clone(),
        fresh: Freshness::new(clients.live),
        written: Written::default(),
        metrics: metrics.clone(),
        first_seen: FirstSeen::default(),
        failures: Failures::default(),
        refusals: Refusals::default(),
        schedule: Schedule {
            every: args.reverify_every.duration(),
            started: Timestamp::now(),
        },
    });
    let ready = Arc::new(AtomicBool::new(false));
    let scraped = context.clone();
    listeners.serve(ready.clone(), move || {
        scraped.metrics.render(snapshot(&scraped))
    });
    caches.fill(&clients.reader, &waker, &context);
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
    live: kube::Client,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(
    Arc<EvidenceStore>,
    UnboundedReceiver<lockmaster_core::release::ImageReference>,
)> {
    let config = registry::Config {
        registries: registries::read(args.registries.as_deref())?,
        user_agent: concat!("lockmaster/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let (counts, metrics) = (metrics.clone(), metrics.clone());
    let traffic = Box::new(move |host: &str, event| counts.traffic(host, event));
    let client = RegistryClient::observed(&config, traffic);
    let client = client.context("failed to set up the registry client")?;
    let (fetched, changes) = unbounded_channel();
    let observe = Box::new(move |took, outcome| metrics.fetched(took, outcome));
    Ok((
        Arc::new(EvidenceStore::new(
            client,
            PullSecrets::new(live),
            fetched,
            observe,
        )),
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
        trusted_roots,
        revocations,
        namespaces,
    } = stores;
    tokio::try_join!(
        environments.wait_until_ready(),
        promotions.wait_until_ready(),
        releases.wait_until_ready(),
        records.wait_until_ready(),
        policies.wait_until_ready(),
        windows.wait_until_ready(),
        trusted_roots.wait_until_ready(),
        revocations.wait_until_ready(),
        namespaces.wait_until_ready(),
    )?;
    Ok(())
}
