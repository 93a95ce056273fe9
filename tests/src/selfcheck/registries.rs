//! Images, signatures and outages.

use anyhow::ensure;
use lockmaster_tests::cosign::{Cosign, Format};
use lockmaster_tests::image::Image;
use lockmaster_tests::proxy::Outage;
use lockmaster_tests::registry::Registry;
use lockmaster_tests::{evidence, referrer};

use crate::Bed;

pub(crate) async fn images_are_the_same_everywhere(bed: &Bed) -> anyhow::Result<()> {
    let again = Image::push(&bed.tools, &bed.fallback, "other/path", "good").await?;
    ensure!(
        again.digest == bed.good.digest,
        "{} is not {}",
        again.digest,
        bed.good.digest
    );
    ensure!(
        bed.crash.digest != bed.good.digest,
        "two markers, one digest"
    );
    Ok(())
}

pub(crate) async fn cosign_signs_on_both_registries(bed: &Bed) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let cosign = Cosign::new(&bed.tools, directory.path());
    let key = cosign.generate_key("release").await?;
    let repository = "https://github.com/acme/shop";
    let commit = "1111111111111111111111111111111111111111";
    let builder = "https://github.com/actions/runner";
    let provenance = evidence::Provenance::new(repository, "1.0.0", commit, builder).predicate();
    for registry in [&bed.registry, &bed.fallback] {
        let image = Image::push(&bed.tools, registry, "shop/signed", "signed").await?;
        let other = Image::push(&bed.tools, registry, "shop/signed", "other").await?;
        cosign.sign(&image, &key, Format::Bundle).await?;
        cosign
            .attest(&image, &key, "slsaprovenance1", &provenance, Format::Bundle)
            .await?;
        let sbom = evidence::spdx("shop", 3);
        cosign
            .attest(&image, &key, "spdxjson", &sbom, Format::Bundle)
            .await?;
        let sbom = evidence::cyclonedx("shop", 3);
        cosign
            .attest(&image, &key, "cyclonedx", &sbom, Format::Bundle)
            .await?;
        let verify = |image: &Image| {
            let key = format!("--key={}", key.public.display());
            let flags = [
                "verify",
                &key,
                "--insecure-ignore-tlog",
                "--allow-insecure-registry",
            ];
            let mut arguments: Vec<String> = flags.map(str::to_owned).to_vec();
            arguments.push(image.reference());
            arguments
        };
        cosign.run(&verify(&image)).await?.required("verify")?;
        ensure!(
            !cosign.run(&verify(&other)).await?.success(),
            "an unsigned image verifies"
        );
        let copied = referrer::copy_referrers(&image, &other).await?;
        ensure!(copied == 4, "{copied} referrers instead of 4");
        ensure!(
            !cosign.run(&verify(&other)).await?.success(),
            "a foreign signature verifies"
        );
        cosign.sign(&image, &key, Format::Legacy).await?;
        referrer::copy_legacy_tag(&image, &other, "sig").await?;
    }
    Ok(())
}

pub(crate) async fn a_registry_can_be_down(bed: &Bed) -> anyhow::Result<()> {
    let registry = Registry::without_referrers(&bed.tools).await?;
    Image::push(&bed.tools, &registry, "down/web", "one").await?;
    ensure!(
        registry.requests().iter().any(|seen| seen.method == "PUT"),
        "no PUT was counted"
    );
    let url = format!("http://{}/v2/down/web/manifests/one", registry.address());
    let client = reqwest::Client::builder().no_proxy().build()?;
    registry.stop();
    ensure!(
        client.get(&url).send().await.is_err(),
        "a stopped registry answers"
    );
    registry.proxy().outage(Some(Outage::Status(503)));
    ensure!(client.get(&url).send().await?.status() == 503, "no 503");
    registry.start_again();
    registry.clear_requests();
    ensure!(
        client.get(&url).send().await?.status() == 200,
        "the content is gone"
    );
    ensure!(
        registry.requests().len() == 1,
        "not one request: {:?}",
        registry.requests()
    );
    Ok(())
}
