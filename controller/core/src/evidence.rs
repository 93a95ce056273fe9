//! Digest-bound facts about what is attached to an artifact.
//!
//! Facts only: which bundle says what, and under which public key its signature verifies. Whether
//! that satisfies anyone is decided by the gates, each time anew, so that a cached fact can never
//! answer a question it was not asked.

mod bundles;
mod license;
mod listed;
mod package;
mod pipeline;
mod predicate_type;
mod provenance;
mod sbom;
mod scan;
mod signer;
mod verdict;
mod vex;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::Observed;
use crate::release::{Digest, ImageReference, clip};

pub use bundles::Bundles;
pub use license::denied_by;
pub use listed::{FailedListing, LIST_AGE, Listed, Recency};
pub use package::{is_name_of, is_same_package};
pub use pipeline::{
    Change, Check, Checks, Conclusion, NotApplicable, Quarantine, Risk, TaggedRelease,
    is_git_commit, schemas,
};
pub use predicate_type::{
    CHANGE, CHECKS, COSIGN_SIGN, COSIGN_VULN, CYCLONEDX, NOT_APPLICABLE, OPENVEX, OPENVEX_V0_2_0,
    SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1, SLSA_VSA, SPDX, TAGGED_RELEASE, TEST_RESULT, is_read,
    names_its_time,
};
pub use provenance::Provenance;
pub use sbom::{License, Sbom, SbomFormat};
pub use scan::{FINDINGS_KEPT, Finding, Scan, Severity};
pub use signer::{Anchor, AnchorId, BuildClaims, Identity, RootText, Signer, Verified};
pub use verdict::{TestOutcome, TestResult, VerificationSummary};
pub use vex::{Vex, VexProduct, VexStatement, VexStatus};

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
    pub bundles: Bundles,
    /// Bundles among these that the registry listed once, and not any more when it was asked last.
    /// Facts stay facts: they are kept for what runs and what would be gone back to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withdrawn: BTreeSet<Digest>,
    /// Whether the tags were read too, under which registries without a referrers API and older
    /// tools keep what is attached. Where they were not, what is missing may lie there: they are
    /// read only while something is missing.
    #[serde(default = "were_read", skip_serializing_if = "are_known")]
    pub tags: Observed<()>,
    /// When all of this was listed.
    #[serde(default)]
    pub listed: Listed,
}

impl Evidence {
    /// What was found, when everything was read; nobody knows when it was listed.
    #[must_use]
    pub fn new(subject: Digest, bundles: Vec<Bundle>) -> Self {
        Self {
            subject,
            form: Form::default(),
            bundles: bundles.into(),
            withdrawn: BTreeSet::new(),
            tags: were_read(),
            listed: Listed::default(),
        }
    }

    /// The same, listed at that instant.
    #[must_use]
    pub fn listed_at(mut self, at: Timestamp) -> Self {
        self.listed = Listed::at(at);
        self
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

    /// The same as images in the repository of the index.
    #[must_use]
    pub fn images(&self, index: &ImageReference) -> Vec<ImageReference> {
        let children = self.children().iter();
        children
            .map(|child| index.with_digest(child.digest.clone()))
            .collect()
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
    /// SHA-256 of what is signed: of an envelope's payload, or of a payload of simple signing. The
    /// bytes around it are signed by nobody, so that anybody may write them another way, under
    /// another digest. A message signature has no payload but the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Digest>,
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
    /// The report of a vulnerability scanner.
    Scan(Scan),
    /// What somebody says of known vulnerabilities.
    Vex(Vex),
    /// What a verifier says of the artifact.
    Summary(VerificationSummary),
    /// The result of a test run.
    Tests(TestResult),
    /// How the source came to be.
    Change(Change),
    /// Which checks ran on the source, and how they ended.
    Checks(Checks),
    /// Which tag and version the artifact was released under.
    Release(TaggedRelease),
    /// That something which is asked for does not apply.
    NotApplicable(NotApplicable),
    /// A statement of a type that is not read here.
    Custom {
        /// Its exact predicate type.
        predicate: String,
        /// The predicate as JSON text, at most [`CUSTOM_LIMIT`] bytes of it, or why it was not kept.
        value: Result<String, String>,
    },
    /// Bytes that are no bundle this product can read, or whose predicate does not parse.
    Unreadable {
        /// The exact predicate type, where it could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicate: Option<String>,
        /// What is wrong with it.
        problem: String,
    },
}

/// Longest predicate of a type that is not read here which is kept for rules, in bytes of JSON.
pub const CUSTOM_LIMIT: usize = 64 << 10;

impl Bundle {
    /// Of what nobody who is asked about signed, leaves what tells that it is there: its format, its
    /// type, whose it says it is, and what is wrong with it, shortened. A gate never looks at more, and
    /// strangers could fill the memory with it. To be called on what was read anew only, since the
    /// rest counts again as soon as somebody turns out to have signed it.
    pub fn forget_unproven(&mut self) {
        if !self.verified_by.is_empty() {
            return;
        }
        self.subjects = Vec::new();
        for why in self.failures.values_mut() {
            *why = clip(why);
        }
        let problem = match &self.content {
            Content::Signature => return,
            Content::Unreadable { problem, .. } => clip(problem),
            Content::Provenance(_)
            | Content::Sbom(_)
            | Content::Scan(_)
            | Content::Vex(_)
            | Content::Summary(_)
            | Content::Tests(_)
            | Content::Change(_)
            | Content::Checks(_)
            | Content::Release(_)
            | Content::NotApplicable(_)
            | Content::Custom { .. } => "nobody who is trusted signed it".to_owned(),
        };
        let predicate = self.content.predicate_type().map(str::to_owned);
        self.content = Content::Unreadable { predicate, problem };
    }
}

impl Content {
    /// The exact predicate type of what it says; none for what has none, or whose type could not be
    /// read. A message signature counts as the statement by which cosign signs.
    #[must_use]
    pub fn predicate_type(&self) -> Option<&str> {
        Some(match self {
            Self::Signature => COSIGN_SIGN,
            Self::Provenance(provenance) => &provenance.predicate_type,
            Self::Sbom(bill) => &bill.predicate_type,
            Self::Scan(_) => COSIGN_VULN,
            Self::Vex(vex) => &vex.predicate_type,
            Self::Summary(_) => SLSA_VSA,
            Self::Tests(_) => TEST_RESULT,
            Self::Change(_) => CHANGE,
            Self::Checks(_) => CHECKS,
            Self::Release(_) => TAGGED_RELEASE,
            Self::NotApplicable(_) => NOT_APPLICABLE,
            Self::Custom { predicate, .. } => predicate,
            Self::Unreadable { predicate, .. } => return predicate.as_deref(),
        })
    }

    /// Why it cannot be read.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        if let Self::Unreadable { problem, .. } = self {
            return Some(problem);
        }
        None
    }
}
