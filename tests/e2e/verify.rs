//! `kubectl promote verify`, which needs no cluster: from registries, with and without a login, and
//! from a directory.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use lockmaster_tests::cosign::{Cosign, Format, SigningKey};
use lockmaster_tests::evidence::cyclonedx;
use lockmaster_tests::image::Image;
use lockmaster_tests::layout;
use lockmaster_tests::product::Product;
use lockmaster_tests::referrer::copy_referrers;
use lockmaster_tests::registry::{Account, Registry, TENANT_A, TENANT_B, TokenRegistry};
use lockmaster_tests::tools::Tools;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::beds::Beds;

pub(crate) fn tests(beds: &Beds) -> Vec<Trial> {
    vec![
        beds.none("verify::a_layout_says_what_the_registry_says", layouts),
        beds.none("verify::a_spoilt_layout_is_not_believed", spoilt),
        beds.none("verify::a_private_registry_gets_its_login", logins),
    ]
}

/// Somebody with a key, a policy that trusts it, and the plugin.
struct Bench {
    plugin: PathBuf,
    cosign: Cosign,
    key: SigningKey,
    // Last: the key is in it.
    folder: TempDir,
}

/// How the plugin ended.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Bench {
    async fn new(tools: &Tools, product: &Product) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let cosign = Cosign::new(tools, folder.path());
        let key = cosign.generate_key("release").await?;
        Ok(Self {
            plugin: product.plugin.clone(),
            cosign,
            key,
            folder,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks for a signature and a bill of materials.
    fn policy(&self, image: &Image) -> anyhow::Result<PathBuf> {
        let policy = json!({
            "apiVersion": "lockmaster.dev/v1alpha1",
            "kind": "ClusterPromotionPolicy",
            "metadata": {"name": "baseline"},
            "spec": {
                "sources": [{
                    "namespaces": ["shop"],
                    "repositories": ["https://git.example/shop/web"],
                    "imageRepositories": [image.repository],
                }],
                "authorities": [{
                    "name": "ci",
                    "keys": [{"pem": self.key.pem}],
                    "predicateTypes": [
                        "https://sigstore.dev/cosign/sign/v1",
                        "https://cyclonedx.org/bom",
                    ],
                }],
                "evidence": {
                    "signatures": {"authorities": ["ci"], "threshold": 1},
                    "sbom": {"authorities": ["ci"]},
                },
            },
        });
        let path = self.path("policy.yaml");
        std::fs::write(&path, policy.to_string())?;
        Ok(path)
    }

    async fn prove(&self, cosign: &Cosign, image: &Image, format: Format) -> anyhow::Result<()> {
        cosign.sign(image, &self.key, format).await?;
        let bill = cyclonedx("web", 7);
        cosign
            .attest(image, &self.key, "cyclonedx", &bill, format)
            .await
    }

    /// Runs `verify`, with nothing of the machine's own logins.
    async fn verify(
        &self,
        image: &Image,
        arguments: &[&str],
        environment: &[(&str, &Path)],
    ) -> anyhow::Result<Said> {
        let mut command = tokio::process::Command::new(&self.plugin);
        command.args(["verify", &image.reference(), "--product=web", "--policy"]);
        command.arg(self.policy(image)?).args(arguments);
        for name in ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE"] {
            command.env_remove(name);
        }
        command.env("HOME", self.path("nobody"));
        command.envs(environment.iter().copied());
        let output = command.output().await.context("failed to run the plugin")?;
        Ok(Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    async fn of_layout(&self, image: &Image, folder: &Path) -> anyhow::Result<Said> {
        let folder = folder.to_str().context("no text")?;
        self.verify(image, &["--oci-layout", folder], &[]).await
    }
}

impl Said {
    fn ended(&self, code: i32, words: &str) -> anyhow::Result<()> {
        let Self { stdout, stderr, .. } = self;
        let said = format!("{stdout}{stderr}");
        ensure!(
            self.code == Some(code) && said.contains(words),
            "expected {code} and \"{words}\", saw {:?}: {said}",
            self.code
        );
        for account in [&TENANT_A, &TENANT_B] {
            ensure!(!said.contains(account.password), "a password: {said}");
        }
        Ok(())
    }
}

/// Bundles, and the older formats: a copy on disk is judged as the registry is, and nothing is asked
/// of that any more.
async fn layouts(tools: &Tools, product: &Product) -> anyhow::Result<()> {
    let bench = Bench::new(tools, product).await?;
    let referrers = Registry::with_referrers(tools).await?;
    let tags = Registry::without_referrers(tools).await?;
    for (registry, format) in [(&referrers, Format::Bundle), (&tags, Format::Legacy)] {
        let image = Image::push(tools, registry, "shop/web", "one").await?;
        bench.prove(&bench.cosign, &image, format).await?;
        let address = registry.address();
        let plain = ["--plain-http-registry", &address];
        let there = bench.verify(&image, &plain, &[]).await?;
        there.ended(0, "signed by baseline/ci")?;
        let folder = tempfile::tempdir()?;
        layout::copy(&image, folder.path()).await?;
        registry.stop();
        registry.clear_requests();
        let copied = bench.of_layout(&image, folder.path()).await?;
        copied.ended(0, "signed by baseline/ci")?;
        ensure!(copied.stdout == there.stdout, "another account");
        ensure!(registry.requests().is_empty(), "the network was asked");
        let other = Image {
            digest: format!("sha256:{}", "0".repeat(64)),
            ..image.clone()
        };
        let missing = bench.of_layout(&other, folder.path()).await?;
        missing.ended(1, "is missing; check the directory and the digest")?;
    }
    let nowhere = bench.path("nowhere");
    let image = Image {
        repository: "registry.example/shop/web".to_owned(),
        digest: format!("sha256:{}", "0".repeat(64)),
    };
    let nothing = bench.of_layout(&image, &nowhere).await?;
    nothing.ended(1, "oras copy --recursive --to-oci-layout")
}

/// What somebody else put there, or took away, or changed.
async fn spoilt(tools: &Tools, product: &Product) -> anyhow::Result<()> {
    let bench = Bench::new(tools, product).await?;
    let registry = Registry::with_referrers(tools).await?;
    let image = Image::push(tools, &registry, "shop/web", "good").await?;
    bench.prove(&bench.cosign, &image, Format::Bundle).await?;
    let evil = Image::push(tools, &registry, "shop/web", "evil").await?;
    copy_referrers(&image, &evil).await?;
    let folder = tempfile::tempdir()?;
    layout::copy(&evil, folder.path()).await?;
    let forged = bench.of_layout(&evil, folder.path()).await?;
    forged.ended(7, "not for this digest")?;
    let folder = tempfile::tempdir()?;
    let copy = layout::copy(&image, folder.path()).await?;
    let mut carriers = copy.listed()?.into_iter().skip(1);
    let carrier = carriers.next().context("nothing is attached")?;
    let manifest = copy.manifest(text(&carrier, "/digest")?)?;
    let bundle = copy.blob(text(&manifest, "/layers/0/digest")?);
    let right = std::fs::read(&bundle)?;
    let mut wrong = right.clone();
    wrong
        .last_mut()
        .context("an empty bundle")?
        .clone_from(&b' ');
    std::fs::write(&bundle, wrong)?;
    let changed = bench.of_layout(&image, folder.path()).await?;
    changed.ended(1, "it was changed or cut short")?;
    std::fs::remove_file(&bundle)?;
    std::os::unix::fs::symlink("/etc/hostname", &bundle)?;
    let link = bench.of_layout(&image, folder.path()).await?;
    link.ended(1, "leads out of the directory")?;
    std::fs::remove_file(&bundle)?;
    let missing = bench.of_layout(&image, folder.path()).await?;
    missing.ended(1, "is missing")?;
    std::fs::write(&bundle, right)?;
    bench.of_layout(&image, folder.path()).await?.ended(0, "")
}

/// The login of `docker login`: used for its registry, needed there, and said where it is left to a
/// program.
async fn logins(tools: &Tools, product: &Product) -> anyhow::Result<()> {
    let bench = Bench::new(tools, product).await?;
    let registry = Registry::with_passwords(tools).await?;
    let registry = registry.started().await?;
    let address = registry.address();
    let account = Some(&TENANT_A);
    let image = Image::push_as(tools, registry, "tenant-a/web", "one", account).await?;
    let cosign = bench.cosign.logged_in(&address, &TENANT_A)?;
    bench.prove(&cosign, &image, Format::Bundle).await?;
    let plain = ["--plain-http-registry", &address];
    let verify = async |environment: &[(&str, &Path)]| {
        registry.clear_requests();
        bench.verify(&image, &plain, environment).await
    };
    let nobody = verify(&[]).await?;
    nobody.ended(1, "may not be read without a login: log in, or give a file")?;
    let docker = TENANT_A.write_docker_config(&address, bench.folder.path())?;
    let file = docker.join("config.json");
    let valid = "signed by baseline/ci";
    verify(&[("DOCKER_CONFIG", &docker)])
        .await?
        .ended(0, valid)?;
    verify(&[("REGISTRY_AUTH_FILE", &file)])
        .await?
        .ended(0, valid)?;
    let named = [
        plain[0],
        plain[1],
        "--registry-config",
        file.to_str().context("no text")?,
    ];
    bench.verify(&image, &named, &[]).await?.ended(0, valid)?;
    // The login of another registry stays at home.
    let elsewhere = TENANT_B.write_docker_config("registry.example:5000", bench.folder.path())?;
    let without = verify(&[("DOCKER_CONFIG", &elsewhere)]).await?;
    without.ended(1, "it has no login for it")?;
    let requests = registry.requests();
    ensure!(
        requests.iter().all(|seen| seen.authorization.is_empty()),
        "a login was shown: {requests:?}"
    );
    let said = helped(
        &bench,
        &address,
        json!({"credsStore": "desktop", "auths": {}}),
    )?;
    verify(&[("DOCKER_CONFIG", &said)])
        .await?
        .ended(1, "none is run")?;
    tokens(tools, &bench, &TENANT_A).await
}

/// A configuration that leaves logins to programs, in a directory of its own.
fn helped(bench: &Bench, address: &str, mut config: Value) -> anyhow::Result<PathBuf> {
    let folder = bench.path("helped");
    std::fs::create_dir_all(&folder)?;
    config["auths"][address] = json!({});
    std::fs::write(folder.join("config.json"), config.to_string())?;
    Ok(folder)
}

/// A registry whose tokens come from another host gets none, and no login goes there.
async fn tokens(tools: &Tools, bench: &Bench, account: &Account) -> anyhow::Result<()> {
    let guarded = TokenRegistry::new(tools).await?;
    let registry = guarded.registry.started().await?;
    let address = registry.address();
    let image = Image::push_as(tools, registry, "tenant-a/web", "one", Some(account)).await?;
    guarded.tokens.clear_requests();
    let docker = account.write_docker_config(&address, bench.folder.path())?;
    let environment = [("DOCKER_CONFIG", docker.as_path())];
    let plain = ["--plain-http-registry", &address];
    let refused = bench.verify(&image, &plain, &environment).await?;
    refused.ended(1, "read the copy with --oci-layout DIR")?;
    let asked = guarded.tokens.requests();
    ensure!(asked.is_empty(), "the other host was asked: {asked:?}");
    Ok(())
}

fn text<'a>(value: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.with_context(|| format!("there is no text at {pointer}"))
}
