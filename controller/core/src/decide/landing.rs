//! Where an attempt stands at its targets: whether our apply landed, and whether it is healthy.

use super::Input;
use crate::environment::Environment;
use crate::facts::{Cause, Container, Facts, Observed, Workload};
use crate::promotion::{Claim, IntentTarget, attempt_key};
use crate::reason::Reason;

/// Where an attempt stands at one target.
pub(super) enum Landing<'a> {
    /// The workload cannot be seen.
    Unseen(String),
    /// Its owner does not let us see it any more.
    Hidden(String),
    /// It carries what only a later attempt of the same promotion would have written.
    Later(String),
    /// The workload does not exist any more, or another one has its name.
    Gone,
    /// Our apply is there.
    Landed(&'a Workload),
    /// The image and its owners are as the intent found them: our apply is not there (yet).
    NotYet(&'a Workload),
    /// Somebody else's hand.
    Foreign(Reason, String),
}

impl<'a> Landing<'a> {
    /// The workload that carries our apply.
    fn landed(&self) -> Option<&'a Workload> {
        match self {
            Self::Landed(workload) => Some(workload),
            Self::Unseen(_)
            | Self::Hidden(_)
            | Self::Later(_)
            | Self::Gone
            | Self::NotYet(_)
            | Self::Foreign(..) => None,
        }
    }

    /// The workload that does not carry our apply (yet).
    pub(super) fn not_yet(&self) -> Option<&'a Workload> {
        match self {
            Self::NotYet(workload) => Some(workload),
            Self::Unseen(_)
            | Self::Hidden(_)
            | Self::Later(_)
            | Self::Gone
            | Self::Landed(_)
            | Self::Foreign(..) => None,
        }
    }
}

pub(super) fn landings<'a>(input: &Input<'a>, claim: &Claim) -> Vec<Landing<'a>> {
    let key = attempt_key(&claim.account.promotion.uid, claim.intent.attempt);
    let targets = claim.intent.targets.iter();
    targets
        .map(|target| landing(input.environment, input.facts, target, &key))
        .collect()
}

pub(super) fn seen<'a>(
    environment: &Environment,
    facts: &'a Facts,
    target: &IntentTarget,
) -> Option<&'a Observed<Workload>> {
    let mut pairs = environment.targets.iter().zip(&facts.workloads);
    pairs
        .find(|(named, _)| named.workload == target.workload)
        .map(|(_, workload)| workload)
}

fn landing<'a>(
    environment: &Environment,
    facts: &'a Facts,
    target: &IntentTarget,
    key: &str,
) -> Landing<'a> {
    let workload = match seen(environment, facts, target) {
        Some(Observed::Known(workload)) if workload.uid == target.uid => workload,
        Some(Observed::Known(_)) => return Landing::Gone,
        Some(Observed::Unavailable(why)) if why.cause == Cause::Missing => return Landing::Gone,
        Some(Observed::Unavailable(why)) if why.cause == Cause::Forbidden => {
            return Landing::Hidden(why.message.clone());
        }
        Some(Observed::Unavailable(why)) => return Landing::Unseen(why.message.clone()),
        Some(Observed::Pending) => {
            return Landing::Unseen(format!("reading {} for the first time", target.workload));
        }
        None => {
            let text = format!(
                "{} is no target of the Environment any more",
                target.workload
            );
            return Landing::Foreign(Reason::Raced, text);
        }
    };
    at(workload, target, key)
}

fn at<'a>(workload: &'a Workload, target: &IntentTarget, key: &str) -> Landing<'a> {
    let named = workload
        .containers
        .iter()
        .find(|container| container.name == target.container);
    let Some(container) = named else {
        let text = format!(
            "{} has no container {} any more",
            target.workload, target.container
        );
        return Landing::Foreign(Reason::Raced, text);
    };
    let ours = workload.intent.as_deref() == Some(key);
    if let Some(later) = workload
        .intent
        .as_deref()
        .filter(|intent| container.applied_by_us && is_after(intent, key))
    {
        // The claim was read as it was before that attempt; carried out again it would undo it. With
        // another manager's name anybody who may edit the workload can write the annotation, and is
        // not believed; with ours as well, but then not for long.
        let name = &target.workload;
        return Landing::Later(format!(
            "{name} carries the later attempt {later}; reading again"
        ));
    }
    if container.image == target.to.to_string() {
        // The value alone proves nothing: somebody else may have written it. Applying it again is
        // harmless and makes it ours.
        return if ours && container.applied_by_us {
            Landing::Landed(workload)
        } else {
            Landing::NotYet(workload)
        };
    }
    if container.image == target.from && !ours && container.owners == target.owners {
        return Landing::NotYet(workload);
    }
    foreign(target, container)
}

fn foreign(target: &IntentTarget, container: &Container) -> Landing<'static> {
    let owners = container.owners.join(", ");
    if container.image == target.from {
        let text = format!(
            "{} put image {} of {} back; let {owners} ignore the image of container {}, or \
             promote there instead",
            owners, container.image, target.workload, target.container
        );
        return Landing::Foreign(Reason::OwnershipConflict, text);
    }
    let text = format!(
        "{owners} set image {} on {}, which is neither what ran before nor what was promoted",
        crate::release::clip(&container.image),
        target.workload
    );
    Landing::Foreign(Reason::Raced, text)
}

