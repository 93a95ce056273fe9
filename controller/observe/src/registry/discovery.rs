//! What is attached to one image: the subject, the lists of what refers to it, their manifests, their
//! bundles.
//!
//! Everything that lists is a hint; only what hashes to its digest is passed on, and only
//! signatures count later. Parts that are not there any more are left out; a part that cannot be
//! read, or passes a limit, fails the whole, so that nothing is hidden by what stands beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use lockmaster_core::evidence::Form;
use lockmaster_core::release::{Digest, ImageReference};
use lockmaster_verify::BUNDLE_LIMIT;
use reqwest::Url;

use super::cache::{CacheKey, Cached, Collection};
use super::document::{
    self, ACCEPT_MANIFEST, ACCEPT_SUBJECT, Descriptor, Document, MANIFEST_LIMIT,
};
use super::index;
use super::listing::limit_referrers;
use super::problem::{FetchError, Problem};
use super::shares::Budget;
use super::transport::{Outcome, Request};
use super::{CandidateBundle, CredentialIdentity, Inner, Reach};

/// Bundles of one predicate annotation that are read. The annotation is not signed, so that this
/// keeps an honest pipeline that signs too often from crowding out the rest, and nobody else.
const BUNDLES_PER_KIND_LIMIT: usize = 32;

/// Bundles that are read, whatever they are annotated with.
const BUNDLE_COUNT_LIMIT: usize = 128;

/// Requests in flight for one image at a time.
const PARALLEL: usize = 16;

/// One look at one image.
pub(super) struct Visit<'a> {
    pub(super) inner: &'a Inner,
    pub(super) image: &'a ImageReference,
    pub(super) identity: CredentialIdentity,
    pub(super) reach: Reach,
    pub(super) budget: Budget,
}

/// What is there.
pub(super) struct Found {
    pub(super) manifest: Arc<Vec<u8>>,
    pub(super) form: Form,
    pub(super) bundles: Vec<CandidateBundle>,
}

/// What the two kinds of content by digest differ in.
struct Part {
    collection: Collection,
    accept: Option<&'static str>,
    limit: usize,
}

const SUBJECT: Part = Part {
    collection: Collection::Manifests,
    accept: Some(ACCEPT_SUBJECT),
    limit: MANIFEST_LIMIT,
};
const CARRIER: Part = Part {
    collection: Collection::Manifests,
    accept: Some(ACCEPT_MANIFEST),
    limit: MANIFEST_LIMIT,
};
const BLOB: Part = Part {
    collection: Collection::Blobs,
    accept: None,
    limit: BUNDLE_LIMIT,
};

