//! Whose word excuses a finding, of what, and until when.

use super::{CVE, blocked_because, critical, passes, rule, scanned_as, spoiled};
use crate::evidence::{Content, OPENVEX, Verified, Vex, VexProduct, VexStatement, VexStatus};
use crate::fixtures::statements::vex;
use crate::fixtures::{at, bundles, digest, key, with_policy};
use crate::gate::Verdict::Pass;
use crate::policy::Age;
use crate::reason::Reason;
use crate::snapshot::Snapshot;

/// The document, changed.
fn excused_by(snapshot: &mut Snapshot, change: impl FnOnce(&mut VexStatement)) {
    let mut bundle = vex("1.42.0", CVE);
    match &mut bundle.content {
        Content::Vex(Vex { statements, .. }) => change(&mut statements[0]),
        other => panic!("{other:?}"),
    }
    bundles(snapshot).push(bundle);
}

#[test]
fn a_finding_without_effect_is_excused_until_the_word_is_too_old() {
    let report = passes(|s| {
        critical(s);
        excused_by(s, |_| {});
    });
    assert!(
        report.message.contains("but for 1 without effect by VEX"),
        "{}",
        report.message
    );
    let authorities: Vec<_> = report
        .evidence
        .iter()
        .map(|e| e.authority.as_str())
        .collect();
    assert_eq!(authorities, ["production/scanner", "production/security"]);
    passes(|s| {
        critical(s);
        excused_by(s, |word| word.vulnerabilities = vec![format!("GHSA-{CVE}")]);
    });
    let ends = passes(|s| {
        critical(s);
        excused_by(s, |_| {});
        rule(s, |rule| {
            rule.vex.as_mut().unwrap().max_age = Age::hours(563)
        });
    });
    assert_eq!(ends.next_change, Some(at("2026-11-24T11:00:00Z")));
    blocked_because("what security says of it is too old since", |s| {
        excused_by(s, |_| {});
        rule(s, |rule| rule.vex.as_mut().unwrap().max_age = Age::days(7));
    });
    blocked_because("security attest by OpenVEX", |s| {
        excused_by(s, |word| {
            word.vulnerabilities = vec!["CVE-2026-20".into()];
        })
    });
    blocked_because("update what is affected and build again", |s| {
        excused_by(s, |_| {});
        rule(s, |rule| rule.vex = None);
    });
}

/// "VEX for another product" of the negative tests that matter most.
#[test]
fn vex_for_another_product_or_package_excuses_nothing() {
    let product = |names: &[&str], parts: &[&str]| VexProduct {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        parts: parts.iter().map(|name| (*name).to_owned()).collect(),
    };
    let ours = digest("1.42.0").to_string();
    let openssl = "pkg:deb/debian/openssl@3.0.11";
    let excuses = |products: Vec<VexProduct>| {
        let report = spoiled(|s| {
            critical(s);
            excused_by(s, |word| word.products = products);
        });
        report.verdict == Pass
    };
    assert!(excuses(vec![product(&[&ours], &[openssl])]));
    assert!(excuses(vec![product(
        &["registry.example/shop/checkout"],
        &[openssl]
    )]));
    assert!(excuses(vec![product(&[&ours], &[])]), "all of it");
    assert!(excuses(vec![]), "the subject");
    assert!(!excuses(vec![product(
        &[&ours],
        &["pkg:deb/debian/openssl@3.0.12"]
    )]));
    assert!(!excuses(vec![product(
        &[&ours],
        &["pkg:deb/debian/zlib@3.0.11"]
    )]));
    let other = digest("1.41.3").to_string();
    assert!(!excuses(vec![product(&[&other], &[openssl])]));
    assert!(!excuses(vec![product(
        &["registry.example/shop/other"],
        &[]
    )]));
    // What is said of all of another product is not said of ours.
    assert!(!excuses(vec![
        product(&[&ours], &["pkg:a/b@1"]),
        product(&[&other], &[])
    ]));
    assert!(
        !excuses(vec![product(&[openssl], &[])]),
        "a package is no product of ours"
    );
    let another_digest = spoiled(|s| {
        critical(s);
        bundles(s).push(vex("1.41.3", CVE));
    });
    assert_eq!(another_digest.reason, Reason::VulnerabilityBlocked);
    // Nor one that names our image, and was signed for another digest.
    let of_another_subject = spoiled(|s| {
        critical(s);
        excused_by(s, |_| {});
        bundles(s).last_mut().unwrap().subjects = vec![digest("1.41.3")];
    });
    assert_eq!(of_another_subject.reason, Reason::VulnerabilityBlocked);
    let unnamed = spoiled(|s| {
        critical(s);
        scanned_as(s, |scan| scan.findings[0].purl = None);
        excused_by(s, |_| {});
    });
    assert_eq!(unnamed.reason, Reason::VulnerabilityBlocked);
}

