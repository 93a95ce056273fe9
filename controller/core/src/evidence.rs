//! Digest-bound facts about what is attached to an artifact.
//!
//! Facts only: which bundle says what, and under which public key its signature verifies. Whether
//! that satisfies anyone is decided by the gates, each time anew, so that a cached fact can never
//! answer a question it was not asked.

mod signer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::Observed;
use crate::release::Digest;

pub use signer::{Anchor, AnchorId, BuildClaims, Identity, RootText, Signer, Verified};

/// Predicate type of the statement by which cosign signs an image.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// Predicate type of SLSA build provenance, specification 1.0 to 1.2.
pub const SLSA_PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";
/// Predicate type of an SPDX document.
pub const SPDX: &str = "https://spdx.dev/Document";
/// Predicate type of a CycloneDX document.
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";

/// Names a public key: SHA-256 of its SubjectPublicKeyInfo in DER, 64 hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(String);

impl KeyId {
    /// The name of the key with this SubjectPublicKeyInfo (DER).
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(Digest::of(der).hexadecimal().to_owned())
    }

    /// The name that 32 bytes are: what a Sigstore bundle's key hint holds in base64.
    #[must_use]
    pub fn from_sha256(bytes: &[u8; 32]) -> Self {
        Self(Digest::from_sha256(bytes).hexadecimal().to_owned())
    }

    /// The first 12 characters: what people read.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public key that a policy trusts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublicKey {
    /// Its name.
    pub id: KeyId,
    /// SubjectPublicKeyInfo in PEM, as the policy spells it.
    pub pem: String,
}

/// Everything found attached to one artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The digest all of it was looked up for; its manifest was fetched and hashes to it.
    pub subject: Digest,
    /// What the digest is of.
    #[serde(default, skip_serializing_if = "Form::is_plain")]
    pub form: Form,
    /// What was found, in the registry's order.
    pub bundles: Vec<Bundle>,
    /// Bundles among these that the registry listed once, and not any more when it was asked last.
    /// Facts stay facts: they are kept for what runs and what would be gone back to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withdrawn: BTreeSet<Digest>,
    /// Whether the tags were read too, under which registries without a referrers API and older
    /// tools keep what is attached. Where they were not, what is missing may lie there: they are
    /// read only while something is missing.
    #[serde(default = "were_read", skip_serializing_if = "are_known")]
    pub tags: Observed<()>,
}

impl Evidence {
    /// What was found, when everything was read.
    #[must_use]
    pub fn new(subject: Digest, bundles: Vec<Bundle>) -> Self {
        Self {
            subject,
            form: Form::default(),
            bundles,
            withdrawn: BTreeSet::new(),
            tags: were_read(),
        }
    }
}

/// What a digest is of. Read from bytes that hash to it, so that it never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Form {
    /// One image.
    Image {
        /// Digest of its configuration, by which some runtimes name it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        config: Option<Digest>,
    },
    /// An index: one image for each of several platforms.
    Index {
        /// Those that may run, in the index's order: at least one, at most [`CHILDREN_LIMIT`], each
        /// digest and each platform once.
        children: Vec<Child>,
    },
    /// An index that nobody can judge.
    Unfit {
        /// What is wrong with it.
        problem: String,
    },
}

/// Images of one index that may run. The largest public ones have a dozen.
pub const CHILDREN_LIMIT: usize = 32;

/// The image of an index for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Child {
    /// For people: `linux/arm64/v8`.
    pub platform: String,
    /// Its manifest.
    pub digest: Digest,
}

impl Default for Form {
    fn default() -> Self {
        Self::Image { config: None }
    }
}

impl Form {
    fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// The images of an index; none of anything else.
    #[must_use]
    pub fn children(&self) -> &[Child] {
        match self {
            Self::Index { children } => children,
            Self::Image { .. } | Self::Unfit { .. } => &[],
        }
    }
}

fn were_read() -> Observed<()> {
    Observed::Known(())
}

fn are_known(tags: &Observed<()>) -> bool {
    tags.known().is_some()
}

/// In which format a signature was attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Carrier {
    /// A Sigstore bundle.
    #[default]
    Bundle,
    /// A layer of the tag `sha256-<hex>.sig`: simple signing, as cosign wrote it before version 3.
    LegacySignature,
    /// A layer of the tag `sha256-<hex>.att`: a DSSE envelope, as cosign wrote it before version 3.
    LegacyAttestation,
}

impl Carrier {
    /// Whether it is one of the formats from before the bundle.
    #[must_use]
    pub fn is_legacy(self) -> bool {
        match self {
            Self::Bundle => false,
            Self::LegacySignature | Self::LegacyAttestation => true,
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference to skip_serializing_if"
    )]
    fn is_bundle(&self) -> bool {
        !self.is_legacy()
    }
}

/// One signature, with what it is over, as it was found: a Sigstore bundle, or an older format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Digest of the bundle's bytes; of an older format: of its layer's bytes.
    pub digest: Digest,
    /// In which format it came.
    #[serde(default, skip_serializing_if = "Carrier::is_bundle")]
    pub carrier: Carrier,
    /// Which key the bundle itself says it was signed with: unsigned, good for diagnosis only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<KeyId>,
    /// The ways, of those asked about, in which the signature verifies over this content.
    pub verified_by: BTreeSet<Verified>,
    /// Why it does not verify under a trusted root, by the root's digest: diagnosis only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<Digest, String>,
    /// Why it may not verify under the key that it names, where the kind of key tells: diagnosis
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_problem: Option<String>,
    /// The digests the statement is about: the artifact, where it is one of them, and at most three
    /// others. For a message signature that verifies: the subject.
    pub subjects: Vec<Digest>,
    /// What it says.
    pub content: Content,
}

/// What a bundle says. Believe it only together with `verified_by` and `subjects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Content {
    /// A signature over the artifact: a message signature over the manifest's bytes, or a cosign
    /// sign statement.
    Signature,
    /// SLSA provenance.
    Provenance(Provenance),
    /// A software bill of materials.
    Sbom(Sbom),
    /// A statement of a type that nothing here asks for.
    Other {
        /// Its predicate type, clipped.
        predicate: String,
    },
    /// Bytes that are no bundle this product can read, or whose predicate does not parse.
    Unreadable {
        /// The predicate type, where it could be read; clipped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicate: Option<String>,
        /// What is wrong with it.
        problem: String,
    },
}

/// What SLSA provenance says of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// `runDetails.builder.id`.
    pub builder: String,
    /// `buildDefinition.buildType`.
    pub build_type: String,
    /// Repository of the source, as the external parameters name it.
    pub repository: String,
    /// Git reference that was built, such as `refs/tags/v1.42.0`.
    pub reference: String,
    /// Commit of the one resolved dependency that the external parameters name.
    pub commit: String,
    /// `runDetails.metadata.invocationId`: the build run (M16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
}

/// Formats of bills of materials.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum SbomFormat {
    /// SPDX 2.2 or 2.3, JSON.
    #[serde(rename = "SPDX")]
    Spdx,
    /// CycloneDX 1.4 to 1.7, JSON.
    CycloneDX,
}

impl fmt::Display for SbomFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spdx => "SPDX",
            Self::CycloneDX => "CycloneDX",
        })
    }
}

/// What a bill of materials holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sbom {
    /// Its format.
    pub format: SbomFormat,
    /// The format's version, such as `2.3` or `1.6`.
    pub version: String,
    /// How many packages or components it lists.
    pub components: u64,
}
