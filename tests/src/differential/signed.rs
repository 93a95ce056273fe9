//! Signed images before anything is done to them: made here, or by cosign with a private Sigstore.

mod handmade;
mod keyless;

use serde_json::Value;

use super::question::By;

pub(super) use handmade::Handmade;
pub(super) use keyless::Signatures;

/// What there is of one format: the same signer about two images, and somebody else.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// The image's manifest, byte for byte.
    pub(super) manifest: Vec<u8>,
    /// SHA-256 of the other image, hexadecimal.
    pub(super) other_digest: String,
    /// About this image.
    pub(super) bundle: Value,
    /// About the other image, by the same signer.
    pub(super) another: Value,
    /// About this image, by somebody else.
    pub(super) strangers: Value,
    pub(super) signer: By,
    pub(super) stranger: By,
}

impl Signed {
    /// Where the table takes nothing from another image or signer.
    fn alone(manifest: Vec<u8>, bundle: Value, signer: By) -> Self {
        Self {
            manifest,
            other_digest: String::new(),
            another: Value::Null,
            strangers: Value::Null,
            bundle,
            stranger: signer.clone(),
            signer,
        }
    }
}
