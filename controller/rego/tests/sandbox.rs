//! Hostile rules: each must end in time, cost only its own answer, and leave this process alone.
//!
//! Children are this very test program, so it has a harness of its own: what is started as a child
//! must not run the tests.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test ends where something is not as expected; without the usual harness none of it \
              is known to be one"
)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use lockmaster_core::release::Digest;
use lockmaster_core::rules::{RuleOutcome, RuleQuestion};
use lockmaster_rego::Sandbox;

/// What a hostile rule may take from those who wait for its answer.
const MOST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    if lockmaster_rego::is_child() {
        return lockmaster_rego::serve();
    }
    let tests = [
        (
            "rules_are_asked_and_answers_kept",
            rules_are_asked_and_answers_kept as fn(),
        ),
        (
            "a_rule_that_loops_runs_out_of_time",
            a_rule_that_loops_runs_out_of_time,
        ),
        (
            "one_step_that_never_ends_is_killed",
            one_step_that_never_ends_is_killed,
        ),
        (
            "cve_2024_32476_amplified_values_end_their_own_process",
            cve_2024_32476_amplified_values_end_their_own_process,
        ),
        (
            "cve_2025_47281_amplified_texts_end_their_own_process",
            cve_2025_47281_amplified_texts_end_their_own_process,
        ),
        (
            "cve_2026_23881_shared_parts_are_not_compared_for_ever",
            cve_2026_23881_shared_parts_are_not_compared_for_ever,
        ),
        ("depth_ends_its_own_process", depth_ends_its_own_process),
        (
            "a_hostile_rule_costs_no_other_answer",
            a_hostile_rule_costs_no_other_answer,
        ),
        (
            "sixteen_slow_rules_take_one_budget",
            sixteen_slow_rules_take_one_budget,
        ),
        (
            "what_cannot_be_read_is_told_with_its_place",
            what_cannot_be_read_is_told_with_its_place,
        ),
        (
            "a_rule_that_cannot_be_read_fails_when_it_is_asked",
            a_rule_that_cannot_be_read_fails_when_it_is_asked,
        ),
        (
            "rules_of_one_policy_share_what_they_look_at",
            rules_of_one_policy_share_what_they_look_at,
        ),
        (
            "too_much_to_look_at_is_no_answer",
            too_much_to_look_at_is_no_answer,
        ),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    let mut arguments = Arguments::from_args();
    // Time is measured: one after the other.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn question(body: &str) -> RuleQuestion {
    RuleQuestion {
        rego: format!("package lockmaster\n{body}\n").into(),
        input: "{\"list\": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}".into(),
    }
}

/// What the sandbox answers to each, and that it took no longer than it may.
fn ask(sandbox: &Sandbox, bodies: &[&str]) -> Vec<RuleOutcome> {
    let questions: Vec<_> = bodies.iter().map(|body| question(body)).collect();
    let keys: Vec<Digest> = questions.iter().map(RuleQuestion::key).collect();
    let questions: BTreeMap<_, _> = keys.iter().cloned().zip(questions).collect();
    let started = Instant::now();
    let answers = sandbox.ask(questions);
    assert!(started.elapsed() < MOST, "{:?}", started.elapsed());
    keys.iter().map(|key| answers[key].clone()).collect()
}

fn ask_one(body: &str) -> RuleOutcome {
    ask(&Sandbox::of_this_program(), &[body]).remove(0)
}

fn unavailable(outcome: &RuleOutcome, expect: &str) {
    match outcome {
        RuleOutcome::Unavailable { problem } => assert!(problem.contains(expect), "{problem}"),
        other => panic!("{other:?}"),
    }
}

/// It ran out of time or of memory, whichever this machine has less of; nothing is known then.
#[track_caller]
fn unanswered(body: &str) {
    let answer = ask_one(body);
    let unknown = matches!(
        answer,
        RuleOutcome::TimedOut | RuleOutcome::Unavailable { .. }
    );
    assert!(unknown, "{body}: {answer:?}");
}

/// Lines in which each value is made of two of the one before.
fn doubling(first: &str, step: &str, last: &str) -> String {
    let lines = (1..60).map(|line| {
        let step = step.replace('@', &format!("x{}", line - 1));
        format!("  x{line} := {step}")
    });
    let lines: Vec<_> = lines.collect();
    let last = last.replace('@', "x59");
    format!(
        "allow if {{\n  x0 := {first}\n{}\n  {last}\n}}",
        lines.join("\n")
    )
}

