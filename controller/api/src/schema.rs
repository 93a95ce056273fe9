//! What is mended in every derived schema: number formats that Kubernetes does not know, and the
//! generator's own description of a kind.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The same definition with formats that Kubernetes knows (others are a warning in every apply), and
/// with the words of the spec for the kind itself: `kubectl explain KIND` prints those first.
pub(crate) fn mended(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            describe(schema);
            mend(schema);
        }
    }
    definition
}

/// Unless the kind has words of its own.
fn describe(kind: &mut JSONSchemaProps) {
    let generated = |words: &String| words.starts_with("Auto-generated");
    if kind.description.as_ref().is_none_or(generated) {
        let spec = kind
            .properties
            .as_ref()
            .and_then(|fields| fields.get("spec"));
        kind.description = spec.and_then(|spec| spec.description.clone());
    }
}

fn mend(schema: &mut JSONSchemaProps) {
    // `minimum: 0` stays, so nothing below zero comes in.
    match schema.format.as_deref() {
        Some("uint32") => schema.format = Some("int32".to_owned()),
        Some("uint64") => schema.format = Some("int64".to_owned()),
        _ => {}
    }
    for field in schema
        .properties
        .iter_mut()
        .flatten()
        .map(|(_, field)| field)
    {
        mend(field);
    }
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(item)) => mend(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(mend),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = schema.additional_properties.as_mut() {
        mend(value);
    }
}
