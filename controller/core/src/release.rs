//! What is promoted: digests, image references, versions and the Release made of them.
//!
//! A digest is parsed once, here, and never travels as a bare string afterwards (M06: no floating
//! references in promotion flows).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::canonical::{self, Domain};

/// Why a text is not the value it should be; the message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not `sha256:` and 64 lower-case hexadecimal characters.
    #[error("\"{0}\" is not a digest: expected sha256: and 64 lower-case hexadecimal characters")]
    Digest(String),
    /// Not `registry/repository@sha256:…`.
    #[error(
        "\"{0}\" is not an image by digest: expected registry/repository@sha256:…, without a tag \
         (resolve the tag first, for example: crane digest IMAGE:TAG)"
    )]
    Image(String),
    /// Not a semantic version without a leading v.
    #[error("\"{0}\" is not a version: expected SemVer without a leading v, such as 1.42.0")]
    Version(String),
}

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

/// The grammar of the OCI distribution specification, with the registry required.
pub(crate) const REPOSITORY_PATTERN: &str =
    "[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)+";

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
    host_valid && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn valid_path_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut separators = text.split(alphanumeric).filter(|s| !s.is_empty());
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && separators.all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// A version in SemVer without a leading v (M07). `1.42.0-rc.1` is a version of its own and comes
/// before `1.42.0`; build metadata is refused, because it has no order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(semver::Version);

impl Version {
    /// Parses `MAJOR.MINOR.PATCH[-PRERELEASE]`.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        semver::Version::parse(text)
            .ok()
            .filter(|version| version.build.is_empty() && text.len() <= 64)
            .map(Self)
            .ok_or_else(|| ParseError::Version(clip(text)))
    }

    /// Whether this is a pre-release such as `1.42.0-rc.1`.
    #[must_use]
    pub fn is_pre_release(&self) -> bool {
        !self.0.pre.is_empty()
    }
}

/// Hostile input may be long and may hold control characters; a message repeats neither.
#[must_use]
pub fn clip(text: &str) -> String {
    const SHOWN: usize = 120;
    let mut clipped: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    if text.chars().count() > SHOWN {
        clipped.push('…');
    }
    clipped
}

macro_rules! text_value {
    ($name:ident, $show:expr, $schema:expr) => {
        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let show: fn(&Self, &mut fmt::Formatter<'_>) -> fmt::Result = $show;
                show(self, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}

text_value!(
    Digest,
    |digest, f| f.write_str(&digest.0),
    schemars::json_schema!({
        "type": "string", "maxLength": 71, "pattern": "^sha256:[a-f0-9]{64}$"
    })
);
text_value!(
    ImageReference,
    |image, f| write!(f, "{}@{}", image.repository, image.digest),
    schemars::json_schema!({
        "type": "string",
        "maxLength": 327,
        "pattern": format!("^{REPOSITORY_PATTERN}@sha256:[a-f0-9]{{64}}$")
    })
);
text_value!(
    Version,
    |version, f| fmt::Display::fmt(&version.0, f),
    schemars::json_schema!({
        "type": "string",
        "maxLength": 64,
        "pattern": "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\\.[0-9A-Za-z-]+)*)?$"
    })
);

/// One image of a Release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// Name of the component, unique in the Release; the product's name when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// The image by digest, `registry/repository@sha256:…`. A tag is refused: it may mean another
    /// image tomorrow.
    pub image: ImageReference,
}

/// Where a Release was built from; compared with the verified provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// URL of the source repository, such as https://git.example/shop/checkout.
    #[schemars(length(min = 1, max = 512))]
    pub repository: String,
    /// The commit that was built: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal characters.
    #[schemars(length(max = 64), regex(pattern = "^([a-f0-9]{40}|[a-f0-9]{64})$"))]
    pub commit: String,
    /// The release tag, `v` and the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub tag: Option<String>,
}

/// An immutable version of a product: the thing that is promoted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Name of the object.
    pub name: String,
    /// The product it is a version of.
    pub product: String,
    /// Its version.
    pub version: Version,
    /// Its images.
    pub components: Vec<Component>,
    /// Where it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}

/// One component's name and digest: what "the same artifacts" compares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentDigest {
    /// Name of the component.
    pub component: String,
    /// Its digest.
    pub digest: Digest,
}

impl Release {
    /// The name of `component`: its own or, when it has none, the product's.
    #[must_use]
    pub fn component_name<'a>(&'a self, component: &'a Component) -> &'a str {
        component.name.as_deref().unwrap_or(&self.product)
    }

