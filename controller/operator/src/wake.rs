//! Which passes a change wakes.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use lockmaster_api::{Environment, Promotion, PromotionRecord, Release};
use lockmaster_core::release::ImageReference;
use lockmaster_observe::records::{ENVIRONMENT_LABEL, named_after};
use lockmaster_observe::stores::{Guarded, Stores};
use tokio::sync::mpsc::UnboundedSender;

/// Names the Environment of a pass.
pub(crate) type EnvironmentRef = ObjectRef<Guarded<Environment>>;
/// Names a Promotion that may have no Environment.
pub(crate) type PromotionRef = ObjectRef<Guarded<Promotion>>;

/// Wakes passes.
#[derive(Clone)]
pub(crate) struct Waker {
    /// Asks for a pass over an Environment.
    pub(crate) environments: UnboundedSender<EnvironmentRef>,
    /// Asks for a look at a Promotion that may have no Environment.
    pub(crate) promotions: UnboundedSender<PromotionRef>,
    /// What is there.
    pub(crate) stores: Stores,
}

impl Waker {
    /// One Environment.
    pub(crate) fn environment(&self, namespace: &str, name: &str) {
        // A closed channel means that the process is on its way out.
        let _ = self
            .environments
            .send(ObjectRef::new(name).within(namespace));
    }

    /// Every Environment.
    pub(crate) fn all(&self) {
        for object in self.stores.readable_environments() {
            self.environment(&object.namespace().unwrap_or_default(), &object.name_any());
        }
    }

    /// A Promotion changed: its Environment looks, and if there is none, somebody says so. One that
    /// cannot be read names no Environment, but may hold one.
    pub(crate) fn promotion(&self, object: &Guarded<Promotion>) {
        let Ok(promotion) = &object.0 else {
            self.held_by(object);
            return;
        };
        let namespace = promotion.namespace().unwrap_or_default();
        self.environment(&namespace, &promotion.spec.environment);
        if !self.is_placed(promotion) {
            // A closed channel means that the process is on its way out.
            let _ = self.promotions.send(ObjectRef::from_obj(object));
        }
    }

    /// The Environments that this Promotion holds.
    fn held_by(&self, object: &Guarded<Promotion>) {
        let namespace = object.namespace().unwrap_or_default();
        for environment in self.stores.readable_environments() {
            let Ok(environment) = &environment.0 else {
                continue;
            };
            let status = environment.status.as_ref();
            let claim = status.and_then(|status| status.active.as_ref());
            let holds =
                claim.is_some_and(|claim| claim.account.promotion.name == object.name_any());
            if holds && environment.namespace().as_deref() == Some(&namespace) {
                self.environment(&namespace, &environment.name_any());
            }
        }
    }

    fn running(&self, image: &ImageReference) {
        for object in self.stores.readable_environments() {
            let Ok(environment) = &object.0 else { continue };
            let status = environment.status.iter();
            let ran = status.flat_map(|status| [&status.current, &status.last_known_good]);
            let mut components = ran.flatten().flat_map(|running| &running.components);
            if components.any(|component| component.digest == *image.digest()) {
                let namespace = object.namespace().unwrap_or_default();
                self.environment(&namespace, &object.name_any());
            }
        }
    }

    /// Every Promotion whose Environment is absent or unreadable.
    pub(crate) fn unplaced(&self) {
        for object in self.stores.promotions.state() {
            let Ok(promotion) = &object.0 else { continue };
            if !self.is_placed(promotion) {
                let _ = self.promotions.send(ObjectRef::from_obj(object.as_ref()));
            }
        }
    }

    fn is_placed(&self, promotion: &Promotion) -> bool {
        let namespace = promotion.namespace().unwrap_or_default();
        self.is_readable(&namespace, &promotion.spec.environment)
    }

    fn is_readable(&self, namespace: &str, environment: &str) -> bool {
        let environment = self.stores.environment(namespace, environment);
        environment.is_some_and(|environment| environment.0.is_ok())
    }

    /// An Environment came, changed or went: itself, and where it is gone or unreadable, the
    /// promotions that name it.
    pub(crate) fn environment_changed(&self, object: &Guarded<Environment>) {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        self.environment(&namespace, &name);
        self.after(&namespace, &name);
        if self.is_readable(&namespace, &name) {
            return;
        }
        for promotion in self.stores.promotions_of(&namespace, &name) {
            let _ = self
                .promotions
                .send(ObjectRef::from_obj(promotion.as_ref()));
        }
    }

