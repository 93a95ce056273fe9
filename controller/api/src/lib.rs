//! The API `lockmaster.dev/v1alpha1`: one kind per file, and the way into the core.
//!
//! Doc comments of specs and statuses are what `kubectl explain` prints.

#![expect(
    unreachable_pub,
    reason = "kube's KubeSchema derive repeats each struct in a function"
)]

pub mod convert;
pub mod environment;
pub mod policy;
pub mod promotion;
pub mod record;
pub mod release;
pub mod revocation;
mod schema;
pub mod trusted_root;
pub mod window;

pub use environment::{Environment, EnvironmentSpec};
pub use policy::{ClusterPromotionPolicy, ClusterPromotionPolicySpec, PolicyStatus};
pub use promotion::{Promotion, PromotionSpec};
pub use record::{PromotionRecord, PromotionRecordSpec};
pub use release::{Release, ReleaseSpec};
pub use revocation::{Revocation, RevocationSpec};
pub use trusted_root::{TrustedRoot, TrustedRootSpec};
pub use window::{ChangeWindow, ChangeWindowSpec};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The group of every kind.
pub const GROUP: &str = "lockmaster.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";

/// Every CustomResourceDefinition, in the order of the documentation.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let definitions = [
        Release::crd(),
        Environment::crd(),
        Promotion::crd(),
        ClusterPromotionPolicy::crd(),
        ChangeWindow::crd(),
        TrustedRoot::crd(),
        Revocation::crd(),
        PromotionRecord::crd(),
    ];
    definitions.into_iter().map(schema::mended).collect()
}

/// A CustomResourceDefinition as its file holds it.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    let text = serde_saphyr::to_string(definition)?;
    Ok(format!(
        "# Generated from controller/api; regenerate with: just crds\n{text}"
    ))
}
