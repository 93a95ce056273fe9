//! The formats from before the Sigstore bundle: simple signing, and DSSE envelopes in layers.
//!
//! Formats: cosign, `specs/SIGNATURE_SPEC.md` and `specs/ATTESTATION_SPEC.md`. What is signed stands
//! in the layer; the signature of simple signing, the certificate, the log entry and the timestamp
//! stand in annotations that nobody signed. All of it is made into the bundle of version 0.1 that
//! would say the same, so that one way of verifying binds the entry to exactly this payload,
//! signature and signer (CVE-2022-23649, CVE-2022-36056, CVE-2026-22703, CVE-2024-51746).

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{Bundle, Carrier, Content};
use lockmaster_core::release::{Digest, clip};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sigstore_types::bundle::VerificationMaterial;
use sigstore_types::{DerCertificate, MessageSignature, SignatureBytes};

use crate::bundle::{self, Opened, Over, Proven, SBOM_CEILING, Signed};
use crate::candidate::{Annotations, Reading};
use crate::document;
use crate::judge::{Subject, judge_statement};
use crate::statement;
use crate::trust::Trust;

/// The signature of simple signing, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The signing certificate, PEM. That of its issuer (`dev.sigstore.cosign/chain`) is not looked at:
/// the trusted root has it, or does not trust it.
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// The entry of the transparency log (Rekor v1), with the log's signature over it.
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
/// An RFC 3161 timestamp over the signature.
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The annotations that are looked at.
pub(crate) const ANNOTATIONS: [&str; 4] = [SIGNATURE, CERTIFICATE, LOG_ENTRY, TIMESTAMP];

/// What cosign writes into every payload of simple signing. Others sign the same format and mean
/// other things by it.
const SIGNATURE_TYPE: &str = "cosign container image signature";

/// Longest payload of simple signing: its own part has 300 bytes, the rest is what people add.
const PAYLOAD_LIMIT: usize = 256 << 10;

/// Longest annotation: a log entry may hold the whole envelope, and has a megabyte at most then.
const ANNOTATION_LIMIT: usize = 2 << 20;

/// A payload of simple signing. What stands in `optional` is not asked about.
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// `RekorBundle` of cosign.
#[derive(Deserialize)]
struct LogEntry {
    #[serde(rename = "SignedEntryTimestamp")]
    promise: String,
    #[serde(rename = "Payload")]
    payload: LogPayload,
}

#[derive(Deserialize)]
struct LogPayload {
    body: String,
    #[serde(rename = "integratedTime")]
    time: i64,
    #[serde(rename = "logIndex")]
    index: i64,
    #[serde(rename = "logID")]
    log: String,
}

/// What every body of a log entry says of itself.
#[derive(Deserialize)]
struct LogBody {
    kind: String,
    #[serde(rename = "apiVersion")]
    version: String,
}

/// `RFC3161Timestamp` of cosign.
#[derive(Deserialize)]
struct Timestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

/// Judges a layer of the tag `sha256-<hex>.sig`. The subject is the digest that the payload names;
/// whether that is the artifact's is compared by whoever counts it, as for bundles.
pub(crate) fn judge_signature(payload: &[u8], annotations: &Annotations, trust: &Trust) -> Bundle {
    let digest = Digest::of(payload);
    let opened = open_signature(&digest, annotations);
    let read = opened.and_then(|opened| Ok((opened, named_digest(payload)?)));
    match read {
        Ok((opened, subject)) => {
            let proven = opened.verify(Over::Bytes(payload), trust);
            let said = (proven, vec![subject], Content::Signature);
            // Its layer is what is signed.
            let payload = Some(digest.clone());
            found(digest, payload, Carrier::LegacySignature, said, trust)
        }
        Err(problem) => unreadable(digest, Carrier::LegacySignature, problem),
    }
}

/// Judges a layer of the tag `sha256-<hex>.att`.
pub(crate) fn judge_attestation(
    subject: &Subject<'_>,
    (envelope, annotations): (&[u8], &Annotations),
    trust: &Trust,
    reading: &mut Reading,
) -> Bundle {
    let digest = Digest::of(envelope);
    let text = document::parse::<&RawValue>(envelope, SBOM_CEILING);
    match text.and_then(|text| bundle::envelope(text.get())) {
        Ok(envelope) => {
            let statement = reading.statement(&digest, || {
                statement::read(&envelope.payload_type, envelope.payload.as_bytes())
            });
            let opened = opened(Signed::Envelope(envelope), annotations);
            let payload = opened.payload();
            let said = judge_statement(subject, opened, statement, trust);
            found(digest, payload, Carrier::LegacyAttestation, said, trust)
        }
        Err(error) => {
            let problem = format!("the attestation's envelope cannot be read: {error}");
            unreadable(digest, Carrier::LegacyAttestation, problem)
        }
    }
}

fn found(
    digest: Digest,
    payload: Option<Digest>,
    carrier: Carrier,
    (proven, subjects, content): (Proven, Vec<Digest>, Content),
    trust: &Trust,
) -> Bundle {
    // It does not say which key made it.
    let problem = trust.any_key_problem();
    let key_problem = problem.filter(|_| proven.by.is_empty());
    Bundle {
        digest,
        payload,
        carrier,
        key_hint: None,
        verified_by: proven.by,
        failures: proven.failures,
        key_problem,
        subjects,
        content,
    }
}

