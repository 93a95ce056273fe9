//! What an authority accepts and what it refuses, one condition at a time.

use super::*;
use crate::evidence::{Bundle, Carrier, SLSA_PROVENANCE_V1};
use crate::fixtures::keyless::{ISSUER, ROOT, SUBJECT, by_identity, keyless, rest_on_root};
use crate::fixtures::revoked::revocation;
use crate::fixtures::{
    REPOSITORY, ask, authority, bundles, key, now, ready, signature, with_policy,
};
use crate::gate::GateReport;
use crate::gate::Verdict::{Deny, Hold, Pass};
use crate::gates::provenance::Provenance;
use crate::gates::signature::Signature as SignatureGate;
use crate::policy::{Keyless, Legacy};
use crate::reason::Reason;
use crate::revocation::{Revocation, RevokedIdentity, RevokedSigner};
use crate::snapshot::Snapshot;

fn asked(spoil: impl FnOnce(&mut Snapshot)) -> GateReport {
    let mut snapshot = ready();
    keyless(&mut snapshot);
    spoil(&mut snapshot);
    ask(&SignatureGate, &snapshot)
}

fn identity(snapshot: &mut Snapshot, change: impl Fn(&mut Identity)) {
    for bundle in bundles(snapshot) {
        let mut verified = by_identity();
        if let Signer::Identity(identity) = &mut verified.signer {
            change(identity);
        }
        bundle.verified_by = [verified].into();
    }
}

fn rule(snapshot: &mut Snapshot, change: impl FnOnce(&mut Keyless)) {
    with_policy(snapshot, |policy| {
        change(policy.authorities[0].keyless.as_mut().unwrap());
    });
}

#[track_caller]
fn refused(report: &GateReport, text: &str) {
    assert_eq!(
        (report.verdict, report.reason),
        (Deny, Reason::SignerNotTrusted),
        "{}",
        report.message
    );
    assert!(report.message.contains(text), "{}", report.message);
}

#[test]
fn a_keyless_signature_counts_and_is_named() {
    let report = asked(|_| {});
    assert_eq!(report.verdict, Pass, "{}", report.message);
    let evidence = &report.evidence[0];
    assert!(
        evidence
            .signer
            .contains("release.yml@refs/tags/v1.42.0 (https://token.example)")
    );
    assert_eq!(evidence.signed_at, Some(now()));
}

/// CVE-2026-25542, GHSA-rmx9-2pp3-xhcr (Tekton): identities are compared whole, in one character too.
#[test]
fn cve_2026_25542_another_identity_or_issuer_is_a_stranger() {
    for change in [
        (|i| i.issuer.push('/')) as fn(&mut Identity),
        |i| i.issuer = i.issuer.replace("https", "http"),
        |i| i.subject.insert(0, ' '),
        |i| i.subject = i.subject.replace("git.example", "git.example.evil.test"),
        |i| i.subject = i.subject.replace("/shop/", "/shop2/"),
        |i| i.subject = i.subject.replace("refs/tags/v", "refs/tags/"),
        |i| {
            i.subject = i
                .subject
                .replace("checkout", "Checkout")
                .replace("release.yml", "release.yaml")
        },
    ] {
        let report = asked(|s| identity(s, change));
        refused(&report, "made by somebody else (");
    }
}

/// CVE-2025-29778 (Kyverno): issuer and subject are both compared, never one of them.
#[test]
fn cve_2025_29778_the_subject_counts_beside_the_issuer() {
    let other = |i: &mut Identity| {
        i.subject = "https://git.example/evil/x/.workflows/release.yml@refs/tags/v1".into()
    };
    refused(&asked(|s| identity(s, other)), "made by somebody else");
    let report = asked(|s| {
        rule(s, |rule| {
            (rule.subject, rule.subject_pattern) = (None, None)
        });
    });
    refused(&report, "made by somebody else");
}

#[test]
fn a_public_workflow_does_not_open_the_door_to_other_repositories() {
    let elsewhere = |i: &mut Identity| {
        i.claims.source_repository = Some("https://git.example/shop/other".into());
    };
    refused(
        &asked(|s| identity(s, elsewhere)),
        "spec.sources[].repositories does not list",
    );
    let listed = asked(|s| {
        identity(s, elsewhere);
        with_policy(s, |policy| {
            let sources = &mut policy.sources[0].repositories;
            sources.push("https://git.example/shop/other".into());
        });
    });
    refused(&listed, "and the Release names");
    let scanner = |list: &[&str]| {
        let list: Vec<String> = list.iter().map(|one| (*one).to_owned()).collect();
        asked(|s| {
            identity(s, elsewhere);
            rule(s, |rule| {
                rule.claims = Some(ClaimRule {
                    source_repositories: list,
                    triggers: vec![],
                });
            });
        })
    };
    assert_eq!(scanner(&["https://git.example/shop/other"]).verdict, Pass);
    for wrong in [
        "https://git.example/shop/other/",
        "https://git.example/shop/othe",
        "https://git.example/shop/others",
        "https://git.example/shop/Other",
        REPOSITORY,
    ] {
        refused(
            &scanner(&[wrong]),
            "claims.sourceRepositories does not list",
        );
    }
    let nameless = asked(|s| {
        identity(s, |i| i.claims.source_repository = None);
        rule(s, |rule| rule.claims = Some(ClaimRule::default()));
    });
    refused(&nameless, "names no source repository");
}

