//! The bundle around a signature: nothing of it is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Change, Mutation, harmful, harmless};
use crate::differential::json;

const MATERIAL: &str = "/verificationMaterial";

fn media_type(bundle: &mut Value, media_type: &str) -> anyhow::Result<()> {
    json::set(bundle, "", "mediaType", media_type)
}

pub(super) const ALL: &[Mutation] = &[
    harmful(
        "media type: version 0.1",
        Change::Bundle(|bundle, _| {
            media_type(
                bundle,
                "application/vnd.dev.sigstore.bundle+json;version=0.1",
            )
        }),
    ),
    harmful(
        "media type: version 0.2",
        Change::Bundle(|bundle, _| {
            media_type(
                bundle,
                "application/vnd.dev.sigstore.bundle+json;version=0.2",
            )
        }),
    ),
    harmless(
        "media type: version 0.3 as it was spelled first",
        Change::Bundle(|bundle, _| {
            media_type(
                bundle,
                "application/vnd.dev.sigstore.bundle+json;version=0.3",
            )
        }),
    ),
    harmful(
        "media type: version 9",
        Change::Bundle(|bundle, _| {
            media_type(bundle, "application/vnd.dev.sigstore.bundle.v9+json")
        }),
    ),
    harmful(
        "media type: missing",
        Change::Bundle(|bundle, _| json::remove(bundle, "", "mediaType").map(drop)),
    ),
    harmless(
        "key hint: missing",
        Change::Bundle(|bundle, _| json::set(bundle, MATERIAL, "publicKey", json!({}))),
    ),
    harmless(
        "key hint: that of another key",
        Change::Bundle(|bundle, _| {
            let hint = STANDARD.encode([7; 32]);
            json::set(bundle, MATERIAL, "publicKey", json!({"hint": hint}))
        }),
    ),
    harmful(
        "verification material: missing",
        Change::Bundle(|bundle, _| json::remove(bundle, "", "verificationMaterial").map(drop)),
    ),
    harmful(
        "verification material: empty",
        Change::Bundle(|bundle, _| json::set(bundle, "", "verificationMaterial", json!({}))),
    ),
    harmless(
        "verification material: empty lists in it",
        Change::Bundle(|bundle, _| {
            let stamps = json!({"rfc3161Timestamps": []});
            json::set(bundle, MATERIAL, "timestampVerificationData", stamps)?;
            json::set(bundle, MATERIAL, "tlogEntries", json!([]))
        }),
    ),
    harmless(
        "verification material: nulls in it",
        Change::Bundle(|bundle, _| {
            json::set(bundle, MATERIAL, "timestampVerificationData", Value::Null)?;
            json::set(bundle, MATERIAL, "tlogEntries", Value::Null)
        }),
    ),
    harmful(
        "verification material: a certificate besides the key",
        Change::Bundle(|bundle, _| {
            let bytes = STANDARD.encode("no certificate");
            json::set(bundle, MATERIAL, "certificate", json!({"rawBytes": bytes}))
        }),
    ),
    harmful(
        "content: of both kinds",
        Change::Bundle(|bundle, _| {
            if bundle.get("dsseEnvelope").is_some() {
                let message = json!({"signature": STANDARD.encode("nothing")});
                return json::set(bundle, "", "messageSignature", message);
            }
            let payload = STANDARD.encode("{}");
            let signatures = json!([{"sig": STANDARD.encode("nothing")}]);
            let envelope = json!({"payload": payload, "payloadType": "application/json",
                                  "signatures": signatures});
            json::set(bundle, "", "dsseEnvelope", envelope)
        }),
    ),
    harmful(
        "content: none",
        Change::Bundle(|bundle, _| {
            let fields = bundle.as_object_mut();
            if let Some(fields) = fields {
                fields.retain(|name, _| name == "mediaType" || name == "verificationMaterial");
            }
            Ok(())
        }),
    ),
    harmless(
        "bundle: a field that nobody knows",
        Change::Bundle(|bundle, _| json::set(bundle, "", "unheardOf", true)),
    ),
    harmless(
        "bundle: fields under their names in the schema",
        Change::Bundle(|bundle, _| {
            let media_type = json::remove(bundle, "", "mediaType")?;
            json::set(bundle, "", "media_type", media_type)?;
            let material = json::remove(bundle, "", "verificationMaterial")?;
            json::set(bundle, "", "verification_material", material)
        }),
    ),
];
