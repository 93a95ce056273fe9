//! What must not pass: each case is refused for its own reason, and nobody writes to the target.

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use lockmaster_core::environment::Tier;
use lockmaster_core::gate::GateReport;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::State;
use serde_json::json;

use super::checks::{
    self, build, gate, held, may_promote, no_write_to_targets, promote_as, set, set_label,
};
use super::{Scenario, Show};
use crate::bed::Bed;
use crate::cosign::Format;
use crate::evidence::{Provenance, spdx};
use crate::image::Image;
use crate::referrer::copy_referrers;
use crate::shop::{BUILDER, COMMIT, REPOSITORY, Rules, Shop};

const NAME: &str = "refused";

pub(super) const SCENARIO: Scenario = Scenario {
    name: NAME,
    title: "what is not proven, or not allowed, is refused with its own reason; no target is written",
    in_demo: true,
    exclusive: false,
    play: |bed, show| Box::pin(play(bed, show)),
};

/// cosign runs side by side: it spends its time starting.
const SIDE_BY_SIDE: usize = 4;

/// What is attached to an image.
#[derive(Debug, Clone, Copy)]
enum Attached {
    Nothing,
    SignatureOfAStranger,
    SignatureOfAnotherImage,
    OnlyAnSbom,
    OtherCommit,
    OtherRepository,
    UntrustedBuilder,
    NoSbom,
    SbomByTheSigner,
}

/// One image that must not pass, and what is said of it.
struct Case {
    version: &'static str,
    what: &'static str,
    attached: Attached,
    gate: &'static str,
    reason: Reason,
}

/// The evidence that is asked for from tier Staging on.
const CASES: [Case; 9] = [
    Case {
        version: "1.0.0",
        what: "an unsigned image",
        attached: Attached::Nothing,
        gate: "signature",
        reason: Reason::SignatureMissing,
    },
    Case {
        version: "1.0.1",
        what: "an image signed with a key of nobody's authority",
        attached: Attached::SignatureOfAStranger,
        gate: "signature",
        reason: Reason::SignerNotTrusted,
    },
    Case {
        version: "1.0.2",
        what: "another image's signature, copied onto this one",
        attached: Attached::SignatureOfAnotherImage,
        gate: "signature",
        reason: Reason::SignatureInvalid,
    },
    Case {
        version: "1.0.3",
        what: "an image whose only signature is that of an SBOM",
        attached: Attached::OnlyAnSbom,
        gate: "signature",
        reason: Reason::OnlyAttestationsFound,
    },
    Case {
        version: "1.0.4",
        what: "provenance of another commit",
        attached: Attached::OtherCommit,
        gate: "provenance",
        reason: Reason::ProvenanceMismatch,
    },
    Case {
        version: "1.0.5",
        what: "provenance of another repository",
        attached: Attached::OtherRepository,
        gate: "provenance",
        reason: Reason::SourceNotAllowed,
    },
    Case {
        version: "1.0.6",
        what: "provenance by a builder that the policy does not trust",
        attached: Attached::UntrustedBuilder,
        gate: "provenance",
        reason: Reason::BuilderNotTrusted,
    },
    Case {
        version: "1.0.7",
        what: "an image without an SBOM",
        attached: Attached::NoSbom,
        gate: "sbom",
        reason: Reason::SbomMissing,
    },
    Case {
        version: "1.0.8",
        what: "an SBOM attested by an authority that does not speak for SBOMs",
        attached: Attached::SbomByTheSigner,
        gate: "sbom",
        reason: Reason::SbomSignerNotTrusted,
    },
];

async fn play(bed: &Bed, show: &Show) -> anyhow::Result<()> {
    let shop = Shop::open(bed, NAME, &Rules::default()).await?;
    show.step("nine images go for staging, each with something wrong:");
    let findings: Vec<(&Case, GateReport)> = futures::stream::iter(&CASES)
        .map(|case| refused(&shop, case))
        .buffered(SIDE_BY_SIDE)
        .try_collect()
        .await?;
    for (case, found) in &findings {
        show.step(&format!(
            "- {}: {} ({})",
            case.what, found.reason, found.name
        ));
    }
    let bob = &bed.people.bob;
    show.command(&shop, bob, &["get", "promotions"]).await?;
    let copied = crate::shop::promotion_name("1.0.2", "staging");
    show.command(&shop, bob, &["promote", "explain", &copied])
        .await?;
    skipped(&shop, show).await?;
    unasked(&shop, show).await?;
    disguised(&shop, show).await?;
    no_write_to_targets(&shop, &["dev", "staging", "prod", "unasked", "disguised"])?;
    show.step("the audit log of the API server agrees: not one write to any target");
    Ok(())
}

