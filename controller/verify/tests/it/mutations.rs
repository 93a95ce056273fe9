//! Real bundles, changed in one place each: what is not exactly what was signed, logged and stamped
//! proves nothing under the root.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{Content, Verified};
use serde_json::{Value, json};

use crate::changing::{ENTRY, STAMP, at, flip, proves_nothing, replace_within, signature};
use crate::vectors::{
    ALL, ROOT, Who, judged, key, key_alone, keyed, keyless, logged, named, under,
};

type Change = (&'static str, fn(&mut Value));

/// What was signed.
const SIGNED_PARTS: [Change; 4] = [
    ("a flipped signature", |bundle| {
        flip(bundle, signature(bundle), -1);
    }),
    ("a shorter signature", |bundle| {
        let pointer = signature(bundle);
        let bytes = STANDARD
            .decode(at(bundle, pointer).as_str().unwrap())
            .unwrap();
        *at(bundle, pointer) = STANDARD.encode(&bytes[..bytes.len() - 1]).into();
    }),
    ("no signature", |bundle| {
        *at(bundle, signature(bundle)) = "".into();
    }),
    ("another payload", |bundle| {
        if bundle.get("dsseEnvelope").is_some() {
            replace_within(bundle, "/dsseEnvelope/payload", "{", "{ ");
        } else {
            flip(bundle, "/messageSignature/messageDigest/digest", 0);
        }
    }),
];

/// What proves the time and the log; a managed key alone does not look at it.
const PROOFS: [Change; 15] = [
    ("a flipped proof hash", |bundle| {
        // The first entry of a log has no hashes: then one too many.
        if bundle
            .pointer(&format!("{ENTRY}/inclusionProof/hashes/0"))
            .is_some()
        {
            flip(bundle, &format!("{ENTRY}/inclusionProof/hashes/0"), 5);
        } else {
            let hash = STANDARD.encode([7; 32]);
            at(bundle, ENTRY)["inclusionProof"]["hashes"] = json!([hash]);
        }
    }),
    ("a proof hash more", |bundle| {
        let hash = STANDARD.encode([7; 32]);
        let proof = &mut at(bundle, ENTRY)["inclusionProof"];
        let mut hashes = proof["hashes"].as_array().cloned().unwrap_or_default();
        hashes.push(hash.into());
        proof["hashes"] = hashes.into();
    }),
    ("another log index", |bundle| {
        at(bundle, ENTRY)["logIndex"] = "1000".into();
    }),
    ("another log", |bundle| {
        flip(bundle, &format!("{ENTRY}/logId/keyId"), -1);
    }),
    ("no log id", |bundle| {
        *at(bundle, &format!("{ENTRY}/logId/keyId")) = "".into();
    }),
    ("an entry of version 1", |bundle| {
        at(bundle, ENTRY)["kindVersion"]["version"] = "0.0.1".into();
    }),
    ("an entry of another kind", |bundle| {
        at(bundle, ENTRY)["kindVersion"] = json!({"kind": "intoto", "version": "0.0.1"});
    }),
    ("a changed entry", |bundle| {
        let body = format!("{ENTRY}/canonicalizedBody");
        replace_within(bundle, &body, "0.0.2", "0.0.2 ");
    }),
    ("another size in the checkpoint", |bundle| {
        let text = at(
            bundle,
            &format!("{ENTRY}/inclusionProof/checkpoint/envelope"),
        );
        let mut lines: Vec<_> = text.as_str().unwrap().split('\n').collect();
        lines[1] = "4000";
        *text = lines.join("\n").into();
    }),
    ("a flipped signature of the checkpoint", |bundle| {
        let text = at(
            bundle,
            &format!("{ENTRY}/inclusionProof/checkpoint/envelope"),
        );
        let envelope = text.as_str().unwrap();
        let (head, last) = envelope.trim_end().rsplit_once(' ').unwrap();
        let mut bytes = STANDARD.decode(last).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        *text = format!("{head} {}\n", STANDARD.encode(bytes)).into();
    }),
    ("no inclusion proof", |bundle| {
        at(bundle, ENTRY)
            .as_object_mut()
            .unwrap()
            .remove("inclusionProof");
    }),
    ("an invented promise beside the proof", |bundle| {
        let promise = json!({"signedEntryTimestamp": STANDARD.encode([7; 70])});
        at(bundle, ENTRY)["inclusionPromise"] = promise;
    }),
    ("a flipped timestamp", |bundle| flip(bundle, STAMP, -1)),
    ("another time in the timestamp", |bundle| {
        let stamp = at(bundle, STAMP);
        let mut bytes = STANDARD.decode(stamp.as_str().unwrap()).unwrap();
        let year = bytes.windows(4).position(|four| four == b"2026").unwrap();
        bytes[year + 3] = b'5';
        *stamp = STANDARD.encode(bytes).into();
    }),
    ("no token in the timestamp", |bundle| {
        *at(bundle, STAMP) = "MAMCAQA=".into();
    }),
];

#[test]
fn a_change_of_what_was_signed_takes_everything() {
    let (trust, alone) = (under(ROOT), key_alone());
    for vector in &ALL {
        for (what, change) in SIGNED_PARTS {
            let mut bundle = vector.value();
            change(&mut bundle);
            proves_nothing(what, vector, &bundle, &trust);
            proves_nothing(what, vector, &bundle, &alone);
        }
    }
}

/// What is broken is never taken for what is not there: under a root, a managed key with a broken log
/// entry or timestamp does not count, though it would without any. Without a root, nobody looks.
#[test]
fn a_change_of_a_proof_takes_all_that_rests_on_the_root() {
    let (trust, alone) = (under(ROOT), key_alone());
    for vector in logged() {
        for (what, change) in PROOFS {
            let mut bundle = vector.value();
            change(&mut bundle);
            let judged_under = proves_nothing(what, vector, &bundle, &trust);
            assert_eq!(
                judged_under.failures.len(),
                1,
                "{} with {what}",
                vector.name
            );
            let judged_alone = judged(&bundle, &alone);
            let by_key = (vector.who == Who::Key).then(|| Verified::by_key(key().id));
            let by_key: BTreeSet<_> = by_key.into_iter().collect();
            assert_eq!(
                judged_alone.verified_by, by_key,
                "{} with {what}",
                vector.name
            );
        }
    }
}

#[test]
fn a_flipped_certificate_is_nobodys() {
    let trust = under(ROOT);
    for vector in keyless() {
        for place in [4, 40, 300, 500, -100, -1] {
            let mut bundle = vector.value();
            flip(
                &mut bundle,
                "/verificationMaterial/certificate/rawBytes",
                place,
            );
            proves_nothing("a flipped certificate", vector, &bundle, &trust);
        }
    }
}

/// Log entry, timestamp and certificate of one bundle in another: each is good where it came from.
#[test]
fn nothing_of_another_bundle_counts() {
    let trust = under(ROOT);
    let parts = [
        "/verificationMaterial/tlogEntries",
        "/verificationMaterial/timestampVerificationData",
        "/verificationMaterial/certificate",
        "/verificationMaterial",
    ];
    for into in &ALL {
        for from in ALL.iter().filter(|from| from.name != into.name) {
            for part in parts {
                let (mut bundle, other) = (into.value(), from.value());
                let (Some(place), Some(other)) = (bundle.pointer_mut(part), other.pointer(part))
                else {
                    continue;
                };
                *place = other.clone();
                let what = format!("{part} of {}", from.name);
                proves_nothing(&what, into, &bundle, &trust);
            }
        }
    }
}

/// The entry of one signature of a key does not prove another one, over the same bytes.
#[test]
fn an_entry_added_to_a_signature_that_was_never_logged_proves_nothing() {
    let trust = under(ROOT);
    for who in ["person", "key"] {
        let mut bundle = named(&format!("{who}-message-timestamp-only")).value();
        let logged = named(&format!("{who}-message"));
        bundle["verificationMaterial"]["tlogEntries"] =
            logged.value()["verificationMaterial"]["tlogEntries"].clone();
        proves_nothing("an entry added", logged, &bundle, &trust);
    }
}

/// Of an ECDSA signature anybody can make a second valid one, with n - s for s.
#[test]
fn the_other_form_of_a_signature_was_neither_logged_nor_stamped() {
    let (trust, alone) = (under(ROOT), key_alone());
    for vector in logged() {
        let mut bundle = vector.value();
        let pointer = signature(&bundle);
        let text = at(&mut bundle, pointer);
        let twin = other_form(&STANDARD.decode(text.as_str().unwrap()).unwrap());
        *text = STANDARD.encode(twin).into();
        proves_nothing("the other form", vector, &bundle, &trust);
        let by_key = usize::from(vector.who == Who::Key);
        let judged = judged(&bundle, &alone);
        assert_eq!(
            judged.verified_by.len(),
            by_key,
            "it is valid: {}",
            vector.name
        );
    }
}

/// Order of P-256 (SEC 2, section 2.4.2).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// `SEQUENCE { INTEGER r, INTEGER s }` with n - s for s.
fn other_form(der: &[u8]) -> Vec<u8> {
    let r_end = 4 + usize::from(der[3]);
    let (r, s) = (&der[2..r_end], &der[r_end + 2..]);
    let mut padded = [0; 32];
    let s = s.strip_prefix(&[0]).unwrap_or(s);
    padded[32 - s.len()..].copy_from_slice(s);
    let mut difference = [0; 33];
    let mut borrow = 0_i16;
    for place in (0..32).rev() {
        let digit = i16::from(ORDER[place]) - i16::from(padded[place]) - borrow;
        borrow = i16::from(digit < 0);
        difference[place + 1] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    // A positive integer begins with a zero byte only where the next one would make it negative.
    let start = difference.iter().position(|byte| *byte != 0).unwrap();
    let start = start - usize::from(difference[start] >= 0x80);
    let s = &difference[start..];
    let body = [r, &[2, u8::try_from(s.len()).unwrap()], s].concat();
    [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

#[test]
fn a_certificate_needs_both_a_log_entry_and_a_timestamp() {
    let trust = under(ROOT);
    for vector in keyless() {
        for part in ["tlogEntries", "timestampVerificationData"] {
            for removed in [true, false] {
                let mut bundle = vector.value();
                let material = bundle["verificationMaterial"].as_object_mut().unwrap();
                if removed {
                    material.remove(part);
                } else {
                    material[part] = if part == "tlogEntries" {
                        json!([])
                    } else {
                        json!({})
                    };
                }
                proves_nothing(&format!("no {part}"), vector, &bundle, &trust);
            }
        }
    }
}

/// What is not there proves nothing, and for a managed key it may be absent: then the authority's
/// `requireTransparencyLog` and the validity of its keys decide, in the core.
#[test]
fn a_managed_key_is_logged_only_with_an_entry_and_timed_only_with_a_timestamp() {
    let trust = under(ROOT);
    for vector in keyed() {
        for (without_entry, without_stamp) in [(true, false), (false, true), (true, true)] {
            let mut bundle = vector.value();
            let material = bundle["verificationMaterial"].as_object_mut().unwrap();
            if without_entry {
                material.remove("tlogEntries");
            }
            if without_stamp {
                material.remove("timestampVerificationData");
            }
            let mut expected = vector.proves().unwrap();
            expected.logged &= !without_entry;
            if without_stamp {
                expected.times.clear();
            }
            let judged = judged(&bundle, &trust);
            assert_eq!(judged.verified_by, [expected].into(), "{}", vector.name);
        }
    }
}

#[test]
fn one_key_or_one_certificate() {
    let trust = under(ROOT);
    let hint = named("key-sign").value()["verificationMaterial"]["publicKey"].clone();
    for vector in keyless() {
        let mut both = vector.value();
        both["verificationMaterial"]["publicKey"] = hint.clone();
        let judged = proves_nothing("a key too", vector, &both, &trust);
        assert!(matches!(judged.content, Content::Unreadable { .. }));

        let one = both["verificationMaterial"]["certificate"].clone();
        let chain = json!({"certificates": [one, one]});
        let mut two = vector.value();
        two["verificationMaterial"]["x509CertificateChain"] = chain.clone();
        proves_nothing("a chain too", vector, &two, &trust);
        let material = two["verificationMaterial"].as_object_mut().unwrap();
        material.remove("certificate");
        proves_nothing("a chain", vector, &two, &trust);
    }
    for vector in keyed() {
        let mut both = vector.value();
        both["verificationMaterial"]["certificate"] =
            named("person-sign").value()["verificationMaterial"]["certificate"].clone();
        for trust in [&trust, &key_alone()] {
            proves_nothing("a certificate too", vector, &both, trust);
        }
    }
}

/// The media type is not signed, and older versions ask for less.
#[test]
fn a_bundle_is_not_relabelled_as_an_older_one() {
    let (trust, alone) = (under(ROOT), key_alone());
    for vector in &ALL {
        for version in ["0.1", "0.2"] {
            let mut bundle = vector.value();
            bundle["mediaType"] =
                format!("application/vnd.dev.sigstore.bundle+json;version={version}").into();
            for trust in [&trust, &alone] {
                let judged = proves_nothing(version, vector, &bundle, trust);
                let Content::Unreadable { problem, .. } = judged.content else {
                    panic!("{} as {version} is read", vector.name)
                };
                assert!(
                    problem.contains("only version 0.3 is accepted"),
                    "{problem}"
                );
            }
        }
    }
}

/// Each leaf of `value`, by its pointer.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                leaves(member, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                leaves(item, &format!("{pointer}/{place}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(pointer.to_owned());
        }
    }
}

/// The leaf with one thing wrong with it, in several ways.
fn wrong(leaf: &Value) -> Vec<Value> {
    let text = leaf.as_str().unwrap();
    let number: Option<u64> = text.parse().ok();
    match (number, STANDARD.decode(text)) {
        (Some(number), _) => vec![(number + 1).to_string().into()],
        (None, Ok(bytes)) if bytes.len() >= 8 => {
            let places = [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1];
            let flipped = places.map(|place| {
                let mut bytes = bytes.clone();
                bytes[place] ^= 1;
                STANDARD.encode(bytes).into()
            });
            flipped.into()
        }
        (None, _) => vec![format!("{text}x").into(), format!(" {text}").into()],
    }
}

/// What may be wrong in a bundle without anybody noticing: nothing that anything rests on.
#[test]
fn every_word_of_a_bundle_is_bound_but_for_these() {
    let unbound_in_entry = [
        "inclusionProof/logIndex",
        "inclusionProof/rootHash",
        "inclusionProof/treeSize",
    ];
    let trust = under(ROOT);
    for name in ["person-sign", "ci-message", "key-sign", "key-message"] {
        let vector = named(name);
        let mut expected: BTreeSet<_> = unbound_in_entry
            .map(|leaf| format!("{ENTRY}/{leaf}"))
            .into();
        if vector.who == Who::Key {
            expected.insert("/verificationMaterial/publicKey/hint".to_owned());
        }
        let mut all = Vec::new();
        leaves(&vector.value(), "", &mut all);
        assert!(all.len() > 12, "{all:?}");
        let mut unbound = BTreeSet::new();
        for pointer in all {
            let honest = vector.value();
            for wrong in wrong(honest.pointer(&pointer).unwrap()) {
                let mut bundle = honest.clone();
                *at(&mut bundle, &pointer) = wrong;
                let judged = judged(&bundle, &trust);
                if !judged.verified_by.is_empty() {
                    let same = vector.proves().into_iter().collect();
                    assert_eq!(judged.verified_by, same, "{name}: {pointer}");
                    unbound.insert(pointer.clone());
                }
            }
        }
        assert_eq!(unbound, expected, "{name}");
    }
}