    /// A Release: the promotions that name it.
    pub(crate) fn release(&self, object: &Guarded<Release>) {
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
    pub(crate) fn record(&self, object: &Guarded<PromotionRecord>) {
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let recorded = match &object.0 {
            Ok(record) => Some(record.spec.content.environment.name.as_str()),
            Err(_) => object
                .labels()
                .get(ENVIRONMENT_LABEL)
                .map(String::as_str)
                .or_else(|| named_after(&name)),
        };
        let Some(recorded) = recorded else { return };
        self.environment(&namespace, recorded);
        self.after(&namespace, recorded);
    }

    /// The Environments that come after this one.
    fn after(&self, namespace: &str, name: &str) {
        for object in self.stores.readable_environments() {
            let Ok(environment) = &object.0 else { continue };
            let follows = environment
                .spec
                .after
                .iter()
                .any(|after| after.environment == name);
            if follows && environment.namespace().as_deref() == Some(namespace) {
                self.environment(namespace, &environment.name_any());
            }
        }
    }

    /// Something changed in a namespace that holds targets.
    pub(crate) fn workloads(&self, namespace: &str) {
        for object in self.stores.readable_environments() {
            let Ok(environment) = &object.0 else { continue };
            let mut targets = environment.spec.targets.iter();
            if targets.any(|target| target.workload.namespace == namespace) {
                let own = environment.namespace().unwrap_or_default();
                self.environment(&own, &environment.name_any());
            }
        }
    }

    /// Something became known about an image: the promotions that would bring it, and the
    /// Environments where it runs or would be gone back to.
    pub(crate) fn evidence(&self, image: &ImageReference) {
        self.running(image);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    /// Knows these Environments; the receivers say which passes were woken.
    fn waker(
        environments: Vec<Value>,
    ) -> (
        Waker,
        UnboundedReceiver<EnvironmentRef>,
        UnboundedReceiver<PromotionRef>,
    ) {
        let (stored, mut writer) = store();
        for object in environments {
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(object).unwrap()));
        }
        let (by_environment, woken) = unbounded_channel();
        let (by_promotion, unplaced) = unbounded_channel();
        let waker = Waker {
            environments: by_environment,
            promotions: by_promotion,
            stores: Stores {
                environments: stored,
                ..fixtures::stores()
            },
        };
        (waker, woken, unplaced)
    }

    fn environment() -> Value {
        serde_json::to_value(fixtures::environment()).unwrap()
    }

    fn unreadable_promotion() -> Guarded<Promotion> {
        let mut object = serde_json::to_value(fixtures::promotion("p")).unwrap();
        object["spec"]["action"] = json!("Sideways");
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_unreadable_promotion_wakes_the_environment_that_it_holds() {
        let mut held = environment();
        held["status"] = fixtures::held_by_p();
        let (waker, mut woken, _unplaced) = waker(vec![held]);
        waker.promotion(&unreadable_promotion());
        assert_eq!(woken.try_recv().unwrap().name, "prod");
        let (waker, mut woken, _unplaced) = self::waker(vec![environment()]);
        waker.promotion(&unreadable_promotion());
        assert!(woken.try_recv().is_err(), "nobody's");
    }

    #[test]
    fn an_unreadable_record_wakes_its_environment_and_those_after_it() {
        let mut after = environment();
        after["metadata"]["name"] = json!("after-prod");
        after["spec"]["after"] = json!([{"environment": "prod"}]);
        let (waker, mut woken, _unplaced) = waker(vec![environment(), after]);
        let record = json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "PromotionRecord",
            "metadata": {"name": "prod-000001", "namespace": "shop"},
            "spec": {"outcome": "Perhaps"},
        });
        waker.record(&serde_json::from_value(record).unwrap());
        assert_eq!(woken.try_recv().unwrap().name, "prod");
        assert_eq!(woken.try_recv().unwrap().name, "after-prod");
    }

    #[test]
    fn what_becomes_known_of_an_image_wakes_where_it_runs() {
        let image = fixtures::image();
        let mut running = environment();
        running["status"] = json!({"current": {
            "release": "checkout-1.0.0", "version": "1.0.0", "artifactSet": image.digest(),
            "components": [{"component": "checkout", "digest": image.digest()}],
            "since": "2026-11-24T10:00:00Z", "record": "prod-000001",
        }});
        let mut other = environment();
        other["metadata"]["name"] = json!("other");
        let (waker, mut woken, _unplaced) = waker(vec![running, other]);
        waker.evidence(&image);
        assert_eq!(woken.try_recv().unwrap().name, "prod");
        assert!(woken.try_recv().is_err());
    }

    #[test]
    fn what_an_environment_says_wakes_those_after_it() {
        let mut after = environment();
        after["metadata"]["name"] = json!("after-prod");
        after["spec"]["after"] = json!([{"environment": "prod"}]);
        let (waker, mut woken, _unplaced) = waker(vec![environment(), after]);
        waker.environment_changed(&serde_json::from_value(environment()).unwrap());
        assert_eq!(woken.try_recv().unwrap().name, "prod");
        assert_eq!(woken.try_recv().unwrap().name, "after-prod");
    }

    #[test]
    fn promotions_are_looked_at_alone_only_without_a_readable_environment() {
        let promotion =
            serde_json::from_value(serde_json::to_value(fixtures::promotion("p")).unwrap());
        let promotion: Guarded<Promotion> = promotion.unwrap();
        let (waker, _woken, mut unplaced) = waker(vec![environment()]);
        waker.promotion(&promotion);
        assert!(unplaced.try_recv().is_err());
        let (waker, _woken, mut unplaced) = self::waker(vec![]);
        waker.promotion(&promotion);
        assert_eq!(unplaced.try_recv().unwrap().name, "p");
    }
}
