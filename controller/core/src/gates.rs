//! The gates, in the order in which people read them. All of them are evaluated every time.

mod approval;
mod evidence;
mod provenance;
mod release;
mod revocation;
mod sbom;
mod signature;
mod target;
mod upstream;
mod window;

use std::collections::BTreeSet;

use crate::case::Case;
use crate::gate::{Gate, Look};
use crate::reason::Reason;

/// Every gate. A new gate is one file and one line here.
pub const ALL: &[&dyn Gate] = &[
    &release::Release,
    &revocation::Revocation,
    &signature::Signature,
    &provenance::Provenance,
    &sbom::Sbom,
    &upstream::Upstream,
    &window::Window,
    &approval::Approval,
    &target::Target,
];

/// What must be read before the gates that look at evidence can say more of this case; nothing
/// where all of them are open, or where all was read and something is missing all the same.
#[must_use]
pub fn looks(case: &Case<'_>) -> BTreeSet<Look> {
    let asking = ALL
        .iter()
        .filter(|gate| gate.reasons().contains(&Reason::EvidencePending));
    asking.flat_map(|gate| gate.find(case).wants).collect()
}

pub use approval::latches;
pub use window::{in_force as window_in_force, is_open as window_open};

#[cfg(test)]
mod tests {
    use super::*;

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
