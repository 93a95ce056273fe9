//! What the chart grants, and passes to the operator, is what the operator does and takes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::repository::{below, none, read};

/// One right that changes something, and the line of the operator that needs it.
struct Write {
    resource: &'static str,
    verb: &'static str,
    file: &'static str,
    code: &'static str,
}

/// A right of the operator, and where it is used.
const fn write(
    resource: &'static str,
    verb: &'static str,
    file: &'static str,
    code: &'static str,
) -> Write {
    Write {
        resource,
        verb,
        file,
        code,
    }
}

/// All that the operator may change in the whole cluster.
const CLUSTER: [Write; 9] = [
    write(
        "lockmaster.dev/environments/status",
        "update",
        "act.rs",
        "api.replace_status(",
    ),
    write(
        "lockmaster.dev/promotions/status",
        "update",
        "act.rs",
        "api.replace_status(",
    ),
    write(
        "lockmaster.dev/promotionrecords",
        "create",
        "act.rs",
        "api.create(",
    ),
    write(
        "lockmaster.dev/clusterpromotionpolicies/status",
        "patch",
        "act.rs",
        "api.patch_status(",
    ),
    write(
        "lockmaster.dev/changewindows/status",
        "patch",
        "act.rs",
        "api.patch_status(",
    ),
    write(
        "lockmaster.dev/trustedroots/status",
        "patch",
        "act.rs",
        "api.patch_status(",
    ),
    write(
        "lockmaster.dev/revocations/status",
        "patch",
        "act.rs",
        "api.patch_status(",
    ),
    write(
        "events.k8s.io/events",
        "create",
        "events.rs",
        "recorder.publish(",
    ),
    write(
        "events.k8s.io/events",
        "patch",
        "events.rs",
        "recorder.publish(",
    ),
];

/// In its own namespace: what the guard probes are refused by P0 and by nothing else.
const OWN_NAMESPACE: [Write; 3] = [
    write(
        "lockmaster.dev/environments",
        "create",
        "guard.rs",
        "api.create(",
    ),
    write(
        "lockmaster.dev/promotions",
        "create",
        "guard.rs",
        "api.create(",
    ),
    write(
        "lockmaster.dev/environments",
        "promote",
        "guard.rs",
        "guard-probe",
    ),
];

/// What the owner of a target's namespace grants, as the documentation shows it.
const TARGET: Write = write("apps/deployments", "patch", "act.rs", "api.patch(");

/// Calls that change something. The operator makes them where the tables say, and nowhere else.
const CALLS: [&str; 9] = [
    "api.create(",
    "api.replace(",
    "api.replace_status(",
    "api.patch(",
    "api.patch_status(",
    "api.delete(",
    "api.delete_collection(",
    "api.entry(",
    "recorder.publish(",
];

const READS: [&str; 3] = ["get", "list", "watch"];

/// Kinds that the chart may hold. No webhook and no APIService: neither may hold up a cluster.
const KINDS: [&str; 14] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CustomResourceDefinition",
    "Deployment",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
    "ValidatingAdmissionPolicyBinding",
];

/// A template without what Helm fills in: comments and lone actions go, values become a word.
fn without_actions(template: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").unwrap_or_default();
        text.push_str(before);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let alone = line.trim().is_empty() && after.starts_with('\n');
        if !alone && !action.starts_with("- /*") {
            text.push_str("filled");
        }
        rest = after;
    }
    text + rest
}

/// Every `resource verb` that the rules of one Role grant.
pub(crate) fn granted(template: &str, kind: &str, name: &str) -> BTreeSet<String> {
    let text = without_actions(template);
    let role = text
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap())
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    let role = role.unwrap_or_else(|| panic!("the chart has no {kind} {name}"));
    rights(&role)
}

fn rights(role: &Value) -> BTreeSet<String> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let list = rule[key].as_array().into_iter().flatten();
        list.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    rights.insert(format!("{group}/{resource} {verb}"));
                }
            }
        }
    }
    rights
}

fn writes(rights: &BTreeSet<String>) -> BTreeSet<String> {
    let reads = |right: &&String| {
        READS
            .iter()
            .any(|verb| right.ends_with(&format!(" {verb}")))
    };
    rights
        .iter()
        .filter(|right| !reads(right))
        .cloned()
        .collect()
}

fn expected(table: &[Write]) -> BTreeSet<String> {
    let right = |write: &Write| format!("{} {}", write.resource, write.verb);
    table.iter().map(right).collect()
}

#[test]
fn the_operator_may_write_what_it_writes() {
    let template = read("charts/lockmaster/templates/rbac-operator.yaml");
    let cluster = granted(template, "ClusterRole", "lockmaster-operator");
    assert_eq!(writes(&cluster), expected(&CLUSTER), "in the whole cluster");
    let namespace = granted(template, "Role", "lockmaster-guard-probe");
    assert_eq!(
        writes(&namespace),
        expected(&OWN_NAMESPACE),
        "in its namespace"
    );
    for right in ["secrets", "impersonate", "*", "deployments", "pods"] {
        assert!(
            !cluster.iter().any(|granted| granted.contains(right)),
            "{right}"
        );
    }
    for resource in [
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ] {
        for verb in READS {
            let right = format!("admissionregistration.k8s.io/{resource} {verb}");
            assert!(cluster.contains(&right), "missing: {right}");
        }
    }
}

