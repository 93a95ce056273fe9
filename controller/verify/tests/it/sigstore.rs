//! A Sigstore of one's own: an authority, a certificate log and a transparency log, and what they
//! would say of a signature. Made by hand from the formats, so that each part can be put wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{Anchor, RootText};
use lockmaster_core::release::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber, SigningKey as _,
    date_time_ymd,
};
use serde_json::{Value, json};

use crate::signing::{Signer, pae, pem, sha256};

/// When everything here is signed: 2024-06-01 12:00:00 UTC. Certificates are valid on that day.
pub(crate) const SIGNED_AT: i64 = 1_717_243_200;
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const SUBJECT: &str = "https://ci.example/shop";

/// The services, and the trusted root that names them.
pub(crate) struct Sigstore {
    authority: Issuer<'static, KeyPair>,
    authority_spki: Vec<u8>,
    certificate_log: KeyPair,
    log: KeyPair,
    root: RootText,
}

/// Somebody who signs: a managed key, or a key with a certificate.
pub(crate) struct Person {
    signer: Signer,
    certificate: Option<Vec<u8>>,
}

/// A signature as every format has it.
#[derive(Clone)]
pub(crate) struct Signed {
    /// What stands in the payload: simple signing, or a statement.
    pub(crate) payload: Vec<u8>,
    /// Whether that is a statement, in an envelope.
    pub(crate) envelope: bool,
    pub(crate) signature: Vec<u8>,
    /// Certificate or public key, as the log names the signer; PEM.
    pub(crate) verifier: String,
    /// The certificate, DER.
    pub(crate) certificate: Option<Vec<u8>>,
}

/// An entry of the log with all that proves it.
#[derive(Clone)]
pub(crate) struct Entry {
    body: Vec<u8>,
    kind: (&'static str, &'static str),
    promise: Vec<u8>,
    log: Vec<u8>,
    checkpoint: String,
}

const IN_TOTO: &str = "application/vnd.in-toto+json";

fn spki(key: &KeyPair) -> Vec<u8> {
    key.subject_public_key_info()
}

