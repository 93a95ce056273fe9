//! A world for tests: a few objects that change as the decision says, under the same conditions as
//! the API server would let them, and everything else that happens to them meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use crate::approval::Vote;
use crate::decide::Input;
use crate::decision::{Decision, Mutation, Progress};
use crate::facts::{Observed, Workload};
use crate::fixtures::{self, digest, image};
use crate::gate::GateReport;
use crate::promotion::{Claim, IntentTarget, Memory, Promotion, attempt_key};
use crate::record::{Outcome, Record};
use crate::release::Digest;
use crate::revocation::of_artifact;
use crate::snapshot::Snapshot;

use self::registry::{Registry, check_lists};
use self::seen::{decide_unfinished, see_then};

mod registry;
mod seen;

/// An image change that really happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) uid: String,
    pub(crate) attempt: u32,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// One kind of object that a pass may see as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    Environment,
    Promotions,
    EnvironmentAndPromotions,
    Workload,
    Records,
}

/// An apply on its way, and the version of the workload that it was sent under.
#[derive(Debug, Clone)]
struct Held {
    uid: String,
    attempt: u32,
    target: IntentTarget,
    version: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Snapshot,
    /// Digests whose pods never become ready.
    pub(crate) broken: Vec<Digest>,
    pub(crate) effects: Vec<Effect>,
    /// Every step that had an effect, in order.
    pub(crate) steps: Vec<&'static str>,
    /// Whether our annotation was ever taken away.
    pub(crate) is_undone: bool,
    /// What the registry has, and whether it answers.
    pub(crate) registry: Registry,
    past: Vec<Snapshot>,
    /// How many changes the newest view of the workload had seen.
    workload_seen: usize,
    workload_version: u64,
    held: Option<Held>,
    /// Every claim that was written.
    claims: Vec<Claim>,
    /// Every intent that was written, with the gates that were written with it.
    intents: Vec<(String, u32, Vec<GateReport>)>,
    /// Every apply that arrived, whether or not it changed anything.
    applied: BTreeSet<(String, u32)>,
    /// What was remembered of each promotion when it ended, by uid.
    ends: BTreeMap<String, Memory>,
    checked_records: usize,
    checked_effects: usize,
}

impl World {
    pub(crate) fn new(now: Snapshot) -> Self {
        Self {
            now,
            broken: vec![],
            effects: vec![],
            steps: vec![],
            is_undone: false,
            registry: Registry::default(),
            past: vec![],
            workload_seen: 0,
            workload_version: 0,
            held: None,
            claims: vec![],
            intents: vec![],
            applied: BTreeSet::new(),
            ends: BTreeMap::new(),
            checked_records: 0,
            checked_effects: 0,
        }
    }

    pub(crate) fn workload(&mut self) -> &mut Workload {
        self.workload_version += 1;
        fixtures::the_workload(&mut self.now)
    }

    pub(crate) fn promotion(&mut self, name: &str) -> &mut Promotion {
        let mut all = self.now.promotions.iter_mut();
        all.find(|promotion| promotion.name == name).unwrap()
    }

    pub(crate) fn decide(&self) -> Decision {
        decide_unfinished(&self.now)
    }

    /// The progress of one promotion.
    pub(crate) fn look(&self, name: &str) -> Progress {
        let decision = self.decide();
        let mut all = decision.promotions.into_iter();
        all.find(|progress| progress.name == name).unwrap()
    }

