//! Is the workload there, does it consent, and can the change be watched? (M74, M146)

use crate::case::{Case, container_of};
use crate::environment::{CONSENT_ANNOTATION, Target as Reference, WorkloadReference};
use crate::facts::{Cause, Observed, Workload};
use crate::gate::{Finding, Gate};
use crate::policy::{PolicyContent, UncoveredContainers};
use crate::reason::Reason;
use crate::release::{ImageReference, clip};

/// See the module.
#[derive(Debug)]
pub(super) struct Target;

impl Gate for Target {
    fn name(&self) -> &'static str {
        "target"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::TargetReady,
            Reason::TargetNotFound,
            Reason::TargetNotReadable,
            Reason::NotAuthorizedByTarget,
            Reason::TargetTaken,
            Reason::ContainerNotFound,
            Reason::ComponentNotFound,
            Reason::FloatingImage,
            Reason::ScaledToZero,
        ]
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        let seen = case.environment.targets.iter().zip(&case.facts.workloads);
        let findings: Vec<_> = seen
            .map(|(target, workload)| match workload {
                Observed::Known(workload) => ready(case, target, workload),
                Observed::Pending => Finding::unknown(
                    Reason::TargetNotReadable,
                    format!("reading {} for the first time", target.workload),
                ),
                Observed::Unavailable(why) if why.cause == Cause::Missing => Finding::hold(
                    Reason::TargetNotFound,
                    format!(
                        "{} does not exist; the operator never creates one",
                        target.workload
                    ),
                ),
                Observed::Unavailable(why) => {
                    Finding::unknown(Reason::TargetNotReadable, why.message.clone())
                }
            })
            .collect();
        Finding::worst(findings).unwrap_or_else(|| {
            Finding::deny(Reason::TargetNotFound, "the Environment names no target")
        })
    }
}

fn ready(case: &Case<'_>, target: &Reference, workload: &Workload) -> Finding {
    let key = case.environment.key();
    let name = &target.workload;
    match &workload.consent {
        Some(consent) if *consent == key => {}
        Some(other) => return taken(case, name, other),
        None => {
            return Finding::deny(
                Reason::NotAuthorizedByTarget,
                format!(
                    "{name} does not consent; its owner runs: kubectl annotate deployment {} -n {} \
                     {CONSENT_ANNOTATION}={key}",
                    name.name, name.namespace
                ),
            );
        }
    }
    let Some(container) = container_of(workload, target) else {
        let names: Vec<_> = workload
            .containers
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        return Finding::deny(
            Reason::ContainerNotFound,
            format!(
                "{name} has the containers {}; name one in spec.targets",
                names.join(", ")
            ),
        );
    };
    if case.release.is_some() && case.component_of(target).is_none() {
        return Finding::deny(
            Reason::ComponentNotFound,
            format!(
                "the Release has no component {}; name one of its components in spec.targets",
                target.component.as_deref().unwrap_or("for this target")
            ),
        );
    }
    let floating = floating(case, target, workload);
    let denies = |(_, content): &(_, &PolicyContent)| {
        content.policy.uncovered_containers == Some(UncoveredContainers::Deny)
    };
    if !floating.is_empty() && case.policies.iter().any(denies) {
        return Finding::deny(
            Reason::FloatingImage,
            format!(
                "{name} has images that nobody pinned: {}; name each by its digest in the workload",
                floating.join(", ")
            ),
        );
    }
    if workload.replicas == 0 {
        return Finding::hold(
            Reason::ScaledToZero,
            format!(
                "{name} has 0 replicas, so nothing could prove the release healthy; scale it up"
            ),
        );
    }
    let told = told(case, &floating);
    let text = format!("{name}, container {}, consents{told}", container.name);
    Finding::pass(Reason::TargetReady, text)
}

/// Whom a workload consents to is told as far as it is for people of this namespace: whoever may write
/// an Environment names any workload of the cluster in it, and has not seen its annotations by that.
fn taken(case: &Case<'_>, name: &WorkloadReference, consent: &str) -> Finding {
    let other = match consent.split_once('/') {
        Some((namespace, _)) if namespace == case.environment.namespace => clip(consent),
        Some(_) | None => "an Environment of another namespace".to_owned(),
    };
    Finding::deny(
        Reason::TargetTaken,
        format!(
            "{name} consents to {other} and to nobody else; its owner decides by the annotation \
             {CONSENT_ANNOTATION}, or name another workload in spec.targets"
        ),
    )
}

/// What is said of floating images where a policy wants them told.
fn told(case: &Case<'_>, floating: &[String]) -> String {
    let asks = |(_, content): &(_, &PolicyContent)| content.policy.uncovered_containers.is_some();
    if floating.is_empty() || !case.policies.iter().any(asks) {
        return String::new();
    }
    format!(
        "; it has images that nobody pinned: {}",
        floating.join(", ")
    )
}

