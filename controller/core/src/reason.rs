//! Every reason of the product, once: the word in gates, conditions, events and records.

mod mend;

use std::fmt;

pub use mend::WHO;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $name:ident,)+) => {
        /// A word that never changes its meaning; documented in `docs/reference/reasons.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $name,)+
        }

        impl Reason {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means, as documented; [`Reason::mend`] is what to do.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning),+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The gate's question is not asked here: no policy requires it, or the action is exempt.
    NotRequired,
    /// The release exists, is of this product, and may go where it is asked to go.
    ReleaseAccepted,
    /// The Release named by the Promotion does not exist in its namespace: create it.
    ReleaseNotFound,
    /// The Release cannot be read; its message names the field.
    ReleaseInvalid,
    /// The Release is of another product than the Environment: name another Release.
    ProductMismatch,
    /// A pre-release version never enters an Environment of effective tier Production.
    PreReleaseInProduction,
    /// What runs here has this version or a newer one; going back is `action: Rollback`.
    VersionNotNewer,
    /// A rollback names a Release that has no record of success here.
    NoKnownGoodRecord,
    /// The image repository, or the source repository in the provenance, is not among the policy's sources for this namespace.
    SourceNotAllowed,
    /// No policy matches this Environment and its effective tier is not Development: closed.
    NoPolicy,
    /// A ClusterPromotionPolicy cannot be read, so nobody knows what it covers: everything is closed until it is mended.
    PolicyInvalid,
    /// The labels of a namespace could not be read, so the effective tier is not known.
    NamespaceUnknown,
    /// No Revocation names what is promoted.
    NotRevoked,
    /// A Revocation names the artifact, what proves it, or the record that speaks for it: it is no longer good (docs/explanation/revocation.md).
    Revoked,
    /// A Revocation cannot be read, so nobody knows what it covers: everything is closed until it is mended.
    RevocationInvalid,
    /// Every evidence requirement of this gate is met.
    EvidenceValid,
    /// The evidence is being fetched for the first time or, right before a promotion begins, the list of it once more.
    EvidencePending,
    /// Nothing that counts as a signature is attached to the digest: sign it.
    SignatureMissing,
    /// Only attestations are attached; an attestation is no signature.
    OnlyAttestationsFound,
    /// Signed, but by a key or identity that the policy's authorities do not have.
    SignerNotTrusted,
    /// A signature that does not verify, or one made for another digest.
    SignatureInvalid,
    /// No provenance is attached to the digest: let the build attest it.
    ProvenanceMissing,
    /// The provenance names another commit, tag or build type than the Release or policy says, or cannot be read.
    ProvenanceMismatch,
    /// The provenance names a builder that is not bound to the authority that signed it.
    BuilderNotTrusted,
    /// No bill of materials is attached to the digest: attest one.
    SbomMissing,
    /// A bill of materials is attached, but not signed by an authority that may.
    SbomSignerNotTrusted,
    /// The bill of materials cannot be read, has a format that is not allowed, lists too little, or names a licence that is denied.
    SbomInvalid,
    /// A fresh scan found a vulnerability of a severity that the policy denies, and nobody who may says that it has no effect: update the package.
    VulnerabilityBlocked,
    /// A statement that the policy asks for is not attached to the digest; the message says which.
    AttestationMissing,
    /// A statement that the policy asks for is attached, and says no: a check or test failed, or a verifier refused.
    AttestationFailed,
    /// A statement that the policy asks for is attached, and cannot be read or is not about this release.
    AttestationInvalid,
    /// The newest scan or statement is older than the policy allows: make a new one.
    EvidenceStale,
    /// Every rule in Rego of the matching policies allows it.
    RulesAllow,
    /// A rule in Rego does not allow it: it says no, gives no answer, or fails.
    RuleDenied,
    /// A rule in Rego could not be asked, or had no answer within its time and memory: nothing is known, and it is asked again.
    RuleUnanswered,
    /// A policy rests on a TrustedRoot that does not exist or cannot be read, so nothing can be verified under it: closed.
    TrustedRootInvalid,
    /// The registry does not have the artifact.
    ArtifactMissing,
    /// The image index cannot be judged: it lists another index, a platform or digest twice, more than 32 images or none that may run: publish an index of plain images.
    IndexInvalid,
    /// The registry could not be reached or did not answer properly; it is asked again.
    RegistryUnavailable,
    /// A size or count limit was passed before all evidence was seen, so nothing can be concluded.
    EvidenceTruncated,
    /// Evidence on which a promotion rested is gone from the registry; attach it again. An alert: nothing is revoked by that.
    EvidenceWithdrawn,
    /// What was held against an artifact that runs, or would be gone back to, is held no longer.
    ConcernCleared,
    /// The same artifacts succeeded in every Environment that comes before.
    SameArtifactsVerified,
    /// The same artifacts have not succeeded in an Environment that must come before: promote them there first.
    NotInUpstream,
    /// The change window is open.
    InsideWindow,
    /// The change window is closed; `nextChange` says when it opens.
    OutsideWindow,
    /// The annotation `lockmaster.dev/window` cannot be read.
    WindowAnnotationInvalid,
    /// A policy names a ChangeWindow that does not exist or cannot be read, or Production has none at all: closed.
    NoWindowDefined,
    /// Every required approval is there.
    QuorumReached,
    /// A person must approve; the message says who can and how.
    AwaitingApproval,
    /// A person rejected this plan.
    Rejected,
    /// The guard that makes approvals unforgeable is not proven alive, so no approval is counted.
    GuardNotReady,
    /// The workload is there, consents, and can be changed.
    TargetReady,
    /// The workload does not exist.
    TargetNotFound,
    /// The workload or its pods cannot be read: not yet, not right now, or the operator may not; then grant the Role shown.
    TargetNotReadable,
    /// The workload does not carry the consent annotation.
    NotAuthorizedByTarget,
    /// The workload's consent names another Environment.
    TargetTaken,
    /// The container does not exist in the workload, or several do and none is named.
    ContainerNotFound,
    /// The Release has no component for the target.
    ComponentNotFound,
    /// A container that the Release does not set, a sidecar or an init container, has an image without a digest, which may change any time: name its digest in the workload.
    FloatingImage,
    /// The workload has zero replicas, so nothing could prove the release healthy.
    ScaledToZero,
    /// Another promotion into this Environment acts or comes first.
    Queued,
    /// A gate is closed; `status.gates` says which and why.
    GateFailed,
    /// Evidence could not be seen.
    EvidenceUnavailable,
    /// A record of the Environment, or of one before it, cannot be read, is not intact or breaks the chain: nobody can tell what ran, so nothing moves until that is mended (docs/how-to/mend-records.md).
    RecordsUnreadable,
    /// The Environment named by the Promotion does not exist in its namespace: create it.
    EnvironmentNotFound,
    /// The Environment named by the Promotion cannot be read; its message names the field.
    EnvironmentInvalid,
    /// The digest is being rolled out, or waits to be healthy.
    RollingOut,
    /// The previous digest is being brought back.
    RollingBack,
    /// The digest ran and was healthy.
    Succeeded,
    /// The promotion ended without success; the record says why.
    Failed,
    /// The roll-out failed and the previous digest was brought back.
    RolledBack,
    /// A person ended the promotion.
    Aborted,
    /// A newer Promotion of the same Release into the same Environment replaced it.
    Superseded,
    /// The image could not be set, or its pods were not healthy, before the deadline.
    Timeout,
    /// The image was changed by somebody else during the roll-out.
    Raced,
    /// Somebody else owns the image field and put the previous image back.
    OwnershipConflict,
    /// There is nothing known to be good to go back to.
    NoKnownGood,
    /// Going back did not succeed either: not set or not healthy before its deadline, or not allowed any more.
    RollbackFailed,
    /// The Promotion object vanished while it held the Environment.
    PromotionDeleted,
    /// The object is read and in force.
    Accepted,
    /// The object cannot be read; the message names the field and the mend.
    Invalid,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
