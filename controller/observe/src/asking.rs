//! Has the rules in Rego asked that concern one look, few at a time.

use std::sync::Arc;

use lockmaster_core::gates;
use lockmaster_core::rules::RuleQuestions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observation::{Observation, Observer};
use crate::registry::PerNamespace;

/// Passes that have their questions asked, or hold them and wait for that, at a time. One is asked
/// after the other; whoever else has rules comes again, and takes no place from those without.
pub(crate) const ASKING: usize = 2;

/// Of these, passes of one namespace, however many Environments it has: the other place is for others.
const ASKING_OF_ONE_NAMESPACE: usize = 1;

/// How often a pass goes on with what there was no room for. Each time takes up to a second, for which
/// others wait; what is left then is asked by a later pass.
const ROUNDS: usize = 4;

/// Places of passes that ask rules.
pub(crate) struct Asking {
    all: Arc<Semaphore>,
    per_namespace: PerNamespace,
}

/// One of them, until it is dropped.
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _common: OwnedSemaphorePermit,
}

impl Asking {
    /// All of them are free.
    pub(crate) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ASKING)),
            per_namespace: PerNamespace::new(ASKING_OF_ONE_NAMESPACE),
        }
    }

    /// A place for a pass of this namespace, if one is free.
    pub(crate) fn place(&self, namespace: &str) -> Option<Place> {
        let own = self.per_namespace.of(namespace).try_acquire_owned().ok()?;
        let common = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place {
            _own: own,
            _common: common,
        })
    }
}

/// Whether a pass may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RulesAsked {
    /// There are no rules, or they were asked.
    Now,
    /// Others are being asked: look again in a moment.
    Later,
}

impl Observer {
    /// Asks the rules in Rego of the matching policies, and adds what they answer to the facts. What
    /// has no answer stays absent, which closes. It may take most of a second, so it blocks no
    /// thread that other passes run on, and only so many wait for it.
    pub async fn ask_rules(&self, seen: &mut Observation) -> RulesAsked {
        if !gates::has_rules(&seen.input()) {
            return RulesAsked::Now;
        }
        let Some(_place) = self.asking.place(&seen.environment.namespace) else {
            return RulesAsked::Later;
        };
        for _ in 0..ROUNDS {
            let sandbox = self.policies.sandbox.clone();
            let questions = gates::rule_questions(&seen.input(), &|key| sandbox.known(key));
            let RuleQuestions {
                open,
                answered,
                left_out,
            } = questions;
            seen.facts.rules = answered;
            if !open.is_empty() {
                match tokio::task::spawn_blocking(move || sandbox.ask(open)).await {
                    Ok(answers) => seen.facts.rules.extend(answers),
                    Err(error) => tracing::warn!(%error, "the rules could not be asked"),
                }
            }
            if !left_out {
                break;
            }
        }
        RulesAsked::Now
    }
}
