//! Which findings have no effect, by the word of somebody who neither builds nor scans.

use jiff::Timestamp;

use crate::evidence::{
    Bundle, Content, Finding as Found, OPENVEX, OPENVEX_V0_2_0, VexProduct, VexStatement,
    VexStatus, is_name_of, is_same_package,
};
use crate::gate::EvidenceReference;
use crate::gates::evidence::{Freshness, Question, is_future};
use crate::policy::{VexRule, VulnerabilityRule};
use crate::release::{ImageReference, clip};

/// Everything that may excuse a finding in this digest, or object to that.
pub(super) struct Excuses<'a> {
    rule: Option<&'a VexRule>,
    words: Vec<Word<'a>>,
    /// Authorities of which a document cannot be read: it might be the one that objects.
    unreadable: Vec<(&'a str, &'a str)>,
    /// Authorities of whose documents the maker also builds or scans: they excuse nothing, and may
    /// object.
    dependent: Vec<&'a str>,
    now: Timestamp,
}

/// A statement about this digest by an authority that may make it.
struct Word<'a> {
    authority: &'a str,
    statement: &'a VexStatement,
    parts: Parts<'a>,
    fresh: Freshness,
    reference: EvidenceReference,
}

/// What of the artifact is meant.
enum Parts<'a> {
    /// All of it.
    Whole,
    /// These packages, by id or package URL.
    Packages(Vec<&'a str>),
}

/// What excuses a finding, and until when.
pub(super) struct Excuse {
    pub(super) until: Option<Timestamp>,
    pub(super) reference: EvidenceReference,
}

impl<'a> Excuses<'a> {
    /// All that is attached.
    pub(super) fn of(question: &Question<'a>, rule: &'a VulnerabilityRule) -> Self {
        let mut excuses = Self {
            rule: rule.vex.as_ref(),
            words: Vec::new(),
            unreadable: Vec::new(),
            dependent: Vec::new(),
            now: question.case.now,
        };
        if let Some(vex) = &rule.vex {
            for bundle in &question.evidence.bundles {
                excuses.add(question, rule, vex, bundle);
            }
        }
        excuses
    }

    fn add(
        &mut self,
        question: &Question<'a>,
        rule: &VulnerabilityRule,
        vex: &'a VexRule,
        bundle: &'a Bundle,
    ) {
        let kind = bundle.content.predicate_type().unwrap_or_default();
        let is_vex = [OPENVEX, OPENVEX_V0_2_0].contains(&kind);
        if !is_vex || !question.is_about_subject(bundle) {
            return;
        }
        let mut authorities = vex.authorities.iter();
        let signed = authorities.find_map(|authority| {
            let signature = question.signer(authority, kind, bundle)?;
            Some((authority.as_str(), signature))
        });
        let Some((authority, signature)) = signed else {
            return;
        };
        // Names and keys are compared when the policy is read; two patterns may still overlap.
        let evidence = &question.content.policy.evidence;
        let mut others = evidence.independent_of(rule);
        let is_dependent = others.any(|other| question.is_also_of(other, bundle));
        if is_dependent {
            self.dependent.push(authority);
        }
        let Content::Vex(document) = &bundle.content else {
            let problem = bundle.content.problem().unwrap_or_default();
            let fresh = Freshness::of(signature.at(), Some(vex.max_age), self.now);
            if !matches!(fresh, Freshness::Stale(_)) {
                self.unreadable.push((authority, problem));
            }
            return;
        };
        let statements = document.statements.iter();
        for statement in statements.filter(|word| !is_dependent || objects(word)) {
            let Some(parts) = parts(&statement.products, question.image) else {
                continue;
            };
            let times = [Some(statement.time), signature.at()];
            let times = times.into_iter().flatten();
            self.words.push(Word {
                authority,
                statement,
                parts,
                fresh: Freshness::of(times, Some(vex.max_age), self.now),
                reference: question.reference(authority, bundle, signature),
            });
        }
    }

