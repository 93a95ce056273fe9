//! Who signed, when, and under which trust that was established.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyId, PublicKey};
use crate::release::Digest;

/// A Sigstore trusted root as text, named by its content.
///
/// In snapshots only the name stands: what was verified under a root is a fact there already.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootText {
    /// SHA-256 of the text.
    pub digest: Digest,
    /// `TrustedRoot` JSON of sigstore/protobuf-specs.
    #[serde(skip, default = "no_text")]
    pub json: Arc<str>,
}

fn no_text() -> Arc<str> {
    Arc::from("")
}

impl RootText {
    /// The root with this text.
    #[must_use]
    pub fn new(json: &str) -> Self {
        Self {
            digest: Digest::of(json.as_bytes()),
            json: Arc::from(json),
        }
    }
}

impl PartialEq for RootText {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for RootText {}

impl PartialOrd for RootText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RootText {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digest.cmp(&other.digest)
    }
}

/// One thing that signatures are checked under: a managed key, keyless certificates of a trusted
/// root, or a managed key whose log entries and timestamps are those of a trusted root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Anchor {
    /// The managed key; for certificates: none.
    pub key: Option<PublicKey>,
    /// The trusted root; without one, only the key itself is asked.
    pub root: Option<RootText>,
}

impl Anchor {
    /// A managed key by itself.
    #[must_use]
    pub fn of_key(key: PublicKey) -> Self {
        Self {
            key: Some(key),
            root: None,
        }
    }

    /// Its name, which what was verified under it bears.
    #[must_use]
    pub fn id(&self) -> AnchorId {
        AnchorId {
            key: self.key.as_ref().map(|key| key.id.clone()),
            root: self.root.as_ref().map(|root| root.digest.clone()),
        }
    }
}

/// Names an [`Anchor`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnchorId {
    /// Name of the managed key.
    pub key: Option<KeyId>,
    /// Digest of the trusted root.
    pub root: Option<Digest>,
}

/// One way in which a signature verifies. A fact: it stays true whatever policies say later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Who signed.
    pub signer: Signer,
    /// The trusted root that certificate, log entries and timestamps were verified under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Digest>,
    /// When it was signed at the latest, by every trusted timestamp (RFC 3161) and every time that
    /// a transparency log signed; sorted. Without any, nobody vouches for the time, and the
    /// signature is judged as if made now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Timestamp>,
    /// Whether it is proven to be in a transparency log of the root.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logged: bool,
}

impl Verified {
    /// Under a managed key alone.
    #[must_use]
    pub fn by_key(key: KeyId) -> Self {
        Self {
            signer: Signer::Key(key),
            root: None,
            times: Vec::new(),
            logged: false,
        }
    }

    /// The anchor it was verified under.
    #[must_use]
    pub fn anchor(&self) -> AnchorId {
        let key = match &self.signer {
            Signer::Key(key) => Some(key.clone()),
            Signer::Identity(_) => None,
        };
        let root = self.root.clone();
        AnchorId { key, root }
    }
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signer {
    /// The holder of a managed key.
    Key(KeyId),
    /// Whom a certificate of the trusted root names.
    Identity(Identity),
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => fmt::Display::fmt(key, f),
            Self::Identity(identity) => fmt::Display::fmt(identity, f),
        }
    }
}

/// What a signing certificate says of its holder (Fulcio certificate specification).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The OpenID Connect issuer that vouched for the identity (extension 1.8, or 1.1 of old).
    pub issuer: String,
    /// The subject alternative name: an e-mail address or a URI.
    pub subject: String,
    /// What the certificate says of a build (extensions 1.9 to 1.21); empty for a person.
    #[serde(default, skip_serializing_if = "BuildClaims::is_empty")]
    pub claims: BuildClaims,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            issuer,
            subject,
            claims: _,
        } = self;
        write!(f, "{subject} ({issuer})")
    }
}

/// What a certificate says of the build that it was issued to.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildClaims {
    /// Extension 1.9: the workflow that signed, with its ref.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_signer: Option<String>,
    /// Extension 1.12: the repository that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_repository: Option<String>,
    /// Extension 1.13: the commit that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// Extension 1.14: the ref that was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_reference: Option<String>,
    /// Extension 1.20: the event that started the build, such as `push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Extension 1.21: the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
}

impl BuildClaims {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
