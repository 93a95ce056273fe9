//! Has the rules in Rego asked that concern one look, few at a time.

use std::sync::Arc;

use lockmaster_core::gates;
use lockmaster_core::release::Digest;
use lockmaster_core::rules::{RuleOutcome, RuleQuestions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::observation::{Observation, Observer};
use crate::registry::PerNamespace;

/// Passes that have their questions asked, or hold them and wait for that, at a time. One is asked
/// after the other; whoever else has rules comes again, and takes no place from those without.
pub(crate) const ASKING: usize = 2;

/// Of these, passes of one namespace, however many Environments it has: the other place is for others.
const ASKING_OF_ONE_NAMESPACE: usize = 1;

/// How often a pass goes on with what there was no room or no time for. Each time takes up to a second,
/// for which others wait; what is left then is asked by a later pass.
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
    /// has no answer stays absent, which closes. It may take most of a second, and that [`ROUNDS`]
    /// times, so it blocks no thread that other passes run on, and only so many wait for it.
    pub async fn ask_rules(&self, seen: &mut Observation) -> RulesAsked {
        if !gates::has_rules(&seen.input()) {
            return RulesAsked::Now;
        }
        let Some(_place) = self.asking.place(&seen.environment.namespace) else {
            return RulesAsked::Later;
        };
        for _ in 0..ROUNDS {
            let known = |key: &Digest| self.known(seen, key);
            let RuleQuestions {
                open,
                answered,
                left_out,
            } = gates::rule_questions(&seen.input(), &known);
            seen.facts.rules.extend(answered);
            if open.is_empty() {
                break;
            }
            let asked: Vec<_> = open.iter().map(|(key, _)| key.clone()).collect();
            let sandbox = Arc::clone(&self.policies.sandbox);
            match tokio::task::spawn_blocking(move || sandbox.ask(open)).await {
                Ok(answers) => seen.facts.rules.extend(answers),
                Err(error) => tracing::warn!(%error, "the rules could not be asked"),
            }
            let is_known = |key| self.known(seen, key).is_some();
            if !left_out && asked.iter().all(is_known) {
                break;
            }
        }
        RulesAsked::Now
    }

    /// What was answered to a question in this look or lately.
    fn known(&self, seen: &Observation, key: &Digest) -> Option<RuleOutcome> {
        let answer = seen.facts.rules.get(key);
        let answer = answer.filter(|answer| answer.is_answer()).cloned();
        answer.or_else(|| self.policies.sandbox.known(key))
    }
}
