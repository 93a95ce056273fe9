//! What rules answer, and which are refused.

use proptest::prelude::*;

use super::*;
use crate::calls::BUILTINS;

/// Enough that a busy machine spoils nothing.
const AMPLE: Duration = Duration::from_secs(30);

const INPUT: &str = r#"{"component": {"name": "checkout"}, "now": "2026-11-24T10:00:00Z",
    "evidence": [{"predicateType": "https://example.test/scan/v1", "authority": "scanner",
                  "predicate": {"critical": 0}}]}"#;

fn answer(body: &str) -> RuleOutcome {
    let rule = compile(&format!("package lockmaster\n{body}\n"));
    let rule = rule.unwrap_or_else(|error| panic!("{body}: {error}"));
    rule.evaluate(INPUT, AMPLE)
}

#[track_caller]
fn refused(rego: &str, expect: &str) {
    match compile(rego) {
        Ok(_) => panic!("taken: {rego}"),
        Err(error) => assert!(error.to_string().contains(expect), "{error}"),
    }
}

fn denied(messages: &[&str]) -> RuleOutcome {
    RuleOutcome::Denied {
        messages: messages.iter().map(|text| (*text).to_owned()).collect(),
    }
}

#[test]
fn only_a_plain_yes_allows() {
    assert_eq!(answer("allow := true"), RuleOutcome::Allowed);
    assert_eq!(answer("default allow := false"), denied(&[]));
    let scanned = "allow if { some piece in input.evidence; piece.predicate.critical == 0 }";
    assert_eq!(answer(scanned), RuleOutcome::Allowed);
    assert_eq!(
        answer("allow if input.nothing == 1"),
        RuleOutcome::Undefined
    );
    let reasoned = "allow := true\ndeny contains \"b\"\ndeny contains \"a\"";
    assert_eq!(answer(reasoned), denied(&["a", "b"]), "deny beats allow");
    let silent = "allow := true\ndeny contains \"b\" if input.nothing";
    assert_eq!(answer(silent), RuleOutcome::Allowed);
    let undefined = "allow if input.nothing\ndeny contains \"b\"";
    assert_eq!(answer(undefined), denied(&["b"]));
}

#[test]
fn what_is_no_yes_and_no_no_says_what_it_is() {
    let check = |body: &str, expect: &str| match answer(body) {
        RuleOutcome::Malformed { problem } => assert!(problem.contains(expect), "{problem}"),
        other => panic!("{body}: {other:?}"),
    };
    check("allow := \"yes\"", "allow is a string");
    check("allow := 1", "allow is a number");
    check("allow contains true", "allow is a set");
    check("allow := null", "allow is null");
    check("allow := true\ndeny := false", "deny is a boolean");
    check(
        "allow := true\ndeny contains 7",
        "deny is a collection of a number",
    );
    check("allow := true\ndeny := {\"a\": \"b\"}", "deny is an object");
}

#[test]
fn what_fails_says_where() {
    let check = |body: &str, expect: &str| match answer(body) {
        RuleOutcome::Failed { problem } => assert!(problem.contains(expect), "{problem}"),
        other => panic!("{body}: {other:?}"),
    };
    check("allow if to_number(\"x\") == 1", "line 2");
    // An error is no undefined, which a `not` would make a yes.
    check("allow if not to_number(\"x\") == 1", "line 2");
    check("allow if not f(1)\nf(x) if to_number(\"x\") == x", "line 3");
    check(
        "allow := true if input.now\nallow := false if input.now",
        "conflicts",
    );
    check("allow if p\np if q\nq if p", "recursion");
    check(
        "allow if time.parse_rfc3339_ns(\"today\") > 1",
        "is no instant",
    );
    // Compiled, this expression would need gigabytes.
    check(
        "allow if regex.match(`(a{1,100}){1,100}`, \"a\")",
        "size limit",
    );
}

#[test]
fn time_is_compared_without_a_clock() {
    let hours = |hours: i64| {
        answer(&format!(
            "age := time.parse_rfc3339_ns(input.now) - time.parse_rfc3339_ns(\"2026-11-24T08:00:00Z\")\n\
             allow if age < {hours} * 3600 * 1000000000\ndeny contains \"too old\" if not allow"
        ))
    };
    assert_eq!(hours(3), RuleOutcome::Allowed);
    assert_eq!(hours(2), denied(&["too old"]));
}

#[test]
fn messages_are_few_and_short_and_hold_no_control_characters() {
    let body = "deny contains sprintf(\"%d: \\u001b[31m\\n%s\", [n, concat(\"\", \
                [\"x\" | some _ in numbers.range(1, 500)])]) if { some n in numbers.range(10, 99) }\n\
                allow := true";
    let RuleOutcome::Denied { messages } = answer(body) else {
        panic!("it allows");
    };
    assert_eq!(messages.len(), MESSAGES_LIMIT + 1);
    assert_eq!(messages[MESSAGES_LIMIT], "and 82 more");
    for message in &messages {
        assert!(message.chars().count() <= 121, "{message}");
        assert!(!message.chars().any(char::is_control), "{message}");
    }
}

