//! Envelopes and message signatures: what verifies, what does not, and for which reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{COSIGN_SIGN, Content, SPDX};
use lockmaster_core::release::Digest;
use lockmaster_verify::Subject;
use serde_json::{Value, json};

use crate::signing::{
    BUNDLE, IN_TOTO, MANIFEST, Signer, judge_bytes, judge_value, sha256, statement, statement_about,
};

const OTHER: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[{}]}"#;

/// The problem of an unreadable bundle that no key verifies.
#[track_caller]
fn unreadable(bundle: &Value, signer: &Signer) -> String {
    let judged = judge_value(bundle, &[signer]);
    assert!(
        judged.verified_by.is_empty() && judged.subjects.is_empty(),
        "{judged:?}"
    );
    let Content::Unreadable { problem, .. } = judged.content else {
        panic!("{judged:?}")
    };
    problem
}

fn signed(signer: &Signer) -> Value {
    signer.attest(&statement(COSIGN_SIGN, &json!({})))
}

#[test]
fn a_flipped_byte_leaves_the_content_and_takes_the_signature() {
    let signer = Signer::p256();
    let mut bundle = signed(&signer);
    let mut payload = STANDARD
        .decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap())
        .unwrap();
    let place = payload.iter().position(|byte| *byte == b'{').unwrap();
    payload.insert(place + 1, b' ');
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(&payload).into();
    let judged = judge_value(&bundle, &[&signer]);
    assert_eq!(judged.content, Content::Signature);
    assert_eq!(judged.subjects, [Digest::of(MANIFEST)]);
    assert_eq!(
        judged.key_hint,
        Some(signer.public.id.clone()),
        "the hint says ours: a bad one"
    );
    assert!(judged.verified_by.is_empty());
}

#[test]
fn another_key_is_told_by_its_hint() {
    let (ours, theirs) = (Signer::p256(), Signer::p256());
    let judged = judge_value(&signed(&theirs), &[&ours]);
    assert!(judged.verified_by.is_empty());
    assert_eq!(judged.key_hint, Some(theirs.public.id.clone()));
    let mut bundle = signed(&theirs);
    bundle["verificationMaterial"]["publicKey"] = json!({"hint": ours.hint()});
    let judged = judge_value(&bundle, &[&ours]);
    assert!(judged.verified_by.is_empty(), "a hint is no proof");
    assert_eq!(judged.key_hint, Some(ours.public.id.clone()));
    bundle["verificationMaterial"]["publicKey"] = json!({"hint": "my key"});
    assert_eq!(judge_value(&bundle, &[&ours]).key_hint, None);
}

#[test]
fn exactly_one_signature() {
    let signer = Signer::p256();
    let mut bundle = signed(&signer);
    let one = bundle["dsseEnvelope"]["signatures"][0].clone();
    bundle["dsseEnvelope"]["signatures"] = json!([one, one]);
    assert!(unreadable(&bundle, &signer).contains("exactly one signature, found 2"));
    bundle["dsseEnvelope"]["signatures"] = json!([]);
    assert!(unreadable(&bundle, &signer).contains("exactly one signature, found 0"));
}

#[test]
fn another_payload_type_is_no_statement_however_well_signed() {
    let signer = Signer::p256();
    let payload = statement(COSIGN_SIGN, &json!({})).to_string();
    let judged = judge_value(
        &signer.envelope("text/plain", payload.as_bytes()),
        &[&signer],
    );
    assert_eq!(judged.verified_by.len(), 1, "the signature is good");
    assert!(judged.subjects.is_empty());
    let Content::Unreadable {
        predicate: None,
        problem,
    } = judged.content
    else {
        panic!()
    };
    assert!(
        problem.contains("the payload type is \"text/plain\""),
        "{problem}"
    );
    let mut relabelled = signer.envelope("text/plain", payload.as_bytes());
    relabelled["dsseEnvelope"]["payloadType"] = IN_TOTO.into();
    let judged = judge_value(&relabelled, &[&signer]);
    assert_eq!(judged.content, Content::Signature);
    assert!(
        judged.verified_by.is_empty(),
        "the payload type is signed too"
    );
}

#[test]
fn a_statement_about_another_digest_verifies_and_says_so() {
    let signer = Signer::p256();
    let bundle = signer.attest(&statement_about(OTHER, COSIGN_SIGN, &json!({})));
    let judged = judge_value(&bundle, &[&signer]);
    assert_eq!(judged.verified_by.len(), 1);
    assert_eq!(judged.subjects, [Digest::of(OTHER)]);
}

