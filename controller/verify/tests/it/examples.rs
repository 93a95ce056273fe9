//! The published examples and schemas of our own predicates: the schema and the reader take and
//! refuse the same.

use lockmaster_core::evidence::{CHANGE, CHECKS, NOT_APPLICABLE, TAGGED_RELEASE, schemas};
use lockmaster_core::time;
use regex::Regex;
use serde_json::{Value, json};

use crate::predicates::judged;

pub(crate) fn example(predicate_type: &str) -> Value {
    let name = predicate_type.trim_start_matches("https://lockmaster.dev/");
    let path = format!(
        "{}/../../docs/reference/predicates/{}.example.json",
        env!("CARGO_MANIFEST_DIR"),
        name.replace('/', ".")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What the schema and the reader say.
fn answers(predicate_type: &str, predicate: &Value) -> (bool, bool) {
    let schemas = schemas();
    let (_, schema) = schemas
        .iter()
        .find(|(kind, _)| *kind == predicate_type)
        .unwrap();
    let read = judged(predicate_type, predicate).problem().is_none();
    (admits(schema, predicate), read)
}

#[test]
fn the_published_examples_are_taken() {
    for (predicate_type, _) in schemas() {
        let example = example(predicate_type);
        assert_eq!(
            answers(predicate_type, &example),
            (true, true),
            "{predicate_type}"
        );
    }
}

#[test]
fn less_than_required_and_more_than_known_is_refused() {
    for (predicate_type, schema) in schemas() {
        let required = schema["required"].as_array().unwrap();
        let optional = |field: &str| !required.contains(&json!(field));
        for field in example(predicate_type).as_object().unwrap().keys() {
            let mut less = example(predicate_type);
            less.as_object_mut().unwrap().remove(field);
            let expected = (optional(field), optional(field));
            assert_eq!(
                answers(predicate_type, &less),
                expected,
                "{predicate_type} without {field}"
            );
        }
        for field in required {
            let mut blank = example(predicate_type);
            blank[field.as_str().unwrap()] = json!("  ");
            assert_eq!(
                answers(predicate_type, &blank),
                (false, false),
                "{predicate_type} {field}"
            );
        }
        let mut more = example(predicate_type);
        more["extra"] = json!(1);
        assert_eq!(
            answers(predicate_type, &more),
            (false, false),
            "{predicate_type}"
        );
        assert_eq!(
            answers(predicate_type, &json!([])),
            (false, false),
            "{predicate_type}"
        );
    }
}

#[test]
fn wrong_values_are_refused_by_both() {
    let long = "x".repeat(3000);
    let cases = [
        (CHANGE, "/commit", json!("main")),
        (CHANGE, "/commit", json!("3C1E9F2A".repeat(5))),
        (CHANGE, "/branch", json!("x".repeat(257))),
        (CHANGE, "/authors", json!([])),
        (CHANGE, "/authors", json!(vec!["a"; 65])),
        (CHANGE, "/authors/0", json!("")),
        (CHANGE, "/reviewers/0", json!(" ")),
        (CHANGE, "/risk", json!("none")),
        (CHANGE, "/security", json!("no")),
        (CHANGE, "/cherryPickOf", json!(["v1"])),
        (CHECKS, "/commit", json!("")),
        (CHECKS, "/finishedOn", json!("yesterday")),
        (CHECKS, "/checks", json!([])),
        (CHECKS, "/checks", json!({})),
        (CHECKS, "/checks/0/name", json!("")),
        (CHECKS, "/checks/0/conclusion", json!("SUCCESS")),
        (CHECKS, "/checks/0/conclusion", json!(true)),
        (CHECKS, "/checks/0/url", json!(long)),
        (CHECKS, "/checks/2/quarantined/0/rationale", json!("\t")),
        (CHECKS, "/checks/2/quarantined/0/rationale", json!(long)),
        (CHECKS, "/checks/2/quarantined/0/approver", json!(null)),
        (CHECKS, "/checks/2/quarantined/0", json!({"test": "a"})),
        (CHECKS, "/measurements/coverage", json!("81")),
        (TAGGED_RELEASE, "/product", json!("Checkout")),
        (TAGGED_RELEASE, "/version", json!("v1.42.0")),
        (TAGGED_RELEASE, "/tag", json!("")),
        (TAGGED_RELEASE, "/digests", json!([])),
        (TAGGED_RELEASE, "/digests/0", json!("sha256:abc")),
        (TAGGED_RELEASE, "/digests/0", json!("A".repeat(64))),
        (NOT_APPLICABLE, "/rationale", json!(long)),
        (NOT_APPLICABLE, "/by", json!(7)),
    ];
    for (predicate_type, pointer, value) in cases {
        let mut predicate = example(predicate_type);
        *predicate.pointer_mut(pointer).unwrap() = value.clone();
        let found = answers(predicate_type, &predicate);
        assert_eq!(found, (false, false), "{predicate_type}{pointer} {value}");
    }
}

/// What no schema can say.
#[test]
fn a_check_is_named_once() {
    let mut twice = example(CHECKS);
    twice["checks"][1]["name"] = twice["checks"][0]["name"].clone();
    assert_eq!(answers(CHECKS, &twice), (true, false));
}

/// JSON Schema, as much of it as our schemas use; anything else is an error of this test.
fn admits(schema: &Value, value: &Value) -> bool {
    let rules = schema.as_object().unwrap();
    rules.iter().all(|(rule, wanted)| match rule.as_str() {
        "$schema" | "$id" | "title" | "description" | "default" => true,
        "format" => wanted != "date-time" || text(value, |text| time::instant(text).is_some()),
        "type" => is(wanted.as_str().unwrap_or("one of several"), value, wanted),
        "const" => wanted == value,
        "enum" => wanted.as_array().unwrap().contains(value),
        "oneOf" | "anyOf" => wanted
            .as_array()
            .unwrap()
            .iter()
            .any(|one| admits(one, value)),
        "required" => object(value, |fields| {
            wanted
                .as_array()
                .unwrap()
                .iter()
                .all(|name| fields.contains_key(name.as_str().unwrap()))
        }),
        "properties" => object(value, |fields| {
            let known = wanted.as_object().unwrap();
            fields
                .iter()
                .all(|(name, value)| known.get(name).is_none_or(|schema| admits(schema, value)))
        }),
        "additionalProperties" => object(value, |fields| {
            let known = rules.get("properties").and_then(Value::as_object);
            let mut rest = fields
                .iter()
                .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
            match wanted.as_bool() {
                Some(allowed) => allowed || rest.next().is_none(),
                None => rest.all(|(_, value)| admits(wanted, value)),
            }
        }),
        "maxProperties" => object(value, |fields| {
            fields.len() as u64 <= wanted.as_u64().unwrap()
        }),
        "items" => value
            .as_array()
            .is_none_or(|items| items.iter().all(|item| admits(wanted, item))),
        "minItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
        "maxItems" => value
            .as_array()
            .is_none_or(|items| items.len() as u64 <= wanted.as_u64().unwrap()),
        "minLength" => text(value, |text| {
            text.chars().count() as u64 >= wanted.as_u64().unwrap()
        }),
        "maxLength" => text(value, |text| {
            text.chars().count() as u64 <= wanted.as_u64().unwrap()
        }),
        "pattern" => text(value, |text| {
            Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text)
        }),
        other => panic!("the rule {other} is not known to this test"),
    })
}

fn is(kind: &str, value: &Value, kinds: &Value) -> bool {
    match kind {
        "one of several" => {
            let mut kinds = kinds.as_array().unwrap().iter();
            kinds.any(|kind| is(kind.as_str().unwrap(), value, kind))
        }
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the type {other} is not known to this test"),
    }
}

fn object(value: &Value, holds: impl Fn(&serde_json::Map<String, Value>) -> bool) -> bool {
    value.as_object().is_none_or(holds)
}

fn text(value: &Value, holds: impl Fn(&str) -> bool) -> bool {
    value.as_str().is_none_or(holds)
}
