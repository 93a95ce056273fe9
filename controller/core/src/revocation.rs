//! What is no longer good, whatever was proven of it before: digests, bundles, signers and records.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::{Bundle, Evidence, Signer};
use crate::facts::Facts;
use crate::gate::EvidenceReference;
use crate::release::{Digest, ImageReference, clip};

/// Whom a certificate names, both exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokedIdentity {
    /// The OpenID Connect issuer, exactly.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// The certificate's identity, exactly: an e-mail address or a URI.
    #[schemars(length(min = 1, max = 512))]
    pub subject: String,
}

/// A signer whose signatures do not count any more from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.key) != has(self.identity)",
    "message": "name either a key or an identity, and each in an entry of its own"
}]))]
pub struct RevokedSigner {
    /// A key, by the SHA-256 of its SubjectPublicKeyInfo in DER: 64 lower-case hexadecimal
    /// characters, as they stand in the evidence of gates and records. Of a file:
    /// `openssl pkey -pubin -in cosign.pub -outform DER | sha256sum`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[0-9a-f]{64}$"))]
    pub key: Option<String>,
    /// The identity that certificates name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<RevokedIdentity>,
    /// Signatures made at this instant or later do not count. From then on, one that no trusted
    /// timestamp or transparency log dates does not count at all.
    #[schemars(with = "crate::time::Schema")]
    pub from: Timestamp,
}

impl RevokedSigner {
    /// Whether it is the signer of this name, as reports and records give it.
    fn is_called(&self, name: &str) -> bool {
        let Self {
            key,
            identity,
            from: _,
        } = self;
        let identity = identity.as_ref();
        key.as_deref() == Some(name)
            || identity.is_some_and(|RevokedIdentity { issuer, subject }| {
                // As `Signer` is shown.
                name.strip_prefix(subject.as_str())
                    .and_then(|rest| rest.strip_prefix(" ("))
                    .and_then(|rest| rest.strip_suffix(')'))
                    == Some(issuer)
            })
    }

    fn is(&self, signer: &Signer) -> bool {
        match signer {
            Signer::Key(_) => self.is_called(&signer.to_string()),
            Signer::Identity(named) => self.identity.as_ref().is_some_and(|identity| {
                identity.issuer == named.issuer && identity.subject == named.subject
            }),
        }
    }

    /// Whether a signature of these trusted times does not count; without any it is made now.
    fn covers(&self, times: &[Timestamp], now: Timestamp) -> bool {
        let now = [now];
        let times = if times.is_empty() { &now } else { times };
        times.iter().any(|time| *time >= self.from)
    }
}

/// A PromotionRecord that proves nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokedRecord {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What somebody declared to be no longer good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Why, for everybody who meets it.
    pub reason: String,
    /// Artifacts: digests of images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// Signatures and attestations: digests of bundles or, better, of what is signed in them, the
    /// `payload` in `status.gates[].evidence[]` of a Promotion, which stays the same however the
    /// bundle is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bundles: Vec<Digest>,
    /// Signers, each from an instant on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<RevokedSigner>,
    /// Records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RevokedRecord>,
}

impl Revocation {
    /// What is wrong with it, if anything. The schema says the same: this is for what passed it.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let Self {
            reason: _,
            digests,
            bundles,
            signers,
            records,
        } = self;
        let nothing = digests.is_empty() && bundles.is_empty();
        if nothing && signers.is_empty() && records.is_empty() {
            return Some(
                "spec: it revokes nothing; name digests, bundles, signers or records".into(),
            );
        }
        signers.iter().enumerate().find_map(|(position, signer)| {
            let is_hexadecimal = |key: &String| {
                let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                key.len() == 64 && key.bytes().all(digit)
            };
            match (&signer.key, &signer.identity) {
                (Some(key), None) if is_hexadecimal(key) => None,
                (None, Some(_)) => None,
                (Some(key), None) => Some(format!(
                    "spec.signers[{position}].key: \"{}\" is no SHA-256 in 64 lower-case \
                     hexadecimal characters",
                    clip(key)
                )),
                (Some(_), Some(_)) | (None, None) => Some(format!(
                    "spec.signers[{position}]: name either a key or an identity"
                )),
            }
        })
    }
}

