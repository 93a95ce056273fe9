//! Keys and bundles for the tests, made by hand: nothing of the code under test is used.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{Anchor, Bundle, PublicKey};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Subject, Trust, judge, parse_key};
use serde_json::{Value, json};

pub(crate) const MANIFEST: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
pub(crate) const IN_TOTO: &str = "application/vnd.in-toto+json";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

/// A key pair, reduced to what the tests do with it.
pub(crate) struct Signer {
    pub(crate) public: PublicKey,
    pub(crate) spki: Vec<u8>,
    sign: Box<Sign>,
}

impl Signer {
    pub(crate) fn new(spki: &[u8], sign: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        let public = parse_key(&pem(spki)).unwrap();
        Self {
            public,
            spki: spki.to_vec(),
            sign: Box::new(sign),
        }
    }

    pub(crate) fn p256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)
    }

    pub(crate) fn p384_sha384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)
    }

    fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self::new(spki.as_ref(), move |message| {
            pair.sign(&SystemRandom::new(), message)
                .unwrap()
                .as_ref()
                .to_vec()
        })
    }

    pub(crate) fn ed25519() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self::new(spki.as_ref(), move |message| {
            pair.sign(message).as_ref().to_vec()
        })
    }

    pub(crate) fn rsa(size: KeySize, encoding: &'static dyn RsaEncoding) -> Self {
        let pair = RsaKeyPair::generate(size).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self::new(spki.as_ref(), move |message| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
                .unwrap();
            signature
        })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        (self.sign)(message)
    }

    /// The hint as cosign writes it.
    pub(crate) fn hint(&self) -> String {
        STANDARD.encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            &self.spki,
        ))
    }

    /// A bundle with this payload in an envelope.
    pub(crate) fn envelope(&self, payload_type: &str, payload: &[u8]) -> Value {
        let signature = self.sign(&pae(payload_type, payload));
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint()}},
            "dsseEnvelope": {
                "payloadType": payload_type,
                "payload": STANDARD.encode(payload),
                "signatures": [{"sig": STANDARD.encode(signature)}],
            },
        })
    }

    /// A bundle with this statement in an envelope that nobody signed.
    pub(crate) fn envelope_unsigned(&self, statement: &Value) -> Value {
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint()}},
            "dsseEnvelope": {
                "payloadType": IN_TOTO,
                "payload": STANDARD.encode(statement.to_string()),
                "signatures": [{"sig": STANDARD.encode(b"nothing")}],
            },
        })
    }

    /// A bundle with this statement in an envelope.
    pub(crate) fn attest(&self, statement: &Value) -> Value {
        self.envelope(IN_TOTO, statement.to_string().as_bytes())
    }

    /// A bundle with a signature over the manifest itself.
    pub(crate) fn message(&self, manifest: &[u8]) -> Value {
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": self.hint()}},
            "messageSignature": {
                "messageDigest": {
                    "algorithm": "SHA2_256",
                    "digest": STANDARD.encode(sha256(manifest)),
                },
                "signature": STANDARD.encode(self.sign(manifest)),
            },
        })
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}

/// Pre-authentication encoding, from the DSSE specification.
pub(crate) fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

pub(crate) fn pem(spki: &[u8]) -> String {
    let text = STANDARD.encode(spki);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|c| str::from_utf8(c).unwrap())
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

pub(crate) fn statement(predicate_type: &str, predicate: &Value) -> Value {
    statement_about(MANIFEST, predicate_type, predicate)
}

pub(crate) fn statement_about(manifest: &[u8], predicate_type: &str, predicate: &Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": Digest::of(manifest).hexadecimal()}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

pub(crate) fn judge_bytes(bytes: &[u8], keys: &[&Signer]) -> Bundle {
    let keys = keys.iter().map(|signer| signer.public.clone());
    let anchors: Vec<_> = keys.map(Anchor::of_key).collect();
    let (digest, trust) = (Digest::of(MANIFEST), Trust::new(&anchors));
    judge(&Subject::new(&digest, MANIFEST).unwrap(), bytes, &trust)
}

pub(crate) fn judge_value(bundle: &Value, keys: &[&Signer]) -> Bundle {
    judge_bytes(bundle.to_string().as_bytes(), keys)
}
