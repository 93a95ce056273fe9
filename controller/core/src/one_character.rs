//! Wrong in one character is wrong: every name that something is compared with, with each of its
//! characters missing, doubled, replaced by one that looks like it, in the other case, and with
//! something invisible or small before, within and behind it.

use crate::evidence::{Content, Identity, Provenance as Statement, SLSA_PROVENANCE_V1, Signer};
use crate::facts::Observed;
use crate::fixtures::keyless::{ISSUER, SUBJECT, by_identity, keyless};
use crate::fixtures::{
    BUILD_TYPE, BUILDER, REPOSITORY, ask, bundles, digest, image, ready, the_workload, with_policy,
};
use crate::gate::{Gate, Verdict};
use crate::gates;
use crate::policy::{ClaimRule, Policy};
use crate::release::{Digest, ImageReference, Release, Version};
use crate::snapshot::Snapshot;

/// Characters of other scripts that look like these (Unicode Technical Standard 39, confusables).
const LOOK_ALIKES: [(char, &[char]); 14] = [
    ('a', &['\u{430}', '\u{ff41}']),
    ('c', &['\u{441}']),
    ('e', &['\u{435}', '\u{212e}']),
    ('i', &['\u{456}', '\u{131}', 'l', '1']),
    ('o', &['\u{43e}', '\u{3bf}', '0']),
    ('p', &['\u{440}']),
    ('s', &['\u{455}', '\u{17f}']),
    ('x', &['\u{445}']),
    ('1', &['l', 'I']),
    ('0', &['O', 'o']),
    ('/', &['\u{2215}', '\u{2044}', '\u{ff0f}', '\\']),
    ('.', &['\u{2024}', '\u{3002}', '\u{ff0e}', '-']),
    (':', &['\u{a789}', '\u{ff1a}']),
    ('-', &['\u{2010}', '\u{2013}', '_']),
];

/// What is put in between.
const INSERTED: [char; 12] = [
    ' ', '\t', '\n', '\r', '\0', '\u{a0}', '\u{200b}', '\u{feff}', '\u{301}', '/', '.', 'v',
];

/// The text, wrong in one character, in every way.
fn wrong(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let with = |place: usize, instead: &[char]| -> String {
        let (before, after) = letters.split_at(place);
        before
            .iter()
            .chain(instead)
            .chain(after.iter().skip(1))
            .collect()
    };
    let mut edits = Vec::new();
    for (place, &letter) in letters.iter().enumerate() {
        edits.push(with(place, &[]));
        edits.push(with(place, &[letter, letter]));
        edits.push(with(place, &[letter.to_ascii_uppercase()]));
        edits.push(with(place, &[letter.to_ascii_lowercase()]));
        if let Some(digit) = letter.to_digit(10) {
            edits.push(with(
                place,
                &[char::from_digit((digit + 1) % 10, 10).unwrap()],
            ));
        }
        let alike = LOOK_ALIKES.iter().find(|(plain, _)| *plain == letter);
        for other in alike.iter().flat_map(|(_, others)| others.iter()) {
            edits.push(with(place, &[*other]));
        }
    }
    for inserted in INSERTED {
        edits.push(format!("{inserted}{text}"));
        edits.push(format!("{text}{inserted}"));
        edits.push(with(
            letters.len() / 2,
            &[inserted, letters[letters.len() / 2]],
        ));
    }
    edits.retain(|edit| edit != text);
    edits
}

/// The gate is open for the text as it is, and closed for it with one character wrong.
#[track_caller]
fn closes(gate: &dyn Gate, good: &Snapshot, text: &str, put: impl Fn(&mut Snapshot, String)) {
    let asked = |text: String| {
        let mut snapshot = good.clone();
        put(&mut snapshot, text);
        ask(gate, &snapshot)
    };
    let right = asked(text.to_owned());
    assert_eq!(right.verdict, Verdict::Pass, "{text}: {}", right.message);
    let edits = wrong(text);
    assert!(edits.len() > 30, "{edits:?}");
    for edit in edits {
        let report = asked(edit.clone());
        let open = matches!(report.verdict, Verdict::Pass | Verdict::NotRequired);
        assert!(
            !open,
            "{} is open for {edit:?}: {}",
            gate.name(),
            report.message
        );
    }
}

