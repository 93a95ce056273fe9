//! What a policy may ask of what is attached to a digest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Age, ProvenanceRule, SignatureRule};
use crate::canonical::is_default;
use crate::evidence::{SbomFormat, Severity};

/// Which bill of materials is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SbomRule {
    /// Authorities that may have signed it.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
    /// Formats that are accepted; both when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub formats: Vec<SbomFormat>,
    /// Least number of packages or components it must list; 1 when left out, so an empty one
    /// never counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_components: Option<u64>,
    /// Licences that no component may be under: SPDX identifiers, in any case, exactly or as a pattern
    /// where `*` stands for any characters, such as AGPL-*. Of `A OR B` both must be denied, and one
    /// with an exception is denied like the same without. NOASSERTION stands for none at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    pub denied_licenses: Vec<String>,
}

/// Evidence that must be attached to the digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceRules {
    /// Signature of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignatureRule>,
    /// Build provenance; any one of the entries must be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub provenance: Vec<ProvenanceRule>,
    /// Bill of materials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<SbomRule>,
    /// Who may name the tag of a release; left out, provenance must have been made for the tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRule>,
    /// Vulnerability scans.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vulnerabilities: Option<VulnerabilityRule>,
    /// Further statements; every one of the entries must be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub attestations: Vec<AttestationRule>,
    /// Whether a bill of materials or a scan that is attached to an image index counts for its
    /// images; `Refuse` when left out: each image that may run needs its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub index_evidence: IndexEvidence,
}

/// Whether what says what is in an image counts when it is attached to an index of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IndexEvidence {
    /// Each image of the index needs its own: no two of them hold the same.
    #[default]
    Refuse,
    /// One for the index is enough.
    Accept,
}

impl EvidenceRules {
    /// Whether anything must be looked up in a registry.
    #[must_use]
    pub fn asks(&self) -> bool {
        let Self {
            signatures,
            provenance,
            sbom,
            // Asks for nothing by itself.
            release: _,
            vulnerabilities,
            attestations,
            index_evidence: _,
        } = self;
        signatures.is_some()
            || !provenance.is_empty()
            || sbom.is_some()
            || vulnerabilities.is_some()
            || !attestations.is_empty()
    }
}

/// Whose statements say which tag belongs to which digests, where the provenance itself names a
/// branch: images are built first and tagged when they are released (M09 to M11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseRule {
    /// Authorities that may have signed a `https://lockmaster.dev/release/v1` statement. It must name
    /// the Release's version, tag, commit and all its digests.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
}

/// What is done with provenance whose builder or workflow is named by a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UnpinnedWorkflows {
    /// It counts.
    Accept,
    /// It does not count: what a branch holds can change, so that nobody can tell what ran.
    Refuse,
}

/// Which vulnerabilities close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VulnerabilityRule {
    /// Authorities that may have signed a scan (predicate type
    /// `https://cosign.sigstore.dev/attestation/vuln/v1` with a Trivy, Grype or SARIF report). Of all
    /// fresh reports the worst one counts.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
    /// How old a report may be, such as 24h: by the oldest of the end of the scan, the update of the
    /// scanner's database and the time of signing.
    pub max_age: Age,
    /// Severities of which no finding may be left. Whoever names one names all worse ones too.
    #[schemars(length(min = 1, max = 6))]
    pub deny: Vec<Severity>,
    /// What is done with a report that does not say when the scanner's database was updated. Left
    /// out: Required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_time: Option<DatabaseTime>,
    /// Whose OpenVEX statements may excuse findings; nobody's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vex: Option<VexRule>,
}

/// Whether a scan must say when its database was updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseTime {
    /// A report that does not say it does not count.
    Required,
    /// Where it is not said, only the other times count: for `cosign attest --type vuln`, which drops
    /// it.
    WhenStated,
}

/// Whose word excuses a finding. It must be about this digest, name the package and the
/// vulnerability, and say `not_affected` with a justification; of several the latest one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VexRule {
    /// Authorities that may have signed it: none that sign scans, images or provenance, and none with
    /// a key or subject of those.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
    /// How old a statement may be, such as 90d: by the older of its own time and that of signing.
    pub max_age: Age,
}

/// A statement that must be attached to the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttestationRule {
    /// Name of this entry, in messages and in `not-applicable/v1` statements.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Predicate type, as an exact URI. `https://lockmaster.dev/{change,checks,release}/v1`,
    /// `https://slsa.dev/verification_summary/v1` and
    /// `https://in-toto.io/attestation/test-result/v0.1` must also say yes; any other type must only
    /// be there, unless a `rule` says what must be in it.
    #[schemars(length(min = 1, max = 256))]
    pub predicate_type: String,
    /// Authorities that may have signed it.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
    /// How old it may be, such as 30d: by the older of the time that it states and that of signing.
    /// One that states none is too old; with types that cannot state one it is refused, because a
    /// timestamp of the signature can be made anew by anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Age>,
    /// Which checks must have passed; required with `checks/v1`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<CheckRule>,
    /// Whose verdict counts; required with verification summaries, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SummaryRule>,
    /// What `change/v1` must say besides the commit; only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeRule>,
    /// Who may say instead that it does not apply to the artifact; nobody when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<NotApplicableRule>,
    /// A rule in Rego over one such statement, a module of the package `lockmaster` with `allow` and,
    /// for the reasons, `deny`: a statement that it does not allow says no. `input.statement.predicate`
    /// is what the statement says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32768))]
    pub rule: Option<String>,
}

/// Which checks must have passed on the commit of the Release (M20, M129).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckRule {
    /// Names of checks that must be there with the conclusion `success` and nothing quarantined.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 256)))]
    pub required: Vec<String>,
    /// Names of security checks: where one of them is there, it must have passed, and nothing of it
    /// may ever be quarantined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub security: Vec<String>,
}

/// Which verification summaries count (SLSA VSA).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SummaryRule {
    /// For which verifier each authority may speak.
    #[schemars(length(min = 1, max = 8))]
    pub verifiers: Vec<VerifierRule>,
    /// What `resourceUri` may be besides a name of the image, exactly or as a pattern of the whole:
    /// `*` stands for any characters but `/`, `**` for any characters at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 512)))]
    pub resources: Vec<String>,
    /// Levels that must have been verified, such as SLSA_BUILD_LEVEL_2; a higher one of the same track
    /// will do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 128)))]
    pub levels: Vec<String>,
    /// SHA-256 of the policy that was verified, 64 hexadecimal characters; any policy when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[a-f0-9]{64}$"))]
    pub policy_digest: Option<String>,
}

/// A verifier, and the authority that may speak for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifierRule {
    /// The authority that signs.
    #[schemars(length(max = 63))]
    pub authority: String,
    /// The verifier's id, exactly.
    #[schemars(length(min = 1, max = 512))]
    pub id: String,
}

/// Which branches a change may be on (M145).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeRule {
    /// Branches without `refs/heads/`, exactly or as a pattern of the whole: `*` stands for any
    /// characters but `/`, `**` for any characters at all. Such as main, release/* and hotfix/*.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256)))]
    pub branches: Vec<String>,
}

/// Who may say that something does not apply (M19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotApplicableRule {
    /// Authorities that may have signed a `https://lockmaster.dev/not-applicable/v1` statement whose
    /// `what` is the name of the entry.
    #[schemars(length(min = 1, max = 8), inner(length(max = 63)))]
    pub authorities: Vec<String>,
}
