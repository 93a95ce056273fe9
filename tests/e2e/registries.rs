//! Evidence is found in both kinds of registries, in both forms of a bill of materials.

use anyhow::ensure;
use libtest_mimic::Trial;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::State;
use lockmaster_tests::bed::Bed;
use lockmaster_tests::cosign::Format;
use lockmaster_tests::evidence::{Provenance, cyclonedx};
use lockmaster_tests::image::Image;
use lockmaster_tests::shop::{BUILDER, COMMIT, REPOSITORY, Rules, Shop};

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.shared("registries::the_fallback_tag_is_read", fallback)]
}

/// A registry without the referrers API: cosign lists what is attached under a tag, and the operator
/// reads that. Its gates say the same as with the API.
async fn fallback(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "fallback", &Rules::default()).await?;
    let image = Image::push(&bed.tools, &bed.fallback, &shop.repository(), "proven").await?;
    shop.sign(&image).await?;
    let says = Provenance::new(REPOSITORY, "1.0.0", COMMIT, BUILDER);
    shop.attest_provenance(&image, &says).await?;
    let (key, bill) = (&bed.keys.ci, cyclonedx("checkout", 7));
    bed.cosign
        .attest(&image, key, "cyclonedx", &bill, Format::Bundle)
        .await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    let status = shop.promote_with_success("1.0.0", "staging").await?;
    for name in ["signature", "provenance", "sbom"] {
        let valid = |gate: &&lockmaster_core::gate::GateReport| {
            gate.name == name && gate.reason == Reason::EvidenceValid
        };
        ensure!(
            status.gates.iter().any(|gate| valid(&gate)),
            "expected gate {name} to find valid evidence, saw {:?}",
            status.gates
        );
    }
    let runs = shop.image_of("staging").await?;
    ensure!(runs == image.reference(), "staging runs {runs}");
    // Without anything attached there is no such tag, and that is no error of the registry.
    let bare = Image::push(&bed.tools, &bed.fallback, &shop.repository(), "bare").await?;
    shop.apply(&[shop.release("1.0.1", &bare)]).await?;
    let name = shop.promote("1.0.1", "staging").await?;
    let missing = |status: &lockmaster_core::status::PromotionStatus| {
        let mut gates = status.gates.iter();
        status.state == State::Blocked && gates.any(|gate| gate.reason == Reason::SignatureMissing)
    };
    shop.wait(&name, missing).await?;
    Ok(())
}