/// A Revocation as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevocationFact {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What it says, or why it cannot be read.
    pub content: Result<Revocation, String>,
}

/// The Revocation that something was found in. Shown, it says which and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked<'a> {
    /// Its name.
    pub name: &'a str,
    /// Why, as it says.
    pub reason: &'a str,
}

impl fmt::Display for Revoked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revocation {} ({})", self.name, clip(self.reason))
    }
}

/// The first Revocation that cannot be read, with the reason: nobody knows what it covers.
#[must_use]
pub fn unreadable(all: &[RevocationFact]) -> Option<(&str, &str)> {
    all.iter().find_map(|fact| {
        let problem = fact.content.as_ref().err()?;
        Some((fact.name.as_str(), problem.as_str()))
    })
}

/// The first Revocation with something in it of which `holds` is true.
fn find(all: &[RevocationFact], holds: impl Fn(&Revocation) -> bool) -> Option<Revoked<'_>> {
    all.iter().find_map(|fact| {
        let content = fact.content.as_ref().ok()?;
        holds(content).then_some(Revoked {
            name: &fact.name,
            reason: &content.reason,
        })
    })
}

/// The Revocation of an artifact or, where it is known to be an index, of one of its images: a new
/// index around a revoked image is another digest for the same programs. Shown is the one that is
/// named.
#[must_use]
pub fn of_artifact<'a>(facts: &'a Facts, digest: &'a Digest) -> Option<(&'a Digest, Revoked<'a>)> {
    let mut parts = facts.parts(digest);
    parts.find_map(|part| {
        let revoked = find(&facts.revocations, |content| content.digests.contains(part));
        Some((part, revoked?))
    })
}

/// Whether any artifact is revoked by its digest.
#[must_use]
pub fn names_digests(all: &[RevocationFact]) -> bool {
    let mut readable = all.iter().filter_map(|fact| fact.content.as_ref().ok());
    readable.any(|content| !content.digests.is_empty())
}

/// Whether something that is revoked may be in an image that is looked up: nobody knows yet what that
/// is made of, as after a restart.
#[must_use]
pub fn may_be_in(facts: &Facts, image: &ImageReference) -> bool {
    names_digests(&facts.revocations)
        && facts.evidence.contains_key(image)
        && !facts.is_form_known(image.digest())
}

/// The Revocation of a bundle: of its own digest, of what is signed in it, or of another bundle beside
/// it in which one of its signers says the same. Whoever may push can write one and the same
/// signature in many ways, with other timestamps too, and nobody can tell that from a second one.
#[must_use]
pub fn of_bundle<'a>(
    all: &'a [RevocationFact],
    evidence: &Evidence,
    bundle: &Bundle,
) -> Option<Revoked<'a>> {
    let signed_by = |signer: &Signer, bundle: &Bundle| {
        let mut ways = bundle.verified_by.iter();
        ways.any(|verified| verified.signer == *signer)
    };
    let same = |other: &&Bundle| {
        let mut signers = bundle.verified_by.iter().map(|verified| &verified.signer);
        other.payload == bundle.payload
            && other.content == bundle.content
            && signers.any(|signer| signed_by(signer, other))
    };
    let copies = || evidence.bundles.iter().filter(same).chain([bundle]);
    find(all, |content| {
        let named = |digest: &Digest| content.bundles.contains(digest);
        copies().any(|copy| named(&copy.digest) || copy.payload.as_ref().is_some_and(named))
    })
}

/// The Revocation of a signer that covers a signature made at these trusted times or, without any,
/// now.
#[must_use]
pub fn of_signer<'a>(
    all: &'a [RevocationFact],
    signer: &Signer,
    times: &[Timestamp],
    now: Timestamp,
) -> Option<Revoked<'a>> {
    find(all, |content| {
        let mut signers = content.signers.iter();
        signers.any(|revoked| revoked.is(signer) && revoked.covers(times, now))
    })
}

