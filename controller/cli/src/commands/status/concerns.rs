//! What is held against what runs in an Environment, and against what it would go back to.

use std::fmt::Write as _;

use lockmaster_core::gate::Verdict;
use lockmaster_core::standing::{Artifact, Concern};

use super::Place;
use crate::output::Style;

/// One entry for each: since when, whether what comes after may still rely on it, and what to do.
/// What ran earlier is only counted: it is an alert of the past, and stands whole in JSON and YAML.
pub(super) fn push(text: &mut String, (namespace, place): (&str, &Place), style: Style) {
    let [one, last, past_one, past_last] = style.branches();
    let is_now = |held: &&Concern| held.artifact != Artifact::Earlier;
    let (now, earlier): (Vec<_>, Vec<_>) = place.concerns.iter().partition(is_now);
    let below = !place.promotions.is_empty();
    for (position, held) in now.iter().enumerate() {
        let is_last = position + 1 == now.len() && earlier.is_empty() && !below;
        let (branch, trunk) = if is_last {
            (last, past_last)
        } else {
            (one, past_one)
        };
        let Concern {
            artifact,
            record,
            artifact_set: _,
            reason,
            message,
            eligible,
            since,
        } = held;
        let (mark, counts) = if *eligible {
            (Verdict::Hold, "")
        } else {
            (Verdict::Deny, ", proves nothing to what comes after")
        };
        let (mark, words) = (style.verdict(mark), artifact.words());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{branch}{mark} {words} ({record})  {reason} since {since}{counts}"
        );
        let _ = writeln!(text, "{trunk}{message}");
    }
    if !earlier.is_empty() {
        let branch = if below { one } else { last };
        let (mark, count) = (style.verdict(Verdict::NotRequired), earlier.len());
        let name = &place.name;
        let _ = writeln!(
            text,
            "{branch}{mark} {count} that succeeded before and prove nothing any more: kubectl get \
             environments.lockmaster.dev {name} -n {namespace} -o yaml"
        );
    }
}
