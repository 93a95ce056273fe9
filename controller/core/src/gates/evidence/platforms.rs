//! One rule, asked of what was found about one image or, where that is an index, about its images.
//!
//! What suffices on each image that may run suffices for the index; what suffices on the index does
//! where the rule takes it. Where nobody can say no, images are looked at only where the index does
//! not suffice; where somebody can, a no stands on whichever level it is, and both are read.

use super::{Question, beside_tags, pending, seen};
use crate::case::Case;
use crate::evidence::{Child, Evidence, Form};
use crate::gate::{Finding, Verdict, Want};
use crate::policy::PolicyContent;
use crate::reason::Reason;
use crate::release::ImageReference;

/// Platforms that a message names before it counts the rest.
const NAMED: usize = 3;

/// What of an index is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Levels {
    /// Whichever suffices: its own, or that of all of its images.
    Either,
    /// The same, and nothing on the other one may say no.
    Both,
}

/// One policy's rule.
pub(super) struct Rule<'a, Q> {
    pub(super) case: &'a Case<'a>,
    pub(super) policy: &'a str,
    pub(super) content: &'a PolicyContent,
    /// Whether what is attached to an index counts for its images.
    pub(super) on_index: bool,
    pub(super) levels: Levels,
    pub(super) question: &'a Q,
}

impl<Q: Fn(&Question<'_>) -> Finding> Rule<'_, Q> {
    /// The answer for an image of the release.
    pub(super) fn of(&self, image: &ImageReference) -> Finding {
        let evidence = match seen(self.case, image) {
            Ok(evidence) => evidence,
            Err(finding) => return finding,
        };
        match (self.about(image, evidence).usable(), &evidence.form) {
            (Err(finding), _) => finding,
            (Ok(()), Form::Image { .. }) => self.asked(image, evidence),
            (Ok(()), Form::Index { children }) => self.of_index(image, evidence, children),
            (Ok(()), Form::Unfit { problem }) => unfit(image, problem),
        }
    }

    fn about<'b>(&'b self, image: &'b ImageReference, evidence: &'b Evidence) -> Question<'b> {
        Question {
            case: self.case,
            policy: self.policy,
            content: self.content,
            image,
            evidence,
        }
    }

    fn asked(&self, image: &ImageReference, evidence: &Evidence) -> Finding {
        let answer = (self.question)(&self.about(image, evidence));
        beside_tags(answer, image, evidence)
    }

    /// The index and its images: two ways to satisfy the rule, or only the second one.
    fn of_index(&self, image: &ImageReference, index: &Evidence, children: &[Child]) -> Finding {
        if let Some(outdated) = self.outdated(image, index, children) {
            return outdated;
        }
        let own = self.asked(image, index);
        let suffices = self.levels == Levels::Either && self.on_index;
        if suffices && own.verdict.is_open() {
            return own;
        }
        let images: Vec<_> = children
            .iter()
            .map(|child| (child.platform.as_str(), self.of_child(image, child)))
            .collect();
        if self.levels == Levels::Both {
            let against = against(&own, &images);
            if let Some(finding) = against.or_else(|| unread(&own, &images)) {
                return finding;
            }
            if self.on_index && own.verdict.is_open() {
                return own;
            }
        }
        let images: Vec<_> = images
            .into_iter()
            .map(|(platform, found)| (platform, found.unwrap_or_else(|closed| closed)))
            .collect();
        let any_passes = images.iter().any(|(_, found)| found.verdict.is_open());
        let images = together(images);
        if images.verdict.is_open() {
            return images;
        }
        if !self.on_index {
            let hint = "; the one attached to the index itself counts only where the policy says \
                        evidence.indexEvidence: Accept";
            let hint = if own.verdict.is_open() { hint } else { "" };
            return adding(images, hint);
        }
        // Either way would do, so nothing is known while one of them is not.
        let wants = [own.wants.clone(), images.wants.clone()].concat();
        let unknown = |finding: &Finding| finding.verdict == Verdict::Unknown;
        let speaks = if unknown(&own) || !(unknown(&images) || any_passes) {
            own
        } else {
            adding(
                images,
                "; on the index itself it would count for all of them",
            )
        };
        speaks.wanting(wants)
    }

    /// What is found on an image of the index or, as an error, that nobody can ask there.
    /// Where a no stands on either level, it may have been attached to either since: the lists of the
    /// index and of all its images must be recent, whatever they say.
    fn outdated(
        &self,
        image: &ImageReference,
        index: &Evidence,
        children: &[Child],
    ) -> Option<Finding> {
        let own = self.about(image, index);
        if self.levels != Levels::Both || own.is_way_back() {
            return None;
        }
        let mut findings: Vec<Finding> = own.listed_lately().err().into_iter().collect();
        for child in children {
            let image = image.with_digest(child.digest.clone());
            if let Ok(evidence) = seen(self.case, &image) {
                findings.extend(self.about(&image, evidence).listed_lately().err());
            }
        }
        Finding::worst(findings)
    }

    fn of_child(&self, index: &ImageReference, child: &Child) -> Result<Finding, Finding> {
        let image = index.with_digest(child.digest.clone());
        if !self.case.facts.evidence.contains_key(&image) {
            return Err(pending(&image).wanting(vec![Want::Children(index.clone())]));
        }
        let evidence = seen(self.case, &image)?;
        match &evidence.form {
            Form::Image { .. } => Ok(self.asked(&image, evidence)),
            Form::Index { .. } => Err(unfit(index, &format!("it lists {image}, another index"))),
            Form::Unfit { problem } => Err(unfit(&image, problem)),
        }
    }
}

