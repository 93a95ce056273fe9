//! What must be known before a promotion begins: what it depends on and, at that instant, whether
//! what may speak against it was listed lately.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::waiting::look;
use crate::case::Case;
use crate::decision::Progress;
use crate::facts::Observed;
use crate::gate::{Verdict, Want};
use crate::gates;
use crate::reason::Reason;
use crate::release::ImageReference;

/// How long nothing is said of a list that is asked for once more. It takes a round trip, and a report
/// of that would only be taken back; explained within five seconds all the same.
const UNSAID: SignedDuration = SignedDuration::from_secs(5);

/// How a promotion stands that would begin now.
pub(super) struct Start {
    pub(super) progress: Progress,
    /// The images of which what is attached must be listed anew first.
    pub(super) relist: BTreeSet<ImageReference>,
    /// When to say that this takes long.
    pub(super) wake: Option<Timestamp>,
}

/// Asks the gates again, now that it would begin: lists that were good enough to wait with may be
/// too old. From here on the case is that of a promotion that begins.
pub(super) fn start(case: &mut Case<'_>) -> Start {
    case.begins = true;
    let mut progress = look(case);
    if progress.is_clear() {
        return Start {
            progress,
            relist: BTreeSet::new(),
            wake: None,
        };
    }
    let mut relist = BTreeSet::new();
    // What else is in its way by now does not wait for a registry.
    if rests_on_lists(&progress) {
        add_end_of_window(&mut progress);
        let wants = gates::wants(case).into_iter();
        relist.extend(wants.filter_map(|want| match want {
            Want::Lists(image) => Some(image),
            Want::Children(_) | Want::Tags(_) => None,
        }));
    }
    let said_from = relist
        .iter()
        .map(|image| since(case, image))
        .min()
        .and_then(|since| since.checked_add(UNSAID).ok());
    let wake = said_from.filter(|from| *from > case.now);
    progress.report &= wake.is_none();
    Start {
        progress,
        relist,
        wake,
    }
}

/// Since when it is asked for; from now on, where that is about to begin.
fn since(case: &Case<'_>, image: &ImageReference) -> Timestamp {
    let known = case.facts.evidence.get(image).and_then(Observed::known);
    let asking = known.and_then(|evidence| evidence.listed.asking);
    asking.unwrap_or(case.now)
}

fn rests_on_lists(progress: &Progress) -> bool {
    let mut closed = progress.gates.iter().filter(|gate| !gate.verdict.is_open());
    closed.all(|gate| {
        matches!(
            gate.reason,
            Reason::EvidencePending
                | Reason::RegistryUnavailable
                | Reason::EvidenceTruncated
                | Reason::ArtifactMissing
        )
    })
}

/// Whoever mends the registry must know how long that helps.
fn add_end_of_window(progress: &mut Progress) {
    let mut gates = progress.gates.iter();
    let window = gates.find(|gate| gate.name == "window" && gate.verdict == Verdict::Pass);
    if let Some(end) = window.and_then(|gate| gate.next_change) {
        let text =
            format!("; the change window is open until {end}, then it waits for the next one");
        progress.summary.push_str(&text);
    }
}

/// Whether a fact that a gate depends on is still being looked up for the first time.
pub(super) fn is_pending(case: &Case<'_>) -> bool {
    let evidence = case
        .images()
        .flat_map(|image| case.facts.looked_up(image))
        .any(|image| matches!(case.facts.evidence.get(&image), Some(Observed::Pending)));
    let workloads = case
        .facts
        .workloads
        .iter()
        .any(|seen| matches!(seen, Observed::Pending));
    let guard = matches!(case.facts.guard, Observed::Pending);
    evidence || workloads || guard || !gates::wants(case).is_empty()
}
