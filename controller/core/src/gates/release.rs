//! Does the release exist, and may it go there at all? (M01, M02, M07, M96, M104)

use crate::case::Case;
use crate::environment::Tier;
use crate::facts::{Cause, Observed};
use crate::gate::{Finding, Gate};
use crate::promotion::Action;
use crate::reason::Reason;
use crate::release;

/// See the module.
#[derive(Debug)]
pub(super) struct Release;

impl Gate for Release {
    fn name(&self) -> &'static str {
        "release"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::ReleaseAccepted,
            Reason::ReleaseNotFound,
            Reason::ReleaseInvalid,
            Reason::ProductMismatch,
            Reason::PreReleaseInProduction,
            Reason::VersionNotNewer,
            Reason::NoKnownGoodRecord,
            Reason::SourceNotAllowed,
            Reason::NoPolicy,
            Reason::PolicyInvalid,
            Reason::NamespaceUnknown,
            Reason::RecordsUnreadable,
        ]
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        let release = match release_of(case) {
            Ok(release) => release,
            Err(finding) => return finding,
        };
        rules_known(case)
            .or_else(|| history_known(case))
            .or_else(|| belongs(case, release))
            .or_else(|| sources(case, release))
            .or_else(|| match case.promotion.request.action {
                Action::Promote => moves_forward(case, release),
                Action::Rollback => was_good_here(case, release),
            })
            .unwrap_or_else(|| {
                let text = format!("{} {} may go here", release.product, release.version);
                Finding::pass(Reason::ReleaseAccepted, text)
            })
    }
}

fn release_of<'a>(case: &Case<'a>) -> Result<&'a release::Release, Finding> {
    let name = &case.promotion.request.release;
    match case.facts.releases.get(name) {
        Some(Observed::Known(release)) => Ok(release),
        Some(Observed::Unavailable(why)) if why.cause != Cause::Missing => {
            Err(Finding::deny(Reason::ReleaseInvalid, why.message.clone()))
        }
        None | Some(Observed::Pending | Observed::Unavailable(_)) => Err(Finding::hold(
            Reason::ReleaseNotFound,
            format!(
                "Release {name} does not exist in namespace {}; create it, or see what there is: \
                 kubectl get releases.lockmaster.dev -n {0}",
                case.promotion.namespace
            ),
        )),
    }
}

/// Versions are compared with what ran before, and a finished request is known by its record.
fn history_known(case: &Case<'_>) -> Option<Finding> {
    let problem = case.facts.records_problem.as_ref()?;
    let text = format!(
        "nobody can tell what ran here: {problem}; the cluster's administrators mend it \
         (docs/how-to/mend-records.md)"
    );
    Some(Finding::unknown(Reason::RecordsUnreadable, text))
}

/// Without readable rules nothing is open: what an unreadable policy covers cannot be known.
fn rules_known(case: &Case<'_>) -> Option<Finding> {
    let unseen = case
        .environment
        .namespaces()
        .find(|name| !case.facts.namespaces.contains_key(*name));
    if let Some(namespace) = unseen {
        return Some(Finding::unknown(
            Reason::NamespaceUnknown,
            format!(
                "namespace {namespace} was not seen, so the effective tier is not known; check \
                 that it exists: kubectl get namespace {namespace}"
            ),
        ));
    }
    let invalid = case
        .facts
        .policies
        .iter()
        .find_map(|fact| Some((fact, fact.content.as_ref().err()?)));
    if let Some((fact, problem)) = invalid {
        return Some(Finding::deny(
            Reason::PolicyInvalid,
            format!(
                "ClusterPromotionPolicy {0} cannot be read, so every Environment is closed until \
                 it is deleted, and created anew with what is mended: {problem}; kubectl delete \
                 clusterpromotionpolicies.lockmaster.dev {0}",
                fact.name
            ),
        ));
    }
    (case.policies.is_empty() && case.tier > Tier::Development).then(|| {
        Finding::deny(
            Reason::NoPolicy,
            format!(
                "no ClusterPromotionPolicy matches this Environment, and without one only tier \
                 Development is open; its effective tier is {}",
                case.tier
            ),
        )
    })
}

