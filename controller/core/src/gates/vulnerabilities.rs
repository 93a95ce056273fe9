//! Do fresh scans find nothing that the policy denies and nobody may excuse? (M18, M150)

mod excuses;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use self::excuses::Excuses;
use super::evidence::{
    Called, Freshness, Question, Refusal, Signature, Signing, ask_both_levels_of_each_image,
    earlier,
};
use crate::case::Case;
use crate::evidence::{Bundle, COSIGN_VULN, Content, Finding as Found, Scan, Severity};
use crate::gate::{EvidenceReference, Finding, Gate, Subject};
use crate::policy::{DatabaseTime, VulnerabilityRule};
use crate::reason::Reason;

/// Findings that a message names before it counts the rest.
const NAMED: usize = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Vulnerabilities;

impl Gate for Vulnerabilities {
    fn name(&self) -> &'static str {
        "vulnerabilities"
    }

    fn reasons(&self) -> &'static [Reason] {
        &[
            Reason::NotRequired,
            Reason::EvidenceValid,
            Reason::EvidencePending,
            Reason::VulnerabilityBlocked,
            Reason::AttestationMissing,
            Reason::AttestationInvalid,
            Reason::EvidenceStale,
            Reason::SignerNotTrusted,
            Reason::SignatureInvalid,
            Reason::TrustedRootInvalid,
            Reason::ArtifactMissing,
            Reason::IndexInvalid,
            Reason::RegistryUnavailable,
            Reason::EvidenceTruncated,
            Reason::SourceNotAllowed,
            Reason::ReleaseNotFound,
            Reason::ReleaseInvalid,
        ]
    }

    fn subject(&self) -> Subject {
        Subject::Evidence
    }

    fn binds_rollbacks(&self) -> bool {
        false
    }

    fn find(&self, case: &Case<'_>) -> Finding {
        ask_both_levels_of_each_image(
            case,
            |content| content.policy.evidence.vulnerabilities.is_some(),
            |question| match &question.content.policy.evidence.vulnerabilities {
                Some(rule) => question.lately(scanned(question, rule)),
                None => Finding::not_required("no matching policy asks for it"),
            },
        )
    }
}

/// A report by an authority that may scan, about this digest.
enum Report<'a> {
    /// It counts.
    Fresh(Fresh<'a>),
    /// It does not any more, since this instant.
    Stale(Timestamp),
    /// Nobody can tell what it says, or how old it is.
    Invalid(String),
}

struct Fresh<'a> {
    scan: &'a Scan,
    until: Option<Timestamp>,
    reference: EvidenceReference,
}

/// Every fresh report must be harmless by itself, so that the worst one decides.
fn scanned(question: &Question<'_>, rule: &VulnerabilityRule) -> Finding {
    if let Err(unread) = question.all_read() {
        return unread;
    }
    let (mut fresh, mut stale, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for bundle in &question.evidence.bundles {
        match report(question, rule, bundle) {
            None => {}
            Some(Ok(Report::Fresh(report))) => fresh.push(report),
            Some(Ok(Report::Stale(since))) => stale.push(since),
            // It may say more than the others do, so that nothing is known beside it.
            Some(Ok(Report::Invalid(problem))) => {
                let text = format!("{problem}; remove it from the registry and scan again");
                return Finding::deny(Reason::AttestationInvalid, text).objecting();
            }
            Some(Err(refusal)) => refusals.push(refusal),
        }
    }
    if !fresh.is_empty() {
        let excuses = Excuses::of(question, rule);
        let judged = fresh.iter().map(|report| judge(rule, report, &excuses));
        let until = fresh
            .iter()
            .fold(None, |until, report| earlier(until, report.until));
        return match Finding::worst(judged.collect()) {
            Some(worst) => {
                let until = earlier(until, worst.next_change);
                worst.until(until)
            }
            None => missing(question, rule),
        };
    }
    if let Some(since) = stale.into_iter().max() {
        return Finding::hold(
            Reason::EvidenceStale,
            format!(
                "policy {} needs a vulnerability scan that is not older than {}; the newest one was \
                 good until {since}; scan the image again, with a database of today, and attest it",
                question.policy, rule.max_age
            ),
        );
    }
    Refusal::nearest(refusals).unwrap_or_else(|| missing(question, rule))
}

fn missing(question: &Question<'_>, rule: &VulnerabilityRule) -> Finding {
    let Signing { who, key } = question.signing(&rule.authorities);
    Finding::hold(
        Reason::AttestationMissing,
        format!(
            "policy {} needs a vulnerability scan signed by {}; none is attached; it is looked for \
             again by itself; attach one{who}: cosign attest{key} --type {COSIGN_VULN} --predicate \
             FILE {}",
            question.policy,
            rule.authorities.join(" or "),
            question.image
        ),
    )
}

/// How it is called.
const SCAN: Called = Called {
    one: "a scan",
    found: "the scan",
    strange: Reason::SignerNotTrusted,
};

/// What a bundle is to this question; nothing, where it is no scan.
fn report<'a>(
    question: &Question<'a>,
    rule: &VulnerabilityRule,
    bundle: &'a Bundle,
) -> Option<Result<Report<'a>, Refusal>> {
    if bundle.content.predicate_type() != Some(COSIGN_VULN) {
        return None;
    }
    let speakers = (rule.authorities.iter(), &rule.authorities[..]);
    let signed = question.signed_by(&SCAN, speakers, (COSIGN_VULN, bundle));
    Some(signed.map(|signed| of_authority(question, rule, bundle, signed)))
}

