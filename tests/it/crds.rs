//! The definitions in `crds/` and in the chart are those of the Rust types, and explain themselves.

use std::collections::BTreeSet;

use lockmaster_api::RevocationSpec;
use lockmaster_core::environment::Span;
use lockmaster_core::release::{Digest, ImageReference, Version};
use lockmaster_core::revocation::Revocation;
use regex::Regex;
use serde_json::{Value, json};

use crate::repository::{below, none, read};
use crate::values::{FIELDS, Field};

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

/// The API server stores nothing that the product cannot read, and refuses nothing that it can.
#[test]
fn schemas_take_what_the_parsers_take() {
    let mut problems = Vec::new();
    for field in &FIELDS {
        let schema = schema_of(field);
        for (text, right) in field.cases() {
            for (who, answer) in [
                ("the schema", admits(&schema, &text)),
                ("the parser", parses(field, &text)),
            ] {
                if answer != right {
                    let (kind, pointer) = (field.kind, field.pointer);
                    problems.push(format!("{kind}{pointer}: {who} says {answer} to {text:?}"));
                }
            }
        }
    }
    none("values that are judged differently", &problems);
}

fn parses(field: &Field, text: &str) -> bool {
    match field.pointer {
        "/spec/health/deadline" => Span::try_from(text.to_owned()).is_ok(),
        "/spec/version" => Version::parse(text).is_ok(),
        "/spec/components/0/image" => ImageReference::parse(text).is_ok(),
        "/spec/digests/0" => Digest::parse(text).is_ok(),
        "/spec/signers/0/key" => {
            let from = "2026-11-24T00:00:00Z";
            let spec = json!({"reason": "r", "signers": [{"key": text, "from": from}]});
            let spec: RevocationSpec = serde_json::from_value(spec).unwrap();
            Revocation::from(spec).contradiction().is_none()
        }
        pointer => panic!("nobody reads {pointer}"),
    }
}

fn schema_of(field: &Field) -> Value {
    let definitions = lockmaster_api::definitions();
    let definition = definitions
        .iter()
        .find(|definition| definition.spec.names.kind == field.kind)
        .unwrap();
    let definition = serde_json::to_value(definition).unwrap();
    let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut parts = field.pointer.split('/').skip(1);
    let schema = parts.try_fold(root, |schema, part| match part {
        "0" => schema.get("items"),
        name => schema.get("properties")?.get(name),
    });
    schema.unwrap().clone()
}

/// As the API server judges, as far as this field is concerned: length, pattern and rules.
fn admits(schema: &Value, text: &str) -> bool {
    let longest = schema["maxLength"].as_u64().unwrap();
    let pattern = Regex::new(schema["pattern"].as_str().unwrap()).unwrap();
    let rules = schema["x-kubernetes-validations"].as_array();
    text.chars().count() as u64 <= longest
        && pattern.is_match(text)
        && rules
            .into_iter()
            .flatten()
            .all(|rule| holds(rule["rule"].as_str().unwrap(), text))
}

/// The rules that such a field has, in Rust: there is no CEL here. The end-to-end tests ask the API
/// server itself about the same values.
fn holds(rule: &str, text: &str) -> bool {
    match rule {
        "!self.startsWith('v')" => !text.starts_with('v'),
        "duration(self) >= duration('1s') && duration(self) <= duration('168h')" => {
            let mut number = 0_u64;
            let mut seconds = 0_u64;
            for letter in text.chars() {
                if let Some(digit) = letter.to_digit(10) {
                    number = number * 10 + u64::from(digit);
                    continue;
                }
                seconds += number
                    * if letter == 'h' {
                        3600
                    } else {
                        60_u64.pow(u32::from(letter == 'm'))
                    };
                number = 0;
            }
            (1..=168 * 3600).contains(&seconds)
        }
        rule => panic!("say in Rust what this means: {rule}"),
    }
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
