//! Which keys are accepted, which are refused and with which advice, which signatures they verify.

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384,
    RSA_PSS_SHA512, RsaEncoding,
};
use lockmaster_core::evidence::{Anchor, COSIGN_SIGN, Content, KeyId, Verified};
use lockmaster_core::release::Digest;
use lockmaster_verify::{KeyError, Subject, Trust, judge, parse_key};
use serde_json::json;

use crate::signing::{MANIFEST, Signer, judge_value, pem, statement};

fn rsa(encoding: &'static dyn RsaEncoding) -> Signer {
    Signer::rsa(KeySize::Rsa2048, encoding)
}

#[test]
fn every_accepted_kind_of_key_verifies_envelopes_and_message_signatures() {
    let signers = [
        ("P-256", Signer::p256()),
        ("P-384 with SHA-384", Signer::p384_sha384()),
        ("Ed25519", Signer::ed25519()),
        ("RSA PKCS1 SHA-256", rsa(&RSA_PKCS1_SHA256)),
        ("RSA PKCS1 SHA-384", rsa(&RSA_PKCS1_SHA384)),
        ("RSA PKCS1 SHA-512", rsa(&RSA_PKCS1_SHA512)),
        ("RSA PSS SHA-256", rsa(&RSA_PSS_SHA256)),
        ("RSA PSS SHA-384", rsa(&RSA_PSS_SHA384)),
        ("RSA PSS SHA-512", rsa(&RSA_PSS_SHA512)),
        (
            "RSA of 4096 bits",
            Signer::rsa(KeySize::Rsa4096, &RSA_PKCS1_SHA256),
        ),
    ];
    let stranger = Signer::p256();
    for (kind, signer) in &signers {
        for bundle in [
            signer.attest(&statement(COSIGN_SIGN, &json!({}))),
            signer.message(MANIFEST),
        ] {
            let judged = judge_value(&bundle, &[&stranger, signer]);
            assert_eq!(judged.content, Content::Signature, "{kind}");
            assert_eq!(
                judged.verified_by,
                [Verified::by_key(signer.public.id.clone())].into(),
                "{kind}: {bundle}"
            );
            assert_eq!(judged.key_hint.as_ref(), Some(&signer.public.id), "{kind}");
            assert_eq!(judged.subjects.len(), 1, "{kind}");
        }
    }
}

/// Made by OpenSSL: aws-lc-rs signs with P-384 and SHA-384 only.
#[test]
fn p384_with_sha256_verifies_too() {
    let data = |name: &str| {
        std::fs::read_to_string(format!("{}/test_data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let key = parse_key(&data("p384.pem")).unwrap();
    let digest = Digest::of(MANIFEST);
    let subject = Subject::new(&digest, MANIFEST).unwrap();
    let judged = judge(
        &subject,
        data("p384_sha256.sigstore.json").as_bytes(),
        &Trust::new(&[Anchor::of_key(key.clone())]),
    );
    assert_eq!(
        judged.verified_by,
        [Verified::by_key(key.id.clone())].into()
    );
    assert_eq!(judged.key_hint, Some(key.id));
}

#[test]
fn a_key_is_named_by_its_spki_whatever_surrounds_the_block() {
    let signer = Signer::p256();
    let key = parse_key(&format!("  \n{}\n\n", pem(&signer.spki))).unwrap();
    assert_eq!(key.id, KeyId::of_spki(&signer.spki));
}

#[test]
fn what_is_refused_says_what_to_do() {
    let data = |name: &str| {
        let path = format!("{}/test_data/{name}_fail.pem", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    assert_eq!(parse_key(&data("p521")).unwrap_err(), KeyError::P521);
    assert!(
        KeyError::P521
            .to_string()
            .contains("sign with a P-256 or P-384 key")
    );
    for bits in [1024, 2047, 4098, 8192] {
        let refused = parse_key(&data(&format!("rsa{bits}"))).unwrap_err();
        assert_eq!(refused, KeyError::RsaSize(bits));
    }
    let problem = |text: &str| parse_key(text).unwrap_err().to_string();
    assert!(problem(&data("secp256k1")).contains("1.3.132.0.10 is not supported"));
    assert!(problem(&data("p256_compressed")).contains("uncompressed"));
    let good = pem(&Signer::p256().spki);
    assert!(problem(&good.repeat(2)).contains("name each key by itself"));
    assert!(problem("").contains("found none"));
    assert!(problem(&good.replace("PUBLIC", "PRIVATE")).contains("found a private key"));
    assert!(problem(&good.replace("PUBLIC KEY", "CERTIFICATE")).contains("found a certificate"));
    assert!(problem(&good.replace("PUBLIC", "RSA PUBLIC")).contains("PKCS #1"));
    assert!(problem(&" ".repeat(5000)).contains("longer text than any key"));
    assert!(matches!(
        parse_key(&pem(b"no structure")),
        Err(KeyError::Malformed(_))
    ));
    let mut tail = Signer::p256().spki;
    tail.push(0);
    assert!(
        matches!(parse_key(&pem(&tail)), Err(KeyError::Malformed(_))),
        "trailing bytes"
    );
}

/// Found by the fuzz target `public_key`.
#[test]
fn what_is_said_of_an_unreadable_key_is_short_and_shows_no_line_of_it() {
    let line = "A".repeat(64);
    let block = format!(
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END \n{}",
        [&*line; 40].join("\n")
    );
    let problem = parse_key(&block).unwrap_err().to_string();
    assert!(problem.len() < 400, "{problem}");
    assert!(!problem.contains('\n'), "{problem}");
}

#[test]
fn a_key_under_a_name_that_is_not_its_own_verifies_nothing() {
    let (mut ours, theirs) = (Signer::p256(), Signer::p256());
    let bundle = theirs.attest(&statement(COSIGN_SIGN, &json!({})));
    ours.public.pem.clone_from(&theirs.public.pem);
    assert!(judge_value(&bundle, &[&ours]).verified_by.is_empty());
    assert_eq!(judge_value(&bundle, &[&theirs]).verified_by.len(), 1);
}

/// Ed25519ph (RFC 8032 section 5.1) is what cosign makes with an Ed25519 key: refused, and said.
#[test]
fn ed25519ph_is_refused_with_what_to_do() {
    let (signer, other) = (Signer::ed25519(), Signer::p256());
    let mut bundle = signer.message(MANIFEST);
    // A signature over something else stands for one over the hash with the ph prefix: neither
    // verifies, and nobody can tell them apart.
    bundle["messageSignature"]["signature"] =
        signer.message(b"x")["messageSignature"]["signature"].clone();
    let judged = judge_value(&bundle, &[&signer]);
    assert!(judged.verified_by.is_empty());
    assert!(judged.key_problem.unwrap().contains("Ed25519ph"));
    assert_eq!(judge_value(&bundle, &[&other]).key_problem, None);
    assert_eq!(
        judge_value(&signer.message(MANIFEST), &[&signer]).key_problem,
        None
    );
}
