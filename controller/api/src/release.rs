//! Kind `Release`: an immutable version of a product.

use kube::{CustomResource, KubeSchema};
use lockmaster_core::release::{Component, Source, Version};
use serde::{Deserialize, Serialize};

/// A version of a product: which images by digest, built from which source. Immutable; another
/// digest or commit needs another version.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "lockmaster.dev",
    version = "v1alpha1",
    kind = "Release",
    plural = "releases",
    namespaced,
    shortname = "rel",
    category = "lockmaster",
    derive = "PartialEq",
    printcolumn(name = "Product", type_ = "string", json_path = ".spec.product"),
    printcolumn(name = "Version", type_ = "string", json_path = ".spec.version"),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".spec.components[0].image",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a Release never changes: create one with a new version"),
    validation = Rule::new(
        "!has(self.source) || !has(self.source.tag) || self.source.tag == 'v' + self.version"
    )
    .message("spec.source.tag is v and spec.version, or is left out"),
    // In words beside the pattern, which explains nothing.
    validation = Rule::new("self.components.all(c, c.image.contains('@sha256:'))")
        .message("images are named by digest (registry/repository@sha256:…), not by tag; crane digest IMAGE tells it")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseSpec {
    /// Name of the product, as the Environments name it.
    #[schemars(length(max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub product: String,
    /// Version in SemVer without a leading v, such as 1.42.0. A pre-release such as 1.42.0-rc.1 is
    /// a version of its own and never enters an Environment of effective tier Production.
    pub version: Version,
    /// The images, by digest. Exactly one for now.
    #[schemars(length(min = 1, max = 1))]
    pub components: Vec<Component>,
    /// Where it was built from. Policies that ask for provenance compare with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
}
