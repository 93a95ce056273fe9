//! Whether the one who asks may decide, and in which role.

use std::collections::BTreeSet;

use lockmaster_api::ClusterPromotionPolicy;
use lockmaster_core::plan::Plan;
use lockmaster_core::reason::Reason;
use lockmaster_core::release::Digest;
use lockmaster_core::report::Report;
use serde::Serialize;

use super::view::RoleView;
use crate::cluster::Cluster;
use crate::identity::{self, Caller};

/// The caller.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct You {
    /// User name, as the API server authenticated it.
    pub(super) name: String,
    /// What the caller may do, per role that is asked for.
    pub(super) roles: Vec<RoleView>,
}

/// Whether a decision of a person is awaited.
pub(super) fn is_asked(report: &Report) -> bool {
    let mut gates = report.gates.iter();
    gates.any(|gate| gate.reason == Reason::AwaitingApproval)
}

/// Asks the API server who calls and what that person may. `content` is the hash of the plan that a
/// decision now would be about.
pub(super) async fn ask(
    cluster: &Cluster,
    report: &Report,
    plan: &Plan,
    content: &Digest,
) -> anyhow::Result<You> {
    let caller = identity::caller(cluster).await?;
    let mut roles = Vec::new();
    for role in asked_for(cluster, report, plan).await {
        let held = identity::may_approve(cluster, &report.environment, &role).await?;
        let (may, why) = judge(&caller, &role, held, report, content);
        roles.push(RoleView { role, may, why });
    }
    let name = caller.name;
    Ok(You { name, roles })
}

/// The roles that the plan's policies ask for. Not everybody may read policies; then the one that
/// the gate's message names is known at least.
async fn asked_for(cluster: &Cluster, report: &Report, plan: &Plan) -> BTreeSet<String> {
    let mut roles = BTreeSet::new();
    for policy in &plan.policies {
        let Ok(policy) = cluster
            .get_global::<ClusterPromotionPolicy>(&policy.name)
            .await
        else {
            return named(report).into_iter().collect();
        };
        roles.extend(policy.spec.approvals.into_iter().map(|rule| rule.role));
    }
    roles
}

/// The role in the command that the gate's message ends with.
fn named(report: &Report) -> Option<String> {
    let mut gates = report.gates.iter();
    let gate = gates.find(|gate| gate.reason == Reason::AwaitingApproval)?;
    let (_, rest) = gate.message.split_once("--role ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// Whether the caller may decide, and why. The guard decides in the end; this says beforehand.
fn judge(
    caller: &Caller,
    role: &str,
    held: bool,
    report: &Report,
    content: &Digest,
) -> (bool, String) {
    let name = &caller.name;
    let mut own = report.approvals.iter().filter(|a| a.by == *name).peekable();
    let decided_before = own.peek().is_some();
    let decided = own.any(|approval| approval.content == *content);
    if !caller.is_a_person() {
        let text = "you cannot decide: decisions come from people, not from service accounts or \
                    the superuser group (system:masters)";
        (false, text.to_owned())
    } else if report
        .requested_by
        .as_ref()
        .is_some_and(|r| r.name == *name)
    {
        let text = "you cannot decide: you requested this promotion";
        (false, text.to_owned())
    } else if !held {
        let (environment, namespace) = (&report.environment, &report.namespace);
        let text = format!(
            "you cannot decide: you lack the verb approve; check: kubectl auth can-i approve \
             environments.lockmaster.dev/{environment} --subresource={role} -n {namespace}"
        );
        (false, text)
    } else if decided {
        (
            true,
            "you decided already; you may change your mind".to_owned(),
        )
    } else if decided_before {
        let text = "you may decide; what you decided before was about an older plan";
        (true, text.to_owned())
    } else {
        (true, "you may decide".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use lockmaster_core::approval::{Approval, ApprovalSource, Vote};
    use lockmaster_core::gate::{GateReport, Verdict};
    use lockmaster_core::promotion::Requester;
    use lockmaster_core::status::State;

    use super::*;

    fn caller(name: &str, groups: &[&str]) -> Caller {
        Caller {
            name: name.into(),
            groups: groups.iter().map(|group| (*group).into()).collect(),
        }
    }

    fn report() -> Report {
        let message = "release-manager needs 1, has 0; runs: kubectl promote approve p -n shop \
                       --role release-manager --reason \"...\"";
        Report {
            namespace: "shop".into(),
            name: "p".into(),
            environment: "checkout-prod".into(),
            artifact: None,
            state: State::AwaitingApproval,
            reason: Some(Reason::AwaitingApproval),
            summary: String::new(),
            requested_by: Some(Requester::of_annotation(Some("bob@corp"))),
            plan: None,
            approvals: vec![],
            gates: vec![GateReport {
                name: "approval".into(),
                verdict: Verdict::Hold,
                reason: Reason::AwaitingApproval,
                message: message.into(),
                next_change: None,
                evidence: vec![],
            }],
            record: None,
        }
    }

    #[test]
    fn the_requester_a_robot_and_a_stranger_cannot_decide() {
        let check = |name: &str, held, may, expect: &str| {
            let caller = caller(name, &["release-managers"]);
            let content = Digest::of(b"plan");
            let (answer, why) = judge(&caller, "release-manager", held, &report(), &content);
            assert_eq!(answer, may, "{name}: {why}");
            assert!(why.contains(expect), "{why}");
        };
        check("alice@corp", true, true, "you may decide");
        check("alice@corp", false, false, "--subresource=release-manager");
        check("bob@corp", true, false, "you requested");
        check("system:serviceaccount:ci:ci", true, false, "people");
    }

    #[test]
    fn a_superuser_cannot_decide() {
        let admin = caller("alice@corp", &["system:authenticated", "system:masters"]);
        let content = Digest::of(b"plan");
        let (may, why) = judge(&admin, "release-manager", true, &report(), &content);
        assert!(!may && why.contains("system:masters"), "{why}");
    }

    #[test]
    fn a_decision_about_an_older_plan_is_none_about_this_one() {
        let mut report = report();
        let content = Digest::of(b"plan");
        report.approvals = vec![Approval {
            role: "release-manager".into(),
            slot: "release-manager".into(),
            decision: Vote::Approve,
            by: "alice@corp".into(),
            reference: String::new(),
            reason: "go".into(),
            content: Digest::of(b"older"),
            at: "2026-12-02T10:15:00Z".parse().unwrap(),
            source: ApprovalSource::Annotation,
        }];
        let alice = caller("alice@corp", &[]);
        let why = |report: &Report| judge(&alice, "release-manager", true, report, &content).1;
        assert!(
            why(&report).contains("about an older plan"),
            "{}",
            why(&report)
        );
        report.approvals[0].content = content.clone();
        assert!(
            why(&report).contains("you decided already"),
            "{}",
            why(&report)
        );
    }

    #[test]
    fn without_policies_the_message_names_a_role() {
        assert!(is_asked(&report()));
        assert_eq!(named(&report()).as_deref(), Some("release-manager"));
    }
}
