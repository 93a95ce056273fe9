//! The signature itself, in an envelope or by itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::{Change, Mutation, for_every_key, harmful, harmless};
use crate::differential::{draw, json};

/// Where a bundle has its signature.
fn place(bundle: &Value) -> &'static str {
    if bundle.get("messageSignature").is_some() {
        "/messageSignature/signature"
    } else {
        "/dsseEnvelope/signatures/0/sig"
    }
}

pub(super) const ALL: &[Mutation] = &[
    for_every_key(harmful(
        "signature: a bit turned over",
        Change::Bundle(|bundle, around| {
            json::change_bytes(bundle, place(bundle), |bytes| draw::flip(bytes, around.row))
        }),
    )),
    for_every_key(harmful(
        "signature: empty",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, place(bundle), Vec::clear)),
    )),
    for_every_key(harmful(
        "signature: its last byte missing",
        Change::Bundle(|bundle, _| {
            json::change_bytes(bundle, place(bundle), |bytes| {
                bytes.pop();
            })
        }),
    )),
    for_every_key(harmful(
        "signature: a byte more",
        Change::Bundle(|bundle, _| {
            json::change_bytes(bundle, place(bundle), |bytes| bytes.push(0))
        }),
    )),
    for_every_key(harmful(
        "signature: zeros alone",
        Change::Bundle(|bundle, _| {
            json::change_bytes(bundle, place(bundle), |bytes| bytes.fill(0))
        }),
    )),
    harmful(
        "signature: that of another image",
        Change::Bundle(|bundle, around| {
            *json::at(bundle, place(bundle))? = json::read(around.another, place(bundle))?;
            Ok(())
        }),
    ),
    harmful(
        "signature: somebody else's",
        Change::Bundle(|bundle, around| {
            *json::at(bundle, place(bundle))? = json::read(around.strangers, place(bundle))?;
            Ok(())
        }),
    ),
    harmful(
        "signature: null",
        Change::Bundle(|bundle, _| {
            *json::at(bundle, place(bundle))? = Value::Null;
            Ok(())
        }),
    ),
    harmful(
        "signature: no base64",
        Change::Bundle(|bundle, _| {
            *json::at(bundle, place(bundle))? = json!("!!!!");
            Ok(())
        }),
    ),
    harmless(
        "signature: in the base64 of URLs",
        Change::Bundle(|bundle, _| {
            let bytes = json::bytes(bundle, place(bundle))?;
            *json::at(bundle, place(bundle))? = URL_SAFE.encode(bytes).into();
            Ok(())
        }),
    ),
];

/// Of a signature over the manifest's bytes.
pub(super) const MESSAGE: &[Mutation] = &[
    harmless(
        "message: names no digest",
        Change::Bundle(|bundle, _| {
            json::remove(bundle, "/messageSignature", "messageDigest").map(drop)
        }),
    ),
    harmful(
        "message: names the digest of another image",
        Change::Bundle(|bundle, around| {
            let place = "/messageSignature/messageDigest";
            *json::at(bundle, place)? = json::read(around.another, place)?;
            Ok(())
        }),
    ),
    harmful(
        "message: a bit of the digest turned over",
        Change::Bundle(|bundle, around| {
            let place = "/messageSignature/messageDigest/digest";
            json::change_bytes(bundle, place, |bytes| draw::flip(bytes, around.row))
        }),
    ),
    harmful(
        "message: names a digest of SHA-512",
        Change::Bundle(|bundle, _| {
            let place = "/messageSignature/messageDigest";
            json::set(bundle, place, "algorithm", "SHA2_512")
        }),
    ),
    harmful(
        "message: names an empty digest",
        Change::Bundle(|bundle, _| {
            let place = "/messageSignature/messageDigest/digest";
            json::change_bytes(bundle, place, Vec::clear)
        }),
    ),
    harmful(
        "message: no signature",
        Change::Bundle(|bundle, _| {
            json::remove(bundle, "/messageSignature", "signature").map(drop)
        }),
    ),
];
