//! Bytes by digest, bounded, the longest unused dropped first.
//!
//! The key holds the credential they were read with, so that nobody reads another's private
//! evidence through a warm cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockmaster_core::release::Digest;

use super::CredentialIdentity;

/// What an entry costs besides its bytes: the key, twice, and the two maps.
const OVERHEAD: usize = 512;

/// The two kinds of content by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Collection {
    Manifests,
    Blobs,
}

/// Names cached bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CacheKey {
    pub(super) identity: CredentialIdentity,
    pub(super) repository: String,
    /// Manifests and blobs are apart: only the former come with a type of their own.
    pub(super) collection: Collection,
    pub(super) digest: Digest,
}

/// Bytes whose hash was checked, and the media type they came with.
#[derive(Debug, Clone)]
pub(super) struct Cached {
    pub(super) content_type: Option<String>,
    pub(super) bytes: Arc<Vec<u8>>,
}

/// Bytes by digest, at most `capacity` of them.
pub(super) struct Cache {
    capacity: usize,
    used: usize,
    clock: u64,
    entries: BTreeMap<CacheKey, (Cached, u64)>,
    order: BTreeMap<u64, CacheKey>,
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            used: 0,
            clock: 0,
            entries: BTreeMap::new(),
            order: BTreeMap::new(),
        }
    }

    pub(super) fn read(&mut self, key: &CacheKey) -> Option<Cached> {
        let (cached, used) = self.entries.get_mut(key)?;
        self.order.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.order.insert(self.clock, key.clone());
        Some(cached.clone())
    }

    pub(super) fn insert(&mut self, key: CacheKey, cached: Cached) {
        self.remove(&key);
        let size = size(&cached);
        if size > self.capacity {
            return;
        }
        while self.used + size > self.capacity {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.used += size;
        self.order.insert(self.clock, key.clone());
        self.entries.insert(key, (cached, self.clock));
    }

    pub(super) fn remove(&mut self, key: &CacheKey) {
        if let Some((cached, used)) = self.entries.remove(key) {
            self.order.remove(&used);
            self.used = self.used.saturating_sub(size(&cached));
        }
    }
}

fn size(cached: &Cached) -> usize {
    cached.bytes.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> CacheKey {
        CacheKey {
            identity: CredentialIdentity::Anonymous,
            repository: "registry.example/a".into(),
            collection: Collection::Blobs,
            digest: Digest::of(name.as_bytes()),
        }
    }

    fn bytes(length: usize) -> Cached {
        Cached {
            content_type: None,
            bytes: Arc::new(vec![0; length]),
        }
    }

    #[test]
    fn the_longest_unused_goes_first_and_the_bound_holds() {
        let mut cache = Cache::new(3 * (100 + OVERHEAD));
        for name in ["a", "b", "c"] {
            cache.insert(key(name), bytes(100));
        }
        assert!(cache.read(&key("a")).is_some());
        cache.insert(key("d"), bytes(100));
        assert!(cache.read(&key("b")).is_none(), "b was unused longest");
        assert!(
            ["a", "c", "d"]
                .iter()
                .all(|name| cache.read(&key(name)).is_some())
        );
        cache.insert(key("d"), bytes(50));
        cache.insert(key("huge"), bytes(100_000));
        assert!(cache.read(&key("huge")).is_none());
        assert_eq!(cache.used, 2 * (100 + OVERHEAD) + 50 + OVERHEAD);
        assert_eq!((cache.entries.len(), cache.order.len()), (3, 3));
    }

    #[test]
    fn another_repository_does_not_see_it() {
        let mut cache = Cache::new(10_000);
        cache.insert(key("a"), bytes(1));
        let other = CacheKey {
            repository: "registry.example/b".into(),
            ..key("a")
        };
        assert!(cache.read(&other).is_none());
        let other = CacheKey {
            collection: Collection::Manifests,
            ..key("a")
        };
        assert!(cache.read(&other).is_none());
    }
}
