//! Who calls, and what they may: asked of the API server, never of the kubeconfig.

use anyhow::Context as _;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};

use crate::cluster::Cluster;

/// Who calls, as the API server authenticated it.
#[derive(Debug)]
pub(crate) struct Caller {
    /// User name.
    pub(crate) name: String,
    /// Its groups.
    pub(crate) groups: Vec<String>,
}

impl Caller {
    /// Whether the guard takes decisions from it: not from accounts of the system, and not from the
    /// group that no right is ever denied to.
    pub(crate) fn is_a_person(&self) -> bool {
        let superuser = self.groups.iter().any(|group| group == "system:masters");
        !self.name.starts_with("system:") && !superuser
    }
}

/// Who calls.
pub(crate) async fn caller(cluster: &Cluster) -> anyhow::Result<Caller> {
    let review = cluster.ask(&SelfSubjectReview::default()).await?;
    let info = review.status.and_then(|status| status.user_info);
    let (name, groups) = info
        .and_then(|info| Some((info.username?, info.groups.unwrap_or_default())))
        .context("the API server did not say who you are")?;
    Ok(Caller { name, groups })
}

/// The user name that the API server authenticated.
pub(crate) async fn whoami(cluster: &Cluster) -> anyhow::Result<String> {
    Ok(caller(cluster).await?.name)
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
