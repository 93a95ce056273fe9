//! `kubectl promote`: ask for promotions, see why they wait, decide about them.
//!
//! Everything is read and written with the rights of whoever calls it. Nothing here changes what a
//! workload runs: the operator alone does that. Read [`args`] for the commands, then
//! `commands/<name>.rs`.

mod args;
mod cluster;
mod commands;
mod failure;
mod identity;
mod output;
mod plan;
mod read;
mod slot;
mod stage;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use crate::args::Arguments;
use crate::failure::{Exit, Failure};

fn main() -> ExitCode {
    // Rules in Rego are asked by this program once more, in a process that does nothing else.
    if lockmaster_rego::is_child() {
        return lockmaster_rego::serve();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(error) => {
            let Failure { exit, message } = failure::of(&error);
            output::note(&format!("error: {message}"));
            exit.into()
        }
    }
}

/// Help goes to stdout and is no failure; a wrong command line is exit code 1, since 2 means that a
/// gate failed.
fn usage(error: &clap::Error) -> ExitCode {
    // Where even this cannot be written there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Failed.into()
    } else {
        Exit::Done.into()
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    // Only fails when one is installed already, and that one is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    let timeout = arguments.command.timeout();
    let outcome = runtime.block_on(async {
        let command = commands::run(arguments.command);
        let Some(timeout) = timeout else {
            return command.await;
        };
        let limit = timeout.duration().unsigned_abs();
        tokio::time::timeout(limit, command)
            .await
            .unwrap_or_else(|_| {
                let text = format!("not done after {timeout} (--timeout)");
                Err(Failure::new(Exit::Timeout, text).into())
            })
    });
    // A question on the terminal may still be open in another thread; nobody waits for its answer.
    runtime.shutdown_background();
    outcome
}