fn gate(name: &str) -> &'static dyn Gate {
    let mut all = gates::ALL.iter();
    *all.find(|gate| gate.name() == name).unwrap()
}

fn policy(snapshot: &mut Snapshot, change: impl FnOnce(&mut Policy)) {
    with_policy(snapshot, change);
}

fn certificate(snapshot: &mut Snapshot, change: impl Fn(&mut Identity)) {
    let mut verified = by_identity();
    if let Signer::Identity(identity) = &mut verified.signer {
        change(identity);
    }
    for bundle in bundles(snapshot) {
        bundle.verified_by = [verified.clone()].into();
    }
}

fn said(snapshot: &mut Snapshot, change: impl Fn(&mut Statement)) {
    for bundle in bundles(snapshot) {
        if let Content::Provenance(statement) = &mut bundle.content {
            change(statement);
        }
    }
}

fn released(snapshot: &mut Snapshot, change: impl FnOnce(&mut Release)) {
    match snapshot.facts.releases.get_mut("checkout-1.42.0") {
        Some(Observed::Known(release)) => change(release),
        other => panic!("{other:?}"),
    }
}

/// A policy that names the identity exactly.
fn exact() -> Snapshot {
    let mut snapshot = ready();
    keyless(&mut snapshot);
    name_exactly(&mut snapshot, ISSUER, SUBJECT);
    snapshot
}

fn name_exactly(snapshot: &mut Snapshot, issuer: &str, subject: &str) {
    with_policy(snapshot, |policy| {
        let rule = policy.authorities[0].keyless.as_mut().unwrap();
        (rule.subject, rule.subject_pattern) = (Some(subject.to_owned()), None);
        issuer.clone_into(&mut rule.issuer);
    });
}

#[test]
fn an_identity_or_issuer_wrong_in_one_character_is_another() {
    let (good, signature) = (exact(), gate("signature"));
    closes(signature, &good, SUBJECT, |s, text| {
        certificate(s, |identity| identity.subject.clone_from(&text));
    });
    closes(signature, &good, ISSUER, |s, text| {
        certificate(s, |identity| identity.issuer.clone_from(&text));
    });
    closes(signature, &good, SUBJECT, |s, text| {
        name_exactly(s, ISSUER, &text)
    });
    closes(signature, &good, ISSUER, |s, text| {
        name_exactly(s, &text, SUBJECT)
    });
}

#[test]
fn a_source_repository_wrong_in_one_character_is_another() {
    let (good, signature) = (exact(), gate("signature"));
    closes(signature, &good, REPOSITORY, |s, text| {
        certificate(s, |identity| {
            identity.claims.source_repository = Some(text.clone())
        });
    });
    closes(signature, &good, REPOSITORY, |s, text| {
        policy(s, |policy| {
            policy.authorities[0].keyless.as_mut().unwrap().claims = Some(ClaimRule {
                source_repositories: vec![text],
                triggers: vec![],
            });
        });
    });
    let (good, provenance) = (ready(), gate("provenance"));
    closes(provenance, &good, REPOSITORY, |s, text| {
        said(s, |statement| statement.repository.clone_from(&text));
    });
    closes(provenance, &good, REPOSITORY, |s, text| {
        policy(s, |policy| policy.sources[0].repositories = vec![text]);
    });
    closes(provenance, &good, REPOSITORY, |s, text| {
        released(s, |release| {
            release.source.as_mut().unwrap().repository = text
        });
    });
}

