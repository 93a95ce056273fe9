//! What the readers of predicates share: JSON with a problem in words, and bounded texts.
//!
//! All of it is called on documents that passed [`crate::document::check`], so depth is bounded and
//! no key is given twice.

use lockmaster_core::release::clip;
use lockmaster_core::time::{self, Instant};
use serde::{Deserialize, Deserializer};

/// Reads `text`, which is called `what` in the problem. Only an object: of a list, the values would
/// be taken by their order.
pub(crate) fn read<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, String> {
    if !text.trim_start().starts_with('{') {
        return Err(format!("the {what} cannot be read: it is no JSON object"));
    }
    serde_json::from_str(text).map_err(|error| {
        let error = clip(&error.to_string());
        format!("the {what} cannot be read: {error}")
    })
}

/// A document of which whoever writes it never needs more than `limit` bytes.
pub(crate) fn short<'a>(what: &str, text: &'a str, limit: usize) -> Result<&'a str, String> {
    if text.len() > limit {
        let length = text.len();
        return Err(format!(
            "the {what} has {length} bytes, the limit is {limit}"
        ));
    }
    Ok(text)
}

/// `null` is what encoders of some languages write for what is empty.
pub(crate) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A text that is kept: neither empty nor longer than `limit` bytes.
pub(crate) fn bounded(what: &str, text: String, limit: usize) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if text.len() > limit {
        return Err(format!("{what} is longer than {limit} bytes"));
    }
    Ok(text)
}

/// A text that may be left out, and then counts as such when it is empty.
pub(crate) fn optional(
    what: &str,
    text: Option<String>,
    limit: usize,
) -> Result<Option<String>, String> {
    text.filter(|text| !text.is_empty())
        .map(|text| bounded(what, text, limit))
        .transpose()
}

/// The instant that a text names.
pub(crate) fn instant(what: &str, text: &str) -> Result<Instant, String> {
    time::instant(text).ok_or_else(|| format!("{what} is no RFC 3339 time: \"{}\"", clip(text)))
}
