//! Who may depend on whom, as data. What a crate does not depend on, its code cannot use.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::repository::{self, none, root};

/// One crate: which of ours it depends on, exactly, and what it must never name.
struct Layer {
    package: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
    /// What must not even be behind its dependencies, in what ships.
    not_in_tree: &'static [&'static str],
}

const ASYNC_AND_CLUSTER: &[&str] = &["tokio", "futures", "kube", "k8s-openapi", "reqwest"];
const NETWORK: &[&str] = &["tokio", "hyper", "reqwest", "rustls"];

const LAYERS: [Layer; 8] = [
    Layer {
        package: "lockmaster-core",
        ours: &[],
        never: ASYNC_AND_CLUSTER,
        not_in_tree: NETWORK,
    },
    Layer {
        package: "lockmaster-api",
        ours: &["lockmaster-core"],
        never: &["tokio", "futures", "reqwest"],
        not_in_tree: NETWORK,
    },
    Layer {
        package: "lockmaster-verify",
        ours: &["lockmaster-core"],
        never: ASYNC_AND_CLUSTER,
        not_in_tree: &["kube"],
    },
    Layer {
        // What it runs reaches nothing; neither must what it is made of.
        package: "lockmaster-rego",
        ours: &["lockmaster-core"],
        never: ASYNC_AND_CLUSTER,
        not_in_tree: &["tokio", "hyper", "reqwest", "rustls", "kube", "chrono"],
    },
    Layer {
        package: "lockmaster-observe",
        ours: &[
            "lockmaster-api",
            "lockmaster-core",
            "lockmaster-rego",
            "lockmaster-verify",
        ],
        never: &["axum", "clap", "anyhow"],
        not_in_tree: &[],
    },
    Layer {
        // It decides nothing about evidence by itself: `observe` calls `verify`, and `rego` by a
        // child process, which is this program again.
        package: "lockmaster-operator",
        ours: &[
            "lockmaster-api",
            "lockmaster-core",
            "lockmaster-observe",
            "lockmaster-rego",
        ],
        never: &["sigstore-crypto", "sigstore-types", "reqwest", "regorus"],
        not_in_tree: &[],
    },
    Layer {
        package: "lockmaster-cli",
        ours: &[
            "lockmaster-api",
            "lockmaster-core",
            "lockmaster-observe",
            "lockmaster-rego",
            "lockmaster-verify",
        ],
        never: &["axum", "prometheus-client", "sigstore-crypto", "regorus"],
        not_in_tree: &[],
    },
    Layer {
        // All but the two products: tests run those as binaries, as people do.
        package: "lockmaster-tests",
        ours: &[
            "lockmaster-api",
            "lockmaster-core",
            "lockmaster-observe",
            "lockmaster-rego",
            "lockmaster-verify",
        ],
        never: &["sigstore-verify"],
        not_in_tree: &[],
    },
];

/// What must not be in the tree at all, and why.
const BANNED: [(&str, &str); 6] = [
    ("openssl", "a second TLS stack"),
    ("openssl-sys", "a second TLS stack"),
    ("native-tls", "a second TLS stack"),
    ("serde_yaml", "deprecated; serde-saphyr is used"),
    ("git2", "brings OpenSSL and libssh2"),
    (
        "sigstore",
        "its verifier of bundles checks neither promise nor proof of the log; sigstore-verify is used",
    ),
];

fn cargo(arguments: &[&str]) -> std::process::Output {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root());
    command.output().expect("cargo can be run")
}

fn metadata() -> Value {
    let output = cargo(&[
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]);
    assert!(output.status.success(), "cargo metadata failed: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every package of the workspace with its dependencies of all kinds.
fn dependencies() -> BTreeMap<String, Vec<Value>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let name = package["name"].as_str().unwrap().to_owned();
            (name, package["dependencies"].as_array().unwrap().clone())
        })
        .collect()
}

fn named(dependency: &Value) -> &str {
    dependency["name"].as_str().unwrap_or_default()
}

#[test]
fn each_crate_depends_on_what_the_table_says() {
    let found = dependencies();
    let known: BTreeSet<_> = LAYERS.iter().map(|layer| layer.package).collect();
    let members: BTreeSet<_> = found.keys().map(String::as_str).collect();
    assert_eq!(members, known, "the workspace's members and the table");
    for layer in &LAYERS {
        let ours: BTreeSet<_> = found[layer.package]
            .iter()
            .map(named)
            .filter(|name| name.starts_with("lockmaster-"))
            .collect();
        let expected: BTreeSet<_> = layer.ours.iter().copied().collect();
        assert_eq!(ours, expected, "what {} depends on", layer.package);
        assert!(
            !ours.contains("lockmaster-tests"),
            "nobody depends on tests"
        );
    }
}

#[test]
fn no_crate_names_what_it_must_never_know() {
    let found = dependencies();
    let mut problems = Vec::new();
    for layer in &LAYERS {
        let names = found[layer.package].iter().map(named);
        for name in names.filter(|name| layer.never.contains(name)) {
            problems.push(format!("{} depends on {name}", layer.package));
        }
    }
    none("a crate knows too much", &problems);
}

#[test]
fn nothing_forbidden_hides_behind_a_dependency() {
    let mut problems = Vec::new();
    for layer in LAYERS.iter().filter(|layer| !layer.not_in_tree.is_empty()) {
        // Alone: features that another member asks for must not count.
        let output = cargo(&[
            "tree",
            "-p",
            layer.package,
            "--offline",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        assert!(output.status.success(), "cargo tree failed: {output:?}");
        let tree = String::from_utf8(output.stdout).unwrap();
        let names: BTreeSet<_> = tree
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        for name in layer
            .not_in_tree
            .iter()
            .filter(|name| names.contains(*name))
        {
            problems.push(format!("{} brings {name}", layer.package));
        }
    }
    none("a crate brings too much", &problems);
}

/// Without jiff's `std` there is no `Timestamp::now`: a clock does not compile.
#[test]
fn only_the_binaries_and_tests_have_a_clock() {
    let mut with_clock = Vec::new();
    for (package, dependencies) in dependencies() {
        for jiff in dependencies.iter().filter(|found| named(found) == "jiff") {
            let features = jiff["features"].as_array().unwrap();
            let default = jiff["uses_default_features"] == true;
            if default || features.iter().any(|feature| feature == "std") {
                with_clock.push(package.clone());
            }
        }
    }
    assert_eq!(
        with_clock,
        ["lockmaster-cli", "lockmaster-operator", "lockmaster-tests"]
    );
}

#[test]
fn one_tls_stack_and_nothing_banned() {
    let lock = repository::read("Cargo.lock");
    assert!(lock.contains("name = \"rustls\""), "Cargo.lock was read");
    let problems: Vec<_> = BANNED
        .iter()
        .filter(|(name, _)| {
            lock.lines()
                .any(|line| line == format!("name = \"{name}\""))
        })
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    none("banned packages in Cargo.lock", &problems);
    // With two providers rustls cannot choose and panics when it starts. In the lock file ring may
    // stand as an optional dependency that nobody switches on.
    let output = cargo(&[
        "tree",
        "--offline",
        "--workspace",
        "-e",
        "normal,build",
        "-i",
        "ring",
    ]);
    let (tree, message) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(tree.is_empty(), "ring is built in:\n{tree}");
    assert!(
        output.status.success() || message.contains("did not match any packages"),
        "cargo tree failed: {message}"
    );
}