#[test]
fn only_not_affected_with_a_justification_excuses() {
    blocked_because("security says not_affected without a justification", |s| {
        excused_by(s, |word| word.justification = None);
    });
    for status in [
        VexStatus::Affected,
        VexStatus::Fixed,
        VexStatus::UnderInvestigation,
    ] {
        blocked_because(&format!("security says {status}"), |s| {
            excused_by(s, |word| word.status = status);
        });
    }
}

#[test]
fn of_several_words_the_latest_counts_and_an_objection_beats_an_excuse() {
    let then = |second: fn(&mut VexStatement)| {
        spoiled(move |s| {
            critical(s);
            excused_by(s, |_| {});
            excused_by(s, second);
        })
    };
    // Also where it is about all of the image, or about a package that it names.
    let newer = then(|word| {
        word.status = VexStatus::Affected;
        word.products = vec![];
        word.time = at("2026-11-02T00:00:00Z");
    });
    assert_eq!(
        newer.reason,
        Reason::VulnerabilityBlocked,
        "{}",
        newer.message
    );
    let older = then(|word| {
        word.status = VexStatus::Affected;
        word.time = at("2026-10-31T00:00:00Z");
    });
    assert_eq!(older.verdict, Pass, "{}", older.message);
    let same = then(|word| word.status = VexStatus::UnderInvestigation);
    assert_eq!(
        same.reason,
        Reason::VulnerabilityBlocked,
        "of two at once the worse one"
    );
    let future = then(|word| {
        word.time = at("2026-11-25T00:00:00Z");
    });
    assert_eq!(future.verdict, Pass, "the one of today counts");
    blocked_because("security attest", |s| {
        excused_by(s, |word| word.time = at("2026-11-25T00:00:00Z"));
    });
}

/// A second authority whose word counts beside that of `security`.
fn with_lab(snapshot: &mut Snapshot) {
    with_policy(snapshot, |policy| {
        let mut lab = policy.authorities[2].clone();
        lab.name = "lab".into();
        policy.authorities.push(lab);
        let rule = policy.evidence.vulnerabilities.as_mut().unwrap();
        rule.vex.as_mut().unwrap().authorities.push("lab".into());
    });
}

/// Lets the scanner sign with the key of this authority too, as two patterns may overlap: it is found
/// when the policy is read, and here all the same.
fn scans_too(snapshot: &mut Snapshot, who: &str) {
    let content = snapshot.facts.policies[0].content.as_mut().unwrap();
    let mut authorities = content.policy.authorities.iter();
    let own = authorities.find(|authority| authority.name == who).unwrap();
    let mut keys = own.keys.clone();
    content.policy.authorities[1].keys.append(&mut keys);
    content.keys.get_mut("scanner").unwrap().push(key(who));
}

#[test]
fn a_second_authority_may_object() {
    let report = spoiled(|s| {
        critical(s);
        with_lab(s);
        excused_by(s, |_| {});
        excused_by(s, |word| {
            word.status = VexStatus::UnderInvestigation;
            word.time = at("2026-10-01T00:00:00Z");
        });
        let last = bundles(s).last_mut().unwrap();
        last.verified_by = [Verified::by_key(key("lab"))].into();
    });
    assert_eq!(report.reason, Reason::VulnerabilityBlocked);
    assert!(
        report.message.contains("lab says under_investigation"),
        "{}",
        report.message
    );
}