#[test]
fn the_expected_rule_must_be_there() {
    refused("package lockmaster\n", "there is no rule allow");
    refused(
        "package lockmaster\nallow(x) := true",
        "there is no rule allow",
    );
    refused(
        "package lockmaster\ndeny contains \"x\"",
        "there is no rule allow",
    );
    refused("package policy\nallow := true", "its package is policy");
    refused(
        "package lockmaster.sub\nallow := true",
        "its package is lockmaster.sub",
    );
    refused("allow := true", "line 1");
    refused("", "line");
    let long = format!(
        "package lockmaster\nallow := true\n#{}",
        "x".repeat(REGO_LIMIT)
    );
    refused(&long, "at most 32768 are read");
}

#[test]
fn syntax_is_refused_with_line_and_column() {
    refused(
        "package lockmaster\nallow if {\n input.a = = 1\n}",
        "line 3, column 12: expecting",
    );
    refused("package lockmaster\nallow if x == 1", "line 2, column 10");
    refused("package lockmaster\nallow { input.a }", "line 2");
}

#[test]
fn what_reaches_outside_or_changes_its_answer_is_refused() {
    let check = |call: &str, expect: &str| {
        let rego = format!("package lockmaster\n\nallow if {call}");
        refused(&rego, "line 3, column 10: ");
        refused(&rego, expect);
    };
    check(
        "http.send({\"method\": \"get\", \"url\": \"http://x\"}).status_code == 200",
        "no network",
    );
    check("net.lookup_ip_addr(\"example.test\")", "no network");
    check("time.now_ns() > 0", "no clock; compare with input.now");
    check("rand.intn(\"a\", 2) == 1", "the same answer");
    check("uuid.rfc4122(\"a\") == \"b\"", "the same answer");
    check("opa.runtime().env", "knows nothing");
    check("io.jwt.decode(\"a\")", "a rule sees what they signed");
    check(
        "crypto.sha256(\"a\") == \"b\"",
        "a rule sees what they signed",
    );
    check("print(\"a\")", "say it by deny");
    check("trace(\"a\")", "there is no function trace");
    check("walk(input, [_, _])", "there is no function walk");
    check("data.other.f(1)", "there is no function data.other.f");
    check("x[\"y\"](1)", "there is no function x.y");
}

/// Hidden in every place where an expression may stand.
#[test]
fn a_refused_call_is_found_wherever_it_stands() {
    for body in [
        "allow if not rand.intn(\"a\", 2)",
        "allow if every x in [1] { rand.intn(\"a\", x) }",
        "allow if { some x in [rand.intn(\"a\", 2)]; x }",
        "allow := [x | x := rand.intn(\"a\", 2)]",
        "allow := {\"a\": {rand.intn(\"a\", 2)}}",
        "allow := true if { false } else := rand.intn(\"a\", 2)",
        "default allow := false\ndeny contains rand.intn(\"a\", 2)",
        "allow if f(1)\nf(x) := rand.intn(\"a\", x)",
        "allow if input[rand.intn(\"a\", 2)]",
        "allow if 1 + -rand.intn(\"a\", 2) == 0",
    ] {
        refused(
            &format!("package lockmaster\n{body}"),
            "rand.intn is refused",
        );
    }
}

#[test]
fn no_builtin_comes_in_by_another_name() {
    let with = "package lockmaster\nallow if f(\"a\") == 1 with f as rand.intn\nf(x) := x";
    refused(with, "line 2, column 22: with is refused");
    let input = "package lockmaster\nallow if p with input as {\"a\": 1}\np if input.a";
    refused(input, "with is refused");
    refused(
        "package lockmaster\nimport data.rand as r\nallow if r.intn(\"a\", 2)",
        "r.intn",
    );
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    refused(
        "package lockmaster\nallow if f(1)\nf(x) := f(x)",
        "f calls itself",
    );
    let three = "package lockmaster\nallow if f(1)\nf(x) := g(x)\ng(x) := h(x) + 1\nh(x) := f(x)";
    refused(three, "calls itself");
    let named = "package lockmaster\nallow if f(1)\nf(x) := data.lockmaster.f(x)";
    refused(named, "f calls itself");
    let twice = "allow if f(f(1)) == 3\nf(x) := g(x)\ng(x) := x + 1";
    assert_eq!(answer(twice), RuleOutcome::Allowed);
}

#[test]
fn every_builtin_that_is_documented_is_there() {
    for builtin in BUILTINS {
        // With too many arguments: known ones say that, and unknown ones that they are not there.
        let rego = format!("package lockmaster\nallow if {builtin}(1, 1, 1, 1, 1, 1, 1, 1)");
        let problem = match compile(&rego) {
            Err(error) => error.problem,
            Ok(rule) => match rule.evaluate("{}", AMPLE) {
                RuleOutcome::Failed { problem } => problem,
                other => panic!("{builtin}: {other:?}"),
            },
        };
        assert!(!problem.contains("could not find"), "{builtin}: {problem}");
    }
}

