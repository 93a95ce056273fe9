//! Signing with the private Sigstore: cosign accepts what is right and refuses who is another.

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use lockmaster_tests::cosign::{Cosign, Format};
use lockmaster_tests::image::Image;
use lockmaster_tests::sigstore::{Proof, Signer, Sigstore, WorkflowRun};
use lockmaster_tests::{evidence, referrer};
use serde_json::Value;

use crate::Bed;

const PERSON: &str = "alice@acme.example";
const COMMIT: &str = "1111111111111111111111111111111111111111";

fn workflow_run() -> WorkflowRun {
    WorkflowRun::new("acme/shop", "1.4.0", COMMIT)
}

fn provenance(run: &WorkflowRun) -> Value {
    let builder = "https://github.com/actions/runner/github-hosted";
    evidence::Provenance::new(&run.source_repository(), "1.4.0", COMMIT, builder).predicate()
}

/// cosign accepts this identity of this issuer, for signature and provenance, and no neighbour.
async fn only_accepts(
    sigstore: &Sigstore,
    image: &Image,
    (identity, issuer): (&str, &str),
    others: &[(&str, &str)],
) -> anyhow::Result<()> {
    let kind = "slsaprovenance1";
    let verified = sigstore.verify(image, identity, issuer).await?;
    verified.required("verify a keyless signature")?;
    let verified = sigstore.verify_attestation(image, identity, issuer, kind);
    verified.await?.required("verify a keyless attestation")?;
    for (identity, issuer) in others {
        let verified = sigstore.verify(image, identity, issuer).await?;
        ensure!(
            !verified.success(),
            "{identity} of {issuer} passes as signer"
        );
        let verified = sigstore.verify_attestation(image, identity, issuer, kind);
        ensure!(
            !verified.await?.success(),
            "{identity} of {issuer} passes as attester"
        );
    }
    Ok(())
}

pub(crate) async fn keyless_signing_by_a_person(bed: &Bed) -> anyhow::Result<()> {
    let sigstore = bed.sigstore().await?;
    for (registry, path) in [(&bed.registry, "keyless/a"), (&bed.fallback, "keyless/b")] {
        let image = Image::push(&bed.tools, registry, path, "person").await?;
        let token = sigstore.person_token(PERSON).await?;
        sigstore.sign(&image, Signer::Token(&token)).await?;
        let predicate = provenance(&workflow_run());
        let signer = Signer::Token(&token);
        sigstore
            .attest(&image, signer, "slsaprovenance1", &predicate)
            .await?;
        let (people, ci) = (sigstore.person_issuer(), sigstore.ci_issuer());
        let slash = format!("{people}/");
        let others = [
            ("bob@acme.example", people.as_str()),
            ("alice@acme.example.org", &people),
            (PERSON, &slash),
            (PERSON, &ci),
        ];
        only_accepts(sigstore, &image, (PERSON, &people), &others).await?;
    }
    Ok(())
}

pub(crate) async fn keyless_signing_by_ci_names_its_source(bed: &Bed) -> anyhow::Result<()> {
    let sigstore = bed.sigstore().await?;
    let image = Image::push(&bed.tools, &bed.registry, "keyless/ci", "ci").await?;
    let run = workflow_run();
    let token = sigstore.ci_token(&run).await?;
    sigstore.sign(&image, Signer::Token(&token)).await?;
    sigstore
        .attest(
            &image,
            Signer::Token(&token),
            "slsaprovenance1",
            &provenance(&run),
        )
        .await?;
    let (people, ci) = (sigstore.person_issuer(), sigstore.ci_issuer());
    let another = WorkflowRun::new("acme/shop", "1.4.1", COMMIT).identity();
    let others = [
        (another.as_str(), ci.as_str()),
        (&run.identity(), people.as_str()),
    ]
    .map(|(identity, issuer)| (identity.to_owned(), issuer.to_owned()));
    let others: Vec<(&str, &str)> = others
        .iter()
        .map(|(identity, issuer)| (identity.as_str(), issuer.as_str()))
        .collect();
    only_accepts(sigstore, &image, (&run.identity(), &ci), &others).await?;
    let bundles = referrer::bundles(&image).await?;
    ensure!(bundles.len() == 2, "{} bundles instead of 2", bundles.len());
    for bundle in bundles {
        let certificate = certificate(&bundle)?;
        for (number, value) in [
            (12, "https://github.com/acme/shop"),
            (13, COMMIT),
            (14, "refs/tags/v1.4.0"),
            (20, "push"),
            (
                21,
                "https://github.com/acme/shop/actions/runs/42/attempts/1",
            ),
            (23, "release"),
            (24, "repo:acme/shop:environment:release"),
        ] {
            ensure!(
                contains(&certificate, &extension(number, value)?),
                "the certificate does not say {value} in 1.3.6.1.4.1.57264.1.{number}"
            );
        }
        let lie = extension(12, "https://github.com/acme/shap")?;
        ensure!(!contains(&certificate, &lie), "any extension is found");
    }
    Ok(())
}

