//! Deployments and pods of the namespaces that Environments name, watched only as long as they do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::utils::Backoff as _;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use lockmaster_core::environment::WorkloadReference;
use lockmaster_core::facts::{Cause, Observed, Unavailable, Workload};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::backoff::Backoff;
use crate::workload::{self, SeenDeployment, SeenPod};

/// The watches of target namespaces.
pub struct Workloads {
    client: Client,
    /// Told the namespace in which something changed.
    changed: UnboundedSender<String>,
    namespaces: Mutex<BTreeMap<String, Followed>>,
}

struct Followed {
    view: View,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Followed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What was seen of one namespace.
#[derive(Clone, Default)]
struct View {
    deployments: Arc<Mutex<Seen<SeenDeployment>>>,
    pods: Arc<Mutex<Seen<SeenPod>>>,
}

/// One kind in one namespace.
struct Seen<T> {
    objects: BTreeMap<String, T>,
    /// Collects a new listing until it is complete.
    listing: BTreeMap<String, T>,
    /// Whether it was listed completely once.
    complete: bool,
    /// Why it cannot be read.
    problem: Option<Unavailable>,
    /// Since when every attempt to read it was refused by RBAC.
    forbidden_since: Option<Instant>,
}

impl<T> Seen<T> {
    fn readable(&mut self) {
        self.problem = None;
        self.forbidden_since = None;
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        let (objects, listing) = (BTreeMap::new(), BTreeMap::new());
        Self {
            objects,
            listing,
            complete: false,
            problem: None,
            forbidden_since: None,
        }
    }
}

/// A panic while the lock was held left nothing half-written: every change is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Workloads {
    /// Watches nothing yet. `changed` is told the namespace of every change.
    #[must_use]
    pub fn new(client: Client, changed: UnboundedSender<String>) -> Self {
        Self {
            client,
            changed,
            namespaces: Mutex::default(),
        }
    }

    /// Watches exactly these namespaces from now on.
    pub fn follow(&self, wanted: &BTreeSet<String>) {
        let mut followed = locked(&self.namespaces);
        followed.retain(|namespace, _| wanted.contains(namespace));
        for namespace in wanted {
            followed
                .entry(namespace.clone())
                .or_insert_with(|| self.start(namespace));
        }
    }

    fn start(&self, namespace: &str) -> Followed {
        let view = View::default();
        let watch = || Watch {
            namespace: namespace.to_owned(),
            changed: self.changed.clone(),
        };
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), namespace);
        let pods = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let tasks = [
            tokio::spawn(watch().run(deployments, workload::deployment, view.deployments.clone())),
            tokio::spawn(watch().run(pods, workload::pod, view.pods.clone())),
        ];
        Followed { view, tasks }
    }

    /// The workload as it was seen last.
    #[must_use]
    pub fn read(&self, reference: &WorkloadReference) -> Look {
        let view = locked(&self.namespaces)
            .get(&reference.namespace)
            .map(|f| f.view.clone());
        let Some(view) = view else {
            return Look::without(Observed::Pending);
        };
        let deployments = locked(&view.deployments);
        let pods = locked(&view.pods);
        if let Some(problem) = deployments.problem.as_ref().or(pods.problem.as_ref()) {
            return Look::without(Observed::Unavailable(problem.clone()));
        }
        if !deployments.complete || !pods.complete {
            return Look::without(Observed::Pending);
        }
        let Some(seen) = deployments.objects.get(&reference.name) else {
            let message = format!("{reference} does not exist");
            return Look::without(Observed::Unavailable(Unavailable {
                cause: Cause::Missing,
                message,
            }));
        };
        let own = pods
            .objects
            .values()
            .filter(|pod| !pod.leaving && seen.selector.selects(&pod.labels));
        let pods = own.map(|pod| pod.pod.clone()).collect();
        Look {
            workload: Observed::Known(Workload {
                pods,
                ..seen.workload.clone()
            }),
            resource_version: Some(seen.resource_version.clone()),
        }
    }
}

/// One look at one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What was seen.
    pub workload: Observed<Workload>,
    /// The resourceVersion of exactly what was seen.
    pub resource_version: Option<String>,
}

impl Look {
    fn without(workload: Observed<Workload>) -> Self {
        Self {
            workload,
            resource_version: None,
        }
    }
}

struct Watch {
    namespace: String,
    changed: UnboundedSender<String>,
}

