//! Promotions whose Environment is absent or unreadable: nobody else would ever say anything.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use lockmaster_api::Promotion;
use lockmaster_core::reason::Reason;
use lockmaster_core::status;
use lockmaster_observe::stores::Guarded;

use crate::context::Context;
use crate::report;
use crate::written::Kind;

/// An Environment of the same `kubectl apply` arrives by another watch; wait a moment for it.
const GRACE: Duration = Duration::from_secs(2);
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
    let after = status::unplaced(&before, generation, reason, message, now);
    report::write(&context, promotion, &before, after).await?;
    Ok(Action::await_change())
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
