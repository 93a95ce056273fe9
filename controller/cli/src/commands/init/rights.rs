//! Who may do what: the operator in the targets' namespaces, people in the product's.

use std::collections::BTreeSet;

use kube::ResourceExt;
use lockmaster_api::Environment;
use lockmaster_core::environment::Tier;
use serde_json::{Value, json};

use super::{Documents, ROLE};
use crate::args::Init;

const RBAC: &str = "rbac.authorization.k8s.io";

/// Adds all of it.
pub(super) fn add(
    arguments: &Init,
    environments: &[Environment],
    documents: &mut Documents,
) -> anyhow::Result<()> {
    let targets = arguments.target.iter();
    let namespaces: BTreeSet<_> = targets.map(|t| t.deployment.namespace.as_str()).collect();
    for namespace in namespaces {
        let text = format!("What the operator may do in {namespace}; its owner can take it away.");
        let rules = json!([
            {"apiGroups": ["apps"], "resources": ["deployments"],
             "verbs": ["get", "list", "watch", "patch"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        ]);
        documents.add(&text, &role(namespace, "lockmaster-target", &rules))?;
        let account = account(arguments);
        let binding = binding(
            namespace,
            "lockmaster-target",
            "Role",
            "lockmaster-target",
            &account,
        );
        documents.add("", &binding)?;
    }
    if !arguments.pull_secret.is_empty() {
        pull_secrets(arguments, documents)?;
    }
    if let Some(group) = &arguments.requester_group {
        requesters(arguments, environments, group, documents)?;
    }
    if let Some(group) = &arguments.approver_group {
        approvers(arguments, environments, group, documents)?;
    }
    Ok(())
}

/// By name, because a right to list or watch Secrets is one to read all of them.
fn pull_secrets(arguments: &Init, documents: &mut Documents) -> anyhow::Result<()> {
    let namespace = &arguments.namespace;
    let name = format!("lockmaster-pull-secrets-{}", arguments.product);
    let rules = json!([{
        "apiGroups": [""], "resources": ["secrets"],
        "resourceNames": arguments.pull_secret, "verbs": ["get"],
    }]);
    let text = "Which Secrets the operator may read, to read evidence from private registries.";
    documents.add(text, &role(namespace, &name, &rules))?;
    let account = account(arguments);
    documents.add("", &binding(namespace, &name, "Role", &name, &account))
}

fn account(arguments: &Init) -> Value {
    let operator = &arguments.operator;
    json!({"kind": "ServiceAccount", "name": operator.name, "namespace": operator.namespace})
}

fn requesters(
    arguments: &Init,
    environments: &[Environment],
    group: &str,
    documents: &mut Documents,
) -> anyhow::Result<()> {
    let (namespace, product) = (&arguments.namespace, &arguments.product);
    let names: Vec<_> = environments.iter().map(ResourceExt::name_any).collect();
    let name = format!("promote-{product}");
    let rules = json!([{
        "apiGroups": [lockmaster_api::GROUP], "resources": ["environments"],
        "resourceNames": names, "verbs": ["promote"],
    }]);
    let people = people(group);
    documents.add(
        "Who may ask for promotions.",
        &role(namespace, &name, &rules),
    )?;
    documents.add("", &binding(namespace, &name, "Role", &name, &people))?;
    for shipped in ["lockmaster-requester", "lockmaster-viewer"] {
        let name = format!("{shipped}-{product}");
        documents.add(
            "",
            &binding(namespace, &name, "ClusterRole", shipped, &people),
        )?;
    }
    Ok(())
}

fn approvers(
    arguments: &Init,
    environments: &[Environment],
    group: &str,
    documents: &mut Documents,
) -> anyhow::Result<()> {
    let (namespace, product) = (&arguments.namespace, &arguments.product);
    let production = environments
        .iter()
        .filter(|environment| environment.spec.tier == Tier::Production);
    let names: Vec<_> = production.map(ResourceExt::name_any).collect();
    if names.is_empty() {
        let text = "--approver-group: no stage is of tier Production, and only there the starter \
                    policy asks for approvals; add --target prod=NAMESPACE/DEPLOYMENT";
        return Err(crate::failure::Failure::usage(text).into());
    }
    let name = format!("approve-{product}-{ROLE}");
    let rules = json!([{
        "apiGroups": [lockmaster_api::GROUP], "resources": [format!("environments/{ROLE}")],
        "resourceNames": names, "verbs": ["approve"],
    }]);
    let people = people(group);
    let text =
        "Who may approve as release-manager. Requesters never count for what they asked for.";
    documents.add(text, &role(namespace, &name, &rules))?;
    documents.add("", &binding(namespace, &name, "Role", &name, &people))?;
    for shipped in ["lockmaster-approver", "lockmaster-viewer"] {
        let name = format!("{shipped}-{product}-{ROLE}");
        documents.add(
            "",
            &binding(namespace, &name, "ClusterRole", shipped, &people),
        )?;
    }
    Ok(())
}

fn people(group: &str) -> Value {
    json!({"apiGroup": RBAC, "kind": "Group", "name": group})
}

fn role(namespace: &str, name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": rules,
    })
}

fn binding(namespace: &str, name: &str, kind: &str, role: &str, subject: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
        "subjects": [subject],
    })
}
