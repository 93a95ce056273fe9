//! Records, Environments, windows: what only the operator writes, and what needs `promote`.

use kube::Api;
use kube::api::{Patch, PatchParams};
use lockmaster_api::{ChangeWindow, Environment, PromotionRecord};
use serde_json::{Value, json};

use super::{INSTANT, Story, create, digest, environment, record, target, wait_for_right};
use crate::beds::Bare;

const ONLY: &str = "only the operator writes this";

/// Records are made by the operator, and then by nobody.
pub(super) async fn records(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-records").await?;
    let Bare { bob, account, .. } = bare;
    let admin = bare.cluster.admin();
    let answer = story.create(bob, record("r1")).await;
    story.guard("status", ONLY, "made by an editor", answer);
    let answer = story.create(admin, record("r1")).await;
    story.guard("status", ONLY, "made by the superuser", answer);
    let answer = story.create(account, record("r1")).await;
    story.allow("made by the operator", answer);
    let label = || json!({"metadata": {"labels": {"a": "b"}}});
    for who in [bob, admin] {
        let answer = story.patch::<PromotionRecord>(who, "r1", label()).await;
        story.guard("status", ONLY, "changed", answer);
        let answer = story.delete::<PromotionRecord>(who, "r1").await;
        story.guard("status", ONLY, "deleted", answer);
        let answer = story.delete_all::<PromotionRecord>(who).await;
        story.guard("status", ONLY, "deleted as a collection", answer);
    }
    let answer = story.patch::<PromotionRecord>(account, "r1", label()).await;
    story.deny("changed by the operator", "cannot patch resource", answer);
    let answer = story.delete::<PromotionRecord>(account, "r1").await;
    story.deny("deleted by the operator", "cannot delete resource", answer);
    story.end(11)
}

/// What an Environment points at, and which gates hold for it.
pub(super) async fn environments(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-environments").await?;
    let Bare { alice, bob, .. } = bare;
    let admin = bare.cluster.admin();
    let rule = "user alice@corp may not change what prod promotes (product, targets, after, tier, \
                health, rollback, pullSecrets)";
    let answer = story.create(alice, environment("prod")).await;
    story.guard("environment", rule, "made without promote", answer);
    let answer = story.create(bob, environment("prod")).await;
    story.allow("made with promote", answer);
    for who in [bob, admin] {
        let answer = story.patch_status::<Environment>(who, "prod").await;
        story.guard("status", ONLY, "status", answer);
    }
    let changes = [
        ("tier", json!("Development")),
        ("tier", json!("Testing")),
        ("after", Value::Null),
        ("after", json!([])),
        ("targets", json!([target("other")])),
        ("product", json!("search")),
        ("health", json!({"deadline": "5m"})),
        ("rollback", json!({"automatic": true})),
        ("pullSecrets", json!(["registry"])),
    ];
    for (field, value) in changes {
        let body = json!({"spec": {field: value}});
        let answer = story.patch::<Environment>(alice, "prod", body).await;
        story.guard("environment", rule, field, answer);
    }
    let body = json!({"spec": {"targets": [target("other")]}});
    let answer = story.patch::<Environment>(bob, "prod", body).await;
    story.allow("target with promote", answer);
    let body = json!({"spec": {
        "health": {"deadline": "5m"}, "rollback": {"automatic": true}, "pullSecrets": ["registry"],
    }});
    let answer = story.patch::<Environment>(bob, "prod", body).await;
    story.allow("health, rollback and pullSecrets with promote", answer);
    let body = json!({"spec": {"pullSecrets": null}});
    let answer = story.patch::<Environment>(alice, "prod", body).await;
    story.guard("environment", rule, "pullSecrets left out", answer);
    // What is left out is what the API server fills in; leaving it out is a change as well.
    let body = json!({"spec": {"health": null}});
    let answer = story.patch::<Environment>(alice, "prod", body).await;
    story.guard("environment", rule, "health left out", answer);
    let body = json!({"spec": {"stage": "production"}});
    let answer = story.patch::<Environment>(alice, "prod", body).await;
    story.allow("stage without promote", answer);
    let body = json!({"metadata": {"labels": {"a": "b"}}});
    let answer = story.patch::<Environment>(alice, "prod", body).await;
    story.allow("label without promote", answer);
    story.end(19)
}

