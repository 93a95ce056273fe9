//! Signatures without a key of their own: cosign signs with certificates of a private Sigstore, and
//! the operator verifies them through a TrustedRoot.

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use lockmaster_core::gate::GateReport;
use lockmaster_core::reason::Reason;
use lockmaster_core::status::{PromotionStatus, State};
use lockmaster_tests::bed::Bed;
use lockmaster_tests::evidence::{Provenance, WORKFLOW_BUILD_TYPE, spdx};
use lockmaster_tests::image::Image;
use lockmaster_tests::shop::{BUILDER, COMMIT, Rules, Shop};
use lockmaster_tests::sigstore::{Signer, Sigstore, WorkflowRun};
use serde_json::{Value, json};

use crate::beds::Beds;

const REPOSITORY: &str = "acme/checkout";

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![beds.shared("keyless::people_and_builds_sign_without_keys", keyless)]
}

/// One Sigstore for all that is shown of it: its processes take a second to start, and each of
/// cosign's signatures up to two.
async fn keyless(bed: &Bed) -> anyhow::Result<()> {
    let sigstore = Sigstore::start(&bed.tools).await?;
    let rules = Rules {
        evidence: false,
        ..Rules::default()
    };
    let shop = Shop::open(bed, "keyless", &rules).await?;
    shop.apply(&[policy(&shop, &sigstore)]).await?;

    let run = WorkflowRun::new(REPOSITORY, "1.0.0", COMMIT);
    let good = shop.image("good").await?;
    prove(&sigstore, &good, &run).await?;
    release(&shop, "1.0.0", &good).await?;
    let status = blocked(&shop, "1.0.0", Reason::TrustedRootInvalid).await?;
    says(
        &status,
        "TrustedRoot keyless-private does not exist; create it",
    )?;
    shop.apply(&[trusted_root(&sigstore, 1)?]).await?;
    succeeds(&shop, &sigstore, &run).await?;
    a_person_signs_what_a_build_attests(&shop, &sigstore).await?;

    a_person_is_no_build(&shop, &sigstore).await?;
    another_repository_is_refused(&shop, &sigstore).await?;
    a_root_never_goes_back(&shop, &sigstore).await
}

/// Who may sign besides the builds.
const PERSON: &str = "alice@acme.example";

/// CI signs as the authority `ci`: any release workflow of the organisation, for its own source. One
/// person may sign too, and attest nothing.
fn policy(shop: &Shop<'_>, sigstore: &Sigstore) -> Value {
    let types = [
        "https://sigstore.dev/cosign/sign/v1",
        "https://slsa.dev/provenance/v1",
        "https://spdx.dev/Document",
    ];
    json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ClusterPromotionPolicy",
        "metadata": {"name": "keyless-signers"},
        "spec": {
            "match": {"tiers": ["Staging"],
                      "namespaceSelector": {"matchLabels": {"shop": shop.name}}},
            "sources": [{
                "namespaces": [shop.name], "product": "checkout",
                "repositories": [format!("https://github.com/{REPOSITORY}")],
                "imageRepositories": [format!("{}/shop/*", shop.bed.registry.address())],
            }],
            "authorities": [{
                "name": "ci", "trustedRoot": "keyless-private", "predicateTypes": types,
                "keyless": {
                    "issuer": sigstore.ci_issuer(),
                    "subjectPattern":
                        "https://github.com/acme/*/.github/workflows/release.yaml@refs/tags/v*",
                },
            }, {
                "name": "release-manager", "trustedRoot": "keyless-private",
                "predicateTypes": [types[0]],
                "keyless": {"issuer": sigstore.person_issuer(), "subject": PERSON},
            }],
            "evidence": {
                "signatures": {"authorities": ["ci", "release-manager"], "threshold": 1},
                "provenance": [{"authority": "ci", "builders": [BUILDER],
                                "buildTypes": [WORKFLOW_BUILD_TYPE]}],
                "sbom": {"authorities": ["ci"]},
            },
        },
    })
}

