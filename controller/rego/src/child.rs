//! The other side of the sandbox: this program, started once more to read and ask rules, and able to
//! do nothing else.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::job::{Answer, Job};

/// The first argument of a program that was started as a child. Nobody types it.
pub(crate) const WORD: &str = "--answer-rules";

/// Most memory that it may take, in bytes, besides what the program itself needs. There is one child
/// at a time.
pub const MEMORY: usize = 48 << 20;
/// Most that its calls may be nested, in bytes, whatever it was started with.
const STACK: u64 = 8 << 20;
/// Most processor time, in seconds. It is killed long before; this ends it where whoever started it
/// was killed first.
const SECONDS: u64 = 3;
/// Files that may be open: the three that it is given. So it opens none, and no socket either.
const FILES: u64 = 3;
/// Longest job: four times what may be asked, since JSON in JSON grows by its quotation marks.
const JOB_LIMIT: u64 = 16 << 20;

/// Whether this program was started to answer rules: then `main` calls [`serve`] before it does
/// anything else, above all before it starts threads.
#[must_use]
pub fn is_child() -> bool {
    std::env::args_os().nth(1).as_deref() == Some(OsStr::new(WORD))
}

/// Takes its limits, reads one job from stdin and writes the answers to stdout.
#[must_use]
pub fn serve() -> ExitCode {
    if confine().is_err() {
        return ExitCode::FAILURE;
    }
    let mut text = String::new();
    let read = std::io::stdin().take(JOB_LIMIT).read_to_string(&mut text);
    let job = read
        .ok()
        .and_then(|_| serde_json::from_str::<Job>(&text).ok());
    let Some(job) = job else {
        return ExitCode::FAILURE;
    };
    let mut output = std::io::stdout().lock();
    job.work(|answer| write(&mut output, &answer).is_ok());
    ExitCode::SUCCESS
}

fn write(output: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

fn confine() -> rustix::io::Result<()> {
    let limits = [
        (Resource::Data, MEMORY as u64),
        (Resource::Stack, STACK),
        (Resource::Cpu, SECONDS),
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
    ];
    for (resource, most) in limits {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}
