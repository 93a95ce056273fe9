//! Golden texts of every state.

use super::*;
use crate::fixtures::{self, at};
use crate::gate::{Gate, GateReport};
use crate::record::Outcome;
use crate::status;

fn gate(name: &str, verdict: Verdict, reason: Reason, message: &str) -> GateReport {
    GateReport {
        name: name.into(),
        verdict,
        reason,
        message: message.into(),
        next_change: None,
        evidence: vec![],
    }
}

/// Two gates, of which the second one is closed so.
fn closed(verdict: Verdict, reason: Reason, message: &str) -> Vec<GateReport> {
    let signature = gate(
        "signature",
        Verdict::Pass,
        Reason::EvidenceValid,
        "signed by production/ci",
    );
    vec![signature, gate("window", verdict, reason, message)]
}

fn report(state: State, reason: Reason, summary: &str, gates: Vec<GateReport>) -> Report {
    Report {
        namespace: "shop".into(),
        name: "checkout-prod-1".into(),
        environment: "checkout-prod".into(),
        artifact: Some("1.42.0@9f2c41d07a11".into()),
        state,
        reason: Some(reason),
        summary: summary.into(),
        requested_by: None,
        plan: None,
        approvals: vec![],
        gates,
        record: None,
    }
}

const FACTS: &str = "
  promotion    shop/checkout-prod-1
  environment  checkout-prod
  artifact     1.42.0@9f2c41d07a11
";

/// The text is the headline, what always follows, and the rest; and the exit code.
fn check(report: &Report, exit_code: u8, headline: &str, rest: &str) {
    assert_eq!(
        report.render(Marks::Unicode),
        format!("{headline}\n{FACTS}{rest}")
    );
    assert_eq!(report.exit_code(), exit_code, "{:?}", report.state);
}

#[test]
fn pending() {
    let next = report(
        State::Pending,
        Reason::Queued,
        "Promotion other comes first",
        vec![],
    );
    check(
        &next,
        3,
        "WAITING for its turn\nPromotion other comes first",
        "",
    );
    let text = "Environment checkout-prod does not exist";
    let lost = report(State::Pending, Reason::EnvironmentNotFound, text, vec![]);
    check(
        &lost,
        3,
        "WAITING: EnvironmentNotFound\nEnvironment checkout-prod does not exist",
        "",
    );
    let fresh = Report {
        reason: None,
        ..report(State::Pending, Reason::Queued, "", vec![])
    };
    check(&fresh, 3, "WAITING for its turn", "");
}

#[test]
fn blocked() {
    let text = "annotation lockmaster.dev/window: it has 1 words";
    let gates = closed(Verdict::Deny, Reason::WindowAnnotationInvalid, text);
    check(
        &report(State::Blocked, Reason::GateFailed, text, gates),
        2,
        "BLOCKED by 1 of 2 gates: window",
        "
  ✔ signature  EvidenceValid            signed by production/ci
  ✘ window     WindowAnnotationInvalid  see below

window     annotation lockmaster.dev/window: it has 1 words
",
    );
}

#[test]
fn awaiting_approval() {
    let text = "somebody runs: kubectl promote approve x";
    let mut gates = closed(Verdict::Hold, Reason::AwaitingApproval, text);
    gates[1].name = "approval".into();
    check(
        &report(
            State::AwaitingApproval,
            Reason::AwaitingApproval,
            text,
            gates,
        ),
        3,
        "WAITING for 1 of 2 gates: approval",
        "
  ✔ signature  EvidenceValid     signed by production/ci
  ◷ approval   AwaitingApproval  see below

approval   somebody runs:
             kubectl promote approve x
",
    );
}

#[test]
fn awaiting_window() {
    let text = "business-hours: closed";
    let mut gates = closed(Verdict::Hold, Reason::OutsideWindow, text);
    gates[1].next_change = Some(at("2026-11-25T08:00:00Z"));
    check(
        &report(State::AwaitingWindow, Reason::OutsideWindow, text, gates),
        3,
        "WAITING for 1 of 2 gates: window",
        "
  ✔ signature  EvidenceValid  signed by production/ci
  ◷ window     OutsideWindow  see below

window     business-hours: closed
           may change at 2026-11-25T08:00:00Z
",
    );
}

#[test]
fn rolling_out_and_back() {
    let out = report(
        State::RollingOut,
        Reason::RollingOut,
        "1 of 2 pods ready",
        vec![],
    );
    check(
        &out,
        3,
        "ROLLING OUT 1.42.0@9f2c41d07a11\n1 of 2 pods ready",
        "",
    );
    let back = report(
        State::RollingBack,
        Reason::RollingBack,
        "not healthy",
        vec![],
    );
    check(
        &back,
        5,
        "ROLLING BACK from 1.42.0@9f2c41d07a11\nnot healthy",
        "",
    );
}