/// The Revocation of a record.
#[must_use]
pub fn of_record<'a>(
    all: &'a [RevocationFact],
    namespace: &str,
    name: &str,
) -> Option<Revoked<'a>> {
    find(all, |content| {
        let mut records = content.records.iter();
        records.any(|record| record.namespace == namespace && record.name == name)
    })
}

/// The Revocation of a bundle that a gate once relied on, or of who signed it.
#[must_use]
pub fn of_reference<'a>(
    all: &'a [RevocationFact],
    reference: &EvidenceReference,
    now: Timestamp,
) -> Option<Revoked<'a>> {
    let EvidenceReference {
        authority: _,
        digest,
        payload,
        signer,
        signed_at,
    } = reference;
    find(all, |content| {
        let mut signers = content.signers.iter();
        let named = |digest: &Digest| content.bundles.contains(digest);
        named(digest)
            || payload.as_ref().is_some_and(named)
            || signers.any(|revoked| {
                revoked.is_called(signer) && revoked.covers(signed_at.as_slice(), now)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{BuildClaims, Identity, Verified};
    use crate::fixtures::revoked::revocation;
    use crate::fixtures::{at, bundles, digest, key, now, ready};

    fn signed_by(signer: RevokedSigner) -> RevocationFact {
        revocation("disclosed", |content| content.signers = vec![signer])
    }

    fn of_key(from: &str) -> RevokedSigner {
        RevokedSigner {
            key: Some(key("ci").to_string()),
            identity: None,
            from: at(from),
        }
    }

    #[test]
    fn a_signer_is_revoked_from_an_instant_on_and_now_where_nobody_dates_the_signature() {
        let all = [signed_by(of_key("2026-11-20T00:00:00Z"))];
        let (ci, eve) = (Signer::Key(key("ci")), Signer::Key(key("eve")));
        let revoked = |signer, times: &[&str]| {
            let times: Vec<_> = times.iter().map(|time| at(time)).collect();
            of_signer(&all, signer, &times, now()).is_some()
        };
        assert!(!revoked(&ci, &["2026-11-19T23:59:59Z"]));
        assert!(revoked(&ci, &["2026-11-20T00:00:00Z"]), "from that instant");
        assert!(revoked(&ci, &[]), "judged as if made now");
        let later = ["2026-11-19T00:00:00Z", "2026-11-21T00:00:00Z"];
        assert!(revoked(&ci, &later), "all of its times must be before");
        assert!(!revoked(&eve, &[]), "another key");
        let future = [signed_by(of_key("2026-12-01T00:00:00Z"))];
        assert_eq!(of_signer(&future, &ci, &[], now()), None);
    }

    #[test]
    fn an_identity_is_both_issuer_and_subject_exactly() {
        let identity = RevokedIdentity {
            issuer: "https://token.example".into(),
            subject: "release@corp.example".into(),
        };
        let revoked = RevokedSigner {
            key: None,
            identity: Some(identity),
            from: at("2026-11-20T00:00:00Z"),
        };
        let check = |issuer: &str, subject: &str, expected| {
            let signer = Signer::Identity(Identity {
                issuer: issuer.into(),
                subject: subject.into(),
                claims: BuildClaims::default(),
            });
            assert_eq!(revoked.is(&signer), expected, "{signer}");
            assert_eq!(revoked.is_called(&signer.to_string()), expected, "{signer}");
        };
        check("https://token.example", "release@corp.example", true);
        check("https://token.example/", "release@corp.example", false);
        check("https://token.example", "release@corp.example.evil", false);
        check("https://token.example", "a-release@corp.example", false);
        check("https://token.exampl", "release@corp.example", false);
    }

    #[test]
    fn what_a_gate_relied_on_is_found_by_bundle_and_by_signer() {
        let reference = |signed_at: Option<&str>| EvidenceReference {
            authority: "production/ci".into(),
            digest: Digest::of(b"bundle"),
            payload: None,
            signer: key("ci").to_string(),
            signed_at: signed_at.map(at),
        };
        let bundle = revocation("b", |content| content.bundles = vec![Digest::of(b"bundle")]);
        assert!(of_reference(&[bundle], &reference(None), now()).is_some());
        let signer = [signed_by(of_key("2026-11-20T00:00:00Z"))];
        assert!(of_reference(&signer, &reference(None), now()).is_some());
        let before = reference(Some("2026-11-19T00:00:00Z"));
        assert_eq!(of_reference(&signer, &before, now()), None);
    }

    /// Whoever may push writes the same signature another way.
    #[test]
    fn one_and_the_same_signature_stays_revoked_however_it_is_written() {
        let mut snapshot = ready();
        let written = bundles(&mut snapshot)[1].clone();
        let payload = Some(Digest::of(b"payload"));
        let original = Bundle {
            digest: Digest::of(b"original"),
            payload: payload.clone(),
            ..written.clone()
        };
        let copy = Bundle {
            digest: Digest::of(b"with a space more"),
            ..original.clone()
        };
        let beside = Evidence::new(digest("1.42.0"), vec![original.clone(), copy.clone()]);
        let alone = Evidence::new(digest("1.42.0"), vec![copy.clone()]);
        let naming = |digest: &Digest| {
            [revocation("b", |content| {
                content.bundles = vec![digest.clone()];
            })]
        };
        let by_name = naming(&original.digest);
        assert!(of_bundle(&by_name, &beside, &copy).is_some());
        let by_payload = naming(payload.as_ref().unwrap());
        assert!(of_bundle(&by_payload, &alone, &copy).is_some());
        let somebody = Bundle {
            verified_by: [Verified::by_key(key("security"))].into(),
            ..copy.clone()
        };
        assert_eq!(of_bundle(&by_name, &beside, &somebody), None);
        let other = Bundle {
            payload: Some(Digest::of(b"another statement")),
            ..copy
        };
        assert_eq!(of_bundle(&by_name, &beside, &other), None);
        // Over the manifest itself there is no payload: the same signer said the same.
        let plain = |bytes: &[u8]| Bundle {
            digest: Digest::of(bytes),
            ..crate::fixtures::signature("1.42.0")
        };
        let (one, two) = (plain(b"one"), plain(b"two"));
        let both = Evidence::new(digest("1.42.0"), vec![one.clone(), two.clone()]);
        assert!(of_bundle(&naming(&one.digest), &both, &two).is_some());
    }

    #[test]
    fn what_names_nothing_or_two_things_at_once_is_refused() {
        let check = |change: fn(&mut Revocation), problem: &str| {
            let content = revocation("r", change).content.unwrap();
            let found = content.contradiction().unwrap_or_default();
            assert!(found.contains(problem), "{found}");
        };
        check(|_| {}, "it revokes nothing");
        let no_key = |content: &mut Revocation| {
            let short = Some("abc".to_owned());
            content.signers = vec![RevokedSigner {
                key: short,
                ..of_key("2026-11-20T00:00:00Z")
            }];
        };
        check(no_key, "spec.signers[0].key: \"abc\" is no SHA-256");
        check(
            |content| {
                let neither = RevokedSigner {
                    key: None,
                    ..of_key("2026-11-20T00:00:00Z")
                };
                content.signers = vec![of_key("2026-11-20T00:00:00Z"), neither];
            },
            "spec.signers[1]: name either",
        );
        let right = signed_by(of_key("2026-11-20T00:00:00Z")).content.unwrap();
        assert_eq!(right.contradiction(), None);
    }

    #[test]
    fn one_that_cannot_be_read_is_named() {
        let mut broken = revocation("broken", |_| {});
        broken.content = Err("unknown field `digest`".into());
        let all = [revocation("good", |_| {}), broken];
        assert_eq!(unreadable(&all), Some(("broken", "unknown field `digest`")));
        assert_eq!(unreadable(&all[..1]), None);
    }
}
