//! The commands, one per file.

mod abort;
mod create;
mod decide;
mod explain;
mod init;
mod status;
mod verify;
mod wait;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use lockmaster_core::approval::Vote;

use crate::args::Command;
use crate::failure::{Exit, Failure};
use crate::output;

/// Field manager of everything but decisions. Never `kubectl…`: Flux strips what such managers
/// wrote.
const FIELD_MANAGER: &str = "promotion-cli";

/// Runs one.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Create(arguments) => create::run(arguments).await,
        Command::Explain(arguments) => explain::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Approve(arguments) => decide::run(arguments, Vote::Approve).await,
        Command::Reject(arguments) => decide::run(arguments, Vote::Reject).await,
        Command::Abort(arguments) => abort::run(arguments).await,
        Command::Verify(arguments) => verify::run(arguments).await,
    }
}

/// Asks on the terminal. Without one there is nobody to ask, and `--yes` must have been given.
async fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        let text = "there is no terminal to ask on; add --yes if you mean it";
        return Err(Failure::usage(text).into());
    }
    let prompt = format!("{} [y/N] ", output::clean(question));
    let answer = tokio::task::spawn_blocking(move || {
        let mut stderr = std::io::stderr().lock();
        stderr.write_all(prompt.as_bytes())?;
        stderr.flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok::<_, std::io::Error>(line)
    });
    let line = answer
        .await
        .context("failed to ask")?
        .context("failed to ask")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Largest file that is read: a snapshot of a large Environment has a few hundred KiB.
const FILE_LIMIT: u64 = 32 << 20;

/// Reads a text file, or stdin for `-`.
fn read_file(path: &Path) -> anyhow::Result<String> {
    use std::io::Read as _;
    let shown = path.display();
    let reader: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("failed to open {shown}"))?)
    };
    let mut text = String::new();
    let read = reader
        .take(FILE_LIMIT + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("failed to read {shown}"))?;
    if read as u64 > FILE_LIMIT {
        return Err(Failure::usage(format!("{shown} is larger than 32 MiB")).into());
    }
    Ok(text)
}
