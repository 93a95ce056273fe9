//! The gates, in the order in which people read them. All of them are evaluated every time.

mod approval;
mod attestations;
mod evidence;
mod provenance;
mod release;
mod revocation;
mod rules;
mod sbom;
mod signature;
mod target;
mod upstream;
mod vulnerabilities;
mod window;

use std::collections::BTreeSet;

use crate::case::Case;
use crate::gate::{Gate, Subject, Want};

/// Every gate. A new gate is one file and one line here.
pub const ALL: &[&dyn Gate] = &[
    &release::Release,
    &revocation::Revocation,
    &signature::Signature,
    &provenance::Provenance,
    &sbom::Sbom,
    &vulnerabilities::Vulnerabilities,
    &attestations::Attestations,
    &rules::Rules,
    &upstream::Upstream,
    &window::Window,
    &approval::Approval,
    &target::Target,
];

fn about(subjects: &'static [Subject]) -> impl Iterator<Item = &'static dyn Gate> {
    let all = ALL.iter().copied();
    all.filter(|gate| subjects.contains(&gate.subject()))
}

/// The gates that judge what is attached to an artifact, and nothing else: what they say holds for
/// whatever runs it.
pub fn evidence() -> impl Iterator<Item = &'static dyn Gate> {
    about(&[Subject::Evidence])
}

/// Every gate that looks at what is attached: those of [`evidence()`], and the rules in Rego.
pub fn looking() -> impl Iterator<Item = &'static dyn Gate> {
    about(&[Subject::Evidence, Subject::Rules])
}

/// The gates that say whether the artifact is what it should be: a policy's own fields about what is
/// attached to it, and whether that still counts. Rules in Rego may ask about anything.
pub fn artifact() -> impl Iterator<Item = &'static dyn Gate> {
    about(&[Subject::Evidence, Subject::Revocation])
}

/// The gates that must be open before the artifact counts as verified for a promotion.
pub fn verifying() -> impl Iterator<Item = &'static dyn Gate> {
    about(&[Subject::Evidence, Subject::Revocation, Subject::Rules])
}

/// What must be read before a promotion's gates can say more of it; nothing where all of them are
/// open, or where all was read and something is missing all the same.
#[must_use]
pub fn wants(case: &Case<'_>) -> BTreeSet<Want> {
    looking().flat_map(|gate| gate.wants(case)).collect()
}

/// The same of what runs, which no rule is asked about.
#[must_use]
pub fn wants_of_running(case: &Case<'_>) -> BTreeSet<Want> {
    evidence().flat_map(|gate| gate.wants(case)).collect()
}

pub(crate) use approval::changed_since;
pub use approval::latches;
pub(crate) use attestations::questions as statement_questions;
pub use rules::{has_rules, questions as rule_questions};
pub use window::{in_force as window_in_force, is_open as window_open};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_asked_of_every_gate_that_judges_evidence() {
        let names: Vec<_> = evidence().map(Gate::name).collect();
        let expected = [
            "signature",
            "provenance",
            "sbom",
            "vulnerabilities",
            "attestations",
        ];
        assert_eq!(names, expected);
        let names: Vec<_> = looking().map(Gate::name).collect();
        assert_eq!(names, [&expected[..], &["rules"]].concat());
        let names: Vec<_> = artifact().map(Gate::name).collect();
        assert_eq!(names, [&["revocation"], &expected[..]].concat());
        let names: Vec<_> = verifying().map(Gate::name).collect();
        assert_eq!(names, [&["revocation"], &expected[..], &["rules"]].concat());
    }

    #[test]
    fn names_are_unique_and_every_gate_declares_its_reasons() {
        let mut names: Vec<_> = ALL.iter().map(|gate| gate.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for gate in ALL {
            assert!(
                !gate.reasons().is_empty(),
                "{} declares no reason",
                gate.name()
            );
        }
    }
}
