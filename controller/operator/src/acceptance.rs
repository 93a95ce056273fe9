//! `Ready` of policies and windows: once a generation, outside the Environments' passes.

use jiff::Timestamp;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use lockmaster_api::{ChangeWindow, ClusterPromotionPolicy, PolicyStatus};
use lockmaster_core::status::acceptance;
use lockmaster_observe::observation::{policy_fact, window_fact};
use lockmaster_observe::stores::Guarded;

use crate::act::{Writer, version_of};

/// Says whether a policy is in force.
pub(crate) async fn policy(writer: &Writer, object: &Guarded<ClusterPromotionPolicy>) {
    let problem = policy_fact(object).content.err();
    let before = object
        .0
        .as_ref()
        .ok()
        .map(|policy| policy.status.clone().unwrap_or_default());
    say::<ClusterPromotionPolicy>(writer, object, before, problem).await;
}

/// Says whether a window is in force.
pub(crate) async fn window(writer: &Writer, object: &Guarded<ChangeWindow>) {
    let problem = window_fact(object).content.err();
    let before = object
        .0
        .as_ref()
        .ok()
        .map(|window| window.status.clone().unwrap_or_default());
    say::<ChangeWindow>(writer, object, before, problem).await;
}

/// Writes `Ready` where it says something else. The status of an object that cannot be read cannot
/// be read either, so it is written once for each generation that this process sees.
async fn say<K: Resource<DynamicType = ()>>(
    writer: &Writer,
    object: &Guarded<K>,
    before: Option<PolicyStatus>,
    problem: Option<String>,
) {
    let generation = object.meta().generation.unwrap_or_default();
    let conditions = before.as_ref().map(|status| status.conditions.as_slice());
    let conditions = acceptance(
        conditions.unwrap_or_default(),
        generation,
        problem.as_deref(),
        Timestamp::now(),
    );
    let after = PolicyStatus {
        observed_generation: generation,
        conditions,
    };
    if before.as_ref() == Some(&after) {
        return;
    }
    let resource = ApiResource::erase::<K>(&());
    let name = object.name_any();
    let version = version_of(object).unwrap_or_default();
    let status = match serde_json::to_value(&after) {
        Ok(status) => status,
        Err(error) => {
            tracing::warn!(kind = resource.kind, name, %error, "failed to write the status as JSON");
            return;
        }
    };
    if let Err(error) = writer.acceptance(&resource, &name, version, status).await {
        tracing::warn!(kind = resource.kind, name, %error, "failed to say whether it is in force");
    }
}
