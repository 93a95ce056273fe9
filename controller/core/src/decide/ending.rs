//! How an attempt ends: with success, with the way back, or closed by a fence; and its record.

use jiff::{SignedDuration, Timestamp};

use super::landing::{Landing, consents, seen};
use super::revoked::way_back;
use super::{Input, recorded};
use crate::decision::{Cleared, Mutation};
use crate::environment::{CONSENT_ANNOTATION, Environment};
use crate::facts::{Facts, Refusal, Workload};
use crate::promotion::{Claim, Intent, IntentTarget, Undo, attempt_key};
use crate::reason::Reason;
use crate::record::{Ending, Outcome, Record, Times};
use crate::release::{ComponentDigest, ImageReference};

/// Landed and healthy: success, or the end of the way back.
pub(super) fn finished(input: &Input<'_>, claim: &Claim) -> Option<Mutation> {
    match &claim.intent.undo {
        None => {
            let text = "ran and was healthy".to_owned();
            end(input, claim, Outcome::Succeeded, Reason::Succeeded, text)
        }
        Some(Undo {
            reason: Reason::Aborted,
            message,
        }) => {
            let text = format!("{message}; what ran before runs again");
            end(input, claim, Outcome::Aborted, Reason::Aborted, text)
        }
        Some(Undo { reason, message }) => {
            let text = format!("{message}; what ran before runs again");
            end(input, claim, Outcome::RolledBack, *reason, text)
        }
    }
}

/// The deadline passed without the apply, a person ended it before, or what it brings was revoked:
/// nothing has changed, and the fence keeps it so.
pub(super) fn close_unlanded(
    input: &Input<'_>,
    claim: &Claim,
    aborting: bool,
    revoked: Option<String>,
) -> Option<Mutation> {
    if aborting {
        let text = "aborted before the workload took the image".to_owned();
        return end(input, claim, Outcome::Aborted, Reason::Aborted, text);
    }
    if let Some(why) = revoked {
        return close_revoked(input, claim, &why);
    }
    let reason = if claim.intent.undo.is_some() {
        Reason::RollbackFailed
    } else {
        Reason::Timeout
    };
    let why = refusal(input, claim).map(|refusal| format!(": {}", refusal.message));
    let text = format!(
        "the image could not be set within {}{}",
        input.environment.deadline,
        why.unwrap_or_default()
    );
    end(input, claim, Outcome::Failed, reason, text)
}

fn close_revoked(input: &Input<'_>, claim: &Claim, why: &str) -> Option<Mutation> {
    match &claim.intent.undo {
        None => {
            let text = format!("{why}, so the image was left as it is; promote another version");
            end(input, claim, Outcome::Failed, Reason::Revoked, text)
        }
        Some(undo) => {
            let text = format!(
                "{}; what ran before is no way back, and nothing good is left: {why}; promote \
                 another version",
                undo.message
            );
            end(input, claim, Outcome::Failed, Reason::RollbackFailed, text)
        }
    }
}

/// What the API server said when it refused this attempt's last write to a workload.
pub(super) fn refusal<'a>(input: &Input<'a>, claim: &Claim) -> Option<&'a Refusal> {
    let key = attempt_key(&claim.account.promotion.uid, claim.intent.attempt);
    let refused = input.facts.refused.as_ref();
    refused.filter(|refusal| refusal.attempt == key)
}

/// How long a write may be under way: the API server gives a request a minute, webhooks included.
pub(super) const UNDER_WAY: SignedDuration = SignedDuration::from_mins(1);

/// From when on nothing of this attempt can arrive any more where not even a fence may be written:
/// all that was sent since then was refused.
pub(super) fn silent_from(refusal: &Refusal) -> Timestamp {
    refusal
        .since
        .checked_add(UNDER_WAY)
        .unwrap_or(refusal.since)
}

/// The owner of the workload took our rights there back: nobody can see what runs, and the record
/// says just that (`left` is empty). An apply that is still under way may be the last thing that
/// happened there; until the rights are given back, no other promotion passes its target gate.
pub(super) fn hidden(input: &Input<'_>, claim: &Claim, why: &str) -> Option<Mutation> {
    let text = format!("the roll-out cannot be watched to its end: {why}");
    let reason = if claim.intent.undo.is_some() {
        Reason::RollbackFailed
    } else {
        Reason::TargetNotReadable
    };
    end(input, claim, Outcome::Failed, reason, text)
}

/// The owner took the consent back before the workload took the image. Nothing is written to it any
/// more, no fence either: taking back the consent changed the workload, so an apply that is still
/// under way conflicts, and one that begins later reads that it may not.
pub(super) fn withdrawn(
    input: &Input<'_>,
    claim: &Claim,
    target: &IntentTarget,
) -> Option<Mutation> {
    let name = &target.workload;
    let text = format!(
        "{name} does not consent any more ({CONSENT_ANNOTATION} was removed or changed), so its image \
         was left as it is"
    );
    match &claim.intent.undo {
        None => end(
            input,
            claim,
            Outcome::Failed,
            Reason::NotAuthorizedByTarget,
            text,
        ),
        Some(undo) => {
            let text = format!("{}; {text}", undo.message);
            end(input, claim, Outcome::Failed, Reason::RollbackFailed, text)
        }
    }
}