/// Ten to the power of sixteen steps.
fn loops() -> String {
    let each = ('a'..='p').map(|name| format!("some {name} in input.list; "));
    each.collect::<Vec<_>>().concat()
}

fn rules_are_asked_and_answers_kept() {
    let sandbox = Sandbox::of_this_program();
    let bodies = [
        "allow := true",
        "allow if input.nothing",
        "allow if count(input.list) == 10",
    ];
    let expected = [
        RuleOutcome::Allowed,
        RuleOutcome::Undefined,
        RuleOutcome::Allowed,
    ];
    assert_eq!(ask(&sandbox, &bodies), expected);
    let started = Instant::now();
    assert_eq!(ask(&sandbox, &bodies), expected);
    assert!(
        started.elapsed() < Duration::from_millis(1),
        "no process is started again"
    );
    assert!(sandbox.ask(BTreeMap::new()).is_empty());
}

fn a_rule_that_loops_runs_out_of_time() {
    let loops = loops();
    let body = format!("allow if count([1 | {loops} a == b]) > 1");
    assert_eq!(ask_one(&body), RuleOutcome::TimedOut);
    // Nor does what would turn an error into a yes.
    let body = format!("allow if not slow\nslow if {{ {loops} a + b == 0 }}");
    assert_eq!(ask_one(&body), RuleOutcome::TimedOut);
}

/// The interpreter looks at the clock between steps; a single one of these takes hours.
fn one_step_that_never_ends_is_killed() {
    let body = "allow if { x := concat(\"\", [\"a\" | some _ in numbers.range(1, 3000)])\n  \
                y := replace(x, \"a\", x)\n  count(indexof_n(y, \"aaaaaaaaaaaaaaaaaaaaaaaab\")) \
                == count(indexof_n(y, \"aaaaaaaaaaaaaaaaaaaaaaaac\")) }";
    unanswered(body);
}

fn cve_2024_32476_amplified_values_end_their_own_process() {
    for body in [
        "allow if count(numbers.range(1, 1000000000)) > 1",
        "allow if count(array.concat(numbers.range(1, 4000000), numbers.range(1, 4000000))) > 1",
    ] {
        unavailable(&ask_one(body), "48 MiB of memory");
    }
    unanswered(&doubling("[1, 2, 3]", "array.concat(@, @)", "count(@) > 1"));
}

fn cve_2025_47281_amplified_texts_end_their_own_process() {
    unanswered("allow if count(sprintf(\"%1000000000d\", [1])) > 1");
    unanswered(
        "allow if {\n  x := concat(\"\", [\"a\" | some _ in numbers.range(1, 10000)])\n  y := \
         replace(x, \"a\", x)\n  count(y) > 1\n}",
    );
    unanswered(&doubling(
        "\"aaaa\"",
        "concat(\"\", [@, @])",
        "count(@) > 1",
    ));
    unanswered(&doubling("12345678901234567890", "@ * @", "@ > 1"));
}

/// Two trees of sixty levels with equal parts: nothing to keep, and 2^60 parts to compare.
fn cve_2026_23881_shared_parts_are_not_compared_for_ever() {
    let first = doubling("[1]", "[@, @]", "true");
    let second = first
        .replace('x', "y")
        .replace("allow if {", "")
        .replace("true\n}", "");
    let body = first.replace("  true\n}", &format!("{second}  x59 == y59\n}}"));
    assert_eq!(ask_one(&body), RuleOutcome::TimedOut);
    unanswered(&doubling("[1]", "[@, @]", "count(json.marshal(@)) > 1"));
}

