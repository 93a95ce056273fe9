//! Reaching into a JSON document to spoil it.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What is at a JSON pointer (RFC 6901).
pub(super) fn at<'a>(document: &'a mut Value, pointer: &str) -> anyhow::Result<&'a mut Value> {
    let found = document.pointer_mut(pointer);
    found.with_context(|| format!("there is nothing at {pointer}"))
}

/// A copy of what is at a pointer.
pub(super) fn read(document: &Value, pointer: &str) -> anyhow::Result<Value> {
    let found = document.pointer(pointer).cloned();
    found.with_context(|| format!("there is nothing at {pointer}"))
}

/// Sets one field of the object at a pointer.
pub(super) fn set(
    document: &mut Value,
    object: &str,
    field: &str,
    value: impl Into<Value>,
) -> anyhow::Result<()> {
    let fields = at(document, object)?.as_object_mut();
    let fields = fields.with_context(|| format!("there is no object at {object}"))?;
    fields.insert(field.to_owned(), value.into());
    Ok(())
}

/// Takes one field out of the object at a pointer; it must have been there.
pub(super) fn remove(document: &mut Value, object: &str, field: &str) -> anyhow::Result<Value> {
    let fields = at(document, object)?.as_object_mut();
    let removed = fields.and_then(|fields| fields.remove(field));
    removed.with_context(|| format!("there is no {field} at {object}"))
}

/// Puts one more element at the end of the list at a pointer.
pub(super) fn push(document: &mut Value, list: &str, value: Value) -> anyhow::Result<()> {
    let items = at(document, list)?.as_array_mut();
    items
        .with_context(|| format!("there is no list at {list}"))?
        .push(value);
    Ok(())
}

/// The text at a pointer.
pub(super) fn text(document: &Value, pointer: &str) -> anyhow::Result<String> {
    let text = document.pointer(pointer).and_then(Value::as_str);
    let text = text.with_context(|| format!("there is no text at {pointer}"))?;
    Ok(text.to_owned())
}

/// The bytes that are at a pointer in base64.
pub(super) fn bytes(document: &Value, pointer: &str) -> anyhow::Result<Vec<u8>> {
    let text = text(document, pointer)?;
    STANDARD
        .decode(text)
        .with_context(|| format!("there is no base64 at {pointer}"))
}

/// Changes the bytes that are at a pointer in base64.
pub(super) fn change_bytes(
    document: &mut Value,
    pointer: &str,
    change: impl FnOnce(&mut Vec<u8>),
) -> anyhow::Result<()> {
    let mut content = bytes(document, pointer)?;
    change(&mut content);
    *at(document, pointer)? = STANDARD.encode(content).into();
    Ok(())
}