/// What is found on each image of an index, by its platform.
type OnEach<'a> = [(&'a str, Result<Finding, Finding>)];

/// The no that stands on one of both levels.
fn against(own: &Finding, images: &OnEach<'_>) -> Option<Finding> {
    if own.objection {
        return Some(adding(
            own.clone(),
            "; that is about the index itself, and nothing on its images takes it back",
        ));
    }
    let said = images.iter().filter_map(|(platform, found)| {
        let found = found.as_ref().ok()?;
        found.objection.then(|| (*platform, found.clone()))
    });
    let said: Vec<_> = said.collect();
    (!said.is_empty()).then(|| together(said))
}

/// What was not read on one of both levels, and so may be a no.
fn unread(own: &Finding, images: &OnEach<'_>) -> Option<Finding> {
    let unknown = |found: &Finding| found.verdict == Verdict::Unknown;
    let on_images = images.iter().filter_map(|(platform, found)| {
        let unread = match found {
            Ok(found) => Some(found).filter(|found| unknown(found)),
            Err(closed) => Some(closed),
        };
        Some((*platform, unread?.clone()))
    });
    let on_images: Vec<_> = on_images.collect();
    let wants = |found: &Finding| found.wants.clone();
    let of_images = on_images.iter().flat_map(|(_, found)| wants(found));
    let all = wants(own).into_iter().chain(of_images).collect();
    let speaks = if unknown(own) {
        own.clone()
    } else if on_images.is_empty() {
        return None;
    } else {
        together(on_images)
    };
    Some(speaks.wanting(all))
}

/// The answers for all images of an index as one: the worst of them, with the names of those that
/// say the same.
fn together(images: Vec<(&str, Finding)>) -> Finding {
    let (platforms, findings): (Vec<_>, Vec<_>) = images.into_iter().unzip();
    let answers: Vec<_> = platforms.iter().zip(findings.clone()).collect();
    let Some(worst) = Finding::worst(findings) else {
        // A form without children is never an index.
        return Finding::deny(Reason::IndexInvalid, "the index lists no image");
    };
    let same = |found: &Finding| found.message == worst.message;
    let message = if worst.verdict.is_open() && !answers.iter().all(|(_, found)| same(found)) {
        let texts = answers
            .iter()
            .map(|(on, found)| format!("{on}: {}", found.message));
        named(&texts.collect::<Vec<_>>(), "; ")
    } else {
        let reason = |found: &Finding| (found.verdict, found.reason);
        let alike = answers
            .iter()
            .filter(|(_, found)| reason(found) == reason(&worst));
        let alike: Vec<_> = alike.map(|(on, _)| (**on).to_owned()).collect();
        format!("{}: {}", named(&alike, ", "), worst.message)
    };
    Finding { message, ..worst }
}

fn named(texts: &[String], between: &str) -> String {
    let shown = texts.get(..NAMED).unwrap_or(texts).join(between);
    match texts.len().saturating_sub(NAMED) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}

fn adding(finding: Finding, hint: &str) -> Finding {
    let message = format!("{}{hint}", finding.message);
    Finding { message, ..finding }
}

/// An index that nobody can judge.
pub(in crate::gates) fn unfit(image: &ImageReference, problem: &str) -> Finding {
    Finding::deny(
        Reason::IndexInvalid,
        format!(
            "the index {image} cannot be judged: {problem}; publish an index of plain images, each \
             platform once"
        ),
    )
}
