//! Whatever the bytes are: no panic, and no signature that was not made.

use std::sync::Arc;

use lockmaster_core::evidence::{
    Anchor, CHANGE, CHECKS, COSIGN_SIGN, COSIGN_VULN, Content, NOT_APPLICABLE, OPENVEX,
    SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1, SLSA_VSA, SPDX, TAGGED_RELEASE,
};
use lockmaster_verify::{Annotations, Candidate, SBOM_CEILING, parse_key};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::examples::example;
use crate::legacy::{candidate, judged, payload};
use crate::signing::{MANIFEST, Signer, judge_bytes, statement};
use crate::sigstore::{Person, Sigstore};
use crate::{provenance, scans, verdicts, vex};

thread_local! {
    static SIGNER: Signer = Signer::p256();
    static OLDER: Older = Older::new();
}

/// Both older formats, signed with a key and with a certificate, each with its log entry.
struct Older {
    anchors: Vec<Anchor>,
    candidates: Vec<Candidate>,
}

impl Older {
    fn new() -> Self {
        let sigstore = Sigstore::new();
        let (holder, person) = (Person::with_key(), sigstore.person());
        let mut candidates = Vec::new();
        for one in [&holder, &person] {
            let statement = statement(COSIGN_SIGN, &json!({}));
            for signed in [one.sign(&payload(MANIFEST)), one.attest(&statement)] {
                candidates.push(candidate(&signed, Some(&sigstore.entry(&signed))));
            }
        }
        let anchors = vec![sigstore.anchor(), sigstore.anchor_of(&holder), holder.key()];
        Self {
            anchors,
            candidates,
        }
    }
}

/// Its parts: what is signed, and the annotations.
fn parts(candidate: &mut Candidate) -> (&mut Arc<Vec<u8>>, &mut Annotations) {
    match candidate {
        Candidate::LegacySignature {
            payload,
            annotations,
        } => (payload, annotations),
        Candidate::LegacyAttestation {
            envelope,
            annotations,
        } => (envelope, annotations),
        Candidate::Bundle(_) => panic!("no older format"),
    }
}

fn bundles(signer: &Signer) -> Vec<Vec<u8>> {
    let spdx = json!({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "packages": []});
    [
        signer.message(MANIFEST),
        signer.attest(&statement(COSIGN_SIGN, &json!({}))),
        signer.attest(&statement(SPDX, &spdx)),
    ]
    .iter()
    .map(|bundle| bundle.to_string().into_bytes())
    .collect()
}

/// A good predicate of every type that is read.
fn predicates() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        (SLSA_PROVENANCE_V1, provenance::community()),
        (SLSA_PROVENANCE_V1, provenance::cloud_build()),
        (SLSA_PROVENANCE_V0_2, provenance::v0_2()),
        (COSIGN_VULN, scans::frame(&scans::trivy())),
        (COSIGN_VULN, scans::frame(&scans::grype())),
        (COSIGN_VULN, scans::frame(&scans::sarif())),
        (OPENVEX, vex::document()),
        (SLSA_VSA, verdicts::summary()),
    ];
    all.extend([CHANGE, CHECKS, TAGGED_RELEASE, NOT_APPLICABLE].map(|kind| (kind, example(kind))));
    all
}

