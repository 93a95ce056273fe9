//! What is attached to one image: the subject, the lists of what refers to it, their manifests, their
//! bundles.
//!
//! Everything that lists is a hint; only what hashes to its digest is passed on, and only
//! signatures count later. Parts that are not there any more are left out; a part that cannot be
//! read, or passes a limit, fails the whole, so that nothing is hidden by what stands beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lockmaster_core::evidence::{Carrier, Form};
use lockmaster_core::release::{Digest, ImageReference};
use reqwest::Url;

use super::again::{Listing, Named};
use super::answer::{Answer, Outcome};
use super::cache::{CacheKey, Cached, Collection};
use super::carriers::{self, CandidateBundle, Layer, Place};
use super::document::{self, MANIFEST_LIMIT};
use super::index;
use super::layout;
use super::listing::{Lists, limit_referrers};
use super::part::{CARRIER, Part, SUBJECT};
use super::problem::{FetchError, Problem};
use super::shares::Budget;
use super::transport::{Kind, Request, Transport};
use super::{Artifact, Credentials, Inner, Reach, Source};

/// Requests in flight for one image at a time.
const PARALLEL: usize = 16;

/// One look at one image.
pub(super) struct Visit<'a> {
    pub(super) inner: &'a Inner,
    pub(super) image: &'a ImageReference,
    pub(super) credentials: &'a Credentials,
    pub(super) reach: Reach,
    pub(super) budget: Budget,
}

/// What is there.
pub(super) struct Found {
    pub(super) manifest: Arc<Vec<u8>>,
    pub(super) form: Form,
    pub(super) places: Vec<Place>,
    pub(super) bundles: Vec<CandidateBundle>,
    pub(super) listing: Listing,
}

/// A blob, as layers list it.
struct Listed {
    /// The largest size that any of them names.
    size: u64,
    /// How many they are.
    times: usize,
    /// How it is read.
    part: Part,
}

