//! The page of past bugs and the tests that it names, and those of its tests that look at the whole
//! repository.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

use lockmaster_api::ClusterPromotionPolicySpec;
use lockmaster_core::policy::ClaimRule;
use serde_json::{Value, json};

use crate::fixtures::keyless::keyless;
use crate::fixtures::{policy, ready, with_policy};
use crate::repository::{all, none, read, root};

const PAGE: &str = "docs/explanation/past-bugs.md";

/// One line of a table: the names of a bug, and the tests that guard against it.
struct Row {
    names: Vec<String>,
    tests: Vec<String>,
}

fn rows(page: &str) -> Vec<Row> {
    let lines = page.lines().filter(|line| line.starts_with("| "));
    let rows = lines.filter(|line| !line.starts_with("| Known as"));
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').collect();
        assert_eq!(cells.len(), 4, "{line}");
        let words = cells[0].split([' ', ',', '(', ')']);
        let tests = cells[3].split('`').skip(1).step_by(2);
        Row {
            names: words
                .filter(|word| is_public_name(word))
                .map(str::to_owned)
                .collect(),
            tests: tests.map(str::to_owned).collect(),
        }
    })
    .collect()
}

fn is_public_name(word: &str) -> bool {
    let lists = ["CVE-", "GHSA-", "RUSTSEC-", "TOB-"];
    lists.iter().any(|list| word.starts_with(list))
}

/// Name of the test, with the comment above it, wherever it is.
fn named_test(name: &str) -> Option<String> {
    let sources = all().iter().filter(|file| file.is_rust());
    let place = |text: &'static str| {
        let found = text.find(&format!("fn {name}("))?;
        let before = text.get(..found)?;
        // The last line is the one with the name; attributes stand between it and the comment.
        let above = before.lines().rev().skip(1).map(str::trim_start);
        let mut about: Vec<_> = above
            .skip_while(|line| line.starts_with("#["))
            .take_while(|line| line.starts_with("//"))
            .collect();
        about.reverse();
        Some(format!("{} {name}", about.join(" ")))
    };
    sources.into_iter().find_map(|file| place(&file.text))
}

/// How the name of a bug stands in a test's name.
fn spelled(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

fn problems(page: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for Row { names, tests } in rows(page) {
        let what = names.join(", ");
        if tests.is_empty() {
            problems.push(format!("{what}: no test"));
        }
        let mut about = String::new();
        for test in tests {
            match named_test(&test) {
                Some(text) => about.push_str(&text),
                None => problems.push(format!("{what}: there is no test {test}")),
            }
        }
        let mentioned = |name: &String| about.contains(name) || about.contains(&spelled(name));
        let lost = names.iter().filter(|name| !mentioned(name));
        problems.extend(lost.map(|name| format!("{name}: none of its tests mentions it")));
    }
    problems
}

#[test]
fn every_past_bug_has_its_tests() {
    let page = read(PAGE);
    let names: BTreeSet<_> = rows(page).into_iter().flat_map(|row| row.names).collect();
    assert!(names.len() > 40, "{names:?}");
    none("past bugs", &problems(page));
}

/// A test that bears the name of a bug is on the page.
#[test]
fn every_test_of_a_past_bug_is_on_the_page() {
    let page = read(PAGE);
    let mut missing = Vec::new();
    for file in all().iter().filter(|file| file.is_rust()) {
        for line in file.text.lines().map(str::trim_start) {
            let name = ["pub(crate) ", "pub(super) "]
                .iter()
                .fold(line, |line, word| line.trim_start_matches(word));
            let name = name.trim_start_matches("async ").strip_prefix("fn ");
            let Some(name) = name.and_then(|rest| rest.split('(').next()) else {
                continue;
            };
            let lists = ["cve_", "ghsa_", "rustsec_", "tob_", "kargo_", "kyverno_"];
            let is_one = lists.iter().any(|list| name.starts_with(list));
            if is_one && !page.contains(&format!("`{name}`")) {
                missing.push(format!("{}: {name}", file.path));
            }
        }
    }
    none("tests of past bugs that are not on the page", &missing);
}

#[test]
fn a_row_without_its_test_is_noticed() {
    let row = |names: &str, tests: &str| problems(&format!("| {names} | a | b | {tests} |\n"));
    assert_eq!(
        row("CVE-1-2", ""),
        ["CVE-1-2: no test", "CVE-1-2: none of its tests mentions it"]
    );
    assert_eq!(
        row("CVE-1-2", "`nowhere_at_all`")[0],
        "CVE-1-2: there is no test nowhere_at_all"
    );
    let here = "`a_row_without_its_test_is_noticed`";
    assert_eq!(
        row("CVE-1-2 (x)", here),
        ["CVE-1-2: none of its tests mentions it"]
    );
    assert_eq!(row("the crate", here), [""; 0]);
}

/// GHSA-46mp-8w32-6g94: Kyverno ignored what it did not know in a policy, the identity among it. An
/// unknown or misspelt field anywhere in one is an error.
#[test]
fn cve_2025_29778_an_unknown_field_makes_a_policy_unreadable() {
    let mut snapshot = ready();
    keyless(&mut snapshot);
    with_policy(&mut snapshot, |full| {
        let keyless = full.authorities[0].keyless.as_mut().unwrap();
        keyless.claims = Some(ClaimRule {
            source_repositories: vec!["https://git.example/shop/checkout".into()],
            triggers: vec!["push".into()],
        });
        full.authorities.extend(policy().authorities);
    });
    let content = snapshot.facts.policies[0].content.as_ref().unwrap();
    let good = serde_json::to_value(&content.policy).unwrap();
    serde_json::from_value::<ClusterPromotionPolicySpec>(good.clone()).unwrap();
    let mut objects = Vec::new();
    collect(&good, "", &mut objects);
    for expected in [
        "/authorities/0/keyless/claims",
        "/authorities/1/keys/0",
        "/evidence/sbom",
    ] {
        assert!(objects.iter().any(|found| found == expected), "{objects:?}");
    }
    for pointer in &objects {
        for name in ["subjectRegExp", "issuerRegExp", "Subject", "subject "] {
            let mut wrong = good.clone();
            let object = wrong.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            object.insert(name.to_owned(), json!("x"));
            let read = serde_json::from_value::<ClusterPromotionPolicySpec>(wrong);
            let said = read.expect_err(pointer).to_string();
            assert!(said.contains("unknown field"), "{pointer}: {said}");
        }
    }
}

/// The pointers of all objects in `value`.
fn collect(value: &Value, pointer: &str, found: &mut Vec<String>) {
    for (name, member) in value.as_object().into_iter().flatten() {
        collect(member, &format!("{pointer}/{name}"), found);
    }
    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
        collect(item, &format!("{pointer}/{place}"), found);
    }
    if value.is_object() {
        found.push(pointer.to_owned());
    }
}

