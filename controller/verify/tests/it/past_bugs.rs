//! What other verifiers let through once, each under its public name. Which row of which list is
//! where: `docs/explanation/past-bugs.md`.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockmaster_core::evidence::{Anchor, COSIGN_SIGN, RootText, Verified};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Detached, PUBLIC_GOOD_ROOT, Subject, Trust, judge, judge_detached};
use serde_json::{Value, json};

use crate::changing::{ENTRY, STAMP, at, flip, proves_nothing};
use crate::log::{INTEGRATED, Log, VERSIONS, both_forms, with_entries};
use crate::signing::{MANIFEST, Signer, statement, statement_about};
use crate::sigstore::Sigstore;
use crate::vectors::{self, ALL, ROOT, judged, keyed, keyless, logged, named, under};

const OTHER: &[u8] = br#"{"schemaVersion":2,"config":{},"layers":[{}]}"#;

/// A managed key and a log that is trusted for it.
struct Setting {
    signer: Signer,
    log: Log,
    trust: Trust,
}

impl Setting {
    fn new() -> Self {
        let (signer, log) = (Signer::p256(), Log::new());
        let anchor = Anchor {
            key: Some(signer.public.clone()),
            root: Some(RootText::new(&Log::root(&[&log]))),
        };
        let trust = Trust::new(&[anchor]);
        Self { signer, log, trust }
    }

    fn entry(&self, bundle: &Value) -> Value {
        self.log.entry(bundle, &self.signer, INTEGRATED)
    }

    /// What the bundle proves about the manifest. Of a version that comes from registries, both ways
    /// to ask must agree; older versions are refused from there.
    #[track_caller]
    fn proves(&self, bundle: &Value) -> BTreeSet<Verified> {
        let bytes = bundle.to_string();
        let by_file = judge_detached(bytes.as_bytes(), Detached::Bytes(MANIFEST), &self.trust);
        let digest = Digest::of(MANIFEST);
        let by_digest = Detached::Sha256(digest.sha256());
        let by_digest = judge_detached(bytes.as_bytes(), by_digest, &self.trust);
        let by_file = by_file.unwrap_or_default();
        assert_eq!(by_digest.unwrap_or_default(), by_file);
        let subject = Subject::new(&digest, MANIFEST).unwrap();
        let from_registry = judge(&subject, bytes.as_bytes(), &self.trust).verified_by;
        if bundle["mediaType"] == VERSIONS[2] {
            assert_eq!(from_registry, by_file);
        } else {
            assert!(from_registry.is_empty(), "an old version from a registry");
        }
        by_file
    }

    #[track_caller]
    fn proves_logged(&self, bundle: &Value) {
        let proven = self.proves(bundle);
        assert_eq!(proven.len(), 1, "{bundle}");
        let all = proven
            .iter()
            .all(|verified| verified.logged && verified.times.len() == 1);
        assert!(all, "{proven:?}");
    }

    #[track_caller]
    fn proves_nothing(&self, what: &str, bundle: &Value) {
        let proven = self.proves(bundle);
        let version = &bundle["mediaType"];
        assert!(proven.is_empty(), "{what} as {version}: {proven:?}");
    }
}

/// Entries of the same trusted log that are all in order, and none of them of this signature.
fn foreign_entries(setting: &Setting, bundle: &Value) -> Vec<(&'static str, Value)> {
    let Setting { signer, log, .. } = setting;
    let stranger = Signer::p256();
    let [message, envelope] = both_forms(signer);
    let [their_message, their_envelope] = both_forms(&stranger);
    let (again, theirs, elsewhere) = if bundle.get("dsseEnvelope").is_some() {
        let elsewhere = signer.attest(&statement_about(OTHER, COSIGN_SIGN, &json!({})));
        (envelope, their_envelope, elsewhere)
    } else {
        (message, their_message, signer.message(OTHER))
    };
    vec![
        (
            "another artifact's entry",
            log.entry(&elsewhere, signer, INTEGRATED),
        ),
        (
            "another signature's entry",
            log.entry(&again, signer, INTEGRATED),
        ),
        (
            "another key's entry",
            log.entry(&theirs, &stranger, INTEGRATED),
        ),
        (
            "an entry in another key's name",
            log.entry(bundle, &stranger, INTEGRATED),
        ),
    ]
}

