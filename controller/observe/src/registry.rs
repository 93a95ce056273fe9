//! Reads what is attached to an image from its registry: own GETs, hard limits, no trust.
//!
//! The registry is hostile storage. What comes back is hashed here, and nothing is believed but
//! hashes; signatures are judged elsewhere. A cold image with a signature, a provenance and an SBOM
//! costs exactly 8 requests. [`RegistryClient::look`] is the only way in.

mod address;
mod again;
mod answer;
mod breaker;
mod bucket;
mod cache;
mod carriers;
mod challenge;
mod config;
mod credentials;
mod discovery;
mod docker_config;
mod document;
mod endpoint;
mod flights;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod layout;
mod link;
mod listing;
mod older;
mod own;
mod part;
mod problem;
mod retry;
mod shares;
mod source;
mod token;
mod traffic;
mod transport;
mod waiters;

#[cfg(test)]
pub(crate) mod lying;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use again::{Listing, Looked};
use cache::{Cache, CacheKey, Cached, Collection};
use carriers::Layer;
pub use carriers::{CandidateBundle, Place};
pub use config::{Config, ConfigError, Limits, Mirror, RegistriesFile, Registry};
pub use credentials::{CredentialIdentity, Credentials, PullSecret};
use discovery::Visit;
pub use docker_config::{DockerConfig, DockerConfigError};
use flights::{FlightKey, Flying};
use layout::Layout;
use lockmaster_core::evidence::Form;
use lockmaster_core::release::{Digest, ImageReference};
pub use problem::{FetchError, Problem};
pub(crate) use shares::PerNamespace;
use shares::{Held, Lane, Shares};
use source::Source;
pub use traffic::{TrafficEvent, TrafficObserver};
use transport::Transport;
pub use waiters::Waiters;

/// One deadline for everything about one image. Eight requests in three steps take milliseconds;
/// a registry that needs longer is asked again later.
const DEADLINE: Duration = Duration::from_secs(10);

/// Manifests and bundles kept in memory.
pub(crate) const CACHE_BYTES: usize = 16 << 20;

/// Bytes of what is being read and judged at a time, over all images. One image may hold three
/// quarters of it: the largest bundle, and half as much besides.
pub(crate) const READING_BYTES: usize = 32 << 20;

/// The largest bundle.
pub(crate) const BUNDLE_BYTES: usize = lockmaster_verify::BUNDLE_LIMIT;

/// The bounds of a client.
struct Bounds {
    deadline: Duration,
    cache: usize,
    reading: usize,
    /// The first pause between two attempts at a request.
    pause: Duration,
}

const BOUNDS: Bounds = Bounds {
    deadline: DEADLINE,
    cache: CACHE_BYTES,
    reading: READING_BYTES,
    pause: retry::FIRST_PAUSE,
};

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An HTTP client could not be made.
    #[error("failed to make the registry client")]
    Client(#[from] reqwest::Error),
    /// A registry of the configuration cannot be used as it stands there.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// How much of what may be attached to an image is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// What the registry lists as referrers: all there is, for today's tools. Where it has no such
    /// API, the fallback tag in its place.
    #[default]
    Referrers,
    /// The tags too: where the referrers did not suffice.
    Tags,
}

/// What a registry holds about one image; everything in it hashes to its digest.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The image's manifest or index, byte for byte.
    pub manifest: Arc<Vec<u8>>,
    /// What it is: one image, or an index of several.
    pub form: Form,
    /// Which manifests carried something.
    pub places: Vec<Place>,
    /// What may be evidence about it, in the registry's order, each once.
    pub bundles: Vec<CandidateBundle>,
    /// When and as what it was listed; absent of what is only in memory.
    pub listing: Option<Listing>,
    /// The memory for it, which others may have when this is dropped.
    _held: Held,
}

/// Reads registries, or an image layout in their place. Clones share connections, cache and flights.
#[derive(Clone)]
pub struct RegistryClient {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    cache: Mutex<Cache>,
    no_referrers: Mutex<BTreeMap<(CredentialIdentity, String), Instant>>,
    flights: Mutex<BTreeMap<FlightKey, Flying>>,
    shares: Shares,
    deadline: Duration,
}

