//! The published plan, read from the very bytes that its hash covers.

use lockmaster_core::canonical::{Domain, hash_text};
use lockmaster_core::plan::{Plan, PublishedPlan, bound_hash};

use crate::failure::{Exit, Failure};

/// Reads a published plan, after computing its hashes again: what is shown and approved is what the
/// hash covers, not what else a status says.
pub(crate) fn read(published: &PublishedPlan, promotion_uid: &str) -> Result<Plan, Failure> {
    let refuse = |problem: &str| {
        Failure::new(
            Exit::EvidenceInvalid,
            format!(
                "the published plan cannot be trusted: {problem}; nothing was written; tell \
                 whoever runs Lockmaster"
            ),
        )
    };
    let PublishedPlan {
        hash,
        content,
        preimage,
        minted_at: _,
        guard_epoch,
        changed: _,
    } = published;
    if hash_text(Domain::Plan, preimage) != *content {
        return Err(refuse("its content is not that of status.plan.content"));
    }
    if bound_hash(content, guard_epoch) != *hash {
        return Err(refuse(
            "status.plan.hash is not made from its content and guard epoch",
        ));
    }
    let plan: Plan =
        serde_json::from_str(preimage).map_err(|_| refuse("its content cannot be read"))?;
    if plan.promotion != promotion_uid {
        return Err(refuse("it is the plan of another Promotion"));
    }
    Ok(plan)
}

/// What the plan changes, as indented lines: workload, then the image before and after.
pub(crate) fn change(plan: &Plan) -> String {
    let targets = plan.targets.iter().map(|target| {
        format!(
            "  {}, container {}\n    - {}\n    + {}\n",
            target.workload, target.container, target.from, target.to
        )
    });
    targets.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use lockmaster_core::environment::{
        Span, Tier, WorkloadApiVersion, WorkloadKind, WorkloadReference,
    };
    use lockmaster_core::plan::PlanEnvironment;
    use lockmaster_core::promotion::{Action, IntentTarget, Requester};
    use lockmaster_core::record::PolicyReference;
    use lockmaster_core::release::{Digest, ImageReference};

    use super::*;

    pub(crate) fn published() -> PublishedPlan {
        let image = |text: &str| {
            format!(
                "registry.example/shop/checkout@{}",
                Digest::of(text.as_bytes())
            )
        };
        let plan = Plan {
            cluster: "cluster-uid".into(),
            promotion: "promotion-uid".into(),
            action: Action::Promote,
            requested_by: Requester::of_annotation(Some("bob@corp")),
            release: Digest::of(b"release"),
            artifact_set: Digest::of(b"set"),
            environment: PlanEnvironment {
                uid: "environment-uid".into(),
                key: "shop/checkout-prod".into(),
                effective_tier: Tier::Production,
                after: vec![],
                deadline: Span::seconds(600),
                automatic_rollback: true,
            },
            targets: vec![IntentTarget {
                component: "checkout".into(),
                workload: WorkloadReference {
                    api_version: WorkloadApiVersion::AppsV1,
                    kind: WorkloadKind::Deployment,
                    name: "checkout".into(),
                    namespace: "shop-prod".into(),
                },
                uid: "workload-uid".into(),
                container: "app".into(),
                owners: vec![],
                from: image("old"),
                to: ImageReference::parse(&image("new")).unwrap(),
            }],
            window: None,
            windows: vec![],
            trusted_roots: vec![],
            policies: vec![PolicyReference {
                name: "production".into(),
                uid: "policy-uid".into(),
                digest: Digest::of(b"policy"),
            }],
        };
        let minted = plan.mint().unwrap();
        let guard_epoch = Digest::of(b"epoch");
        PublishedPlan {
            hash: bound_hash(&minted.content, &guard_epoch),
            content: minted.content,
            preimage: minted.preimage,
            minted_at: "2026-12-02T10:14:00Z".parse().unwrap(),
            guard_epoch,
            changed: vec![],
        }
    }

    #[test]
    fn the_change_is_shown_from_what_is_hashed() {
        let plan = read(&published(), "promotion-uid").unwrap();
        let text = change(&plan);
        assert!(
            text.starts_with(
                "  Deployment shop-prod/checkout, container app\n    - registry.example"
            ),
            "{text}"
        );
        assert!(
            text.contains("\n    + registry.example/shop/checkout@sha256:"),
            "{text}"
        );
    }

    #[test]
    fn a_plan_that_was_tampered_with_is_refused() {
        #[track_caller]
        fn refused(change: impl Fn(&mut PublishedPlan), uid: &str, expect: &str) {
            let mut plan = published();
            change(&mut plan);
            let failure = read(&plan, uid).unwrap_err();
            assert_eq!(failure.exit, Exit::EvidenceInvalid);
            assert!(failure.message.contains(expect), "{failure}");
        }
        let uid = "promotion-uid";
        refused(
            |p| p.preimage = p.preimage.replace("shop-prod", "shop-evil"),
            uid,
            "content",
        );
        refused(|p| p.content = Digest::of(b"x"), uid, "content");
        refused(|p| p.hash = Digest::of(b"x"), uid, "status.plan.hash");
        refused(
            |p| p.guard_epoch = Digest::of(b"x"),
            uid,
            "status.plan.hash",
        );
        refused(|_| {}, "other-uid", "another Promotion");
    }
}
