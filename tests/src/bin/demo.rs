//! `cargo demo`: signed images go through three environments of a real API server on this machine,
//! and everything that must not pass is seen to be refused.
//!
//! It plays the scenarios of [`lockmaster_tests::scenario`], which the end-to-end tests assert, and
//! then stays up to be played with. `cargo demo -- --once` ends by itself; its exit status is 0 only
//! when every scenario ended as it must.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, bail};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::environment_file::EnvironmentFile;
use lockmaster_tests::interruption::unless_interrupted;
use lockmaster_tests::product::Product;
use lockmaster_tests::progress::say;
use lockmaster_tests::scenario::{self, Scenario, Show};
use lockmaster_tests::tools::Tools;
use lockmaster_tests::{launch, progress};

/// How many scenarios ended as they must, and how many did not.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

fn main() -> ExitCode {
    launch::intercept();
    match start() {
        // An interruption is how the demo ends where it stays up.
        Ok(None | Some(Tally { failed: 0, .. })) => ExitCode::SUCCESS,
        Ok(Some(_)) => ExitCode::FAILURE,
        Err(error) => progress::exit_code(Err(error)),
    }
}

fn start() -> anyhow::Result<Option<Tally>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = match arguments.as_slice() {
        [] => false,
        [flag] if flag == "--once" => true,
        other => bail!(
            "unknown arguments: {}; there is only --once, which ends the demo by itself",
            other.join(" ")
        ),
    };
    let (tools, product) = (Tools::ensure()?, Product::build()?);
    let environment = EnvironmentFile::new()?;
    tokio::runtime::Runtime::new()
        .context("failed to start the runtime")?
        .block_on(unless_interrupted(run(
            &tools,
            &product,
            &environment,
            once,
        )))
}

async fn run(
    tools: &Tools,
    product: &Product,
    environment: &EnvironmentFile,
    once: bool,
) -> anyhow::Result<Tally> {
    let started = Instant::now();
    say("Starting a Kubernetes control plane, two registries and the operator (about 15 s) …");
    let bed = Bed::start(tools, product).await?;
    introduce(&bed);
    if !once {
        environment.write(&bed)?;
    }
    let tally = play(&bed).await;
    say(&format!(
        "\nThat took {} s, {} of them to start everything.",
        started.elapsed().as_secs(),
        bed.start_took.as_secs()
    ));
    if once {
        say(&format!("{} passed, {} failed", tally.passed, tally.failed));
        return Ok(tally);
    }
    invite(tally, environment);
    std::future::pending::<()>().await;
    drop(bed);
    Ok(tally)
}

fn introduce(bed: &Bed) {
    say(&format!(
        "\nRunning on loopback, all of it real but nodes and pods:\n  \
         API server        {}\n  \
         registry          {}, with the referrers API\n  \
         registry          {}, without (signatures lie under tags)\n  \
         operator          as ServiceAccount lockmaster-system/lockmaster, with the chart's rights\n  \
         bob@corp          asks for promotions\n  \
         alice, carol      release managers\n  \
         mallory@corp      may edit everything in the product's namespace\n\
         A product is built once. Its digest goes from dev to staging to prod, if it may.",
        bed.cluster.server(),
        bed.registry.address(),
        bed.fallback.address()
    ));
}

/// Plays every scenario of the demo, one after the other.
async fn play(bed: &Bed) -> Tally {
    let mut tally = Tally::default();
    let shown = scenario::all()
        .into_iter()
        .filter(|scenario| scenario.in_demo);
    for (number, scenario) in shown.enumerate() {
        if one(bed, number + 1, &scenario).await {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
    tally
}

/// Plays one scenario; whether it ended as it must.
async fn one(bed: &Bed, number: usize, scenario: &Scenario) -> bool {
    let Scenario { name, title, .. } = scenario;
    say(&format!("\n{number}. {title}  (namespace {name})\n"));
    let started = Instant::now();
    let outcome = (scenario.play)(bed, &Show { aloud: true }).await;
    let took = started.elapsed().as_secs_f32();
    match &outcome {
        Ok(()) => say(&format!("  ✔ {name} ended as it must ({took:.1} s)")),
        Err(error) => say(&format!(
            "  ✘ {name} did not end as it must ({took:.1} s): {error:#}"
        )),
    }
    outcome.is_ok()
}

fn invite(tally: Tally, environment: &EnvironmentFile) {
    say(&format!(
        "{} passed, {} failed. Everything stays up until Ctrl-C. In another terminal:\n\n  \
         source {}\n  \
         kubectl get promotions -A\n  \
         kubectl promote explain checkout-1.0.2-staging -n refused\n  \
         kubectl promote status -n three-environments\n  \
         kubectl get promotionrecords -n three-environments\n  \
         curl -s $METRICS | grep ^lockmaster_promotions\n\n\
         You are the administrator there; KUBECONFIG=$KUBECONFIG_REQUESTER makes you bob@corp, and\n\
         KUBECONFIG=$KUBECONFIG_APPROVER alice@corp.",
        tally.passed,
        tally.failed,
        environment.path().display()
    ));
}