/// Age is by the oldest of the scan's end, the database's update and the signature.
fn of_authority<'a>(
    question: &Question<'_>,
    rule: &VulnerabilityRule,
    bundle: &'a Bundle,
    (authority, signature): (&str, Signature<'_>),
) -> Report<'a> {
    let (now, most) = (question.case.now, Some(rule.max_age));
    let Content::Scan(scan) = &bundle.content else {
        let problem = bundle.content.problem().unwrap_or_default();
        let text = format!("a scan by {authority} cannot be read: {problem}");
        // What it says of its time is not known; what its signature says may be enough.
        return match Freshness::of(signature.at(), most, now) {
            Freshness::Stale(since) => Report::Stale(since),
            Freshness::Fresh(_) | Freshness::Future(_) | Freshness::Unknown => {
                Report::Invalid(text)
            }
        };
    };
    let times = [Some(scan.finished), scan.database, signature.at()];
    match Freshness::of(times.into_iter().flatten(), most, now) {
        Freshness::Stale(since) => Report::Stale(since),
        Freshness::Future(time) => Report::Invalid(format!(
            "a scan by {authority} was made at {time}, which is in the future"
        )),
        Freshness::Fresh(_) | Freshness::Unknown
            if scan.database.is_none() && rule.database_time != Some(DatabaseTime::WhenStated) =>
        {
            Report::Invalid(format!(
                "a scan by {authority} does not say when the scanner's database was updated \
                 (scanner.db.lastUpdate), so that nobody knows what it could find; state it, or set \
                 databaseTime: WhenStated in the policy"
            ))
        }
        Freshness::Fresh(until) => Report::Fresh(Fresh {
            scan,
            until,
            reference: question.reference(authority, bundle, signature),
        }),
        // A scan has a time.
        Freshness::Unknown => Report::Invalid(format!("a scan by {authority} has no time")),
    }
}

/// What of one report is left when everything that may be excused is excused.
fn judge(rule: &VulnerabilityRule, report: &Fresh<'_>, excuses: &Excuses<'_>) -> Finding {
    let scan = report.scan;
    let mut evidence = vec![report.reference.clone()];
    let (mut until, mut excused, mut left) = (None, 0_u64, Vec::new());
    let denied = |severity: &Severity| rule.deny.contains(severity);
    for found in scan.findings.iter().filter(|found| denied(&found.severity)) {
        match excuses.excuse(found) {
            Ok(excuse) => {
                excused += 1;
                until = earlier(until, excuse.until);
                if !evidence.contains(&excuse.reference) {
                    evidence.push(excuse.reference);
                }
            }
            Err(why) => left.push((found, why)),
        }
    }
    let counted = scan.counts.iter();
    let counted: u64 = counted
        .filter(|(severity, _)| denied(severity))
        .map(|(_, count)| *count)
        .sum();
    let scanner = &scan.scanner;
    // What is counted and not kept cannot be excused.
    if counted > excused {
        let text = blocked(rule, &left, counted - excused);
        let text = format!("{text} (scanned by {scanner} at {})", scan.finished);
        return Finding::deny(Reason::VulnerabilityBlocked, text)
            .until(until)
            .resting_on(evidence)
            .objecting();
    }
    let denied: Vec<_> = rule.deny.iter().map(ToString::to_string).collect();
    let beside = match excused {
        0 => String::new(),
        count => format!(" but for {count} without effect by VEX"),
    };
    let text = format!(
        "no finding of {}{beside}, scanned by {scanner} at {}",
        denied.join(", "),
        scan.finished
    );
    Finding::pass(Reason::EvidenceValid, text)
        .until(until)
        .resting_on(evidence)
}

fn blocked(rule: &VulnerabilityRule, left: &[(&Found, Option<String>)], count: u64) -> String {
    let named = left.iter().take(NAMED).map(|(found, why)| {
        let Found {
            severity,
            id,
            package,
            ..
        } = found;
        let package = match package.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        };
        let why = why
            .as_ref()
            .map_or_else(String::new, |why| format!(" ({why})"));
        format!("{severity} {id}{package}{why}")
    });
    let named: Vec<_> = named.collect();
    let rest = count.saturating_sub(named.len() as u64);
    let more = match rest {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    let mend = match &rule.vex {
        None => "update what is affected and build again".to_owned(),
        Some(vex) => format!(
            "update what is affected and build again, or let {} attest by OpenVEX that it has no \
             effect",
            vex.authorities.join(" or ")
        ),
    };
    format!("{}{more}; {mend}", named.join(", "))
}
