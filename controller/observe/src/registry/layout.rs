//! An OCI image layout in place of a registry: a directory with `oci-layout`, `index.json` and
//! `blobs/sha256/…` (image specification 1.1, image layout).
//!
//! It is hostile storage like a registry: its lists and tags are hints, and every blob is hashed by
//! who asks for it. The name of a file is never taken from its content but as a digest that was
//! parsed, and a link that leads out of the directory is not followed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lockmaster_core::release::{Digest, clip};
use lockmaster_verify::document as json;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::document::{self, Descriptor, Document, MANIFEST_LIMIT};
use super::problem::Problem;
use super::shares::Budget;

/// The file that says what the directory is, and the only version there is.
const MARKER: &str = "oci-layout";
const VERSION: &str = "1.0.0";

/// The file that lists what is in it.
const LIST: &str = "index.json";

/// Manifests of the list whose `subject` is looked at. A copy of one image with everything about it
/// has some ten.
const LISTED_LIMIT: usize = 1024;

/// Annotation of the list that holds a tag, or a whole reference that ends with it.
const TAG: &str = "org.opencontainers.image.ref.name";

/// Annotation by which `cosign save` tells the image from what lies under its tags.
const KIND: &str = "kind";
const KIND_IMAGE: &str = "dev.cosignproject.cosign/image";

/// A directory that was found to be a layout, and what it lists.
pub(super) struct Layout {
    /// Without links in it.
    root: PathBuf,
    listed: Vec<(Digest, Descriptor)>,
    media_types: BTreeMap<Digest, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    media_type: Option<String>,
}

impl Layout {
    /// Reads what the directory lists.
    pub(super) async fn open(directory: &Path) -> Result<Self, Problem> {
        let root = tokio::fs::canonicalize(directory).await;
        let root = root.map_err(|error| failed("it", &error))?;
        let mut layout = Self {
            root,
            listed: Vec::new(),
            media_types: BTreeMap::new(),
        };
        let marker = layout.file(MARKER, MANIFEST_LIMIT, None).await?;
        let marker: Marker = json::parse(&marker, MANIFEST_LIMIT)
            .map_err(|error| problem(format!("{MARKER}: {error}")))?;
        if marker.image_layout_version != VERSION {
            let version = clip(&marker.image_layout_version);
            return Err(problem(format!(
                "it is a layout of version \"{version}\", only {VERSION} is read"
            )));
        }
        let list = layout.file(LIST, MANIFEST_LIMIT, None).await?;
        let manifests = match document::read(&list, Some(document::ACCEPT_INDEX)) {
            Ok(Document::Index { manifests }) => manifests,
            Ok(Document::Manifest { .. }) => {
                return Err(problem(format!("{LIST} is no image index")));
            }
            Err(error) => return Err(problem(format!("{LIST}: {error}"))),
        };
        for descriptor in manifests {
            if let Some(digest) = descriptor.digest() {
                let media_type = descriptor.media_type().to_owned();
                layout
                    .media_types
                    .entry(digest.clone())
                    .or_insert(media_type);
                layout.listed.push((digest, descriptor));
            }
        }
        Ok(layout)
    }

    /// The manifests that it lists, each of which may name a subject.
    pub(super) fn manifests(&self) -> Result<Vec<&(Digest, Descriptor)>, Problem> {
        let all = self.listed.iter();
        let found: Vec<_> = all.filter(|(_, one)| one.is_manifest()).collect();
        if found.len() > LISTED_LIMIT {
            return Err(Problem::Limit {
                what: "manifests in index.json",
                limit: LISTED_LIMIT,
            });
        }
        Ok(found)
    }