/// What people read about the rules, and what they copy from there.
#[test]
fn the_documentation_lists_the_builtins_and_its_rules_can_be_read() {
    let page = include_str!("../../../../docs/reference/rego.md");
    let list = page.split("and no others:").nth(1).unwrap();
    let list = list.split("Regular expressions").next().unwrap();
    let documented: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    let mut builtins = BUILTINS.to_vec();
    builtins.sort_unstable();
    assert_eq!(documented, builtins);
    let fenced = page.split("```rego\n").skip(1);
    let fenced = fenced.map(|text| text.split("```").next().unwrap().to_owned());
    let indented = page.split("    rego: |\n").skip(1).map(|text| {
        let lines = text.lines().map_while(|line| {
            line.strip_prefix("      ")
                .or(line.is_empty().then_some(""))
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let rules: Vec<String> = fenced.chain(indented).collect();
    assert_eq!(rules.len(), 2);
    for rego in rules {
        assert_eq!(compile(&rego).err(), None, "{rego}");
    }
}

#[test]
fn too_late_is_no_answer() {
    let rule = compile("package lockmaster\nallow := true").unwrap();
    assert_eq!(rule.evaluate("{}", Duration::ZERO), RuleOutcome::TimedOut);
    // Below a `not`, the end of the time must not become a yes.
    let slow = "package lockmaster\nallow if not slow\nslow if { some a in numbers.range(1, 500); \
                some b in numbers.range(1, 500); some c in numbers.range(1, 500); a + b + c == 0 }";
    let slow = compile(slow).unwrap();
    let limit = Duration::from_millis(30);
    assert_eq!(slow.evaluate("{}", limit), RuleOutcome::TimedOut);
}

/// CVE-2022-24713 and its like: patterns that take exponential time elsewhere.
#[test]
fn cve_2022_24713_patterns_take_linear_time() {
    let text = "a".repeat(30_000);
    for pattern in ["(a+)+$", "(a|a)*b", "(a|aa)+c", "(.*)*x"] {
        let rego = format!("package lockmaster\nallow if not regex.match(`{pattern}`, input)");
        let started = Instant::now();
        let rule = compile(&rego).unwrap();
        let answer = rule.evaluate(&format!("\"{text}!\""), AMPLE);
        assert_eq!(answer, RuleOutcome::Allowed, "{pattern}");
        assert!(started.elapsed() < Duration::from_secs(1), "{pattern}");
    }
}

#[test]
fn the_same_question_gets_the_same_answer() {
    let rule = compile(
        "package lockmaster\ndefault allow := false\ndeny contains key if { some key, _ in input }",
    );
    let rule = rule.unwrap();
    let first = rule.evaluate(INPUT, AMPLE);
    for _ in 0..20 {
        assert_eq!(rule.evaluate(INPUT, AMPLE), first);
    }
    assert_eq!(first, denied(&["component", "evidence", "now"]));
}

/// Rules that use all of the grammar, to be broken.
const CORPUS: [&str; 4] = [
    "package lockmaster\nimport rego.v1\ndefault allow := false\nallow if {\n  every piece in \
     input.evidence { piece.authority in {\"ci\", \"qa\"} }\n  count(input.evidence) > 0\n}\ndeny \
     contains sprintf(\"%v\", [x]) if { some x in [1, 2.5e3, null, true]; not allow }\n",
    "package lockmaster\nf(x) := y if { y := x.a[\"b\"][_] } else := {\"k\": [1, {2}]}\nallow := \
     true if f(input) == {k: v | some k, v in input} | {1} & {2}\n",
    "package lockmaster\nallow if {\n  a := [x | x := input.evidence[_].predicate; x != 1]\n  \
     regex.match(`^v\\d+$`, input.release.version)\n  -a[0] * 2 / 3 % 4 <= 5\n}\n# end\n",
    "package lockmaster\nimport input.release as r\nallow if { walk; r[x] = y; some i; r[i] == 1 }\n\
     p[x] := y if { x := \"\\u00e9\"; y := `raw` }\nq contains [x, y] if p[x] = y\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever stands in a policy, reading it ends with a rule or a reason.
    #[test]
    fn mutated_rules_never_panic(
        which in 0..CORPUS.len(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<char>()), 1..6),
    ) {
        let mut text: Vec<char> = CORPUS[which].chars().collect();
        for (at, edit, letter) in edits {
            let at = at.index(text.len());
            match edit {
                0 => { text.remove(at); }
                1 => text.insert(at, letter),
                2 => text[at] = letter,
                _ => { let copy = text[at..].to_vec(); text.extend(copy); }
            }
            if text.is_empty() { text.push(letter); }
        }
        let text: String = text.into_iter().collect();
        let started = Instant::now();
        if let Err(error) = compile(&text) {
            prop_assert!(error.problem.chars().count() <= 121);
        }
        prop_assert!(started.elapsed() < Duration::from_secs(1));
    }

    #[test]
    fn noise_never_panics(text in "(package lockmaster\n)?[a-z \\[\\]{}(),:=\"`.|&0-9\n]{0,300}") {
        drop(compile(&text));
    }
}
