//! What was read of the image so far and judged, as far as the gates asked for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockmaster_core::evidence::{Anchor, Evidence, Listed};
use lockmaster_core::facts::{Cause, Observed, Unavailable};
use lockmaster_core::release::{ImageReference, parse_registry_address};
use lockmaster_observe::registry::{
    Artifact, Config, FetchError, Problem, Reach, Registry, RegistryClient,
};
use lockmaster_verify::{Subject, Trust};

use super::login::Login;
use crate::args::Verify;
use crate::failure::{Exit, Failure};

/// What is known by image: the one asked about and, where it is an index, its images, which are
/// judged under the same anchors.
pub(super) struct Found {
    client: RegistryClient,
    login: Login,
    /// The directory that is read in place of registries.
    layout: Option<PathBuf>,
    trust: Trust,
    pub(super) evidence: BTreeMap<ImageReference, Observed<Evidence>>,
}

impl Found {
    /// Nothing yet; everything will be judged under `anchors`.
    pub(super) async fn new(arguments: &Verify, anchors: &[Anchor]) -> anyhow::Result<Self> {
        let (client, login) = if let Some(directory) = &arguments.oci_layout {
            let opened = RegistryClient::of_layout(directory).await;
            let client = opened.map_err(|error| not_in_layout(&error, directory))?;
            (client, Login::nobody())
        } else {
            let plain = arguments.plain_http_registry.iter();
            let client = RegistryClient::new(&Config {
                registries: plain.map(|host| Registry::plain_http(host)).collect(),
                user_agent: concat!("kubectl-promote/", env!("CARGO_PKG_VERSION")).to_owned(),
            })?;
            (client, Login::read(arguments.registry_config.as_deref())?)
        };
        Ok(Self {
            client,
            login,
            layout: arguments.oci_layout.clone(),
            trust: Trust::new(anchors),
            evidence: BTreeMap::new(),
        })
    }

    /// Reads what is attached to the image and judges each piece.
    pub(super) async fn read(
        &mut self,
        image: &ImageReference,
        reach: Reach,
    ) -> anyhow::Result<()> {
        let credentials = self.login.credentials();
        let seen = match self.client.look(image, credentials, reach).await {
            Ok(artifact) => Observed::Known(self.judged(image, &artifact, reach)?),
            Err(error) if error.cause() == Cause::Missing => {
                Observed::Unavailable(Unavailable::from(error))
            }
            // Nothing is known then, so there is nothing to judge.
            Err(error) => {
                return Err(match &self.layout {
                    Some(directory) => not_in_layout(&error, directory),
                    None => unreadable(&error, image, &self.login),
                }
                .into());
            }
        };
        self.evidence.insert(image.clone(), seen);
        Ok(())
    }

    /// The same for each image of an index that was read.
    pub(super) async fn read_children(&mut self, index: &ImageReference) -> anyhow::Result<()> {
        let known = self.evidence.get(index).and_then(Observed::known);
        let images = known.map_or_else(Vec::new, |known| known.form.images(index));
        for image in images {
            self.read(&image, Reach::Referrers).await?;
        }
        Ok(())
    }

    fn judged(
        &self,
        image: &ImageReference,
        artifact: &Artifact,
        reach: Reach,
    ) -> Result<Evidence, Failure> {
        let digest = image.digest();
        let Some(subject) = Subject::new(digest, &artifact.manifest) else {
            // The client compares it as well; said here once more, because all below rests on it.
            let text = format!("the manifest that was read is not that of {digest}");
            return Err(Failure::new(Exit::EvidenceInvalid, text));
        };
        let bundles = artifact.bundles.iter();
        Ok(Evidence {
            subject: digest.clone(),
            form: artifact.form.clone(),
            bundles: bundles
                .map(|found| found.candidate.judge(&subject, &self.trust))
                .collect(),
            withdrawn: [].into(),
            tags: match reach {
                Reach::Referrers => Observed::Pending,
                Reach::Tags => Observed::Known(()),
            },
            listed: Listed::default(),
        })
    }
}

/// Of a directory nothing is awaited, so whatever is wrong with it is for who gave it.
fn not_in_layout(error: &FetchError, directory: &Path) -> Failure {
    Failure::usage(format!(
        "{error}; check the directory and the digest, or copy the image there with all that refers \
         to it: oras copy --recursive --to-oci-layout IMAGE@DIGEST {}:copy",
        directory.display()
    ))
}

fn unreadable(error: &FetchError, image: &ImageReference, login: &Login) -> Failure {
    if let Problem::Forbidden {
        who,
        status,
        login: shown,
    } = error.problem
    {
        let mend = login.mend(image.repository(), shown);
        let what = &error.what;
        return Failure::usage(format!(
            "failed to read {what}: the {who} answered {status}: {mend}"
        ));
    }
    if let Problem::Challenge(_) = error.problem {
        return Failure::usage(format!(
            "{error}; or copy the image with a tool that logs in there, such as oras, and read the \
             copy with --oci-layout DIR"
        ));
    }
    let private = matches!(error.problem, Problem::Address(_));
    let listed = parse_registry_address(image.registry());
    let mend = match (private, listed) {
        (false, _) => String::new(),
        (true, Ok(registry)) => format!("; if it is yours: --plain-http-registry {registry}"),
        (true, Err(_)) => "; if it is yours, name it with its port, and list that with \
                           --plain-http-registry HOST:PORT"
            .to_owned(),
    };
    Failure::usage(format!("{error}{mend}"))
}
