//! One pass over one Environment: observe, decide, act, report.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use lockmaster_api::Environment;
use lockmaster_core::decide::decide;
use lockmaster_core::decision::{Decision, Next};
use lockmaster_core::gate::Verdict;
use lockmaster_core::status::{self, EnvironmentStatus};
use lockmaster_core::{gates, revocation};
use lockmaster_observe::evidence::Asker;
use lockmaster_observe::observation::{self, Observation, RulesAsked};
use lockmaster_observe::stores::Guarded;
use tracing::Instrument;

use crate::act;
use crate::carry_out::{Acted, carry_out, hold, write_environment};
use crate::context::{Context, doubling};
use crate::current::is_current;
use crate::report::Reports;
use crate::reverify::reverify;
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
/// Rules of other Environments are being asked; a look of theirs most often takes less than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Reports that did not fit into a pass are written in the next one.
const REPORT_AGAIN: Duration = Duration::from_millis(100);

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
    let done = Box::pin(pass(object, readable, &context))
        .instrument(span)
        .await?;
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
    context.observer.read_policies().await;
    let mut seen = context
        .observer
        .observe(object, &readable, guard, first_seen, now)?;
    seen.facts.refused = context.refusals.of(&seen.environment.key());
    if !is_current(&context.written, &seen) {
        return Ok(Action::requeue(LOOK_AGAIN));
    }
    if let Some(problem) = &seen.unreadable_holder {
        say_unreadable(context, &seen, problem).await?;
        return Ok(Action::await_change());
    }
    if context.observer.ask_rules(&mut seen).await == RulesAsked::Later {
        return Ok(Action::requeue(ASK_AGAIN));
    }
    let decision = decide(&seen.input());
    note(context, &seen, &decision);
    let due = reverify(context, &seen, &decision);
    let acted = carry_out(context, &seen, &decision).await?;
    let reports = report::report(context, &seen, &decision.promotions).await?;
    if acted == Acted::Nothing {
        report_environment(context, &seen, &decision).await?;
    }
    Ok(match (acted, reports, decision.next.earlier(due)) {
        (Acted::Raced, ..) => Action::requeue(LOOK_AGAIN),
        // The deadline of the roll-out is kept all the same.
        (Acted::Refused { retry_at }, _, next) => match next.earlier(Some(retry_at)) {
            Next::AwaitChange => Action::await_change(),
            Next::At(at) => Action::requeue(until(at, now)),
        },
        (_, Reports::MoreToCome, _) => Action::requeue(REPORT_AGAIN),
        (Acted::Changed, ..) | (Acted::Nothing, _, Next::AwaitChange) => Action::await_change(),
        (Acted::Nothing, _, Next::At(at)) => Action::requeue(until(at, now)),
    })
}

/// Nothing may be done while the Promotion that holds the Environment cannot be read; but it is
/// said, in the log and where people look.
async fn say_unreadable(context: &Context, seen: &Observation, problem: &str) -> Result<(), Error> {
    let Some(object) = seen.environment_object() else {
        return Ok(());
    };
    let before = object.status.clone().unwrap_or_default();
    let generation = seen.environment.generation;
    let conditions = status::acceptance(&before.conditions, generation, Some(problem), seen.now);
    let after = EnvironmentStatus {
        observed_generation: generation,
        conditions,
        ..before.clone()
    };
    if before != after {
        tracing::warn!(problem, "nothing can be decided");
        write_environment(context, object, after).await?;
    }
    Ok(())
}

