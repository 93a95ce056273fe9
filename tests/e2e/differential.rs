//! A few hundred signed images: the verdict is cosign's, or the difference is explained.

use anyhow::ensure;
use libtest_mimic::Trial;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::{differential, progress};

use crate::beds::Beds;

/// As many as the promise names, at least.
const IMAGES: usize = 200;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.shared("differential::cosign_says_the_same", beside_cosign)]
}

async fn beside_cosign(bed: &Bed) -> anyhow::Result<()> {
    let report = differential::run(&bed.tools).await?;
    progress::line(&report.to_string());
    let problems = report.problems.join("\n");
    ensure!(report.problems.is_empty(), "{report}\n{problems}");
    ensure!(report.images >= IMAGES, "{report}");
    Ok(())
}
