//! What runs is verified again: what is gone from the registry is said, and revokes nothing.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use libtest_mimic::Trial;
use lockmaster_core::evidence::COSIGN_SIGN;
use lockmaster_core::gate::Verdict;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{ConditionStatus, EnvironmentStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::image::Image;
use lockmaster_tests::referrer::{delete, withdraw};
use lockmaster_tests::shop::{Rules, Shop};

use crate::beds::Beds;
use crate::revocation::{condition, counted, event};

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.exclusive(
            "reverification::a_signature_that_is_withdrawn_alerts",
            withdrawn,
        ),
        beds.shared("reverification::an_image_that_is_gone_is_missing", missing),
    ]
}

/// An image that went through dev and staging with everything that is asked for.
async fn promoted(shop: &Shop<'_>) -> anyhow::Result<Image> {
    let image = shop.proven_image("good", "1.0.0").await?;
    shop.apply(&[shop.release("1.0.0", &image)]).await?;
    shop.promote_with_success("1.0.0", "dev").await?;
    shop.promote_with_success("1.0.0", "staging").await?;
    let good = (ConditionStatus::True, Reason::NotRevoked);
    condition(shop, "staging", "ArtifactVerified", good).await?;
    Ok(image)
}

/// Asks for a look before its turn, as a person would.
async fn look_again(shop: &Shop<'_>, stage: &str) -> anyhow::Result<()> {
    let pair = format!("lockmaster.dev/reconcile-at={}", Timestamp::now());
    let environment = shop.environment_name(stage);
    let resource = "environments.lockmaster.dev";
    let arguments = ["annotate", "--overwrite", resource, &environment, &pair];
    let output = shop
        .kubectl_as(shop.bed.cluster.admin(), &arguments)
        .await?;
    output.required("annotate an Environment").map(drop)
}

fn concern(status: &EnvironmentStatus) -> anyhow::Result<&str> {
    let concern = status.concerns.first().context("expected a concern")?;
    ensure!(concern.eligible, "expected an alert alone, saw {concern:?}");
    Ok(&concern.message)
}

async fn withdrawn(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "withdrawn", &Rules::default()).await?;
    let image = promoted(&shop).await?;
    let deleted = withdraw(&image, COSIGN_SIGN).await?;
    ensure!(deleted == 1, "expected one signature, deleted {deleted}");
    look_again(&shop, "staging").await?;
    let gone = (ConditionStatus::False, Reason::EvidenceWithdrawn);
    let status = condition(&shop, "staging", "ArtifactVerified", gone).await?;
    let said = concern(&status)?;
    ensure!(said.contains("attach it again"), "{said}");
    event(&shop, "staging", Reason::EvidenceWithdrawn).await?;
    counted(&shop, "staging", "evidence_withdrawn", "1").await?;
    // What was proven is remembered: it still goes on to prod.
    let status = shop.promote_with_success("1.0.0", "prod").await?;
    let signature = status.gates.iter().find(|gate| gate.name == "signature");
    let verdict = signature.map(|gate| gate.verdict);
    ensure!(
        verdict == Some(Verdict::Pass),
        "the signature gate says {verdict:?}"
    );
    // A new process remembers nothing but what was written, and comes to the same.
    bed.operator.lock().await.restart().await?;
    counted(&shop, "staging", "evidence_withdrawn", "1").await?;
    look_again(&shop, "prod").await?;
    condition(&shop, "prod", "ArtifactVerified", gone).await?;
    look_again(&shop, "staging").await?;
    condition(&shop, "staging", "ArtifactVerified", gone).await?;
    // Signed again, all is well.
    shop.sign(&image).await?;
    look_again(&shop, "staging").await?;
    let good = (ConditionStatus::True, Reason::NotRevoked);
    condition(&shop, "staging", "ArtifactVerified", good).await?;
    counted(&shop, "staging", "evidence_withdrawn", "0").await
}

async fn missing(bed: &Bed) -> anyhow::Result<()> {
    let shop = Shop::open(bed, "missing", &Rules::default()).await?;
    let image = promoted(&shop).await?;
    delete(&image).await?;
    look_again(&shop, "staging").await?;
    let gone = (ConditionStatus::False, Reason::ArtifactMissing);
    let status = condition(&shop, "staging", "ArtifactVerified", gone).await?;
    let said = concern(&status)?;
    ensure!(said.contains("push it again"), "{said}");
    event(&shop, "staging", Reason::ArtifactMissing).await?;
    counted(&shop, "staging", "artifact_missing", "1").await?;
    // What would be gone back to is looked at as well.
    let next = shop.proven_image("next", "1.1.0").await?;
    shop.apply(&[shop.release("1.1.0", &next)]).await?;
    shop.promote_with_success("1.1.0", "dev").await?;
    let promotion = shop.promote("1.1.0", "staging").await?;
    shop.wait_for(&promotion, State::Succeeded).await?;
    condition(&shop, "staging", "RollbackReady", gone).await?;
    let good = (ConditionStatus::True, Reason::NotRevoked);
    condition(&shop, "staging", "ArtifactVerified", good).await?;
    counted(&shop, "staging", "artifact_missing", "1").await
}
