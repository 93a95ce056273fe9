//! The promises of the README, kept on a real API server, real registries and the real operator.
//!
//! `cargo test -p lockmaster-tests --test e2e NAME` runs those with NAME in their name. Nothing is
//! started before a test asks for it; see [`beds`]. A new module is a file, a `mod` line, and a
//! line in `main`.

#![expect(
    clippy::indexing_slicing,
    reason = "indexing a JSON value that was just written makes the field, and never panics"
)]

use libtest_mimic::Arguments;
use lockmaster_tests::launch;

mod bad_input;
mod beds;
mod benchmark;
mod differential;
mod guard_cases;
mod keyless;
mod memory;
mod registries;
mod requests;
mod reverification;
mod revocation;
mod rights;
mod scenarios;
mod start;
mod tenancy;
mod verify;
// One table for the parsers, the schemas and the API server.
#[path = "../it/values.rs"]
mod values;

use beds::Beds;

fn main() -> anyhow::Result<()> {
    launch::intercept();
    let arguments = Arguments::from_args();
    let beds = Beds::new()?;
    let trials = [
        start::tests(&beds),
        guard_cases::tests(&beds),
        scenarios::tests(&beds),
        bad_input::tests(&beds),
        rights::tests(&beds),
        revocation::tests(&beds),
        reverification::tests(&beds),
        benchmark::tests(&beds),
        differential::tests(&beds),
        keyless::tests(&beds),
        tenancy::tests(&beds),
        registries::tests(&beds),
        requests::tests(&beds),
        memory::tests(&beds),
        verify::tests(&beds),
    ];
    let trials = trials.into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Before the exit, which runs no destructors: directories of the run are removed here.
    drop(beds);
    conclusion.exit_if_failed();
    Ok(())
}