/// One case: built, released, promoted, refused.
async fn refused<'a>(shop: &Shop<'_>, case: &'a Case) -> anyhow::Result<(&'a Case, GateReport)> {
    let version = case.version;
    let image = shop.image(version).await?;
    attach(shop, &image, case)
        .await
        .with_context(|| format!("failed to prepare {}", case.what))?;
    let release = shop.release(version, &image);
    shop.create_as(&shop.bed.people.bob, &release)
        .await?
        .required("create a Release as bob")?;
    let name = shop.promote(version, "staging").await?;
    let status = held(shop, &name, State::Blocked, (case.gate, case.reason))
        .await
        .with_context(|| case.what.to_owned())?;
    ensure!(
        status.blocked_by.as_deref() == Some(case.gate),
        "{}: expected to be blocked by {}, saw {:?}",
        case.what,
        case.gate,
        status.blocked_by
    );
    Ok((case, gate(&status, case.gate)?.clone()))
}

/// Attaches what the case says, and otherwise everything that is asked for.
async fn attach(shop: &Shop<'_>, image: &Image, case: &Case) -> anyhow::Result<()> {
    let (cosign, keys) = (&shop.bed.cosign, &shop.bed.keys);
    let honest = Provenance::new(REPOSITORY, case.version, COMMIT, BUILDER);
    match case.attached {
        Attached::Nothing => {}
        Attached::SignatureOfAStranger => {
            cosign.sign(image, &keys.stranger, Format::Bundle).await?;
        }
        Attached::SignatureOfAnotherImage => {
            let other = shop.proven_image("genuine", case.version).await?;
            let copied = copy_referrers(&other, image).await?;
            ensure!(copied == 3, "expected 3 referrers to copy, saw {copied}");
        }
        Attached::OnlyAnSbom => shop.attest_sbom(image).await?,
        Attached::OtherCommit | Attached::OtherRepository | Attached::UntrustedBuilder => {
            let lie = lie(honest, case.attached);
            shop.sign(image).await?;
            shop.attest_provenance(image, &lie).await?;
            shop.attest_sbom(image).await?;
        }
        Attached::NoSbom => {
            shop.sign(image).await?;
            shop.attest_provenance(image, &honest).await?;
        }
        Attached::SbomByTheSigner => {
            shop.sign(image).await?;
            shop.attest_provenance(image, &honest).await?;
            let sbom = spdx("checkout", 12);
            cosign
                .attest(image, &keys.release, "spdxjson", &sbom, Format::Bundle)
                .await?;
        }
    }
    Ok(())
}

fn lie(honest: Provenance, about: Attached) -> Provenance {
    match about {
        Attached::OtherCommit => Provenance {
            commit: "0badc0de".repeat(5),
            ..honest
        },
        Attached::OtherRepository => Provenance {
            // One letter more than the policy's.
            repository: format!("{REPOSITORY}s"),
            ..honest
        },
        Attached::UntrustedBuilder => Provenance {
            builder: format!("{BUILDER}/../laptop"),
            ..honest
        },
        Attached::Nothing
        | Attached::SignatureOfAStranger
        | Attached::SignatureOfAnotherImage
        | Attached::OnlyAnSbom
        | Attached::NoSbom
        | Attached::SbomByTheSigner => honest,
    }
}

/// A release with every proof, which staging has never seen.
async fn skipped(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    build(shop, "1.1.0", true).await?;
    let name = shop.promote("1.1.0", "prod").await?;
    let upstream = ("upstream", Reason::NotInUpstream);
    let status = held(shop, &name, State::Blocked, upstream).await?;
    let said = &gate(&status, "upstream")?.message;
    show.step(&format!("a release with every proof skips staging: {said}"));
    Ok(())
}

/// A workload whose owner was never asked.
async fn unasked(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    let mut target = shop.target("unasked");
    let deployment = target.last_mut().context("expected a workload")?;
    set(deployment, "/metadata/annotations", json!({}))?;
    shop.apply(&target).await?;
    shop.apply(&[shop.development("unasked")?]).await?;
    shop.apply(&may_promote(shop, "unasked")).await?;
    let name = shop.promote("1.1.0", "unasked").await?;
    let refused = ("target", Reason::NotAuthorizedByTarget);
    let status = held(shop, &name, State::Blocked, refused).await?;
    let said = &gate(&status, "target")?.message;
    show.step(&format!("a workload without consent: {said}"));
    Ok(())
}

/// An Environment that calls itself Development on a namespace that the platform team has labelled
/// Production: the rules for Production hold.
async fn disguised(shop: &Shop<'_>, show: &Show) -> anyhow::Result<()> {
    let mut target = shop.target("disguised");
    let namespace = target.first_mut().context("expected a namespace")?;
    set_label(namespace, "lockmaster.dev/tier", "Production")?;
    shop.apply(&target).await?;
    shop.apply(&[shop.development("disguised")?]).await?;
    shop.apply(&may_promote(shop, "disguised")).await?;
    let name = promote_as(shop, "checkout-disguised", "1.0.0", "disguised", &json!({})).await?;
    let refused = ("signature", Reason::SignatureMissing);
    let status = held(shop, &name, State::Blocked, refused).await?;
    let effective = |tier| tier == Some(Tier::Production);
    checks::environment(shop, "disguised", "effectiveTier Production", |status| {
        effective(status.effective_tier)
    })
    .await?;
    let said = &gate(&status, "signature")?.message;
    show.step(&format!(
        "\"Development\" on a namespace of tier Production is held to the rules of Production: {said}"
    ));
    Ok(())
}