#[test]
fn a_tag_commit_builder_or_build_type_wrong_in_one_character_is_another() {
    let (good, provenance) = (ready(), gate("provenance"));
    let commit = "3c1e9f2a".repeat(5);
    closes(provenance, &good, "refs/tags/v1.42.0", |s, text| {
        said(s, |statement| statement.reference.clone_from(&text));
    });
    closes(provenance, &good, "v1.42.0", |s, text| {
        released(s, |release| {
            release.source.as_mut().unwrap().tag = Some(text)
        });
    });
    closes(provenance, &good, &commit, |s, text| {
        said(s, |statement| statement.commit.clone_from(&text));
    });
    closes(provenance, &good, &commit, |s, text| {
        released(s, |release| release.source.as_mut().unwrap().commit = text);
    });
    closes(provenance, &good, BUILDER, |s, text| {
        said(s, |statement| statement.builder.clone_from(&text));
    });
    closes(provenance, &good, BUILD_TYPE, |s, text| {
        said(s, |statement| statement.build_type.clone_from(&text));
    });
    closes(provenance, &good, SLSA_PROVENANCE_V1, |s, text| {
        policy(s, |policy| {
            policy.authorities[0].predicate_types = vec![text]
        });
    });
}

#[test]
fn a_source_of_a_policy_wrong_in_one_character_is_another() {
    let (good, release) = (ready(), gate("release"));
    for listed in ["registry.example/shop/checkout", "registry.example/shop/*"] {
        closes(release, &good, listed, |s, text| {
            policy(s, |policy| {
                policy.sources[0].image_repositories = vec![text]
            });
        });
    }
    closes(release, &good, "shop", |s, text| {
        policy(s, |policy| policy.sources[0].namespaces = vec![text]);
    });
    closes(release, &good, "checkout", |s, text| {
        policy(s, |policy| policy.sources[0].product = Some(text));
    });
    closes(release, &good, "checkout", |s, text| {
        released(s, |release| release.product = text)
    });
}

#[test]
fn a_consent_wrong_in_one_character_is_none() {
    closes(gate("target"), &ready(), "shop/checkout-prod", |s, text| {
        the_workload(s).consent = Some(text);
    });
}

/// Read as what it says and nothing near it, or not at all.
#[track_caller]
fn reads_exactly<T: ToString + PartialEq, E>(text: &str, parse: impl Fn(&str) -> Result<T, E>) {
    let right = parse(text).ok().unwrap();
    let mut refused = 0;
    for edit in wrong(text) {
        match parse(&edit) {
            Ok(read) => {
                assert!(read != right, "{edit:?} is read as {text}");
                assert_eq!(read.to_string(), edit);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 30, "{refused}");
}

/// GHSA-wfqx-gjrf-g28r: Crossplane verified a tag and installed what the tag meant a moment later.
/// A reference is by digest; a tag, with or without one, is none.
#[test]
fn ghsa_wfqx_gjrf_g28r_a_reference_is_by_digest_and_exactly_as_written() {
    let reference = image("1.42.0").to_string();
    reads_exactly(&reference, ImageReference::parse);
    let repository = "registry.example/shop/checkout";
    let digest = digest("1.42.0");
    for wrong in [
        format!("{repository}:v1.42.0"),
        format!("{repository}:v1.42.0@{digest}"),
        format!("{repository}@{}", digest.hexadecimal()),
        format!("{repository}@{}", digest.as_str().to_uppercase()),
        format!(
            "{repository}@sha256:{}",
            digest.hexadecimal().to_uppercase()
        ),
        format!(
            "{repository}@sha512:{}{}",
            digest.hexadecimal(),
            digest.hexadecimal()
        ),
        format!("{repository}@{digest}@{digest}"),
        format!("user:password@{repository}@{digest}"),
        format!("//{repository}@{digest}"),
        format!("{repository}/../other@{digest}"),
        format!("{repository}%2fother@{digest}"),
        format!("{repository}?x@{digest}"),
        format!("{repository}#x@{digest}"),
    ] {
        assert!(ImageReference::parse(&wrong).is_err(), "{wrong} is read");
    }
}

#[test]
fn a_digest_or_version_is_read_exactly_as_written() {
    let digest = digest("1.42.0");
    reads_exactly(digest.as_str(), Digest::parse);
    assert!(Digest::parse(&digest.as_str().to_uppercase()).is_err());
    assert!(Digest::parse(digest.hexadecimal()).is_err());
    reads_exactly("1.42.0-rc.1", Version::parse);
    assert!(Version::parse("v1.42.0").is_err());
}