/// The containers of the workload, init containers included, that no target of the Environment sets
/// and whose image is not named by digest, as `NAME (IMAGE)` (M146).
fn floating(case: &Case<'_>, target: &Reference, workload: &Workload) -> Vec<String> {
    let set: Vec<&str> = case
        .environment
        .targets
        .iter()
        .filter(|other| other.workload == target.workload)
        .filter_map(|other| Some(container_of(workload, other)?.name.as_str()))
        .collect();
    let containers = workload.containers.iter();
    let others = containers
        .map(|container| (&container.name, &container.image))
        .filter(|(name, _)| !set.contains(&name.as_str()))
        .chain(&workload.init_images);
    others
        .filter(|(_, image)| ImageReference::parse(image).is_err())
        .map(|(name, image)| format!("{} ({})", clip(name), clip(image)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unavailable;
    use crate::fixtures::{ask, check, ready, the_workload, with_policy};
    use crate::gate::Verdict::{Deny, Hold, Pass, Unknown};
    use crate::snapshot::Snapshot;

    fn unavailable(snapshot: &mut Snapshot, cause: Cause) {
        let message = "may not read it: grant a Role in shop-prod".into();
        snapshot.facts.workloads[0] = Observed::Unavailable(Unavailable { cause, message });
    }

    fn deny(snapshot: &mut Snapshot, rule: UncoveredContainers) {
        with_policy(snapshot, |policy| policy.uncovered_containers = Some(rule));
        snapshot.environment.targets[0].container = Some("app".into());
    }

    fn sidecar(snapshot: &mut Snapshot, image: &str, rule: UncoveredContainers) {
        deny(snapshot, rule);
        let workload = the_workload(snapshot);
        let mut sidecar = workload.containers[0].clone();
        (sidecar.name, sidecar.image) = ("mesh".into(), image.into());
        workload.containers.push(sidecar);
    }

    #[test]
    fn every_reason() {
        check(
            &Target,
            &[
                (
                    |_| {},
                    Pass,
                    Reason::TargetReady,
                    "Deployment shop-prod/checkout, container app",
                ),
                (
                    |s| sidecar(s, "registry.example/mesh:1.2", UncoveredContainers::Deny),
                    Deny,
                    Reason::FloatingImage,
                    "mesh (registry.example/mesh:1.2); name each by its digest",
                ),
                (
                    |s| sidecar(s, "registry.example/mesh:1.2", UncoveredContainers::Report),
                    Pass,
                    Reason::TargetReady,
                    "images that nobody pinned: mesh",
                ),
                (
                    |s| {
                        let pinned = crate::fixtures::image("1.0.0").to_string();
                        sidecar(s, &pinned, UncoveredContainers::Deny);
                    },
                    Pass,
                    Reason::TargetReady,
                    "container app, consents",
                ),
                (
                    |s| {
                        the_workload(s).init_images = [("setup".into(), "setup".into())].into();
                        deny(s, UncoveredContainers::Deny);
                    },
                    Deny,
                    Reason::FloatingImage,
                    "setup (setup)",
                ),
                (
                    |s| unavailable(s, Cause::Missing),
                    Hold,
                    Reason::TargetNotFound,
                    "the operator never creates one",
                ),
                (
                    |s| s.environment.targets.clear(),
                    Deny,
                    Reason::TargetNotFound,
                    "names no target",
                ),
                (
                    |s| unavailable(s, Cause::Forbidden),
                    Unknown,
                    Reason::TargetNotReadable,
                    "grant a Role",
                ),
                (
                    |s| s.facts.workloads[0] = Observed::Pending,
                    Unknown,
                    Reason::TargetNotReadable,
                    "for the first time",
                ),
                (
                    |s| the_workload(s).consent = None,
                    Deny,
                    Reason::NotAuthorizedByTarget,
                    "kubectl annotate deployment checkout -n shop-prod \
                     lockmaster.dev/authorized-by=shop/checkout-prod",
                ),
                (
                    |s| the_workload(s).consent = Some("shop/checkout-prod2".into()),
                    Deny,
                    Reason::TargetTaken,
                    "consents to shop/checkout-prod2 and to nobody else; its owner decides",
                ),
                (
                    |s| the_workload(s).consent = Some("rival/secret-plan".into()),
                    Deny,
                    Reason::TargetTaken,
                    "consents to an Environment of another namespace and to nobody else",
                ),
                (
                    |s| the_workload(s).consent = Some("shop".into()),
                    Deny,
                    Reason::TargetTaken,
                    "consents to an Environment of another namespace and to nobody else",
                ),
                (
                    |s| s.environment.targets[0].container = Some("web".into()),
                    Deny,
                    Reason::ContainerNotFound,
                    "has the containers app",
                ),
                (
                    |s| {
                        let mut other = the_workload(s).containers[0].clone();
                        other.name = "proxy".into();
                        the_workload(s).containers.push(other);
                    },
                    Deny,
                    Reason::ContainerNotFound,
                    "app, proxy; name one",
                ),
                (
                    |s| s.environment.targets[0].component = Some("worker".into()),
                    Deny,
                    Reason::ComponentNotFound,
                    "no component worker",
                ),
                (
                    |s| the_workload(s).replicas = 0,
                    Hold,
                    Reason::ScaledToZero,
                    "scale it up",
                ),
            ],
        );
    }

    #[test]
    fn consent_is_asked_before_anything_is_told_of_the_workload() {
        let mut snapshot = ready();
        the_workload(&mut snapshot).consent = None;
        snapshot.environment.targets[0].container = Some("web".into());
        assert_eq!(
            ask(&Target, &snapshot).reason,
            Reason::NotAuthorizedByTarget
        );
    }

    #[test]
    fn a_workload_without_an_observation_is_not_ready() {
        let mut snapshot = ready();
        snapshot.facts.workloads.clear();
        assert_ne!(ask(&Target, &snapshot).verdict, Pass);
    }
}