fn trusted_root(sigstore: &Sigstore, version: i64) -> anyhow::Result<Value> {
    Ok(json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "TrustedRoot",
        "metadata": {"name": "keyless-private"},
        "spec": {"version": version, "json": sigstore.trusted_root_json()?},
    }))
}

/// A run of the workflow signs the image and says how it was built.
async fn prove(sigstore: &Sigstore, image: &Image, run: &WorkflowRun) -> anyhow::Result<()> {
    let token = sigstore.ci_token(run).await?;
    sigstore.sign(image, Signer::Token(&token)).await?;
    attest(sigstore, image, run).await
}

/// It says how the image was built, and what is in it.
async fn attest(sigstore: &Sigstore, image: &Image, run: &WorkflowRun) -> anyhow::Result<()> {
    let token = sigstore.ci_token(run).await?;
    let signer = Signer::Token(&token);
    let version = run.git_ref.trim_start_matches("refs/tags/v");
    let says = Provenance::new(&run.source_repository(), version, &run.commit, BUILDER);
    sigstore
        .attest(image, signer, "slsaprovenance1", &says.predicate())
        .await?;
    let bill = spdx("checkout", 12);
    sigstore.attest(image, signer, "spdxjson", &bill).await
}

async fn release(shop: &Shop<'_>, version: &str, image: &Image) -> anyhow::Result<()> {
    let mut release = shop.release(version, image);
    let repository = format!("https://github.com/{REPOSITORY}");
    release["spec"]["source"]["repository"] = repository.into();
    shop.apply(&[release]).await?;
    shop.promote_with_success(version, "dev").await?;
    Ok(())
}

/// Promotes into staging, where the policy is, and waits until the signature gate says `reason`.
async fn blocked(
    shop: &Shop<'_>,
    version: &str,
    reason: Reason,
) -> anyhow::Result<PromotionStatus> {
    let name = shop.promote(version, "staging").await?;
    let gave = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates.any(|gate| gate.name == "signature" && gate.reason == reason)
    };
    shop.wait(&name, gave).await
}

fn signature(status: &PromotionStatus) -> anyhow::Result<&GateReport> {
    let mut gates = status.gates.iter();
    gates
        .find(|gate| gate.name == "signature")
        .context("no signature gate")
}

fn says(status: &PromotionStatus, text: &str) -> anyhow::Result<()> {
    let message = &signature(status)?.message;
    ensure!(message.contains(text), "expected \"{text}\" in: {message}");
    Ok(())
}

/// The TrustedRoot wakes what waited for it, and the record keeps who signed and when.
async fn succeeds(shop: &Shop<'_>, sigstore: &Sigstore, run: &WorkflowRun) -> anyhow::Result<()> {
    let status = shop
        .wait_for("checkout-1.0.0-staging", State::Succeeded)
        .await?;
    for name in ["signature", "provenance", "sbom"] {
        let mut gates = status.gates.iter();
        let gate = gates.find(|gate| gate.name == name).context(name)?;
        ensure!(gate.reason == Reason::EvidenceValid, "{name}: {gate:?}");
        let signer = format!("{} ({})", run.identity(), sigstore.ci_issuer());
        let evidence = gate.evidence.first().context("no evidence")?;
        ensure!(evidence.signer == signer, "signed by {}", evidence.signer);
        ensure!(evidence.signed_at.is_some(), "{name} has no time");
    }
    let record = shop.records("staging").await?.pop();
    let record = record.context("no record")?.spec.content;
    let recorded = serde_json::to_string(&record).context("failed to write the record")?;
    ensure!(recorded.contains(&run.identity()), "the record: {recorded}");
    Ok(())
}