    /// What excuses the finding, or why nothing does, where anybody said anything of it.
    pub(super) fn excuse(&self, found: &Found) -> Result<Excuse, Option<String>> {
        let (mut excuse, mut objection, mut note) = (None, None, None);
        let authorities = self.rule.iter().flat_map(|rule| &rule.authorities);
        for authority in authorities {
            if let Some((_, problem)) = self.unreadable.iter().find(|(name, _)| name == authority) {
                let problem = clip(problem);
                objection = Some(format!(
                    "a VEX document by {authority} cannot be read: {problem}"
                ));
                continue;
            }
            let Some(latest) = self.latest(authority, found) else {
                if self.dependent.contains(&authority.as_str()) {
                    note = Some(format!("who signs for {authority} also builds or scans"));
                }
                continue;
            };
            match latest.excuses() {
                Ok(until) => {
                    let reference = latest.reference.clone();
                    excuse = excuse.or(Some(Excuse { until, reference }));
                }
                Err(why) if objects(latest.statement) => objection = Some(why),
                Err(why) => note = Some(why),
            }
        }
        match (objection, excuse) {
            (Some(why), _) => Err(Some(why)),
            (None, Some(excuse)) => Ok(excuse),
            (None, None) => Err(note),
        }
    }

    /// The latest word of an authority about a finding; of two at once the one that does not excuse.
    fn latest(&self, authority: &str, found: &Found) -> Option<&Word<'a>> {
        let words = self.words.iter();
        let words = words.filter(|word| word.authority == authority);
        let about = words.filter(|word| word.is_about(found));
        // An excuse from the future would beat what is said in between.
        let made =
            about.filter(|word| !(word.clears() && is_future(word.statement.time, self.now)));
        made.max_by_key(|word| (word.statement.time, !word.clears()))
    }
}

/// Whether it stands against what anybody else excuses.
fn objects(statement: &VexStatement) -> bool {
    match statement.status {
        VexStatus::Affected | VexStatus::UnderInvestigation => true,
        VexStatus::NotAffected | VexStatus::Fixed => false,
    }
}

/// What of the image is meant; nothing, where another product is. Without a product, the statement
/// is about its subject.
fn parts<'a>(products: &'a [VexProduct], image: &ImageReference) -> Option<Parts<'a>> {
    if products.is_empty() {
        return Some(Parts::Whole);
    }
    let is_ours = |product: &&VexProduct| product.names.iter().any(|name| is_name_of(name, image));
    let ours: Vec<_> = products.iter().filter(is_ours).collect();
    if ours.is_empty() {
        return None;
    }
    if ours.iter().any(|product| product.parts.is_empty()) {
        return Some(Parts::Whole);
    }
    let parts = ours.into_iter().flat_map(|product| &product.parts);
    Some(Parts::Packages(parts.map(String::as_str).collect()))
}

impl Word<'_> {
    /// Whether it would excuse, whatever its age.
    fn clears(&self) -> bool {
        let VexStatement {
            status,
            justification,
            ..
        } = self.statement;
        *status == VexStatus::NotAffected && justification.is_some()
    }

    /// Until when it excuses, or why it does not.
    fn excuses(&self) -> Result<Option<Timestamp>, String> {
        let Self {
            authority,
            statement,
            parts: _,
            fresh,
            reference: _,
        } = self;
        if !self.clears() {
            return Err(match statement.status {
                VexStatus::NotAffected => {
                    format!("{authority} says not_affected without a justification")
                }
                status @ (VexStatus::Affected
                | VexStatus::Fixed
                | VexStatus::UnderInvestigation) => format!("{authority} says {status}"),
            });
        }
        match fresh {
            Freshness::Fresh(until) => Ok(*until),
            Freshness::Stale(since) => Err(format!(
                "what {authority} says of it is too old since {since}"
            )),
            Freshness::Future(time) => Err(format!(
                "what {authority} says of it is of {time}, in the future"
            )),
            Freshness::Unknown => Err(format!("what {authority} says of it has no time")),
        }
    }

    /// Whether it is about this vulnerability in this package: by any name of either. Where parts are
    /// listed, one must be the package; a package that the report does not identify may be any of
    /// them for whoever objects, and is none for whoever excuses.
    fn is_about(&self, found: &Found) -> bool {
        let names = &self.statement.vulnerabilities;
        let mut known = std::iter::once(&found.id).chain(&found.aliases);
        if !known.any(|name| names.contains(name)) {
            return false;
        }
        match (&self.parts, &found.purl) {
            (Parts::Whole, _) => true,
            (Parts::Packages(parts), Some(purl)) => {
                parts.iter().any(|part| is_same_package(part, purl))
            }
            (Parts::Packages(_), None) => !self.clears(),
        }
    }
}