#[test]
fn what_strangers_can_start_does_not_sign() {
    for trigger in ["pull_request", "pull_request_target"] {
        let report = asked(|s| identity(s, |i| i.claims.trigger = Some(trigger.into())));
        refused(&report, trigger);
    }
    let triggers = |trigger: Option<&'static str>, list: &'static [&str]| {
        asked(move |s| {
            identity(s, |i| i.claims.trigger = trigger.map(str::to_owned));
            rule(s, |rule| {
                rule.claims = Some(ClaimRule {
                    source_repositories: vec![],
                    triggers: list.iter().map(|one| (*one).to_owned()).collect(),
                });
            });
        })
    };
    assert_eq!(triggers(Some("release"), &["release"]).verdict, Pass);
    assert_eq!(
        triggers(Some("pull_request"), &["pull_request"]).verdict,
        Pass
    );
    refused(&triggers(Some("push"), &["release"]), "started by push");
    refused(&triggers(None, &["release"]), "does not say what started");
}

#[test]
fn a_certificate_of_another_trusted_root_is_a_strangers() {
    let report = asked(|s| {
        for bundle in bundles(s) {
            let mut verified = by_identity();
            verified.root = Some(Digest::of(b"another root"));
            bundle.verified_by = [verified].into();
        }
    });
    refused(&report, "made by somebody else");
    let report = asked(|s| {
        for bundle in bundles(s) {
            bundle.verified_by.clear();
            let root = Digest::of(ROOT.as_bytes());
            bundle.failures.insert(root, "invalid checkpoint".into());
        }
    });
    assert_eq!(report.reason, Reason::SignatureInvalid);
    assert!(
        report
            .message
            .contains("does not verify: invalid checkpoint"),
        "{}",
        report.message
    );
}

#[test]
fn old_formats_count_only_where_they_are_accepted() {
    let old = |s: &mut Snapshot| bundles(s)[0].carrier = Carrier::LegacySignature;
    refused(&asked(old), "before the Sigstore bundle");
    let accepted = asked(|s| {
        old(s);
        with_policy(s, |policy| {
            policy.authorities[0].legacy = Some(Legacy::Accept)
        });
    });
    assert_eq!(accepted.verdict, Pass);
    let mut keyed = ready();
    old(&mut keyed);
    assert_eq!(ask(&SignatureGate, &keyed).verdict, Pass);
    with_policy(&mut keyed, |policy| {
        policy.authorities[0].legacy = Some(Legacy::Refuse)
    });
    refused(&ask(&SignatureGate, &keyed), "before the Sigstore bundle");
}

/// The answer for a key with these limits, for signatures with these trusted times.
fn at(limit: fn(&mut KeyText), times: &[Timestamp]) -> GateReport {
    let mut snapshot = ready();
    rest_on_root(&mut snapshot);
    with_policy(&mut snapshot, |policy| {
        limit(&mut policy.authorities[0].keys[0])
    });
    for bundle in bundles(&mut snapshot) {
        bundle.verified_by = [Verified {
            root: Some(Digest::of(ROOT.as_bytes())),
            times: times.to_vec(),
            logged: !times.is_empty(),
            ..Verified::by_key(key("ci"))
        }]
        .into();
    }
    ask(&SignatureGate, &snapshot)
}

fn hours(hours: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_hours(hours)
}

/// CVE-2026-54787 (sigstore-go): a managed key has a validity, judged at every verified time.
#[test]
fn cve_2026_54787_a_key_is_judged_at_the_time_of_the_signature() {
    let until: fn(&mut KeyText) = |key| key.valid_until = Some(hours(-1));
    refused(
        &at(until, &[]),
        "no trusted timestamp, so it is judged as if made now",
    );
    assert_eq!(at(until, &[hours(-2)]).verdict, Pass);
    refused(&at(until, &[hours(-1)]), "was valid until");
    refused(&at(until, &[hours(-2), hours(0)]), "was valid until");
    let from: fn(&mut KeyText) = |key| key.valid_from = Some(hours(-1));
    assert_eq!(at(from, &[]).verdict, Pass);
    assert_eq!(at(from, &[hours(-1)]).verdict, Pass);
    refused(&at(from, &[hours(-2), hours(0)]), "is valid from");
    let revoked: fn(&mut KeyText) = |key| key.revoked_from = Some(hours(-1));
    refused(&at(revoked, &[]), "revoked from");
    refused(&at(revoked, &[hours(-1)]), "revoked from");
    assert_eq!(at(revoked, &[hours(-2)]).verdict, Pass);
    let later: fn(&mut KeyText) = |key| key.revoked_from = Some(hours(1));
    assert_eq!(at(later, &[]).verdict, Pass, "not revoked yet");
}