#[track_caller]
fn only_its_own_entry_counts(form: usize) {
    let setting = Setting::new();
    let bundle = both_forms(&setting.signer).into_iter().nth(form).unwrap();
    let own = setting.entry(&bundle);
    for version in VERSIONS {
        setting.proves_logged(&with_entries(&bundle, version, &[&own]));
        for (what, foreign) in foreign_entries(&setting, &bundle) {
            setting.proves_nothing(what, &with_entries(&bundle, version, &[&foreign]));
        }
    }
}

/// GHSA-ccxc-vr6p-4858: cosign took any valid entry of the log for a proof that this signature was
/// logged. Message signatures, in each version of the bundle.
#[test]
fn cve_2022_23649_a_valid_entry_of_something_else_is_no_proof() {
    only_its_own_entry_counts(0);
}

/// GHSA-whqx-f9j3-ch6m: the same came back in bundles. Envelopes, in each version of the bundle.
#[test]
fn cve_2026_22703_a_valid_entry_of_something_else_is_no_proof_in_any_version() {
    only_its_own_entry_counts(1);
}

/// GHSA-8pmp-678w-c8xx: gitsign took what it liked of several entries. All of them must be this
/// signature's, in whichever order.
#[test]
fn cve_2024_51746_one_right_entry_does_not_excuse_a_wrong_one() {
    let setting = Setting::new();
    for bundle in both_forms(&setting.signer) {
        let own = setting.entry(&bundle);
        for version in VERSIONS {
            for (what, foreign) in foreign_entries(&setting, &bundle) {
                for entries in [[&own, &foreign], [&foreign, &own]] {
                    setting.proves_nothing(what, &with_entries(&bundle, version, &entries));
                }
            }
        }
    }
}

/// GHSA-8gw7-4j42-w388: `cosign verify-blob` compared some of what a bundle names with what it had
/// verified, not all.
#[test]
fn cve_2022_36056_key_signature_and_digest_are_those_that_were_verified() {
    let setting = Setting::new();
    let bundle = setting.signer.message(MANIFEST);
    let own = setting.entry(&bundle);
    for version in VERSIONS {
        let good = with_entries(&bundle, version, &[&own]);
        setting.proves_logged(&good);
        let mut signature = good.clone();
        signature["messageSignature"]["signature"] =
            setting.signer.message(MANIFEST)["messageSignature"]["signature"].clone();
        setting.proves_nothing("another signature", &signature);
        let mut digest = good.clone();
        digest["messageSignature"]["messageDigest"]["digest"] =
            STANDARD.encode(Digest::of(OTHER).sha256()).into();
        setting.proves_nothing("another digest", &digest);
        let mut whole = with_entries(&setting.signer.message(OTHER), version, &[&own]);
        setting.proves_nothing("another artifact's signature", &whole);
        whole["messageSignature"]["messageDigest"] =
            good["messageSignature"]["messageDigest"].clone();
        setting.proves_nothing("another artifact's signature under this digest", &whole);
    }
    let trust = under(ROOT);
    for vector in keyless() {
        for from in keyless().filter(|from| from.name != vector.name) {
            for version in &VERSIONS[1..] {
                let mut bundle = vector.value();
                bundle["mediaType"] = (*version).into();
                let ours = vectors::detached(&bundle, &trust);
                assert_eq!(ours.len(), 1, "{} as {version}", vector.name);
                bundle["verificationMaterial"]["certificate"] =
                    from.value()["verificationMaterial"]["certificate"].clone();
                let theirs = vectors::detached(&bundle, &trust);
                assert!(theirs.is_empty(), "{} by {}", vector.name, from.name);
            }
        }
    }
}

