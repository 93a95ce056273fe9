//! The account of a promotion as JSON or YAML: `cli.lockmaster.dev/v1`.

use lockmaster_core::approval::Approval;
use lockmaster_core::gate::GateReport;
use lockmaster_core::plan::{Plan, PublishedPlan};
use lockmaster_core::promotion::{IntentTarget, RecordReference, Requester};
use lockmaster_core::reason::Reason;
use lockmaster_core::release::Digest;
use lockmaster_core::report::Report;
use lockmaster_core::status::State;
use serde::Serialize;

use super::you::You;
use crate::output::API_VERSION;

/// One account.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Explanation<'a> {
    namespace: &'a str,
    name: &'a str,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact: Option<&'a str>,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    summary: &'a str,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<&'a Requester>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanView>,
    approvals: &'a [Approval],
    gates: &'a [GateReport],
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RecordReference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    you: Option<You>,
}

/// The plan, as far as it is known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanView {
    hash: Digest,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<IntentTarget>,
}

impl PlanView {
    /// A plan whose content was checked.
    pub(super) fn of(published: &PublishedPlan, plan: &Plan) -> Self {
        Self {
            hash: published.hash.clone(),
            targets: plan.targets.clone(),
        }
    }
}

/// What the caller may do in one role.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RoleView {
    /// The role.
    pub(super) role: String,
    /// Whether the caller may decide in it.
    pub(super) may: bool,
    /// Why, or why not.
    pub(super) why: String,
}

/// An account with kind and version in front.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Headed<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    explanation: Explanation<'a>,
}

/// Several accounts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExplanationList<'a> {
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Explanation<'a>>,
}

impl<'a> Explanation<'a> {
    /// The account that a report gives. Without a checked plan its hash stands alone.
    pub(super) fn of(report: &'a Report, plan: Option<PlanView>, you: Option<You>) -> Self {
        let hash_alone = || {
            report.plan.clone().map(|hash| PlanView {
                hash,
                targets: Vec::new(),
            })
        };
        Self {
            namespace: &report.namespace,
            name: &report.name,
            environment: &report.environment,
            artifact: report.artifact.as_deref(),
            state: report.state,
            reason: report.reason,
            summary: &report.summary,
            exit_code: report.exit_code(),
            requested_by: report.requested_by.as_ref(),
            plan: plan.or_else(hash_alone),
            approvals: &report.approvals,
            gates: &report.gates,
            record: report.record.as_ref(),
            you,
        }
    }

    /// With kind and version.
    pub(super) fn headed(self) -> Headed<'a> {
        Headed {
            api_version: API_VERSION,
            kind: "Explanation",
            explanation: self,
        }
    }
}

impl<'a> ExplanationList<'a> {
    /// The accounts that these reports give.
    pub(super) fn of(reports: &'a [Report]) -> Self {
        let items = reports.iter();
        Self {
            api_version: API_VERSION,
            kind: "ExplanationList",
            items: items
                .map(|report| Explanation::of(report, None, None))
                .collect(),
        }
    }
}
