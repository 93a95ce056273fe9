//! A transparency log as Rekor v1 keeps it, made by hand: entries with promise and proof, in every
//! version of the bundle. Nothing of the code under test is used.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::release::Digest;
use serde_json::{Value, json};

use crate::signing::{MANIFEST, Signer, pem, sha256};

/// When its entries were integrated, in seconds of the epoch: 2026-01-02T03:04:05Z.
pub(crate) const INTEGRATED: i64 = 1_767_323_045;

/// The versions of the bundle, by their media types.
pub(crate) const VERSIONS: [&str; 3] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
];

/// A log.
pub(crate) struct Log {
    key: Signer,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            key: Signer::p256(),
        }
    }

    fn id(&self) -> Vec<u8> {
        sha256(&self.key.spki)
    }

    /// A trusted root with these logs and nothing else.
    pub(crate) fn root(logs: &[&Self]) -> String {
        let logs: Vec<_> = logs.iter().map(|log| log.named()).collect();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs,
        })
        .to_string()
    }

    fn named(&self) -> Value {
        json!({
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(&self.key.spki),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            },
            "logId": {"keyId": STANDARD.encode(self.id())},
        })
    }

    /// The entry of what `bundle` holds, as if `signer` had made it, at `time`.
    pub(crate) fn entry(&self, bundle: &Value, signer: &Signer, time: i64) -> Value {
        let (kind, body) = body(bundle, signer);
        let body = body.to_string();
        // A tree of one leaf: RFC 6962 section 2.1.
        let leaf = sha256(&[&[0], body.as_bytes()].concat());
        let note = format!("log.example\n1\n{}\n", STANDARD.encode(&leaf));
        let hinted = [&self.id()[..4], &self.key.sign(note.as_bytes())].concat();
        let promise = json!({
            "body": STANDARD.encode(&body),
            "integratedTime": time,
            "logID": hexadecimal(&self.id()),
            "logIndex": 0,
        });
        json!({
            "logIndex": "0",
            "logId": {"keyId": STANDARD.encode(self.id())},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": time.to_string(),
            "inclusionPromise": {
                // The members are in canonical order already (RFC 8785).
                "signedEntryTimestamp": STANDARD.encode(self.key.sign(promise.to_string().as_bytes())),
            },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": STANDARD.encode(&leaf),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {
                    "envelope": format!("{note}\n\u{2014} log.example {}\n", STANDARD.encode(hinted)),
                },
            },
            "canonicalizedBody": STANDARD.encode(&body),
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let bytes: [u8; 32] = bytes.try_into().unwrap();
    Digest::from_sha256(&bytes).hexadecimal().to_owned()
}

/// What Rekor v1 logs of a message signature and of an envelope.
fn body(bundle: &Value, signer: &Signer) -> (&'static str, Value) {
    let verifier = STANDARD.encode(pem(&signer.spki));
    if let Some(envelope) = bundle.get("dsseEnvelope") {
        let payload = STANDARD
            .decode(envelope["payload"].as_str().unwrap())
            .unwrap();
        let whole = sha256(envelope.to_string().as_bytes());
        let spec = json!({
            "envelopeHash": {"algorithm": "sha256", "value": hexadecimal(&whole)},
            "payloadHash": {"algorithm": "sha256", "value": hexadecimal(&sha256(&payload))},
            "signatures": [{"signature": envelope["signatures"][0]["sig"], "verifier": verifier}],
        });
        (
            "dsse",
            json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}),
        )
    } else {
        let message = &bundle["messageSignature"];
        let digest = STANDARD
            .decode(message["messageDigest"]["digest"].as_str().unwrap())
            .unwrap();
        let spec = json!({
            "data": {"hash": {"algorithm": "sha256", "value": hexadecimal(&digest)}},
            "signature": {"content": message["signature"], "publicKey": {"content": verifier}},
        });
        (
            "hashedrekord",
            json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}),
        )
    }
}

/// The bundle with these log entries, as this version.
pub(crate) fn with_entries(bundle: &Value, version: &str, entries: &[&Value]) -> Value {
    let mut bundle = bundle.clone();
    bundle["mediaType"] = version.into();
    bundle["verificationMaterial"]["tlogEntries"] = json!(entries);
    bundle
}

/// What `signer` signs of the manifest: a message signature and an envelope, each anew.
pub(crate) fn both_forms(signer: &Signer) -> [Value; 2] {
    use crate::signing::statement;
    use lockmaster_core::evidence::COSIGN_SIGN;
    [
        signer.message(MANIFEST),
        signer.attest(&statement(COSIGN_SIGN, &json!({}))),
    ]
}
