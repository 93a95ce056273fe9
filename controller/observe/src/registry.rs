//! Reads what is attached to an image from its registry: own GETs, hard limits, no trust.
//!
//! The registry is hostile storage. What comes back is hashed here, and nothing is believed but
//! hashes; signatures are judged elsewhere. A cold image with a signature, a provenance and an SBOM
//! costs exactly 8 requests. [`RegistryClient::fetch`] is the only way in.

mod address;
mod cache;
mod discovery;
mod document;
mod problem;
mod token;
mod transport;

#[cfg(test)]
pub(crate) mod lying;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared, WeakShared};
use lockmaster_core::release::{Digest, ImageReference};
use tokio::sync::Semaphore;

use cache::{Cache, CacheKey, Cached, Collection};
use discovery::{TOTAL_LIMIT, Visit};
pub use problem::{FetchError, Problem};
use transport::{Budget, Transport};

/// One deadline for everything about one image. Eight requests in three steps take milliseconds;
/// a registry that needs longer is asked again later.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long "this registry has no referrers API" is believed.
const NO_REFERRERS_FOR: Duration = Duration::from_mins(10);

/// More repositories than this are not remembered as lacking the API.
const NO_REFERRERS_LIMIT: usize = 1024;

/// Manifests and bundles kept in memory.
const CACHE_BYTES: usize = 32 << 20;

/// Images looked at side by side; bounds memory to this times the limit per image.
const FLIGHT_LIMIT: usize = 8;

/// Whose credentials a request carries. Part of the key of every cache, memory and flight, so that
/// nobody reads through a warm cache what is not theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialIdentity {
    /// Nobody's.
    Anonymous,
}

/// How to reach registries. Without a default, so that nobody asks without saying who it is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Registries, `HOST:PORT` as in the image reference, that are reached by plain HTTP and may be
    /// on any address. All others are reached by HTTPS and on public addresses only.
    pub plain_http: BTreeSet<String>,
    /// `User-Agent` of every request, such as `lockmaster/1.2.3`: by it the owners of a registry
    /// know whom to ask, and many limit harder who does not say.
    pub user_agent: String,
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to make the registry client")]
pub struct SetupError(#[from] reqwest::Error);

/// What a registry holds about one image; everything in it hashes to its digest.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The image's manifest or index, byte for byte.
    pub manifest: Arc<Vec<u8>>,
    /// What may be Sigstore bundles about it, in the registry's order, each once.
    pub bundles: Vec<CandidateBundle>,
}

/// Bytes that a registry lists as a Sigstore bundle. Nothing has been verified but their hash.
#[derive(Debug, Clone)]
pub struct CandidateBundle {
    /// Digest of the bytes.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Arc<Vec<u8>>,
}

/// Reads registries. Clones share connections, cache and flights.
#[derive(Clone)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

type Flight = BoxFuture<'static, Result<Arc<Artifact>, FetchError>>;
type FlightKey = (CredentialIdentity, ImageReference);

struct Inner {
    transport: Transport,
    cache: Mutex<Cache>,
    no_referrers: Mutex<BTreeMap<(CredentialIdentity, String), Instant>>,
    flights: Mutex<BTreeMap<FlightKey, WeakShared<Flight>>>,
    permits: Semaphore,
    deadline: Duration,
}

impl RegistryClient {
    /// A client with this configuration.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        Self::with_limits(config, DEADLINE, CACHE_BYTES)
    }

    fn with_limits(
        config: &Config,
        deadline: Duration,
        cache_bytes: usize,
    ) -> Result<Self, SetupError> {
        let inner = Inner {
            transport: Transport::new(config)?,
            cache: Mutex::new(Cache::new(cache_bytes)),
            no_referrers: Mutex::default(),
            flights: Mutex::default(),
            permits: Semaphore::new(FLIGHT_LIMIT),
            deadline,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Reads the image's manifest and everything attached to it. Callers that ask for the same
    /// image meanwhile get the same answer from the same requests.
    pub async fn fetch(&self, image: &ImageReference) -> Result<Arc<Artifact>, FetchError> {
        self.flight(CredentialIdentity::Anonymous, image).await
    }

    /// The image's manifest and these bundles, when all of them are still in memory. No requests.
    #[must_use]
    pub fn read_cached(&self, image: &ImageReference, bundles: &[Digest]) -> Option<Artifact> {
        let read = |collection, digest: &Digest| {
            self.inner.read_cache(&CacheKey {
                identity: CredentialIdentity::Anonymous,
                repository: image.repository().to_owned(),
                collection,
                digest: digest.clone(),
            })
        };
        let manifest = read(Collection::Manifests, image.digest())?.bytes;
        let bundle = |digest: &Digest| {
            Some(CandidateBundle {
                digest: digest.clone(),
                bytes: read(Collection::Blobs, digest)?.bytes,
            })
        };
        let bundles = bundles.iter().map(bundle).collect::<Option<_>>()?;
        Some(Artifact { manifest, bundles })
    }

    fn flight(&self, identity: CredentialIdentity, image: &ImageReference) -> Shared<Flight> {
        let mut flights = lock(&self.inner.flights);
        let key = (identity, image.clone());
        if let Some(running) = flights.get(&key).and_then(WeakShared::upgrade) {
            return running;
        }
        flights.retain(|_, flight| flight.upgrade().is_some());
        let (inner, image) = (Arc::clone(&self.inner), image.clone());
        let flight: Shared<Flight> =
            async move { inner.fetch(identity, &image).await.map(Arc::new) }
                .boxed()
                .shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, weak);
        }
        flight
    }
}

impl Inner {
    async fn fetch(
        &self,
        identity: CredentialIdentity,
        image: &ImageReference,
    ) -> Result<Artifact, FetchError> {
        // Never closed, so this is always a permit; waiting for it does not count as the
        // registry's time.
        let _permit = self.permits.acquire().await;
        let visit = Visit {
            inner: self,
            image,
            identity,
            budget: Budget::new(TOTAL_LIMIT),
        };
        tokio::time::timeout(self.deadline, visit.discover())
            .await
            .unwrap_or_else(|_| {
                let problem = Problem::Deadline(self.deadline.as_secs());
                Err(problem.reading(format!("the evidence of {image}")))
            })
    }

    fn read_cache(&self, key: &CacheKey) -> Option<Cached> {
        lock(&self.cache).read(key)
    }

    fn insert_cache(&self, key: CacheKey, cached: Cached) {
        lock(&self.cache).insert(key, cached);
    }

    fn knows_no_referrers(&self, identity: CredentialIdentity, image: &ImageReference) -> bool {
        let mut known = lock(&self.no_referrers);
        known.retain(|_, until| *until > Instant::now());
        known.contains_key(&(identity, image.repository().to_owned()))
    }

    fn remember_no_referrers(&self, identity: CredentialIdentity, image: &ImageReference) {
        let mut known = lock(&self.no_referrers);
        if known.len() < NO_REFERRERS_LIMIT {
            let until = Instant::now() + NO_REFERRERS_FOR;
            known.insert((identity, image.repository().to_owned()), until);
        }
    }
}

/// A panic while one of these is held leaves nothing half done: each holder does one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
