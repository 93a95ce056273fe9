//! What differs between two plans, for whoever agreed to one of them.

use std::collections::BTreeMap;

use super::{Plan, PlanEnvironment};
use crate::promotion::IntentTarget;
use crate::release::clip;

/// Most changes that are named one by one.
const NAMED_LIMIT: usize = 8;

/// What differs, in a few words each; nothing where one of them cannot be read, or nothing is known to
/// differ.
pub(crate) fn changes(before: &str, after: &str) -> Vec<String> {
    let read = |preimage: &str| serde_json::from_str::<Plan>(preimage).ok();
    let (Some(before), Some(after)) = (read(before), read(after)) else {
        return Vec::new();
    };
    let Plan {
        // The same for all plans of one Promotion.
        cluster: _,
        promotion: _,
        action: _,
        requested_by,
        release,
        artifact_set,
        environment,
        targets,
        window,
        windows,
        policies,
        trusted_roots,
    } = &before;
    let differs = [
        (
            (release, artifact_set) != (&after.release, &after.artifact_set),
            "the Release is another one",
        ),
        (
            *requested_by != after.requested_by,
            "the requester is another one",
        ),
        (
            *window != after.window,
            "the annotation lockmaster.dev/window changed",
        ),
    ];
    let differs = differs.into_iter().filter(|(differs, _)| *differs);
    let mut found: Vec<_> = differs.map(|(_, text)| text.to_owned()).collect();
    found.extend(of_environment(environment, &after.environment));
    found.extend(of_targets(targets, &after.targets));
    found.extend(came_and_went(
        "ChangeWindow",
        (windows, &after.windows),
        |one| &one.name,
    ));
    found.extend(came_and_went(
        "policy",
        (policies, &after.policies),
        |one| &one.name,
    ));
    found.extend(came_and_went(
        "TrustedRoot",
        (trusted_roots, &after.trusted_roots),
        |one| &one.name,
    ));
    clipped(found)
}

/// With the rest as a number.
fn clipped(mut found: Vec<String>) -> Vec<String> {
    let more = found.len().saturating_sub(NAMED_LIMIT);
    if more > 0 {
        found.truncate(NAMED_LIMIT);
        found.push(format!("{more} more"));
    }
    found
}

fn of_environment(before: &PlanEnvironment, after: &PlanEnvironment) -> Vec<String> {
    let PlanEnvironment {
        uid,
        // A promotion is to one name.
        key: _,
        effective_tier: was,
        after: upstream,
        deadline,
        automatic_rollback,
    } = before;
    if *uid != after.uid {
        return vec!["the Environment is another one of this name".to_owned()];
    }
    let mut found = Vec::new();
    let is = after.effective_tier;
    if *was != is {
        found.push(format!("the tier of the Environment is {is} and was {was}"));
    }
    let others = [
        ("spec.after", *upstream != after.after),
        ("spec.health.deadline", *deadline != after.deadline),
        (
            "spec.health.automaticRollback",
            *automatic_rollback != after.automatic_rollback,
        ),
    ];
    let changed = others.into_iter().filter(|(_, differs)| *differs);
    found.extend(changed.map(|(field, _)| format!("{field} of the Environment changed")));
    found
}

fn of_targets(before: &[IntentTarget], after: &[IntentTarget]) -> Vec<String> {
    let by_place = |targets: &[IntentTarget]| -> BTreeMap<String, IntentTarget> {
        let placed = targets.iter().map(|target| {
            let IntentTarget {
                workload,
                container,
                ..
            } = target;
            (format!("{workload}, container {container}"), target.clone())
        });
        placed.collect()
    };
    let (before, after) = (by_place(before), by_place(after));
    let mut found = Vec::new();
    for (place, is) in &after {
        let Some(was) = before.get(place) else {
            found.push(format!("{place}, is new"));
            continue;
        };
        if was.from != is.from {
            found.push(format!(
                "{place}, runs another image now ({})",
                clip(&is.from)
            ));
        } else if was.uid != is.uid {
            found.push(format!("{place}, was created anew"));
        } else if was != is {
            found.push(format!("{place}: what is set or who owns it changed"));
        }
    }
    let gone = before.keys().filter(|place| !after.contains_key(*place));
    found.extend(gone.map(|place| format!("{place}, is gone")));
    found
}

