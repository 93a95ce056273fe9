//! Carries out the one change that a pass decided on, and remembers what was written.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use lockmaster_api::{Environment, Promotion};
use lockmaster_core::decision::{Decision, Mutation};
use lockmaster_core::environment::WorkloadReference;
use lockmaster_core::promotion::{Claim, Intent, IntentTarget, attempt_key};
use lockmaster_core::reason::Reason;
use lockmaster_core::record::{Outcome, Record};
use lockmaster_core::status::{self, Concluded, EnvironmentStatus, PromotionStatus};
use lockmaster_observe::observation::Observation;

use crate::act::{self, Written, version_of};
use crate::context::{Context, Refused};
use crate::reconcile::Error;
use crate::written::Kind;

/// What acting came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acted {
    /// Nothing was to be done.
    Nothing,
    /// The change was made; its watch event wakes the next pass.
    Changed,
    /// The view was old.
    Raced,
    /// The API server refused it.
    Refused {
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

/// Makes the one change that was decided on, if any.
pub(crate) async fn carry_out(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
) -> Result<Acted, Error> {
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
            context.refusals.forget(&seen.environment.key());
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
        } => apply(context, seen, uid, *attempt, target).await,
        Mutation::Fence {
            uid,
            attempt,
            target,
        } => fence(context, seen, uid, *attempt, &target.workload).await,
        Mutation::Record(record) => write_record(context, seen, decision, record).await,
        Mutation::Conclude {
            promotion: _,
            uid,
            record,
            reason,
            message,
            artifact,
            gates,
        } => {
            let end = Concluded {
                record: record.clone(),
                message: message.clone(),
                artifact: artifact.clone(),
                gates: gates.clone(),
            };
            conclude(context, seen, uid, end, *reason).await
        }
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

/// A write to a workload, on behalf of an Environment.
struct Tried<'a> {
    key: &'a str,
    attempt: String,
    workload: &'a WorkloadReference,
    is_fence: bool,
}

impl Tried<'_> {
    /// What it came to. A refusal is kept, so that the next pass says it and the pauses grow.
    fn outcome(
        self,
        context: &Context,
        written: Result<Written<Deployment>, act::Error>,
    ) -> Result<Acted, act::Error> {
        let Self {
            key,
            attempt,
            workload,
            is_fence,
        } = self;
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                let Some(status) = error.refusal() else {
                    return Err(error);
                };
                let refused = Refused {
                    attempt,
                    // Where not even a fence can be written, none is waited for.
                    forbidden: is_fence || act::lacks_rights(status),
                    message: act::refused(workload, status),
                };
                tracing::warn!(key, why = refused.message, "refused");
                let refusal = context.refusals.note(key, refused, Timestamp::now());
                let retry_at = refusal.retry_at;
                return Ok(Acted::Refused { retry_at });
            }
        };
        context.refusals.forget(key);
        let (namespace, name) = (&workload.namespace, &workload.name);
        Ok(settle(written, |stored| {
            context
                .written
                .remember(Kind::Workload, namespace, name, version_of(stored));
        }))
    }
}

/// Sets the image of a workload, unless something was revoked just now.
async fn apply(
    context: &Context,
    seen: &Observation,
    uid: &str,
    attempt: u32,
    target: &IntentTarget,
) -> Result<Acted, Error> {
    if !context.fresh.revocations_hold(seen).await? {
        tracing::info!("what is revoked changed just now; looking again");
        return Ok(Acted::Raced);
    }
    let key = seen.environment.key();
    let written = context.writer.apply(&key, uid, attempt, target).await;
    let tried = Tried {
        key: &key,
        attempt: attempt_key(uid, attempt),
        workload: &target.workload,
        is_fence: false,
    };
    Ok(tried.outcome(context, written)?)
}

/// Fences a workload off as it was when that was decided: on a newer one, perhaps our apply has
/// landed meanwhile.
async fn fence(
    context: &Context,
    seen: &Observation,
    uid: &str,
    attempt: u32,
    workload: &WorkloadReference,
) -> Result<Acted, Error> {
    let Some(version) = seen.workload_versions.get(workload) else {
        return Ok(Acted::Raced);
    };
    let written = context.writer.fence(uid, attempt, workload, version).await;
    let tried = Tried {
        key: &seen.environment.key(),
        attempt: attempt_key(uid, attempt),
        workload,
        is_fence: true,
    };
    Ok(tried.outcome(context, written)?)
}