/// The certificate of an authority that is valid in the years from the first to the second.
fn authority((from, to): (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    params
}

impl Sigstore {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority((2020, 2040));
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self::of(key, params, &[certificate])
    }

    /// One whose authority has a certificate by another one; both are valid in these years.
    pub(crate) fn with_intermediate(years: (i32, i32), years_of_root: (i32, i32)) -> Self {
        let (key, root_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (mut params, mut root) = (authority(years), authority(years_of_root));
        root.distinguished_name.push(DnType::CommonName, "the root");
        params
            .distinguished_name
            .push(DnType::CommonName, "between");
        let of_root = root.self_signed(&root_key).unwrap().der().to_vec();
        let issuer = Issuer::new(root, root_key);
        let certificate = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Self::of(key, params, &[certificate, of_root])
    }

    /// With this key and chain of its authority, its own certificate first.
    fn of(key: KeyPair, params: CertificateParams, chain: &[Vec<u8>]) -> Self {
        let chain: Vec<_> = chain
            .iter()
            .map(|certificate| json!({"rawBytes": STANDARD.encode(certificate)}))
            .collect();
        let (certificate_log, log) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let instance = |key: &KeyPair| {
            json!({
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": STANDARD.encode(sha256(&spki(key)))},
            })
        };
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [instance(&log)],
            "ctlogs": [instance(&certificate_log)],
            "certificateAuthorities": [{
                "subject": {"organization": "example", "commonName": "example"},
                "uri": "https://authority.example",
                "certChain": {"certificates": chain},
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            }],
        });
        Self {
            authority_spki: spki(&key),
            authority: Issuer::new(params, key),
            certificate_log,
            log,
            root: RootText::new(&root.to_string()),
        }
    }

    /// What signatures are checked under: certificates of this root.
    pub(crate) fn anchor(&self) -> Anchor {
        Anchor {
            key: None,
            root: Some(self.root.clone()),
        }
    }

    /// A managed key whose log entries are those of this root.
    pub(crate) fn anchor_of(&self, person: &Person) -> Anchor {
        Anchor {
            key: Some(person.signer.public.clone()),
            root: Some(self.root.clone()),
        }
    }

    /// Somebody with a certificate.
    pub(crate) fn person(&self) -> Person {
        let key = KeyPair::generate().unwrap();
        let certificate = self.certificate(&key);
        let spki = spki(&key);
        let sign = move |message: &[u8]| key.sign(message).unwrap();
        Person {
            signer: Signer::new(&spki, sign),
            certificate: Some(certificate),
        }
    }

    /// A certificate as Fulcio issues them, with the certificate log's timestamp in it.
    fn certificate(&self, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&[7; 16]));
        (params.not_before, params.not_after) =
            (date_time_ymd(2024, 6, 1), date_time_ymd(2024, 6, 2));
        params.subject_alt_names = vec![SanType::URI(SUBJECT.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let issuer = [
            &[12, u8::try_from(ISSUER.len()).unwrap()],
            ISSUER.as_bytes(),
        ]
        .concat();
        let issuer = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], issuer);
        params.custom_extensions = vec![issuer];
        let before = params.signed_by(key, &self.authority).unwrap();
        let stamp = self.certificate_timestamp(to_be_signed(before.der()));
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
        let stamp = CustomExtension::from_oid_content(&oid, stamp);
        params.custom_extensions.push(stamp);
        let certificate = params.signed_by(key, &self.authority).unwrap();
        certificate.der().to_vec()
    }

    /// A list of one signed certificate timestamp (RFC 6962 sections 3.2 and 3.3).
    fn certificate_timestamp(&self, certificate: &[u8]) -> Vec<u8> {
        let time = (u64::try_from(SIGNED_AT).unwrap() * 1000).to_be_bytes();
        let mut message = vec![0, 0];
        message.extend(time);
        message.extend([0, 1]);
        message.extend(sha256(&self.authority_spki));
        message.extend(&u32::try_from(certificate.len()).unwrap().to_be_bytes()[1..]);
        message.extend(certificate);
        message.extend([0, 0]);
        let signature = self.certificate_log.sign(&message).unwrap();
        let mut stamp = vec![0];
        stamp.extend(sha256(&spki(&self.certificate_log)));
        stamp.extend(time);
        stamp.extend([0, 0, 4, 3]);
        stamp.extend(two_bytes(signature.len()));
        stamp.extend(signature);
        let one = [two_bytes(stamp.len()).to_vec(), stamp].concat();
        let list = [two_bytes(one.len()).to_vec(), one].concat();
        [vec![4, u8::try_from(list.len()).unwrap()], list].concat()
    }

    /// The entry that the log would make of this signature.
    pub(crate) fn entry(&self, signed: &Signed) -> Entry {
        let verifier = STANDARD.encode(&signed.verifier);
        let signature = STANDARD.encode(&signed.signature);
        let hash =
            |bytes: &[u8]| json!({"algorithm": "sha256", "value": Digest::of(bytes).hexadecimal()});
        let (kind, spec) = if signed.envelope {
            let signatures = json!([{"signature": signature, "verifier": verifier}]);
            let spec = json!({
                "envelopeHash": hash(signed.envelope_json().to_string().as_bytes()),
                "payloadHash": hash(&signed.payload), "signatures": signatures,
            });
            (("dsse", "0.0.1"), spec)
        } else {
            let spec = json!({
                "data": {"hash": hash(&signed.payload)},
                "signature": {"content": signature, "publicKey": {"content": verifier}},
            });
            (("hashedrekord", "0.0.1"), spec)
        };
        self.entry_of(kind, &spec)
    }

    /// An entry of any kind.
    pub(crate) fn entry_of(&self, kind: (&'static str, &'static str), spec: &Value) -> Entry {
        let body = json!({"apiVersion": kind.1, "kind": kind.0, "spec": spec}).to_string();
        let body = body.into_bytes();
        let log = sha256(&spki(&self.log));
        let (encoded, id) = (
            STANDARD.encode(&body),
            Digest::from_sha256(log.as_slice().try_into().unwrap()),
        );
        let id = id.hexadecimal();
        let promised = format!(
            r#"{{"body":"{encoded}","integratedTime":{SIGNED_AT},"logID":"{id}","logIndex":7}}"#
        );
        let promise = self.log.sign(promised.as_bytes()).unwrap();
        let leaf = sha256(&[&[0], body.as_slice()].concat());
        let note = format!("log.example\n1\n{}\n", STANDARD.encode(leaf));
        let signature = self.log.sign(note.as_bytes()).unwrap();
        let signature = STANDARD.encode([&log[..4], &signature].concat());
        let checkpoint = format!("{note}\n\u{2014} log.example {signature}\n");
        Entry {
            body,
            kind,
            promise,
            log,
            checkpoint,
        }
    }
}

fn two_bytes(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap().to_be_bytes()
}

