//! Pages that name tests name such as exist.

use std::collections::BTreeSet;

use crate::repository::{Source, all, none, read};

/// Pages whose tables say by which tests something is kept, and how many these are at least.
const PAGES: [(&str, usize); 2] = [
    ("docs/explanation/invariants.md", 100),
    ("docs/explanation/policy-mapping.md", 30),
];

/// The names of tests in a page: what stands in backticks and can only be one.
fn names(page: &str) -> BTreeSet<&str> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let is_name = |word: &&str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.contains('_') && word.chars().all(plain)
    };
    quoted.filter(is_name).collect()
}

/// As a function, as the name of an end-to-end test, or as a scenario, which is a file.
fn is_there(name: &str) -> bool {
    let (function, trial) = (format!("fn {name}("), format!("::{name}\""));
    let has = |file: &&Source| {
        file.stem() == name || file.text.contains(&function) || file.text.contains(&trial)
    };
    all()
        .iter()
        .filter(|file| file.is_rust())
        .any(|file| has(&file))
}

#[test]
fn every_invariant_and_requirement_has_its_tests() {
    let mut missing = Vec::new();
    for (page, least) in PAGES {
        let names = names(read(page));
        assert!(names.len() >= least, "{page}: {names:?}");
        let unknown = names.into_iter().filter(|name| !is_there(name));
        missing.extend(unknown.map(|name| format!("{page}: {name}")));
    }
    none("tests that do not exist", &missing);
}

#[test]
fn a_name_without_its_test_is_noticed() {
    let page = format!("| a | `nowhere_{}`, `core/src` and `sim` |\n", "at_all");
    let found: Vec<_> = names(&page).into_iter().collect();
    assert_eq!(found, [["nowhere", "at_all"].join("_")]);
    assert!(!is_there(found[0]) && is_there("every_invariant_and_requirement_has_its_tests"));
}