#[test]
fn message_signatures_are_over_the_manifest() {
    let signer = Signer::p256();
    let copied = judge_value(&signer.message(OTHER), &[&signer]);
    assert_eq!(
        (copied.verified_by.len(), copied.subjects),
        (1, vec![Digest::of(OTHER)])
    );

    let mut lying = signer.message(OTHER);
    lying["messageSignature"]["messageDigest"]["digest"] = STANDARD.encode(sha256(MANIFEST)).into();
    let judged = judge_value(&lying, &[&signer]);
    assert_eq!(judged.content, Content::Signature);
    assert!(judged.verified_by.is_empty() && judged.subjects.is_empty());

    let mut silent = signer.message(MANIFEST);
    silent["messageSignature"]["messageDigest"] = Value::Null;
    let judged = judge_value(&silent, &[&signer]);
    assert_eq!(
        (judged.verified_by.len(), judged.subjects),
        (1, vec![Digest::of(MANIFEST)])
    );

    let mut other_hash = signer.message(MANIFEST);
    other_hash["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512".into();
    assert!(unreadable(&other_hash, &signer).contains("SHA2_512, not SHA2_256"));
}

#[test]
fn an_envelope_is_no_message_signature() {
    let signer = Signer::p256();
    let bundle = signed(&signer);
    let mut moved = signer.message(MANIFEST);
    moved["messageSignature"]["signature"] = bundle["dsseEnvelope"]["signatures"][0]["sig"].clone();
    assert!(judge_value(&moved, &[&signer]).verified_by.is_empty());
    let mut both = signed(&signer);
    both["messageSignature"] = signer.message(MANIFEST)["messageSignature"].clone();
    assert!(unreadable(&both, &signer).contains("both a message signature and an envelope"));
    both["messageSignature"] = Value::Null;
    both["dsseEnvelope"] = Value::Null;
    assert!(unreadable(&both, &signer).contains("has no signature"));
}

#[test]
fn only_version_0_3_with_one_key_or_certificate() {
    let signer = Signer::p256();
    let mut bundle = signed(&signer);
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.3".into();
    assert_eq!(judge_value(&bundle, &[&signer]).verified_by.len(), 1);
    for old in ["0.1", "0.2"] {
        bundle["mediaType"] =
            format!("application/vnd.dev.sigstore.bundle+json;version={old}").into();
        assert!(
            unreadable(&bundle, &signer).contains("only version 0.3 is accepted"),
            "{old}"
        );
    }
    bundle["mediaType"] = Value::Null;
    assert!(unreadable(&bundle, &signer).contains("only version 0.3 is accepted"));
    bundle["mediaType"] = BUNDLE.into();
    bundle["verificationMaterial"]["certificate"] = json!({"rawBytes": "AAAA"});
    assert!(unreadable(&bundle, &signer).contains("both a key and a certificate"));
    for certificate in [
        json!({"certificate": {"rawBytes": "AAAA"}}),
        json!({"x509CertificateChain": {"certificates": []}}),
    ] {
        bundle["verificationMaterial"] = certificate;
        let judged = judge_value(&bundle, &[&signer]);
        assert_eq!(judged.content, Content::Signature);
        assert!(judged.verified_by.is_empty(), "a key is no certificate");
    }
    bundle["verificationMaterial"] = json!({});
    assert!(unreadable(&bundle, &signer).contains("neither a key nor a certificate"));
}

#[test]
fn log_entries_and_timestamps_neither_help_nor_hinder_a_managed_key() {
    let signer = Signer::p256();
    let mut bundle = signed(&signer);
    bundle["verificationMaterial"]["tlogEntries"] = json!([{"logIndex": "7", "kindVersion": {}}]);
    bundle["verificationMaterial"]["timestampVerificationData"] = Value::Null;
    assert_eq!(judge_value(&bundle, &[&signer]).verified_by.len(), 1);
}

#[test]
fn a_key_given_twice_in_the_bundle_or_the_statement_is_refused() {
    let signer = Signer::p256();
    let text = signed(&signer).to_string();
    let doubled = text.replacen('{', "{\"mediaType\":\"x\",", 1);
    let judged = judge_bytes(doubled.as_bytes(), &[&signer]);
    let Content::Unreadable { problem, .. } = judged.content else {
        panic!()
    };
    assert!(
        problem.contains("\"mediaType\" is given twice"),
        "{problem}"
    );

    let payload = statement(SPDX, &json!({})).to_string();
    let payload = payload.replacen('{', "{\"predicateType\":\"https://example.com/x\",", 1);
    let judged = judge_value(&signer.envelope(IN_TOTO, payload.as_bytes()), &[&signer]);
    assert_eq!(
        judged.verified_by.len(),
        1,
        "a good signature changes nothing"
    );
    let Content::Unreadable { problem, .. } = judged.content else {
        panic!()
    };
    assert!(
        problem.contains("\"predicateType\" is given twice"),
        "{problem}"
    );
}

#[test]
fn the_digest_is_of_the_bytes_and_the_subject_hashes_to_its_digest() {
    let judged = judge_bytes(b"nothing", &[]);
    assert_eq!(judged.digest, Digest::of(b"nothing"));
    assert!(Subject::new(&Digest::of(OTHER), MANIFEST).is_none());
}
