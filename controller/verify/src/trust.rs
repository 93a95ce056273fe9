//! What signatures are checked under: managed keys and trusted roots, read once for many bundles.

use std::collections::BTreeMap;

use lockmaster_core::evidence::{Anchor, KeyId};
use lockmaster_core::release::Digest;

use crate::key::Verifier;
use crate::trusted_root::TrustedRoot;

/// Anchors that were read. What cannot be read verifies nothing, and says why.
pub struct Trust {
    anchors: Vec<Prepared>,
    keys: BTreeMap<KeyId, Verifier>,
    roots: BTreeMap<Digest, Result<TrustedRoot, String>>,
}

/// Names of one anchor's key and root.
struct Prepared {
    key: Option<KeyId>,
    root: Option<Digest>,
}

/// One anchor, ready to verify.
pub(crate) enum Ready<'a> {
    /// A managed key by itself.
    Key(&'a Verifier),
    /// A managed key, and whose log entries and timestamps count.
    KeyUnderRoot(&'a Verifier, &'a Digest, Result<&'a TrustedRoot, &'a str>),
    /// Whose certificates count.
    Root(&'a Digest, Result<&'a TrustedRoot, &'a str>),
}

impl Trust {
    /// Reads the anchors. A key that [`crate::parse_key`] refuses is left out: the policy that names
    /// it is invalid.
    #[must_use]
    pub fn new(anchors: &[Anchor]) -> Self {
        let mut trust = Self {
            anchors: Vec::new(),
            keys: BTreeMap::new(),
            roots: BTreeMap::new(),
        };
        for Anchor { key, root } in anchors {
            if let Some(key) = key
                && !trust.keys.contains_key(&key.id)
                && let Some(verifier) = Verifier::new(key)
            {
                trust.keys.insert(key.id.clone(), verifier);
            }
            if let Some(root) = root {
                let read = || TrustedRoot::parse(&root.json).map_err(|error| error.to_string());
                trust.roots.entry(root.digest.clone()).or_insert_with(read);
            }
            trust.anchors.push(Prepared {
                key: key.as_ref().map(|key| key.id.clone()),
                root: root.as_ref().map(|root| root.digest.clone()),
            });
        }
        trust
    }

    /// What the kind of a key explains about signatures that do not verify under it.
    pub(crate) fn key_problem(&self, key: &KeyId) -> Option<&'static str> {
        self.keys.get(key)?.problem()
    }

    /// The same of any key, for signatures that do not say which key made them: a stranger's as well.
    pub(crate) fn any_key_problem(&self) -> Option<String> {
        let mut problems = self.keys.values().filter_map(Verifier::problem);
        let problem = problems.next()?;
        Some(format!(
            "it does not say by which key it is; if it is by an Ed25519 key of the policy: {problem}"
        ))
    }

    pub(crate) fn ready(&self) -> impl Iterator<Item = Ready<'_>> {
        self.anchors.iter().filter_map(|anchor| {
            let key = anchor.key.as_ref().map(|key| self.keys.get(key));
            let root = anchor.root.as_ref().and_then(|digest| {
                let root = self.roots.get(digest)?;
                Some((digest, root.as_ref().map_err(String::as_str)))
            });
            match (key, root) {
                (Some(key), None) => key.map(Ready::Key),
                (Some(key), Some((digest, root))) => {
                    key.map(|key| Ready::KeyUnderRoot(key, digest, root))
                }
                (None, Some((digest, root))) => Some(Ready::Root(digest, root)),
                (None, None) => None,
            }
        })
    }
}
