//! Real bundles, changed in one place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::Bundle;
use lockmaster_verify::Trust;
use serde_json::Value;

use crate::vectors::{Vector, judged};

pub(crate) const ENTRY: &str = "/verificationMaterial/tlogEntries/0";
pub(crate) const STAMP: &str =
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";

/// Where the signature stands.
pub(crate) fn signature(bundle: &Value) -> &'static str {
    if bundle.get("dsseEnvelope").is_some() {
        "/dsseEnvelope/signatures/0/sig"
    } else {
        "/messageSignature/signature"
    }
}

#[track_caller]
pub(crate) fn at<'a>(bundle: &'a mut Value, pointer: &str) -> &'a mut Value {
    let Some(found) = bundle.pointer_mut(pointer) else {
        panic!("there is no {pointer}")
    };
    found
}

/// Flips the lowest bit of one byte of a base64 text; places count from the end where negative.
#[track_caller]
pub(crate) fn flip(bundle: &mut Value, pointer: &str, place: isize) {
    let text = at(bundle, pointer);
    let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    let place = place.rem_euclid(bytes.len().cast_signed());
    bytes[place.cast_unsigned()] ^= 1;
    *text = STANDARD.encode(bytes).into();
}

/// Replaces text that is within base64.
pub(crate) fn replace_within(bundle: &mut Value, pointer: &str, from: &str, to: &str) {
    let text = at(bundle, pointer);
    let inner = STANDARD.decode(text.as_str().unwrap()).unwrap();
    let inner = String::from_utf8(inner).unwrap();
    assert!(inner.contains(from), "{inner}");
    *text = STANDARD.encode(inner.replacen(from, to, 1)).into();
}

#[track_caller]
pub(crate) fn proves_nothing(what: &str, vector: &Vector, bundle: &Value, trust: &Trust) -> Bundle {
    let judged = judged(bundle, trust);
    assert!(
        judged.verified_by.is_empty(),
        "{} with {what} verifies: {:?}",
        vector.name,
        judged.verified_by
    );
    judged
}
