//! Indexes: what must be on each of their images, what may be on the index, and who is named.

use super::{down, wanted};
use crate::evidence::{Bundle, Child, Content, Evidence, Form, Verified};
use crate::facts::{Cause, Observed, Unavailable};
use crate::fixtures::policies::without_statements;
use crate::fixtures::{
    ask, bundles, evidence, image, key, provenance, ready, sbom, signature, with_policy,
};
use crate::gate::Gate;
use crate::gate::Verdict::{self, Deny, Hold, Pass, Unknown};
use crate::gate::Want;
use crate::gates::provenance::Provenance;
use crate::gates::sbom::Sbom;
use crate::gates::signature::Signature;
use crate::policy::IndexEvidence;
use crate::reason::Reason;
use crate::release::{Digest, ImageReference};
use crate::snapshot::Snapshot;

pub(super) const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

pub(super) fn child(platform: &str) -> ImageReference {
    image("1.42.0").with_digest(Digest::of(platform.as_bytes()))
}

/// These bundles, about the image for this platform.
pub(super) fn about(platform: &str, bundles: &[Bundle]) -> Observed<Evidence> {
    let digest = child(platform).digest().clone();
    let bundles = bundles.iter().cloned().map(|bundle| Bundle {
        subjects: vec![digest.clone()],
        ..bundle
    });
    Observed::Known(Evidence::new(digest.clone(), bundles.collect()))
}

/// The image is an index of two; `on_index` and `on_each` is what is attached.
pub(super) fn index(on_index: &[Bundle], on_each: &[Bundle]) -> Snapshot {
    let mut snapshot = ready();
    without_statements(&mut snapshot);
    let children = PLATFORMS.map(|platform| Child {
        platform: platform.to_owned(),
        digest: child(platform).digest().clone(),
    });
    let own = evidence(&mut snapshot);
    own.form = Form::Index {
        children: children.to_vec(),
    };
    own.bundles = on_index.to_vec().into();
    for platform in PLATFORMS {
        let seen = about(platform, on_each);
        snapshot.facts.evidence.insert(child(platform), seen);
    }
    snapshot
}

fn all() -> [Bundle; 3] {
    [signature("1.42.0"), provenance("1.42.0"), sbom("1.42.0")]
}

/// Puts this in the place of what is known of the image for `linux/arm64`.
pub(super) fn arm(snapshot: &mut Snapshot, seen: Observed<Evidence>) {
    snapshot.facts.evidence.insert(child(PLATFORMS[1]), seen);
}

#[track_caller]
pub(super) fn says(
    gate: &dyn Gate,
    snapshot: &Snapshot,
    verdict: Verdict,
    reason: Reason,
    words: &[&str],
) {
    let report = ask(gate, snapshot);
    let found = (report.verdict, report.reason);
    assert_eq!(found, (verdict, reason), "{}", report.message);
    for words in words {
        assert!(
            report.message.contains(words),
            "{words}: {}",
            report.message
        );
    }
}

#[test]
fn signature_and_provenance_count_on_the_index_or_on_every_image() {
    for snapshot in [index(&all()[..2], &[]), index(&[], &all()[..2])] {
        says(&Signature, &snapshot, Pass, Reason::EvidenceValid, &[]);
        says(&Provenance, &snapshot, Pass, Reason::EvidenceValid, &[]);
        assert!(wanted(&snapshot).is_empty());
    }
    let on_each = index(&[], &all());
    let words = ["linux/amd64, linux/arm64: signed by production/ci"];
    says(&Signature, &on_each, Pass, Reason::EvidenceValid, &words);
    assert_eq!(ask(&Signature, &on_each).evidence.len(), 2, "of both");
}