#[test]
fn ends() {
    let ends = [
        (Outcome::Succeeded, 0, "SUCCEEDED 1.42.0@9f2c41d07a11"),
        (Outcome::Superseded, 4, "SUPERSEDED 1.42.0@9f2c41d07a11"),
        (Outcome::Aborted, 4, "ABORTED 1.42.0@9f2c41d07a11"),
        (Outcome::Rejected, 4, "REJECTED 1.42.0@9f2c41d07a11"),
        (Outcome::Failed, 5, "FAILED 1.42.0@9f2c41d07a11"),
        (
            Outcome::RolledBack,
            5,
            "ROLLED BACK from 1.42.0@9f2c41d07a11",
        ),
    ];
    assert_eq!(ends.len(), Outcome::ALL.len());
    for (outcome, exit_code, headline) in ends {
        let (state, reason) = State::of_outcome(outcome);
        let mut end = report(state, reason, "it ended", vec![]);
        let hash = Digest::of(b"record");
        end.record = Some(RecordReference {
            name: "checkout-prod-000007".into(),
            hash: hash.clone(),
            outcome,
        });
        let record = format!("  record       checkout-prod-000007 {hash}\n");
        check(&end, exit_code, &format!("{headline}\nit ended"), &record);
    }
}

#[test]
fn every_state_has_an_exit_code_and_a_headline_of_its_own() {
    let headlines: std::collections::BTreeSet<_> = State::ALL
        .iter()
        .map(|meaning| {
            let report = report(meaning.state, Reason::GateFailed, "", vec![]);
            assert_eq!(report.exit_code(), meaning.exit_code);
            report.headline()
        })
        .collect();
    // Waiting without a closed gate is one and the same for the three states that wait.
    assert_eq!(headlines.len(), State::ALL.len() - 2);
}

#[test]
fn wrong_evidence_has_an_exit_code_of_its_own() {
    let code = |state, name: &str, verdict| {
        let gates = vec![gate(name, verdict, Reason::SignatureInvalid, "x")];
        report(state, Reason::GateFailed, "x", gates).exit_code()
    };
    for name in gates::artifact().map(Gate::name) {
        assert_eq!(code(State::Blocked, name, Verdict::Deny), 7, "{name}");
        assert_eq!(
            code(State::Blocked, name, Verdict::Hold),
            2,
            "missing {name}"
        );
        assert_eq!(
            code(State::Blocked, name, Verdict::Unknown),
            2,
            "unseen {name}"
        );
        assert_eq!(code(State::Failed, name, Verdict::Deny), 5, "it is over");
    }
    assert_eq!(code(State::Blocked, "target", Verdict::Deny), 2);
}

#[test]
fn without_symbols_and_without_what_a_terminal_would_obey() {
    let verdicts = [
        (Verdict::Pass, "+"),
        (Verdict::Hold, "o"),
        (Verdict::Deny, "x"),
        (Verdict::Unknown, "?"),
        (Verdict::NotRequired, "-"),
    ];
    for (verdict, mark) in verdicts {
        let gates = vec![gate(
            "window",
            verdict,
            Reason::NotRequired,
            "a\u{1b}[31m\u{202e}b…",
        )];
        let text = report(State::Blocked, Reason::GateFailed, "", gates).render(Marks::Ascii);
        assert!(text.is_ascii(), "{text}");
        assert!(
            text.contains(&format!("\n  {mark} window  NotRequired  ")),
            "{text}"
        );
        assert!(text.contains("a[31mb..."), "{text}");
    }
}

#[test]
fn people_and_their_decisions() {
    let snapshot = fixtures::ready();
    let text = snapshot.replay()[0].render(Marks::Unicode);
    assert!(text.contains("\n  requested by bob@corp\n"), "{text}");
    let decision = "\n  decision     approved by alice@corp as release-manager at \
                    2026-11-24T09:30:00Z (CHG-1042): release notes read\n";
    assert!(text.contains(decision), "{text}");
    let by = |name: Option<&str>| requester(&Requester::of_annotation(name));
    assert_eq!(
        by(Some("system:serviceaccount:flux:flux")),
        "system:serviceaccount:flux:flux (no person)"
    );
    assert_eq!(by(None), "unknown");
}

#[test]
fn a_live_object_reads_like_a_replay_of_what_was_seen() {
    let mut snapshot = fixtures::ready();
    snapshot.promotions[0].memory.approvals.clear();
    let decision = crate::decide::decide(&snapshot.input());
    let promotion = &snapshot.promotions[0];
    let progress = &decision.promotions[0];
    let written = status::reported(&PromotionStatus::default(), progress, &[], snapshot.now);
    let live = Report::of_status("shop", &promotion.name, "checkout-prod", &written);
    assert_eq!(live, Report::of_progress(promotion, progress));
    assert_eq!(
        (live.state, live.reason),
        (State::AwaitingApproval, Some(Reason::AwaitingApproval))
    );
}