fn unreadable(digest: Digest, carrier: Carrier, problem: String) -> Bundle {
    Bundle {
        digest,
        payload: None,
        carrier,
        key_hint: None,
        verified_by: BTreeSet::new(),
        failures: BTreeMap::new(),
        key_problem: None,
        subjects: Vec::new(),
        content: Content::Unreadable {
            predicate: None,
            problem,
        },
    }
}

/// The artifact that a payload of simple signing is about.
fn named_digest(payload: &[u8]) -> Result<Digest, String> {
    let payload: Payload = document::parse(payload, PAYLOAD_LIMIT)
        .map_err(|error| format!("the signature's payload cannot be read: {error}"))?;
    let Critical { kind, image } = payload.critical;
    if kind != SIGNATURE_TYPE {
        let kind = clip(&kind);
        return Err(format!(
            "the signature's payload has critical.type \"{kind}\", not \"{SIGNATURE_TYPE}\""
        ));
    }
    Digest::parse(&image.digest).map_err(|_| {
        let digest = clip(&image.digest);
        format!("the signature's payload names \"{digest}\", which is no digest by sha256")
    })
}

fn open_signature(payload: &Digest, annotations: &Annotations) -> Result<Opened, String> {
    let text = annotations
        .get(SIGNATURE)
        .ok_or_else(|| format!("the layer has no annotation {SIGNATURE}"))?;
    let signature = STANDARD
        .decode(text)
        .map_err(|_| format!("the annotation {SIGNATURE} is not base64"))?;
    // What the payload hashes to is said here, not read: nothing else is ever signed.
    let message = json!({
        "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(payload.sha256())},
        "signature": SignatureBytes::new(signature),
    });
    let message: MessageSignature = serde_json::from_value(message)
        .map_err(|error| format!("the signature cannot be read: {}", clip(&error.to_string())))?;
    let names = Some(payload.sha256());
    Ok(opened(Signed::Message { message, names }, annotations))
}

fn opened(signed: Signed, annotations: &Annotations) -> Opened {
    let certificate = present(annotations, CERTIFICATE);
    let material = material(certificate, annotations);
    Opened::older(signed, material, certificate.is_some())
}

/// cosign leaves an annotation empty where it has nothing to say.
fn present<'a>(annotations: &'a Annotations, key: &str) -> Option<&'a str> {
    let text = annotations.get(key).map(|text| text.trim());
    text.filter(|text| !text.is_empty())
}

/// What proves who signed, and when. With a managed key alone none of it is looked at, readable or
/// not.
fn material(
    certificate: Option<&str>,
    annotations: &Annotations,
) -> Result<VerificationMaterial, String> {
    let mut material = Map::new();
    if let Some(pem) = certificate {
        let certificate = DerCertificate::from_pem(pem)
            .map_err(|error| format!("the annotation {CERTIFICATE} cannot be read: {error}"))?;
        let chain = json!({"certificates": [{"rawBytes": certificate}]});
        material.insert("x509CertificateChain".to_owned(), chain);
    } else {
        material.insert("publicKey".to_owned(), json!({"hint": ""}));
    }
    if let Some(text) = present(annotations, LOG_ENTRY) {
        material.insert("tlogEntries".to_owned(), json!([log_entry(text)?]));
    }
    if let Some(text) = present(annotations, TIMESTAMP) {
        let stamp: Timestamp = read(TIMESTAMP, text)?;
        let stamps = json!({"rfc3161Timestamps": [{"signedTimestamp": stamp.token}]});
        material.insert("timestampVerificationData".to_owned(), stamps);
    }
    serde_json::from_value(Value::Object(material)).map_err(|error| {
        let why = clip(&error.to_string());
        format!("what proves the signature cannot be read: {why}")
    })
}

/// The log entry as a bundle has it.
fn log_entry(text: &str) -> Result<Value, String> {
    let LogEntry { promise, payload } = read(LOG_ENTRY, text)?;
    let body = STANDARD.decode(&payload.body);
    let body = body.map_err(|_| "the log entry's body is not base64".to_owned())?;
    let LogBody { kind, version } = document::parse(&body, ANNOTATION_LIMIT)
        .map_err(|error| format!("the log entry's body cannot be read: {error}"))?;
    if (kind.as_str(), version.as_str()) == ("intoto", "0.0.1") {
        return Err(
            "its log entry is of kind intoto 0.0.1, which names no signature and so is not accepted \
             as the entry of this one; attest again with cosign 3"
                .to_owned(),
        );
    }
    let log = Digest::parse(&format!("sha256:{}", payload.log));
    let log = log.map_err(|_| "the log entry's logID is not 64 hexadecimal digits".to_owned())?;
    Ok(json!({
        "logIndex": payload.index.to_string(),
        "logId": {"keyId": STANDARD.encode(log.sha256())},
        "kindVersion": {"kind": kind, "version": version},
        "integratedTime": payload.time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": promise},
        "canonicalizedBody": payload.body,
    }))
}

fn read<'a, T: Deserialize<'a>>(annotation: &str, text: &'a str) -> Result<T, String> {
    document::parse(text.as_bytes(), ANNOTATION_LIMIT)
        .map_err(|error| format!("the annotation {annotation} cannot be read: {error}"))
}
