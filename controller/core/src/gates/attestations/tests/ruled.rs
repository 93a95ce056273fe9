//! Entries with a rule in Rego: what its answer makes of a statement.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{entries, is};
use crate::evidence::{Bundle, CHECKS, Child, Content, Evidence, Form, TestOutcome, Verified};
use crate::facts::Observed;
use crate::fixtures::keyless::{ISSUER, SUBJECT, keyless};
use crate::fixtures::ruled::answer;
use crate::fixtures::statements::{CUSTOM, attestation, checks_rule, custom, tests};
use crate::fixtures::{ask, at, bundles, digest, image, key, ready, with_policy};
use crate::gate::GateReport;
use crate::gate::Verdict::{Deny, Pass, Unknown};
use crate::gates::attestations::Attestations;
use crate::gates::has_rules;
use crate::policy::AttestationRule;
use crate::reason::Reason;
use crate::release::Digest;
use crate::rules::{LOOK_LIMIT, RuleOutcome, RuleQuestion};
use crate::snapshot::Snapshot;

const REGO: &str = "package lockmaster\nallow if input.statement.predicate.coverage > 80\n";

fn entry(kind: &str) -> AttestationRule {
    AttestationRule {
        rule: Some(REGO.into()),
        ..attestation("load-test", kind)
    }
}

