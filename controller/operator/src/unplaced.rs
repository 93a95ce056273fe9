//! Promotions whose Environment is absent or unreadable: nobody else would ever say anything.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use lockmaster_api::Promotion;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{self, Condition, PromotionStatus};
use lockmaster_observe::stores::Guarded;

use crate::context::Context;
use crate::report;
use crate::written::Kind;

/// An Environment of the same `kubectl apply` arrives by another watch; wait a moment for it.
const GRACE: Duration = Duration::from_secs(2);
/// The condition that sums up.
const READY: &str = "Ready";
/// The pause after a failed write.
const PAUSE: Duration = Duration::from_secs(5);

/// One look at one Promotion.
pub(crate) async fn reconcile(
    object: Arc<Guarded<Promotion>>,
    context: Arc<Context>,
) -> Result<Action, report::Error> {
    let Ok(promotion) = &object.0 else {
        return Ok(Action::await_change());
    };
    let finished = promotion
        .status
        .as_ref()
        .is_some_and(|status| status.record.is_some());
    let namespace = promotion.metadata.namespace.clone().unwrap_or_default();
    let environment = &promotion.spec.environment;
    let problem = match context
        .observer
        .stores
        .environment(&namespace, environment)
        .as_deref()
    {
        Some(Guarded { 0: Ok(_), .. }) => None,
        Some(Guarded {
            0: Err(invalid), ..
        }) => Some((
            Reason::EnvironmentInvalid,
            format!(
                "Environment {environment} cannot be read: {}",
                invalid.error
            ),
        )),
        None => Some((
            Reason::EnvironmentNotFound,
            format!(
                "Environment {environment} does not exist in namespace {namespace}; create it, or \
                 see what there is: kubectl get environments.lockmaster.dev -n {namespace}"
            ),
        )),
    };
    let Some((reason, message)) = problem.filter(|_| !finished) else {
        return Ok(Action::await_change());
    };
    let now = Timestamp::now();
    let uid = promotion.metadata.uid.clone().unwrap_or_default();
    let name = promotion.metadata.name.clone().unwrap_or_default();
    let waited = Duration::try_from(now.duration_since(context.first_seen.of(&uid, now)));
    let rest = GRACE.saturating_sub(waited.unwrap_or_default());
    if !rest.is_zero() {
        return Ok(Action::requeue(rest));
    }
    let version = promotion.metadata.resource_version.as_deref();
    if !context
        .written
        .is_seen(Kind::Promotion, &namespace, &name, version)
    {
        return Ok(Action::requeue(PAUSE));
    }
    let before = promotion.status.clone().unwrap_or_default();
    let generation = promotion.metadata.generation.unwrap_or_default();
    let after = said(&before, generation, reason, message, now);
    report::write(&context, promotion, &before, after).await?;
    Ok(Action::await_change())
}

/// What is said. What a roll-out under way has remembered (its state, gates, plan and approvals) is
/// kept: it goes on from there when its Environment is back.
fn said(
    before: &PromotionStatus,
    generation: i64,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> PromotionStatus {
    let unplaced = status::unplaced(before, generation, reason, message, now);
    if before.rollout.intent.is_none() {
        return unplaced;
    }
    let ready = |condition: &&Condition| condition.kind == READY;
    let mut conditions = before.conditions.clone();
    conditions.retain(|condition| condition.kind != READY);
    conditions.splice(0..0, unplaced.conditions.iter().find(ready).cloned());
    PromotionStatus {
        observed_generation: unplaced.observed_generation,
        summary: unplaced.summary,
        conditions,
        ..before.clone()
    }
}

/// The pause after a failed look.
pub(crate) fn after_error(
    _: Arc<Guarded<Promotion>>,
    error: &report::Error,
    _: Arc<Context>,
) -> Action {
    tracing::warn!(%error, "the report on a promotion without Environment failed");
    Action::requeue(PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn say(before: &PromotionStatus) -> PromotionStatus {
        let reason = Reason::EnvironmentNotFound;
        said(
            before,
            1,
            reason,
            "no Environment".into(),
            Timestamp::UNIX_EPOCH,
        )
    }

    fn rolling(intent: bool) -> PromotionStatus {
        let rollout = if intent {
            json!({"intent": {"attempt": 1, "at": "2026-11-24T10:00:00Z", "targets": []}})
        } else {
            json!({})
        };
        serde_json::from_value(json!({
            "observedGeneration": 1, "state": "RollingOut", "summary": "setting checkout",
            "gates": [{"name": "target", "verdict": "Pass", "reason": "TargetReady",
                       "message": "m"}],
            "rollout": rollout,
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "RollingOut", "message": "m",
                 "lastTransitionTime": "2026-11-24T10:00:00Z", "observedGeneration": 1},
                {"type": "Reconciling", "status": "True", "reason": "RollingOut", "message": "m",
                 "lastTransitionTime": "2026-11-24T10:00:00Z", "observedGeneration": 1},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_roll_out_under_way_keeps_what_it_remembers() {
        let before = rolling(true);
        let after = say(&before);
        assert_eq!(after.state, before.state);
        assert_eq!(after.gates, before.gates);
        assert_eq!(after.rollout, before.rollout);
        assert_eq!(after.summary, "no Environment");
        assert_eq!(after.conditions.len(), 2);
        assert_eq!(after.conditions[0].reason, Reason::EnvironmentNotFound);
        assert_eq!(say(&after), after, "said once");
    }

    #[test]
    fn a_promotion_that_waits_is_pending() {
        let after = say(&rolling(false));
        assert_eq!(after.state, lockmaster_core::status::State::Pending);
        assert!(after.gates.is_empty());
    }
}