#[test]
fn images_are_looked_at_only_where_the_index_does_not_suffice() {
    let mut snapshot = index(&all(), &[]);
    for platform in PLATFORMS {
        snapshot.facts.evidence.remove(&child(platform));
    }
    with_policy(&mut snapshot, |policy| policy.evidence.sbom = None);
    assert!(wanted(&snapshot).is_empty(), "signed, and proven");
    let whole = index(&all(), &[]);
    snapshot.facts.policies = whole.facts.policies;
    let words = ["asking registry.example"];
    says(&Sbom, &snapshot, Unknown, Reason::EvidencePending, &words);
    let look = Want::Children(image("1.42.0"));
    assert_eq!(wanted(&snapshot), [look].into(), "an SBOM is of one image");
}

#[test]
fn a_bill_of_one_image_of_two_names_the_other() {
    let mut snapshot = index(&all(), &all());
    let words = ["linux/amd64, linux/arm64: CycloneDX"];
    says(&Sbom, &snapshot, Pass, Reason::EvidenceValid, &words);
    arm(&mut snapshot, about(PLATFORMS[1], &all()[..2]));
    let digest = child(PLATFORMS[1]).digest().to_string();
    let words = [
        "linux/arm64: policy production needs an SBOM",
        "evidence.indexEvidence: Accept",
        digest.as_str(),
    ];
    says(&Sbom, &snapshot, Hold, Reason::SbomMissing, &words);
    let message = ask(&Sbom, &snapshot).message;
    assert!(!message.contains("linux/amd64"), "{message}");
    // Nor does one that is about the other image, or the index.
    let copied = about(PLATFORMS[0], &all());
    let Observed::Known(copied) = copied else {
        panic!("{copied:?}")
    };
    let Observed::Known(mut bare) = about(PLATFORMS[1], &[]) else {
        panic!("not known")
    };
    bare.bundles = copied.bundles;
    arm(&mut snapshot, Observed::Known(bare));
    let words = ["linux/arm64: the SBOM found is about"];
    says(&Sbom, &snapshot, Deny, Reason::SignatureInvalid, &words);
}

#[test]
fn a_bill_of_the_index_counts_only_where_the_policy_says_so() {
    let mut snapshot = index(&all(), &[]);
    let words = ["linux/amd64, linux/arm64: policy", "counts only where"];
    says(&Sbom, &snapshot, Hold, Reason::SbomMissing, &words);
    with_policy(&mut snapshot, |policy| {
        policy.evidence.index_evidence = IndexEvidence::Accept;
    });
    says(&Sbom, &snapshot, Pass, Reason::EvidenceValid, &["214"]);
    bundles(&mut snapshot).clear();
    says(
        &Sbom,
        &snapshot,
        Hold,
        Reason::SbomMissing,
        &["needs an SBOM"],
    );
    for platform in PLATFORMS {
        let seen = about(platform, &all());
        snapshot.facts.evidence.insert(child(platform), seen);
    }
    says(&Sbom, &snapshot, Pass, Reason::EvidenceValid, &[]);
}

#[test]
fn a_signature_of_one_image_of_two_is_none() {
    let mut snapshot = index(&[], &all());
    arm(&mut snapshot, about(PLATFORMS[1], &[]));
    let words = ["linux/arm64: policy", "on the index itself it would count"];
    says(
        &Signature,
        &snapshot,
        Hold,
        Reason::SignatureMissing,
        &words,
    );
    let mut forged = signature("1.42.0");
    forged.verified_by.clear();
    arm(&mut snapshot, about(PLATFORMS[1], &[forged]));
    let words = ["linux/arm64: policy", "does not verify"];
    says(
        &Signature,
        &snapshot,
        Deny,
        Reason::SignatureInvalid,
        &words,
    );
    // Nothing anywhere: the index is what one would sign.
    let bare = index(&[], &[]);
    let words = [image("1.42.0").to_string()];
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    says(&Signature, &bare, Hold, Reason::SignatureMissing, &words);
}

