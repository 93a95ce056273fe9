//! The alert rules in the documentation ask for what the operator serves: a rule with a wrong word never
//! fires, and nobody notices.

use std::collections::BTreeSet;

use lockmaster_core::reason::Reason;
use lockmaster_core::record::Outcome;
use lockmaster_core::status::State;

use crate::metrics::{Metric, fetch_outcomes, metrics};
use crate::repository::{all, none};

/// What a rule asks for: the name, and what stands in its braces.
fn asked(block: &str) -> Vec<(String, &str)> {
    let names = block.match_indices("lockmaster_");
    let found = names.map(|(at, _)| {
        let rest = &block[at..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        let (name, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        (name.to_owned(), braces.map_or("", |(inside, _)| inside))
    });
    found.collect()
}

/// `NotRequired` as `not_required`.
fn snake_case(word: &str) -> String {
    let parts = word.char_indices().map(|(at, c)| match c {
        'A'..='Z' if at > 0 => format!("_{}", c.to_ascii_lowercase()),
        _ => c.to_ascii_lowercase().to_string(),
    });
    parts.collect()
}

/// The words that a label may have, where they are a closed set.
fn words(metric: &Metric, label: &str) -> Option<BTreeSet<String>> {
    let words: Vec<String> = match label {
        "reason" => Reason::ALL
            .iter()
            .map(|one| snake_case(one.word()))
            .collect(),
        "state" => State::ALL.iter().map(|one| one.label.to_owned()).collect(),
        "outcome" if metric.name.contains("fetch") => fetch_outcomes(),
        "outcome" => Outcome::ALL
            .iter()
            .map(|one| snake_case(&one.to_string()))
            .collect(),
        _ => return None,
    };
    Some(words.into_iter().collect())
}

/// What is wrong with one matcher, such as `reason!~"a|b"`.
fn wrong(metric: &Metric, matcher: &str) -> Option<String> {
    let (label, value) = matcher.split_once(['=', '!'])?;
    if !metric.labels.iter().any(|known| known == label) {
        return Some(format!("{} has no label {label}", metric.name));
    }
    let known = words(metric, label)?;
    let value = value.trim_start_matches(['=', '~']).trim_matches('"');
    let unknown = value.split('|').find(|word| !known.contains(*word))?;
    Some(format!("{} is never of {label} {unknown}", metric.name))
}

fn check(block: &str) -> Vec<String> {
    let metrics = metrics();
    let problems = asked(block).into_iter().flat_map(|(name, braces)| {
        let series = ["", "_bucket", "_count", "_sum"];
        let metric = metrics.iter().find(|metric| {
            let mut names = series
                .iter()
                .map(|suffix| format!("{}{suffix}", metric.name));
            names.any(|known| known == name)
        });
        let Some(metric) = metric else {
            return vec![format!("there is no {name}")];
        };
        let matchers = braces.split(',').filter(|matcher| !matcher.is_empty());
        matchers
            .filter_map(|matcher| wrong(metric, matcher))
            .collect()
    });
    problems.collect()
}

#[test]
fn alert_rules_ask_for_what_is_served() {
    let mut problems = Vec::new();
    let mut count = 0;
    for file in all().iter().filter(|file| file.has_extension("md")) {
        let blocks = file.text.split("```yaml\n").skip(1);
        let blocks = blocks.filter_map(|text| text.split("\n```").next());
        for block in blocks.filter(|block| block.contains("expr: ")) {
            count += asked(block).len();
            let wrong = check(block).into_iter();
            problems.extend(wrong.map(|problem| format!("{}: {problem}", file.path)));
        }
    }
    assert!(count >= 8, "{count} series are asked for");
    none("alert rules that never fire", &problems);
}

#[test]
fn a_wrong_word_is_noticed() {
    let good = r#"lockmaster_artifact_concerns{reason!~"revoked|artifact_missing"} > 0"#;
    assert_eq!(check(good), [""; 0]);
    let wrong = [
        ("lockmaster_concerns > 0", "there is no lockmaster_concerns"),
        (
            r#"lockmaster_artifact_concerns{tier="a"}"#,
            "lockmaster_artifact_concerns has no label tier",
        ),
        (
            r#"lockmaster_artifact_concerns{reason=~"revoked|Revoked"}"#,
            "lockmaster_artifact_concerns is never of reason Revoked",
        ),
    ];
    for (rule, expected) in wrong {
        assert_eq!(check(rule), [expected]);
    }
}
