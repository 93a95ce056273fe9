//! An image by digest, and the registry it is on.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, ParseError, clip};

/// An image by digest: `registry/repository@sha256:…`. No tag, no user information, and the
/// registry is always spelled out, so that nobody's default registry decides what is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    repository: String,
    digest: Digest,
}

impl ImageReference {
    /// Parses `registry/repository@sha256:…`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let error = || ParseError::Image(clip(text));
        let (repository, digest) = text.split_once('@').ok_or_else(error)?;
        let digest = Digest::parse(digest).map_err(|_| error())?;
        if !valid_repository(repository) {
            return Err(error());
        }
        Ok(Self {
            repository: repository.to_owned(),
            digest,
        })
    }

    /// The same repository with another digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            repository: self.repository.clone(),
            digest,
        }
    }

    /// Registry and repository, `registry.example/shop/checkout`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Host and port of the registry.
    #[must_use]
    pub fn registry(&self) -> &str {
        self.repository.split('/').next().unwrap_or_default()
    }

    /// The repository's path on its registry.
    #[must_use]
    pub fn path(&self) -> &str {
        self.repository
            .split_once('/')
            .map(|(_, path)| path)
            .unwrap_or_default()
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// At most this many characters of a repository (the distribution specification asks clients to
/// keep host and path together below 256).
const REPOSITORY_LIMIT: usize = 255;

/// A host without a port that can be no part of a path: it has a dot, or is localhost.
const HOST_PATTERN: &str = "([a-z0-9][a-z0-9.-]*\\.[a-z0-9.-]*[a-z0-9]|localhost)";

/// Any host, with a port from 1 to 65535.
const HOST_WITH_PORT_PATTERN: &str = "[a-z0-9]([a-z0-9.-]*[a-z0-9])?:([1-9][0-9]{0,3}|\
    [1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";

/// The path on the registry.
const PATH_PATTERN: &str = "(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)+";

/// The grammar of the OCI distribution specification, with the registry required: exactly what
/// [`ImageReference::parse`] reads.
fn pattern() -> String {
    format!("^({HOST_PATTERN}|{HOST_WITH_PORT_PATTERN}){PATH_PATTERN}@sha256:[a-f0-9]{{64}}$")
}

/// A registry by host and port in lower case, as an image names it: what a list of registries is
/// compared with.
pub fn parse_registry_address(text: &str) -> Result<String, ParseError> {
    if text.contains(':') && valid_registry(text) {
        Ok(text.to_owned())
    } else {
        Err(ParseError::RegistryAddress(clip(text)))
    }
}

fn valid_repository(text: &str) -> bool {
    let mut parts = text.split('/');
    let registry = parts.next().unwrap_or_default();
    let mut paths = parts.peekable();
    text.len() <= REPOSITORY_LIMIT
        && valid_registry(registry)
        && paths.peek().is_some()
        && paths.all(valid_path_component)
}

fn valid_registry(text: &str) -> bool {
    let (host, port) = text
        .split_once(':')
        .map_or((text, None), |(host, port)| (host, Some(port)));
    let host_valid = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.ends_with(|c: char| c.is_ascii_alphanumeric())
        && (host.contains('.') || host == "localhost" || port.is_some());
    host_valid && port.is_none_or(valid_port)
}

/// Without a sign or leading zeros: two ways to write one registry would be two registries.
fn valid_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0')
        && text.parse::<u16>().is_ok()
}

fn valid_path_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = text.split(alphanumeric).filter(|s| !s.is_empty());
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && separators.all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

text_value!(
    ImageReference,
    |image, f| write!(f, "{}@{}", image.repository, image.digest),
    schemars::json_schema!({"type": "string", "maxLength": 327, "pattern": pattern()})
);