/// Whatever was put in the place of one part of a predicate, by its number in the document.
fn put(value: &mut Value, place: &mut usize, new: &Value) {
    if *place == 0 {
        *value = new.clone();
        *place = usize::MAX;
        return;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, place, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put(field, place, new)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Values that readers may not expect where they stand.
fn strange() -> Vec<Value> {
    let deep = (0..20).fold(json!(1), |inner, _| json!({"a": [inner]}));
    vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("\u{0}\u{202e}\u{1f512}"),
        json!("x".repeat(10_000)),
        json!([]),
        json!({}),
        json!([[], {}]),
        json!(vec![json!({}); 600]),
        deep,
    ]
}

/// Every part of every predicate, replaced by every strange value: a fact or a problem, in no time.
#[test]
fn strange_values_anywhere_are_facts_or_problems() {
    let start = std::time::Instant::now();
    let mut judged = 0;
    SIGNER.with(|signer| {
        for (kind, good) in predicates() {
            let mut parts = usize::MAX - 1;
            let count = {
                put(&mut good.clone(), &mut parts, &Value::Null);
                usize::MAX - 1 - parts
            };
            for (place, new) in (0..count).flat_map(|p| strange().into_iter().map(move |n| (p, n)))
            {
                let mut predicate = good.clone();
                put(&mut predicate, &mut place.clone(), &new);
                // The signature is of no interest here, only what is made of the content.
                let bundle = signer.envelope_unsigned(&statement(kind, &predicate));
                let found = judge_bytes(bundle.to_string().as_bytes(), &[]).content;
                assert_eq!(found.predicate_type(), Some(kind), "{predicate}");
                judged += 1;
            }
        }
    });
    assert!(judged > 2000, "only {judged}");
    assert!(
        start.elapsed().as_secs() < 120,
        "{:?} for {judged}",
        start.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn random_bytes_are_unreadable(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let judged = SIGNER.with(|signer| judge_bytes(&bytes, &[signer]));
        prop_assert!(judged.verified_by.is_empty());
        let unreadable = matches!(judged.content, Content::Unreadable { .. });
        prop_assert!(unreadable);
    }

    #[test]
    fn mutated_bundles_never_panic_and_verify_only_what_was_signed(
        which in 0_usize..3,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        SIGNER.with(|signer| {
            let mut bytes = bundles(signer).swap_remove(which);
            let honest = judge_bytes(&bytes, &[signer]);
            prop_assert_eq!(honest.verified_by.len(), 1);
            for (place, byte) in places {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let judged = judge_bytes(&bytes, &[signer]);
            if !judged.verified_by.is_empty() {
                // Only unsigned parts were hit, or a byte was replaced by itself.
                prop_assert_eq!(judged.content, honest.content);
                prop_assert_eq!(judged.subjects, honest.subjects);
            }
            Ok(())
        })?;
    }

    #[test]
    fn mutated_older_formats_never_panic_and_prove_nothing_new(
        which in 0_usize..4,
        part in 0_usize..4,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let spoil = |mut bytes: Vec<u8>| {
            for (place, byte) in &places {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
            }
            if let Some(cut) = cut.filter(|_| !bytes.is_empty()) {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        };
        OLDER.with(|older| {
            let mut candidate = older.candidates[which].clone();
            let honest = judged(&candidate, &older.anchors);
            prop_assert!(honest.verified_by.iter().any(|verified| verified.logged));
            let (bytes, annotations) = parts(&mut candidate);
            if let Some(annotation) = annotations.values_mut().nth(part) {
                let spoilt = spoil(annotation.clone().into_bytes());
                *annotation = String::from_utf8_lossy(&spoilt).into_owned();
            } else {
                *bytes = Arc::new(spoil(bytes.to_vec()));
            }
            let found = judged(&candidate, &older.anchors);
            prop_assert!(found.verified_by.is_subset(&honest.verified_by), "{:?}", found);
            if !found.verified_by.is_empty() {
                prop_assert_eq!(found.content, honest.content);
                prop_assert_eq!(found.subjects, honest.subjects);
            }
            Ok(())
        })?;
    }

    #[test]
    fn keys_never_panic(text in "(-----BEGIN PUBLIC KEY-----\n)?[A-Za-z0-9+/=\n]{0,200}.{0,40}") {
        let _ = parse_key(&text);
    }
}

#[test]
fn a_bundle_beyond_the_limit_is_not_parsed() {
    let judged = judge_bytes(&vec![b' '; SBOM_CEILING + 1], &[]);
    let Content::Unreadable { problem, .. } = judged.content else {
        panic!()
    };
    assert!(
        problem.contains("has 67108865 bytes, the limit is 67108864"),
        "{problem}"
    );
}
