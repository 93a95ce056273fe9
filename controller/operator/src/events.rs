//! Events: one for each change of a promotion's reason, for people who look with kubectl.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use lockmaster_api::Promotion;
use lockmaster_core::status::{PromotionStatus, State};

/// Publishes Events, best effort: nothing depends on one.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
}

/// Longest note that the API server takes.
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
        let reason = |status: &PromotionStatus| {
            let ready = status
                .conditions
                .iter()
                .find(|condition| condition.kind == "Ready")?;
            Some((ready.reason, status.blocked_by.clone()))
        };
        let Some((word, _)) = reason(after).filter(|now| reason(before).as_ref() != Some(now))
        else {
            return;
        };
        let event = Event {
            type_: event_type(after.state),
            reason: word.to_string(),
            note: Some(after.summary.chars().take(NOTE_LIMIT).collect()),
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
