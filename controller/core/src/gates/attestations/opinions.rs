//! What each type of statement must say to count as a yes; a type that is not read here must only be
//! there.

use jiff::Timestamp;

use crate::evidence::{
    Bundle, Change, Content, TestOutcome, TestResult, VerificationSummary, is_name_of, is_read,
};
use crate::gates::evidence::Question;
use crate::pattern;
use crate::policy::{AttestationRule, ChangeRule, SummaryRule};
use crate::release::clip;

/// What a statement says of the question that an entry asks.
pub(super) enum Opinion {
    /// Yes.
    Yes,
    /// No, for this reason.
    No(String),
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It answers another question, for this reason: about another commit, resource or policy.
    Other(String),
}

/// The time that a statement says it was made at.
pub(super) fn stated(content: &Content) -> Option<Timestamp> {
    match content {
        Content::Checks(checks) => Some(checks.finished_on),
        Content::Summary(summary) => summary.time,
        Content::Scan(scan) => Some(scan.finished),
        Content::Signature
        | Content::Provenance(_)
        | Content::Sbom(_)
        | Content::Vex(_)
        | Content::Tests(_)
        | Content::Change(_)
        | Content::Release(_)
        | Content::NotApplicable(_)
        | Content::Custom { .. }
        | Content::Unreadable { .. } => None,
    }
}

/// What a statement of the entry's type says. Checks are asked one by one, elsewhere.
pub(super) fn opinion(question: &Question<'_>, rule: &AttestationRule, bundle: &Bundle) -> Opinion {
    match &bundle.content {
        Content::Unreadable { problem, .. } => Opinion::Unreadable(problem.clone()),
        Content::Summary(summary) => match &rule.summary {
            Some(rule) => of_summary(question, rule, summary),
            // Refused with the policy; nobody's verdict counts.
            None => Opinion::Other("the policy names no verifier".to_owned()),
        },
        Content::Tests(tests) => of_tests(tests),
        Content::Change(change) => of_change(question, rule.change.as_ref(), change),
        Content::Release(release) => match question.is_tagged(release) {
            Ok(()) => Opinion::Yes,
            Err(why) => Opinion::Other(why),
        },
        // Being there is all that can be asked of a type that is not read here, and of no other.
        Content::Custom { .. } if is_read(&rule.predicate_type) => {
            Opinion::Unreadable("it was not read as what its type says".to_owned())
        }
        Content::Custom { .. } => Opinion::Yes,
        // Types that are refused with the policy.
        Content::Checks(_)
        | Content::Signature
        | Content::Provenance(_)
        | Content::Sbom(_)
        | Content::Scan(_)
        | Content::Vex(_)
        | Content::NotApplicable(_) => {
            Opinion::Other("its type is judged by a rule of its own".to_owned())
        }
    }
}

/// PASSED, by a verifier that the signer speaks for, of this image, this policy and these levels.
fn of_summary(
    question: &Question<'_>,
    rule: &SummaryRule,
    summary: &VerificationSummary,
) -> Opinion {
    let SummaryRule {
        // Compared with the signer, who is looked for among those that may speak for it.
        verifiers: _,
        resources,
        levels,
        policy_digest,
    } = rule;
    let VerificationSummary {
        verifier,
        time: _,
        resource,
        policy: _,
        policy_digest: verified_policy,
        passed,
        levels: verified,
    } = summary;
    let listed = resources
        .iter()
        .any(|pattern| pattern::matches(pattern, resource));
    if !listed && !is_name_of(resource, question.image) {
        let resource = clip(resource);
        return Opinion::Other(format!("its resourceUri is {resource}, not this image"));
    }
    if policy_digest.is_some() && policy_digest != verified_policy {
        return Opinion::Other(format!(
            "{} verified it by another policy than that of the digest listed",
            clip(verifier)
        ));
    }
    if !passed {
        return Opinion::No(format!("{} says FAILED", clip(verifier)));
    }
    let unmet = levels
        .iter()
        .find(|wanted| !verified.iter().any(|found| is_level(found, wanted)));
    match unmet {
        None => Opinion::Yes,
        Some(level) => Opinion::No(format!(
            "{} verified {}, which is not {level}",
            clip(verifier),
            clip(&verified.join(", "))
        )),
    }
}

/// A level implies the lower ones of its track (SLSA specification, verification summary).
fn is_level(found: &str, wanted: &str) -> bool {
    const MARK: &str = "_LEVEL_";
    let parse = |text: &str| {
        let (track, level) = text.rsplit_once(MARK)?;
        let plain = !level.is_empty() && level.bytes().all(|b| b.is_ascii_digit());
        Some((
            track.to_owned(),
            level.parse::<u32>().ok().filter(|_| plain)?,
        ))
    };
    match (parse(found), parse(wanted)) {
        (Some((found, level)), Some((wanted, least))) => found == wanted && level >= least,
        _ => found == wanted,
    }
}

fn of_tests(tests: &TestResult) -> Opinion {
    let TestResult {
        outcome,
        url: _,
        passed: _,
        warned,
        failed,
    } = tests;
    match outcome {
        TestOutcome::Passed if *failed == 0 => Opinion::Yes,
        TestOutcome::Passed => {
            Opinion::No(format!("it says PASSED and lists {failed} failed tests"))
        }
        TestOutcome::Warned => Opinion::No(format!("it says WARNED ({warned} tests)")),
        TestOutcome::Failed => Opinion::No(format!("it says FAILED ({failed} tests)")),
    }
}

fn of_change(question: &Question<'_>, rule: Option<&ChangeRule>, change: &Change) -> Opinion {
    if let Err(why) = is_of_commit(question, &change.commit) {
        return Opinion::Other(why);
    }
    let branches = rule.map_or(&[][..], |rule| &rule.branches);
    let allowed = branches
        .iter()
        .any(|pattern| pattern::matches(pattern, &change.branch));
    if allowed || rule.is_none() {
        return Opinion::Yes;
    }
    Opinion::No(format!(
        "it is on branch {}, and the policy lists {}",
        clip(&change.branch),
        branches.join(", ")
    ))
}

/// Whether a statement is about the commit of the Release.
pub(super) fn is_of_commit(question: &Question<'_>, commit: &str) -> Result<(), String> {
    let release = question.case.release;
    let source = release.and_then(|release| release.source.as_ref());
    match source {
        None => Err("the Release has no spec.source to compare its commit with".to_owned()),
        Some(source) if source.commit == commit => Ok(()),
        Some(source) => Err(format!(
            "it is about commit {}, the Release about {}",
            clip(commit),
            source.commit
        )),
    }
}