impl Watch {
    /// Watches for ever: after a refusal with a fresh listing, since kube's watcher would resume
    /// where it stopped and a quiet namespace would never say that it can be read again.
    async fn run<K, T>(self, api: Api<K>, reduce: fn(K) -> T, seen: Arc<Mutex<Seen<T>>>)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let mut pauses = Backoff::watch();
        loop {
            let begun = Instant::now();
            if self.watch(api.clone(), reduce, &seen).await.is_break() {
                return;
            }
            if begun.elapsed() > LONGEST_WATCH_PAUSE {
                pauses.reset();
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_WATCH_PAUSE)).await;
        }
    }

    /// Watches until only a fresh listing can help, or until nobody listens any more.
    async fn watch<K, T>(
        &self,
        api: Api<K>,
        reduce: fn(K) -> T,
        seen: &Mutex<Seen<T>>,
    ) -> ControlFlow<()>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let stream = watcher(api, watcher::Config::default()).backoff(Backoff::watch());
        futures::pin_mut!(stream);
        while let Some(event) = stream.next().await {
            let (news, over) = match event {
                Ok(event) => (absorb(&mut locked(seen), event, reduce), false),
                Err(error) => (
                    self.endure::<K, T>(&mut locked(seen), &error),
                    needs_listing(&error),
                ),
            };
            if news && self.changed.send(self.namespace.clone()).is_err() {
                return ControlFlow::Break(());
            }
            if over {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    /// Takes an error; whether the view now shows something else. A complete view stays in use
    /// while the API server cannot be reached: whatever is written on it has preconditions.
    fn endure<K: Resource<DynamicType = ()>, T>(
        &self,
        seen: &mut Seen<T>,
        error: &watcher::Error,
    ) -> bool {
        let (kind, namespace) = (K::plural(&()), &self.namespace);
        let problem = if code(error) == Some(FORBIDDEN) {
            let since = *seen.forbidden_since.get_or_insert_with(Instant::now);
            Unavailable {
                cause: cause_of_refusal(since.elapsed()),
                message: format!(
                    "the operator may not read {kind} in namespace {namespace}; its owner grants \
                     it with the Role that `kubectl promote init` prints (get, list, watch, patch \
                     on deployments; get, list, watch on pods)"
                ),
            }
        } else if seen.complete && seen.problem.is_none() {
            tracing::warn!(namespace, kind = %kind, %error, "failed to watch");
            return false;
        } else {
            Unavailable {
                cause: Cause::Unreachable,
                message: format!("{kind} in namespace {namespace} cannot be read right now"),
            }
        };
        let news = seen.problem.as_ref() != Some(&problem);
        if news {
            tracing::warn!(namespace, kind = %kind, %error, "failed to watch");
        }
        seen.problem = Some(problem);
        news
    }
}

/// How long reading must be refused before it counts as the owner's will. An API server that has
/// just started answers 403 for a moment, while it reads the roles; a roll-out must not end on that.
/// And a write that is still under way is over by then: the API server gives a request a minute.
const REFUSED_FOR_GOOD: Duration = Duration::from_mins(1);

fn cause_of_refusal(refused_for: Duration) -> Cause {
    if refused_for >= REFUSED_FOR_GOOD {
        Cause::Forbidden
    } else {
        Cause::Unreachable
    }
}

/// We may not read it.
const FORBIDDEN: u16 = 403;
/// The watch is to resume where the API server's memory does not reach.
const GONE: u16 = 410;

/// Whether only a fresh listing helps.
fn needs_listing(error: &watcher::Error) -> bool {
    matches!(code(error), Some(FORBIDDEN | GONE))
}

/// The status code with which the API server refused.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}

/// Takes one event; whether the view now shows something new.
fn absorb<K: Resource, T>(
    seen: &mut Seen<T>,
    event: watcher::Event<K>,
    reduce: fn(K) -> T,
) -> bool {
    let name = |object: &K| object.meta().name.clone().unwrap_or_default();
    match event {
        watcher::Event::Apply(object) => {
            seen.readable();
            seen.objects.insert(name(&object), reduce(object));
            true
        }
        watcher::Event::Delete(object) => {
            seen.readable();
            seen.objects.remove(&name(&object));
            true
        }
        watcher::Event::Init => {
            seen.listing.clear();
            false
        }
        watcher::Event::InitApply(object) => {
            seen.listing.insert(name(&object), reduce(object));
            false
        }
        watcher::Event::InitDone => {
            seen.objects = std::mem::take(&mut seen.listing);
            seen.complete = true;
            seen.readable();
            true
        }
    }
}

/// How long between two attempts at most: the owner of a namespace who has just granted the Role
/// should not wait longer than this.
pub const LONGEST_WATCH_PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
