//! The guards as they are shipped, and how far the stored ones are from that.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::DynamicObject;
use lockmaster_core::canonical::{self, Domain};
use lockmaster_core::release::Digest;
use serde_json::{Value, json};

use super::Error;

/// The guards that the chart installs, byte for byte what this operator expects to find.
pub(super) const SHIPPED: [(&str, &str); 5] = [
    (
        "approval",
        include_str!("../../../../charts/lockmaster/files/guards/approval.yaml"),
    ),
    (
        "promote",
        include_str!("../../../../charts/lockmaster/files/guards/promote.yaml"),
    ),
    (
        "delete",
        include_str!("../../../../charts/lockmaster/files/guards/delete.yaml"),
    ),
    (
        "status",
        include_str!("../../../../charts/lockmaster/files/guards/status.yaml"),
    ),
    (
        "environment",
        include_str!("../../../../charts/lockmaster/files/guards/environment.yaml"),
    ),
];

/// One object that must exist with exactly this spec.
pub(super) struct Expected {
    guard: &'static str,
    kind: &'static str,
    name: String,
    spec: Value,
}

/// Kind of what denies.
pub(super) const POLICY: &str = "ValidatingAdmissionPolicy";
/// Kind of what puts it in force.
pub(super) const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// Name of a guard's policy and of its binding.
pub(super) fn policy_name(guard: &str) -> String {
    format!("lockmaster-{guard}-guard")
}

/// The shipped guards with this installation's namespace and ServiceAccount filled in.
pub(super) fn expected(namespace: &str, service_account: &str) -> Result<Vec<Expected>, Error> {
    let mut all = Vec::new();
    for (guard, text) in SHIPPED {
        let text = text
            .replace("__NAMESPACE__", namespace)
            .replace("__SERVICE_ACCOUNT__", service_account);
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(&text).map_err(|_| Error::Shipped(guard))?;
        for document in documents {
            let text = |pointer| document.pointer(pointer).and_then(Value::as_str);
            let kind = match text("/kind") {
                Some("ValidatingAdmissionPolicy") => POLICY,
                Some("ValidatingAdmissionPolicyBinding") => BINDING,
                _ => return Err(Error::Shipped(guard)),
            };
            let name = text("/metadata/name")
                .ok_or(Error::Shipped(guard))?
                .to_owned();
            let spec = normalised(document.get("spec").cloned().unwrap_or_default());
            all.push(Expected {
                guard,
                kind,
                name,
                spec,
            });
        }
    }
    Ok(all)
}

/// A spec without exactly what the API server adds to it.
fn normalised(mut spec: Value) -> Value {
    if let Some(constraints) = spec
        .get_mut("matchConstraints")
        .and_then(Value::as_object_mut)
    {
        constraints.retain(|key, value| match key.as_str() {
            "matchPolicy" => *value != json!("Equivalent"),
            "namespaceSelector" | "objectSelector" => *value != json!({}),
            _ => true,
        });
        let rules = constraints
            .get_mut("resourceRules")
            .and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
            rule.retain(|key, value| key != "scope" || *value != json!("*"));
        }
    }
    spec
}

/// The guards as stored: their fingerprint, and what is wrong with each.
pub(super) struct Live {
    pub(super) epoch: Digest,
    pub(super) problems: BTreeMap<&'static str, String>,
}

/// Compares what is stored with what was shipped. The fingerprint covers uid and generation, so
/// that "delete, forge, restore" and "edit, forge, edit back" leave another one behind.
pub(super) fn compare(
    expected: &[Expected],
    stored: &[(&'static str, Vec<DynamicObject>)],
) -> Result<Live, Error> {
    let mut problems = BTreeMap::new();
    let mut fingerprint = Vec::new();
    for Expected {
        guard,
        kind,
        name,
        spec,
    } in expected
    {
        let objects = stored
            .iter()
            .filter(|(stored, _)| stored == kind)
            .flat_map(|(_, list)| list);
        let mut objects = objects.into_iter();
        let Some(object) = objects.find(|object| object.name_any() == *name) else {
            problems.insert(
                *guard,
                format!("{kind} {name} is missing; install the chart again"),
            );
            continue;
        };
        let live = normalised(object.data.get("spec").cloned().unwrap_or_default());
        if live != *spec {
            let text = format!("{kind} {name} is not the shipped one; install the chart again");
            problems.insert(*guard, text);
        }
        let generation = object.metadata.generation.unwrap_or_default();
        let spec = canonical::hash(Domain::GuardEpoch, &live)?;
        fingerprint.push((*kind, name.clone(), object.uid(), generation, spec));
    }
    fingerprint.sort();
    Ok(Live {
        epoch: canonical::hash(Domain::GuardEpoch, &fingerprint)?,
        problems,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Vec<(&'static str, Vec<DynamicObject>)> {
        let object = |expected: &Expected| -> DynamicObject {
            let mut spec = expected.spec.clone();
            if let Some(constraints) = spec.get_mut("matchConstraints") {
                constraints["matchPolicy"] = json!("Equivalent");
                constraints["namespaceSelector"] = json!({});
                constraints["resourceRules"][0]["scope"] = json!("*");
            }
            serde_json::from_value(json!({
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": expected.kind,
                "metadata": {"name": expected.name, "uid": expected.name, "generation": 1},
                "spec": spec,
            }))
            .unwrap()
        };
        let all = expected("lockmaster-system", "lockmaster").unwrap();
        let of = |kind| {
            all.iter()
                .filter(|e| e.kind == kind)
                .map(object)
                .collect::<Vec<_>>()
        };
        vec![(POLICY, of(POLICY)), (BINDING, of(BINDING))]
    }

    fn live(stored: &[(&'static str, Vec<DynamicObject>)]) -> Live {
        compare(
            &expected("lockmaster-system", "lockmaster").unwrap(),
            stored,
        )
        .unwrap()
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let live = live(&stored());
        assert!(live.problems.is_empty(), "{:?}", live.problems);
    }

    #[test]
    fn a_missing_binding_and_an_edited_rule_are_found_and_named() {
        let mut missing = stored();
        missing[1].1.remove(0);
        assert!(
            live(&missing).problems["approval"].contains("Binding"),
            "missing"
        );
        let mut edited = stored();
        edited[0].1[0].data["spec"]["validations"][1]["expression"] = json!("true");
        assert!(live(&edited).problems["approval"].contains("not the shipped one"));
        let mut ignored = stored();
        ignored[0].1[0].data["spec"]["failurePolicy"] = json!("Ignore");
        assert!(!live(&ignored).problems.is_empty());
    }

    #[test]
    fn editing_back_and_restoring_leave_another_epoch() {
        let before = live(&stored()).epoch;
        let mut edited_back = stored();
        edited_back[0].1[0].metadata.generation = Some(3);
        assert_ne!(live(&edited_back).epoch, before);
        let mut restored = stored();
        restored[1].1[2].metadata.uid = Some("another".into());
        assert_ne!(live(&restored).epoch, before);
    }
}
