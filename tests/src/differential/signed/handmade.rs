//! Bundles made here, by keys of every kind; no log and no timestamp.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Signed;
use crate::differential::keys::{Key, Keys};
use crate::differential::mutation::{Change, Said};
use crate::differential::question::By;
use crate::differential::store::{BUNDLE, manifest};
use crate::differential::table::{Format, Row};
use crate::differential::{BUILDER, COMMIT, SOURCE, VERSION};
use crate::evidence::Provenance;

const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The two keys of a row, and what they sign.
pub(in crate::differential) struct Handmade<'a> {
    row: &'a Row,
    own: &'a Key,
    stranger: &'a Key,
}

impl<'a> Handmade<'a> {
    pub(in crate::differential) fn new(row: &'a Row, keys: &'a Keys) -> anyhow::Result<Self> {
        Ok(Self {
            row,
            own: keys.own(row.key)?,
            stranger: keys.stranger(row.key)?,
        })
    }

    /// The row's image, signed; what the mutation changes before signing is changed.
    pub(in crate::differential) fn sign(
        &self,
        change: impl FnOnce(&mut Said, &Signed) -> anyhow::Result<()>,
    ) -> anyhow::Result<Signed> {
        let image = manifest(&self.row.to_string());
        let other = manifest("another image");
        let mut signed = Signed {
            bundle: self.bundle(self.own, &image)?,
            another: self.bundle(self.own, &other)?,
            strangers: self.bundle(self.stranger, &image)?,
            other_digest: hex::encode(Sha256::digest(&other)),
            signer: By::Key(self.own.public.clone()),
            stranger: By::Key(self.stranger.public.clone()),
            manifest: image,
        };
        if matches!(self.row.mutation.change, Change::Said(_)) {
            let mut said = self.said(&signed.manifest);
            change(&mut said, &signed)?;
            signed.bundle = envelope(self.own, &said)?;
        }
        Ok(signed)
    }

    fn bundle(&self, key: &Key, manifest: &[u8]) -> anyhow::Result<Value> {
        if self.row.format == Format::Message {
            return message(key, manifest);
        }
        envelope(key, &self.said(manifest))
    }

    fn said(&self, manifest: &[u8]) -> Said {
        let digest = hex::encode(Sha256::digest(manifest));
        let (kind, predicate) = if self.row.format == Format::Attestation {
            let says = Provenance::new(SOURCE, VERSION, COMMIT, BUILDER);
            ("https://slsa.dev/provenance/v1", says.predicate())
        } else {
            ("https://sigstore.dev/cosign/sign/v1", json!({}))
        };
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "image", "digest": {"sha256": digest}}],
            "predicateType": kind,
            "predicate": predicate,
        });
        Said {
            payload_type: IN_TOTO.to_owned(),
            text: statement.to_string(),
        }
    }
}

fn envelope(key: &Key, said: &Said) -> anyhow::Result<Value> {
    let Said { payload_type, text } = said;
    // Pre-authentication encoding of the DSSE specification.
    let message = format!(
        "DSSEv1 {} {payload_type} {} {text}",
        payload_type.len(),
        text.len()
    );
    let signature = STANDARD.encode(key.sign(message.as_bytes())?);
    Ok(json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.hint}},
        "dsseEnvelope": {
            "payloadType": payload_type,
            "payload": STANDARD.encode(text),
            "signatures": [{"sig": signature}],
        },
    }))
}

fn message(key: &Key, manifest: &[u8]) -> anyhow::Result<Value> {
    Ok(json!({
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": key.hint}},
        "messageSignature": {
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": STANDARD.encode(Sha256::digest(manifest)),
            },
            "signature": STANDARD.encode(key.sign(manifest)?),
        },
    }))
}
