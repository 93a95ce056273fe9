//! What real bundles prove unchanged: who signed, when, and whether it is in a log.

use lockmaster_core::evidence::{Content, Verified};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Detached, PUBLIC_GOOD_ROOT, judge_detached};

use crate::vectors::{ALL, ROOT, SIGNED, Who, judged, key, key_alone, under};

#[test]
fn real_bundles_prove_signer_time_and_log() {
    let trust = under(ROOT);
    for vector in &ALL {
        let judged = judged(&vector.value(), &trust);
        let expected = vector.proves();
        assert_eq!(
            judged.failures.len(),
            usize::from(expected.is_none()),
            "{}: {:?}",
            vector.name,
            judged.failures
        );
        let expected = expected.into_iter().collect();
        assert_eq!(judged.verified_by, expected, "{}", vector.name);
        let hint = (vector.who == Who::Key).then(|| key().id);
        assert_eq!(judged.key_hint, hint, "{}", vector.name);
    }
}

#[test]
fn real_bundles_say_what_they_say() {
    let trust = under(ROOT);
    for vector in ALL.iter().filter(|vector| vector.proves().is_some()) {
        let judged = judged(&vector.value(), &trust);
        assert_eq!(
            judged.subjects,
            [Digest::of(SIGNED.as_bytes())],
            "{}",
            vector.name
        );
        match (vector.name.ends_with("provenance"), judged.content) {
            (false, Content::Signature) => {}
            (true, Content::Provenance(provenance)) => {
                assert_eq!(provenance.repository, "https://github.com/acme/shop");
                assert_eq!(provenance.reference, "refs/tags/v1.4.0");
                assert_eq!(provenance.commit, "1".repeat(40));
            }
            (_, content) => panic!("{}: {content:?}", vector.name),
        }
    }
}

/// A managed key alone says who, and nothing of the time; a certificate without a root says nothing.
#[test]
fn without_a_root_only_the_managed_key_counts() {
    let trust = key_alone();
    for vector in &ALL {
        let judged = judged(&vector.value(), &trust);
        let by_key = (vector.who == Who::Key).then(|| Verified::by_key(key().id));
        assert_eq!(
            judged.verified_by,
            by_key.into_iter().collect(),
            "{}",
            vector.name
        );
        assert!(judged.failures.is_empty(), "{}", vector.name);
    }
}

#[test]
fn under_the_public_root_a_private_instance_proves_nothing() {
    let trust = under(PUBLIC_GOOD_ROOT);
    for vector in &ALL {
        let judged = judged(&vector.value(), &trust);
        assert!(judged.verified_by.is_empty(), "{}: {judged:?}", vector.name);
        assert_eq!(judged.failures.len(), 1, "{} says why", vector.name);
    }
}

/// `judge_detached` is the same judge for files.
#[test]
fn a_file_and_its_digest_are_judged_alike() {
    let (trust, digest) = (under(ROOT), Digest::of(SIGNED.as_bytes()).sha256());
    let other = Digest::of(b"another file").sha256();
    for vector in &ALL {
        let bundle = vector.text.as_bytes();
        let expected = vector.proves().map(|verified| [verified].into());
        let by_bytes = judge_detached(bundle, Detached::Bytes(SIGNED.as_bytes()), &trust);
        assert_eq!(by_bytes.ok(), expected, "{}", vector.name);
        let by_digest = judge_detached(bundle, Detached::Sha256(digest), &trust);
        assert_eq!(by_digest.ok(), expected, "{}", vector.name);
        for wrong in [Detached::Bytes(b"another file"), Detached::Sha256(other)] {
            let refused = judge_detached(bundle, wrong, &trust);
            assert!(refused.is_err(), "{}: {refused:?}", vector.name);
        }
    }
}
