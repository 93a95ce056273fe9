//! The hosts of registries that labels name.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Hosts that are told apart. Nothing is asked of any that no policy and no list of registries names,
/// so that this is reached by mistake only; whatever comes after counts as [`OTHER`].
const HOSTS: usize = 64;

const OTHER: &str = "other";

/// The hosts that were asked, or were to be asked.
#[derive(Default)]
pub(super) struct Hosts(Mutex<BTreeSet<String>>);

impl Hosts {
    /// The label of a host.
    pub(super) fn label(&self, host: &str) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < HOSTS {
            known.insert(host.to_owned());
        }
        let is_known = known.contains(host);
        if is_known { host } else { OTHER }.to_owned()
    }

    /// Those that are told apart.
    pub(super) fn all(&self) -> BTreeSet<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_hosts_are_told_apart() {
        let hosts = Hosts::default();
        for number in 0..HOSTS {
            let host = format!("r{number}.example");
            assert_eq!(hosts.label(&host), host);
        }
        assert_eq!(hosts.label("one-more.example"), OTHER);
        assert_eq!(hosts.label("r0.example"), "r0.example");
        assert_eq!(hosts.all().len(), HOSTS);
    }
}
