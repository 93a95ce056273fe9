//! The life and death of child processes.

use std::io::BufRead as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use lockmaster_tests::child::{Child, ChildSpec};

use crate::{Bed, PARENT, PATIENCE};

/// Runs as a process of its own: starts a child, tells its id, and waits to be killed.
#[expect(
    clippy::print_stdout,
    reason = "the process that started this one reads the id"
)]
pub(crate) fn play_parent() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let spec = ChildSpec::new("sleep", "sleep").argument("600");
    let child = Child::spawn(&spec, directory.path())?;
    println!("{}", child.pid());
    std::thread::sleep(Duration::from_mins(10));
    Ok(())
}

pub(crate) fn children_die_with_their_parent() -> anyhow::Result<()> {
    let mut parent = Command::new(std::env::current_exe()?)
        .env(PARENT, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    let output = parent.stdout.take().context("no output")?;
    std::io::BufReader::new(output).read_line(&mut line)?;
    let process = format!("/proc/{}/cmdline", line.trim());
    let command = || std::fs::read_to_string(&process).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    while !command().starts_with("sleep") {
        ensure!(
            Instant::now() < deadline,
            "the child did not start: {:?}",
            command()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    parent.kill()?;
    parent.wait()?;
    let deadline = Instant::now() + Duration::from_secs(2);
    // A zombie has an empty command line.
    while !command().is_empty() {
        ensure!(
            Instant::now() < deadline,
            "the child {} outlives its parent",
            line.trim()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

pub(crate) async fn a_failed_start_shows_the_log(_: &Bed) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let spec = ChildSpec::new("ls", "ls").argument("/does/not/exist");
    let child = Child::spawn(&spec, directory.path())?;
    let Err(error) = child.wait_until(PATIENCE, async || false).await else {
        bail!("a program that ended counts as ready")
    };
    ensure!(error.to_string().contains("/does/not/exist"), "{error}");
    Ok(())
}