/// GHSA-wfqv-66vq-46rm: an expired intermediate was accepted. Every certificate of the authority's
/// chain must be valid at every verified time; the root's own text names them, so neither that nor
/// a window that is open for ever is an excuse.
#[test]
fn cve_2026_24122_an_expired_authority_signs_nothing() {
    for (from, to) in [
        // Not after: from 2036 to a moment before the signatures.
        ("361124195106Z", "261124195207Z"),
        // Not before: to a moment after them.
        ("261124195106Z", "261124205106Z"),
    ] {
        let root = root_with_date("certificateAuthorities", 0, from, to);
        let trust = under(&root);
        for vector in keyless() {
            let judged = proves_nothing("an expired authority", vector, &vector.value(), &trust);
            assert_eq!(judged.failures.len(), 1);
        }
        // Managed keys do not rest on it.
        for vector in keyed() {
            assert_eq!(
                judged(&vector.value(), &trust).verified_by.len(),
                1,
                "{}",
                vector.name
            );
        }
    }
}

/// The same where the authority has its certificate by another one: each of both.
#[test]
fn cve_2026_24122_an_expired_certificate_between_signs_nothing() {
    let valid = (2020, 2040);
    for (between, root, expected) in [
        (valid, valid, 1),
        ((2020, 2024), valid, 0),
        ((2025, 2040), valid, 0),
        (valid, (2020, 2024), 0),
        (valid, (2025, 2040), 0),
    ] {
        let sigstore = Sigstore::with_intermediate(between, root);
        let signed = sigstore
            .person()
            .attest(&statement(COSIGN_SIGN, &json!({})));
        let bundle = signed.bundle("0.3", Some(&sigstore.entry(&signed)));
        let trust = Trust::new(&[sigstore.anchor()]);
        let digest = Digest::of(MANIFEST);
        let subject = Subject::new(&digest, MANIFEST).unwrap();
        let judged = judge(&subject, bundle.to_string().as_bytes(), &trust);
        let found = (judged.verified_by.len(), judged.failures.len());
        assert_eq!(
            found,
            (expected, 1 - expected),
            "{between:?} {root:?}: {judged:?}"
        );
    }
}

/// GHSA-xm5m-wgh2-rrg3: the certificates of a timestamp authority were not validated. Chain, purpose
/// and which authority it is must be right, each certificate valid at the time it vouches for.
#[test]
fn cve_2026_39984_a_timestamp_is_by_an_authority_of_the_root() {
    let mut roots = vec![
        // The root of its chain expired, or is not valid yet.
        root_with_date("timestampAuthorities", 2, "361124195106Z", "261124195207Z"),
        root_with_date("timestampAuthorities", 2, "261124194606Z", "261124205106Z"),
        // The same for the certificate between.
        root_with_date("timestampAuthorities", 1, "361124195106Z", "261124195207Z"),
        // The authority's certificate is for another purpose (1.3.6.1.5.5.7.3.3: signing code).
        changed_root(|root| {
            let chain = &mut root["timestampAuthorities"][0]["certChain"]["certificates"];
            replace_bytes(
                &mut chain[0]["rawBytes"],
                &[0x2b, 6, 1, 5, 5, 7, 3, 8],
                &[0x2b, 6, 1, 5, 5, 7, 3, 3],
            );
        }),
    ];
    for places in [&[1, 2][..], &[0], &[0, 2], &[2]] {
        roots.push(changed_root(|root| {
            let chain = &mut root["timestampAuthorities"][0]["certChain"]["certificates"];
            let kept: Vec<_> = places.iter().map(|place| chain[place].clone()).collect();
            *chain = kept.into();
        }));
    }
    // Its window was over; the window of another authority does not help.
    roots.push(changed_root(|root| {
        let public: Value = serde_json::from_str(PUBLIC_GOOD_ROOT).unwrap();
        let authorities = root["timestampAuthorities"].as_array_mut().unwrap();
        authorities[0]["validFor"]["end"] = "2026-11-24T19:52:07Z".into();
        authorities.extend(public["timestampAuthorities"].as_array().unwrap().clone());
    }));
    for root in roots {
        let trust = under(&root);
        for vector in &ALL {
            proves_nothing(
                "a timestamp by nobody known",
                vector,
                &vector.value(),
                &trust,
            );
        }
    }
}

