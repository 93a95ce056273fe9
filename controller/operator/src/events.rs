//! Events: one for each change of a promotion's reason, for people who look with kubectl.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use lockmaster_api::Promotion;
use lockmaster_core::reason::Reason;
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
        let (recorder, reference) = (self.recorder.clone(), promotion.object_ref(&()));
        tokio::spawn(async move {
            if let Err(error) = recorder.publish(&event, &reference).await {
                tracing::debug!(%error, "failed to publish an event");
            }
        });
    }
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
    fn a_note_is_cut_by_bytes_between_characters() {
        assert_eq!(note("short"), "short");
        let long = format!("a{}", "\u{e4}".repeat(NOTE_LIMIT));
        assert_eq!(note(&long).len(), NOTE_LIMIT - 1);
    }
}
