//! Simple signing and envelopes in layers: what verifies, what does not, and for which reason.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{
    Anchor, Bundle, COSIGN_SIGN, Carrier, Content, SPDX, Signer as By, Verified,
};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Annotations, Candidate, Subject, Trust, judged_annotations, parse_key};
use serde_json::{Value, json};

use crate::signing::{MANIFEST, Signer, statement};
use crate::sigstore::{
    Entry, ISSUER, Person, SIGNED_AT, SUBJECT, Signed, Sigstore, certificate_pem,
};
use crate::vectors::{self, Vector, named};

const OTHER: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[{}]}"#;
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";

pub(crate) fn payload_of(manifest: &[u8], kind: &str) -> Value {
    json!({
        "critical": {
            "identity": {"docker-reference": "registry.example/shop/checkout"},
            "image": {"docker-manifest-digest": Digest::of(manifest)},
            "type": kind,
        },
        "optional": null,
    })
}

/// What cosign signs.
pub(crate) fn payload(manifest: &[u8]) -> Vec<u8> {
    payload_of(manifest, "cosign container image signature")
        .to_string()
        .into_bytes()
}

fn bill() -> Value {
    json!({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": [{}]})
}

/// A layer of an older format.
pub(crate) fn candidate(signed: &Signed, entry: Option<&Entry>) -> Candidate {
    let mut annotations = Annotations::new();
    if let Some(der) = &signed.certificate {
        annotations.insert(CERTIFICATE.into(), certificate_pem(der));
        annotations.insert("dev.sigstore.cosign/chain".into(), certificate_pem(der));
    }
    if let Some(entry) = entry {
        annotations.insert(LOG_ENTRY.into(), entry.in_annotation().to_string());
    }
    if signed.envelope {
        annotations.insert(SIGNATURE.into(), String::new());
        return Candidate::LegacyAttestation {
            envelope: Arc::new(signed.envelope_json().to_string().into_bytes()),
            annotations,
        };
    }
    annotations.insert(SIGNATURE.into(), STANDARD.encode(&signed.signature));
    Candidate::LegacySignature {
        payload: Arc::new(signed.payload.clone()),
        annotations,
    }
}

pub(crate) fn judged(candidate: &Candidate, anchors: &[Anchor]) -> Bundle {
    let digest = Digest::of(MANIFEST);
    let subject = Subject::new(&digest, MANIFEST).unwrap();
    candidate.judge(&subject, &Trust::new(anchors))
}

fn signed_by_key() -> (Person, Signed) {
    let person = Person::with_key();
    let signed = person.sign(&payload(MANIFEST));
    (person, signed)
}

#[track_caller]
fn problem(bundle: &Bundle) -> &str {
    assert!(bundle.verified_by.is_empty() && bundle.subjects.is_empty());
    let Content::Unreadable { problem, .. } = &bundle.content else {
        panic!("{bundle:?}")
    };
    problem
}

/// Changes what is signed, and signs it again.
#[track_caller]
fn refused(payload: &[u8], words: &str) {
    let person = Person::with_key();
    let candidate = candidate(&person.sign(payload), None);
    let judged = judged(&candidate, &[person.key()]);
    let problem = problem(&judged);
    assert!(problem.contains(words), "{problem}");
}

#[test]
fn simple_signing_is_a_signature_of_the_digest_it_names() {
    let (person, signed) = signed_by_key();
    let found = judged(&candidate(&signed, None), &[person.key()]);
    assert_eq!(found.carrier, Carrier::LegacySignature);
    assert_eq!(found.content, Content::Signature);
    assert_eq!(found.subjects, [Digest::of(MANIFEST)]);
    assert_eq!(found.digest, Digest::of(&signed.payload));
    let Some(key) = person.key().id().key else {
        panic!("no key")
    };
    assert_eq!(found.verified_by, [Verified::by_key(key)].into());
    let stranger = judged(&candidate(&signed, None), &[Person::with_key().key()]);
    assert!(stranger.verified_by.is_empty());
    assert_eq!(stranger.key_problem, None);
    let other = Anchor::of_key(Signer::ed25519().public);
    let why = judged(&candidate(&signed, None), &[other]).key_problem;
    let why = why.unwrap();
    assert!(why.contains("Ed25519ph"), "it may be why: {why}");
    let possibly = "if it is by an Ed25519 key of the policy: ";
    assert!(why.contains(possibly), "a stranger made it: {why}");
    // A signature of another image says whose it is, and is not this one's.
    let copied = person.sign(&payload(OTHER));
    let found = judged(&candidate(&copied, None), &[person.key()]);
    assert_eq!(found.verified_by.len(), 1);
    assert_eq!(found.subjects, [Digest::of(OTHER)]);
}

#[test]
fn what_is_signed_must_say_that_it_is_an_image_signature() {
    for kind in [
        "atomic container signature",
        "Cosign container image signature",
        "cosign container image signature ",
        "",
    ] {
        let text = payload_of(MANIFEST, kind).to_string();
        refused(text.as_bytes(), "has critical.type");
    }
    let mut value = payload_of(MANIFEST, "cosign container image signature");
    let digest = Digest::of(MANIFEST).hexadecimal().to_owned();
    for text in [
        digest.clone(),
        format!("SHA256:{digest}"),
        format!("sha256:{}", digest.to_uppercase()),
        format!("sha256:{digest} "),
        format!("sha512:{digest}{digest}"),
    ] {
        value["critical"]["image"]["docker-manifest-digest"] = text.into();
        refused(value.to_string().as_bytes(), "no digest by sha256");
    }
    value["critical"]["image"] = json!({});
    refused(value.to_string().as_bytes(), "cannot be read");
    refused(b"{}", "cannot be read");
    let honest = String::from_utf8(payload(MANIFEST)).unwrap();
    let twice = honest.replacen("\"critical\"", "\"critical\":{},\"critical\"", 1);
    refused(twice.as_bytes(), "\"critical\" is given twice");
    let long = format!("{honest}{}", " ".repeat(256 << 10));
    refused(long.as_bytes(), "the limit is 262144");
}

#[test]
fn a_signature_is_over_exactly_these_bytes() {
    let (person, signed) = signed_by_key();
    let mut spaced = signed.clone();
    spaced.payload.push(b' ');
    assert!(
        judged(&candidate(&spaced, None), &[person.key()])
            .verified_by
            .is_empty()
    );
    let statement = person.attest(&statement(COSIGN_SIGN, &json!({})));
    let mut moved = signed.clone();
    moved.signature = statement.signature;
    assert!(
        judged(&candidate(&moved, None), &[person.key()])
            .verified_by
            .is_empty()
    );
    let with = |text: Option<&str>| {
        let mut annotations = Annotations::new();
        annotations.extend(text.map(|text| (SIGNATURE.to_owned(), text.to_owned())));
        let payload = Arc::new(signed.payload.clone());
        let candidate = Candidate::LegacySignature {
            payload,
            annotations,
        };
        judged(&candidate, &[person.key()])
    };
    assert!(problem(&with(None)).contains("has no annotation dev.cosignproject.cosign/signature"));
    assert!(problem(&with(Some("%"))).contains("not base64"));
    assert!(with(Some("")).verified_by.is_empty());
    assert!(with(Some("AAAA")).verified_by.is_empty());
}

#[test]
fn attestations_are_read_as_those_of_bundles_are() {
    let person = Person::with_key();
    let signed = person.attest(&statement(SPDX, &bill()));
    let found = judged(&candidate(&signed, None), &[person.key()]);
    assert_eq!(found.carrier, Carrier::LegacyAttestation);
    assert!(matches!(found.content, Content::Sbom(_)), "{found:?}");
    assert_eq!(found.verified_by.len(), 1);
    assert_eq!(found.subjects, [Digest::of(MANIFEST)]);
    // The older tag for attestations is no way to sign an image but by cosign's own statement.
    let sign = person.attest(&statement(COSIGN_SIGN, &json!({})));
    let found = judged(&candidate(&sign, None), &[person.key()]);
    assert_eq!(found.content, Content::Signature);
    let layer = |envelope: Value| Candidate::LegacyAttestation {
        envelope: Arc::new(envelope.to_string().into_bytes()),
        annotations: Annotations::new(),
    };
    let mut twice = signed.envelope_json();
    let one = twice["signatures"][0].clone();
    twice["signatures"] = json!([one, one]);
    let found = judged(&layer(twice), &[person.key()]);
    assert!(problem(&found).contains("exactly one signature, found 2"));
    let mut text = signed.envelope_json();
    text["payloadType"] = "text/plain".into();
    assert!(judged(&layer(text), &[person.key()]).verified_by.is_empty());
    assert!(problem(&judged(&layer(json!([])), &[])).contains("cannot be read"));
}

/// Both older formats, by this person, each with the entry the log would make.
fn both(sigstore: &Sigstore, person: &Person) -> [(Signed, Entry); 2] {
    let statement = statement(SPDX, &bill());
    [person.sign(&payload(MANIFEST)), person.attest(&statement)].map(|signed| {
        let entry = sigstore.entry(&signed);
        (signed, entry)
    })
}

#[test]
fn a_certificate_counts_with_the_entry_that_says_when_it_was_used() {
    let sigstore = Sigstore::new();
    let person = sigstore.person();
    for (signed, entry) in both(&sigstore, &person) {
        let found = judged(&candidate(&signed, Some(&entry)), &[sigstore.anchor()]);
        assert_eq!(found.failures.len(), 0, "{found:?}");
        let verified = found.verified_by.first().unwrap();
        let By::Identity(identity) = &verified.signer else {
            panic!("{verified:?}")
        };
        assert_eq!((&*identity.issuer, &*identity.subject), (ISSUER, SUBJECT));
        assert!(verified.logged);
        assert_eq!(verified.times[0].as_second(), SIGNED_AT);
        assert_eq!(found.subjects, [Digest::of(MANIFEST)]);
        let failure = |candidate: &Candidate, anchor: Anchor| {
            let found = judged(candidate, &[anchor]);
            assert!(found.verified_by.is_empty(), "{found:?}");
            found.failures.into_values().next().unwrap_or_default()
        };
        let bare = failure(&candidate(&signed, None), sigstore.anchor());
        assert!(!bare.is_empty(), "without an entry nobody knows when");
        let elsewhere = failure(&candidate(&signed, Some(&entry)), Sigstore::new().anchor());
        assert!(!elsewhere.is_empty(), "another root");
        let mut unknown = signed.clone();
        unknown.certificate = Some(b"none".to_vec());
        failure(&candidate(&unknown, Some(&entry)), sigstore.anchor());
        // The key in a certificate is no managed key.
        let found = judged(&candidate(&signed, Some(&entry)), &[person.key()]);
        assert!(found.verified_by.is_empty());
    }
}

#[test]
fn a_managed_key_needs_no_entry_and_gains_by_one_only_under_a_root() {
    let sigstore = Sigstore::new();
    let person = Person::with_key();
    let anchors = [person.key(), sigstore.anchor_of(&person)];
    for (signed, entry) in both(&sigstore, &person) {
        let found = judged(&candidate(&signed, Some(&entry)), &anchors);
        assert_eq!(found.verified_by.len(), 2, "{found:?}");
        let logged = found.verified_by.iter().find(|verified| verified.logged);
        let logged = logged.unwrap();
        assert_eq!(logged.times[0].as_second(), SIGNED_AT);
        let found = judged(&candidate(&signed, None), &anchors);
        assert_eq!(found.verified_by.len(), 2);
        assert!(!found.verified_by.iter().any(|verified| verified.logged));
    }
}

#[test]
fn an_entry_that_cannot_be_bound_is_refused_in_words_and_never_skipped() {
    let sigstore = Sigstore::new();
    for person in [Person::with_key(), sigstore.person()] {
        let anchors = [sigstore.anchor(), sigstore.anchor_of(&person)];
        let [_, (signed, _)] = both(&sigstore, &person);
        let hash = Digest::of(signed.envelope_json().to_string().as_bytes());
        let spec = json!({
            "content": {"hash": {"algorithm": "sha256", "value": hash.hexadecimal()}},
            "publicKey": STANDARD.encode(&signed.verifier),
        });
        for (kind, words) in [
            (
                ("intoto", "0.0.1"),
                "intoto 0.0.1, which names no signature",
            ),
            (
                ("rekord", "0.0.1"),
                "unsupported Rekor entry format: rekord/0.0.1",
            ),
        ] {
            let entry = sigstore.entry_of(kind, &spec);
            let found = judged(&candidate(&signed, Some(&entry)), &anchors);
            assert!(found.verified_by.is_empty(), "{found:?}");
            let failure = found.failures.values().next().unwrap();
            assert!(failure.contains(words), "{failure}");
        }
    }
}

#[test]
fn annotations_that_cannot_be_read_count_against_whoever_needs_them() {
    let sigstore = Sigstore::new();
    let person = Person::with_key();
    let (signed, entry) = both(&sigstore, &person)[0].clone();
    let honest = entry.in_annotation().to_string();
    let spoil = |from: &str, to: &str| honest.replacen(from, to, 1);
    for text in [
        "{}".to_owned(),
        spoil("{", "{\"Payload\":{},"),
        spoil("\"logID\":\"", "\"logID\":\"g"),
        spoil("\"body\":\"", "\"body\":\"%"),
        spoil("\"integratedTime\":", "\"integratedTime\":9"),
        spoil(
            "\"SignedEntryTimestamp\":\"",
            "\"SignedEntryTimestamp\":\"%",
        ),
    ] {
        let mut candidate = candidate(&signed, None);
        let Candidate::LegacySignature { annotations, .. } = &mut candidate else {
            panic!("{candidate:?}")
        };
        annotations.insert(LOG_ENTRY.into(), text.clone());
        let found = judged(&candidate, &[sigstore.anchor_of(&person)]);
        assert!(found.verified_by.is_empty(), "{text}");
        assert_eq!(found.failures.len(), 1, "{text}");
        let found = judged(&candidate, &[person.key()]);
        assert_eq!(found.verified_by.len(), 1, "a key alone asks for no log");
    }
}

#[test]
fn only_what_is_looked_at_is_kept_of_annotations() {
    let all = [SIGNATURE, CERTIFICATE, LOG_ENTRY, "org.example/note"];
    let all = all.map(|key| (key.to_owned(), String::new()));
    let kept = judged_annotations(all.into());
    assert_eq!(kept.len(), 3);
    assert!(!kept.contains_key("org.example/note"));
}

fn data(name: &str) -> Vec<u8> {
    let root = env!("CARGO_MANIFEST_DIR");
    std::fs::read(format!("{root}/test_data/cosign-3.1.3-legacy/{name}")).unwrap()
}

/// As cosign 3.1.3 wrote them with `--new-bundle-format=false`, without a log.
#[test]
fn older_formats_of_cosign_verify_and_are_understood() {
    let manifest = data("manifest.json");
    let digest = Digest::of(&manifest);
    let subject = Subject::new(&digest, &manifest).unwrap();
    let key = parse_key(std::str::from_utf8(&data("cosign.pub")).unwrap()).unwrap();
    let trust = Trust::new(&[Anchor::of_key(key)]);
    let layers = |name: &str| -> Vec<Annotations> {
        let manifest: Value = serde_json::from_slice(&data(name)).unwrap();
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers
            .map(|layer| serde_json::from_value(layer["annotations"].clone()).unwrap())
            .collect()
    };
    let payload = Candidate::LegacySignature {
        payload: Arc::new(data("payload.json")),
        annotations: layers("sig.json").remove(0),
    };
    let found = payload.judge(&subject, &trust);
    assert_eq!(found.content, Content::Signature, "{found:?}");
    let envelopes = ["spdx.json", "custom.json"].into_iter();
    let envelopes = envelopes
        .zip(layers("att.json"))
        .map(|(name, annotations)| {
            let envelope = Arc::new(data(name));
            Candidate::LegacyAttestation {
                envelope,
                annotations,
            }
        });
    let envelopes: Vec<_> = envelopes.map(|one| one.judge(&subject, &trust)).collect();
    assert!(
        matches!(envelopes[0].content, Content::Sbom(_)),
        "{envelopes:?}"
    );
    let custom = "https://example.com/custom/v1";
    assert!(
        matches!(&envelopes[1].content, Content::Custom { predicate, value: Ok(_) } if predicate == custom),
        "{envelopes:?}"
    );
    for found in envelopes.iter().chain([&found]) {
        assert_eq!(found.verified_by.len(), 1, "{found:?}");
        assert_eq!(found.subjects, std::slice::from_ref(&digest));
    }
}

/// Beside an envelope that cosign signed with a key: this timestamp, which a real authority gave.
fn stamped(vector: &Vector, stamp: &Value) -> Candidate {
    let envelope = vector.value()["dsseEnvelope"].to_string();
    let annotation = json!({"SignedRFC3161Timestamp": stamp}).to_string();
    let stamp = (
        "dev.sigstore.cosign/rfc3161timestamp".to_owned(),
        annotation,
    );
    Candidate::LegacyAttestation {
        envelope: Arc::new(envelope.into_bytes()),
        annotations: [(SIGNATURE.to_owned(), String::new()), stamp].into(),
    }
}

/// The token in a bundle.
fn stamp(vector: &Vector) -> Value {
    let stamps = &vector.value()["verificationMaterial"]["timestampVerificationData"];
    stamps["rfc3161Timestamps"][0]["signedTimestamp"].clone()
}

/// A broken one, and one over another signature, are never taken for an absent one.
#[test]
fn a_timestamp_says_when_a_signature_was_made_and_must_be_over_that_one() {
    let signed = named("key-sign");
    let anchor = Anchor {
        key: Some(vectors::key()),
        root: Some(vectors::root()),
    };
    let found = judged(
        &stamped(signed, &stamp(signed)),
        std::slice::from_ref(&anchor),
    );
    let verified = found.verified_by.first().expect("it verifies");
    assert_eq!(verified.times, [signed.time.parse().unwrap()]);
    assert!(!verified.logged && found.failures.is_empty(), "{found:?}");
    let mut broken = STANDARD.decode(stamp(signed).as_str().unwrap()).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    for wrong in [
        stamp(named("key-slsa-provenance")),
        stamp(named("ci-sign")),
        STANDARD.encode(broken).into(),
        "".into(),
        "AAAA".into(),
    ] {
        let found = judged(&stamped(signed, &wrong), std::slice::from_ref(&anchor));
        assert_eq!(found.verified_by, [].into(), "{wrong}");
        assert_eq!(found.failures.len(), 1, "{found:?}");
    }
    // Without a root nobody looks at it.
    let alone = Anchor::of_key(vectors::key());
    let found = judged(&stamped(signed, &"AAAA".into()), &[alone]);
    assert_eq!(found.verified_by.len(), 1, "{found:?}");
}
