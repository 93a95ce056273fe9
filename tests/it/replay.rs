//! Every folder of `examples/` with a snapshot is asked again, and must give the report beside it.
//!
//! `UPDATE=1 cargo test -p lockmaster-tests --test it replay` writes both files anew from
//! `scenarios.rs`; a folder that is not from there keeps its snapshot and gets a new report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lockmaster_core::gate::Verdict;
use lockmaster_core::gates;
use lockmaster_core::report::{Marks, Report};
use lockmaster_core::snapshot::Snapshot;

use crate::{examples, scenarios};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn updating() -> bool {
    std::env::var_os("UPDATE").is_some_and(|value| value == "1")
}

/// Head of every generated snapshot; the rest is data.
fn header(purpose: &str) -> String {
    format!(
        "# {purpose}\n# kubectl promote explain -f snapshot.yaml   (prints report.txt)\n\
         # The format is unstable: it is good for the version that wrote it.\n"
    )
}

fn to_yaml(purpose: &str, snapshot: &Snapshot) -> String {
    header(purpose) + &serde_saphyr::to_string(snapshot).unwrap()
}

/// Every example with a snapshot, by the name of its folder.
fn all() -> BTreeMap<String, Snapshot> {
    let folders = fs::read_dir(folder()).expect("the folder examples/ is there");
    let mut all = BTreeMap::new();
    for folder in folders {
        let folder = folder.unwrap().path();
        let path = folder.join("snapshot.yaml");
        if !path.exists() {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let snapshot: Snapshot = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
        let written = serde_json::to_value(&snapshot).unwrap();
        let lost = examples::lost(&serde_saphyr::from_str(&text).unwrap(), &written, "");
        assert_eq!(lost, None, "unknown field in {}", path.display());
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        all.insert(name, snapshot);
    }
    all
}

/// What differs, line by line, with the line's number.
fn difference(expected: &str, found: &str) -> String {
    let mut expected_lines = expected.lines();
    let mut found_lines = found.lines();
    let mut text = String::new();
    for number in 1.. {
        match (expected_lines.next(), found_lines.next()) {
            (None, None) => break,
            (before, now) if before == now => {}
            (before, now) => {
                let before = before.map(|line| format!("{number:4} - {line}\n"));
                let now = now.map(|line| format!("{number:4} + {line}\n"));
                text.extend(before.into_iter().chain(now));
            }
        }
    }
    text
}

/// Writes the snapshots and reports that the scenarios give.
fn update() {
    for scenario in scenarios::all() {
        let folder = folder().join(scenario.name);
        fs::create_dir_all(&folder).unwrap();
        let yaml = to_yaml(scenario.purpose, &scenario.snapshot);
        fs::write(folder.join("snapshot.yaml"), yaml).unwrap();
    }
    for (name, snapshot) in all() {
        let report = folder().join(name).join("report.txt");
        fs::write(report, snapshot.render(Marks::Unicode)).unwrap();
    }
}

#[test]
fn replay_gives_the_report_beside_each_snapshot() {
    if updating() {
        update();
    }
    let mut wrong = String::new();
    for (name, snapshot) in all() {
        let report = folder().join(&name).join("report.txt");
        let expected = fs::read_to_string(&report).unwrap_or_default();
        let found = snapshot.render(Marks::Unicode);
        if expected != found {
            let lines = difference(&expected, &found);
            // Writing to a String cannot fail.
            let _ = writeln!(wrong, "examples/{name}/report.txt\n{lines}");
        }
    }
    assert!(
        wrong.is_empty(),
        "replay differs (UPDATE=1 accepts it):\n{wrong}"
    );
}

#[test]
fn snapshots_are_those_of_the_scenarios() {
    if updating() {
        return;
    }
    let mut stored = all();
    for scenario in scenarios::all() {
        let snapshot = stored
            .remove(scenario.name)
            .unwrap_or_else(|| panic!("no examples/{}: UPDATE=1 writes it", scenario.name));
        assert!(
            snapshot == scenario.snapshot,
            "examples/{}/snapshot.yaml is not what scenarios.rs says (UPDATE=1 writes it):\n{}",
            scenario.name,
            difference(
                &to_yaml(scenario.purpose, &snapshot),
                &to_yaml(scenario.purpose, &scenario.snapshot)
            )
        );
    }
}

#[test]
fn each_scenario_ends_with_its_exit_code() {
    for scenario in scenarios::all() {
        let reports = scenario.snapshot.replay();
        let codes: Vec<_> = reports.iter().map(Report::exit_code).collect();
        assert_eq!(codes, [scenario.exit_code], "{}", scenario.name);
    }
}

#[test]
fn each_gate_has_an_example_where_it_passes_and_one_where_it_does_not() {
    let mut passes: BTreeSet<String> = BTreeSet::new();
    let mut closed: BTreeSet<String> = BTreeSet::new();
    for report in all().values().flat_map(Snapshot::replay) {
        for gate in report.gates {
            if gate.verdict == Verdict::Pass {
                passes.insert(gate.name);
            } else if !gate.verdict.is_open() {
                closed.insert(gate.name);
            }
        }
    }
    for gate in gates::ALL {
        let name = gate.name();
        assert!(
            passes.contains(name),
            "no example in which gate {name} passes"
        );
        assert!(
            closed.contains(name),
            "no example in which gate {name} is closed"
        );
    }
}
