//! The Sigstore bundle, version 0.3, signed with a managed key.
//!
//! Format: `sigstore_bundle.proto` of sigstore/protobuf-specs. Versions 0.1 and 0.2 are refused
//! here, because the media type is not signed and the older versions ask for less. Log entries and
//! timestamps are not looked at: with a managed key they prove nothing that the key does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::KeyId;
use lockmaster_core::release::{Digest, clip};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sigstore_types::{DsseEnvelope, HashAlgorithm, MessageSignature, SignatureBytes};

use crate::document;

/// Longest bundle that is read; an SBOM of 12 MiB fits into it in base64.
pub const BUNDLE_LIMIT: usize = 16 << 20;

const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
];

/// A bundle that was read, not verified.
pub(crate) struct Opened {
    pub(crate) key_hint: Option<KeyId>,
    pub(crate) signed: Signed,
}

/// What the signature is over.
pub(crate) enum Signed {
    /// The artifact itself; `names` is the digest that the bundle gives for it, unsigned.
    Message {
        signature: SignatureBytes,
        names: Option<[u8; 32]>,
    },
    /// A DSSE envelope.
    Envelope(DsseEnvelope),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: Option<String>,
    verification_material: Option<Material>,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<DsseEnvelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<KeyHint>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct KeyHint {
    hint: Option<String>,
}

/// Reads a bundle; the error is the problem in words.
pub(crate) fn open(bytes: &[u8]) -> Result<Opened, String> {
    let wire: Wire = document::parse(bytes, BUNDLE_LIMIT)
        .map_err(|error| format!("the bundle cannot be read: {error}"))?;
    let media_type = wire.media_type.unwrap_or_default();
    if !MEDIA_TYPES.contains(&media_type.as_str()) {
        return Err(format!(
            "the bundle's media type is \"{}\"; only version 0.3 is accepted from a registry",
            clip(&media_type)
        ));
    }
    let material = wire
        .verification_material
        .ok_or("the bundle has no verification material")?;
    if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
        return Err(
            "keyless signatures are not supported yet; sign with a managed key \
                    (cosign sign --key)"
                .to_owned(),
        );
    }
    let key = material
        .public_key
        .ok_or("the bundle names neither a key nor a certificate")?;
    let signed = match (wire.message_signature, wire.dsse_envelope) {
        (Some(message), None) => message_signature(message)?,
        (None, Some(envelope)) => Signed::Envelope(envelope),
        (Some(_), Some(_)) => {
            return Err("the bundle has both a message signature and an envelope".to_owned());
        }
        (None, None) => return Err("the bundle has no signature".to_owned()),
    };
    Ok(Opened {
        key_hint: key.hint.as_deref().and_then(read_hint),
        signed,
    })
}

/// cosign writes base64 of the SHA-256 of the SubjectPublicKeyInfo; other hints mean nothing here.
fn read_hint(hint: &str) -> Option<KeyId> {
    let bytes = STANDARD.decode(hint).ok()?;
    <[u8; 32]>::try_from(bytes)
        .ok()
        .map(|bytes| KeyId::from_sha256(&bytes))
}

fn message_signature(message: MessageSignature) -> Result<Signed, String> {
    let names = match message.message_digest {
        None => None,
        Some(named) if named.algorithm == HashAlgorithm::Sha2256 => Some(
            <[u8; 32]>::try_from(named.digest.as_bytes())
                .map_err(|_| "the bundle's message digest has not 32 bytes")?,
        ),
        Some(named) => {
            return Err(format!(
                "the bundle's message digest is {}, not SHA2_256",
                named.algorithm
            ));
        }
    };
    Ok(Signed::Message {
        signature: message.signature,
        names,
    })
}

/// The digest that a message signature names.
pub(crate) fn named_digest(names: &[u8; 32]) -> Digest {
    Digest::from_sha256(names)
}
