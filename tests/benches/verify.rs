//! `cargo bench -p lockmaster-tests --bench verify`: evidence of 200 digests, cold and warm, beside
//! three cosign processes for each; takes about six minutes after the build.

use std::process::ExitCode;

use anyhow::Context as _;
use lockmaster_tests::benchmark::{self, Plan};
use lockmaster_tests::tools::Tools;
use lockmaster_tests::{launch, progress};

fn main() -> ExitCode {
    launch::intercept();
    progress::exit_code(start())
}

fn start() -> anyhow::Result<()> {
    let tools = Tools::ensure()?;
    let report = tokio::runtime::Runtime::new()
        .context("failed to start the runtime")?
        .block_on(benchmark::run(&tools, &Plan::FULL))?;
    progress::line(&report.to_string());
    Ok(())
}
