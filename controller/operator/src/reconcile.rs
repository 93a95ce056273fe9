//! One pass over one Environment: observe, decide, act, report.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use lockmaster_api::Environment;
use lockmaster_core::decide::decide;
use lockmaster_core::decision::{Decision, Mutation, Next};
use lockmaster_core::promotion::Claim;
use lockmaster_core::status;
use lockmaster_observe::observation::{self, Observation};
use lockmaster_observe::stores::Guarded;
use tracing::Instrument;

use crate::act::{self, Written, version_of};
use crate::context::Context;
use crate::written::Kind;
use crate::{fresh, report};

/// Why a pass could not be finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The Environment could not be read.
    #[error(transparent)]
    Observe(#[from] observation::Error),
    /// The rules could not be looked at once more.
    #[error(transparent)]
    Fresh(#[from] fresh::Error),
    /// The change could not be made.
    #[error(transparent)]
    Act(#[from] act::Error),
    /// A report could not be written.
    #[error(transparent)]
    Report(#[from] report::Error),
}

/// After a race the watches are a moment behind; they wake the pass, this is the safety net.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The longest pause between two attempts of an Environment whose passes fail.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What acting came to.
#[derive(Debug, PartialEq, Eq)]
enum Acted {
    /// Nothing was to be done.
    Nothing,
    /// The change was made; its watch event wakes the next pass.
    Changed,
    /// The view was old.
    Raced,
}

/// One pass.
pub(crate) async fn reconcile(
    object: Arc<Guarded<Environment>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let Ok(readable) = object.0.clone() else {
        return Ok(Action::await_change());
    };
    let namespace = readable.metadata.namespace.clone().unwrap_or_default();
    let name = readable.metadata.name.clone().unwrap_or_default();
    let span = tracing::info_span!(
        "pass",
        namespace,
        environment = name,
        generation = readable.metadata.generation,
        promotion = tracing::field::Empty,
        digest = tracing::field::Empty,
        step = tracing::field::Empty,
    );
    let key = format!("{namespace}/{name}");
    let done = pass(object, readable, &context).instrument(span).await?;
    context.failures.reset(&key);
    Ok(done)
}

async fn pass(
    object: Arc<Guarded<Environment>>,
    readable: Environment,
    context: &Context,
) -> Result<Action, Error> {
    let now = Timestamp::now();
    let guard = context.guard.state();
    let first_seen = |uid: &str| context.first_seen.of(uid, now);
    let seen = context
        .observer
        .observe(object, &readable, guard, first_seen, now)?;
    if !is_current(context, &seen) {
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    let decision = decide(&seen.input());
    note(context, &seen, &decision);
    let acted = act(context, &seen, &decision).await?;
    report::report(context, &seen, &decision.promotions).await?;
    if acted == Acted::Nothing {
        report_environment(context, &seen, &decision).await?;
    }
    Ok(match (acted, decision.next) {
        (Acted::Raced, _) => Action::requeue(LOOK_AGAIN),
        (Acted::Changed, _) | (Acted::Nothing, Next::AwaitChange) => Action::await_change(),
        (Acted::Nothing, Next::At(at)) => Action::requeue(until(at, now)),
    })
}

/// How long from `now` until `at`, and a little more, so that the clock has really passed it.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    wait + Duration::from_millis(5)
}

/// Whether the caches show everything this process wrote. A pass on an older view ends at once.
fn is_current(context: &Context, seen: &Observation) -> bool {
    let written = &context.written;
    let namespace = &seen.environment.namespace;
    let environment = seen.environment_object().and_then(version_of);
    let stores = &context.observer.stores;
    let promotions = written
        .pending(Kind::Promotion, namespace)
        .into_iter()
        .all(|name| {
            let Some(stored) = stores.promotion(namespace, &name) else {
                // Deleted meanwhile: there is nothing to wait for.
                written.forget(Kind::Promotion, namespace, &name);
                return true;
            };
            written.is_seen(
                Kind::Promotion,
                namespace,
                &name,
                version_of(stored.as_ref()),
            )
        });
    let records = written
        .pending(Kind::Record, namespace)
        .into_iter()
        .all(|name| {
            let stored = stores.record(namespace, &name);
            written.is_seen(
                Kind::Record,
                namespace,
                &name,
                stored
                    .as_ref()
                    .and_then(|stored| version_of(stored.as_ref())),
            )
        });
    let workloads = seen.environment.targets.iter().all(|target| {
        let reference = &target.workload;
        let version = context.observer.workloads.resource_version(reference);
        written.is_seen(
            Kind::Workload,
            &reference.namespace,
            &reference.name,
            version.as_deref(),
        )
    });
    promotions
        && records
        && workloads
        && written.is_seen(
            Kind::Environment,
            namespace,
            &seen.environment.name,
            environment,
        )
}

/// Logs and counts what was decided, and asks for evidence again where it was not enough.
fn note(context: &Context, seen: &Observation, decision: &Decision) {
    let span = tracing::Span::current();
    if let Some(mutation) = &decision.mutation {
        span.record("step", mutation.step());
    }
    if let Some(claim) = &seen.environment.active {
        span.record("promotion", &claim.account.promotion.name);
        if let Some(target) = claim.intent.targets.first() {
            span.record("digest", target.to.digest().as_str());
        }
    }
    for progress in &decision.promotions {
        context
            .metrics
            .gates(&seen.environment.stage, &progress.gates);
        let unmet = progress.gates.iter().any(|gate| {
            matches!(gate.name.as_str(), "signature" | "provenance" | "sbom")
                && !gate.verdict.is_open()
        });
        if let Some(release) = progress_release(seen, &progress.uid).filter(|_| unmet) {
            for component in &release.components {
                context.observer.evidence.insufficient(&component.image);
            }
        }
    }
}

fn progress_release<'a>(
    seen: &'a Observation,
    uid: &str,
) -> Option<&'a lockmaster_core::release::Release> {
    let promotion = seen
        .promotions
        .iter()
        .find(|promotion| promotion.uid == uid)?;
    seen.facts.releases.get(&promotion.request.release)?.known()
}

/// Makes the one change that was decided on, if any.
async fn act(context: &Context, seen: &Observation, decision: &Decision) -> Result<Acted, Error> {
    let Some(mutation) = &decision.mutation else {
        return Ok(Acted::Nothing);
    };
    let step = mutation.step();
    let acted = match mutation {
        Mutation::Claim(cleared) => {
            hold(context, seen, decision, Some(cleared.claim().clone())).await
        }
        Mutation::Release { uid } => {
            context.first_seen.forget(uid);
            hold(context, seen, decision, None).await
        }
        Mutation::Intent {
            promotion: _,
            uid,
            intent,
        } => begin(context, seen, decision, uid, intent.clone()).await,
        Mutation::Apply {
            uid,
            attempt,
            target,
        } => {
            let key = seen.environment.key();
            let written = context.writer.apply(&key, uid, *attempt, target).await?;
            Ok(changed_workload(context, &target.workload, written))
        }
        Mutation::Fence {
            uid,
            attempt,
            target,
        } => {
            let version = context
                .observer
                .workloads
                .resource_version(&target.workload);
            let version = version.unwrap_or_default();
            let written = context
                .writer
                .fence(uid, *attempt, &target.workload, &version)
                .await?;
            Ok(changed_workload(context, &target.workload, written))
        }
        Mutation::Record(record) => {
            let namespace = &seen.environment.namespace;
            let outcome = record.content.outcome;
            let written = context
                .writer
                .record(namespace, record.as_ref().clone())
                .await?;
            Ok(settle(written, |stored| {
                let name = record.object_name();
                context
                    .written
                    .remember(Kind::Record, namespace, &name, version_of(stored));
                context
                    .metrics
                    .finished(&seen.environment.stage, decision.effective_tier, outcome);
            }))
        }
        Mutation::Conclude {
            promotion: _,
            uid,
            record,
            reason: _,
            message,
        } => conclude(context, seen, uid, record.clone(), message.clone()).await,
    }?;
    tracing::info!(step, raced = acted == Acted::Raced, "acted");
    Ok(acted)
}

fn settle<T>(written: Written<T>, done: impl FnOnce(&T)) -> Acted {
    match written {
        Written::Done(stored) => {
            done(&stored);
            Acted::Changed
        }
        Written::Raced(why) => {
            tracing::info!(why, "raced; looking again");
            Acted::Raced
        }
    }
}

fn changed_workload(
    context: &Context,
    reference: &lockmaster_core::environment::WorkloadReference,
    written: Written<k8s_openapi::api::apps::v1::Deployment>,
) -> Acted {
    let (namespace, name) = (&reference.namespace, &reference.name);
    settle(written, |stored| {
        context
            .written
            .remember(Kind::Workload, namespace, name, version_of(stored));
    })
}

/// Writes the claim, or its end.
async fn hold(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
    active: Option<Claim>,
) -> Result<Acted, Error> {
    let Some(object) = seen.environment_object() else {
        return Ok(Acted::Raced);
    };
    let before = object.status.clone().unwrap_or_default();
    let generation = seen.environment.generation;
    let after = status::environment_status(&before, generation, decision, active, seen.now);
    let written = context.writer.environment_status(object, after).await?;
    let (namespace, name) = (&seen.environment.namespace, &seen.environment.name);
    Ok(settle(written, |stored| {
        context
            .written
            .remember(Kind::Environment, namespace, name, version_of(stored));
    }))
}

/// Writes the intent. The first attempt begins a promotion, so the rules are looked at once more.
async fn begin(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
    uid: &str,
    intent: lockmaster_core::promotion::Intent,
) -> Result<Acted, Error> {
    if intent.attempt == 1 && !context.fresh.holds(seen, &context.observer.stores).await? {
        tracing::info!("the rules changed just now; looking again");
        return Ok(Acted::Raced);
    }
    let progress = decision
        .promotions
        .iter()
        .find(|progress| progress.uid == uid);
    let (Some(progress), Some(object)) = (progress, seen.promotion_object(uid)) else {
        return Ok(Acted::Raced);
    };
    let before = object.status.clone().unwrap_or_default();
    let after = status::intended(&before, progress, intent, seen.now);
    let written = context
        .writer
        .promotion_status(object, after.clone())
        .await?;
    Ok(settle(written, |stored| {
        remember_promotion(context, object, stored, &before, &after);
    }))
}

async fn conclude(
    context: &Context,
    seen: &Observation,
    uid: &str,
    record: lockmaster_core::promotion::RecordReference,
    message: String,
) -> Result<Acted, Error> {
    let Some(object) = seen.promotion_object(uid) else {
        return Ok(Acted::Raced);
    };
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    let after = status::concluded(&before, generation, record, message, seen.now);
    let written = context
        .writer
        .promotion_status(object, after.clone())
        .await?;
    context.first_seen.forget(uid);
    Ok(settle(written, |stored| {
        remember_promotion(context, object, stored, &before, &after);
    }))
}

fn remember_promotion(
    context: &Context,
    object: &lockmaster_api::Promotion,
    stored: &lockmaster_api::Promotion,
    before: &status::PromotionStatus,
    after: &status::PromotionStatus,
) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    context
        .written
        .remember(Kind::Promotion, namespace, name, version_of(stored));
    context.events.changed(object, before, after);
}

/// Says what the Environment is and runs, where that changed and nothing else was written.
async fn report_environment(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
) -> Result<(), Error> {
    let Some(object) = seen.environment_object() else {
        return Ok(());
    };
    let before = object.status.clone().unwrap_or_default();
    let active = before.active.clone();
    let generation = seen.environment.generation;
    let after = status::environment_status(&before, generation, decision, active.clone(), seen.now);
    if before != after {
        hold(context, seen, decision, active).await?;
    }
    Ok(())
}

/// The pause after a failed pass: doubling from one second.
pub(crate) fn after_error(
    object: Arc<Guarded<Environment>>,
    error: &Error,
    context: Arc<Context>,
) -> Action {
    use kube::ResourceExt;
    let key = format!(
        "{}/{}",
        object.namespace().unwrap_or_default(),
        object.name_any()
    );
    let failures = context.failures.count(&key);
    let pause = Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE);
    tracing::warn!(environment = key, error = %chain(error), ?pause, "the pass failed");
    Action::requeue(pause)
}

/// An error and everything behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