fn belongs(case: &Case<'_>, release: &release::Release) -> Option<Finding> {
    if release.product != case.environment.product {
        return Some(Finding::deny(
            Reason::ProductMismatch,
            format!(
                "Release {} is of product {}, this Environment runs {}",
                release.name, release.product, case.environment.product
            ),
        ));
    }
    (release.version.is_pre_release() && case.tier == Tier::Production).then(|| {
        Finding::deny(
            Reason::PreReleaseInProduction,
            format!(
                "{} is a pre-release and never enters tier Production",
                release.version
            ),
        )
    })
}

fn sources(case: &Case<'_>, release: &release::Release) -> Option<Finding> {
    let (namespace, product) = (&case.environment.namespace, &release.product);
    for (fact, content) in &case.policies {
        let rules = &content.policy.sources;
        if rules.is_empty() {
            continue;
        }
        let refused = release.components.iter().find(|component| {
            !rules
                .iter()
                .any(|rule| rule.covers(namespace, product) && rule.allows_image(&component.image))
        });
        if let Some(component) = refused {
            return Some(Finding::deny(
                Reason::SourceNotAllowed,
                format!(
                    "policy {0} does not give image repository {1} to product {product} in namespace \
                     {namespace}; a policy never changes, so its owners would create one that \
                     lists it in spec.sources[].imageRepositories, and delete {0}",
                    fact.name,
                    component.image.repository()
                ),
            ));
        }
    }
    None
}

fn moves_forward(case: &Case<'_>, release: &release::Release) -> Option<Finding> {
    let running = case.running_record()?.content.release.as_ref()?;
    let same_artifacts_without_record = || {
        release.artifact_set().ok().is_some_and(|set| {
            !case
                .facts
                .records
                .iter()
                .any(|record| record.content.is_about(&set))
        })
    };
    let newer = release.version > running.version
        || (release.version == running.version && same_artifacts_without_record());
    (!newer).then(|| {
        Finding::deny(
            Reason::VersionNotNewer,
            format!(
                "{} succeeded here last, and {} is not newer; to go back on purpose: kubectl promote \
                 create {} --to {} -n {} --rollback --reason \"...\" --incident ID",
                running.version,
                release.version,
                release.name,
                case.environment.name,
                case.environment.namespace
            ),
        )
    })
}

