//! The registry of a world: what is attached there, which nobody hears of who does not ask.

use std::collections::BTreeSet;

use super::{Decision, Mutation, Observed, Snapshot, World, decide_unfinished};
use crate::evidence::{Bundle, Content, Evidence, FailedListing, Listed, Recency, Severity};
use crate::facts::{Cause, Unavailable};
use crate::fixtures::statements;
use crate::promotion::{Action, Claim};
use crate::release::{Digest, ImageReference};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    /// It does not answer.
    pub(crate) is_down: bool,
    /// What was attached since it was asked last.
    pub(crate) attached: Vec<Bundle>,
    /// How often it was asked.
    pub(crate) asked: usize,
}

impl World {
    /// Decides, letting be listed anew what must be, as the operator does beside its passes.
    pub(super) fn decide_with_lists(&mut self, seen: &mut Snapshot) -> Decision {
        let decision = decide_unfinished(seen);
        if decision.relist.is_empty() {
            return decision;
        }
        let begins = matches!(
            decision.mutation,
            Some(Mutation::Claim(_) | Mutation::Intent { .. })
        );
        assert!(!begins, "S11: one begins while it is asked for another");
        self.relist(&decision.relist);
        for image in &decision.relist {
            let known = self.now.facts.evidence[image].clone();
            seen.facts.evidence.insert(image.clone(), known);
        }
        let again = decide_unfinished(seen);
        assert!(again.relist.is_empty(), "it asks for ever");
        again
    }

    /// Somebody scans the image once more, and finds something that nobody excuses.
    pub(crate) fn find_vulnerability(&mut self) {
        self.registry.attached.push(critical());
    }

    fn relist(&mut self, images: &BTreeSet<ImageReference>) {
        let now = self.now.now;
        self.registry.asked += images.len();
        for image in images {
            let Some(Observed::Known(known)) = self.now.facts.evidence.get_mut(image) else {
                panic!("{image} was never listed")
            };
            self.registry.list(known, now);
        }
    }
}

impl Registry {
    fn list(&mut self, known: &mut Evidence, now: jiff::Timestamp) {
        if self.is_down {
            let why = Unavailable {
                cause: Cause::Unreachable,
                message: "GET https://registry.example/v2/: 503".into(),
            };
            known.listed.failed = Some(FailedListing { at: now, why });
        } else {
            known.bundles.append(&mut self.attached);
            known.listed = Listed::at(now);
        }
    }
}

/// A newer scan of the image that is promoted, which finds what the policy denies.
pub(crate) fn critical() -> Bundle {
    let mut bundle = statements::scan("1.42.0");
    bundle.digest = Digest::of(b"a later scan");
    if let Content::Scan(scan) = &mut bundle.content {
        scan.counts = [(Severity::Critical, 1)].into();
        scan.findings = vec![statements::finding(Severity::Critical, "CVE-2026-9")];
    }
    bundle
}

/// S11: what begins was listed lately. The way back, and a claim that is written again, rest on the
/// gates of the first one.
pub(super) fn check_lists(seen: &Snapshot, claim: &Claim) {
    let uid = &claim.account.promotion.uid;
    let asks = seen.facts.policies.iter().any(|fact| {
        let rules = &fact.content.as_ref().unwrap().policy.evidence;
        rules.vulnerabilities.is_some() || !rules.attestations.is_empty()
    });
    let mut promotions = seen.promotions.iter();
    let promotion = promotions.find(|promotion| promotion.uid == *uid).unwrap();
    let is_way_back = promotion.request.action == Action::Rollback || claim.intent.attempt > 1;
    if is_way_back || promotion.memory.intent.is_some() {
        return;
    }
    let release = seen.facts.releases[&promotion.request.release]
        .known()
        .unwrap();
    for component in release.components.iter().filter(|_| asks) {
        let listed = &seen.facts.evidence[&component.image]
            .known()
            .unwrap()
            .listed;
        assert_eq!(
            listed.recency(seen.now),
            Recency::Recent,
            "S11: {uid} begins"
        );
    }
}
