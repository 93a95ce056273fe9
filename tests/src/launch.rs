//! The launcher: how a child process is bound to the life of its parent without `unsafe`.
//!
//! A process may ask the kernel to be killed when its parent dies, but only for itself. So a child
//! first starts as *this* executable with the launcher word as first argument, asks for the death
//! signal, and then becomes the program that was wanted. The request survives the exec.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The first argument that makes this executable a launcher.
const WORD: &str = "__lockmaster_launch";

/// Whether [`intercept`] ran in this process, so that starting it as a launcher would work.
static INTERCEPTED: AtomicBool = AtomicBool::new(false);

/// To be called first in `main` of every binary that starts children.
///
/// It returns at once in the ordinary case. In a launcher process it never returns: the process
/// becomes the child, or ends with status 127 and a line on stderr.
pub fn intercept() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(WORD)) {
        INTERCEPTED.store(true, Ordering::SeqCst);
        return;
    }
    let Err(error) = become_child(arguments);
    crate::progress::line(&format!("failed to launch: {error:#}"));
    end(127);
}

/// The command that starts `program` so that it dies with the thread that spawns it.
///
/// # Errors
/// When `main` of this binary did not call [`intercept`].
pub(crate) fn command(program: &OsStr) -> anyhow::Result<Command> {
    if !INTERCEPTED.load(Ordering::SeqCst) {
        bail!("call lockmaster_tests::launch::intercept() first in `main` of this binary");
    }
    let executable = std::env::current_exe().context("failed to find this executable")?;
    let mut command = Command::new(executable);
    command
        .arg(WORD)
        .arg(std::process::id().to_string())
        .arg(program);
    Ok(command)
}

/// Asks for the death signal, then replaces this process with the program; returns only on failure.
fn become_child(
    mut arguments: impl Iterator<Item = OsString>,
) -> anyhow::Result<std::convert::Infallible> {
    let parent = arguments.next().context("no parent process id given")?;
    let parent: i32 = parent
        .to_string_lossy()
        .parse()
        .context("the parent id is no number")?;
    let program = arguments.next().context("no program given")?;
    set_parent_process_death_signal(Some(Signal::KILL)).context("failed to ask for the signal")?;
    // The parent may have died before the request: then nobody will send the signal.
    if getppid() != Pid::from_raw(parent) {
        bail!("the parent process has ended");
    }
    let error = Command::new(&program).args(arguments).exec();
    Err(error).with_context(|| format!("failed to run {}", program.display()))
}

/// Ends the launcher process.
#[expect(
    clippy::exit,
    reason = "a launcher process must never go on into the caller's main"
)]
fn end(code: i32) -> ! {
    std::process::exit(code)
}