fn depth_ends_its_own_process() {
    let sandbox = Sandbox::of_this_program();
    let nested = format!("allow := {}1{}", "[".repeat(16_000), "]".repeat(16_000));
    let sums = format!("allow if 1 < 1{}", "\n+ 1".repeat(8000));
    let chain = format!("allow if x{}", "\n.x".repeat(10_000));
    for body in [nested, sums, chain] {
        let rego = question(&body).rego;
        let started = Instant::now();
        let checked = sandbox.check(&[&rego]);
        assert!(started.elapsed() < MOST);
        assert_eq!(checked.len(), 1);
        let answer = ask(&sandbox, &[&body]).remove(0);
        assert_ne!(answer, RuleOutcome::Allowed, "{checked:?}");
    }
    // Rules that call each other are no functions, and are found out when they are asked.
    let answer = ask_one("allow if p\np if f(1)\nf(x) if p");
    assert!(matches!(answer, RuleOutcome::Failed { .. }), "{answer:?}");
}

fn a_hostile_rule_costs_no_other_answer() {
    let sandbox = Sandbox::of_this_program();
    let bomb = "allow if count(numbers.range(1, 1000000000)) > 1";
    for round in 0..4 {
        // The keys, and so the order in which they are asked, differ each time.
        let good: Vec<_> = (0..6)
            .map(|n| format!("allow := true # {round} {n}"))
            .collect();
        let mut bodies: Vec<&str> = good.iter().map(String::as_str).collect();
        let bomb = format!("{bomb} # {round}");
        bodies.push(&bomb);
        let answers = ask(&sandbox, &bodies);
        let (last, others) = answers.split_last().unwrap();
        assert!(
            others.iter().all(|answer| *answer == RuleOutcome::Allowed),
            "{answers:?}"
        );
        unavailable(last, "48 MiB of memory");
    }
}

fn sixteen_slow_rules_take_one_budget() {
    let sandbox = Sandbox::of_this_program();
    let loops = loops();
    let bodies: Vec<_> = (0..16)
        .map(|n| format!("allow if count([{n} | {loops} a == b]) > 1"))
        .collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let count = |answers: &[RuleOutcome]| {
        let late = answers
            .iter()
            .filter(|answer| **answer == RuleOutcome::TimedOut);
        late.count()
    };
    let first = ask(&sandbox, &bodies);
    let late = count(&first);
    assert!((1..16).contains(&late), "{first:?}");
    let other = first
        .iter()
        .find(|answer| **answer != RuleOutcome::TimedOut);
    unavailable(other.unwrap(), "other rules took all the time");
    // Those without an answer have the next look for themselves.
    assert!(count(&ask(&sandbox, &bodies)) > late);
}

fn what_cannot_be_read_is_told_with_its_place() {
    let sandbox = Sandbox::of_this_program();
    let good = question("allow := true").rego;
    let bad = question("allow if {\n input.a = = 1\n}").rego;
    let sends = question("allow if http.send({})").rego;
    let checked = sandbox.check(&[&good, &bad, &sends]);
    let texts: Vec<_> = checked
        .iter()
        .map(|problem| {
            problem
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
        })
        .collect();
    assert_eq!(texts[0], "");
    assert_eq!(texts[1], "line 3, column 12: expecting expression");
    assert!(texts[2].contains("http.send is refused"), "{}", texts[2]);
}

fn a_rule_that_cannot_be_read_fails_when_it_is_asked() {
    match ask_one("allow if http.send({})") {
        RuleOutcome::Failed { problem } => {
            assert!(
                problem.contains("line 2, column 10: http.send is refused"),
                "{problem}"
            );
        }
        other => panic!("{other:?}"),
    }
}

fn too_much_to_look_at_is_no_answer() {
    let sandbox = Sandbox::of_this_program();
    let question = RuleQuestion {
        input: format!("\"{}\"", "x".repeat(8 << 20)).into(),
        ..question("allow := true")
    };
    let answers = sandbox.ask(BTreeMap::from([(question.key(), question.clone())]));
    unavailable(&answers[&question.key()], "too much to look at");
}

/// The input is read once for all rules of a policy: sixteen copies of it would be too much.
fn rules_of_one_policy_share_what_they_look_at() {
    let sandbox = Sandbox::of_this_program();
    let input = format!("{{\"text\": \"{}\"}}", "x".repeat(300_000));
    let questions = (0..16).map(|n| {
        let question = RuleQuestion {
            input: input.as_str().into(),
            ..question(&format!("allow := true # {n}"))
        };
        (question.key(), question)
    });
    let answers = sandbox.ask(questions);
    assert_eq!(answers.len(), 16);
    for answer in answers.values() {
        assert_eq!(*answer, RuleOutcome::Allowed);
    }
}
