//! The operator starts with nothing but the chart's rights, and says that it is alive.

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use lockmaster_tests::operator::{Operator, OperatorOptions};
use lockmaster_tests::product::Product;

use crate::beds::{Bare, Beds};

/// What a log line about a missing right of the chart speaks of.
const OURS: [&str; 4] = [
    "lockmaster.dev",
    "admissionregistration",
    "namespaces is",
    "events",
];

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.bare("start::the_chart_grants_enough", starts)]
}

async fn starts(bare: &Bare) -> anyhow::Result<()> {
    let options = OperatorOptions::default();
    let operator = Operator::start(&bare.cluster, &Product::build()?, &options).await?;
    let log = std::fs::read_to_string(operator.log()).context("failed to read its log")?;
    let refused = log.lines().find(|line| {
        line.contains("forbidden") && OURS.iter().any(|resource| line.contains(resource))
    });
    ensure!(
        refused.is_none(),
        "the chart grants too little: {refused:?}"
    );
    ensure!(!operator.metrics().await?.is_empty(), "no metrics");
    operator.terminate();
    Ok(())
}
