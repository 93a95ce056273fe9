//! Predicate types that are read, as exact URIs: a statement of one type never counts for another
//! (CVE-2022-35929), and a version that is not listed is another type.

use super::SbomFormat;

/// The statement by which cosign signs an image.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// SLSA build provenance, specification 1.0 to 1.2.
pub const SLSA_PROVENANCE_V1: &str = "https://slsa.dev/provenance/v1";

/// SLSA build provenance, specification 0.2: what slsa-github-generator writes for images.
pub const SLSA_PROVENANCE_V0_2: &str = "https://slsa.dev/provenance/v0.2";

/// An SPDX document; the document names its version. The type may name it too (`/v2.2`, `/v2.3`).
pub const SPDX: &str = "https://spdx.dev/Document";

/// A CycloneDX document; the document names its version. The type may name it too (`/v1.4` to
/// `/v1.7`).
pub const CYCLONEDX: &str = "https://cyclonedx.org/bom";

/// The report of a vulnerability scanner, in cosign's frame.
pub const COSIGN_VULN: &str = "https://cosign.sigstore.dev/attestation/vuln/v1";

/// An OpenVEX document; the document names its version.
pub const OPENVEX: &str = "https://openvex.dev/ns";

/// An OpenVEX document of version 0.2.0.
pub const OPENVEX_V0_2_0: &str = "https://openvex.dev/ns/v0.2.0";

/// A SLSA verification summary.
pub const SLSA_VSA: &str = "https://slsa.dev/verification_summary/v1";

/// The result of a test run (in-toto attestation framework).
pub const TEST_RESULT: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// How the source came to be: [`Change`](super::Change).
pub const CHANGE: &str = "https://lockmaster.dev/change/v1";

/// Which checks ran: [`Checks`](super::Checks).
pub const CHECKS: &str = "https://lockmaster.dev/checks/v1";

/// Which tag belongs to which digests: [`TaggedRelease`](super::TaggedRelease).
pub const TAGGED_RELEASE: &str = "https://lockmaster.dev/release/v1";

/// That something does not apply: [`NotApplicable`](super::NotApplicable).
pub const NOT_APPLICABLE: &str = "https://lockmaster.dev/not-applicable/v1";

/// Whether statements of this type are read: then what was not read as one is none.
#[must_use]
pub fn is_read(kind: &str) -> bool {
    let all = [
        COSIGN_SIGN,
        SLSA_PROVENANCE_V1,
        SLSA_PROVENANCE_V0_2,
        COSIGN_VULN,
        OPENVEX,
        OPENVEX_V0_2_0,
        SLSA_VSA,
        TEST_RESULT,
        CHANGE,
        CHECKS,
        TAGGED_RELEASE,
        NOT_APPLICABLE,
    ];
    all.contains(&kind) || SbomFormat::of_predicate(kind).is_some()
}

/// Whether a statement of this type can say itself when it was made. Only that tells which of two
/// came later, and how old one is at least.
#[must_use]
pub fn names_its_time(kind: &str) -> bool {
    [COSIGN_VULN, OPENVEX, OPENVEX_V0_2_0, SLSA_VSA, CHECKS].contains(&kind)
}
