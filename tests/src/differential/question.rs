//! What is asked about an image, of both sides in the same words.

use std::path::PathBuf;

use super::keys::PublicKey;

/// Whose signature of what is wanted.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) of: Wanted,
    pub(super) by: By,
    /// Whose log it must be in, and whose certificates and timestamps count; without one, a key
    /// alone is asked for.
    pub(super) root: Option<Root>,
}

/// A trusted root in the two ways in which it is named.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// For cosign.
    pub(super) path: PathBuf,
    /// For a TrustedRoot.
    pub(super) json: String,
}

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A signature of the image, as `cosign verify` reads one.
    Signature,
    /// A signature over the manifest's bytes, as `cosign verify-blob` reads one.
    Message,
    /// SLSA provenance.
    Provenance,
}

/// Who must have signed.
#[derive(Debug, Clone)]
pub(super) enum By {
    Key(PublicKey),
    Identity { subject: String, issuer: String },
}
