//! Who calls, and what they may: asked of the API server, never of the kubeconfig.

use anyhow::Context as _;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};

use crate::cluster::Cluster;

/// The user name that the API server authenticated.
pub(crate) async fn whoami(cluster: &Cluster) -> anyhow::Result<String> {
    let review = cluster.ask(&SelfSubjectReview::default()).await?;
    review
        .status
        .and_then(|status| status.user_info?.username)
        .context("the API server did not say who you are")
}

/// Whether the caller may `approve` in a role of an Environment: what the guard asks as well.
pub(crate) async fn may_approve(
    cluster: &Cluster,
    environment: &str,
    role: &str,
) -> anyhow::Result<bool> {
    let question = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(lockmaster_api::GROUP.to_owned()),
                resource: Some("environments".to_owned()),
                subresource: Some(role.to_owned()),
                name: Some(environment.to_owned()),
                namespace: Some(cluster.namespace().to_owned()),
                verb: Some("approve".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = cluster.ask(&question).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