/// The claim of a promotion that holds an Environment.
fn claimed() -> Value {
    let promotion = json!({
        "name": "p1", "uid": "u", "specHash": digest("ab"), "action": "Promote", "release": "r",
        "created": INSTANT, "requestedBy": {"name": "bob@corp", "kind": "Person"},
    });
    json!({"active": {
        "intent": {"attempt": 1, "at": INSTANT, "targets": []},
        "account": {"promotion": promotion, "effectiveTier": "Production"},
    }})
}

/// While a promotion holds an Environment, what it promotes stays as approvers read it, and nobody
/// deletes it, unless the whole namespace goes.
pub(super) async fn held(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-held").await?;
    let Bare { alice, bob, .. } = bare;
    let admin = bare.cluster.admin();
    let rule = "a promotion holds this Environment";
    let answer = story.create(bob, environment("prod")).await;
    story.allow("made", answer);
    let answer = story.report_on::<Environment>("prod", claimed()).await;
    story.allow("claimed", answer);
    for who in [alice, bob, admin] {
        let answer = story.delete::<Environment>(who, "prod").await;
        story.guard("environment", rule, "deleted while held", answer);
    }
    let answer = story.delete_all::<Environment>(bob).await;
    story.guard("environment", rule, "deleted as a collection", answer);
    for who in [bob, admin] {
        let body = json!({"spec": {"health": {"deadline": "5m"}}});
        let answer = story.patch::<Environment>(who, "prod", body).await;
        story.guard("environment", rule, "deadline while held", answer);
    }
    let body = json!({"metadata": {"labels": {"a": "b"}}});
    let answer = story.patch::<Environment>(alice, "prod", body).await;
    story.allow("label while held", answer);
    let free = json!({"active": null});
    let answer = story.report_on::<Environment>("prod", free).await;
    story.allow("released", answer);
    let answer = story.delete::<Environment>(alice, "prod").await;
    story.allow("deleted when nothing holds it", answer);
    let answer = story.create(bob, environment("prod")).await;
    story.allow("made again", answer);
    let answer = story.report_on::<Environment>("prod", claimed()).await;
    story.allow("claimed again", answer);
    let answer = story.delete_namespace().await;
    story.allow("the namespace with an Environment that is held", answer);
    story.end(14)
}

/// Whoever may write windows still does not write their status.
pub(super) async fn policies(bare: &Bare) -> anyhow::Result<()> {
    let mut story = Story::begin(bare, "guard-policies").await?;
    let bob = &bare.bob;
    let rules = json!([{
        "apiGroups": ["lockmaster.dev"], "verbs": super::EDIT,
        "resources": ["*"],
    }]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "guard-policies"}, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "guard-policies"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "guard-policies",
        },
        "subjects": [{
            "kind": "User", "name": "bob@corp", "apiGroup": "rbac.authorization.k8s.io",
        }],
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [role, binding]});
    bare.cluster.apply(&list.to_string()).await?;
    wait_for_right(bob, "", "patch", "", "status").await?;
    let window = json!({
        "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ChangeWindow",
        "metadata": {"name": "guard-policies"},
        "spec": {"zone": "UTC", "ranges": [{"days": ["Mon"], "from": "09:00", "to": "17:00"}]},
    });
    let answer = create(bob, "", window, false).await;
    story.allow("a window by a policy editor", answer);
    let api: Api<ChangeWindow> = Api::all(bob.client.clone());
    let body = json!({"status": {"conditions": []}});
    let parameters = PatchParams::default();
    let answer = api
        .patch_status("guard-policies", &parameters, &Patch::Merge(body))
        .await;
    story.guard("status", ONLY, "its status", answer);
    let arguments = [
        "delete",
        "clusterrolebinding,clusterrole,changewindow",
        "guard-policies",
    ];
    let admin = &bare.cluster.admin().kubeconfig;
    let output = bare.cluster.kubectl(admin, &arguments, None).await?;
    output.required("clean up")?;
    story.end(2)
}