#[test]
fn an_excuse_is_by_somebody_who_neither_builds_nor_scans() {
    let signed_by = |who: &'static str| {
        move |s: &mut Snapshot| {
            excused_by(s, |_| {});
            bundles(s).last_mut().unwrap().verified_by = [Verified::by_key(key(who))].into();
        }
    };
    blocked_because("security attest", signed_by("scanner"));
    blocked_because("security attest", signed_by("ci"));
    blocked_because("who signs for security also builds or scans", |s| {
        excused_by(s, |_| {});
        scans_too(s, "security");
    });
}

/// Who builds or scans may not excuse; that what they say against it does not count follows from
/// nothing.
#[test]
fn an_objection_counts_whoever_makes_it() {
    let by_lab = |s: &mut Snapshot, change: fn(&mut VexStatement)| {
        excused_by(s, change);
        bundles(s).last_mut().unwrap().verified_by = [Verified::by_key(key("lab"))].into();
    };
    let beside = |change: fn(&mut VexStatement)| {
        spoiled(|s| {
            critical(s);
            with_lab(s);
            scans_too(s, "lab");
            excused_by(s, |_| {});
            by_lab(s, change);
        })
    };
    let affected = beside(|word| word.status = VexStatus::Affected);
    assert_eq!(affected.reason, Reason::VulnerabilityBlocked);
    assert!(affected.message.contains("lab says affected"));
    assert_eq!(beside(|_| {}).verdict, Pass, "security excuses it alone");
    // Nor does what they say otherwise take an objection of their authority back.
    for status in [VexStatus::NotAffected, VexStatus::Fixed] {
        let later = spoiled(|s| {
            critical(s);
            with_lab(s);
            excused_by(s, |_| {});
            by_lab(s, |word| word.status = VexStatus::Affected);
            let content = s.facts.policies[0].content.as_mut().unwrap();
            for (authority, name) in [(1, "scanner"), (3, "lab")] {
                let keys = &mut content.policy.authorities[authority].keys;
                keys.extend(keys.clone());
                content.keys.get_mut(name).unwrap().push(key("shared"));
            }
            excused_by(s, |word| {
                word.status = status;
                word.time = at("2026-11-20T00:00:00Z");
            });
            bundles(s).last_mut().unwrap().verified_by = [Verified::by_key(key("shared"))].into();
        });
        assert_eq!(later.reason, Reason::VulnerabilityBlocked, "{status}");
        let said = "lab says affected";
        assert!(later.message.contains(said), "{}", later.message);
    }
}

/// With one authority or with several: what cannot be read may be the one that objects.
#[test]
fn what_a_second_authority_says_and_nobody_can_read_stands_against_an_excuse() {
    let beside = |signed: Option<&str>| {
        spoiled(|s| {
            critical(s);
            with_lab(s);
            excused_by(s, |_| {});
            let mut other = vex("1.42.0", CVE);
            other.content = Content::Unreadable {
                predicate: Some(OPENVEX.into()),
                problem: "cut off".into(),
            };
            let times = signed.map(at).into_iter().collect();
            other.verified_by = [Verified {
                times,
                ..Verified::by_key(key("lab"))
            }]
            .into();
            bundles(s).push(other);
        })
    };
    let unread = beside(None);
    assert_eq!(unread.reason, Reason::VulnerabilityBlocked);
    let said = "a VEX document by lab cannot be read: cut off";
    assert!(unread.message.contains(said), "{}", unread.message);
    let of_today = beside(Some("2026-11-24T00:00:00Z"));
    assert_eq!(of_today.reason, Reason::VulnerabilityBlocked);
    assert_eq!(
        beside(Some("2026-08-01T00:00:00Z")).verdict,
        Pass,
        "too old"
    );
}

#[test]
fn a_document_that_cannot_be_read_may_be_the_one_that_objects() {
    blocked_because("a VEX document by security cannot be read: cut off", |s| {
        excused_by(s, |_| {});
        let mut other = vex("1.42.0", CVE);
        other.content = Content::Unreadable {
            predicate: Some(OPENVEX.into()),
            problem: "cut off".into(),
        };
        bundles(s).push(other);
    });
}