impl Visit<'_> {
    /// Three steps, each in parallel: subject and list; manifests; bundles.
    pub(super) async fn discover(&self) -> Result<Found, FetchError> {
        let (subject, lists) = tokio::join!(self.subject(), self.lists());
        let (manifest, form) = subject?;
        let descriptors = self.listed(lists).await?;
        let layers = self.carriers(descriptors).await?;
        let bundles = self.bundles(layers).await?;
        Ok(Found {
            manifest,
            form,
            bundles,
        })
    }

    async fn subject(&self) -> Result<(Arc<Vec<u8>>, Form), FetchError> {
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

    /// The layers that are bundles, over all manifests, within the caps.
    async fn carriers(&self, all: Vec<Descriptor>) -> Result<Vec<(Digest, u64)>, FetchError> {
        let referrers = document::carriers(all);
        limit_referrers(&referrers)
            .map_err(|problem| problem.reading(self.name("the referrers")))?;
        let carriers: Vec<Option<Carrier>> = stream::iter(referrers)
            .map(|(digest, size)| async move {
                self.by_digest(&CARRIER, &digest, Some(size), Carrier::read)
                    .await
                    .map_err(|p| p.reading(self.name(&format!("the referrer {digest}"))))
            })
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        bundles_of(carriers.into_iter().flatten())
            .map_err(|problem| problem.reading(self.name("the referrers")))
    }

    async fn bundles(&self, all: Vec<(Digest, u64)>) -> Result<Vec<CandidateBundle>, FetchError> {
        let bytes = |cached: &Cached| Ok(Arc::clone(&cached.bytes));
        self.reserve(&all)
            .await
            .map_err(|problem| problem.reading(self.name("the bundles")))?;
        let bundles: Vec<Option<CandidateBundle>> = stream::iter(all)
            .map(|(digest, size)| async move {
                let found = self.by_digest(&BLOB, &digest, Some(size), bytes).await?;
                Ok(found.map(|bytes| CandidateBundle { digest, bytes }))
            })
            .buffered(PARALLEL)
            .try_collect()
            .await
            .map_err(|problem: Problem| problem.reading(self.name("a bundle")))?;
        Ok(bundles.into_iter().flatten().collect())
    }

    /// Waits for the memory that the bundles take, before the first is asked for.
    async fn reserve(&self, all: &[(Digest, u64)]) -> Result<(), Problem> {
        let sizes = all.iter().map(|(_, size)| *size);
        let sum = sizes.fold(0, u64::saturating_add);
        let sum = usize::try_from(sum).unwrap_or(usize::MAX);
        self.budget.reserve(sum).await
    }

    /// What `read` makes of content by digest, from the cache or the registry; `None` when the
    /// registry has it not. Only what `read` takes is cached: the hash does not cover the media
    /// type that it came with, and a wrong one must not stay.
    async fn by_digest<T>(
        &self,
        part: &Part,
        digest: &Digest,
        size: Option<u64>,
        read: impl FnOnce(&Cached) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        let key = CacheKey {
            identity: self.identity,
            repository: self.image.repository().to_owned(),
            collection: part.collection,
            digest: digest.clone(),
        };
        if let Some(cached) = self.inner.read_cache(&key) {
            // It is in memory, but may be dropped from the cache while it is used.
            self.budget.take(cached.bytes.len()).await?;
            return read(&cached).map(Some);
        }
        if size.is_some_and(|size| size > part.limit as u64) {
            return Err(Problem::Limit {
                what: "bytes",
                limit: part.limit,
            });
        }
        let collection = match part.collection {
            Collection::Manifests => "manifests",
            Collection::Blobs => "blobs",
        };
        let url = self.url(&format!("{collection}/{digest}"))?;
        let Outcome::Found(answer) = self.get(url, part.accept, part.limit).await? else {
            return Ok(None);
        };
        let found = Digest::of(&answer.body);
        if found != *digest {
            return Err(Problem::Hash { found });
        }
        let (content_type, bytes) = (answer.content_type, Arc::new(answer.body));
        let cached = Cached {
            content_type,
            bytes,
        };
        let made = read(&cached)?;
        self.inner.insert_cache(key, cached);
        Ok(Some(made))
    }

    pub(super) async fn get(
        &self,
        url: Url,
        accept: Option<&'static str>,
        limit: usize,
    ) -> Result<Outcome, Problem> {
        let request = Request {
            url,
            image: self.image,
            identity: self.identity,
            accept,
            limit,
            budget: &self.budget,
            follow: accept.is_none(),
        };
        self.inner.transport.get(&request).await
    }

    pub(super) fn url(&self, rest: &str) -> Result<Url, Problem> {
        let registry = self.inner.transport.registry(self.image)?;
        registry
            .join(&format!("/v2/{}/{rest}", self.image.path()))
            .map_err(|_| Problem::Address("the image's repository is no path".to_owned()))
    }

    pub(super) fn name(&self, what: &str) -> String {
        format!("{what} of {}", self.image)
    }
}

/// What a referrer's manifest says of bundles.
#[derive(Default)]
struct Carrier {
    bundles: Vec<(Digest, u64)>,
    predicate: Option<String>,
}

impl Carrier {
    fn read(cached: &Cached) -> Result<Self, Problem> {
        match document::read(&cached.bytes, cached.content_type.as_deref())? {
            Document::Manifest {
                layers, predicate, ..
            } => Ok(Self {
                bundles: document::bundle_layers(layers).collect(),
                predicate,
            }),
            // It was listed as a manifest; its bytes say otherwise, and carry no bundle.
            Document::Index { .. } => Ok(Self::default()),
        }
    }
}

/// The bundles of all carriers, each once.
fn bundles_of(carriers: impl Iterator<Item = Carrier>) -> Result<Vec<(Digest, u64)>, Problem> {
    let mut kinds: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for Carrier { bundles, predicate } in carriers {
        let count = kinds.entry(predicate).or_default();
        *count += bundles.len();
        if *count > BUNDLES_PER_KIND_LIMIT {
            return Err(Problem::Limit {
                what: "bundles of one kind",
                limit: BUNDLES_PER_KIND_LIMIT,
            });
        }
        let new = bundles
            .into_iter()
            .filter(|(digest, _)| seen.insert(digest.clone()));
        found.extend(new);
        if found.len() > BUNDLE_COUNT_LIMIT {
            return Err(Problem::Limit {
                what: "bundles",
                limit: BUNDLE_COUNT_LIMIT,
            });
        }
    }
    Ok(found)
}
