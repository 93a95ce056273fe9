//! Events: one for each change of a promotion's reason, and of what is held against what runs, for
//! people who look with kubectl.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use lockmaster_api::{Environment, Promotion};
use lockmaster_core::reason::Reason;
use lockmaster_core::standing::Concern;
use lockmaster_core::status::{PromotionStatus, State};

/// Publishes Events, best effort: nothing depends on one.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
}

/// Longest note that the API server takes, in bytes.
const NOTE_LIMIT: usize = 1024;

impl Events {
    /// Publishes with this client.
    pub(crate) fn new(client: Client) -> Self {
        let reporter = Reporter {
            controller: "lockmaster".into(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client, reporter),
        }
    }

    /// Publishes the change from `before` to `after`, if there is one worth telling.
    pub(crate) fn changed(
        &self,
        promotion: &Promotion,
        before: &PromotionStatus,
        after: &PromotionStatus,
    ) {
        let Some(now) = Told::of(after).filter(|now| Told::of(before).as_ref() != Some(now)) else {
            return;
        };
        let event = Event {
            type_: event_type(after.state),
            reason: now.reason.to_string(),
            note: Some(note(&after.summary)),
            action: after.state.meaning().word.to_owned(),
            secondary: None,
        };
        self.publish(event, promotion.object_ref(&()));
    }

    /// Publishes what is held against what runs in an Environment now and was not before, and what
    /// is held no longer.
    pub(crate) fn concerned(&self, environment: &Environment, before: &[Concern], now: &[Concern]) {
        for (kind, concern) in news(before, now) {
            let Concern {
                artifact,
                record,
                reason,
                message,
                ..
            } = concern;
            let (reason, text) = match kind {
                EventType::Warning => {
                    tracing::warn!(?artifact, record, %reason, why = message, "verified again");
                    (*reason, message.clone())
                }
                EventType::Normal => {
                    tracing::info!(?artifact, record, %reason, "held no longer");
                    let text = format!("{reason} is held no longer against what {record} proves");
                    (Reason::ConcernCleared, text)
                }
            };
            let event = Event {
                type_: kind,
                reason: reason.to_string(),
                note: Some(note(&text)),
                action: "Verify".to_owned(),
                secondary: None,
            };
            self.publish(event, environment.object_ref(&()));
        }
    }

    fn publish(&self, event: Event, reference: ObjectReference) {
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &reference).await {
                tracing::debug!(%error, "failed to publish an event");
            }
        });
    }
}

/// What is new in what is held against artifacts: a warning for what came, an all-clear for what went
/// of artifacts that nothing else is held against.
fn news<'a>(before: &'a [Concern], now: &'a [Concern]) -> Vec<(EventType, &'a Concern)> {
    // Whatever became of them since: what is held against them goes along.
    let same = |one: &Concern, other: &Concern| one.artifact_set == other.artifact_set;
    let came = now.iter().filter(|held| {
        let known = |before: &Concern| same(before, held) && before.reason == held.reason;
        !before.iter().any(known)
    });
    let went = before
        .iter()
        .filter(|before| !now.iter().any(|held| same(before, held)));
    came.map(|held| (EventType::Warning, held))
        .chain(went.map(|held| (EventType::Normal, held)))
        .collect()
}

/// What makes an Event when it changes.
#[derive(PartialEq, Eq)]
struct Told<'a> {
    reason: Reason,
    blocked_by: Option<&'a str>,
    /// What the gate that is in the way says.
    gate: Option<Reason>,
}

impl<'a> Told<'a> {
    fn of(status: &'a PromotionStatus) -> Option<Self> {
        let mut conditions = status.conditions.iter();
        let ready = conditions.find(|condition| condition.kind == "Ready")?;
        let blocked_by = status.blocked_by.as_deref();
        let gate = status
            .gates
            .iter()
            .find(|gate| Some(gate.name.as_str()) == blocked_by);
        Some(Self {
            reason: ready.reason,
            blocked_by,
            gate: gate.map(|gate| gate.reason),
        })
    }
}

/// As much of a text as fits into a note, cut between characters.
fn note(text: &str) -> String {
    let mut end = NOTE_LIMIT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn event_type(state: State) -> EventType {
    match state {
        State::Blocked
        | State::Rejected
        | State::Failed
        | State::RolledBack
        | State::RollingBack => EventType::Warning,
        State::Pending
        | State::AwaitingApproval
        | State::AwaitingWindow
        | State::RollingOut
        | State::Succeeded
        | State::Superseded
        | State::Aborted => EventType::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn blocked(reason: &str) -> PromotionStatus {
        serde_json::from_value(json!({
            "observedGeneration": 1, "state": "Blocked", "summary": "s", "blockedBy": "signature",
            "gates": [
                {"name": "release", "verdict": "Pass", "reason": "ReleaseAccepted", "message": "m"},
                {"name": "signature", "verdict": "Hold", "reason": reason, "message": "m"},
            ],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "GateFailed", "message": "m",
                 "lastTransitionTime": "2026-11-24T10:00:00Z", "observedGeneration": 1},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn another_reason_of_the_same_gate_is_told() {
        let missing = blocked("SignatureMissing");
        assert!(Told::of(&missing) != Told::of(&blocked("SignerNotTrusted")));
        let mut reworded = missing.clone();
        reworded.summary = "other words".into();
        reworded.gates[0].reason = Reason::NotRequired;
        assert!(
            Told::of(&missing) == Told::of(&reworded),
            "nothing that is in the way changed"
        );
    }

    #[test]
    fn what_is_held_against_what_runs_is_told_once_and_its_end_too() {
        let concern = |artifact: &str, set: &str, reason: &str| -> Concern {
            let set = lockmaster_core::release::Digest::of(set.as_bytes());
            serde_json::from_value(json!({
                "artifact": artifact, "record": "prod-000001", "artifactSet": set,
                "reason": reason, "message": "m", "eligible": true,
                "since": "2026-11-24T10:00:00Z",
            }))
            .unwrap()
        };
        let told = |before: &[Concern], now: &[Concern]| -> Vec<String> {
            let news = news(before, now).into_iter();
            news.map(|(kind, held)| format!("{kind:?} {}", held.reason))
                .collect()
        };
        let gone = concern("Running", "a", "ArtifactMissing");
        let withdrawn = concern("Running", "a", "EvidenceWithdrawn");
        let back = concern("KnownGood", "b", "ArtifactMissing");
        let one = std::slice::from_ref(&gone);
        assert_eq!(told(&[], one), ["Warning ArtifactMissing"]);
        assert_eq!(told(one, one), [""; 0]);
        let other = std::slice::from_ref(&withdrawn);
        assert_eq!(told(one, other), ["Warning EvidenceWithdrawn"]);
        assert_eq!(told(one, &[]), ["Normal ArtifactMissing"]);
        let both = [gone.clone(), back];
        assert_eq!(told(one, &both), ["Warning ArtifactMissing"]);
        assert_eq!(told(one, &both).len(), 1);
        let earlier = concern("Earlier", "a", "ArtifactMissing");
        assert_eq!(
            told(one, &[earlier]),
            [""; 0],
            "others run, which changes nothing"
        );
    }

    #[test]
    fn a_note_is_cut_by_bytes_between_characters() {
        assert_eq!(note("short"), "short");
        let long = format!("a{}", "\u{e4}".repeat(NOTE_LIMIT));
        assert_eq!(note(&long).len(), NOTE_LIMIT - 1);
    }
}