fn came_and_went<T: PartialEq>(
    kind: &str,
    (before, after): (&[T], &[T]),
    name: impl Fn(&T) -> &String,
) -> Vec<String> {
    let was = |one: &T| before.iter().find(|other| name(other) == name(one));
    let mut found = Vec::new();
    for one in after {
        match was(one) {
            None => found.push(format!("{kind} {} is new", name(one))),
            Some(before) if before != one => found.push(format!("{kind} {} changed", name(one))),
            Some(_) => {}
        }
    }
    let is_gone = |one: &&T| !after.iter().any(|other| name(other) == name(one));
    let gone = before.iter().filter(is_gone);
    found.extend(gone.map(|one| format!("{kind} {} is gone", name(one))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Span, Tier};
    use crate::fixtures::{digest, publish, ready};
    use crate::plan::PlanRoot;

    /// A change, and how it is called.
    type Case = (fn(&mut Plan), &'static str);

    fn changed(change: impl FnOnce(&mut Plan)) -> Vec<String> {
        let before = publish(&mut ready()).preimage;
        let mut plan: Plan = serde_json::from_str(&before).unwrap();
        change(&mut plan);
        changes(&before, &serde_json::to_string(&plan).unwrap())
    }

    #[test]
    fn each_part_of_a_plan_is_named_when_it_changes() {
        assert_eq!(changed(|_| {}), [""; 0]);
        let cases: [Case; 19] = [
            (
                |p| p.artifact_set = digest("other"),
                "the Release is another one",
            ),
            (
                |p| p.environment.deadline = Span::seconds(1),
                "spec.health.deadline of the Environment changed",
            ),
            (
                |p| p.targets[0].owners.push("x".into()),
                "Deployment shop-prod/checkout, container app: what is set or who owns it changed",
            ),
            (
                |p| {
                    let mut second = p.targets[0].clone();
                    second.container = "second".into();
                    p.targets.push(second);
                },
                "Deployment shop-prod/checkout, container second, is new",
            ),
            (|p| p.windows.clear(), "ChangeWindow business-hours is gone"),
            (
                |p| {
                    p.trusted_roots.push(PlanRoot {
                        name: "sigstore".into(),
                        digest: digest("root"),
                    });
                },
                "TrustedRoot sigstore is new",
            ),
            (
                |p| p.release = digest("other"),
                "the Release is another one",
            ),
            (
                |p| p.requested_by.name = "eve@corp".into(),
                "the requester is another one",
            ),
            (
                |p| p.environment.uid.push('x'),
                "the Environment is another one of this name",
            ),
            (
                |p| p.environment.effective_tier = Tier::Staging,
                "the tier of the Environment is Staging and was Production",
            ),
            (
                |p| p.environment.after.clear(),
                "spec.after of the Environment changed",
            ),
            (
                |p| p.environment.automatic_rollback ^= true,
                "spec.health.automaticRollback of the Environment changed",
            ),
            (
                |p| p.targets[0].from = "registry.example/shop/checkout:9".into(),
                "Deployment shop-prod/checkout, container app, runs another image now \
                 (registry.example/shop/checkout:9)",
            ),
            (
                |p| p.targets[0].uid.push('x'),
                "Deployment shop-prod/checkout, container app, was created anew",
            ),
            (
                |p| p.targets.clear(),
                "Deployment shop-prod/checkout, container app, is gone",
            ),
            (
                |p| p.window = Some("x".into()),
                "the annotation lockmaster.dev/window changed",
            ),
            (
                |p| p.windows[0].generation += 1,
                "ChangeWindow business-hours changed",
            ),
            (
                |p| p.policies[0].digest = digest("other"),
                "policy production changed",
            ),
            (|p| p.policies.clear(), "policy production is gone"),
        ];
        for (change, expect) in cases {
            assert_eq!(changed(change), [expect]);
        }
    }

    #[test]
    fn only_some_are_named_one_by_one() {
        let many = changed(|plan| {
            let policy = plan.policies[0].clone();
            plan.policies = (0..10)
                .map(|number| {
                    let mut policy = policy.clone();
                    policy.name = format!("p{number}");
                    policy
                })
                .collect();
        });
        assert_eq!(many.len(), NAMED_LIMIT + 1);
        assert_eq!((&*many[0], &*many[8]), ("policy p0 is new", "3 more"));
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        assert_eq!(changes("{}", &publish(&mut ready()).preimage), [""; 0]);
    }
}