/// How long from `now` until `at`, and a little more, so that the clock has really passed it.
fn until(at: Timestamp, now: Timestamp) -> Duration {
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    wait + Duration::from_millis(5)
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
    let asker = Asker::of(&seen.environment);
    for image in &decision.relist {
        context.observer.evidence.list_again(image, &asker);
    }
    let claims = seen.environment.active.iter();
    for target in claims.flat_map(|claim| &claim.intent.targets) {
        if revocation::may_be_in(&seen.facts, &target.to) {
            context.observer.evidence.insufficient(&target.to, &asker);
        }
    }
    for progress in &decision.promotions {
        context
            .metrics
            .gates(&seen.environment.stage, &progress.gates);
        let unmet = progress.gates.iter().any(|gate| {
            let looks = gates::looking().any(|looking| looking.name() == gate.name);
            // Whether a Revocation names it may be all that is not known.
            let is_unknown = gate.verdict == Verdict::Unknown;
            let verifies = || gates::verifying().any(|other| other.name() == gate.name);
            (looks && !gate.verdict.is_open()) || (is_unknown && verifies())
        });
        if let Some(release) = progress_release(seen, &progress.uid).filter(|_| unmet) {
            let components = release.components.iter();
            let images = components.flat_map(|one| seen.facts.looked_up(&one.image));
            let images: Vec<_> = images.collect();
            // Where only a list is too old, all else suffices.
            if images.iter().any(|image| decision.relist.contains(image)) {
                continue;
            }
            for image in images {
                context.observer.evidence.insufficient(&image, &asker);
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

/// The pause after a failed pass.
#[expect(
    clippy::needless_pass_by_value,
    reason = "kube's Controller hands over its own handles"
)]
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
    let pause = doubling(failures);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use kube::core::DeserializeGuard;
    use kube::runtime::reflector::store;
    use kube::runtime::watcher::Event;
    use lockmaster_observe::stores::Stores;
    use serde_json::json;

    /// The Environment, held by Promotion `p`.
    fn held() -> Arc<Guarded<Environment>> {
        let mut object = serde_json::to_value(fixtures::environment()).unwrap();
        object["status"] = fixtures::held_by_p();
        Arc::new(DeserializeGuard(
            Ok(serde_json::from_value(object).unwrap()),
        ))
    }

    fn caches(action: &str) -> Stores {
        let mut object = serde_json::to_value(fixtures::promotion("p")).unwrap();
        object["spec"]["action"] = json!(action);
        let (promotions, mut writer) = store();
        writer.apply_watcher_event(&Event::Apply(serde_json::from_value(object).unwrap()));
        Stores {
            promotions,
            ..fixtures::stores()
        }
    }

    #[tokio::test]
    async fn while_the_holder_cannot_be_read_nothing_is_done_but_say_so() {
        let (client, writes) = fixtures::agreeing();
        let context = Arc::new(fixtures::context(&client, caches("Sideways")));
        let done = Box::pin(reconcile(held(), context)).await.unwrap();
        assert_eq!(done, Action::await_change());
        let writes = writes.lock().unwrap();
        let [(_, path, body)] = writes.as_slice() else {
            panic!("{writes:?}");
        };
        assert!(path.ends_with("/environments/prod/status"), "{path}");
        assert_eq!(
            body["status"]["active"]["account"]["promotion"]["name"],
            "p"
        );
        let ready = &body["status"]["conditions"][0];
        assert_eq!(ready["status"], "False");
        let message = ready["message"].as_str().unwrap();
        assert!(message.contains("Promotion p holds"), "{message}");
    }

    #[tokio::test]
    async fn what_a_decision_wants_listed_anew_is_asked_for() {
        let (client, _) = fixtures::agreeing();
        let context = fixtures::context(&client, fixtures::stores());
        let (image, seen) = (fixtures::image(), fixtures::observation());
        let asker = Asker::of(&seen.environment);
        let store = &context.observer.evidence;
        let look = || store.peek(&image, &asker, &[], seen.now).1;
        let mut decision = decide(&seen.input());
        assert_eq!(look().problem, None);
        note(&context, &seen, &decision);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(look().problem, None, "nobody asked");
        decision.relist = [image.clone()].into();
        note(&context, &seen, &decision);
        // There is no such registry; that says that it was asked.
        for _ in 0..100 {
            if look().problem.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nothing was asked");
    }
}
