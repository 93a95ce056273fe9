//! The benchmark, shortened: its counts are exact whatever else the machine does. Times are for
//! `cargo bench -p lockmaster-tests --bench verify`.

use anyhow::ensure;
use libtest_mimic::Trial;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::benchmark::{self, Plan};
use lockmaster_tests::progress;

use crate::beds::Beds;

/// Most that memory grows while a registry sends bytes without end.
const MEMORY_LIMIT: u64 = 32 << 20;
/// What the sending side may take of that measurement: it is in this process, with up to 400 KiB of
/// write buffer and a chunk of 64 KiB for each of its connections.
const SENDER: u64 = 4 << 20;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.exclusive("benchmark::counts_and_memory", shortened)]
}

/// Subject, referrers, three manifests, three bundles; nothing for what is known; and the same eight
/// for any number of Environments.
async fn shortened(bed: &Bed) -> anyhow::Result<()> {
    let report = benchmark::run(&bed.tools, &Plan::SHORT).await?;
    progress::line(&report.to_string());
    let counts = (
        report.requests_cold,
        report.requests_warm,
        report.requests_many,
    );
    ensure!(counts == (8, 0, 8), "{report}");
    ensure!(report.hostile_growth <= MEMORY_LIMIT + SENDER, "{report}");
    Ok(())
}
