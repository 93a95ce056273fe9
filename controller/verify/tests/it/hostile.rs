//! Whatever the bytes are: no panic, and no signature that was not made.

use lockmaster_core::evidence::{COSIGN_SIGN, Content, SPDX};
use lockmaster_verify::{BUNDLE_LIMIT, parse_key};
use proptest::prelude::*;
use serde_json::json;

use crate::signing::{MANIFEST, Signer, judge_bytes, statement};

thread_local! {
    static SIGNER: Signer = Signer::p256();
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
    fn keys_never_panic(text in "(-----BEGIN PUBLIC KEY-----\n)?[A-Za-z0-9+/=\n]{0,200}.{0,40}") {
        let _ = parse_key(&text);
    }
}

#[test]
fn a_bundle_beyond_the_limit_is_not_parsed() {
    let judged = judge_bytes(&vec![b' '; BUNDLE_LIMIT + 1], &[]);
    let Content::Unreadable { problem, .. } = judged.content else {
        panic!()
    };
    assert!(
        problem.contains("has 16777217 bytes, the limit is 16777216"),
        "{problem}"
    );
}
