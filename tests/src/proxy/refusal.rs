//! Refusing some requests in the server's place.

use std::sync::{Arc, Weak};

use super::{Exchange, Shared, lock};

/// The status that a request is answered with, if it is refused.
pub(super) type Rule = Box<dyn Fn(&Exchange) -> Option<u16> + Send>;

/// Requests that match are refused until this is dropped.
#[derive(Debug)]
pub struct Refusal {
    shared: Weak<Shared>,
    number: u64,
}

/// The rules in force.
#[derive(Default)]
pub(super) struct Refusals {
    next: u64,
    rules: Vec<(u64, Rule)>,
}

impl Refusals {
    pub(super) fn add(shared: &Arc<Shared>, rule: Rule) -> Refusal {
        let mut refusals = lock(&shared.refusals);
        let number = refusals.next;
        refusals.next += 1;
        refusals.rules.push((number, rule));
        Refusal {
            shared: Arc::downgrade(shared),
            number,
        }
    }

    /// What the first rule says that refuses this.
    pub(super) fn of(&self, exchange: &Exchange) -> Option<u16> {
        self.rules.iter().find_map(|(_, rule)| rule(exchange))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let mut refusals = lock(&shared.refusals);
            refusals.rules.retain(|(number, _)| *number != self.number);
        }
    }
}
