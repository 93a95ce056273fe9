//! The older formats: a layer, and annotations that nobody signed.

use std::sync::Arc;

use lockmaster_core::release::Digest;
use lockmaster_verify::{Annotations, Candidate, Subject, judged_annotations};

use super::statements::{MANIFEST, TRUST, only_what_was_signed, said_in_bounds};

/// Annotations in one line, then the layer.
pub(super) const SEEDS: &[&str] = &[
    concat!(
        r#"{"dev.cosignproject.cosign/signature":"AAAA","dev.sigstore.cosign/bundle":"{\"SignedEntryTimestamp\":\"AAAA\",\"Payload\":{\"body\":\"eyJhcGlWZXJzaW9uIjoiMC4wLjEiLCJraW5kIjoiaGFzaGVkcmVrb3JkIiwic3BlYyI6eyJkYXRhIjp7Imhhc2giOnsiYWxnb3JpdGhtIjoic2hhMjU2IiwidmFsdWUiOiI0NDEzNmZhMzU1YjM2NzhhMTE0NmFkMTZmN2U4NjQ5ZTk0ZmI0ZmMyMWZlNzdlODMxMGMwNjBmNjFjYWFmZjhhIn19LCJzaWduYXR1cmUiOnsiY29udGVudCI6IkFBQUEiLCJwdWJsaWNLZXkiOnsiY29udGVudCI6IkFBQUEifX19fQ==\",\"integratedTime\":1717243200,\"logIndex\":7,\"logID\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"}}"}"#,
        "\n",
        r#"{"critical":{"identity":{"docker-reference":"registry.example/a"},"image":{"docker-manifest-digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"type":"cosign container image signature"},"optional":null}"#
    ),
    concat!(
        r#"{"dev.cosignproject.cosign/signature":"","dev.sigstore.cosign/certificate":"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n","dev.sigstore.cosign/rfc3161timestamp":"{\"SignedRFC3161Timestamp\":\"AAAA\"}"}"#,
        "\n",
        r#"{"payloadType":"application/vnd.in-toto+json","payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjAuMSIsInN1YmplY3QiOlt7ImRpZ2VzdCI6eyJzaGEyNTYiOiI0NDEzNmZhMzU1YjM2NzhhMTE0NmFkMTZmN2U4NjQ5ZTk0ZmI0ZmMyMWZlNzdlODMxMGMwNjBmNjFjYWFmZjhhIn19XSwicHJlZGljYXRlVHlwZSI6ImEiLCJwcmVkaWNhdGUiOnt9fQ==","signatures":[{"sig":"AAAA"}]}"#
    ),
];

/// A layer of either older format with its annotations, which stand in the first line. What verifies
/// says what was signed.
pub fn legacy(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (head, layer) = bytes.split_at(end.unwrap_or(bytes.len()));
    let layer = Arc::new(layer.get(1..).unwrap_or_default().to_vec());
    let all: Annotations = serde_json::from_slice(head).unwrap_or_default();
    let annotations = judged_annotations(all);
    let digest = Digest::of(MANIFEST);
    let Some(subject) = Subject::new(&digest, MANIFEST) else {
        return;
    };
    let signature = Candidate::LegacySignature {
        payload: Arc::clone(&layer),
        annotations: annotations.clone(),
    };
    let attestation = Candidate::LegacyAttestation {
        envelope: layer,
        annotations,
    };
    for candidate in [signature, attestation] {
        let judged = candidate.judge(&subject, &TRUST);
        only_what_was_signed(&judged);
        said_in_bounds(&judged);
    }
}
