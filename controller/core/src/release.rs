//! What is promoted: digests, image references, versions and the Release made of them.
//!
//! A digest is parsed once, here, and never travels as a bare string afterwards (M06: no floating
//! references in promotion flows).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical::{self, Domain};

/// What every value that is written as text has: conversions, how it is shown, and its schema.
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

mod digest;
mod image;
mod version;

pub use digest::Digest;
pub use image::{ImageReference, parse_registry_address};
pub use version::Version;

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
    /// Not `host:port` in lower case.
    #[error("\"{0}\" is not a registry: expected host:port in lower case, such as 127.0.0.1:5000")]
    RegistryAddress(String),
    /// Not a semantic version without a leading v.
    #[error("\"{0}\" is not a version: expected SemVer without a leading v, such as 1.42.0")]
    Version(String),
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
    /// The release tag: `v` and the version, and nothing else. It may be left out, since the version
    /// tells it; verified provenance must name it either way.
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

    /// The tag of its version: `v1.42.0`.
    #[must_use]
    pub fn tag(&self) -> String {
        format!("v{}", self.version)
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
        for port in ["0", "65536", "+80", "080", ""] {
            let image = format!("registry.example:{port}/a@{DIGEST}");
            assert!(!check(&image), "port {port}");
        }
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
        let too_large = "18446744073709551615.0.0";
        let wrong = ["v1.2.3", "1.2", "1.2.3+build", "1.2.3-01", "latest", ""];
        for wrong in wrong.into_iter().chain([too_large]) {
            assert!(Version::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_registry_is_listed_as_images_name_it() {
        for right in ["127.0.0.1:5000", "registry:80", "registry.example:443"] {
            assert_eq!(parse_registry_address(right).as_deref(), Ok(right));
        }
        let wrong = [
            "registry.example",
            "Registry.example:443",
            "http://127.0.0.1:5000",
            "127.0.0.1:5000/shop",
            "127.0.0.1:",
            "127.0.0.1:70000",
            "",
        ];
        for wrong in wrong {
            let message = parse_registry_address(wrong).unwrap_err().to_string();
            assert!(
                message.contains("expected host:port in lower case"),
                "{message}"
            );
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
