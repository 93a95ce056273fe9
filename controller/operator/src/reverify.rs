//! Verifies again, on a schedule, what runs and what would be gone back to: asks the registries for
//! what is due, and says when the next is. What the answers mean is decided in the core.

use jiff::{SignedDuration, Timestamp};
use lockmaster_core::decision::Decision;
use lockmaster_core::facts::Look;
use lockmaster_core::reason::Reason;
use lockmaster_core::release::ImageReference;
use lockmaster_core::standing::due;
use lockmaster_observe::evidence::Asker;
use lockmaster_observe::observation::Observation;

use crate::context::Context;

/// How often each image is looked at again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// From one look to the next.
    pub(crate) every: SignedDuration,
    /// When this process began.
    pub(crate) started: Timestamp,
}

/// Starts the looks that are due; their end wakes the Environment. Returns when the next is due.
pub(crate) fn reverify(
    context: &Context,
    seen: &Observation,
    decision: &Decision,
) -> Option<Timestamp> {
    let all = planned(&context.schedule, seen, decision);
    let (now, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= seen.now);
    for (_, image) in now {
        tracing::debug!(%image, "verifying again");
        let evidence = &context.observer.evidence;
        evidence.look_again(image, &Asker::of(&seen.environment), seen.now);
    }
    later.into_iter().map(|(at, _)| at).min()
}

/// When each image is due.
fn planned<'a>(
    schedule: &Schedule,
    seen: &'a Observation,
    decision: &Decision,
) -> Vec<(Timestamp, &'a ImageReference)> {
    let Schedule { every, started } = *schedule;
    let mut planned = Vec::new();
    for (record, ran) in &seen.facts.ran {
        // What it rested on was revoked, and nobody has looked yet whether there is more.
        let is_doubted = decision
            .concerns
            .iter()
            .any(|held| held.record == *record && held.reason == Reason::Revoked);
        for (image, look) in &ran.looks {
            let Look { at, problem: _ } = look;
            let doubted = (is_doubted && at.is_none()).then_some(seen.now);
            let asked = doubted.or(seen.environment.reverify_at);
            let at = due(image.digest(), look, every, started, asked);
            planned.push((at, image));
        }
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, observation};
    use lockmaster_core::decide::decide;
    use lockmaster_core::facts::Ran;
    use lockmaster_core::release::{Component, Release, Version};
    use lockmaster_core::standing::{Artifact, Concern};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A look at an Environment in which this image runs.
    fn running(image: &ImageReference, look: Look) -> Observation {
        let mut seen = observation();
        let component = Component {
            name: None,
            image: image.clone(),
        };
        let ran = Ran {
            release: Release {
                name: "checkout-1.0.0".into(),
                product: "checkout".into(),
                version: Version::parse("1.0.0").unwrap(),
                components: vec![component],
                source: None,
            },
            looks: [(image.clone(), look)].into(),
        };
        seen.facts.ran.insert("prod-000001".into(), ran);
        seen
    }

    #[tokio::test]
    async fn what_is_due_is_looked_at_and_the_rest_waits_for_its_turn() {
        let (client, _) = fixtures::agreeing();
        let context = fixtures::context(&client, fixtures::stores());
        let image = fixtures::image();
        let mut seen = running(&image, Look::default());
        let decision = decide(&seen.input());
        let Some(turn) = reverify(&context, &seen, &decision) else {
            panic!("nothing is planned")
        };
        assert!(turn > at(0) && turn <= at(3600), "{turn}");
        // On its turn it is looked at: what the observer peeked at is asked for.
        let _ =
            context
                .observer
                .evidence
                .peek(&image, &Asker::of(&seen.environment), &[], seen.now);
        seen.now = turn;
        assert_eq!(reverify(&context, &seen, &decision), None);
        let look = context
            .observer
            .evidence
            .peek(&image, &Asker::of(&seen.environment), &[], seen.now)
            .1;
        assert_eq!(look.at, Some(turn));
        let mut seen = running(&image, look);
        seen.now = turn;
        let next = turn + SignedDuration::from_hours(1);
        assert_eq!(reverify(&context, &seen, &decision), Some(next));
    }

    #[tokio::test]
    async fn what_was_revoked_or_asked_for_does_not_wait() {
        let image = fixtures::image();
        let schedule = Schedule {
            every: SignedDuration::from_hours(1),
            started: at(0),
        };
        let due_at = |seen: &Observation, concerns: Vec<Concern>| {
            let mut decision = decide(&seen.input());
            decision.concerns = concerns;
            planned(&schedule, seen, &decision)[0].0
        };
        let mut seen = running(&image, Look::default());
        seen.now = at(60);
        assert!(due_at(&seen, vec![]) > at(60));
        let concern = |reason| Concern {
            artifact: Artifact::Running,
            record: "prod-000001".into(),
            artifact_set: image.digest().clone(),
            reason,
            message: String::new(),
            eligible: false,
            since: at(0),
        };
        assert_eq!(due_at(&seen, vec![concern(Reason::Revoked)]), at(60));
        let other = concern(Reason::EvidenceWithdrawn);
        assert!(due_at(&seen, vec![other]) > at(60));
        seen.environment.reverify_at = Some(at(50));
        assert_eq!(due_at(&seen, vec![]), at(50));
    }
}
