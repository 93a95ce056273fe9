//! Manifests and indexes: what the bytes are, decided from the header and the document together.
//!
//! Bytes that can be read both as a manifest and as an index are refused (CVE-2021-41190), as are
//! duplicate keys, also those that only case tells apart: runtimes are written in Go, whose reader
//! of JSON takes `Manifests` for `manifests`. Formats: OCI image specification 1.1, Docker image manifest version 2 schema 2.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_core::release::{Digest, clip};
use lockmaster_verify::document;
use serde::Deserialize;

use super::problem::Problem;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What may be asked for as an artifact's manifest.
pub(super) const ACCEPT_SUBJECT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// What carries a bundle.
pub(super) const ACCEPT_MANIFEST: &str = OCI_MANIFEST;

/// What carries the older formats.
pub(super) const ACCEPT_LEGACY: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// What lists referrers.
pub(super) const ACCEPT_INDEX: &str = OCI_INDEX;

/// Annotation by which cosign says which predicate a bundle holds. Unsigned: a hint.
const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";

/// Every key that anybody reads of a manifest, an index or a descriptor (OCI image specification 1.1,
/// Docker image manifest version 2).
const NAMES: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "blobs",
    "manifests",
    "subject",
    "annotations",
    "digest",
    "size",
    "urls",
    "data",
    "platform",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "features",
    // Of version 1 of Docker's manifest, which is not read here and may be elsewhere.
    "fsLayers",
    "history",
    "signatures",
    "name",
    "tag",
];

/// Longest manifest, index or page of referrers: the size that the distribution specification asks
/// registries to take (CVE-2024-29902 and its family).
pub(super) const MANIFEST_LIMIT: usize = 4 << 20;

/// What an index or manifest says of other content. All of it is a hint until the content is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    media_type: String,
    digest: String,
    pub(super) size: u64,
    platform: Option<Platform>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Where an image of an index runs (OCI image index specification). All of it may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Platform {
    pub(super) os: Option<String>,
    pub(super) architecture: Option<String>,
    pub(super) variant: Option<String>,
    #[serde(rename = "os.version")]
    pub(super) version: Option<String>,
}

/// A manifest's configuration.
#[derive(Debug, Deserialize)]
struct Config {
    digest: Option<String>,
}

impl Descriptor {
    /// Its digest; `None` when it is by another algorithm than SHA-256.
    pub(super) fn digest(&self) -> Option<Digest> {
        Digest::parse(&self.digest).ok()
    }

