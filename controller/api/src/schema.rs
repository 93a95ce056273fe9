//! What is mended in every derived schema: number formats that Kubernetes does not know.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The same definition with formats that Kubernetes knows; others are a warning in every apply.
pub(crate) fn mended(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut();
        if let Some(schema) = schema.and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            mend(schema);
        }
    }
    definition
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
