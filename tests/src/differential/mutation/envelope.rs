//! The DSSE envelope around a statement, changed after signing.

use serde_json::json;

use super::{Change, Mutation, harmful, harmless};
use crate::differential::{draw, json};

const PAYLOAD: &str = "/dsseEnvelope/payload";
const SIGNATURES: &str = "/dsseEnvelope/signatures";

pub(super) const ALL: &[Mutation] = &[
    harmful(
        "payload: a bit turned over",
        Change::Bundle(|bundle, around| {
            json::change_bytes(bundle, PAYLOAD, |bytes| draw::flip(bytes, around.row))
        }),
    ),
    harmful(
        "payload: white space after it",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, PAYLOAD, |bytes| bytes.push(b' '))),
    ),
    harmful(
        "payload: that of another image",
        Change::Bundle(|bundle, around| {
            *json::at(bundle, PAYLOAD)? = json::read(around.another, PAYLOAD)?;
            Ok(())
        }),
    ),
    harmful(
        "payload: empty",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, PAYLOAD, Vec::clear)),
    ),
    harmful(
        "payload: missing",
        Change::Bundle(|bundle, _| json::remove(bundle, "/dsseEnvelope", "payload").map(drop)),
    ),
    harmful(
        "payload type: changed after signing",
        Change::Bundle(|bundle, _| {
            json::set(bundle, "/dsseEnvelope", "payloadType", "application/json")
        }),
    ),
    harmful(
        "signatures: none",
        Change::Bundle(|bundle, _| json::set(bundle, "/dsseEnvelope", "signatures", json!([]))),
    ),
    harmful(
        "signatures: one without its bytes",
        Change::Bundle(|bundle, _| json::set(bundle, "/dsseEnvelope", "signatures", json!([{}]))),
    ),
    harmful(
        "signatures: somebody else's besides",
        Change::Bundle(|bundle, around| {
            let other = json::read(around.strangers, "/dsseEnvelope/signatures/0")?;
            json::push(bundle, SIGNATURES, other)
        }),
    ),
    harmful(
        "signatures: the same twice",
        Change::Bundle(|bundle, _| {
            let same = json::read(bundle, "/dsseEnvelope/signatures/0")?;
            json::push(bundle, SIGNATURES, same)
        }),
    ),
    harmless(
        "signatures: one with the name of a key",
        Change::Bundle(|bundle, _| {
            json::set(bundle, "/dsseEnvelope/signatures/0", "keyid", "whatever")
        }),
    ),
];
