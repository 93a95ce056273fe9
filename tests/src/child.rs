//! Child processes that never outlive their parent, each with its output in a log file.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How much of a log an error message shows: enough for a stack trace, little enough to read.
const LOG_TAIL_LINES: usize = 25;

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(20);

/// A spawn request for the spawner thread: what to start, and where to send the outcome.
type Request = (Command, mpsc::Sender<std::io::Result<Process>>);

/// What to start: program, arguments, environment, working directory.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// Name for messages and for the log file.
    pub name: String,
    /// Path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables added to the environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl ChildSpec {
    /// A child called `name` that runs `program`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn environment(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }
}

/// A running child. It is killed when this value is dropped and when this process dies in any way.
#[derive(Debug)]
pub struct Child {
    name: String,
    log: PathBuf,
    process: Mutex<Process>,
    pid: u32,
}

impl Child {
    /// Starts the child with stdout and stderr appended to `directory/NAME.log`.
    pub fn spawn(spec: &ChildSpec, directory: &Path) -> anyhow::Result<Self> {
        let log = directory.join(format!("{}.log", spec.name));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("failed to open {}", log.display()))?;
        let mut command = crate::launch::command(spec.program.as_os_str())?;
        command
            .args(&spec.arguments)
            .envs(spec.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("failed to share the log file")?)
            .stderr(file)
            .process_group(0);
        let process = spawn_on_lasting_thread(command)
            .with_context(|| format!("failed to start {}", spec.name))?;
        let pid = process.id();
        Ok(Self {
            name: spec.name.clone(),
            log,
            process: Mutex::new(process),
            pid,
        })
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The name given at the start.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with the child's output.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status, if the child has ended.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.process().try_wait().ok().flatten()
    }

    /// Kills the child with SIGKILL and waits for its end.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        let _ = self.process().wait();
    }

    /// Asks the child to end with SIGTERM; kills it when it has not ended within `patience`.
    pub fn terminate(&self, patience: Duration) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while self.exited().is_none() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        self.kill();
    }

    /// Stops the child in its tracks, as a frozen machine would, until [`Child::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until `ready` answers true.
    ///
    /// # Errors
    /// When the child ends before that or `patience` is over; the message shows the log's tail.
    pub async fn wait_until<F, R>(&self, patience: Duration, mut ready: F) -> anyhow::Result<()>
    where
        F: FnMut() -> R,
        R: Future<Output = bool>,
    {
        let deadline = Instant::now() + patience;
        while !ready().await {
            if let Some(status) = self.exited() {
                bail!("{} ended with {status}; {}", self.name, self.log_tail());
            }
            if Instant::now() > deadline {
                bail!(
                    "{} is not ready after {patience:?}; {}",
                    self.name,
                    self.log_tail()
                );
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// The last lines of the log, introduced by its path, for error messages.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(LOG_TAIL_LINES);
        let tail = lines.get(start..).unwrap_or_default().join("\n  ");
        format!("the end of {}:\n  {tail}", self.log.display())
    }

    /// Sends a signal to the child's process group, unless the child is already reaped.
    fn signal(&self, signal: Signal) {
        let mut process = self.process();
        if matches!(process.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Spawns on a thread that never ends: the kernel sends the parent-death signal when the *thread*
/// that made the child ends, so a worker thread of a runtime would not do.
fn spawn_on_lasting_thread(command: Command) -> anyhow::Result<Process> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, reply) in receiver {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, outcome) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, reply))
        .map_err(|_| anyhow!("the spawner thread has ended"))?;
    Ok(outcome.recv().context("the spawner thread has ended")??)
}