impl Visit<'_> {
    /// Three steps, each in parallel: subject and lists; manifests; bundles.
    pub(super) async fn discover(&self) -> Result<Found, FetchError> {
        let at = Instant::now();
        let (subject, lists, older) =
            tokio::join!(self.subject(), self.lists(), self.older_formats());
        let subject = subject?;
        let named = self.named(at, lists, older).await?;
        self.read(subject, named).await
    }

    /// What was found, with the memory that it takes.
    pub(super) fn keep(self, found: Found) -> Artifact {
        let Found {
            manifest,
            form,
            places,
            bundles,
            listing,
        } = found;
        Artifact {
            manifest,
            form,
            places,
            bundles,
            listing: Some(listing),
            _held: self.budget.into_held(),
        }
    }

    pub(super) async fn named(
        &self,
        at: Instant,
        lists: Lists,
        older: Result<Vec<(Place, Vec<Layer>)>, FetchError>,
    ) -> Result<Named, FetchError> {
        let referrers = document::carriers(self.listed(lists).await?);
        limit_referrers(&referrers)
            .map_err(|problem| problem.reading(self.name("the referrers")))?;
        Ok(Named {
            referrers,
            older: older?,
            at,
        })
    }

    pub(super) async fn read(
        &self,
        (manifest, form): (Arc<Vec<u8>>, Form),
        named: Named,
    ) -> Result<Found, FetchError> {
        let digest = named.digest();
        let Named {
            referrers,
            older,
            at,
        } = named;
        let read = self.carriers(referrers).await?;
        let mut is_whole = read.iter().all(Option::is_some);
        let mut carriers: Vec<_> = read.into_iter().flatten().collect();
        carriers.extend(older);
        carriers.retain(|(_, layers)| !layers.is_empty());
        let (places, layers): (Vec<_>, Vec<_>) = carriers.into_iter().unzip();
        let layers = carriers::within_limits(layers.into_iter().flatten())
            .map_err(|problem| problem.reading(self.name("what is attached")))?;
        let count = layers.len();
        let bundles = self.bundles(layers).await?;
        is_whole &= bundles.len() == count;
        Ok(Found {
            manifest,
            form,
            places,
            bundles,
            listing: Listing {
                at,
                names: is_whole.then_some(digest),
            },
        })
    }

    pub(super) async fn subject(&self) -> Result<(Arc<Vec<u8>>, Form), FetchError> {
        let digest = self.image.digest();
        let read = |cached: &Cached| {
            let form = index::form_of(cached)?;
            Ok((Arc::clone(&cached.bytes), form))
        };
        self.by_digest(&SUBJECT, digest, None, read)
            .await
            .and_then(|found| found.ok_or(Problem::Missing))
            .map_err(|problem| problem.reading(self.name("the manifest")))
    }

    /// Asks the registry itself for the subject, where that may have come from a mirror.
    pub(super) async fn confirm(&self) -> Result<(), FetchError> {
        let read = async {
            let Source::Registries(transport) = &self.inner.source else {
                return Ok(());
            };
            let url = self.url(transport, &format!("manifests/{}", self.image.digest()))?;
            let request = self.request(url, SUBJECT.accept, SUBJECT.limit, Kind::Manifest);
            transport.confirm(&request).await
        };
        read.await
            .map_err(|problem: Problem| problem.reading(self.name("the manifest")))
    }

    /// The referrers that are there, with their layers that are bundles.
    async fn carriers(
        &self,
        referrers: Vec<(Digest, u64)>,
    ) -> Result<Vec<Option<(Place, Vec<Layer>)>>, FetchError> {
        stream::iter(referrers)
            .map(|(manifest, size)| async move {
                let place = Place {
                    carrier: Carrier::Bundle,
                    manifest,
                };
                let read = |cached: &Cached| place.layers(cached);
                let found = self
                    .by_digest(&CARRIER, &place.manifest, Some(size), read)
                    .await;
                let what = || self.name(&format!("the referrer {}", place.manifest));
                let found = found.map_err(|problem| problem.reading(what()))?;
                Ok(found.map(|layers| (place, layers)))
            })
            .buffered(PARALLEL)
            .try_collect()
            .await
    }

    /// The layers with their bytes; those that are not there any more are left out.
    async fn bundles(&self, layers: Vec<Layer>) -> Result<Vec<CandidateBundle>, FetchError> {
        let failed = |problem: Problem| problem.reading(self.name("a bundle"));
        let limits = self.inner.limits(self.image);
        let mut blobs: BTreeMap<Digest, Listed> = BTreeMap::new();
        for layer in &layers {
            let part = Part::of(layer, &limits);
            part.fits(layer.size).map_err(failed)?;
            let listed = blobs.entry(layer.digest.clone());
            let listed = listed.or_insert(Listed {
                size: 0,
                times: 0,
                part,
            });
            listed.size = listed.size.max(layer.size);
            listed.times += 1;
        }
        self.reserve(layers.iter().map(|layer| &layer.size))
            .await
            .map_err(failed)?;
        let bytes = |cached: &Cached| Ok(Arc::clone(&cached.bytes));
        let blobs: BTreeMap<Digest, Option<Arc<Vec<u8>>>> = stream::iter(blobs)
            .map(|(digest, Listed { size, times, part })| async move {
                let found = self.by_digest(&part, &digest, Some(size), bytes).await;
                let found = found.map_err(|problem| part.named(problem))?;
                if let Some(bytes) = &found {
                    // It is held once, and judged for each: one look may cost no more than its bytes.
                    self.budget
                        .take(bytes.len().saturating_mul(times - 1))
                        .await?;
                }
                Ok((digest, found))
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await
            .map_err(failed)?;
        let bundles = layers.into_iter().filter_map(|layer| {
            let bytes = blobs.get(&layer.digest)?.clone()?;
            Some(layer.holding(bytes))
        });
        Ok(bundles.collect())
    }

    /// Waits for the memory that the bundles take, before the first is asked for.
    async fn reserve(&self, sizes: impl Iterator<Item = &u64>) -> Result<(), Problem> {
        let sum = sizes.fold(0, |sum: u64, size| sum.saturating_add(*size));
        let sum = usize::try_from(sum).unwrap_or(usize::MAX);
        self.budget.reserve(sum).await
    }

    pub(super) fn key(&self, collection: Collection, digest: &Digest) -> CacheKey {
        CacheKey {
            identity: self.credentials.identity().clone(),
            repository: self.image.repository().to_owned(),
            collection,
            digest: digest.clone(),
        }
    }

    /// What `read` makes of content by digest, from the cache or the registry; `None` when the
    /// registry has it not. Only what `read` takes is cached: the hash does not cover the media
    /// type that it came with, and a wrong one must not stay.
    pub(super) async fn by_digest<T>(
        &self,
        part: &Part,
        digest: &Digest,
        size: Option<u64>,
        read: impl Fn(&Cached) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        let key = self.key(part.collection, digest);
        if let Some(cached) = self.inner.read_cache(&key) {
            // It is in memory, but may be dropped from the cache while it is used.
            self.budget.take(cached.bytes.len()).await?;
            return read(&cached).map(Some);
        }
        part.fits(size.unwrap_or_default())?;
        let found = match &self.inner.source {
            Source::Registries(transport) => self.ask(transport, part, digest, read).await?,
            Source::Layout(layout) => {
                let body = layout.blob(digest, part.limit, &self.budget).await?;
                let found = Digest::of(&body);
                if found != *digest {
                    return Err(layout::other_bytes(digest, &found));
                }
                let content_type = match part.collection {
                    Collection::Manifests => layout.media_type(digest, &body),
                    Collection::Blobs => None,
                };
                let bytes = Arc::new(body);
                let cached = Cached {
                    content_type,
                    bytes,
                };
                Outcome::Found((read(&cached)?, cached))
            }
        };
        match found {
            Outcome::Missing { .. } => Ok(None),
            Outcome::Found((made, cached)) => {
                self.inner.insert_cache(key, cached);
                Ok(Some(made))
            }
        }
    }

    /// The same from the registry, or a mirror of it.
    async fn ask<T>(
        &self,
        transport: &Transport,
        part: &Part,
        digest: &Digest,
        read: impl Fn(&Cached) -> Result<T, Problem>,
    ) -> Result<Outcome<(T, Cached)>, Problem> {
        let (collection, kind) = match part.collection {
            Collection::Manifests => ("manifests", Kind::Manifest),
            Collection::Blobs => ("blobs", Kind::Blob),
        };
        let url = self.url(transport, &format!("{collection}/{digest}"))?;
        let request = self.request(url, part.accept, part.limit, kind);
        // Of every place that is asked: a mirror that sends something else is passed over.
        let checked = |answer: Answer| {
            let found = Digest::of(&answer.body);
            if found != *digest {
                return Err(Problem::Hash { found });
            }
            let cached = Cached {
                content_type: answer.content_type,
                bytes: Arc::new(answer.body),
            };
            Ok((read(&cached)?, cached))
        };
        transport.get(&request, checked).await
    }

    /// What has no hash that is known before: a page of referrers, or what is under a tag.
    pub(super) async fn list_at(
        &self,
        transport: &Transport,
        url: Url,
        accept: &'static str,
    ) -> Result<Outcome<Answer>, Problem> {
        let request = self.request(url, Some(accept), MANIFEST_LIMIT, Kind::List);
        transport.get(&request, Ok).await
    }

    fn request(
        &self,
        url: Url,
        accept: Option<&'static str>,
        limit: usize,
        kind: Kind,
    ) -> Request<'_> {
        Request {
            url,
            image: self.image,
            credentials: self.credentials,
            accept,
            limit,
            budget: &self.budget,
            kind,
        }
    }

    pub(super) fn url(&self, transport: &Transport, rest: &str) -> Result<Url, Problem> {
        let registry = transport.registry(self.image)?;
        registry
            .join(&format!("/v2/{}/{rest}", self.image.path()))
            .map_err(|_| Problem::Address("the image's repository is no path".to_owned()))
    }

    pub(super) fn name(&self, what: &str) -> String {
        format!("{what} of {}", self.image)
    }
}