fn was_good_here(case: &Case<'_>, release: &release::Release) -> Option<Finding> {
    let set = release.artifact_set().ok();
    let good = case
        .facts
        .records
        .iter()
        .any(|record| set.as_ref().is_some_and(|set| record.succeeded_with(set)));
    (!good).then(|| {
        Finding::deny(
            Reason::NoKnownGoodRecord,
            format!(
                "{} has never succeeded in this Environment, so there is nothing to go back to; \
                 what has: kubectl get promotionrecords.lockmaster.dev -n {}",
                release.version, case.environment.namespace
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unavailable;
    use crate::fixtures::{ask, check, ready, record, roll_back, with_policy};
    use crate::gate::Verdict::{Deny, Hold, Pass, Unknown};
    use crate::record::Outcome;
    use crate::release::Version;
    use crate::snapshot::Snapshot;

    fn promoted(snapshot: &mut Snapshot) -> &mut Observed<release::Release> {
        snapshot.facts.releases.get_mut("checkout-1.42.0").unwrap()
    }

    fn change(snapshot: &mut Snapshot, change: impl FnOnce(&mut release::Release)) {
        match promoted(snapshot) {
            Observed::Known(release) => change(release),
            other => panic!("{other:?}"),
        }
    }

    fn unavailable(cause: Cause) -> Observed<release::Release> {
        let message = "spec.version: \"latest\" is not a version".into();
        Observed::Unavailable(Unavailable { cause, message })
    }

    fn ended(snapshot: &mut Snapshot, version: &str, outcome: Outcome) {
        let sequence = snapshot.facts.newest_record().unwrap().content.sequence + 1;
        let record = record(snapshot, sequence, version, outcome);
        snapshot.facts.records.push(record);
    }

    #[test]
    fn every_reason() {
        check(
            &Release,
            &[
                (|_| {}, Pass, Reason::ReleaseAccepted, "1.42.0 may go here"),
                (
                    |s| drop(s.facts.releases.remove("checkout-1.42.0")),
                    Hold,
                    Reason::ReleaseNotFound,
                    "kubectl get releases",
                ),
                (
                    |s| *promoted(s) = unavailable(Cause::Missing),
                    Hold,
                    Reason::ReleaseNotFound,
                    "does not exist in namespace shop",
                ),
                (
                    |s| *promoted(s) = unavailable(Cause::Untrustworthy),
                    Deny,
                    Reason::ReleaseInvalid,
                    "is not a version",
                ),
                (
                    |s| change(s, |release| release.product = "search".into()),
                    Deny,
                    Reason::ProductMismatch,
                    "is of product search",
                ),
                (
                    |s| change(s, |r| r.version = Version::parse("1.42.0-rc.1").unwrap()),
                    Deny,
                    Reason::PreReleaseInProduction,
                    "never enters tier Production",
                ),
                (
                    |s| ended(s, "1.43.0", Outcome::Succeeded),
                    Deny,
                    Reason::VersionNotNewer,
                    "kubectl promote create checkout-1.42.0 --to checkout-prod -n shop --rollback",
                ),
                (
                    |s| s.promotions[0].request.action = Action::Rollback,
                    Deny,
                    Reason::NoKnownGoodRecord,
                    "has never succeeded",
                ),
                (
                    |s| s.facts.records_problem = Some("checkout-prod-000001 is missing".into()),
                    Unknown,
                    Reason::RecordsUnreadable,
                    "nobody can tell what ran here: checkout-prod-000001 is missing",
                ),
                (roll_back, Pass, Reason::ReleaseAccepted, "may go here"),
                (
                    |s| with_policy(s, |p| p.sources[0].namespaces = vec!["other".into()]),
                    Deny,
                    Reason::SourceNotAllowed,
                    "a policy never changes, so its owners would create one that lists it",
                ),
                (
                    |s| s.facts.policies.clear(),
                    Deny,
                    Reason::NoPolicy,
                    "effective tier is Production",
                ),
                (
                    |s| s.facts.policies[0].content = Err("unknown field bogus".into()),
                    Deny,
                    Reason::PolicyInvalid,
                    "unknown field bogus",
                ),
                (
                    |s| drop(s.facts.namespaces.remove("shop-prod")),
                    Unknown,
                    Reason::NamespaceUnknown,
                    "kubectl get namespace shop-prod",
                ),
            ],
        );
    }

    fn reason(spoil: impl FnOnce(&mut Snapshot)) -> Reason {
        let mut snapshot = ready();
        spoil(&mut snapshot);
        ask(&Release, &snapshot).reason
    }

    #[test]
    fn the_same_version_goes_twice_only_with_other_artifacts() {
        let same = reason(|s| ended(s, "1.42.0", Outcome::Succeeded));
        assert_eq!(same, Reason::VersionNotNewer);
        let rebuilt = reason(|s| {
            ended(s, "1.42.0", Outcome::Succeeded);
            change(s, |r| {
                r.components[0].image = crate::fixtures::image("1.42.0 again")
            });
        });
        // Of another repository rule nothing is said here: the image is of the same repository.
        assert_eq!(rebuilt, Reason::ReleaseAccepted);
        let tried = reason(|s| ended(s, "1.42.0", Outcome::RolledBack));
        assert_eq!(
            tried,
            Reason::ReleaseAccepted,
            "a failed one may be tried again"
        );
    }

    #[test]
    fn what_never_succeeded_is_nothing_to_go_back_to() {
        let failed = reason(|s| {
            ended(s, "1.42.0", Outcome::Failed);
            s.promotions[0].request.action = Action::Rollback;
        });
        assert_eq!(failed, Reason::NoKnownGoodRecord);
    }

    #[test]
    fn the_first_release_of_an_environment_is_newer_than_nothing() {
        assert_eq!(reason(|s| s.facts.records.clear()), Reason::ReleaseAccepted);
    }

    #[test]
    fn an_unreadable_policy_closes_development_too() {
        let snapshot = |tier| {
            move |s: &mut Snapshot| {
                s.environment.tier = tier;
                s.facts.policies[0].content = Err("x".into());
            }
        };
        assert_eq!(reason(snapshot(Tier::Development)), Reason::PolicyInvalid);
    }
}
