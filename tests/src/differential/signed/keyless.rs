//! Bundles that cosign made: with a private Sigstore, each with a log entry and a timestamp; with
//! imported keys; and one of 2026-11-24.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use super::Signed;
use crate::cosign::{self, Cosign, SigningKey};
use crate::differential::keys::{Keys, Kind, PublicKey};
use crate::differential::question::{By, Root};
use crate::differential::store::{Place, manifest, sha256};
use crate::differential::table::{Format, Row};
use crate::differential::{BUILDER, COMMIT, PROCESSES, REPOSITORY, SOURCE, VERSION};
use crate::evidence::Provenance;
use crate::image::Image;
use crate::referrer;
use crate::sigstore::{Proof, Signer, Sigstore, WorkflowRun};
use crate::tools::Tools;

/// Made by cosign 3.1.3 with a private Sigstore whose keys are gone.
const EXPIRED: Expired = Expired {
    manifest: include_bytes!("expired/manifest.json"),
    bundle: include_str!("expired/bundle.json"),
    root: include_str!("expired/trusted_root.json"),
    subject: "alice@acme.example",
    issuer: "http://127.0.0.1:39101/people",
};

struct Expired {
    manifest: &'static [u8],
    bundle: &'static str,
    root: &'static str,
    subject: &'static str,
    issuer: &'static str,
}

/// One of each format.
pub(in crate::differential) struct Signatures {
    made: Vec<(Format, Signed)>,
    imported: Vec<(Kind, Signed)>,
    root: Root,
    expired_root: Root,
    // Kept until all is asked, although nobody asks it anything any more.
    _sigstore: Sigstore,
}

impl Signatures {
    pub(in crate::differential) async fn make(
        tools: &Tools,
        host: &str,
        directory: &Path,
        keys: &Keys,
    ) -> anyhow::Result<Self> {
        let studio = Studio::open(tools, host, directory).await?;
        let (made, imported) = tokio::try_join!(studio.make_all(), studio.import_all(keys))?;
        let json = studio.sigstore.trusted_root_json()?;
        let path = studio.sigstore.trusted_root();
        let expired = directory.join("expired-root.json");
        std::fs::write(&expired, EXPIRED.root).context("failed to write a trusted root")?;
        Ok(Self {
            made,
            imported,
            root: Root { path, json },
            expired_root: Root {
                path: expired,
                json: EXPIRED.root.to_owned(),
            },
            _sigstore: studio.sigstore,
        })
    }

    /// Signed as the row has it, and whose log and certificates count.
    pub(in crate::differential) fn of(
        &self,
        row: &Row,
    ) -> anyhow::Result<(&Signed, Option<&Root>)> {
        let (format, key) = (row.format, row.key);
        if format == Format::CosignSign {
            let mut imported = self.imported.iter();
            let found = imported.find(|(made, _)| *made == key);
            let (_, signed) = found.with_context(|| format!("{key} was not imported"))?;
            return Ok((signed, None));
        }
        let mut made = self.made.iter();
        let found = made.find(|(made, _)| *made == format);
        let (_, signed) = found.with_context(|| format!("there is no {format}"))?;
        let root = if format == Format::ExpiredSign {
            &self.expired_root
        } else {
            &self.root
        };
        Ok((signed, Some(root)))
    }
}

/// Who signs what.
enum Work {
    SignWithKey(SigningKey),
    Sign(&'static str),
    Attest(WorkflowRun),
    Message(&'static str),
}

/// Where all of it is signed.
struct Studio {
    sigstore: Sigstore,
    cosign: Cosign,
    host: String,
    directory: PathBuf,
}

impl Studio {
    async fn open(tools: &Tools, host: &str, directory: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            sigstore: Sigstore::start(tools).await?,
            cosign: Cosign::new(tools, directory),
            host: host.to_owned(),
            directory: directory.to_owned(),
        })
    }

