//! What lies under the tags `sha256-<hex>.sig` and `sha256-<hex>.att`, where cosign kept it before
//! version 3.

use std::sync::Arc;

use lockmaster_core::evidence::Carrier;
use lockmaster_core::release::Digest;

use super::Reach;
use super::answer::Outcome;
use super::cache::{Cached, Collection};
use super::carriers::{Layer, Place};
use super::discovery::Visit;
use super::document::ACCEPT_LEGACY;
use super::problem::{FetchError, Problem};

impl Visit<'_> {
    /// What lies under the tags of the older formats, where the tags are read.
    pub(super) async fn older_formats(&self) -> Result<Vec<(Place, Vec<Layer>)>, FetchError> {
        match self.reach {
            Reach::Referrers => Ok(Vec::new()),
            Reach::Tags => {
                let (signatures, attestations) = tokio::join!(
                    self.older_format(Carrier::LegacySignature, "sig"),
                    self.older_format(Carrier::LegacyAttestation, "att")
                );
                Ok(signatures?.into_iter().chain(attestations?).collect())
            }
        }
    }

    /// The manifest under one such tag. Anyone who may push may change it: a hint like the rest.
    async fn older_format(
        &self,
        carrier: Carrier,
        suffix: &str,
    ) -> Result<Option<(Place, Vec<Layer>)>, FetchError> {
        let tag = format!("sha256-{}.{suffix}", self.image.digest().hexadecimal());
        let read = async {
            let url = self.url(&format!("manifests/{tag}"))?;
            let Outcome::Found(answer) = self.list_at(url, ACCEPT_LEGACY).await? else {
                return Ok(None);
            };
            let manifest = Digest::of(&answer.body);
            let cached = Cached {
                content_type: answer.content_type,
                bytes: Arc::new(answer.body),
            };
            let place = Place { carrier, manifest };
            let layers = place.layers(&cached)?;
            let key = self.key(Collection::Manifests, &place.manifest);
            self.inner.insert_cache(key, cached);
            Ok(Some((place, layers)))
        };
        read.await
            .map_err(|problem: Problem| problem.reading(self.name(&format!("the tag {tag}"))))
    }
}