/// The statement, which says that so much is covered, signed by ci at this hour.
fn covered(percent: u8, hour: u8) -> Bundle {
    let mut bundle = custom("1.42.0");
    bundle.digest = Digest::of(&[percent, hour]);
    bundle.content = Content::Custom {
        predicate: CUSTOM.into(),
        value: Ok(format!(r#"{{"coverage":{percent}}}"#)),
    };
    bundle.verified_by = [Verified {
        times: vec![at(&format!("2026-11-24T{hour:02}:00:00Z"))],
        ..Verified::by_key(key("ci"))
    }]
    .into();
    bundle
}

fn with(statements: &[Bundle]) -> Snapshot {
    let mut snapshot = ready();
    entries(&mut snapshot, vec![entry(CUSTOM)]);
    bundles(&mut snapshot).extend_from_slice(statements);
    snapshot
}

fn denied(messages: &[&str]) -> RuleOutcome {
    let messages = messages.iter().map(|text| (*text).to_owned());
    RuleOutcome::Denied {
        messages: messages.collect(),
    }
}

/// What is asked, with its input.
fn asked(snapshot: &Snapshot) -> Vec<(RuleQuestion, Value)> {
    let questions = crate::fixtures::ruled::questions(snapshot);
    let read = |question: RuleQuestion| {
        let input = serde_json::from_str(&question.input).unwrap();
        (question, input)
    };
    questions.into_values().map(read).collect()
}

/// Answers as the rule would.
fn answered(mut snapshot: Snapshot) -> GateReport {
    for (question, input) in asked(&snapshot) {
        let coverage = &input["statement"]["predicate"]["coverage"];
        let outcome = if coverage.as_u64().unwrap() > 80 {
            RuleOutcome::Allowed
        } else {
            denied(&[&format!("{coverage} percent are too few")])
        };
        snapshot.facts.rules.insert(question.key(), outcome);
    }
    ask(&Attestations, &snapshot)
}

#[test]
fn every_answer_has_its_verdict() {
    let problem = || "allow is a string".to_owned();
    let report = |answered: &RuleOutcome| {
        let mut snapshot = with(&[covered(90, 8)]);
        answer(&mut snapshot, answered);
        ask(&Attestations, &snapshot)
    };
    let allowed = report(&RuleOutcome::Allowed);
    is(&allowed, Reason::EvidenceValid, "load-test: by ci");
    assert_eq!(allowed.verdict, Pass);
    let no = report(&denied(&["too few", "too slow"]));
    is(
        &no,
        Reason::AttestationFailed,
        "load-test, by ci: too few; too slow; statements of this type",
    );
    assert_eq!(no.verdict, Deny);
    let bare = report(&denied(&[]));
    is(&bare, Reason::AttestationFailed, "does not say why");
    let undefined = report(&RuleOutcome::Undefined);
    is(
        &undefined,
        Reason::AttestationFailed,
        "gives allow no value for it, which is no yes",
    );
    let late = report(&RuleOutcome::TimedOut);
    is(&late, Reason::RuleUnanswered, "took too long");
    assert_eq!(late.verdict, Unknown);
    let malformed = report(&RuleOutcome::Malformed { problem: problem() });
    is(&malformed, Reason::AttestationFailed, "allow is a string");
    let failed = report(&RuleOutcome::Failed { problem: problem() });
    is(&failed, Reason::AttestationFailed, "fails on it");
    let silent = report(&RuleOutcome::Unavailable { problem: problem() });
    is(&silent, Reason::RuleUnanswered, "allow is a string");
    assert_eq!(silent.next_change, Some(at("2026-11-24T10:10:00Z")));
}

/// A statement of this type does not say when it was made, whenever it was signed.
#[test]
fn a_no_of_a_type_without_times_stands() {
    for statements in [
        [covered(50, 8), covered(90, 9)],
        [covered(90, 8), covered(50, 9)],
    ] {
        is(
            &answered(with(&statements)),
            Reason::AttestationFailed,
            "50 percent are too few; statements of this type do not say when",
        );
    }
}

#[test]
fn of_several_statements_a_no_stands_until_the_same_authority_says_yes_later() {
    let report = |first: &str, second: &str| {
        let mut snapshot = ready();
        let rule = AttestationRule {
            rule: Some(REGO.into()),
            ..checks_rule()
        };
        entries(&mut snapshot, vec![rule]);
        let mut later = bundles(&mut snapshot).last().unwrap().clone();
        later.digest = Digest::of(b"later");
        later.payload = None;
        if let Content::Checks(checks) = &mut later.content {
            checks.finished_on = at("2026-11-24T09:30:00Z");
        }
        bundles(&mut snapshot).push(later);
        for (question, input) in asked(&snapshot) {
            let is_later = input["statement"]["bundle"] == json!(Digest::of(b"later"));
            let outcome = match if is_later { second } else { first } {
                "yes" => RuleOutcome::Allowed,
                _ => denied(&["covers too little"]),
            };
            snapshot.facts.rules.insert(question.key(), outcome);
        }
        ask(&Attestations, &snapshot)
    };
    is(&report("no", "yes"), Reason::EvidenceValid, "2 checks are");
    is(
        &report("yes", "no"),
        Reason::AttestationFailed,
        "too little",
    );
    is(&report("no", "no"), Reason::AttestationFailed, "too little");
}

#[test]
fn an_answer_counts_for_its_own_statement_and_rule_alone() {
    let mut snapshot = with(&[covered(90, 8)]);
    answer(&mut snapshot, &RuleOutcome::Allowed);
    assert_eq!(ask(&Attestations, &snapshot).verdict, Pass);
    let unanswered = |what: &str, change: fn(&mut Snapshot)| {
        let mut other = snapshot.clone();
        change(&mut other);
        let report = ask(&Attestations, &other);
        assert_eq!(report.reason, Reason::RuleUnanswered, "{what}");
    };
    unanswered("another predicate", |s| {
        *bundles(s).last_mut().unwrap() = covered(91, 8);
    });
    unanswered("another rule", |s| {
        with_policy(s, |policy| {
            let rule = policy.evidence.attestations[0].rule.as_mut().unwrap();
            rule.push('\n');
        });
    });
    unanswered("another Environment", |s| {
        s.environment.name = "other".into();
    });
    unanswered("another entry", |s| {
        with_policy(s, |policy| {
            policy.evidence.attestations[0].name = "other".into();
        });
    });
    // How old a statement may be is said by maxAge, and not by the rule.
    snapshot.now = at("2026-11-24T11:11:00Z");
    assert_eq!(ask(&Attestations, &snapshot).verdict, Pass);
}

#[test]
fn only_what_may_count_is_asked_about() {
    let mut stranger = covered(90, 8);
    stranger.verified_by = [Verified::by_key(key("scanner"))].into();
    assert_eq!(asked(&with(&[stranger])), []);
    let mut elsewhere = covered(90, 8);
    elsewhere.subjects = vec![digest("1.41.3")];
    assert_eq!(asked(&with(&[elsewhere])), []);
    assert_eq!(asked(&with(&[covered(90, 8), covered(50, 9)])).len(), 2);
    let mut unread = with(&[covered(90, 8)]);
    crate::fixtures::evidence(&mut unread).tags = Observed::Pending;
    assert_eq!(asked(&unread), []);
    // What says no by itself needs no rule.
    let mut failed = tests("1.42.0");
    if let Content::Tests(tests) = &mut failed.content {
        tests.outcome = TestOutcome::Failed;
    }
    let mut snapshot = with(&[failed]);
    let kind = crate::evidence::TEST_RESULT;
    entries(&mut snapshot, vec![entry(kind)]);
    assert_eq!(asked(&snapshot), []);
    is(
        &ask(&Attestations, &snapshot),
        Reason::AttestationFailed,
        "FAILED",
    );
}

/// Anybody who may sign may attach many, and a rule is long beside each of them.
#[test]
fn statements_are_asked_about_as_far_as_there_is_room_and_share_the_rule() {
    let two = asked(&with(&[covered(90, 8), covered(50, 9)]));
    assert!(Arc::ptr_eq(&two[0].0.rego, &two[1].0.rego));
    let long = |number: u8| {
        let mut bundle = covered(90, 8);
        bundle.digest = Digest::of(&[number]);
        bundle.content = Content::Custom {
            predicate: CUSTOM.into(),
            value: Ok(format!(r#"{{"log":"{}"}}"#, "x".repeat(60_000))),
        };
        bundle
    };
    let many: Vec<_> = (0..100).map(long).collect();
    let found = asked(&with(&many));
    let size: usize = found.iter().map(|(one, _)| one.input.len()).sum();
    assert!(size <= LOOK_LIMIT && size > LOOK_LIMIT - 70_000, "{size}");
    assert!(found.len() < many.len());
}

#[test]
fn there_is_something_to_ask_where_an_entry_has_a_rule() {
    let mut snapshot = with(&[]);
    assert!(has_rules(&snapshot.input()));
    snapshot.promotions.clear();
    assert!(has_rules(&snapshot.input()), "something runs");
    snapshot.facts.records.clear();
    assert!(!has_rules(&snapshot.input()), "nothing is there");
    let mut plain = ready();
    entries(&mut plain, vec![attestation("load-test", CUSTOM)]);
    assert!(!has_rules(&plain.input()));
}

#[test]
fn a_predicate_that_was_not_kept_is_not_ruled() {
    let mut long = covered(90, 8);
    long.content = Content::Custom {
        predicate: CUSTOM.into(),
        value: Err("the predicate has 70000 bytes, the limit is 65536".into()),
    };
    let mut snapshot = with(&[long]);
    answer(&mut snapshot, &RuleOutcome::Allowed);
    let report = ask(&Attestations, &snapshot);
    is(&report, Reason::AttestationInvalid, "the limit is 65536");
}

#[test]
fn the_shape_is_documented_and_keeps_its_meaning() {
    let mut snapshot = with(&[covered(90, 8)]);
    let part = json!({
        "name": "checkout",
        "image": image("1.42.0"),
        "repository": "registry.example/shop/checkout",
        "digest": digest("1.42.0"),
    });
    let expected = json!({
        "apiVersion": "statements.lockmaster.dev/v1",
        "policy": "production",
        "entry": "load-test",
        "environment": {
            "namespace": "shop", "name": "checkout-prod", "product": "checkout",
            "stage": snapshot.environment.stage, "tier": "Production",
        },
        "release": {
            "name": "checkout-1.42.0", "product": "checkout", "version": "1.42.0",
            "source": asked(&snapshot)[0].1["release"]["source"],
            "components": [part],
        },
        "component": part,
        "statement": {
            "predicateType": CUSTOM, "authority": "ci",
            "signer": {"key": key("ci")}, "signedAt": "2026-11-24T08:00:00Z",
            "bundle": Digest::of(&[90, 8]), "predicate": {"coverage": 90},
        },
    });
    assert_eq!(asked(&snapshot)[0].1, expected);
    assert!(expected["release"]["source"]["commit"].is_string());
    keyless(&mut snapshot);
    let signer = &asked(&snapshot)[0].1["statement"]["signer"];
    assert_eq!(
        (&signer["issuer"], &signer["subject"]),
        (&ISSUER.into(), &SUBJECT.into())
    );
}

#[test]
fn checks_are_ruled_beside_their_conclusions() {
    let mut snapshot = ready();
    let rule = AttestationRule {
        rule: Some(
            "package lockmaster\nallow if input.statement.predicate.measurements.coverage > 80"
                .into(),
        ),
        ..checks_rule()
    };
    entries(&mut snapshot, vec![rule]);
    let questions = asked(&snapshot);
    assert_eq!(questions.len(), 1, "once, not for each check");
    assert_eq!(questions[0].1["statement"]["predicateType"], CHECKS);
    answer(&mut snapshot, &RuleOutcome::Allowed);
    is(
        &ask(&Attestations, &snapshot),
        Reason::EvidenceValid,
        "2 checks are met",
    );
    answer(&mut snapshot, &denied(&["covers too little"]));
    is(
        &ask(&Attestations, &snapshot),
        Reason::AttestationFailed,
        "covers too little",
    );
    snapshot.facts.rules.clear();
    is(
        &ask(&Attestations, &snapshot),
        Reason::RuleUnanswered,
        "not asked yet",
    );
}

#[test]
fn each_image_of_an_index_is_asked_about_as_the_component_that_it_is_of() {
    let mut snapshot = with(&[]);
    let child = Digest::of(b"linux/amd64");
    crate::fixtures::evidence(&mut snapshot).form = Form::Index {
        children: vec![Child {
            platform: "linux/amd64".into(),
            digest: child.clone(),
        }],
    };
    let mut statement = covered(90, 8);
    statement.subjects = vec![child.clone()];
    let known = Evidence::new(child.clone(), vec![statement]);
    let of_child = image("1.42.0").with_digest(child.clone());
    snapshot
        .facts
        .evidence
        .insert(of_child, Observed::Known(known));
    let questions = asked(&snapshot);
    let component = &questions[0].1["component"];
    assert_eq!(component["name"], "checkout");
    assert_eq!(component["digest"], json!(child));
    answer(&mut snapshot, &RuleOutcome::Allowed);
    is(
        &ask(&Attestations, &snapshot),
        Reason::EvidenceValid,
        "load-test",
    );
}
