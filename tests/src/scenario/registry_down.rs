//! The registry is down: nothing is known, so nothing passes; when it is back, it goes on by itself.

use lockmaster_core::gate::Verdict;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::State;

use super::checks::{build, gate, generation, held, promote_through, untouched};
use super::{Scenario, Show};
use crate::bed::Bed;
use crate::registry::Registry;
use crate::shop::{Rules, Shop};

const NAME: &str = "registry-down";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "a registry that does not answer is no proof: it waits, and goes on when it is back",
    in_demo: true,
    exclusive: true,
    play: |bed, show| Box::pin(play(bed, show)),
};

/// Brings the registry back however the scenario ends: others need it.
struct Down<'a>(&'a Registry);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.start_again();
    }
}

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let shop = Shop::open(bed, NAME, &Rules::default()).await?;
    build(&shop, "1.0.0", true).await?;
    promote_through(&shop, "1.0.0", &["dev"]).await?;
    let before = generation(&shop, "staging").await?;
    show.step("the registry goes down, and bob promotes into staging");
    let down = Down(&bed.registry);
    bed.registry.stop();
    let name = shop.promote("1.0.0", "staging").await?;
    let unknown = ("signature", Reason::RegistryUnavailable);
    let status = held(&shop, &name, State::Blocked, unknown).await?;
    let verdict = gate(&status, "signature")?.verdict;
    anyhow::ensure!(
        verdict == Verdict::Unknown,
        "expected the verdict Unknown for what cannot be read, saw {verdict:?}"
    );
    let bob = &bed.people.bob;
    show.command(&shop, bob, &["promote", "explain", &name])
        .await?;
    untouched(&shop, "staging", before).await?;
    show.step("it is back:");
    drop(down);
    shop.wait_for(&name, State::Succeeded).await?;
    show.command(&shop, bob, &["get", "promotions"]).await
}