/// GHSA-9vcr-p3rj-q5q6: entries of one log were counted as several logs. Here nothing is counted: a
/// signature is logged or not, and an entry of an unknown log beside a good one spoils it.
#[test]
fn cve_2026_49834_many_entries_of_one_log_are_one_log() {
    let setting = Setting::new();
    let [bundle, _] = both_forms(&setting.signer);
    let own = setting.entry(&bundle);
    let one = setting.proves(&with_entries(&bundle, VERSIONS[2], &[&own]));
    let many = setting.proves(&with_entries(&bundle, VERSIONS[2], &[&own; 4]));
    assert_eq!((one.len(), one), (1, many));
    let unknown = Log::new().entry(&bundle, &setting.signer, INTEGRATED);
    for entries in [[&own, &unknown], [&unknown, &own]] {
        let bundle = with_entries(&bundle, VERSIONS[2], &entries);
        setting.proves_nothing("an entry of an unknown log", &bundle);
    }
}

/// GHSA-wqqc-jjcq-vfxm: nobody asked whether a managed key was valid when it signed. The verified
/// times of its signatures are handed on; the gate compares them (`gates/evidence/signer/tests.rs`).
#[test]
fn cve_2026_54787_the_times_of_a_managed_keys_signature_are_told() {
    for vector in keyed() {
        let judged = judged(&vector.value(), &under(ROOT));
        let times: Vec<_> = judged
            .verified_by
            .iter()
            .flat_map(|one| &one.times)
            .collect();
        assert_eq!(times.len(), 1, "{}", vector.name);
        assert_eq!(times[0].to_string(), vector.time, "{}", vector.name);
    }
    let setting = Setting::new();
    let [bundle, _] = both_forms(&setting.signer);
    let own = setting.entry(&bundle);
    let proven = setting.proves(&with_entries(&bundle, VERSIONS[2], &[&own]));
    let times: Vec<_> = proven.iter().flat_map(|one| &one.times).collect();
    assert_eq!(times.len(), 1);
    assert_eq!(times[0].as_second(), INTEGRATED);
}

/// Review of sigstore-rust by Trail of Bits, 2026: `integratedTime` was believed before its signature
/// was checked, or without any.
#[test]
fn tob_sigstore_an_integrated_time_counts_only_with_its_signature() {
    let setting = Setting::new();
    let [bundle, _] = both_forms(&setting.signer);
    let own = setting.entry(&bundle);
    for version in VERSIONS {
        let mut earlier = own.clone();
        earlier["integratedTime"] = (INTEGRATED - 3600).to_string().into();
        let what = "another integrated time";
        setting.proves_nothing(what, &with_entries(&bundle, version, &[&earlier]));
        let future = setting.log.entry(&bundle, &setting.signer, 32_503_680_000);
        let what = "a time in the year 3000";
        setting.proves_nothing(what, &with_entries(&bundle, version, &[&future]));
        let mut unsigned = own.clone();
        unsigned.as_object_mut().unwrap().remove("inclusionPromise");
        let proven = setting.proves(&with_entries(&bundle, version, &[&unsigned]));
        // Version 0.1 asks for the promise; the others have a proof, and no time.
        assert_eq!(proven.is_empty(), version == VERSIONS[0], "{version}");
        assert!(
            proven.iter().all(|one| one.logged && one.times.is_empty()),
            "{proven:?}"
        );
    }
}

