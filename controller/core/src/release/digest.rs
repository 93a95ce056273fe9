//! A digest, parsed once: it never travels as a bare string.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{ParseError, clip};

/// An OCI digest: `sha256:` and 64 lower-case hexadecimal characters. Other algorithms are refused:
/// every comparison of this product is on SHA-256.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Parses `sha256:<64 hex>`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let hexadecimal = text.strip_prefix("sha256:").unwrap_or_default();
        let valid = hexadecimal.len() == 64
            && hexadecimal
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::Digest(clip(text)))
        }
    }

    /// The digest of 32 bytes that a SHA-256 computation returned.
    #[must_use]
    pub fn from_sha256(bytes: &[u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(bytes)))
    }

    /// The 32 bytes that it stands for.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Always 64 hexadecimal characters: nothing else is ever parsed.
        let _ = hex::decode_to_slice(self.hexadecimal(), &mut bytes);
        bytes
    }

    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(&Sha256::digest(bytes).into())
    }

    /// The whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal characters.
    #[must_use]
    pub fn hexadecimal(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// The first 12 hexadecimal characters: what people read.
    #[must_use]
    pub fn short(&self) -> &str {
        self.hexadecimal().get(..12).unwrap_or_default()
    }
}

text_value!(
    Digest,
    |digest, f| f.write_str(&digest.0),
    schemars::json_schema!({
        "type": "string", "maxLength": 71, "pattern": "^sha256:[a-f0-9]{64}$"
    })
);
