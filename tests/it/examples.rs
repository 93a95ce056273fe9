//! Every object of ours that a reader may copy can be read by the product, field by field.

use std::collections::{BTreeMap, BTreeSet};

use lockmaster_api::{
    ChangeWindow, ClusterPromotionPolicy, Environment, Promotion, PromotionRecord, Release,
    Revocation, TrustedRoot,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::repository::{all, below, none};

/// Manifests of `examples/` and YAML blocks of the documentation: where it is, and the text.
fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in below("examples/").filter(|file| file.has_extension("yaml")) {
        // Snapshots are read by the replay.
        if file.stem() != "snapshot" {
            found.extend(split(&file.path, &file.text));
        }
    }
    for file in all().iter().filter(|file| file.has_extension("md")) {
        let blocks = file.text.split("```yaml\n").skip(1);
        for block in blocks.filter_map(|text| text.split("\n```").next()) {
            found.extend(split(&file.path, block));
        }
    }
    found
}

fn split(path: &str, text: &str) -> Vec<(String, String)> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if line == "---" {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let has_content = |part: &String| {
        let mut lines = part.lines();
        lines.any(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let parts = parts.into_iter().filter(has_content);
    parts.map(|part| (path.to_owned(), part)).collect()
}

#[test]
fn objects_in_examples_and_documentation_are_readable() {
    let mut problems = Vec::new();
    for (path, text) in documents() {
        let result = serde_saphyr::from_str::<Value>(&text)
            .map_err(|error| error.to_string())
            .and_then(|object| check(&object));
        if let Err(problem) = result {
            let start: String = text.lines().take(4).collect::<Vec<_>>().join(" / ");
            problems.push(format!("{path}: {problem} (in: {start})"));
        }
    }
    none("objects that the product cannot read", &problems);
}

#[test]
fn each_example_has_its_objects() {
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in documents() {
        if let Some(folder) = path.strip_suffix("/manifests.yaml") {
            let object: Value = serde_saphyr::from_str(&text).unwrap();
            let kind = object["kind"].as_str().unwrap().to_owned();
            kinds.entry(folder.to_owned()).or_default().insert(kind);
        }
    }
    let snapshots = below("examples/").filter(|file| file.stem() == "snapshot");
    let folders: Vec<_> = snapshots
        .filter_map(|file| file.path.strip_suffix("/snapshot.yaml"))
        .collect();
    assert!(!folders.is_empty(), "there are no examples");
    let mut problems = Vec::new();
    for folder in folders {
        for kind in ["Release", "Environment", "Promotion"] {
            if !kinds.get(folder).is_some_and(|kinds| kinds.contains(kind)) {
                problems.push(format!("{folder}/manifests.yaml has no {kind}"));
            }
        }
    }
    none("examples without their objects", &problems);
}

#[test]
fn an_unknown_field_is_noticed() {
    let object = |field: &str| {
        format!(
            "{{apiVersion: lockmaster.dev/v1alpha1, kind: ChangeWindow, metadata: {{name: a, \
             {field}}}, spec: {{zone: UTC, ranges: [{{days: [Mon], from: '09:00', to: '17:00'}}]}}}}"
        )
    };
    let check = |text: String| check(&serde_saphyr::from_str(&text).unwrap());
    assert_eq!(check(object("labels: {a: b}")), Ok(()));
    let expected = Err("unknown field metadata.label".to_owned());
    assert_eq!(check(object("label: {a: b}")), expected);
}

/// Objects of other groups only have to be YAML.
fn check(object: &Value) -> Result<(), String> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    if !version.starts_with("lockmaster.dev/") {
        return Ok(());
    }
    if version != "lockmaster.dev/v1alpha1" {
        return Err(format!("there is no {version}"));
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Release" => read_back::<Release>(object),
        "Environment" => read_back::<Environment>(object),
        "Promotion" => read_back::<Promotion>(object),
        "ClusterPromotionPolicy" => read_back::<ClusterPromotionPolicy>(object),
        "ChangeWindow" => read_back::<ChangeWindow>(object),
        "Revocation" => read_back::<Revocation>(object),
        "TrustedRoot" => read_back::<TrustedRoot>(object),
        "PromotionRecord" => read_back::<PromotionRecord>(object),
        kind => Err(format!("there is no kind {kind}")),
    }
}

/// Reads it, writes it, and asks what got lost: metadata takes unknown fields silently.
fn read_back<T: DeserializeOwned + Serialize>(object: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(read).map_err(|error| error.to_string())?;
    match lost(object, &written, "") {
        None => Ok(()),
        Some(path) => Err(format!("unknown field {path}")),
    }
}

/// The first field that was there before and is not there now.
pub(crate) fn lost(before: &Value, after: &Value, path: &str) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            match after.get(key) {
                Some(after) => lost(value, after, &path),
                None if is_default(value) => None,
                None => Some(path),
            }
        }),
        (Value::Array(before), Value::Array(after)) => before
            .iter()
            .zip(after)
            .find_map(|(before, after)| lost(before, after, &format!("{path}[]"))),
        _ => None,
    }
}

/// Values that may be left out when written.
fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}
