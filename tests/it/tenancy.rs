//! What keeps one tenant from what is another's, as far as it is to be seen without a cluster: the
//! guards, the roles, the schemas, and what the code never does. `tests/e2e/tenancy.rs` tries it out.

use serde_json::Value;

use crate::chart::granted;
use crate::repository::{below, none, read};

/// Every guard: its name, the policy and the binding.
fn guards() -> Vec<(String, Value, Value)> {
    let files = below("charts/lockmaster/files/guards/").filter(|file| file.has_extension("yaml"));
    let guards: Vec<_> = files
        .map(|file| {
            let both: Vec<Value> = serde_saphyr::from_multiple(&file.text).unwrap();
            let [policy, binding] = <[Value; 2]>::try_from(both).unwrap();
            (file.stem().to_owned(), policy, binding)
        })
        .collect();
    assert_eq!(guards.len(), 5, "guards");
    guards
}

fn guard(name: &str) -> Value {
    let mut guards = guards().into_iter();
    guards.find(|(found, ..)| found == name).unwrap().1
}

fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// GHSA-5vvm-67pj-72g4: Kargo asked for the right to promote on one of its APIs and not on another.
/// Every write that leads to a promotion asks for it, in the API server, and no role of the chart
/// brings it along.
#[test]
fn cve_2026_27111_every_way_to_a_promotion_asks_for_promote() {
    for (name, operation, resource) in [
        ("promote", "CREATE", "promotions"),
        ("approval", "CREATE", "promotions"),
        ("approval", "UPDATE", "promotions"),
        ("environment", "CREATE", "environments"),
        ("environment", "UPDATE", "environments"),
    ] {
        let guard = guard(name);
        let what = format!("{name}: {operation} of {resource}");
        let rules = guard["spec"]["matchConstraints"]["resourceRules"].as_array();
        let mut rules = rules.unwrap().iter();
        let matched = rules.any(|rule| {
            words(&rule["operations"]).contains(&operation)
                && words(&rule["resources"]).contains(&resource)
        });
        assert!(matched, "{what} is not matched");
        let checks = guard["spec"]["validations"].as_array().unwrap();
        let asked = checks.iter().any(|check| {
            let text = check["expression"].as_str().unwrap();
            let asks = "resource('environments').namespace(request.namespace)";
            text.contains(asks) && text.ends_with(".check('promote').allowed()")
        });
        assert!(asked, "{what} does not ask for promote");
    }
    let roles = read("charts/lockmaster/templates/rbac-people.yaml");
    for name in ["viewer", "requester", "approver", "policy-admin"] {
        for right in granted(roles, "ClusterRole", &format!("lockmaster-{name}")) {
            let verb = right.rsplit(' ').next().unwrap();
            let own = ["promote", "approve", "*"].contains(&verb);
            assert!(!own && !right.contains("/status"), "{name} holds {right}");
        }
    }
}

/// Issue 16336 of Kyverno: a webhook with `failurePolicy: Ignore` was as good as none. The guards
/// refuse where they fail, select everything of their kinds, and leave nobody out. That they are in
/// force is proven by the operator, which counts no approval otherwise (`guard/shipped.rs`).
#[test]
fn kyverno_16336_the_guards_refuse_where_they_fail_and_leave_nothing_out() {
    for (name, policy, binding) in guards() {
        let spec = policy["spec"].as_object().unwrap();
        assert_eq!(policy["kind"], "ValidatingAdmissionPolicy", "{name}");
        assert_eq!(spec["failurePolicy"], "Fail", "{name}");
        let constraints = spec["matchConstraints"].as_object().unwrap();
        let narrowed: Vec<_> = constraints
            .keys()
            .filter(|key| *key != "resourceRules")
            .collect();
        assert!(narrowed.is_empty(), "{name} is narrowed by {narrowed:?}");
        assert!(!spec.contains_key("matchConditions") && !spec.contains_key("paramKind"));
        for rule in constraints["resourceRules"].as_array().unwrap() {
            assert_eq!(words(&rule["apiVersions"]), ["*"], "{name}");
            assert!(rule.get("resourceNames").is_none(), "{name}");
        }
        assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
        assert!(
            words(&binding["spec"]["validationActions"]).contains(&"Deny"),
            "{name}"
        );
        let bound = binding["spec"].as_object().unwrap();
        assert_eq!(bound.len(), 2, "{name} is bound to a part: {bound:?}");
    }
}

/// CVE-2023-34091: Kyverno passed over objects that were being deleted. No guard and no decision asks
/// whether an object is; only a namespace that goes takes everything in it along.
#[test]
fn cve_2023_34091_being_deleted_excuses_nothing() {
    for (name, policy, _) in guards() {
        let text = policy.to_string();
        let asked = text.matches("deletionTimestamp").count();
        let of_namespaces = text.matches("namespaceObject.metadata.deletionTimestamp");
        assert_eq!(asked, of_namespaces.count(), "{name}");
    }
    let crates = ["core", "observe", "operator"];
    let shipped = crates.map(|name| format!("controller/{name}/src/"));
    let mut problems = Vec::new();
    for file in below("controller/").filter(|file| file.is_rust()) {
        let ours = shipped.iter().any(|folder| file.path.starts_with(folder));
        // Pods that leave prove no roll-out.
        let pods = file.path == "controller/observe/src/workload.rs";
        if ours && !pods && !file.path.contains("/tests") {
            let code = file.production();
            let asks = ["deletion_timestamp", "deletionTimestamp"];
            if asks.iter().any(|word| code.contains(word)) {
                problems.push(file.path.clone());
            }
        }
    }
    none("code that asks what is being deleted", &problems);
}