    /// The manifest or index under the tag `sha256-<hex><suffix>` of an image, if there is one.
    pub(super) fn tagged(&self, image: &Digest, suffix: &str) -> Result<Option<&Digest>, Problem> {
        let tag = format!("sha256-{}{suffix}", image.hexadecimal());
        let kind = self.saved_as(image, suffix);
        let is_meant = |descriptor: &Descriptor| {
            let name = descriptor.annotation(TAG).unwrap_or_default();
            let of_reference = name.rsplit_once(':').map(|(_, tag)| tag);
            name == tag
                || of_reference == Some(&tag)
                || (kind.is_some() && descriptor.annotation(KIND) == kind)
        };
        let all = self.listed.iter();
        let meant = all.filter(|(_, descriptor)| is_meant(descriptor));
        let digests: BTreeSet<&Digest> = meant.map(|(digest, _)| digest).collect();
        if digests.len() > 1 {
            return Err(problem(format!(
                "{LIST} gives the tag {tag} to several: remove those that are not meant"
            )));
        }
        Ok(digests.into_iter().next())
    }

    /// How `cosign save` marks what is under this tag of an image, where it saved that here.
    fn saved_as(&self, image: &Digest, suffix: &str) -> Option<&'static str> {
        let mut listed = self.listed.iter();
        let saved = listed.any(|(digest, descriptor)| {
            let kind = descriptor.annotation(KIND).unwrap_or_default();
            digest == image && kind.starts_with(KIND_IMAGE)
        });
        match suffix {
            ".sig" => Some("dev.cosignproject.cosign/sigs"),
            ".att" => Some("dev.cosignproject.cosign/atts"),
            _ => None,
        }
        .filter(|_| saved)
    }

    /// What is said to be of this digest; nothing has been hashed.
    pub(super) async fn blob(
        &self,
        digest: &Digest,
        limit: usize,
        budget: &Budget,
    ) -> Result<Vec<u8>, Problem> {
        self.file(&name(digest), limit, Some(budget)).await
    }

    /// As what a manifest comes: what the list says or, where it is silent, the manifest itself.
    pub(super) fn media_type(&self, digest: &Digest, bytes: &[u8]) -> Option<String> {
        let listed = self.media_types.get(digest).cloned();
        listed.or_else(|| serde_json::from_slice::<Named>(bytes).ok()?.media_type)
    }

    /// A file that lies in the directory, of at most so many bytes.
    async fn file(
        &self,
        name: &str,
        limit: usize,
        budget: Option<&Budget>,
    ) -> Result<Vec<u8>, Problem> {
        let path = tokio::fs::canonicalize(self.root.join(name)).await;
        let path = path.map_err(|error| failed(name, &error))?;
        if !path.starts_with(&self.root) {
            return Err(problem(format!(
                "{name} is a link that leads out of the directory, which is not followed: put the \
                 file itself there"
            )));
        }
        let metadata = tokio::fs::metadata(&path).await;
        let metadata = metadata.map_err(|error| failed(name, &error))?;
        if !metadata.is_file() {
            return Err(problem(format!("{name} is no file")));
        }
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        if length > limit {
            return Err(Problem::Limit {
                what: "bytes",
                limit,
            });
        }
        if let Some(budget) = budget {
            budget.take(length).await?;
        }
        let file = tokio::fs::File::open(&path).await;
        let file = file.map_err(|error| failed(name, &error))?;
        let mut bytes = Vec::with_capacity(length);
        // One more than there should be: what grows meanwhile has no end.
        let read = file.take(length as u64 + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| failed(name, &error))?;
        if bytes.len() != length {
            return Err(problem(format!("{name} changed while it was read")));
        }
        Ok(bytes)
    }
}

/// The file of a digest.
fn name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hexadecimal())
}

/// The bytes of a file are not those that its name says.
pub(super) fn other_bytes(digest: &Digest, found: &Digest) -> Problem {
    problem(format!(
        "{} holds the bytes of {found}: it was changed or cut short",
        name(digest)
    ))
}

fn failed(name: &str, error: &std::io::Error) -> Problem {
    if error.kind() == ErrorKind::NotFound {
        return problem(format!("{name} is missing"));
    }
    problem(format!("{name} cannot be read: {error}"))
}

fn problem(text: String) -> Problem {
    Problem::Layout(text)
}
