//! A few hundred signed images: the verdict is cosign's, or the difference is explained.

use anyhow::ensure;
use libtest_mimic::Trial;
use lockmaster_tests::{differential, progress};

use crate::beds::Beds;

/// As many as the promise names, at least.
const IMAGES: usize = 200;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    let _ = beds;
    vec![Trial::test("differential::cosign_says_the_same", || {
        let tools = lockmaster_tests::tools::Tools::ensure().map_err(|e| format!("{e:#}"))?;
        let rt = tokio::runtime::Runtime::new().map_err(|e| format!("{e:#}"))?;
        rt.block_on(beside_cosign(&tools))
            .map_err(|e| format!("{e:#}").into())
    })]
}

async fn beside_cosign(tools: &lockmaster_tests::tools::Tools) -> anyhow::Result<()> {
    let report = differential::run(tools).await?;
    progress::line(&report.to_string());
    let problems = report.problems.join("\n");
    ensure!(report.problems.is_empty(), "{report}\n{problems}");
    ensure!(report.images >= IMAGES, "{report}");
    Ok(())
}
