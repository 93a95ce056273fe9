//! What a change of each kind leads to.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use kube::ResourceExt;
use lockmaster_api::{
    ChangeWindow, ClusterPromotionPolicy, Environment, Promotion, PromotionRecord, Release,
    Revocation, TrustedRoot,
};
use lockmaster_core::release::ImageReference;
use lockmaster_observe::stores::Guarded;

use crate::acceptance::Acceptance;
use crate::context::Context;
use crate::wake::Waker;

/// What changed in a cache.
pub(crate) enum Change<K> {
    /// This object came, changed or went.
    One(K),
    /// Everything was listed anew, and this is all there is.
    All(Vec<Arc<K>>),
}

/// Whom changes are told to. What depends on all objects of a kind is done once for each change: a
/// listing has many objects.
#[derive(Clone)]
pub(crate) struct News {
    /// Wakes passes.
    pub(crate) waker: Waker,
    /// What the passes share.
    pub(crate) context: Arc<Context>,
    /// Says whether policies, windows, trusted roots and revocations are in force.
    pub(crate) acceptance: Arc<Acceptance>,
}

impl News {
    /// Environments: which namespaces are watched, and whether promotions have one.
    pub(crate) fn environments(&self, change: &Change<Guarded<Environment>>) {
        self.follow_targets();
        match change {
            Change::One(object) => self.waker.environment_changed(object),
            Change::All(_) => {
                self.waker.all();
                self.waker.unplaced();
            }
        }
    }

    /// Promotions: when those that are not finished were seen first.
    pub(crate) fn promotions(&self, change: &Change<Guarded<Promotion>>) {
        match change {
            Change::One(object) => {
                self.forget_finished(object);
                self.waker.promotion(object);
            }
            Change::All(all) => {
                let unfinished = all.iter().filter(|object| !is_finished(object));
                let uids: HashSet<_> = unfinished.filter_map(|object| object.uid()).collect();
                self.context.first_seen.keep_only(&uids);
                self.waker.all();
                self.waker.unplaced();
            }
        }
    }

    /// Releases: which images need evidence.
    pub(crate) fn releases(&self, change: &Change<Guarded<Release>>) {
        self.forget_unnamed();
        match change {
            Change::One(object) => self.waker.release(object),
            Change::All(_) => self.waker.all(),
        }
    }

    /// Records.
    pub(crate) fn records(&self, change: &Change<Guarded<PromotionRecord>>) {
        match change {
            Change::One(object) => self.waker.record(object),
            Change::All(_) => self.waker.all(),
        }
    }

    /// Policies: whether they are in force.
    pub(crate) fn policies(&self, change: &Change<Guarded<ClusterPromotionPolicy>>) {
        match change {
            Change::One(object) => self.accept_policy(object.clone()),
            Change::All(all) => all
                .iter()
                .for_each(|object| self.accept_policy(object.as_ref().clone())),
        }
        self.waker.all();
    }

    /// Windows: whether they are in force.
    pub(crate) fn windows(&self, change: &Change<Guarded<ChangeWindow>>) {
        match change {
            Change::One(object) => self.accept_window(object.clone()),
            Change::All(all) => all
                .iter()
                .for_each(|object| self.accept_window(object.as_ref().clone())),
        }
        self.waker.all();
    }

    /// Trusted roots: whether they are in force.
    pub(crate) fn trusted_roots(&self, change: &Change<Guarded<TrustedRoot>>) {
        match change {
            Change::One(object) => self.accept_trusted_root(object.clone()),
            Change::All(all) => all
                .iter()
                .for_each(|object| self.accept_trusted_root(object.as_ref().clone())),
        }
        self.waker.all();
    }

    /// Revocations: whether they are in force.
    pub(crate) fn revocations(&self, change: &Change<Guarded<Revocation>>) {
        match change {
            Change::One(object) => self.accept_revocation(object.clone()),
            Change::All(all) => all
                .iter()
                .for_each(|object| self.accept_revocation(object.as_ref().clone())),
        }
        self.waker.all();
    }

    fn accept_policy(&self, object: Guarded<ClusterPromotionPolicy>) {
        let acceptance = self.acceptance.clone();
        tokio::spawn(async move { acceptance.policy(&object).await });
    }

    fn accept_window(&self, object: Guarded<ChangeWindow>) {
        let acceptance = self.acceptance.clone();
        tokio::spawn(async move { acceptance.window(&object).await });
    }

    fn accept_trusted_root(&self, object: Guarded<TrustedRoot>) {
        let acceptance = self.acceptance.clone();
        tokio::spawn(async move { acceptance.trusted_root(&object).await });
    }

    fn accept_revocation(&self, object: Guarded<Revocation>) {
        let acceptance = self.acceptance.clone();
        tokio::spawn(async move { acceptance.revocation(&object).await });
    }

    /// Watches the namespaces of the targets that Environments name now, and no others.
    fn follow_targets(&self) {
        let mut wanted = BTreeSet::new();
        for object in self.waker.stores.readable_environments() {
            let Ok(environment) = &object.0 else { continue };
            let targets = environment.spec.targets.iter();
            wanted.extend(targets.map(|target| target.workload.namespace.clone()));
        }
        self.context.observer.workloads.follow(&wanted);
    }

    /// Keeps evidence only of images that some Release names, or that run or would be gone back to.
    fn forget_unnamed(&self) {
        let releases = self.waker.stores.releases.state();
        let readable = releases.iter().filter_map(|object| object.0.as_ref().ok());
        let components = readable.flat_map(|release| &release.spec.components);
        let named = components.map(|component| component.image.clone());
        let kept = named.chain(self.running()).collect();
        self.context.observer.evidence.forget(&kept);
    }

    /// The images that run or would be gone back to, as the records name them.
    fn running(&self) -> Vec<ImageReference> {
        let stores = &self.waker.stores;
        let mut images = Vec::new();
        for object in stores.readable_environments() {
            let namespace = object.namespace().unwrap_or_default();
            let status = object.0.as_ref().ok().and_then(|o| o.status.as_ref());
            let ran = status.map(|status| [&status.current, &status.last_known_good]);
            for running in ran.into_iter().flatten().flatten() {
                let Some(record) = stores.record(&namespace, &running.record) else {
                    continue;
                };
                let targets = record.0.as_ref().map(|record| &record.spec.content.targets);
                images.extend(
                    targets
                        .into_iter()
                        .flatten()
                        .map(|target| target.to.clone()),
                );
            }
        }
        images
    }

    /// Forgets when a promotion was seen first, once it is finished or gone.
    fn forget_finished(&self, object: &Guarded<Promotion>) {
        let namespace = object.namespace().unwrap_or_default();
        let stored = self.waker.stores.promotion(&namespace, &object.name_any());
        let gone = stored.is_none_or(|stored| stored.uid() != object.uid());
        if gone || is_finished(object) {
            let uid = object.uid().unwrap_or_default();
            self.context.first_seen.forget(&uid);
        }
    }
}

fn is_finished(object: &Guarded<Promotion>) -> bool {
    let promotion = object.0.as_ref().ok();
    let status = promotion.and_then(|promotion| promotion.status.as_ref());
    status.is_some_and(|status| status.record.is_some())
}