#[test]
fn the_signature_of_the_index_is_none_of_its_image_and_the_other_way_round() {
    // Both signatures are good, and each lies where the other belongs.
    let mut snapshot = index(&[], &[]);
    let Observed::Known(of_child) = about(PLATFORMS[0], &all()) else {
        panic!("not known")
    };
    *bundles(&mut snapshot) = of_child.bundles.to_vec();
    for platform in PLATFORMS {
        let digest = child(platform).digest().clone();
        let misplaced = Evidence::new(digest, all().to_vec());
        let known = Observed::Known(misplaced);
        snapshot.facts.evidence.insert(child(platform), known);
    }
    let words = ["not for this digest"];
    says(
        &Signature,
        &snapshot,
        Deny,
        Reason::SignatureInvalid,
        &words,
    );
}

#[test]
fn nothing_is_known_while_one_of_both_ways_is_not() {
    let mut snapshot = index(&[], &all());
    arm(&mut snapshot, Observed::Unavailable(down()));
    let words = ["linux/arm64: the registry answered 503"];
    let unreachable = Reason::RegistryUnavailable;
    says(&Signature, &snapshot, Unknown, unreachable, &words);
    arm(&mut snapshot, Observed::Pending);
    says(&Signature, &snapshot, Unknown, Reason::EvidencePending, &[]);
    let gone = Unavailable {
        cause: Cause::Missing,
        message: "the registry does not have it".into(),
    };
    arm(&mut snapshot, Observed::Unavailable(gone));
    let words = ["linux/arm64: the registry does not have it"];
    says(&Sbom, &snapshot, Hold, Reason::ArtifactMissing, &words);

    let mut snapshot = index(&[], &[]);
    evidence(&mut snapshot).tags = Observed::Pending;
    says(&Signature, &snapshot, Unknown, Reason::EvidencePending, &[]);
    let own = Want::Tags(image("1.42.0"));
    assert!(wanted(&snapshot).contains(&own));
    let mut half = index(&[], &all());
    let Observed::Known(mut bare) = about(PLATFORMS[1], &[]) else {
        panic!("not known")
    };
    bare.tags = Observed::Pending;
    arm(&mut half, Observed::Known(bare));
    says(&Signature, &half, Unknown, Reason::EvidencePending, &[]);
    assert_eq!(wanted(&half), [Want::Tags(child(PLATFORMS[1]))].into());
}

#[test]
fn an_index_that_cannot_be_judged_is_refused_whatever_is_attached() {
    let mut snapshot = index(&all(), &all());
    let problem = "it lists linux/amd64 twice".to_owned();
    evidence(&mut snapshot).form = Form::Unfit { problem };
    let words = ["it lists linux/amd64 twice; publish"];
    for gate in [&Signature as &dyn Gate, &Provenance, &Sbom] {
        says(gate, &snapshot, Deny, Reason::IndexInvalid, &words);
    }
    // What was listed as an image, and is an index by its bytes.
    let mut snapshot = index(&[], &all());
    let Observed::Known(mut nested) = about(PLATFORMS[1], &all()) else {
        panic!("not known")
    };
    nested.form = evidence(&mut snapshot).form.clone();
    arm(&mut snapshot, Observed::Known(nested));
    let words = ["linux/arm64: the index", "another index"];
    says(&Sbom, &snapshot, Deny, Reason::IndexInvalid, &words);
}

#[test]
fn a_key_counts_for_each_image_by_itself() {
    // Each image is signed by another authority: no rule is met by the two of them together.
    let mut snapshot = index(&[], &all());
    let mut other = signature("1.42.0");
    other.verified_by = [Verified::by_key(key("eve"))].into();
    other.key_hint = Some(key("eve"));
    arm(&mut snapshot, about(PLATFORMS[1], &[other]));
    let words = ["linux/arm64: ", "made by somebody else"];
    says(
        &Signature,
        &snapshot,
        Deny,
        Reason::SignerNotTrusted,
        &words,
    );
    assert!(matches!(all()[0].content, Content::Signature));
}