    /// The component called `name`.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components
            .iter()
            .find(|component| self.component_name(component) == name)
    }

    /// Names and digests of all components, sorted.
    #[must_use]
    pub fn component_digests(&self) -> Vec<ComponentDigest> {
        let mut pairs: Vec<_> = self
            .components
            .iter()
            .map(|component| ComponentDigest {
                component: self.component_name(component).to_owned(),
                digest: component.image.digest().clone(),
            })
            .collect();
        pairs.sort();
        pairs
    }

    /// SHA-256 over the sorted (component, digest) pairs: equal for two Releases of the same bytes.
    pub fn artifact_set(&self) -> Result<Digest, canonical::Error> {
        artifact_set(&self.component_digests())
    }

    /// SHA-256 over the immutable fields; absent fields stay absent.
    pub fn digest(&self) -> Result<Digest, canonical::Error> {
        #[derive(Serialize)]
        struct Immutable<'a> {
            product: &'a str,
            version: &'a Version,
            components: &'a [Component],
            #[serde(skip_serializing_if = "Option::is_none")]
            source: Option<&'a Source>,
        }
        let Self {
            name: _,
            product,
            version,
            components,
            source,
        } = self;
        let source = source.as_ref();
        canonical::hash(
            Domain::Release,
            &Immutable {
                product,
                version,
                components,
                source,
            },
        )
    }
}

/// SHA-256 over sorted (component, digest) pairs.
pub fn artifact_set(pairs: &[ComponentDigest]) -> Result<Digest, canonical::Error> {
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|pair| (pair.component.as_str(), pair.digest.as_str()))
        .collect();
    canonical::hash(Domain::ArtifactSet, &pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:9f2c41d07a11aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn release() -> Release {
        Release {
            name: "checkout-1.42.0".into(),
            product: "checkout".into(),
            version: Version::parse("1.42.0").unwrap(),
            components: vec![Component {
                name: None,
                image: ImageReference::parse(&format!("registry.example/shop/checkout@{DIGEST}"))
                    .unwrap(),
            }],
            source: None,
        }
    }

    #[test]
    fn images_are_by_digest_with_a_registry_and_nothing_else() {
        let check = |text: &str| ImageReference::parse(text).is_ok();
        assert!(check(&format!("registry.example/shop/checkout@{DIGEST}")));
        assert!(check(&format!("127.0.0.1:5000/a/b__c-d.e@{DIGEST}")));
        assert!(!check("registry.example/shop/checkout:1.42.0"), "a tag");
        assert!(
            !check(&format!("registry.example/shop/checkout:1.42.0@{DIGEST}")),
            "tag, digest"
        );
        assert!(!check(&format!("checkout@{DIGEST}")), "no registry");
        assert!(
            !check(&format!("shop/checkout@{DIGEST}")),
            "somebody's default registry"
        );
        assert!(
            !check(&format!("me@registry.example/shop@{DIGEST}")),
            "user information"
        );
        assert!(
            !check(&format!("registry.example/Shop/checkout@{DIGEST}")),
            "upper case"
        );
        assert!(
            !check(&format!("registry.example//checkout@{DIGEST}")),
            "empty component"
        );
        assert!(
            !check(&format!("registry.example/a___b@{DIGEST}")),
            "three underscores"
        );
        assert!(!check(&format!("registry.example:0/a@{DIGEST}")), "port 0");
        assert!(
            !check(&format!("registry.example/a@{}", DIGEST.to_uppercase())),
            "upper digest"
        );
        assert!(
            !check(&format!("registry.example/a@{DIGEST} ")),
            "white space"
        );
    }

    #[test]
    fn versions_are_semver_without_v_and_ordered() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("1.42.0-rc.1") < version("1.42.0"));
        assert!(version("1.9.0") < version("1.10.0"));
        assert!(version("1.42.0-rc.1").is_pre_release());
        for wrong in ["v1.2.3", "1.2", "1.2.3+build", "latest", ""] {
            assert!(Version::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hashes_of_a_release_are_golden() {
        let release = release();
        assert_eq!(
            release.digest().unwrap(),
            canonical::hash_text(
                Domain::Release,
                &format!(
                    "{{\"components\":[{{\"image\":\"registry.example/shop/checkout@{DIGEST}\"}}],\
                     \"product\":\"checkout\",\"version\":\"1.42.0\"}}"
                )
            )
        );
        assert_eq!(
            release.artifact_set().unwrap(),
            canonical::hash_text(
                Domain::ArtifactSet,
                &format!("[[\"checkout\",\"{DIGEST}\"]]")
            )
        );
        let mut named = release.clone();
        named.name = "another-name".into();
        named.components[0].name = Some("checkout".into());
        assert_eq!(
            named.artifact_set().unwrap(),
            release.artifact_set().unwrap()
        );
        assert_ne!(named.digest().unwrap(), release.digest().unwrap());
    }

    #[test]
    fn messages_never_repeat_long_or_hidden_text() {
        let error = Digest::parse(&format!("\u{7}{}", "x".repeat(500)))
            .unwrap_err()
            .to_string();
        assert!(error.len() < 300 && !error.contains('\u{7}'));
    }
}
