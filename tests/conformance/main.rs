//! Every bundle of a sigstore-conformance folder, by the file's path and by its digest.
//!
//! `SIGSTORE_CONFORMANCE` names the folder; without it `../shared/conformance`, seen from the
//! repository, is looked for. A case fails to verify exactly where its name ends in `_fail`. Where
//! there is no such folder, nothing was tried, and that is said.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

use anyhow::{Context as _, bail, ensure};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use lockmaster_core::release::Digest;
use lockmaster_tests::progress::say;

mod transplants;

/// Names the folder.
const FOLDER: &str = "SIGSTORE_CONFORMANCE";

/// Whom the suite's bundles are signed by, where a case does not say otherwise.
const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// How a case names its artifact.
#[derive(Debug, Clone, Copy)]
enum By {
    Path,
    Digest,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let folder = env::var_os(FOLDER).map_or_else(
        || {
            let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
            repository
                .unwrap_or(Path::new(".."))
                .join("shared/conformance")
        },
        PathBuf::from,
    );
    let Some(folder) = suite(&folder)? else {
        let why = format!(
            "skipped: there is no {}; {FOLDER} names a copy of the bundles",
            folder.display()
        );
        let skipped = move || Ok(Completion::ignored_with(&why));
        let trial = Trial::ignorable_test("bundles_of_sigstore_conformance", skipped);
        libtest_mimic::run(&arguments, vec![trial]).exit();
    };
    let cases = cases(&folder)?;
    let all = cases.len() * 2;
    let right = Arc::new(AtomicUsize::new(0));
    let mut trials = transplants(&folder);
    for (name, path) in cases {
        for by in [By::Path, By::Digest] {
            let (path, right) = (path.clone(), Arc::clone(&right));
            let trial = format!("{name}::{}", format!("{by:?}").to_lowercase());
            trials.push(Trial::test(trial, move || {
                judge(&path, by).map_err(failed)?;
                right.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let right = right.load(Ordering::Relaxed);
        say(&format!(
            "{right} of {all} cases of {} were right",
            folder.display()
        ));
    }
    conclusion.exit_if_failed();
    Ok(())
}

fn transplants(folder: &Path) -> Vec<Trial> {
    macro_rules! tests {
        ($($name:ident)*) => {
            vec![$({
                let folder = folder.to_owned();
                Trial::test(stringify!($name), move || {
                    transplants::$name(&folder).map_err(failed)
                })
            }),*]
        };
    }
    tests! {
        cve_2022_23649_an_entry_of_another_bundle_is_no_proof
        cve_2022_36056_a_certificate_of_another_bundle_is_no_proof
    }
}

/// The folder with the cases; an explicitly named one must have them.
fn suite(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    for candidate in [folder.join("bundle-verify"), folder.to_owned()] {
        if candidate.join("a.txt").is_file() {
            let path = candidate.canonicalize();
            return path.map(Some).context("failed to resolve the folder");
        }
    }
    ensure!(
        env::var_os(FOLDER).is_none(),
        "{FOLDER} is {}, where there is no bundle-verify/a.txt",
        folder.display()
    );
    Ok(None)
}

/// Every case by its name. Fewer than one of each kind would prove nothing.
fn cases(folder: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.with_context(|| format!("{} has no name", path.display()))?;
            ensure!(
                path.join("bundle.sigstore.json").is_file(),
                "{} has no bundle.sigstore.json",
                path.display()
            );
            cases.insert(name.to_owned(), path);
        }
    }
    for bad in [true, false] {
        ensure!(
            cases.keys().any(|name| must_fail(name) == bad),
            "{} has no case that must {}",
            folder.display(),
            if bad { "fail" } else { "verify" }
        );
    }
    Ok(cases)
}

fn must_fail(name: &str) -> bool {
    name.ends_with("_fail")
}

fn judge(case: &Path, by: By) -> anyhow::Result<()> {
    let text = |name: &str| {
        let path = case.join(name);
        let text = path.is_file().then(|| fs::read_to_string(path));
        text.transpose()
            .map(|text| text.map(|text| text.trim().to_owned()))
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
    command.arg("verify-bundle").arg("--bundle");
    command.arg(case.join("bundle.sigstore.json"));
    if case.join("key.pub").is_file() {
        command.arg("--key").arg(case.join("key.pub"));
    } else {
        let (identity, issuer) = (text("identity")?, text("issuer")?);
        command.arg("--certificate-identity");
        command.arg(identity.unwrap_or_else(|| IDENTITY.to_owned()));
        command.arg("--certificate-oidc-issuer");
        command.arg(issuer.unwrap_or_else(|| ISSUER.to_owned()));
    }
    let root = case.join("trusted_root.json");
    if root.is_file() {
        command.arg("--trusted-root").arg(root);
    }
    let mut artifact = case.join("artifact");
    if !artifact.is_file() {
        artifact = case.with_file_name("a.txt");
    }
    match by {
        By::Path => command.arg(&artifact),
        By::Digest => command.arg(Digest::of(&fs::read(&artifact)?).as_str()),
    };
    let output = command.output().context("failed to run the binary")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let bad = must_fail(&case.to_string_lossy());
    // A command line that it does not understand (2) is no verdict about a bundle.
    match output.status.code() {
        Some(0) if !bad => Ok(()),
        Some(1) if bad => Ok(()),
        Some(0) => bail!("it verifies, and must not"),
        Some(1) => bail!("it does not verify: {said}"),
        other => bail!("the binary ended with {other:?}: {said}"),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "this is the signature that map_err wants"
)]
fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