pub(crate) async fn a_managed_key_signs_with_proof_of_time(bed: &Bed) -> anyhow::Result<()> {
    let sigstore = bed.sigstore().await?;
    let directory = tempfile::tempdir()?;
    let cosign = Cosign::new(&bed.tools, directory.path());
    let key = cosign.generate_key("managed").await?;
    let stranger = cosign.generate_key("stranger").await?;
    for proof in [Proof::LogAndTimestamp, Proof::Timestamp] {
        let marker = format!("managed-{proof:?}").to_lowercase();
        let image = Image::push(&bed.tools, &bed.registry, "managed/web", &marker).await?;
        let signer = Signer::Key(&key);
        sigstore
            .sign_as(&image, signer, (Format::Bundle, proof))
            .await?;
        let bundles = referrer::bundles(&image).await?;
        let [bundle] = bundles.as_slice() else {
            anyhow::bail!("{} bundles instead of 1", bundles.len())
        };
        let bundle: Value = serde_json::from_slice(bundle)?;
        let material = |pointer| bundle.pointer(&format!("/verificationMaterial/{pointer}"));
        let stamp = material("timestampVerificationData/rfc3161Timestamps/0");
        ensure!(stamp.is_some(), "no timestamp: {bundle}");
        let entry = material("tlogEntries/0/kindVersion/version").and_then(Value::as_str);
        let logged = (proof == Proof::LogAndTimestamp).then_some("0.0.2");
        ensure!(entry == logged, "the log entry has version {entry:?}");
        for (key, accepted) in [(&key, true), (&stranger, false)] {
            let mut arguments = vec![
                "verify".to_owned(),
                "--allow-insecure-registry".to_owned(),
                format!("--key={}", key.public.display()),
                format!("--trusted-root={}", sigstore.trusted_root().display()),
            ];
            if proof == Proof::Timestamp {
                arguments.push("--insecure-ignore-tlog".to_owned());
                arguments.push("--use-signed-timestamps".to_owned());
            }
            arguments.push(image.reference());
            let output = cosign.run(&arguments).await?;
            ensure!(output.success() == accepted, "{output:?}");
        }
    }
    Ok(())
}

pub(crate) async fn the_older_format_can_be_keyless(bed: &Bed) -> anyhow::Result<()> {
    let sigstore = bed.sigstore().await?;
    let image = Image::push(&bed.tools, &bed.fallback, "keyless/older", "older").await?;
    let token = sigstore.person_token(PERSON).await?;
    let form = (Format::Legacy, Proof::Timestamp);
    let signer = Signer::Token(&token);
    sigstore.sign_as(&image, signer, form).await?;
    let predicate = provenance(&workflow_run());
    sigstore
        .attest_as(&image, signer, "slsaprovenance1", &predicate, form)
        .await?;
    let directory = tempfile::tempdir()?;
    let cosign = Cosign::new(&bed.tools, directory.path());
    let verify = async |flags: &[&str], identity: &str| {
        let mut arguments: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        arguments.extend([
            "--new-bundle-format=false".to_owned(),
            "--allow-insecure-registry".to_owned(),
            "--insecure-ignore-tlog".to_owned(),
            "--use-signed-timestamps".to_owned(),
            format!("--trusted-root={}", sigstore.trusted_root().display()),
            format!("--certificate-identity={identity}"),
            format!("--certificate-oidc-issuer={}", sigstore.person_issuer()),
            image.reference(),
        ]);
        cosign.run(&arguments).await
    };
    let verified = verify(&["verify"], PERSON).await?;
    verified.required("verify the older format")?;
    let verified = verify(&["verify"], "bob@acme.example").await?;
    ensure!(!verified.success(), "bob passes as signer");
    // cosign 3.1.3 puts the timestamp on the signature and looks for one on the envelope.
    let attestation = ["verify-attestation", "--type=slsaprovenance1"];
    let verified = verify(&attestation, PERSON).await?;
    ensure!(
        !verified.success() && verified.stderr.contains("hashed messages don't match"),
        "cosign verifies its own older attestations now: say so where they are made: {verified:?}"
    );
    Ok(())
}

/// The certificate (DER) in a bundle.
fn certificate(bundle: &[u8]) -> anyhow::Result<Vec<u8>> {
    let bundle: Value = serde_json::from_slice(bundle)?;
    let text = bundle.pointer("/verificationMaterial/certificate/rawBytes");
    let text = text.and_then(Value::as_str).context("no certificate")?;
    Ok(base64::engine::general_purpose::STANDARD.decode(text)?)
}

/// A Fulcio extension 1.3.6.1.4.1.57264.1.NUMBER with a UTF8String of less than 126 bytes, as DER.
fn extension(number: u8, value: &str) -> anyhow::Result<Vec<u8>> {
    let length = u8::try_from(value.len())?;
    ensure!(length < 126, "too long for one byte of length");
    let prefix = [6, 10, 43, 6, 1, 4, 1, 131, 191, 48, 1, number];
    let mut der = [&prefix[..], &[4, length + 2, 12, length]].concat();
    der.extend_from_slice(value.as_bytes());
    Ok(der)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