    /// One pass: look, decide, act. What was done, or `wait`.
    pub(crate) fn pass(&mut self) -> &'static str {
        let seen = self.now.clone();
        self.act(&seen, false)
    }

    /// A pass that sees some objects as they were `age` changes ago.
    pub(crate) fn pass_stale(&mut self, stale: Stale, age: usize) -> &'static str {
        let mut seen = self.now.clone();
        // Views of a workload never go back: a watch goes on where it was, and whoever starts lists
        // what is stored right then.
        let oldest = if stale == Stale::Workload {
            self.workload_seen
        } else {
            0
        };
        let then = self.past.len().checked_sub(age + 1);
        let then = then.map(|then| then.max(oldest));
        let Some(then) = then.and_then(|then| self.past.get(then)) else {
            return self.pass();
        };
        match stale {
            Stale::Environment => seen.environment = then.environment.clone(),
            Stale::Promotions => see_then(&mut seen, then),
            Stale::EnvironmentAndPromotions => {
                seen.environment = then.environment.clone();
                see_then(&mut seen, then);
            }
            Stale::Workload => seen.facts.workloads = then.facts.workloads.clone(),
            Stale::Records => seen.facts.records = then.facts.records.clone(),
        }
        self.act(&seen, false)
    }

    /// A pass whose apply stays on its way, if it makes one.
    pub(crate) fn pass_held(&mut self) -> &'static str {
        let seen = self.now.clone();
        self.act(&seen, true)
    }

    /// The apply that is on its way arrives: the API server takes it only under the version it was
    /// sent under.
    pub(crate) fn deliver(&mut self) {
        if let Some(held) = self.held.take() {
            if held.version == self.workload_version {
                self.take(&held);
            }
        }
    }

    /// Passes until nothing is done any more; what was done.
    pub(crate) fn run(&mut self) -> Vec<&'static str> {
        let mut done = vec![];
        for _ in 0..60 {
            match self.pass() {
                "wait" => return done,
                step => done.push(step),
            }
            self.settle();
        }
        panic!("the world does not settle: {done:?}");
    }

    /// What the Deployment controller and kubelets do.
    pub(crate) fn settle(&mut self) {
        let broken = self.broken.clone();
        let workload = fixtures::the_workload(&mut self.now);
        let text = &workload.containers[0].image;
        let Ok(image) = crate::release::ImageReference::parse(text) else {
            return;
        };
        fixtures::roll_out(workload, image.digest());
        if broken.contains(image.digest()) {
            workload.available = 0;
            for pod in &mut workload.pods {
                pod.ready = false;
                pod.trouble = Some("app: CrashLoopBackOff".into());
            }
        }
    }

    pub(crate) fn advance(&mut self, seconds: i64) {
        self.now.now += SignedDuration::from_secs(seconds);
    }

    /// Somebody sets an image by hand.
    pub(crate) fn set_image(&mut self, version: &str, manager: &str, keeps_intent: bool) {
        self.remember();
        let image = image(version).to_string();
        let workload = self.workload();
        workload.containers[0].image = image;
        workload.containers[0].owners = vec![manager.to_owned()];
        workload.containers[0].applied_by_us = false;
        if !keeps_intent {
            workload.intent = None;
        }
        workload.observed = false;
    }

    /// The owner of the workload takes the consent back, or gives it again.
    pub(crate) fn consent(&mut self, given: bool) {
        self.remember();
        let environment = self.now.environment.key();
        self.workload().consent = given.then_some(environment);
    }

    /// Somebody revokes the artifact of a version, or lifts all that was revoked.
    pub(crate) fn revoke(&mut self, version: Option<&str>) {
        self.remember();
        match version {
            Some(version) => fixtures::revoked::revoke_digest(&mut self.now, version),
            None => self.now.facts.revocations.clear(),
        }
    }

    pub(crate) fn abort(&mut self, name: &str) {
        self.remember();
        let promotion = self.promotion(name);
        if !promotion.is_finished() {
            promotion.request.abort = true;
        }
    }

    pub(crate) fn annotate(&mut self, name: &str, vote: Vote, slot: &str, by: &str) {
        self.remember();
        let promotion = self.promotion(name);
        if let Some(plan) = promotion.memory.plan.clone() {
            let value = crate::approval::render(vote, by, &plan.hash, "", "because");
            let key = format!("{}{slot}", crate::approval::APPROVAL_PREFIX);
            promotion.annotations.insert(key, value);
        }
    }

    pub(crate) fn add(&mut self, promotion: Promotion) {
        self.remember();
        self.now.promotions.push(promotion);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.remember();
        self.now
            .promotions
            .retain(|promotion| promotion.name != name);
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.now.facts.records
    }

    /// How many changes there were.
    pub(crate) fn age(&self) -> usize {
        self.past.len()
    }

    fn remember(&mut self) {
        self.past.push(self.now.clone());
    }

    fn act(&mut self, seen: &Snapshot, hold: bool) -> &'static str {
        if seen.facts.workloads == self.now.facts.workloads {
            self.workload_seen = self.past.len();
        }
        let mut seen = seen.clone();
        let decision = self.decide_with_lists(&mut seen);
        let seen = &seen;
        let Some(mutation) = decision.mutation.clone() else {
            self.report(seen, &decision);
            return "wait";
        };
        self.remember();
        let before = self.now.clone();
        let arrives = self.mutate(seen, &decision, mutation.clone(), hold);
        if arrives && before != self.now {
            self.steps.push(mutation.step());
        }
        mutation.step()
    }

    /// What reports remember: plan and latched decisions, under the promotion's version.
    fn report(&mut self, seen: &Snapshot, decision: &Decision) {
        for progress in &decision.promotions {
            let current = |promotion: &&mut Promotion| promotion.uid == progress.uid;
            let Some(promotion) = self.now.promotions.iter_mut().find(current) else {
                continue;
            };
            let fresh = seen.promotions.contains(promotion);
            if fresh && !promotion.is_finished() && promotion.memory.intent.is_none() {
                promotion.memory.plan.clone_from(&progress.plan);
                let overtaken = &progress.overtaken_plan;
                promotion.memory.overtaken_plan.clone_from(overtaken);
                promotion.memory.approvals.extend(progress.latch.clone());
                promotion.memory.reported = true;
            }
        }
    }

    fn mutate(
        &mut self,
        seen: &Snapshot,
        decision: &Decision,
        mutation: Mutation,
        hold: bool,
    ) -> bool {
        let same_environment = seen.environment == self.now.environment;
        let active = &mut self.now.environment.active;
        match mutation {
            Mutation::Claim(cleared) if same_environment => {
                check_lists(seen, cleared.claim());
                self.claims.push(cleared.claim().clone());
                *active = Some(cleared.claim().clone());
            }
            Mutation::Release { .. } if same_environment => *active = None,
            Mutation::Claim(_) | Mutation::Release { .. } => return false,
            Mutation::Intent { uid, intent, .. } => {
                check_lists(seen, seen.environment.active.as_ref().unwrap());
                // The fresh look: what gates rest on is as it was seen.
                let facts = &self.now.facts;
                let same = seen.facts.records == facts.records
                    && seen.facts.revocations == facts.revocations;
                let fresh = intent.attempt > 1 || same;
                let Some(promotion) = fresh.then(|| self.as_seen(seen, &uid)).flatten() else {
                    return false;
                };
                let progress = decision
                    .promotions
                    .iter()
                    .find(|progress| progress.uid == uid);
                let before = promotion
                    .memory
                    .intent
                    .as_ref()
                    .map(|intent| intent.attempt);
                assert!(
                    before < Some(intent.attempt),
                    "an intent goes back, or is written twice"
                );
                let gates = progress.unwrap().gates.clone();
                promotion.memory.gates.clone_from(&gates);
                promotion.memory.intent = Some(intent.clone());
                promotion.memory.reported = true;
                self.intents.push((uid, intent.attempt, gates));
            }
            Mutation::Conclude { uid, record, .. } => {
                let Some(promotion) = self.as_seen(seen, &uid) else {
                    return false;
                };
                promotion.memory.record = Some(record);
                promotion.memory.intent = None;
                let memory = promotion.memory.clone();
                let before = self.ends.insert(uid, memory);
                assert_eq!(before, None, "S9: it ended twice");
            }
            Mutation::Record(record) => {
                let next = self.now.facts.records.len() + 1;
                if usize::try_from(record.content.sequence).unwrap() != next {
                    return false;
                }
                self.now.facts.records.push(*record);
            }
            Mutation::Fence { uid, attempt, .. } => {
                let template = |snapshot: &Snapshot| match &snapshot.facts.workloads[0] {
                    Observed::Known(one) => Some((
                        one.containers.clone(),
                        one.intent.clone(),
                        one.consent.clone(),
                    )),
                    Observed::Pending | Observed::Unavailable(_) => None,
                };
                if template(seen) != template(&self.now) {
                    return false;
                }
                let environment = self.now.environment.key();
                let workload = self.workload();
                let consents = workload.consent.as_deref() == Some(environment.as_str());
                assert!(consents, "S7: {uid} fences a workload without its consent");
                workload.fence = Some(attempt_key(&uid, attempt));
            }
            Mutation::Apply {
                uid,
                attempt,
                target,
            } => {
                // At a start every cache is listed anew before the first pass, and later a pass that
                // has not seen what this process created ends at once.
                // Revocations are looked at once more right before.
                let facts = &self.now.facts;
                if facts.record_of(&uid) != seen.facts.record_of(&uid)
                    || facts.revocations != seen.facts.revocations
                {
                    return false;
                }
                let revoked = of_artifact(facts, target.to.digest());
                assert_eq!(revoked, None, "S10: {uid} brings what is revoked");
                return self.apply(uid, attempt, target, hold);
            }
        }
        true
    }

    /// The promotion, if it is still as it was seen.
    fn as_seen(&mut self, seen: &Snapshot, uid: &str) -> Option<&mut Promotion> {
        let mut all = self.now.promotions.iter_mut();
        let promotion = all.find(|promotion| promotion.uid == uid)?;
        seen.promotions.contains(promotion).then_some(promotion)
    }

    /// Reads the workload live, asks once more, and applies under what was read.
    fn apply(&mut self, uid: String, attempt: u32, target: IntentTarget, hold: bool) -> bool {
        let Observed::Known(live) = &self.now.facts.workloads[0] else {
            return false;
        };
        let environment = self.now.environment.key();
        if crate::decide::refusal(&environment, live, &target, &uid, attempt).is_some() {
            return false;
        }
        let version = self.workload_version;
        let held = Held {
            uid,
            attempt,
            target,
            version,
        };
        if hold {
            self.held = Some(held);
            return false;
        }
        self.take(&held);
        true
    }

    fn take(&mut self, held: &Held) {
        self.remember();
        let Held {
            uid,
            attempt,
            target,
            ..
        } = held.clone();
        let over = self.now.facts.record_of(&uid);
        assert_eq!(over, None, "S4: {uid} is over, and its apply arrives");
        self.applied.insert((uid.clone(), attempt));
        let environment = self.now.environment.key();
        let workload = self.workload();
        let consents = workload.consent.as_deref() == Some(environment.as_str());
        assert!(consents, "S7: {uid} changes a workload without its consent");
        workload.intent = Some(attempt_key(&uid, attempt));
        let container = &mut workload.containers[0];
        let from = std::mem::replace(&mut container.image, target.to.to_string());
        let to = container.image.clone();
        container.owners = vec!["lockmaster/Apply".into()];
        container.applied_by_us = true;
        if from != to {
            workload.observed = false;
            self.effects.push(Effect {
                uid,
                attempt,
                from,
                to,
            });
        }
    }

    /// What must hold in every world at any time.
    pub(crate) fn check(&mut self) {
        let effects = self.effects.clone();
        for (position, effect) in effects.iter().enumerate().skip(self.checked_effects) {
            self.check_effect(effect, &effects[..position]);
        }
        self.checked_effects = effects.len();
        self.check_new_records();
        for promotion in &self.now.promotions {
            let end = self.ends.get(&promotion.uid);
            assert_eq!(end.is_some(), promotion.is_finished());
            if let (Some(end), Some(reference)) = (end, &promotion.memory.record) {
                assert_eq!(*end, promotion.memory, "S9: a finished promotion changed");
                let kept = self.records().iter().any(|record| {
                    record.hash == reference.hash && record.content.outcome == reference.outcome
                });
                assert!(kept, "S8: {} has no record", promotion.name);
            }
        }
    }

    fn check_effect(&self, effect: &Effect, before: &[Effect]) {
        let Effect {
            uid,
            attempt,
            from: _,
            to,
        } = effect;
        let again = before
            .iter()
            .any(|other| other.uid == *uid && other.attempt == *attempt);
        assert!(
            !again,
            "S12: {uid} took effect twice: {effect:?} after {before:?}"
        );
        let open = |gates: &[GateReport]| {
            !gates.is_empty() && gates.iter().all(|gate| gate.verdict.is_open())
        };
        let cleared = self.claims.iter().any(|claim| {
            let Claim { intent, account } = claim;
            account.promotion.uid == *uid
                && intent.attempt == *attempt
                && intent
                    .targets
                    .iter()
                    .any(|target| target.to.to_string() == *to)
                && account.gates.iter().all(|gate| gate.verdict.is_open())
        });
        assert!(cleared, "S1: no cleared claim for {effect:?}");
        let intended = self
            .intents
            .iter()
            .any(|(intended, number, gates)| intended == uid && number == attempt && open(gates));
        assert!(intended, "S1: no intent with open gates before {effect:?}");
    }

    fn check_new_records(&mut self) {
        let records = &self.now.facts.records;
        for (position, record) in records.iter().enumerate().skip(self.checked_records) {
            let before = &records[..position];
            let name = record.object_name();
            assert!(record.is_intact(), "S8: {name} does not have its own hash");
            let link = record.content.previous.as_ref().map(|link| &link.hash);
            assert_eq!(
                link,
                before.last().map(|last| &last.hash),
                "S8: {name} is no next link"
            );
            let uid = &record.content.promotion.uid;
            let twice = before
                .iter()
                .any(|other| other.content.promotion.uid == *uid);
            assert!(!twice, "S8: {uid} has several records");
            let attempt = match record.content.outcome {
                Outcome::Succeeded => 1,
                Outcome::RolledBack => 2,
                _ => continue,
            };
            let ours = self.applied.contains(&(uid.clone(), attempt));
            assert!(
                ours || position == 0,
                "{name} claims what was never applied"
            );
        }
        self.checked_records = records.len();
    }

    /// The digest that the workload is set to.
    pub(crate) fn runs(&self, version: &str) -> bool {
        match &self.now.facts.workloads[0] {
            Observed::Known(workload) => workload.containers[0]
                .image
                .ends_with(digest(version).as_str()),
            _ => false,
        }
    }
}