async fn write_record(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
    record: &Record,
) -> Result<Acted, Error> {
    let namespace = &seen.environment.namespace;
    let outcome = record.content.outcome;
    let written = context.writer.record(namespace, record.clone()).await?;
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

/// Writes the claim, or its end.
pub(crate) async fn hold(
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
    write_environment(context, object, after).await
}

/// Writes the status of an Environment.
pub(crate) async fn write_environment(
    context: &Context,
    object: &Environment,
    after: EnvironmentStatus,
) -> Result<Acted, Error> {
    let before = object
        .status
        .as_ref()
        .map(|status| status.concerns.as_slice());
    let (before, concerns) = (before.unwrap_or_default(), after.concerns.clone());
    let written = context.writer.environment_status(object, after).await?;
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    Ok(settle(written, |stored| {
        context
            .written
            .remember(Kind::Environment, namespace, name, version_of(stored));
        context.events.concerned(object, before, &concerns);
    }))
}

/// Writes the intent. The first attempt begins a promotion, so the rules are looked at once more.
async fn begin(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
    uid: &str,
    intent: Intent,
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
    end: Concluded,
    reason: Reason,
) -> Result<Acted, Error> {
    let Some(object) = seen.promotion_object(uid) else {
        return Ok(Acted::Raced);
    };
    let before = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    let after = status::concluded(&before, generation, end, seen.now);
    let written = context
        .writer
        .promotion_status(object, after.clone())
        .await?;
    context.first_seen.forget(uid);
    Ok(settle(written, |stored| {
        tell_end(object, &after, reason);
        remember_promotion(context, object, stored, &before, &after);
    }))
}

/// Logs how a promotion ended, once: with its own names, because the span of a pass names what holds
/// the Environment.
fn tell_end(object: &Promotion, after: &PromotionStatus, reason: Reason) {
    let Some(record) = &after.record else {
        return;
    };
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let environment = object.spec.environment.as_str();
    let (release, artifact) = (object.spec.release.as_str(), after.artifact.as_deref());
    let (outcome, record, why) = (record.outcome, record.name.as_str(), after.summary.as_str());
    match outcome {
        Outcome::Succeeded | Outcome::Superseded | Outcome::Aborted => tracing::info!(
            namespace, name, environment, release, artifact, %outcome, %reason, record, why,
            "promotion ended"
        ),
        Outcome::Failed | Outcome::RolledBack | Outcome::Rejected => tracing::warn!(
            namespace, name, environment, release, artifact, %outcome, %reason, record, why,
            "promotion ended"
        ),
    }
}

fn remember_promotion(
    context: &Context,
    object: &Promotion,
    stored: &Promotion,
    before: &PromotionStatus,
    after: &PromotionStatus,
) {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    let name = object.metadata.name.as_deref().unwrap_or_default();
    context
        .written
        .remember(Kind::Promotion, namespace, name, version_of(stored));
    context.events.changed(object, before, after);
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use lockmaster_core::promotion::RecordReference;
    use serde_json::{Value, json};

    use super::*;
    use crate::fixtures;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged when Promotion `p` ends so.
    async fn logged(outcome: Outcome, reason: Reason) -> Vec<Value> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        let (client, writes) = fixtures::agreeing();
        let context = fixtures::context(&client, fixtures::stores());
        let seen = fixtures::observation();
        let record = fixtures::record();
        let end = Concluded {
            record: RecordReference {
                name: record.object_name(),
                hash: record.hash.clone(),
                outcome,
            },
            message: "the pods were not ready in time".into(),
            artifact: Some("1.0.0@9f2c41d07a11".into()),
            gates: vec![],
        };
        let told = tracing::subscriber::set_default(subscriber);
        let acted = conclude(&context, &seen, "p-uid", end, reason).await;
        drop(told);
        assert_eq!(acted.unwrap(), Acted::Changed);
        assert_eq!(writes.lock().unwrap().len(), 1);
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[tokio::test]
    async fn how_a_promotion_ended_is_logged_once() {
        let lines = logged(Outcome::RolledBack, Reason::Timeout).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        let mut line = lines[0].clone();
        let fields = line.as_object_mut().unwrap();
        fields.retain(|field, _| field != "timestamp" && field != "target");
        assert_eq!(
            line,
            json!({
                "level": "WARN", "message": "promotion ended", "namespace": "shop", "name": "p",
                "environment": "prod", "release": "checkout-1.0.0",
                "artifact": "1.0.0@9f2c41d07a11", "outcome": "RolledBack", "reason": "Timeout",
                "record": "prod-000001", "why": "the pods were not ready in time",
            })
        );
        let lines = logged(Outcome::Succeeded, Reason::Succeeded).await;
        assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("INFO")));
    }

    #[tokio::test]
    async fn a_fence_holds_only_for_the_workload_that_was_decided_on() {
        let (client, writes) = fixtures::agreeing();
        let context = fixtures::context(&client, fixtures::stores());
        let mut seen = fixtures::observation();
        let workload = seen.environment.targets[0].workload.clone();
        let acted = fence(&context, &seen, "p-uid", 1, &workload).await.unwrap();
        assert_eq!(acted, Acted::Raced, "no version was seen");
        assert!(writes.lock().unwrap().is_empty());
        seen.workload_versions.insert(workload.clone(), "41".into());
        // The fake API server answers with the patch, which is no Deployment with a name; what
        // matters is what it was sent.
        let _ = fence(&context, &seen, "p-uid", 1, &workload).await;
        let writes = writes.lock().unwrap();
        assert_eq!(writes[0].2["metadata"]["resourceVersion"], "41");
    }
}