impl RegistryClient {
    /// A client with this configuration.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        Self::observed(config, Box::new(|_, _| {}))
    }

    /// The same, which tells `observer` what happens to its requests.
    pub fn observed(config: &Config, observer: TrafficObserver) -> Result<Self, SetupError> {
        Self::with_bounds(config, &BOUNDS, observer)
    }

    /// A client that reads every image from one OCI image layout, whatever its registry, and never
    /// asks the network.
    pub async fn of_layout(directory: &Path) -> Result<Self, FetchError> {
        let layout = Layout::open(directory).await.map_err(|problem| {
            problem.reading(format!("the OCI image layout {}", directory.display()))
        })?;
        Ok(Self::of(Source::Layout(layout), &BOUNDS, BOUNDS.reading))
    }

    fn with_bounds(
        config: &Config,
        bounds: &Bounds,
        observer: TrafficObserver,
    ) -> Result<Self, SetupError> {
        let transport = Transport::new(config, bounds.pause, observer)?;
        let reading = reading(config, bounds);
        Ok(Self::of(Source::Registries(transport), bounds, reading))
    }

    /// `reading` is the bytes that are read and judged at a time.
    fn of(source: Source, bounds: &Bounds, reading: usize) -> Self {
        let inner = Inner {
            source,
            cache: Mutex::new(Cache::new(bounds.cache)),
            no_referrers: Mutex::default(),
            flights: Mutex::default(),
            shares: Shares::new(reading),
            deadline: bounds.deadline,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The operator's own credentials for an image's registry, on behalf of a namespace, or nobody's
    /// where the configuration has none. They are for images of repositories that a policy's sources
    /// give to that namespace, and for no others: who calls this has decided that. `fresh` reads
    /// their files again.
    pub async fn own_credentials(
        &self,
        image: &ImageReference,
        namespace: &str,
        fresh: bool,
    ) -> Credentials {
        match self.inner.source.site(image) {
            Some(site) => site.own_credentials(namespace, fresh).await,
            None => Credentials::anonymous(namespace),
        }
    }

    #[cfg(test)]
    async fn fetch(
        &self,
        image: &ImageReference,
        credentials: &Credentials,
    ) -> Result<Arc<Artifact>, FetchError> {
        self.look(image, credentials, Reach::Referrers).await
    }

    /// The image's manifest and what these places carry, when all of it was read with these
    /// credentials, is still in memory and may be held there for longer. No requests.
    #[must_use]
    pub fn read_cached(
        &self,
        image: &ImageReference,
        credentials: &Credentials,
        places: &[Place],
    ) -> Option<Artifact> {
        let lane = self.inner.lane(image);
        let namespace = credentials.namespace();
        let budget = self.inner.shares.budget(&lane, namespace);
        let read = |collection, digest: &Digest| {
            let key = CacheKey {
                identity: credentials.identity().clone(),
                repository: image.repository().to_owned(),
                collection,
                digest: digest.clone(),
            };
            let cached = self.inner.read_cache(&key)?;
            budget.try_take(cached.bytes.len()).then_some(cached)
        };
        let manifest = read(Collection::Manifests, image.digest())?;
        let form = index::form_of(&manifest).ok()?;
        let layers = places.iter().map(|place| {
            let carrier = read(Collection::Manifests, &place.manifest)?;
            place.layers(&carrier).ok()
        });
        let layers = layers.collect::<Option<Vec<_>>>()?;
        let layers = carriers::within_limits(layers.into_iter().flatten()).ok()?;
        let bundle = |layer: Layer| {
            let bytes = read(Collection::Blobs, &layer.digest)?.bytes;
            Some(layer.holding(bytes))
        };
        let bundles = layers.into_iter().map(bundle).collect::<Option<_>>()?;
        Some(Artifact {
            manifest: manifest.bytes,
            form,
            places: places.to_vec(),
            bundles,
            listing: None,
            _held: budget.into_held(),
        })
    }

    /// The hosts that are left alone now, after failures in a row.
    #[must_use]
    pub fn left_alone(&self) -> Vec<String> {
        self.inner.source.left_alone()
    }

    /// Forgets the bytes of the image's own manifest, so that the next look asks whether the registry
    /// still has it.
    pub fn forget_manifest(&self, image: &ImageReference, credentials: &Credentials) {
        let key = CacheKey {
            identity: credentials.identity().clone(),
            repository: image.repository().to_owned(),
            collection: Collection::Manifests,
            digest: image.digest().clone(),
        };
        lock(&self.inner.cache).remove(&key);
    }
}

/// What is read and judged at a time: enough for whichever registry needs most.
fn reading(config: &Config, bounds: &Bounds) -> usize {
    let registries = config.registries.iter();
    let each = registries.map(|registry| registry.limits.reading_bytes());
    each.fold(bounds.reading, usize::max)
}

impl Inner {
    async fn fetch(
        &self,
        waiters: &Waiters,
        credentials: Credentials,
        image: &ImageReference,
        reach: Reach,
    ) -> Result<Artifact, FetchError> {
        let lane = self.lane(image);
        let (_turn, credentials) = self.turn(&lane, waiters, credentials, image).await;
        let visit = self.visit(&lane, &credentials, image, reach);
        // Boxed: it is large, and part of every future around it.
        let discovery = Box::pin(visit.discover());
        let found = self.in_time(&visit, waiters, discovery).await?;
        Ok(visit.keep(found))
    }

    fn limits(&self, image: &ImageReference) -> Limits {
        let site = self.source.site(image);
        site.map_or_else(Limits::default, |site| site.origin.limits)
    }

    /// A look at an image, on the account of who asks.
    fn visit<'a>(
        &'a self,
        lane: &Lane,
        credentials: &'a Credentials,
        image: &'a ImageReference,
        reach: Reach,
    ) -> Visit<'a> {
        Visit {
            inner: self,
            image,
            credentials,
            reach,
            budget: self.shares.budget(lane, credentials.namespace()),
        }
    }

    fn lane(&self, image: &ImageReference) -> Arc<Lane> {
        let limits = self.limits(image);
        let turns = limits.images_at_a_time;
        self.shares
            .lane(image.registry(), turns, limits.image_bytes())
    }

    fn read_cache(&self, key: &CacheKey) -> Option<Cached> {
        lock(&self.cache).read(key)
    }

    fn insert_cache(&self, key: CacheKey, cached: Cached) {
        lock(&self.cache).insert(key, cached);
    }
}

/// A panic while one of these is held leaves nothing half done: each holder does one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
