//! The test bed's own tests: what other tests rely on must hold, and is seen to fail where it must.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use libtest_mimic::{Arguments, Failed, Trial};
use lockmaster_tests::cluster::{Cluster, ClusterOptions};
use lockmaster_tests::image::Image;
use lockmaster_tests::registry::Registry;
use lockmaster_tests::sigstore::Sigstore;
use lockmaster_tests::tools::Tools;
use lockmaster_tests::{launch, progress};

mod identities;
mod logins;
mod processes;
mod proxies;
mod registries;
mod signing;
mod workloads;

use identities::{
    people_and_accounts_are_who_they_are, the_audit_log_tells_who_changed_what, the_chart_installs,
};
use logins::{a_registry_wants_a_password, a_token_opens_only_its_repository};
use processes::{a_failed_start_shows_the_log, children_die_with_their_parent, play_parent};
use proxies::a_proxy_counts_holds_and_cuts;
use registries::{
    a_registry_can_be_down, cosign_signs_on_both_registries, images_are_the_same_everywhere,
};
use signing::{
    a_managed_key_signs_with_proof_of_time, keyless_signing_by_a_person,
    keyless_signing_by_ci_names_its_source, the_older_format_can_be_keyless,
};
use workloads::{a_crash_digest_never_gets_ready, a_deployment_rolls_out_with_its_image_id};

/// Set in the process that plays a parent and is killed.
const PARENT: &str = "LOCKMASTER_SELFCHECK_PARENT";

/// Long enough for a slow machine, short enough to notice a hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    launch::intercept();
    if std::env::var_os(PARENT).is_some() {
        return play_parent();
    }
    let arguments = Arguments::from_args();
    let trials = if arguments.list {
        trials(None)
    } else {
        trials(Some(&Arc::new(Bed::start()?)))
    };
    libtest_mimic::run(&arguments, trials).exit_if_failed();
    Ok(())
}

/// What all checks share.
struct Bed {
    tools: Tools,
    cluster: Cluster,
    registry: Registry,
    fallback: Registry,
    good: Image,
    crash: Image,
    sigstore: tokio::sync::OnceCell<Sigstore>,
    // Last: everything above has tasks in it.
    runtime: tokio::runtime::Runtime,
}

impl Bed {
    fn start() -> anyhow::Result<Self> {
        let started = Instant::now();
        let tools = Tools::ensure()?;
        progress::line(&format!("tools {:?}", started.elapsed()));
        let runtime = tokio::runtime::Runtime::new()?;
        let (registry, fallback, good, crash, cluster) = runtime.block_on(async {
            let registry = Registry::with_referrers(&tools).await?;
            let fallback = Registry::without_referrers(&tools).await?;
            let good = Image::push(&tools, &registry, "shop/web", "good").await?;
            let crash = Image::push(&tools, &registry, "shop/web", "crash").await?;
            progress::line(&format!("registries and images {:?}", started.elapsed()));
            let crash_digests = vec![crash.digest.clone()];
            let options = ClusterOptions {
                audit: true,
                crash_digests,
            };
            let cluster = Cluster::start(&tools, options).await?;
            progress::line(&format!("control plane {:?}", started.elapsed()));
            anyhow::Ok((registry, fallback, good, crash, cluster))
        })?;
        Ok(Self {
            tools,
            cluster,
            registry,
            fallback,
            good,
            crash,
            sigstore: tokio::sync::OnceCell::new(),
            runtime,
        })
    }

    /// Built and started by the check that first asks for it.
    async fn sigstore(&self) -> anyhow::Result<&Sigstore> {
        let start = || Sigstore::start(&self.tools);
        self.sigstore.get_or_try_init(start).await
    }
}

/// All checks; without a bed they can only be listed.
fn trials(bed: Option<&Arc<Bed>>) -> Vec<Trial> {
    let mut trials = vec![Trial::test("children_die_with_their_parent", || {
        children_die_with_their_parent().map_err(failed)
    })];
    macro_rules! with_bed {
        ($($name:ident)*) => {$({
            let bed = bed.map(Arc::clone);
            trials.push(Trial::test(stringify!($name), move || {
                let bed = bed.context("no test bed").map_err(failed)?;
                bed.runtime.block_on($name(&bed)).map_err(failed)
            }));
        })*};
    }
    with_bed! {
        a_deployment_rolls_out_with_its_image_id
        a_crash_digest_never_gets_ready
        images_are_the_same_everywhere
        cosign_signs_on_both_registries
        a_registry_can_be_down
        a_registry_wants_a_password
        a_token_opens_only_its_repository
        keyless_signing_by_a_person
        keyless_signing_by_ci_names_its_source
        a_managed_key_signs_with_proof_of_time
        the_older_format_can_be_keyless
        people_and_accounts_are_who_they_are
        a_proxy_counts_holds_and_cuts
        the_audit_log_tells_who_changed_what
        a_failed_start_shows_the_log
        the_chart_installs
    }
    trials
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "this is the signature that map_err wants"
)]
fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