/// The part of a certificate that is signed: the first element of the outer sequence.
fn to_be_signed(certificate: &[u8]) -> &[u8] {
    let after_header = |bytes: &[u8]| match bytes[1] {
        long @ 0x81.. => 2 + usize::from(long & 0x7f),
        _ => 2,
    };
    let inner = &certificate[after_header(certificate)..];
    let header = after_header(inner);
    let length = inner[2..header].iter();
    let length = length.fold(0, |sum, byte| sum * 256 + usize::from(*byte));
    &inner[..header + length]
}

impl Person {
    /// Somebody with a managed key.
    pub(crate) fn with_key() -> Self {
        Self {
            signer: Signer::p256(),
            certificate: None,
        }
    }

    pub(crate) fn key(&self) -> Anchor {
        Anchor::of_key(self.signer.public.clone())
    }

    fn signed(&self, payload: Vec<u8>, envelope: bool) -> Signed {
        let message = if envelope {
            pae(IN_TOTO, &payload)
        } else {
            payload.clone()
        };
        let verifier = match &self.certificate {
            None => pem(&self.signer.spki),
            Some(der) => certificate_pem(der),
        };
        Signed {
            signature: self.signer.sign(&message),
            payload,
            envelope,
            verifier,
            certificate: self.certificate.clone(),
        }
    }

    /// Simple signing of this text.
    pub(crate) fn sign(&self, payload: &[u8]) -> Signed {
        self.signed(payload.to_vec(), false)
    }

    /// An envelope with this statement.
    pub(crate) fn attest(&self, statement: &Value) -> Signed {
        self.signed(statement.to_string().into_bytes(), true)
    }
}

pub(crate) fn certificate_pem(der: &[u8]) -> String {
    pem(der).replace("PUBLIC KEY", "CERTIFICATE")
}

impl Signed {
    /// The envelope.
    pub(crate) fn envelope_json(&self) -> Value {
        json!({
            "payloadType": IN_TOTO,
            "payload": STANDARD.encode(&self.payload),
            "signatures": [{"sig": STANDARD.encode(&self.signature)}],
        })
    }

    /// A bundle of one version.
    pub(crate) fn bundle(&self, version: &str, entry: Option<&Entry>) -> Value {
        let media_type = if version == "0.3" {
            "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned()
        } else {
            format!("application/vnd.dev.sigstore.bundle+json;version={version}")
        };
        let mut material = match &self.certificate {
            None => json!({"publicKey": {"hint": ""}}),
            Some(der) if version == "0.3" => {
                json!({"certificate": {"rawBytes": STANDARD.encode(der)}})
            }
            Some(der) => {
                let certificate = json!({"rawBytes": STANDARD.encode(der)});
                json!({"x509CertificateChain": {"certificates": [certificate]}})
            }
        };
        let entries: Vec<_> = entry.iter().map(|entry| entry.in_bundle()).collect();
        material["tlogEntries"] = entries.into();
        let mut bundle = json!({"mediaType": media_type, "verificationMaterial": material});
        if self.envelope {
            bundle["dsseEnvelope"] = self.envelope_json();
        } else {
            let digest = STANDARD.encode(sha256(&self.payload));
            bundle["messageSignature"] = json!({
                "messageDigest": {"algorithm": "SHA2_256", "digest": digest},
                "signature": STANDARD.encode(&self.signature),
            });
        }
        bundle
    }
}

impl Entry {
    /// As a bundle has it, with both proofs.
    pub(crate) fn in_bundle(&self) -> Value {
        let leaf = sha256(&[&[0], self.body.as_slice()].concat());
        json!({
            "logIndex": "7",
            "logId": {"keyId": STANDARD.encode(&self.log)},
            "kindVersion": {"kind": self.kind.0, "version": self.kind.1},
            "integratedTime": SIGNED_AT.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(&self.promise)},
            "inclusionProof": {
                "logIndex": "0", "treeSize": "1", "hashes": [],
                "rootHash": STANDARD.encode(leaf),
                "checkpoint": {"envelope": self.checkpoint},
            },
            "canonicalizedBody": STANDARD.encode(&self.body),
        })
    }

    /// As an annotation has it.
    pub(crate) fn in_annotation(&self) -> Value {
        let log = Digest::from_sha256(self.log.as_slice().try_into().unwrap());
        json!({
            "SignedEntryTimestamp": STANDARD.encode(&self.promise),
            "Payload": {
                "body": STANDARD.encode(&self.body), "integratedTime": SIGNED_AT,
                "logIndex": 7, "logID": log.hexadecimal(),
            },
        })
    }
}