    /// Of each format: the signer about two images, somebody else about the first.
    async fn make_all(&self) -> anyhow::Result<Vec<(Format, Signed)>> {
        let (own, other) = (
            self.cosign.generate_key("logged").await?,
            self.cosign.generate_key("logged-stranger").await?,
        );
        let key = |key: &SigningKey| Work::SignWithKey(key.clone());
        let run = |repository| Work::Attest(WorkflowRun::new(repository, VERSION, COMMIT));
        let (alice, mallory) = ("alice@acme.example", "mallory@acme.example");
        let three = |make: fn(&'static str) -> Work| [make(alice), make(alice), make(mallory)];
        let work = [
            (Format::LoggedSign, [key(&own), key(&own), key(&other)]),
            (Format::KeylessSign, three(Work::Sign)),
            (
                Format::KeylessAttestation,
                [run(REPOSITORY), run(REPOSITORY), run("acme/other")],
            ),
            (Format::KeylessMessage, three(Work::Message)),
        ];
        // The log publishes its checkpoint once a second: who signs at the same time shares it.
        let mut made: Vec<_> = stream::iter(work)
            .map(|(format, work)| self.make(format, work))
            .buffer_unordered(PROCESSES)
            .try_collect()
            .await?;
        made.push((Format::ExpiredSign, expired()?));
        Ok(made)
    }

    async fn import_all(&self, keys: &Keys) -> anyhow::Result<Vec<(Kind, Signed)>> {
        stream::iter(Kind::IMPORTED)
            .map(|kind| self.import(kind, keys))
            .buffer_unordered(PROCESSES)
            .try_collect()
            .await
    }

    /// Imports a key and signs with it, offline.
    async fn import(&self, kind: Kind, keys: &Keys) -> anyhow::Result<(Kind, Signed)> {
        let key = keys.own(kind)?;
        let file = |end: &str| self.directory.join(format!("{kind}-imported{end}"));
        std::fs::write(file(".pem"), key.private_pem()?).context("failed to write a key")?;
        let arguments = [
            "import-key-pair".to_owned(),
            format!("--key={}", file(".pem").display()),
            format!("--output-key-prefix={}", file("").display()),
        ];
        let output = self.cosign.run(&arguments).await?;
        output.required("import a key with cosign")?;
        let image = manifest("signed by cosign");
        let place = self
            .push(&format!("imported-{kind}").to_lowercase(), &image)
            .await?;
        let imported = SigningKey {
            private: file(".key"),
            public: file(".pub"),
            pem: key.public.pem.clone(),
        };
        let format = cosign::Format::Bundle;
        self.cosign.sign(&place, &imported, format).await?;
        let bundle = serde_json::from_slice(&only_bundle(&place).await?)?;
        let signer = By::Key(key.public.clone());
        Ok((kind, Signed::alone(image, bundle, signer)))
    }

    async fn make(&self, format: Format, work: [Work; 3]) -> anyhow::Result<(Format, Signed)> {
        let (image, other) = (manifest("signed"), manifest("signed as well"));
        let [own, another, strangers] = work;
        let (signer, stranger) = (self.name(&own), self.name(&strangers));
        let (bundle, another, strangers) = tokio::try_join!(
            self.sign(format, "own", own, &image),
            self.sign(format, "another", another, &other),
            self.sign(format, "strangers", strangers, &image),
        )?;
        let signed = Signed {
            other_digest: sha256(&other).trim_start_matches("sha256:").to_owned(),
            manifest: image,
            bundle,
            another,
            strangers,
            signer,
            stranger,
        };
        Ok((format, signed))
    }

    fn name(&self, work: &Work) -> By {
        match work {
            Work::SignWithKey(key) => By::Key(PublicKey {
                pem: key.pem.clone(),
                path: key.public.clone(),
                hash: None,
            }),
            Work::Sign(email) | Work::Message(email) => By::Identity {
                subject: (*email).to_owned(),
                issuer: self.sigstore.person_issuer(),
            },
            Work::Attest(run) => By::Identity {
                subject: run.identity(),
                issuer: self.sigstore.ci_issuer(),
            },
        }
    }

    async fn sign(
        &self,
        format: Format,
        which: &str,
        work: Work,
        manifest: &[u8],
    ) -> anyhow::Result<Value> {
        let name = format!("{format} {which}").replace(' ', "-");
        let image = self.push(&name, manifest).await?;
        let bytes = match work {
            Work::Message(email) => self.sign_message(&name, email, manifest).await?,
            Work::SignWithKey(key) => {
                self.sigstore.sign(&image, Signer::Key(&key)).await?;
                only_bundle(&image).await?
            }
            Work::Sign(email) => {
                let token = self.sigstore.person_token(email).await?;
                self.sigstore.sign(&image, Signer::Token(&token)).await?;
                only_bundle(&image).await?
            }
            Work::Attest(run) => {
                let token = self.sigstore.ci_token(&run).await?;
                let says = Provenance::new(SOURCE, VERSION, COMMIT, BUILDER).predicate();
                let (signer, kind) = (Signer::Token(&token), "slsaprovenance1");
                self.sigstore.attest(&image, signer, kind, &says).await?;
                only_bundle(&image).await?
            }
        };
        serde_json::from_slice(&bytes).context("failed to read a bundle")
    }

    async fn push(&self, name: &str, manifest: &[u8]) -> anyhow::Result<Image> {
        let path = format!("signed/{name}");
        Ok(Place::push(&self.host, &path, manifest).await?.image)
    }

    async fn sign_message(
        &self,
        name: &str,
        email: &str,
        manifest: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let file = |end: &str| self.directory.join(format!("{name}{end}"));
        let (message, token, bundle) = (file(".json"), file(".token"), file(".sigstore.json"));
        std::fs::write(&message, manifest).context("failed to write a manifest")?;
        let text = self.sigstore.person_token(email).await?;
        std::fs::write(&token, text).context("failed to write a token")?;
        let config = self.sigstore.signing_config(Proof::LogAndTimestamp);
        let arguments = [
            "sign-blob".to_owned(),
            format!("--trusted-root={}", self.sigstore.trusted_root().display()),
            format!("--signing-config={}", config.display()),
            format!("--bundle={}", bundle.display()),
            format!("--identity-token={}", token.display()),
            message.display().to_string(),
        ];
        let output = self.cosign.run(&arguments).await?;
        output.required("sign a manifest with cosign")?;
        std::fs::read(&bundle).context("failed to read a bundle")
    }
}

async fn only_bundle(image: &Image) -> anyhow::Result<Vec<u8>> {
    let bundles = referrer::bundles(image).await?;
    let bundle = bundles.into_iter().next();
    bundle.with_context(|| format!("nothing is attached to {image}"))
}

fn expired() -> anyhow::Result<Signed> {
    let bundle: Value = serde_json::from_str(EXPIRED.bundle).context("failed to read a bundle")?;
    let signer = By::Identity {
        subject: EXPIRED.subject.to_owned(),
        issuer: EXPIRED.issuer.to_owned(),
    };
    Ok(Signed::alone(EXPIRED.manifest.to_vec(), bundle, signer))
}
