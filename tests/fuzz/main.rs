//! The fuzz targets of `controller/verify/fuzz`, each over a corpus and over changes of it, for a
//! bounded time.
//!
//! `LOCKMASTER_FUZZ_SECONDS` lengthens what each target gets; `cargo fuzz` looks deeper. Here an input
//! fails that panics, takes more than a second of CPU or holds more memory than [`watch::MEMORY`] and
//! [`watch::TIMES`] its size.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use lockmaster_tests::progress::say;
use peak_alloc::PeakAlloc;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

mod changes;
mod inputs;
#[expect(
    unreachable_pub,
    reason = "it is a library for the binaries of `cargo fuzz`, and a module here"
)]
#[path = "../../controller/verify/fuzz/src/lib.rs"]
mod targets;
mod watch;

use targets::Target;
use watch::{Most, Watch};

/// Counts what is allocated; it is the reason for a binary of its own.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Sets how long each target is fed with changed inputs.
const SECONDS: &str = "LOCKMASTER_FUZZ_SECONDS";

/// What it is otherwise: all targets together stay well below a minute.
const SHORT: Duration = Duration::from_millis(700);

/// Changed inputs between two looks at the time.
const BATCH: u32 = 64;

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::from_args();
    // Memory is that of the whole process.
    arguments.test_threads = Some(1);
    let time = match std::env::var(SECONDS) {
        Ok(text) => Duration::from_secs(text.parse().with_context(|| format!("{SECONDS}={text}"))?),
        Err(_) => SHORT,
    };
    let watch: &Watch = Box::leak(Box::new(Watch::start()));
    let mut trials = vec![
        Trial::test("every_target_has_its_binary", || {
            every_target_has_its_binary().map_err(failed)
        }),
        Trial::test("lists_of_nothing_take_no_memory", || {
            lists_of_nothing_take_no_memory().map_err(failed)
        }),
        Trial::test("a_long_bill_is_held_four_times", || {
            a_long_bill_is_held_four_times().map_err(failed)
        }),
        Trial::test("every_seed_is_read", || {
            every_seed_is_read().map_err(failed)
        }),
    ];
    let asked = Arc::new(Mutex::new(Vec::new()));
    trials.extend(targets::ALL.iter().map(|target| {
        let asked = Arc::clone(&asked);
        Trial::test(target.name, move || {
            let inputs = fuzz(target, watch, time).map_err(failed)?;
            asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(inputs);
            Ok(())
        })
    }));
    let conclusion = libtest_mimic::run(&arguments, trials);
    let asked = asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .join("\n");
    if !asked.is_empty() {
        say(&asked);
    }
    conclusion.exit_if_failed();
    Ok(())
}

/// Asks the target, and says how many inputs it was given.
fn fuzz(target: &Target, watch: &Watch, time: Duration) -> anyhow::Result<String> {
    watch.most();
    let seeds = inputs::seeds(target)?;
    ensure!(
        !seeds.is_empty(),
        "{} has nothing to begin with",
        target.name
    );
    let mut large = inputs::large(&seeds, time > SHORT);
    large.extend(inputs::long(&seeds, time > SHORT));
    for input in inputs::ALWAYS
        .iter()
        .copied()
        .chain(seeds.iter().chain(&large).map(Vec::as_slice))
    {
        watch.run(target, input)?;
    }
    let (start, mut asked) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        // Anew each time: it counts its cases over all runs.
        let mut runner = TestRunner::new(Config {
            cases: BATCH,
            failure_persistence: None,
            max_shrink_time: 20_000,
            ..Config::default()
        });
        let outcome = runner.run(&changes::of(&seeds), |input| {
            let outcome = watch.run(target, &input);
            outcome.map_err(|error| TestCaseError::fail(format!("{error:#}")))
        });
        match outcome {
            Ok(()) => {}
            // The input stands in the reason.
            Err(TestError::Fail(reason, _)) => bail!("{reason}"),
            Err(TestError::Abort(reason)) => bail!("given up: {reason}"),
        }
        asked += BATCH;
    }
    let fixed = inputs::ALWAYS.len() + seeds.len() + large.len();
    let Most { cpu, memory } = watch.most();
    Ok(format!(
        "{}: {fixed} inputs and {asked} changes, at most {cpu:.1?} and {} KiB",
        target.name,
        memory >> 10
    ))
}

/// A target that `cargo fuzz` cannot find is not fuzzed.
fn every_target_has_its_binary() -> anyhow::Result<()> {
    let folder = inputs::repository().join("controller/verify/fuzz");
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml"))?;
    let binaries = manifest.matches("[[bin]]").count();
    ensure!(
        binaries == targets::ALL.len(),
        "{binaries} binaries are listed"
    );
    for Target { name, .. } in targets::ALL {
        let path = format!("fuzz_targets/{name}.rs");
        let listed = format!("name = \"{name}\"\npath = \"{path}\"");
        ensure!(manifest.contains(&listed), "{name} is not listed");
        let source = std::fs::read_to_string(folder.join(path))?;
        ensure!(source.contains("fuzz_target!"), "{name} is no target");
    }
    Ok(())
}

/// What one bundle takes while it is judged, besides its own bytes: what operators are told who raise
/// `limits.sbomMebibytes`.
fn a_long_bill_is_held_four_times() -> anyhow::Result<()> {
    const PACKAGES: usize = 20_000;
    let bundle = targets::long_bill(PACKAGES);
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let components = targets::packages(&bundle);
    let held = MEMORY.peak_usage().saturating_sub(before);
    ensure!(components == Some(PACKAGES as u64), "{components:?}");
    let length = bundle.len();
    ensure!(held <= 4 * length, "{held} bytes for {length}");
    say(&format!("a bundle of {length} bytes takes {held} besides"));
    Ok(())
}

/// The targets that read statements and their predicates.
fn statements() -> impl Iterator<Item = &'static Target> {
    const KINDS: [&str; 7] = [
        "slsa",
        "spdx",
        "cyclonedx",
        "scan",
        "vex",
        "verdict",
        "pipeline",
    ];
    let all = targets::ALL.iter();
    all.filter(|target| KINDS.contains(&target.name))
}

/// Whatever list is long: it is decoded, and copied for its signature, and no more. Anybody who may
/// push can attach it.
fn lists_of_nothing_take_no_memory() -> anyhow::Result<()> {
    const TIMES: usize = 10;
    let statement = targets::ALL
        .iter()
        .filter(|target| target.name == "statement");
    for target in statements().chain(statement) {
        for input in inputs::hollow(&inputs::seeds(target)?) {
            MEMORY.reset_peak_usage();
            let before = MEMORY.current_usage();
            (target.run)(&input);
            let held = MEMORY.peak_usage().saturating_sub(before);
            let start = String::from_utf8_lossy(input.get(..200).unwrap_or(&input)).into_owned();
            let (name, length) = (target.name, input.len());
            ensure!(
                held <= watch::MEMORY + TIMES * length,
                "{name}: {length} bytes take {held}: {start}"
            );
        }
    }
    Ok(())
}

/// A predicate that is refused at its first word leads nowhere.
fn every_seed_is_read() -> anyhow::Result<()> {
    for target in statements() {
        for seed in target.seeds {
            let problem = targets::unread(seed.as_bytes());
            ensure!(problem.is_none(), "{}: {problem:?}: {seed}", target.name);
        }
    }
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "this is the signature that map_err wants"
)]
fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