/// The roll-out is not healthy in time.
pub(super) fn give_up(input: &Input<'_>, claim: &Claim, text: String) -> Option<Mutation> {
    if claim.intent.undo.is_some() {
        return end(input, claim, Outcome::Failed, Reason::RollbackFailed, text);
    }
    if input.environment.automatic_rollback {
        return turn_back(input, claim, Reason::Timeout, text);
    }
    end(input, claim, Outcome::Failed, Reason::Timeout, text)
}

/// The way back is the next attempt of the same claim, and only to what is known to be good here.
pub(super) fn turn_back(
    input: &Input<'_>,
    claim: &Claim,
    reason: Reason,
    text: String,
) -> Option<Mutation> {
    let back = claim.intent.targets.iter().map(|target| {
        let to = way_back(input, target)?;
        turned(input, target, to).ok_or_else(|| "cannot be seen".to_owned())
    });
    let targets = match back.collect::<Result<Vec<_>, String>>() {
        Ok(targets) => targets,
        Err(why) => {
            let text = format!("{text}; what ran before {why}, so it stays");
            return end(input, claim, Outcome::Failed, Reason::NoKnownGood, text);
        }
    };
    let intent = Intent {
        attempt: claim.intent.attempt + 1,
        at: recorded(input.now),
        undo: Some(Undo {
            reason,
            message: text,
        }),
        targets,
    };
    let account = claim.account.clone();
    Some(Mutation::Claim(Box::new(Cleared(Claim {
        intent,
        account,
    }))))
}

/// The target with what it was set to before as its aim.
fn turned(input: &Input<'_>, target: &IntentTarget, to: ImageReference) -> Option<IntentTarget> {
    let workload = seen(input.environment, input.facts, target)?.known()?;
    let mut containers = workload.containers.iter();
    let container = containers.find(|c| c.name == target.container)?;
    Some(IntentTarget {
        owners: container.owners.clone(),
        from: container.image.clone(),
        to,
        ..target.clone()
    })
}

/// The fence that is still missing at a target which our apply has not reached. A workload that does
/// not consent any more is not written to: see [`withdrawn`]. Where not even a
/// fence may be written, none is waited for: see [`silent_from`].
pub(super) fn fence(input: &Input<'_>, claim: &Claim, seen: &[Landing<'_>]) -> Option<Mutation> {
    let uid = &claim.account.promotion.uid;
    let key = attempt_key(uid, claim.intent.attempt);
    if refusal(input, claim).is_some_and(|refusal| refusal.forbidden) {
        return None;
    }
    let environment = input.environment;
    let unfenced = |workload: &Workload| {
        workload.fence.as_deref() != Some(key.as_str()) && consents(environment, workload)
    };
    let mut pairs = seen.iter().zip(&claim.intent.targets);
    let open = pairs.find(|(landing, _)| landing.not_yet().is_some_and(unfenced));
    open.map(|(_, target)| Mutation::Fence {
        uid: uid.clone(),
        attempt: claim.intent.attempt,
        target: target.clone(),
    })
}

/// The record of the end.
pub(super) fn end(
    input: &Input<'_>,
    claim: &Claim,
    outcome: Outcome,
    reason: Reason,
    message: String,
) -> Option<Mutation> {
    let Claim { intent, account } = claim;
    let ending = Ending {
        outcome,
        reason,
        message,
        targets: intent.targets.clone(),
        left: images_seen(input.environment, input.facts, &intent.targets),
        times: Times {
            requested: account.promotion.created,
            intent: Some(intent.at),
            finished: recorded(input.now),
        },
    };
    let newest = input.facts.newest_record();
    let record = Record::next(input.environment, newest, account.clone(), ending).ok()?;
    Some(Mutation::Record(Box::new(record)))
}

/// What the targets' containers are set to now, as far as that is by digest.
fn images_seen(
    environment: &Environment,
    facts: &Facts,
    targets: &[IntentTarget],
) -> Vec<ComponentDigest> {
    let images = targets.iter().filter_map(|target| {
        let workload = seen(environment, facts, target)?.known()?;
        let mut containers = workload.containers.iter();
        let container = containers.find(|container| container.name == target.container)?;
        let image = ImageReference::parse(&container.image).ok()?;
        let (component, digest) = (target.component.clone(), image.digest().clone());
        Some(ComponentDigest { component, digest })
    });
    let mut left: Vec<_> = images.collect();
    left.sort();
    left
}
