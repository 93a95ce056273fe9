//! Following a Promotion: one line on stderr per change, until it is over.

use std::time::Duration;

use kube::ResourceExt as _;
use lockmaster_api::Promotion;
use lockmaster_core::report::Report;
use lockmaster_core::status::{ConditionStatus, PromotionStatus};

use crate::cluster::Cluster;
use crate::failure::Exit;
use crate::output;

/// How often it is looked at. A person reads along; the API server has other things to do.
const PAUSE: Duration = Duration::from_secs(1);

/// The report of a Promotion, as its status stands.
pub(super) fn report(promotion: &Promotion) -> Report {
    let status = promotion.status.clone().unwrap_or_default();
    let namespace = promotion.namespace().unwrap_or_default();
    let environment = &promotion.spec.environment;
    Report::of_status(&namespace, &promotion.name_any(), environment, &status)
}

/// Waits until the promotion is over, or until somebody must mend something; the exit code says
/// which.
pub(super) async fn until_over(cluster: &Cluster, name: &str) -> anyhow::Result<Exit> {
    let mut told = String::new();
    loop {
        let promotion: Promotion = cluster.get(name).await?;
        let status = promotion.status.clone().unwrap_or_default();
        let line = line(&status);
        if line != told {
            output::note(&format!("{name}: {line}"));
            told = line;
        }
        if is_over(&status) {
            return Ok(Exit::State(report(&promotion).exit_code()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where it stands, on one line.
fn line(status: &PromotionStatus) -> String {
    let word = status.state.meaning().word;
    if status.summary.is_empty() {
        word.to_owned()
    } else {
        format!("{word}: {}", status.summary)
    }
}

fn is_over(status: &PromotionStatus) -> bool {
    let stalled = status
        .conditions
        .iter()
        .any(|condition| condition.kind == "Stalled" && condition.status == ConditionStatus::True);
    status.record.is_some() || stalled
}

#[cfg(test)]
mod tests {
    use lockmaster_core::reason::Reason;
    use lockmaster_core::status::{Condition, State};

    use super::*;

    #[test]
    fn waiting_ends_with_the_record_or_when_somebody_must_act() {
        let mut status = PromotionStatus {
            state: State::AwaitingApproval,
            ..PromotionStatus::default()
        };
        assert!(!is_over(&status));
        assert_eq!(line(&status), "AwaitingApproval");
        status.summary = "release-manager needs 1, has 0".into();
        assert_eq!(
            line(&status),
            "AwaitingApproval: release-manager needs 1, has 0"
        );
        status.conditions.push(Condition {
            kind: "Stalled".into(),
            status: ConditionStatus::True,
            reason: Reason::GateFailed,
            message: String::new(),
            last_transition_time: "2026-12-02T10:14:00Z".parse().unwrap(),
            observed_generation: 1,
        });
        assert!(is_over(&status));
    }
}
