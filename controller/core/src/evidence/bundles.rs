//! What was found, shared: several passes look at the same facts at a time, and copy none.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use super::Bundle;

/// Bundles in the registry's order. A clone is the same memory, until it is changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Bundle>", into = "Vec<Bundle>")]
pub struct Bundles(Arc<Vec<Bundle>>);

impl Bundles {
    /// Where they are, for as long as anyone has them.
    #[must_use]
    pub fn downgrade(&self) -> Weak<Vec<Bundle>> {
        Arc::downgrade(&self.0)
    }

    /// Those that are there, if anyone still has them.
    #[must_use]
    pub fn upgrade(known: &Weak<Vec<Bundle>>) -> Option<Self> {
        known.upgrade().map(Self)
    }
}

impl Deref for Bundles {
    type Target = Vec<Bundle>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Bundles {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl From<Vec<Bundle>> for Bundles {
    fn from(bundles: Vec<Bundle>) -> Self {
        Self(Arc::new(bundles))
    }
}

impl From<Bundles> for Vec<Bundle> {
    fn from(bundles: Bundles) -> Self {
        Arc::unwrap_or_clone(bundles.0)
    }
}

impl FromIterator<Bundle> for Bundles {
    fn from_iter<I: IntoIterator<Item = Bundle>>(bundles: I) -> Self {
        Self::from(Vec::from_iter(bundles))
    }
}

impl<'a> IntoIterator for &'a Bundles {
    type Item = &'a Bundle;
    type IntoIter = std::slice::Iter<'a, Bundle>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
