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

/// Reports of one pass at most: whoever waits behind it, also for a change to the world, should not
/// wait for hundreds of writes.
const REPORTS: usize = 20;

/// Whether everything was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reports {
    /// It was.
    All,
    /// The rest is for the next pass.
    MoreToCome,
}

/// Writes what has changed about every promotion that is worth a report, as far as a pass goes.
pub(crate) async fn report(
    context: &Context,
    seen: &Observation,
    progress: &[Progress],
) -> Result<Reports, Error> {
    let mut due = progress
        .iter()
        .filter_map(|progress| Report::of(seen, progress));
    for report in due.by_ref().take(REPORTS) {
        match report {
            Report::Latch(object, progress) => latch(context, seen, object, progress).await?,
            Report::Say(object, change) => write(context, object, &change.0, change.1).await?,
        }
    }
    Ok(if due.next().is_some() {
        Reports::MoreToCome
    } else {
        Reports::All
    })
}

/// What is to be written about one promotion.
enum Report<'a> {
    /// Decisions of people, after a look at the guards.
    Latch(&'a Promotion, &'a Progress),
    /// How it stood and how it stands, which is something else.
    Say(&'a Promotion, Box<(PromotionStatus, PromotionStatus)>),
}

impl<'a> Report<'a> {
    /// What is to be written, if anything.
    fn of(seen: &'a Observation, progress: &'a Progress) -> Option<Self> {
        let object = seen.promotion_object(&progress.uid)?;
        if !progress.latch.is_empty() {
            return Some(Self::Latch(object, progress));
        }
        if !progress.report {
            return None;
        }
        let before = object.status.clone().unwrap_or_default();
        let after = status::reported(&before, progress, &[], seen.now);
        (before != after).then(|| Self::Say(object, Box::new((before, after))))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use lockmaster_core::promotion::Requester;
    use lockmaster_core::reason::Reason;
    use lockmaster_core::status::State;

    fn queued(name: &str) -> Progress {
        Progress {
            name: name.into(),
            uid: format!("{name}-uid"),
            generation: 1,
            gates: vec![],
            state: State::Pending,
            reason: Reason::Queued,
            summary: "another one goes first".into(),
            blocked_by: None,
            artifact: None,
            requested_by: Requester::of_annotation(None),
            plan: None,
            overtaken_plan: None,
            latch: vec![],
            report: true,
        }
    }

    #[tokio::test]
    async fn a_pass_writes_only_so_many_reports_and_says_that_there_are_more() {
        let (client, writes) = fixtures::agreeing();
        let context = fixtures::context(&client, fixtures::stores());
        let names: Vec<_> = (0..REPORTS + 5)
            .map(|number| format!("p-{number}"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let seen = fixtures::observation_with(&names);
        let progress: Vec<_> = names.iter().map(|name| queued(name)).collect();
        let reports = report(&context, &seen, &progress).await.unwrap();
        assert_eq!(reports, Reports::MoreToCome);
        assert_eq!(writes.lock().unwrap().len(), REPORTS);
        let rest = report(&context, &seen, &progress[REPORTS..]).await.unwrap();
        assert_eq!(rest, Reports::All);
    }
}
