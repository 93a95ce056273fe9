//! Runs one input and looks at what it took: no panic, no long time, no lot of memory.

use std::fmt::Write as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use lockmaster_tests::progress;
use rustix::time::{ClockId, clock_gettime};

use crate::MEMORY as ALLOCATOR;
use crate::targets::Target;

/// CPU time that one input may take, in a build without optimisation. Inputs have at most 128 KiB:
/// what is not linear takes longer.
const CPU: Duration = Duration::from_secs(1);

/// Memory that one input may hold at a time, besides [`TIMES`] what it has itself.
pub(crate) const MEMORY: usize = 3 << 20;

/// How often it may be held over. The largest bundle is 16 MiB, and a pod has 128: what is one text
/// is read, decoded and copied for its signature, and a target asks for several forms of it.
pub(crate) const TIMES: usize = 16;

/// Whoever has not ended by then hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// What runs now, for whoever waits too long.
type Running = Arc<Mutex<Option<(Instant, String)>>>;

/// The most that an input took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Most {
    /// CPU time.
    pub(crate) cpu: Duration,
    /// Bytes held at a time.
    pub(crate) memory: usize,
}

/// Watches inputs, one at a time.
pub(crate) struct Watch {
    running: Running,
    panicked: Arc<Mutex<String>>,
    most: Mutex<Most>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// From here on panics are kept instead of printed.
    pub(crate) fn start() -> Self {
        let running = Running::default();
        let watched = Arc::clone(&running);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                if let Some((since, input)) = &*lock(&watched)
                    && since.elapsed() > PATIENCE
                {
                    progress::line(&format!("no end after {PATIENCE:?}: {input}"));
                    std::process::abort();
                }
            }
        });
        let panicked = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&panicked);
        panic::set_hook(Box::new(move |info| *lock(&kept) = info.to_string()));
        Self {
            running,
            panicked,
            most: Mutex::default(),
        }
    }

    /// The most that any input took since this was asked last.
    pub(crate) fn most(&self) -> Most {
        std::mem::take(&mut *lock(&self.most))
    }

    /// Gives the input to the target.
    pub(crate) fn run(&self, target: &Target, input: &[u8]) -> anyhow::Result<()> {
        *lock(&self.running) = Some((Instant::now(), shown(target, input)));
        ALLOCATOR.reset_peak_usage();
        let (before, start) = (ALLOCATOR.current_usage(), cpu());
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        let (took, held) = (cpu().saturating_sub(start), ALLOCATOR.peak_usage());
        let held = held.saturating_sub(before);
        *lock(&self.running) = None;
        let mut most = lock(&self.most);
        most.cpu = most.cpu.max(took);
        most.memory = most.memory.max(held);
        drop(most);
        if outcome.is_err() {
            bail!("{}: {}", shown(target, input), lock(&self.panicked));
        }
        ensure!(took <= CPU, "{}: it took {took:?}", shown(target, input));
        ensure!(
            held <= MEMORY + TIMES * input.len(),
            "{}: it held {held} bytes",
            shown(target, input)
        );
        Ok(())
    }
}

/// CPU time of this thread: the machine may be busy with something else.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// The input as a byte string that can be pasted into a test.
fn shown(target: &Target, input: &[u8]) -> String {
    const SHOWN: usize = 1500;
    let mut text = format!("{} (target {}) given b\"", input.len(), target.name);
    for byte in input.iter().take(SHOWN) {
        let _ = write!(text, "{}", byte.escape_ascii());
    }
    text.push_str(if input.len() > SHOWN { "\"..." } else { "\"" });
    text
}
