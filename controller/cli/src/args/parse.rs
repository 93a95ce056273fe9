//! From words of the command line to values; each refusal says what was expected.

use lockmaster_core::environment::Span;
use lockmaster_core::release::{ImageReference, Version, parse_registry_address};

use super::{InitTarget, NamespacedName};

/// RFC 1123: what Kubernetes accepts as a name.
pub(super) fn name(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty()
            && part.bytes().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(part) {
        Ok(text.to_owned())
    } else {
        Err("expected lower-case letters, digits, - and . (at most 253)".to_owned())
    }
}

/// What the policy schema accepts as a role; no dots, because slots are split on them.
pub(super) fn role(text: &str) -> Result<String, String> {
    let valid = text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if valid {
        Ok(text.to_owned())
    } else {
        Err("expected a role such as release-manager: lower-case letters, digits and -".to_owned())
    }
}

pub(super) fn span(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn window(text: &str) -> Result<String, String> {
    lockmaster_core::window::parse_annotation(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

pub(super) fn image(text: &str) -> Result<ImageReference, String> {
    ImageReference::parse(text).map_err(|error| error.to_string())
}

pub(super) fn registry(text: &str) -> Result<String, String> {
    parse_registry_address(text).map_err(|error| error.to_string())
}

pub(super) fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).map_err(|error| error.to_string())
}

pub(super) fn account(text: &str) -> Result<NamespacedName, String> {
    let (namespace, rest) = text
        .split_once('/')
        .ok_or_else(|| "expected NAMESPACE/NAME".to_owned())?;
    Ok(NamespacedName {
        namespace: name(namespace)?,
        name: name(rest)?,
    })
}

pub(super) fn target(text: &str) -> Result<InitTarget, String> {
    let (stage, deployment) = text
        .split_once('=')
        .ok_or_else(|| "expected STAGE=NAMESPACE/DEPLOYMENT".to_owned())?;
    Ok(InitTarget {
        stage: name(stage)?,
        deployment: account(deployment)?,
    })
}
