//! House rules that no compiler knows: sizes, names, first lines.

use std::collections::BTreeSet;
use std::path::Path;

use crate::repository::{Source, all, none, read, root};

/// More than this is two ideas.
const PRODUCTION_LINES: usize = 400;
/// With its tests; more is a reason for a folder.
const LINES: usize = 600;
/// Names that say nothing about what is in the file.
const BANNED_NAMES: [&str; 8] = [
    "utils", "util", "helpers", "helper", "common", "misc", "types", "manager",
];

fn rust() -> impl Iterator<Item = &'static Source> {
    all().iter().filter(|file| file.is_rust())
}

/// Paths of modules that are declared `#[cfg(test)] mod name;`, without `.rs`.
fn test_modules() -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for file in rust() {
        let path = Path::new(&file.path);
        let parent = path.parent().unwrap();
        let folder = if ["lib", "main"].contains(&file.stem()) {
            parent.to_owned()
        } else {
            parent.join(file.stem())
        };
        let after = file.text.split("#[cfg(test)]\n").skip(1);
        for declaration in after.filter_map(|text| text.split(';').next()) {
            let mut words = declaration.split_whitespace().rev();
            if let (Some(name), Some("mod")) = (words.next(), words.next()) {
                modules.insert(folder.join(name).to_string_lossy().into_owned());
            }
        }
    }
    modules
}

/// Code that never ships.
fn is_test(file: &Source, modules: &BTreeSet<String>) -> bool {
    let path = file.path.trim_end_matches(".rs");
    let below_a_test_module = modules
        .iter()
        .any(|module| path == module || path.starts_with(&format!("{module}/")));
    below_a_test_module
        || path.starts_with("tests/it/")
        || path.starts_with("tests/e2e/")
        || path.contains("/tests/")
}

#[test]
fn each_file_says_first_what_it_is() {
    let problems: Vec<_> = rust()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path.clone())
        .collect();
    none("files that do not begin with //!", &problems);
}

#[test]
fn no_file_is_too_long() {
    let modules = test_modules();
    let mut problems = Vec::new();
    for file in rust() {
        let lines = file.text.lines().count();
        if lines > LINES {
            problems.push(format!("{}: {lines} lines of {LINES}", file.path));
        }
        let production = file.production().lines().count();
        if production > PRODUCTION_LINES && !is_test(file, &modules) {
            problems.push(format!(
                "{}: {production} lines of production code of {PRODUCTION_LINES}",
                file.path
            ));
        }
    }
    none("files that are too long", &problems);
}

#[test]
fn names_say_what_is_inside() {
    let problems: Vec<_> = rust()
        .filter(|file| BANNED_NAMES.contains(&file.stem()))
        .map(|file| file.path.clone())
        .collect();
    none("files with a name that says nothing", &problems);
}

#[test]
fn each_crate_takes_the_lints_of_the_workspace() {
    let manifests = all()
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml"));
    let problems: Vec<_> = manifests
        .filter(|file| !file.text.contains("\n[lints]\nworkspace = true\n"))
        .map(|file| file.path.clone())
        .collect();
    none("crates without [lints] workspace = true", &problems);
}

/// A file that nobody declares is a test that nobody runs.
#[test]
fn each_test_file_is_run() {
    let mut problems = Vec::new();
    for folder in [
        "tests/it/",
        "tests/e2e/",
        "tests/conformance/",
        "tests/fuzz/",
    ] {
        let main = read(&format!("{folder}main.rs"));
        let declared: BTreeSet<_> = main
            .lines()
            .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
            .collect();
        for file in rust().filter(|file| file.path.starts_with(folder)) {
            let name = file.path.trim_start_matches(folder);
            let name = name.split(['/', '.']).next().unwrap_or_default();
            if name != "main" && !declared.contains(name) {
                problems.push(format!("{}: not in {folder}main.rs", file.path));
            }
        }
    }
    none("test files that are not run", &problems);
}

/// Deciding and verifying are calculations: nothing to wait for.
#[test]
fn nothing_waits_in_core_and_verify() {
    let mut problems = Vec::new();
    for file in rust() {
        let pure = ["controller/core/", "controller/verify/"];
        if pure.iter().any(|folder| file.path.starts_with(folder)) {
            for (number, line) in (1..).zip(file.text.lines()) {
                let code = line.split("//").next().unwrap_or_default();
                if code.split_whitespace().any(|word| word == "async") || code.contains(".await") {
                    problems.push(format!("{}:{number}: {}", file.path, line.trim()));
                }
            }
        }
    }
    none("async code in core or verify", &problems);
}

/// Sigstore's builders can leave out a check (`skip_tlog` and others); the product never does.
#[test]
fn no_verification_step_is_skipped() {
    let mut problems = Vec::new();
    for file in rust().filter(|file| file.path.starts_with("controller/")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.contains(".skip_") || line.contains("::skip_") {
                problems.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("verification steps that are skipped", &problems);
}

/// What works in one person's home only works there.
#[test]
fn no_path_of_one_machine_is_in_the_repository() {
    let here = format!("{}/", root().display());
    let homes = ["home", "root", "Users"].map(|folder| format!("/{folder}/"));
    let mut problems = Vec::new();
    for file in all() {
        for (number, line) in (1..).zip(file.text.lines()) {
            let found = homes.iter().any(|home| line.contains(home.as_str()));
            if found || line.contains(&here) {
                let line: String = line.trim().chars().take(120).collect();
                problems.push(format!("{}:{number}: {line}", file.path));
            }
        }
    }
    none("paths of one machine", &problems);
}

/// Clippy takes the nearest file and no other: what one leaves out is not checked in its crate.
#[test]
fn each_crate_keeps_the_limits_of_the_workspace() {
    let root = read(".clippy.toml");
    let mut crates = BTreeSet::new();
    let mut problems = Vec::new();
    for file in all().iter().filter(|f| f.path.ends_with("/clippy.toml")) {
        crates.insert(file.path.as_str());
        for line in root.lines().filter(|line| !line.starts_with('#')) {
            if !file.text.lines().any(|own| own == line) {
                problems.push(format!("{}: without {line}", file.path));
            }
        }
    }
    for expected in [
        "controller/core/clippy.toml",
        "controller/observe/clippy.toml",
    ] {
        assert!(crates.contains(expected), "there is no {expected}");
    }
    none("limits that do not hold everywhere", &problems);
}
