//! What was read from the registry so far and judged, as far as the gates asked for it.

use std::collections::BTreeMap;

use lockmaster_core::evidence::{Anchor, Evidence, Listed};
use lockmaster_core::facts::{Cause, Observed, Unavailable};
use lockmaster_core::release::{ImageReference, parse_registry_address};
use lockmaster_observe::registry::{
    Artifact, Config, Credentials, FetchError, Problem, Reach, Registry, RegistryClient,
};
use lockmaster_verify::{Subject, Trust};

use crate::args::Verify;
use crate::failure::{Exit, Failure};

/// What is known by image: the one asked about and, where it is an index, its images, which are
/// judged under the same anchors.
pub(super) struct Found {
    client: RegistryClient,
    trust: Trust,
    pub(super) evidence: BTreeMap<ImageReference, Observed<Evidence>>,
}

impl Found {
    /// Nothing yet; everything will be judged under `anchors`.
    pub(super) fn new(arguments: &Verify, anchors: &[Anchor]) -> anyhow::Result<Self> {
        let plain = arguments.plain_http_registry.iter();
        let client = RegistryClient::new(&Config {
            registries: plain.map(|host| Registry::plain_http(host)).collect(),
            user_agent: concat!("kubectl-promote/", env!("CARGO_PKG_VERSION")).to_owned(),
        })?;
        Ok(Self {
            client,
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
        let nobody = Credentials::anonymous("");
        let seen = match self.client.look(image, &nobody, reach).await {
            Ok(artifact) => Observed::Known(self.judged(image, &artifact, reach)?),
            Err(error) if error.cause() == Cause::Missing => {
                Observed::Unavailable(Unavailable::from(error))
            }
            // Nothing is known then, so there is nothing to judge.
            Err(error) => return Err(unreadable(&error, image).into()),
        };
        self.evidence.insert(image.clone(), seen);
        Ok(())
    }

    /// The same for each image of an index that was read.
    pub(super) async fn read_children(&mut self, index: &ImageReference) -> anyhow::Result<()> {
        let known = self.evidence.get(index).and_then(Observed::known);
        let children = known.map_or(&[][..], |index| index.form.children());
        let images = children
            .iter()
            .map(|child| index.with_digest(child.digest.clone()));
        for image in images.collect::<Vec<_>>() {
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
            let text = format!("the registry's manifest is not that of {digest}");
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

fn unreadable(error: &FetchError, image: &ImageReference) -> Failure {
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
