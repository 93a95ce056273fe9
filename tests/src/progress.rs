//! Lines for the person who waits or watches: the one place of the library that prints.

use std::io::Write as _;
use std::process::ExitCode;

/// The exit status of a binary. An error is one line without a backtrace: it tells a person what to
/// do, whatever `RUST_BACKTRACE` says.
#[must_use]
pub fn exit_code(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints one line of progress to stderr.
#[expect(
    clippy::print_stderr,
    reason = "telling a waiting person what takes minutes is its work"
)]
pub fn line(text: &str) {
    eprintln!("{text}");
}

/// Prints one line of what is shown to stdout. Nobody reading any more is no reason to stop.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
