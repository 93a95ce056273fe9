//! The definitions in `crds/` and in the chart are those of the Rust types, and explain themselves.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::repository::{below, none, read};

const FOLDERS: [&str; 2] = ["crds/", "charts/lockmaster/files/crds/"];

/// Formats that Kubernetes knows; others are warnings in every `kubectl apply`.
const FORMATS: [&str; 3] = ["int32", "int64", "date-time"];

#[test]
fn definitions_are_those_of_the_types() {
    let mut problems = Vec::new();
    for folder in FOLDERS {
        let mut expected = BTreeSet::new();
        for definition in lockmaster_api::definitions() {
            let path = format!(
                "{folder}lockmaster.dev_{}.yaml",
                definition.spec.names.plural
            );
            if read(&path) != lockmaster_api::yaml(&definition).unwrap() {
                problems.push(format!("{path} is not what the types say"));
            }
            expected.insert(path);
        }
        for file in below(folder).filter(|file| !expected.contains(&file.path)) {
            problems.push(format!("{} belongs to no type", file.path));
        }
    }
    none("definitions to write anew with: just crds", &problems);
}

#[test]
fn every_field_is_described_and_has_a_format_that_kubernetes_knows() {
    let mut problems = Vec::new();
    for definition in lockmaster_api::definitions() {
        let definition = serde_json::to_value(&definition).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let schema = &version["schema"]["openAPIV3Schema"];
            look(schema, kind, true, &mut problems);
        }
    }
    none("what kubectl explain cannot say", &problems);
}

/// Walks a schema. Items of a list of plain values need no words beside those of the list.
fn look(schema: &Value, path: &str, needs_words: bool, problems: &mut Vec<String>) {
    let words = schema["description"].as_str().unwrap_or_default();
    if needs_words && words.is_empty() {
        problems.push(format!("{path} has no description"));
    }
    if words.starts_with("Auto-generated") {
        problems.push(format!("{path} is described by the generator: {words}"));
    }
    if let Some(format) = schema["format"].as_str()
        && !FORMATS.contains(&format)
    {
        problems.push(format!("{path} has the format {format}"));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        look(field, &format!("{path}.{name}"), true, problems);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            let needs_words = inner["type"] == "object";
            look(inner, &format!("{path}{mark}"), needs_words, problems);
        }
    }
}