#[test]
fn where_a_log_is_asked_for_a_bare_signature_does_not_count() {
    let mut snapshot = ready();
    rest_on_root(&mut snapshot);
    with_policy(&mut snapshot, |policy| {
        policy.authorities[0].require_transparency_log = true;
    });
    let root = Some(Digest::of(ROOT.as_bytes()));
    let mut set = |logged, root: &Option<Digest>| {
        for bundle in bundles(&mut snapshot) {
            bundle.verified_by = [Verified {
                root: root.clone(),
                logged,
                ..Verified::by_key(key("ci"))
            }]
            .into();
        }
        ask(&SignatureGate, &snapshot)
    };
    assert_eq!(set(true, &root).verdict, Pass);
    refused(&set(false, &root), "in no transparency log");
    refused(&set(true, &None), "made by somebody else");
}

#[test]
fn the_certificate_must_say_what_the_provenance_says() {
    for (change, text) in [
        (
            (|i| i.claims.source_commit = Some("0".repeat(40))) as fn(&mut Identity),
            "commit",
        ),
        (
            |i| i.claims.source_reference = Some("refs/heads/main".into()),
            "ref",
        ),
    ] {
        let mut snapshot = ready();
        keyless(&mut snapshot);
        assert_eq!(ask(&Provenance, &snapshot).verdict, Pass);
        identity(&mut snapshot, change);
        let report = ask(&Provenance, &snapshot);
        assert_eq!(report.reason, Reason::ProvenanceMismatch);
        assert!(report.message.contains(text), "{}", report.message);
    }
}

/// Two authorities: `ci`, whose pattern fits both people, and `qa`, which is one of them.
#[test]
fn a_threshold_gives_each_authority_a_signer_of_its_own() {
    let signed_by = |subjects: &[&str]| {
        let mut snapshot = ready();
        keyless(&mut snapshot);
        with_policy(&mut snapshot, |policy| {
            let rule = |pattern: Option<&str>, exact: Option<&str>| {
                Some(Keyless {
                    issuer: ISSUER.into(),
                    subject: exact.map(str::to_owned),
                    subject_pattern: pattern.map(str::to_owned),
                    claims: None,
                })
            };
            policy.authorities[0].keyless = rule(Some("*@corp.example"), None);
            let mut other = authority("qa");
            other.keys.clear();
            other.keyless = rule(None, Some("a@corp.example"));
            other.trusted_root = Some("public-good".into());
            policy.authorities.push(other);
            let signatures = policy.evidence.signatures.as_mut().unwrap();
            signatures.authorities.push("qa".into());
            signatures.threshold = 2;
        });
        let all: Vec<Bundle> = subjects
            .iter()
            .map(|subject| {
                let mut bundle = signature("1.42.0");
                bundle.digest = Digest::of(subject.as_bytes());
                let mut verified = by_identity();
                verified.signer = Signer::Identity(Identity {
                    issuer: ISSUER.into(),
                    subject: (*subject).into(),
                    claims: BuildClaims::default(),
                });
                bundle.verified_by = [verified].into();
                bundle
            })
            .collect();
        *bundles(&mut snapshot) = all;
        ask(&SignatureGate, &snapshot)
    };
    // The first signature fits both; the matching leaves it to the one that has no other.
    assert_eq!(
        signed_by(&["a@corp.example", "b@corp.example"]).verdict,
        Pass
    );
    assert_eq!(
        signed_by(&["b@corp.example", "a@corp.example"]).verdict,
        Pass
    );
    for alone in [
        &["a@corp.example", "a@corp.example"][..],
        &["b@corp.example"],
    ] {
        let report = signed_by(alone);
        assert_eq!(
            (report.verdict, report.reason),
            (Hold, Reason::SignatureMissing)
        );
    }
}

#[test]
fn an_authority_signs_only_the_types_it_lists() {
    let report = asked(|s| {
        with_policy(s, |policy| {
            policy.authorities[0].predicate_types = vec![SLSA_PROVENANCE_V1.into()];
        });
    });
    assert_eq!(report.reason, Reason::SignerNotTrusted);
}

#[test]
fn what_was_revoked_does_not_count_and_the_revocation_is_named() {
    let revoked = |change: &dyn Fn(&mut Revocation)| {
        asked(|s| {
            let fact = revocation("disclosed", change);
            s.facts.revocations.push(fact);
        })
    };
    let bundle = |of: &'static [u8]| {
        revoked(&|content: &mut Revocation| content.bundles = vec![Digest::of(of)])
    };
    let by_bundle = bundle(b"signature of 1.42.0");
    refused(&by_bundle, "it is revoked by Revocation disclosed");
    assert_eq!(bundle(b"another").verdict, Pass);
    let signer = |from: Timestamp| {
        let identity = RevokedIdentity {
            issuer: ISSUER.into(),
            subject: SUBJECT.into(),
        };
        let signer = RevokedSigner {
            key: None,
            identity: Some(identity),
            from,
        };
        revoked(&|content: &mut Revocation| content.signers = vec![signer.clone()])
    };
    refused(&signer(now()), "its signer is revoked by Revocation");
    assert_eq!(signer(hours(1)).verdict, Pass, "it was made before");
}
