//! The metrics that the reference lists are those that the operator registers, with their labels.
//! `UPDATE=1 cargo test -p lockmaster-tests --test it metrics` writes the page.

use std::fmt::Write as _;

use crate::repository::{is_generated, none, read};

const SOURCE: &str = "controller/operator/src/metrics.rs";

/// What is exposed.
pub(crate) struct Metric {
    pub(crate) name: String,
    kind: &'static str,
    pub(crate) labels: Vec<String>,
    help: String,
}

/// All of them.
pub(crate) fn metrics() -> Vec<Metric> {
    registered(read(SOURCE))
}

/// The words for how a fetch of evidence ended.
pub(crate) fn fetch_outcomes() -> Vec<String> {
    let (_, fetched) = read(SOURCE).split_once("fn fetched(").unwrap();
    let (outcomes, _) = between(fetched, "match outcome {", "};").unwrap();
    let words = outcomes.split('"').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The text between two marks, and what comes after the second one.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(start)?.1.split_once(end)
}

/// Every metric that the source registers, in its order.
fn registered(source: &str) -> Vec<Metric> {
    let calls = source.split("registry.register").skip(1);
    let calls = calls.filter_map(|call| call.split_once(");").map(|(call, _)| call));
    calls.map(|call| metric(source, call)).collect()
}

fn metric(source: &str, call: &str) -> Metric {
    let (name, rest) = between(call, "\"", "\"").unwrap();
    let (help, rest) = between(rest, "\"", "\"").unwrap();
    let unit = if rest.contains("Unit::Seconds") {
        "_seconds"
    } else {
        assert!(
            !rest.contains("Unit::"),
            "{name} has a unit that nobody knows here"
        );
        ""
    };
    let (kind, labels) = match between(rest, "metrics.", ".clone()") {
        Some((field, _)) => family(source, field),
        None => (
            "info",
            vec![between(rest, "[(\"", "\"").unwrap().0.to_owned()],
        ),
    };
    let suffix = match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    Metric {
        name: format!("lockmaster_{name}{unit}{suffix}"),
        kind,
        labels,
        help: help.to_owned(),
    }
}

/// Kind and labels of a field `name: Family<Labels, Kind>`.
fn family(source: &str, field: &str) -> (&'static str, Vec<String>) {
    let declaration = format!(" {field}: Family<");
    let (types, _) = between(source, &declaration, ">").unwrap();
    let (labels, kind) = types.split_once(", ").unwrap();
    let kind = match kind {
        "Counter" => "counter",
        "Gauge" => "gauge",
        "Histogram" => "histogram",
        other => panic!("{field} is a {other}, which nobody knows here"),
    };
    let (fields, _) = between(source, &format!("struct {labels} {{"), "}").unwrap();
    let names = fields
        .lines()
        .filter_map(|line| line.trim().split_once(": "));
    (kind, names.map(|(name, _)| name.to_owned()).collect())
}

const INTRODUCTION: &str = "\
Served as OpenMetrics text under `/metrics`, at `--metrics-address`. A histogram has the series `_bucket`, `_sum` and `_count`.

Labels are namespaces, products, stages, hosts of registries (64 at most) and closed sets of words: never the name of a Promotion, a digest or a person. `environment` is the stage (`prod`), as people call it. A `state` is the metric label in [states.md](states.md), a `gate` its name in [gates.md](gates.md); verdicts and outcomes are written in snake_case (`not_required`, `rolled_back`).

The `outcome` of fetching evidence: `fetched`, what was asked for was read; `unreachable`, no answer in time, an overloaded registry or one that is left alone, or no memory for the answer; `forbidden`, refused: a login, none, a token service or address that is not listed; `missing`, the registry does not have the image; `truncated`, more than the limits allow; `untrustworthy`, an answer of no use: another status, not what its digest says, not readable; `share_used_up`, the namespace that asked had used up its own share, which says nothing of the registry.
";

#[test]
fn metrics_are_documented() {
    let metrics = metrics();
    assert!(metrics.len() >= 7, "{} metrics were found", metrics.len());
    let mut page = format!(
        "# Metrics\n\n<!-- Generated from the code; regenerate with: UPDATE=1 cargo test -p \
         lockmaster-tests --test it metrics -->\n\n{INTRODUCTION}\n| Metric | Type | Labels | \
         Meaning |\n|---|---|---|---|\n"
    );
    for Metric {
        name,
        kind,
        labels,
        help,
    } in metrics
    {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(
            page,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        )
        .unwrap();
    }
    let words = fetch_outcomes();
    assert_eq!(words.len(), 7, "{words:?}");
    let unexplained = words.into_iter().map(|word| format!("`{word}`"));
    let unexplained: Vec<_> = unexplained
        .filter(|word| !INTRODUCTION.contains(word))
        .collect();
    none("outcomes of fetches that nobody explains", &unexplained);
    is_generated("docs/reference/metrics.md", &page);
}