/// The paths in a schema at which something is named that may be in another namespace.
fn namespaces_in(schema: &Value, path: &str, found: &mut Vec<String>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if name.to_lowercase().contains("namespace") {
            found.push(path.clone());
        }
        namespaces_in(inner, &path, found);
    }
    if schema["items"].is_object() {
        namespaces_in(&schema["items"], &format!("{path}[]"), found);
    }
}

/// CVE-2026-22039, CVE-2026-41068, CVE-2025-46342 (Kyverno), CVE-2026-29773, CVE-2025-24376,
/// CVE-2025-24784, CVE-2026-42541 (Kubewarden), CVE-2024-31990, CVE-2023-22736 (Argo CD): what tenants
/// write named things of other namespaces, and the controller's rights fetched them. What a tenant
/// writes here names things of its own namespace; but for the workload, which must consent.
#[test]
fn cve_2021_41254_what_tenants_write_names_nothing_of_other_namespaces() {
    for (kind, expected) in [
        ("releases", &[][..]),
        ("promotions", &[]),
        ("environments", &["spec.targets[].workload.namespace"]),
    ] {
        let definition = read(format!("crds/lockmaster.dev_{kind}.yaml").leak());
        let definition: Value = serde_saphyr::from_str(definition).unwrap();
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            assert!(spec["properties"].is_object(), "{kind}");
            let mut found = Vec::new();
            namespaces_in(spec, "spec", &mut found);
            assert_eq!(found, expected, "{kind}");
        }
    }
}

/// CVE-2024-7598 too, and CVE-2026-33413 and CVE-2026-73499 (etcd): holes of the platform. Clusters
/// that are old are refused by the chart, rules are cluster-wide as their definitions say, and what
/// etcd has for keys is kinds, namespaces and names.
#[test]
fn cve_2019_11247_old_clusters_are_refused_and_rules_are_cluster_wide() {
    let chart = read("charts/lockmaster/Chart.yaml");
    let oldest = chart.split("kubeVersion: \">=1.").nth(1).unwrap();
    let oldest = oldest.split('.').next().unwrap();
    assert!(oldest.parse::<u32>().unwrap() >= 32, "1.{oldest}");
    let said = format!("(1.{oldest} or newer");
    assert!(read("README.md").contains(&said), "README.md: {said}");
    let cluster = [
        "changewindows",
        "clusterpromotionpolicies",
        "revocations",
        "trustedroots",
    ];
    for file in below("crds/").filter(|file| file.has_extension("yaml")) {
        let definition: Value = serde_saphyr::from_str(&file.text).unwrap();
        let kind = definition["spec"]["names"]["plural"].as_str().unwrap();
        let scope = if cluster.contains(&kind) {
            "Cluster"
        } else {
            "Namespaced"
        };
        assert_eq!(definition["spec"]["scope"], scope, "{kind}");
    }
}

/// Kargo made roles from templates of its users, and took the names of files from what it rendered
/// (issue 6336). Nothing here writes a file, and the operator makes no role.
#[test]
fn kargo_6336_no_file_is_written_and_no_role_is_made() {
    let writes = [
        "fs::write",
        "fs::copy",
        "fs::rename",
        "File::create",
        "OpenOptions",
        "create_dir",
        "tempfile",
    ];
    let mut problems = Vec::new();
    let shipped = below("controller/").filter(|file| file.is_rust());
    // Writes the definitions, for whoever builds this.
    let shipped = shipped.filter(|file| file.path != "controller/api/src/bin/crdgen.rs");
    for file in shipped.filter(|file| file.path.contains("/src/") && !file.path.contains("/tests"))
    {
        let code = file.production();
        let operator = !file.path.starts_with("controller/cli/");
        for word in writes.iter().filter(|word| code.contains(*word)) {
            problems.push(format!("{}: {word}", file.path));
        }
        if operator && code.contains("rbac.authorization.k8s.io") {
            problems.push(format!("{}: roles", file.path));
        }
    }
    none("files and roles that are made", &problems);
}

/// CVE-2025-59537 and CVE-2025-59538 too: anybody could end Argo CD by one malformed call of a
/// webhook. There is none here, and no shipped line may panic; what the inputs are is fuzzed.
#[test]
fn cve_2025_59531_there_is_no_webhook_and_no_line_may_panic() {
    for file in below("charts/lockmaster/") {
        assert!(!file.text.contains("WebhookConfiguration"), "{}", file.path);
    }
    let lints = read("Cargo.toml").split("[workspace.lints.clippy]").nth(1);
    for lint in ["unwrap_used", "expect_used", "panic", "indexing_slicing"] {
        let denied = format!("\n{lint} = \"warn\"");
        assert!(lints.unwrap().contains(&denied), "{lint}");
    }
    let check = read("justfile");
    assert!(check.contains("-D warnings"), "warnings are errors");
}
