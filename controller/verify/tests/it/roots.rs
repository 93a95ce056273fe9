//! Trusted roots that differ in one part: every part is asked.

use jiff::{SignedDuration, Timestamp};
use lockmaster_verify::{PUBLIC_GOOD_ROOT, TRUSTED_ROOT_LIMIT, TrustedRoot};
use serde_json::{Value, json};

use crate::changing::{ENTRY, at, proves_nothing};
use crate::vectors::{ROOT, judged, keyed, keyless, logged, named, under};

/// Ours, with what stands under `part` in the public root.
fn root_with_foreign(part: &str) -> String {
    let mut root: Value = serde_json::from_str(ROOT).unwrap();
    let public: Value = serde_json::from_str(PUBLIC_GOOD_ROOT).unwrap();
    root[part] = public[part].clone();
    assert!(root[part].is_array());
    root.to_string()
}

/// Ours, without `part`.
fn root_without(part: &str) -> String {
    let mut root: Value = serde_json::from_str(ROOT).unwrap();
    root[part] = json!([]);
    root.to_string()
}

#[test]
fn every_part_of_the_root_is_asked() {
    for part in [
        "certificateAuthorities",
        "ctlogs",
        "tlogs",
        "timestampAuthorities",
    ] {
        for root in [root_with_foreign(part), root_without(part)] {
            let trust = under(&root);
            for vector in keyless() {
                proves_nothing(part, vector, &vector.value(), &trust);
            }
            let for_keys = ["tlogs", "timestampAuthorities"].contains(&part);
            for vector in keyed().filter(|vector| vector.logged) {
                let judged = judged(&vector.value(), &trust);
                assert_eq!(
                    judged.verified_by.is_empty(),
                    for_keys,
                    "{}: {part}",
                    vector.name
                );
            }
        }
    }
}

/// A log that was retired, perhaps because its key was stolen, vouches for nothing later.
#[test]
fn a_log_that_had_ended_proves_nothing() {
    for name in ["person-sign", "ci-message", "key-sign"] {
        let vector = named(name);
        let mut root: Value = serde_json::from_str(ROOT).unwrap();
        let mut ends = |at: Timestamp| {
            root["tlogs"][0]["publicKey"]["validFor"]["end"] = at.to_string().into();
            judged(&vector.value(), &under(&root.to_string()))
        };
        let signed: Timestamp = vector.time.parse().unwrap();
        assert_eq!(ends(signed).verified_by.len(), 1, "{name}: its last second");
        let late = ends(signed - SignedDuration::from_secs(1));
        assert!(
            late.verified_by.is_empty(),
            "{name}: {:?}",
            late.verified_by
        );
        let why = late.failures.into_values().next().unwrap();
        assert!(
            why.contains("after the log that the entry names had ended"),
            "{why}"
        );
    }
}

/// The log that signed the checkpoint is the one that the entry names, also where both are trusted.
#[test]
fn one_log_does_not_sign_for_another() {
    let mut root: Value = serde_json::from_str(ROOT).unwrap();
    let public: Value = serde_json::from_str(PUBLIC_GOOD_ROOT).unwrap();
    let other = public["tlogs"][0].clone();
    root["tlogs"].as_array_mut().unwrap().push(other.clone());
    let trust = under(&root.to_string());
    for vector in logged() {
        let mut bundle = vector.value();
        assert_eq!(
            judged(&bundle, &trust).verified_by.len(),
            1,
            "{}",
            vector.name
        );
        at(&mut bundle, ENTRY)["logId"] = other["logId"].clone();
        let judged = proves_nothing("another log's id", vector, &bundle, &trust);
        let why = judged.failures.into_values().next().unwrap();
        assert!(why.contains("has not signed its checkpoint"), "{why}");
    }
}

#[test]
fn what_is_wrong_with_a_root_is_said() {
    let problem = |json: &str| TrustedRoot::parse(json).err().unwrap().to_string();
    let changed = |change: fn(&mut Value)| {
        let mut root: Value = serde_json::from_str(ROOT).unwrap();
        change(&mut root);
        problem(&root.to_string())
    };
    assert!(TrustedRoot::parse(ROOT).is_ok());
    assert!(
        problem(r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#)
            .contains("names neither"),
        "nothing in it"
    );
    assert!(problem("").contains("cosign trusted-root create"));
    let twice = ROOT.replacen('{', r#"{"tlogs":[],"#, 1);
    assert!(problem(&twice).contains("\"tlogs\" is given twice"));
    let long = format!("{ROOT}{}", " ".repeat(TRUSTED_ROOT_LIMIT));
    assert!(problem(&long).contains("the limit is 262144"));
    let named_twice = changed(|root| {
        let log = root["tlogs"][0].clone();
        root["tlogs"].as_array_mut().unwrap().push(log);
    });
    assert!(
        named_twice.contains("duplicate trusted log ID"),
        "{named_twice}"
    );
    let backwards = changed(|root| {
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = "2020-01-01T00:00:00Z".into();
    });
    assert!(backwards.contains("ends before it starts"), "{backwards}");
    let never = changed(|root| {
        root["certificateAuthorities"][0]["validFor"]["start"] = "2040-01-01T00:00:00Z".into();
    });
    assert!(never.contains("never valid at the same time"), "{never}");
    let no_certificate = changed(|root| {
        root["timestampAuthorities"][0]["certChain"]["certificates"] = json!([]);
    });
    assert!(
        no_certificate.contains("empty certificate chain"),
        "{no_certificate}"
    );
    let no_key = changed(|root| root["tlogs"][0]["publicKey"]["rawBytes"] = "AAAA".into());
    assert!(
        no_key.starts_with("failed to use the trusted root"),
        "{no_key}"
    );
}