#[test]
fn every_write_of_the_operator_is_in_the_table() {
    let table = || CLUSTER.iter().chain(&OWN_NAMESPACE).chain([&TARGET]);
    let source = |file: &str| read(&format!("controller/operator/src/{file}"));
    for write in table() {
        assert!(
            source(write.file).contains(write.code),
            "{} {} is granted, and {} has no {}",
            write.resource,
            write.verb,
            write.file,
            write.code
        );
    }
    assert!(
        source("guard.rs").contains("dry_run: true"),
        "a probe stores nothing"
    );
    let mut problems = Vec::new();
    for file in below("controller/operator/src/").chain(below("controller/observe/src/")) {
        let code = file.production();
        for call in CALLS.iter().filter(|call| code.contains(*call)) {
            let known = table().any(|write| file.path.ends_with(write.file) && write.code == *call);
            if !known {
                problems.push(format!("{}: {call}", file.path));
            }
        }
    }
    none("writes that no table knows", &problems);
}

/// The Role for a target's namespace, as people copy it.
#[test]
fn the_documented_role_for_a_target_is_enough_and_no_more() {
    let page = read("docs/reference/rbac.md");
    let block = page
        .split("```yaml\n")
        .find(|block| block.contains("name: lockmaster-target"))
        .unwrap();
    let role = block.split("\n---").next().unwrap();
    let role = rights(&serde_saphyr::from_str(role).unwrap());
    assert_eq!(writes(&role), expected(&[TARGET]));
    for (resource, verb) in [
        ("apps/deployments", "get"),
        ("/pods", "list"),
        ("/pods", "watch"),
    ] {
        assert!(
            role.contains(&format!("{resource} {verb}")),
            "{resource} {verb}"
        );
    }
}

/// The Role for pull secrets, as people copy it: named ones are read one by one, and that is all.
#[test]
fn the_documented_role_for_pull_secrets_names_them() {
    let page = read("docs/reference/rbac.md");
    let block = page
        .split("```yaml\n")
        .find(|block| block.contains("name: lockmaster-pull-secrets"))
        .unwrap();
    let role: Value = serde_saphyr::from_str(block.split("\n---").next().unwrap()).unwrap();
    assert_eq!(rights(&role), BTreeSet::from(["/secrets get".to_owned()]));
    let names = role["rules"][0]["resourceNames"].as_array().unwrap();
    assert!(!names.is_empty(), "a rule without names is for all of them");
    let source = read("controller/observe/src/pull_secrets.rs");
    assert!(!source.contains(".list(") && !source.contains("watcher("));
}

#[test]
fn what_the_chart_passes_is_what_the_operator_takes() {
    let template = read("charts/lockmaster/templates/deployment.yaml");
    let arguments = read("controller/operator/src/args.rs");
    let mut seen = 0;
    for line in template.lines().map(str::trim) {
        let variable = line
            .strip_prefix("- name: ")
            .filter(|name| name.starts_with(|letter: char| letter.is_ascii_uppercase()));
        if let Some(variable) = variable {
            seen += 1;
            let declared = format!("env = \"{variable}\"");
            assert!(arguments.contains(&declared), "nobody reads {variable}");
        }
        if let Some(flag) = line.strip_prefix("- --") {
            seen += 1;
            let field = flag.split('=').next().unwrap_or_default().replace('-', "_");
            let declared = format!("pub(crate) {field}:");
            assert!(arguments.contains(&declared), "nobody reads --{flag}");
        }
    }
    assert_eq!(seen, 6, "variables and flags of the Deployment");
}

#[test]
fn the_chart_cannot_hold_up_a_cluster() {
    let mut problems = Vec::new();
    for file in below("charts/").filter(|file| file.has_extension("yaml")) {
        for kind in file
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("kind: "))
        {
            if kind != "ValidatingAdmissionPolicy" && !KINDS.contains(&kind) {
                problems.push(format!("{}: {kind}", file.path));
            }
        }
        // A guard that fails closed is fine on our own kinds, and on nothing else.
        let groups = file
            .text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- apiGroups: "));
        for groups in groups.filter(|_| file.path.contains("/files/guards/")) {
            if groups != "[lockmaster.dev]" {
                problems.push(format!("{}: guards {groups}", file.path));
            }
        }
    }
    none("what could hold up a cluster", &problems);
}

/// Whoever changes what an Environment promotes needs the verb promote. What people call it is free.
#[test]
fn every_field_of_an_environment_is_guarded() {
    let guard = read("charts/lockmaster/files/guards/environment.yaml");
    let definition = read("crds/lockmaster.dev_environments.yaml");
    let definition: Value = serde_saphyr::from_str(definition).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let fields = schema["properties"]["spec"]["properties"].as_object();
    let problems: Vec<_> = fields
        .unwrap()
        .keys()
        .filter(|field| *field != "stage")
        .filter(|field| {
            let new = format!("object.spec.{field} == oldObject.spec.{field}");
            let optional = format!("has(object.spec.{field}) ? object.spec.{field} : ");
            !guard.contains(&new) && !guard.contains(&optional)
        })
        .cloned()
        .collect();
    none("fields that anybody may change", &problems);
}