    /// Where what it names runs, where it says so.
    pub(super) fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }

    /// What it says it names.
    pub(super) fn media_type(&self) -> &str {
        &self.media_type
    }

    /// One thing that is said of what it names.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// What is said of what it names.
    pub(super) fn into_annotations(self) -> BTreeMap<String, String> {
        self.annotations.unwrap_or_default()
    }

    /// Whether it says that it names an image manifest.
    pub(super) fn is_manifest(&self) -> bool {
        [OCI_MANIFEST, DOCKER_MANIFEST].contains(&self.media_type.as_str())
    }

    /// Whether it says that it names an index.
    pub(super) fn is_index(&self) -> bool {
        [OCI_INDEX, DOCKER_LIST].contains(&self.media_type.as_str())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Config>,
    layers: Option<Vec<Descriptor>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// A manifest or an index that is what its header says.
#[derive(Debug)]
pub(super) enum Document {
    /// An image manifest.
    Manifest {
        /// Digest of its configuration, where it is by SHA-256.
        config: Option<Digest>,
        layers: Vec<Descriptor>,
        predicate: Option<String>,
    },
    /// An image index.
    Index { manifests: Vec<Descriptor> },
}

/// Reads what came with this `Content-Type`.
pub(super) fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Document, Problem> {
    let refuse = |text: String| Err(Problem::Document(text));
    let wire: Wire = document::parse_named(bytes, MANIFEST_LIMIT, NAMES, "annotations")
        .map_err(|error| Problem::Document(error.to_string()))?;
    let header = content_type
        .and_then(|text| text.split(';').next())
        .unwrap_or_default()
        .trim();
    if let Some(own) = &wire.media_type
        && own != header
    {
        let (header, own) = (clip(header), clip(own));
        return refuse(format!(
            "it came as \"{header}\" and calls itself \"{own}\""
        ));
    }
    let Wire {
        media_type,
        manifests,
        config,
        layers,
        annotations,
    } = wire;
    match (manifests, config.is_some() || layers.is_some()) {
        (Some(_), true) => refuse("it is both a manifest and an index".to_owned()),
        (None, false) => refuse("it is neither a manifest nor an index".to_owned()),
        (Some(manifests), false) => {
            // Docker's types always name themselves.
            let known = if media_type.is_some() {
                &[OCI_INDEX, DOCKER_LIST][..]
            } else {
                &[OCI_INDEX]
            };
            check_type(known, header, "an index")?;
            Ok(Document::Index { manifests })
        }
        (None, true) => {
            let (Some(config), Some(layers)) = (config, layers) else {
                return refuse("it is a manifest without config or layers".to_owned());
            };
            let known = if media_type.is_some() {
                &[OCI_MANIFEST, DOCKER_MANIFEST][..]
            } else {
                &[OCI_MANIFEST]
            };
            check_type(known, header, "a manifest")?;
            let predicate = annotations.and_then(|mut all| all.remove(PREDICATE_ANNOTATION));
            let config = config.digest.and_then(|text| Digest::parse(&text).ok());
            Ok(Document::Manifest {
                config,
                layers,
                predicate,
            })
        }
    }
}

/// The digest that a manifest names as its `subject`, where it is by SHA-256.
pub(super) fn subject(bytes: &[u8]) -> Result<Option<Digest>, Problem> {
    #[derive(Deserialize)]
    struct Refers {
        subject: Option<Subject>,
    }
    #[derive(Deserialize)]
    struct Subject {
        digest: String,
    }
    let refers: Refers = document::parse_named(bytes, MANIFEST_LIMIT, NAMES, "annotations")
        .map_err(|error| Problem::Document(error.to_string()))?;
    let subject = refers.subject.map(|subject| Digest::parse(&subject.digest));
    Ok(subject.and_then(Result::ok))
}

fn check_type(known: &[&str], header: &str, shape: &str) -> Result<(), Problem> {
    if known.contains(&header) {
        return Ok(());
    }
    Err(Problem::Document(format!(
        "it is {shape} and came as \"{}\"",
        clip(header)
    )))
}

/// The descriptors that may carry bundles: image manifests by SHA-256, each once. Nothing is
/// filtered by artifact type, which cosign's own entries in an index do not have.
pub(super) fn carriers(descriptors: Vec<Descriptor>) -> Vec<(Digest, u64)> {
    let mut seen = BTreeSet::new();
    descriptors
        .into_iter()
        .filter(Descriptor::is_manifest)
        .filter_map(|descriptor| Some((descriptor.digest()?, descriptor.size)))
        .filter(|(digest, _)| seen.insert(digest.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, content_type: &str) -> String {
        read(text.as_bytes(), Some(content_type))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn header_and_document_must_agree() {
        let manifest = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        let document = read(
            manifest.as_bytes(),
            Some("application/vnd.oci.image.manifest.v1+json; x=y"),
        );
        assert!(matches!(document, Ok(Document::Manifest { .. })));
        assert!(problem(manifest, OCI_INDEX).contains("it is a manifest and came as"));
        assert!(problem(manifest, DOCKER_MANIFEST).contains("it is a manifest and came as"));
        assert!(problem(manifest, "").contains("it is a manifest and came as \"\""));
        let typed = format!(r#"{{"mediaType":"{DOCKER_MANIFEST}","config":{{}},"layers":[]}}"#);
        assert!(read(typed.as_bytes(), Some(DOCKER_MANIFEST)).is_ok());
        assert!(problem(&typed, OCI_MANIFEST).contains("and calls itself"));
        let posing = format!(r#"{{"mediaType":"{OCI_INDEX}","config":{{}},"layers":[]}}"#);
        assert!(problem(&posing, OCI_INDEX).contains("it is a manifest and came as"));
    }

    /// What a node runs of these is not what an exact reader sees.
    #[test]
    fn cve_2021_41190_spellings_that_a_runtime_takes_for_the_same_are_refused() {
        let good = r#"{"mediaType":"m","digest":"d","size":1"#;
        for spelled in [
            format!(r#"{{"manifests":[{good}}}],"Manifests":[{good}}}]}}"#),
            format!(r#"{{"manifests":[{good}}}],"manife\u017fts":[]}}"#),
            format!(r#"{{"manifests":[{good},"Digest":"e"}}]}}"#),
            format!(r#"{{"manifests":[{good},"Platform":{{}}}}]}}"#),
            format!(
                r#"{{"manifests":[{good},"platform":{{"os":"unknown","architecture":"unknown","OS":"linux"}}}}]}}"#
            ),
            r#"{"config":{},"layers":[],"Layers":[]}"#.to_owned(),
            r#"{"config":{},"layers":[],"MEDIATYPE":"x"}"#.to_owned(),
        ] {
            let problem = problem(&spelled, OCI_INDEX);
            assert!(
                problem.contains("spelled otherwise"),
                "{spelled}: {problem}"
            );
        }
    }

    #[test]
    fn both_neither_and_half_are_refused() {
        for both in [
            r#"{"manifests":[],"config":{},"layers":[]}"#,
            r#"{"manifests":[],"layers":[]}"#,
            r#"{"manifests":[],"config":{}}"#,
        ] {
            assert_eq!(
                problem(both, OCI_INDEX),
                "it is both a manifest and an index",
                "{both}"
            );
        }
        assert!(problem("{}", OCI_MANIFEST).contains("neither a manifest nor an index"));
        assert!(problem(r#"{"layers":[]}"#, OCI_MANIFEST).contains("without config or layers"));
        let twice = r#"{"layers":[],"config":{},"layers":[]}"#;
        assert!(problem(twice, OCI_MANIFEST).contains("\"layers\" is given twice"));
        assert!(problem("[]", OCI_MANIFEST).contains("not readable JSON"));
    }
}
