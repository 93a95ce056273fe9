//! Is the workload there, does it consent, and can the change be watched? (M74, M146)

use crate::case::{Case, container_of};
use crate::environment::{CONSENT_ANNOTATION, Target as Reference};
use crate::facts::{Cause, Observed, Workload};
use crate::gate::{Finding, Gate};
use crate::reason::Reason;

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
        Some(other) => {
            return Finding::deny(
                Reason::TargetTaken,
                format!(
                    "{name} consents to {} and to nobody else",
                    crate::release::clip(other)
                ),
            );
        }
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
    if workload.replicas == 0 {
        return Finding::hold(
            Reason::ScaledToZero,
            format!(
                "{name} has 0 replicas, so nothing could prove the release healthy; scale it up"
            ),
        );
    }
    Finding::pass(
        Reason::TargetReady,
        format!("{name}, container {}, consents", container.name),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unavailable;
    use crate::fixtures::{ask, check, ready, the_workload};
    use crate::gate::Verdict::{Deny, Hold, Pass, Unknown};
    use crate::snapshot::Snapshot;

    fn unavailable(snapshot: &mut Snapshot, cause: Cause) {
        let message = "may not read it: grant a Role in shop-prod".into();
        snapshot.facts.workloads[0] = Observed::Unavailable(Unavailable { cause, message });
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
                    "consents to shop/checkout-prod2 and to nobody else",
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