/// What is not healthy yet, or nothing.
pub(super) fn trouble(
    facts: &Facts,
    seen: &[Landing<'_>],
    targets: &[IntentTarget],
) -> Option<String> {
    let mut pairs = seen.iter().zip(targets);
    pairs.find_map(|(landing, target)| {
        landing.landed().map_or_else(
            || Some(format!("{} has not taken the image yet", target.workload)),
            |workload| unhealthy(facts, workload, target),
        )
    })
}

/// Whether a pod says itself what is wrong with it.
pub(super) fn pods_in_trouble(seen: &[Landing<'_>]) -> bool {
    let mut pods = seen
        .iter()
        .filter_map(Landing::landed)
        .flat_map(|workload| &workload.pods);
    pods.any(|pod| pod.trouble.is_some())
}

/// Why a workload cannot be watched, where its owner forbids it.
pub(super) fn hidden<'a>(seen: &'a [Landing<'_>]) -> Option<&'a str> {
    seen.iter().find_map(|landing| match landing {
        Landing::Hidden(why) => Some(why.as_str()),
        Landing::Unseen(_)
        | Landing::Later(_)
        | Landing::Gone
        | Landing::Landed(_)
        | Landing::NotYet(_)
        | Landing::Foreign(..) => None,
    })
}

/// Judged on the newest generation only: what its controller has seen, pods on the new digest, and
/// readiness.
fn unhealthy(facts: &Facts, workload: &Workload, target: &IntentTarget) -> Option<String> {
    let name = &target.workload;
    if !workload.observed {
        return Some(format!(
            "{name}: its controller has not seen the change yet"
        ));
    }
    let Workload {
        replicas,
        updated,
        available,
        total,
        ..
    } = workload;
    let names = facts.runs_as(&target.to);
    let runs = |pod: &&crate::facts::Pod| {
        let running = pod.running.get(&target.container);
        pod.ready && running.is_some_and(|digest| names.contains(digest))
    };
    let ready = workload.pods.iter().filter(runs).count();
    if *replicas == 0 {
        return Some(format!(
            "{name}: 0 replicas, so nothing can prove it healthy; scale it up"
        ));
    }
    let settled = updated == replicas
        && total == replicas
        && available >= replicas
        && ready == workload.pods.len()
        && i32::try_from(ready).is_ok_and(|ready| ready >= *replicas);
    if settled {
        return None;
    }
    let problems: Vec<_> = workload
        .pods
        .iter()
        .filter(|pod| !runs(pod))
        .filter_map(|pod| {
            pod.trouble
                .as_ref()
                .map(|trouble| format!("pod {}: {trouble}", pod.name))
        })
        .take(3)
        .collect();
    let problems = if problems.is_empty() {
        String::new()
    } else {
        format!("; {}", problems.join(", "))
    };
    Some(format!(
        "{name}: {ready} of {replicas} pods ready on {}{problems}",
        target.to.digest().short()
    ))
}

/// Why an apply may not be made to the workload as it was just read, if so: what
/// [`super::decide`](fn@super::decide) decided may be older than that. `environment` is the key
/// (`namespace/name`) that the workload must consent to.
#[must_use]
pub fn refusal(
    environment: &str,
    workload: &Workload,
    target: &IntentTarget,
    uid: &str,
    attempt: u32,
) -> Option<String> {
    let name = &target.workload;
    let key = attempt_key(uid, attempt);
    if workload.uid != target.uid {
        return Some(format!("{name} is another object than the planned one"));
    }
    if workload.consent.as_deref() != Some(environment) {
        return Some(format!("{name} does not consent any more"));
    }
    if workload.fence.as_deref() == Some(key.as_str()) {
        return Some(format!("a fence on {name} closed this attempt"));
    }
    match at(workload, target, &key) {
        Landing::NotYet(_) => None,
        Landing::Landed(_) => Some(format!("{name} carries the image already")),
        Landing::Gone => Some(format!("{name} is gone")),
        Landing::Unseen(why)
        | Landing::Hidden(why)
        | Landing::Later(why)
        | Landing::Foreign(_, why) => Some(why),
    }
}

/// Whether the workload still consents to be changed by this Environment.
pub(super) fn consents(environment: &Environment, workload: &Workload) -> bool {
    workload.consent.as_deref() == Some(environment.key().as_str())
}

/// Whether a fence closed the attempt at a target that it did not reach.
pub(super) fn is_fenced(seen: &[Landing<'_>], uid: &str, attempt: u32) -> bool {
    let key = attempt_key(uid, attempt);
    let mut open = seen.iter().filter_map(Landing::not_yet);
    open.any(|workload| workload.fence.as_deref() == Some(key.as_str()))
}

/// Whether one attempt of a promotion comes after another one of the same.
fn is_after(one: &str, other: &str) -> bool {
    let parts = |key| {
        let (uid, attempt) = str::rsplit_once(key, '/')?;
        Some((uid, attempt.parse::<u32>().ok()?))
    };
    match (parts(one), parts(other)) {
        (Some((one_uid, one)), Some((other_uid, other))) => one_uid == other_uid && one > other,
        _ => false,
    }
}
