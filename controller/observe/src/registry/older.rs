//! What lies under tags that speak of an image: `sha256-<hex>.sig` and `sha256-<hex>.att`, where cosign
//! kept it before version 3, and others.

use std::sync::Arc;

use lockmaster_core::evidence::Carrier;
use lockmaster_core::release::Digest;

use super::answer::Outcome;
use super::cache::{Cached, Collection};
use super::carriers::{Layer, Place};
use super::discovery::Visit;
use super::document::ACCEPT_LEGACY;
use super::part::CARRIER;
use super::problem::{FetchError, Problem};
use super::{Reach, Source};

impl Visit<'_> {
    /// What lies under the tags of the older formats, where the tags are read.
    pub(super) async fn older_formats(&self) -> Result<Vec<(Place, Vec<Layer>)>, FetchError> {
        match self.reach {
            Reach::Referrers => Ok(Vec::new()),
            Reach::Tags => {
                let (signatures, attestations) = tokio::join!(
                    self.older_format(Carrier::LegacySignature, ".sig"),
                    self.older_format(Carrier::LegacyAttestation, ".att")
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
        let read = async {
            let Some(cached) = self.tagged(suffix, ACCEPT_LEGACY).await? else {
                return Ok(None);
            };
            let manifest = Digest::of(&cached.bytes);
            let place = Place { carrier, manifest };
            let layers = place.layers(&cached)?;
            let key = self.key(Collection::Manifests, &place.manifest);
            self.inner.insert_cache(key, cached);
            Ok(Some((place, layers)))
        };
        read.await.map_err(|problem: Problem| {
            let tag = self.tag(suffix);
            problem.reading(self.name(&format!("the tag {tag}")))
        })
    }

    /// A tag that speaks of the image, and what lies under it.
    fn tag(&self, suffix: &str) -> String {
        format!("sha256-{}{suffix}", self.image.digest().hexadecimal())
    }

    pub(super) async fn tagged(
        &self,
        suffix: &str,
        accept: &'static str,
    ) -> Result<Option<Cached>, Problem> {
        match &self.inner.source {
            Source::Registries(transport) => {
                let url = self.url(transport, &format!("manifests/{}", self.tag(suffix)))?;
                let Outcome::Found(answer) = self.list_at(transport, url, accept).await? else {
                    return Ok(None);
                };
                Ok(Some(Cached {
                    content_type: answer.content_type,
                    bytes: Arc::new(answer.body),
                }))
            }
            Source::Layout(layout) => {
                let Some(digest) = layout.tagged(self.image.digest(), suffix)? else {
                    return Ok(None);
                };
                self.by_digest(&CARRIER, digest, None, |cached| Ok(cached.clone()))
                    .await
            }
        }
    }
}
