//! Status writes that say how a promotion stands, and the latch of people's decisions.

use lockmaster_api::Promotion;
use lockmaster_core::decision::Progress;
use lockmaster_core::status::{self, PromotionStatus};
use lockmaster_observe::observation::Observation;

use crate::act::{self, version_of};
use crate::context::Context;
use crate::guard;
use crate::written::Kind;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The write failed.
    #[error("failed to report on Promotion {name}")]
    Write {
        /// Which promotion.
        name: String,
        /// Why.
        source: act::Error,
    },
    /// The guards could not be read.
    #[error("failed to latch the decisions on Promotion {name}")]
    Guard {
        /// Which promotion.
        name: String,
        /// Why.
        source: guard::Error,
    },
}

/// Writes what has changed about every promotion that is worth a report.
pub(crate) async fn report(
    context: &Context,
    seen: &Observation,
    progress: &[Progress],
) -> Result<(), Error> {
    for progress in progress {
        let Some(object) = seen.promotion_object(&progress.uid) else {
            continue;
        };
        if !progress.latch.is_empty() {
            latch(context, seen, object, progress).await?;
        } else if progress.report {
            let before = object.status.clone().unwrap_or_default();
            let after = status::reported(&before, progress, &[], seen.now);
            write(context, object, &before, after).await?;
        }
    }
    Ok(())
}

/// Copies valid decisions into the status: after they were seen, the guards are read live, and only
/// decisions made under the guards that are in force and proven now are believed.
async fn latch(
    context: &Context,
    seen: &Observation,
    object: &Promotion,
    progress: &Progress,
) -> Result<(), Error> {
    let name = &progress.name;
    let live = context.guard.read_live().await;
    let live = live.map_err(|source| Error::Guard {
        name: name.clone(),
        source,
    })?;
    let planned = progress.plan.as_ref().map(|plan| &plan.guard_epoch);
    if live.problem.is_some() || planned != Some(&live.epoch) {
        tracing::warn!(
            promotion = name,
            "decisions not latched: the guards changed"
        );
        context.guard.inspect_soon();
        return Ok(());
    }
    let before = object.status.clone().unwrap_or_default();
    let after = status::reported(&before, progress, &progress.latch, seen.now);
    for latched in &progress.latch {
        tracing::info!(
            promotion = name,
            role = latched.role,
            decision = ?latched.decision,
            "decision latched"
        );
    }
    write(context, object, &before, after).await
}

/// Replaces a Promotion's status where it differs.
pub(crate) async fn write(
    context: &Context,
    object: &Promotion,
    before: &PromotionStatus,
    after: PromotionStatus,
) -> Result<(), Error> {
    if *before == after {
        return Ok(());
    }
    let name = object.metadata.name.clone().unwrap_or_default();
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let written = context.writer.promotion_status(object, after.clone()).await;
    match written.map_err(|source| Error::Write {
        name: name.clone(),
        source,
    })? {
        act::Written::Done(stored) => {
            context
                .written
                .remember(Kind::Promotion, &namespace, &name, version_of(&stored));
            context.events.changed(object, before, &after);
            tracing::info!(
                promotion = name,
                state = after.state.meaning().word,
                blocked_by = after.blocked_by,
                why = after.summary,
                "reported"
            );
        }
        act::Written::Raced(why) => {
            tracing::debug!(promotion = name, why, "report raced; looking again");
        }
    }
    Ok(())
}
