//! Wall time, CPU time, memory: of this process and of the children it waited for.

use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Clock ticks of `/proc/self/stat` in a second: 100 on every Linux (`getconf CLK_TCK`).
const TICKS: u64 = 100;
/// Bytes of a page, as `/proc/self/statm` counts.
const PAGE: u64 = 4096;

/// What something took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Wall time.
    pub wall: Duration,
    /// CPU time of this process and of children that have ended.
    pub cpu: Duration,
}

/// A measurement that is under way.
pub(super) struct Meter {
    start: Instant,
    cpu: Duration,
}

impl Meter {
    pub(super) fn start() -> anyhow::Result<Self> {
        let cpu = cpu()?;
        let start = Instant::now();
        Ok(Self { start, cpu })
    }

    pub(super) fn stop(self) -> anyhow::Result<Cost> {
        let wall = self.start.elapsed();
        let cpu = cpu()?.saturating_sub(self.cpu);
        Ok(Cost { wall, cpu })
    }
}

/// The middle one, of wall and CPU time each.
pub(super) fn median(costs: &[Cost]) -> anyhow::Result<Cost> {
    let middle = |pick: fn(&Cost) -> Duration| {
        let mut all: Vec<_> = costs.iter().map(pick).collect();
        all.sort_unstable();
        all.get(all.len() / 2)
            .copied()
            .context("nothing was measured")
    };
    Ok(Cost {
        wall: middle(|cost| cost.wall)?,
        cpu: middle(|cost| cost.cpu)?,
    })
}

/// utime, stime, cutime and cstime (proc(5), fields 14 to 17).
fn cpu() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat").context("failed to read CPU times")?;
    // The name, in brackets, may hold spaces.
    let (_, rest) = text.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let times = fields.get(11..15).context("too few fields in stat")?;
    let mut ticks = 0;
    for time in times {
        let time: u64 = time.parse().context("a CPU time is no number")?;
        ticks += time;
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// Anonymous memory of this process in bytes: resident less shared.
pub(super) fn memory() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("failed to read memory")?;
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let mut next = || fields.next().context("too few fields in statm");
    let (resident, shared) = (next()?, next()?);
    let resident = resident.context("memory is no number")?;
    let shared = shared.context("memory is no number")?;
    Ok(resident.saturating_sub(shared) * PAGE)
}