/// CVE-2022-29173, CVE-2026-23991, CVE-2026-23992, CVE-2026-24686, CVE-2026-24137 too: clients of TUF
/// were rolled back. There is none here. That the API server keeps to the rule is seen end to end.
#[test]
fn cve_2024_47534_a_trusted_root_only_goes_forward_and_nothing_is_fetched() {
    let definition = read("crds/lockmaster.dev_trustedroots.yaml");
    assert!(definition.contains("rule: self == oldSelf || self.version > oldSelf.version"));
    for name in ["sigstore-tuf", "tough", "tuf"] {
        assert!(!is_built(name), "{name} is built in");
    }
}

/// RUSTSEC-2026-0045, RUSTSEC-2026-0046, RUSTSEC-2026-0047, RUSTSEC-2026-0048 (aws-lc-sys 0.39.0),
/// RUSTSEC-2026-0049, RUSTSEC-2026-0098, RUSTSEC-2026-0099, RUSTSEC-2026-0104 (rustls-webpki 0.103.13),
/// RUSTSEC-2025-0007 (ring), RUSTSEC-2023-0071 (rsa).
#[test]
fn rustsec_2026_0044_cryptography_is_that_which_was_repaired() {
    for (name, repaired) in [("aws-lc-sys", (0, 39, 0)), ("rustls-webpki", (0, 103, 13))] {
        let versions = versions(name);
        assert!(!versions.is_empty(), "{name} is not in Cargo.lock");
        for version in versions {
            assert!(
                version >= repaired,
                "{name} {version:?}, repaired in {repaired:?}"
            );
        }
    }
    for name in ["ring", "rsa"] {
        assert!(!is_built(name), "{name} is built in");
    }
}

/// The versions of a package in Cargo.lock.
fn versions(name: &str) -> Vec<(u32, u32, u32)> {
    let mut lines = read("Cargo.lock").lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if line == format!("name = \"{name}\"") {
            let version = lines.next().unwrap_or_default();
            let numbers: Vec<u32> = version
                .trim_start_matches("version = ")
                .trim_matches('"')
                .split('.')
                .map(|number| number.parse().unwrap())
                .collect();
            found.push((numbers[0], numbers[1], numbers[2]));
        }
    }
    found
}

/// In Cargo.lock also stands what nobody switches on.
fn is_built(name: &str) -> bool {
    static BUILT: OnceLock<BTreeSet<String>> = OnceLock::new();
    BUILT.get_or_init(built).contains(name)
}

/// Every package that is built.
fn built() -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--offline", "--workspace", "--prefix", "none"]);
    command.args(["-e", "normal,build", "--format", "{p}"]);
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo tree failed: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<_> = names.map(str::to_owned).collect();
    assert!(names.contains("rustls-webpki"), "{names:?}");
    names
}

/// An advisory may be excused for a reason and until a day, and is then looked at again.
#[test]
fn no_advisory_is_excused_for_ever() {
    let excused: Vec<_> = read("deny.toml")
        .lines()
        .filter(|line| line.contains("RUSTSEC-") && !line.contains("until 20"))
        .map(str::to_owned)
        .collect();
    none(
        "advisories that are excused without \"until <day>\"",
        &excused,
    );
}