/// The signature is by a person whom the policy names, everything else by the build.
async fn a_person_signs_what_a_build_attests(
    shop: &Shop<'_>,
    sigstore: &Sigstore,
) -> anyhow::Result<()> {
    let run = WorkflowRun::new(REPOSITORY, "1.0.1", COMMIT);
    let image = shop.image("by-alice").await?;
    attest(sigstore, &image, &run).await?;
    let token = sigstore.person_token(PERSON).await?;
    sigstore.sign(&image, Signer::Token(&token)).await?;
    release(shop, "1.0.1", &image).await?;
    let name = shop.promote("1.0.1", "staging").await?;
    let status = shop.wait_for(&name, State::Succeeded).await?;
    says(&status, "release-manager")?;
    let evidence = signature(&status)?.evidence.first();
    let evidence = evidence.context("no evidence")?;
    let signer = format!("{PERSON} ({})", sigstore.person_issuer());
    ensure!(evidence.signer == signer, "signed by {}", evidence.signer);
    Ok(())
}

/// A person's certificate of the same Sigstore is not the build's.
async fn a_person_is_no_build(shop: &Shop<'_>, sigstore: &Sigstore) -> anyhow::Result<()> {
    let image = shop.image("by-a-person").await?;
    let token = sigstore.person_token("mallory@acme.example").await?;
    sigstore.sign(&image, Signer::Token(&token)).await?;
    release(shop, "1.1.0", &image).await?;
    let status = blocked(shop, "1.1.0", Reason::SignerNotTrusted).await?;
    let issuer = sigstore.person_issuer();
    says(
        &status,
        &format!("somebody else (mallory@acme.example ({issuer}))"),
    )
}

/// The same public workflow, run for another repository of the organisation, and one that a pull
/// request started: both have an identity that fits, and claims that do not.
async fn another_repository_is_refused(shop: &Shop<'_>, sigstore: &Sigstore) -> anyhow::Result<()> {
    let elsewhere = WorkflowRun {
        repository: "acme/other".to_owned(),
        ..WorkflowRun::new(REPOSITORY, "1.2.0", COMMIT)
    };
    let strangers = WorkflowRun {
        event: "pull_request".to_owned(),
        ..WorkflowRun::new(REPOSITORY, "1.3.0", COMMIT)
    };
    let cases = [
        (
            "1.2.0",
            elsewhere,
            "its build ran for https://github.com/acme/other",
        ),
        ("1.3.0", strangers, "its build was started by pull_request"),
    ];
    for (version, run, text) in cases {
        let image = shop.image(version).await?;
        prove(sigstore, &image, &run).await?;
        release(shop, version, &image).await?;
        let status = blocked(shop, version, Reason::SignerNotTrusted).await?;
        says(&status, text)?;
    }
    Ok(())
}

/// The API server keeps the version of a root from going down, and a root that cannot be read closes
/// what rests on it, in words.
async fn a_root_never_goes_back(shop: &Shop<'_>, sigstore: &Sigstore) -> anyhow::Result<()> {
    let mut changed = trusted_root(sigstore, 1)?;
    changed["spec"]["json"] = "{}".into();
    let refused = shop.apply(&[changed.clone()]).await;
    let refused = format!("{:#}", refused.err().context("version 1 was changed")?);
    ensure!(
        refused.contains("a change needs a higher version"),
        "{refused}"
    );
    changed["spec"]["version"] = 2.into();
    shop.apply(&[changed]).await?;
    let image = shop.image("after").await?;
    release(shop, "1.4.0", &image).await?;
    let status = blocked(shop, "1.4.0", Reason::TrustedRootInvalid).await?;
    says(
        &status,
        "TrustedRoot keyless-private cannot be read: spec.json",
    )?;
    shop.apply(&[trusted_root(sigstore, 3)?]).await?;
    let name = "checkout-1.4.0-staging";
    let missing = |status: &PromotionStatus| {
        let mut gates = status.gates.iter();
        gates.any(|gate| gate.reason == Reason::SignatureMissing)
    };
    shop.wait(name, missing).await?;
    Ok(())
}