/// The same review: one of several timestamps decided, and the others were not looked at.
#[test]
fn tob_sigstore_every_timestamp_counts() {
    let trust = under(ROOT);
    let stamps = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
    for vector in ALL.iter().filter(|vector| vector.proves().is_some()) {
        let honest = vector.value();
        let good = honest.pointer(stamps).unwrap()[0].clone();
        let mut flipped = honest.clone();
        flip(&mut flipped, STAMP, -1);
        let bad = flipped.pointer(stamps).unwrap()[0].clone();
        let foreign = ALL.iter().find(|other| other.name != vector.name).unwrap();
        let foreign = foreign.value().pointer(stamps).unwrap()[0].clone();
        for wrong in [bad, foreign] {
            for both in [[&good, &wrong], [&wrong, &good]] {
                let mut bundle = honest.clone();
                *at(&mut bundle, stamps) = json!(both);
                proves_nothing("a second timestamp", vector, &bundle, &trust);
            }
        }
        let mut twice = honest.clone();
        *at(&mut twice, stamps) = json!([good, good]);
        let once = vector.proves().into_iter().collect();
        assert_eq!(judged(&twice, &trust).verified_by, once, "{}", vector.name);
    }
}

/// The same review: of an envelope with several signatures another one was verified than was logged.
#[test]
fn tob_sigstore_an_envelope_has_one_signature() {
    let trust = under(ROOT);
    let key = vectors::key_alone();
    let signatures = "/dsseEnvelope/signatures";
    for vector in logged() {
        let mut bundle = vector.value();
        let Some(own) = bundle.pointer(signatures).map(|all| all[0].clone()) else {
            continue;
        };
        let other = named("ci-sign").value().pointer(signatures).unwrap()[0].clone();
        for both in [[&own, &other], [&other, &own], [&own, &own]] {
            *at(&mut bundle, signatures) = json!(both);
            for trust in [&trust, &key] {
                proves_nothing("two signatures", vector, &bundle, trust);
            }
        }
    }
}

/// The same review: an entry was not compared with the bundle it came in.
#[test]
fn tob_sigstore_an_entry_is_of_the_bundle_it_came_in() {
    let trust = under(ROOT);
    for vector in logged() {
        let other = logged().find(|other| other.name != vector.name && other.who == vector.who);
        let entry = other.unwrap().value().pointer(ENTRY).unwrap().clone();
        for keep in [true, false] {
            let mut bundle = vector.value();
            let entries = at(&mut bundle, "/verificationMaterial/tlogEntries");
            let own = entries[0].clone();
            *entries = if keep {
                json!([own, entry])
            } else {
                json!([entry])
            };
            proves_nothing("another bundle's entry", vector, &bundle, &trust);
        }
    }
}

fn changed_root(change: impl FnOnce(&mut Value)) -> String {
    let mut root: Value = serde_json::from_str(ROOT).unwrap();
    change(&mut root);
    root.to_string()
}

/// Our root with another date in one certificate. Its own signature is then wrong, which nobody asks
/// of what a root names: dates are what is left to look at.
fn root_with_date(authorities: &str, certificate: usize, from: &str, to: &str) -> String {
    changed_root(|root| {
        let chain = &mut root[authorities][0]["certChain"]["certificates"];
        replace_bytes(
            &mut chain[certificate]["rawBytes"],
            from.as_bytes(),
            to.as_bytes(),
        );
    })
}

#[track_caller]
fn replace_bytes(text: &mut Value, from: &[u8], to: &[u8]) {
    let mut bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    let place = bytes.windows(from.len()).position(|window| window == from);
    let place = place.expect("it is there");
    bytes[place..place + from.len()].copy_from_slice(to);
    *text = STANDARD.encode(bytes).into();
}
