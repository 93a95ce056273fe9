//! What a rule may look at: the release, where it goes, one image, and what was signed about it.
//!
//! `docs/reference/rego.md` documents the shape for people who write rules; what stands there keeps
//! its meaning for as long as [`VERSION`] says so. It is made from facts alone and in a fixed order,
//! so that the same facts ask the same question.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::super::evidence::Question;
use super::shown::Signed;
use crate::canonical;
use crate::case::Case;
use crate::environment::Tier;
use crate::evidence::{BuildClaims, Content, Identity, KeyId, Signer};
use crate::facts::Observed;
use crate::promotion::Action;
use crate::release::{Component, Digest, ImageReference, Release, Source, Version};

/// Version of the shape.
const VERSION: &str = "rules.lockmaster.dev/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Input<'a> {
    api_version: &'static str,
    now: Timestamp,
    policy: &'a str,
    action: Action,
    environment: Place<'a>,
    release: Released<'a>,
    component: Part<'a>,
    evidence: Vec<Piece<'a>>,
}

/// What the guarded fields of the Environment say, and its effective tier; no label, no annotation.
#[derive(Serialize)]
struct Place<'a> {
    namespace: &'a str,
    name: &'a str,
    product: &'a str,
    stage: &'a str,
    tier: Tier,
}

#[derive(Serialize)]
struct Released<'a> {
    name: &'a str,
    product: &'a str,
    version: &'a Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Source>,
    components: Vec<Part<'a>>,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'a str,
    image: &'a ImageReference,
    repository: &'a str,
    digest: &'a Digest,
}

/// One bundle and one authority under whose key it verifies.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    predicate_type: &'a str,
    authority: &'a str,
    signer: Maker<'a>,
    /// By the earliest trusted timestamp.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_at: Option<Timestamp>,
    bundle: &'a Digest,
    #[serde(skip_serializing_if = "Value::is_null")]
    predicate: Value,
}

/// Who made a signature.
#[derive(Serialize)]
#[serde(untagged)]
enum Maker<'a> {
    /// The holder of a managed key.
    Key { key: &'a KeyId },
    /// Whom a certificate names.
    Identity {
        issuer: &'a str,
        subject: &'a str,
        claims: &'a BuildClaims,
    },
}

impl<'a> Maker<'a> {
    fn of(signer: &'a Signer) -> Self {
        match signer {
            Signer::Key(key) => Self::Key { key },
            Signer::Identity(Identity {
                issuer,
                subject,
                claims,
            }) => Self::Identity {
                issuer,
                subject,
                claims,
            },
        }
    }
}

/// The canonical JSON of what a rule of the question's policy may look at, with what it is `shown`;
/// nothing where it cannot be written.
pub(super) fn of(
    question: &Question<'_>,
    shown: &[Signed<'_>],
    release: &Release,
    component: &Component,
) -> Option<String> {
    let case = question.case;
    let input = Input {
        api_version: VERSION,
        now: whole_minute(case.now),
        policy: question.policy,
        action: case.promotion.request.action,
        environment: place(case),
        release: released(release),
        component: part(release, component),
        evidence: shown.iter().map(piece).collect(),
    };
    canonical::canonical(&input).ok()
}

/// Version of what the rule of an entry may look at.
const STATEMENT_VERSION: &str = "statements.lockmaster.dev/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatementInput<'a> {
    api_version: &'static str,
    policy: &'a str,
    entry: &'a str,
    environment: Place<'a>,
    release: Released<'a>,
    component: Part<'a>,
    statement: Piece<'a>,
}

/// The canonical JSON of what the rule of an `entry` may look at about one statement.
pub(in crate::gates) fn about_statement(
    question: &Question<'_>,
    entry: &str,
    signed: &Signed<'_>,
) -> Option<String> {
    let case = question.case;
    let release = case.release?;
    let holds = |component: &&Component| {
        let evidence = case.facts.evidence.get(&component.image);
        let index = match evidence {
            Some(Observed::Known(evidence)) => evidence.form.children(),
            Some(Observed::Pending | Observed::Unavailable(_)) | None => &[],
        };
        let mut children = index.iter().map(|child| &child.digest);
        component.image == *question.image
            || (component.image.repository() == question.image.repository()
                && children.any(|digest| digest == question.image.digest()))
    };
    let component = release.components.iter().find(holds)?;
    let input = StatementInput {
        api_version: STATEMENT_VERSION,
        policy: question.policy,
        entry,
        environment: place(case),
        release: released(release),
        component: Part {
            image: question.image,
            digest: question.image.digest(),
            ..part(release, component)
        },
        statement: piece(signed),
    };
    canonical::canonical(&input).ok()
}

fn place<'a>(case: &Case<'a>) -> Place<'a> {
    let environment = case.environment;
    Place {
        namespace: &environment.namespace,
        name: &environment.name,
        product: &environment.product,
        stage: &environment.stage,
        tier: case.tier,
    }
}

fn released(release: &Release) -> Released<'_> {
    Released {
        name: &release.name,
        product: &release.product,
        version: &release.version,
        source: release.source.as_ref(),
        components: release
            .components
            .iter()
            .map(|c| part(release, c))
            .collect(),
    }
}

/// Time passes in steps of a minute, so that the passes of one minute ask the same question.
fn whole_minute(now: Timestamp) -> Timestamp {
    let seconds = now.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(60)).unwrap_or(now)
}

fn part<'a>(release: &'a Release, component: &'a Component) -> Part<'a> {
    Part {
        name: release.component_name(component),
        image: &component.image,
        repository: component.image.repository(),
        digest: component.image.digest(),
    }
}

fn piece<'a>(signed: &Signed<'a>) -> Piece<'a> {
    let Signed {
        predicate_type,
        bundle,
        authority,
        signature,
    } = *signed;
    Piece {
        predicate_type,
        authority,
        signer: Maker::of(signature.by()),
        signed_at: signature.at(),
        bundle: &bundle.digest,
        predicate: predicate(&bundle.content),
    }
}

/// What the statement says, as far as it is read; of a type that is not read here all of it, where it
/// is small enough to be kept.
fn predicate(content: &Content) -> Value {
    match content {
        Content::Provenance(provenance) => {
            let mut value = said(provenance);
            if let Value::Object(fields) = &mut value {
                // Has always been there.
                fields.entry("invocation").or_insert(Value::Null);
            }
            value
        }
        Content::Sbom(bill) => said(bill),
        Content::Scan(scan) => said(scan),
        Content::Vex(vex) => said(vex),
        Content::Summary(summary) => said(summary),
        Content::Tests(tests) => said(tests),
        Content::Change(change) => said(change),
        Content::Checks(checks) => said(checks),
        Content::Release(release) => said(release),
        Content::NotApplicable(statement) => said(statement),
        Content::Custom { value, .. } => value
            .as_ref()
            .ok()
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default(),
        Content::Signature | Content::Unreadable { .. } => Value::Null,
    }
}

/// As snapshots have it, without the type, which stands beside it.
fn said(statement: &impl Serialize) -> Value {
    let mut value = serde_json::to_value(statement).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.remove("predicateType");
    }
    value
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::evidence::{CHECKS, COSIGN_VULN, Content, OPENVEX, SLSA_PROVENANCE_V1, Verified};
    use crate::fixtures::keyless::{ISSUER, SUBJECT, keyless};
    use crate::fixtures::revoked::revocation;
    use crate::fixtures::ruled::questions;
    use crate::fixtures::statements::{CUSTOM, checks, custom, scan, vex};
    use crate::fixtures::{
        at, authority, bundles, digest, image, key, policy_fact, provenance, ready, sbom,
        signature, with_policy,
    };
    use crate::policy::RegoRule;
    use crate::snapshot::Snapshot;

    /// Signature, provenance and SBOM are attached, and a rule is asked.
    fn with_rule() -> Snapshot {
        let mut snapshot = ready();
        bundles(&mut snapshot).truncate(3);
        with_policy(&mut snapshot, |policy| {
            policy.rules = vec![RegoRule {
                name: "any".into(),
                rego: "package lockmaster".into(),
            }];
        });
        snapshot
    }

    fn input(snapshot: &Snapshot) -> Value {
        let questions = questions(snapshot);
        assert_eq!(questions.len(), 1);
        let text = &questions.values().next().unwrap().input;
        serde_json::from_str(text).unwrap()
    }

    fn types(snapshot: &Snapshot) -> Vec<String> {
        let input = input(snapshot);
        let pieces = input["evidence"].as_array().unwrap().iter();
        let types = pieces.map(|piece| piece["predicateType"].as_str().unwrap().to_owned());
        types.collect()
    }

    #[test]
    fn the_shape_is_documented_and_keeps_its_meaning() {
        let mut snapshot = with_rule();
        snapshot.now = at("2026-11-24T10:00:59.7Z");
        bundles(&mut snapshot).truncate(2);
        let part = serde_json::json!({
            "name": "checkout",
            "image": image("1.42.0").to_string(),
            "repository": "registry.example/shop/checkout",
            "digest": digest("1.42.0").to_string(),
        });
        let piece = |bundle: crate::evidence::Bundle, kind: &str, predicate: Value| {
            let mut piece = serde_json::json!({
                "predicateType": kind,
                "authority": "ci",
                "signer": {"key": key("ci").to_string()},
                "bundle": bundle.digest.to_string(),
            });
            if !predicate.is_null() {
                piece["predicate"] = predicate;
            }
            piece
        };
        let expected = serde_json::json!({
            "apiVersion": "rules.lockmaster.dev/v1",
            "now": "2026-11-24T10:00:00Z",
            "policy": "production",
            "action": "Promote",
            "environment": {
                "namespace": "shop",
                "name": "checkout-prod",
                "product": "checkout",
                "stage": "prod",
                "tier": "Production",
            },
            "release": {
                "name": "checkout-1.42.0",
                "product": "checkout",
                "version": "1.42.0",
                "source": {
                    "repository": "https://git.example/shop/checkout",
                    "commit": "3c1e9f2a".repeat(5),
                    "tag": "v1.42.0",
                },
                "components": [part.clone()],
            },
            "component": part,
            "evidence": [
                piece(signature("1.42.0"), "https://sigstore.dev/cosign/sign/v1", Value::Null),
                piece(provenance("1.42.0"), "https://slsa.dev/provenance/v1", serde_json::json!({
                    "builder": "https://ci.example/runners/shop",
                    "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                    "repository": "https://git.example/shop/checkout",
                    "reference": "refs/tags/v1.42.0",
                    "commit": "3c1e9f2a".repeat(5),
                    "invocation": "https://ci.example/runners/shop/runs/4711",
                    "workflow": "https://git.example/shop/checkout/.ci/build.yml@refs/tags/v1.42.0",
                    "trigger": "push",
                })),
            ],
        });
        assert_eq!(input(&snapshot), expected);
    }

    #[test]
    fn whom_a_certificate_names_is_told_with_the_time() {
        let mut snapshot = with_rule();
        keyless(&mut snapshot);
        bundles(&mut snapshot).truncate(1);
        let piece = &input(&snapshot)["evidence"][0];
        assert_eq!(piece["signer"]["issuer"], ISSUER);
        assert_eq!(piece["signer"]["subject"], SUBJECT);
        assert_eq!(
            piece["signer"]["claims"]["sourceRepository"],
            "https://git.example/shop/checkout"
        );
        assert_eq!(piece["signedAt"], "2026-11-24T10:00:00Z");
    }

    #[test]
    fn further_statements_are_shown_as_they_were_read() {
        let mut snapshot = with_rule();
        let before = bundles(&mut snapshot).len();
        bundles(&mut snapshot).extend([
            scan("1.42.0"),
            checks("1.42.0"),
            custom("1.42.0"),
            vex("1.42.0", "CVE-2026-2"),
        ]);
        let shown = input(&snapshot);
        let shown = shown["evidence"].as_array().unwrap();
        assert_eq!(shown.len(), before + 4);
        let of = |kind: &str| {
            let mut pieces = shown.iter();
            &pieces.find(|piece| piece["predicateType"] == kind).unwrap()["predicate"]
        };
        assert_eq!(of(COSIGN_VULN)["counts"]["Low"], 1);
        assert_eq!(of(COSIGN_VULN)["findings"][0]["id"], "CVE-2026-1");
        assert_eq!(of(CHECKS)["checks"][0]["conclusion"], "success");
        assert_eq!(of(OPENVEX)["statements"][0]["status"], "not_affected");
        assert_eq!(*of(CUSTOM), serde_json::json!({}), "as it was attached");
    }

    /// CVE-2022-35929 and its like: what did not verify, is about something else, or was signed by
    /// somebody who may not sign it, must not even be seen.
    #[test]
    fn only_what_verifies_about_this_digest_is_shown() {
        let check = |what: &str, spoil: fn(&mut Snapshot)| {
            let mut snapshot = with_rule();
            spoil(&mut snapshot);
            let types = types(&snapshot);
            let shown = types.iter().any(|kind| kind == SLSA_PROVENANCE_V1);
            assert_eq!(types.len(), 2, "{what}: {types:?}");
            assert!(!shown, "{what}: {types:?}");
        };
        assert_eq!(types(&with_rule()).len(), 3);
        check("unverified", |s| bundles(s)[1].verified_by.clear());
        check("by a stranger", |s| {
            bundles(s)[1].verified_by = [Verified::by_key(key("eve"))].into();
        });
        check("about another digest", |s| {
            bundles(s)[1] = provenance("1.41.3");
        });
        check("of a type that its signer may not sign", |s| {
            with_policy(s, |policy| {
                let types = &mut policy.authorities[0].predicate_types;
                types.retain(|kind| kind != SLSA_PROVENANCE_V1);
            });
        });
        check("revoked", |s| {
            let bundle = bundles(s)[1].digest.clone();
            let revoked = revocation("runner", |revoked| revoked.bundles.push(bundle));
            s.facts.revocations.push(revoked);
        });
        check("unreadable", |s| {
            bundles(s)[1].content = Content::Unreadable {
                predicate: Some(SLSA_PROVENANCE_V1.into()),
                problem: "no builder".into(),
            };
        });
    }

    #[test]
    fn an_authority_of_another_policy_shows_nothing_here() {
        let mut snapshot = with_rule();
        let mut other = crate::fixtures::policy();
        other.authorities = vec![authority("qa")];
        other.evidence = crate::policy::EvidenceRules::default();
        other.rules = vec![RegoRule {
            name: "any".into(),
            rego: "package lockmaster".into(),
        }];
        snapshot.facts.policies.push(policy_fact("qa", other));
        let inputs: Vec<Value> = questions(&snapshot)
            .values()
            .map(|question| serde_json::from_str(&question.input).unwrap())
            .collect();
        let of = |policy: &str| {
            let input = inputs.iter().find(|input| input["policy"] == policy);
            input.unwrap()["evidence"].as_array().unwrap().len()
        };
        assert_eq!((of("production"), of("qa")), (3, 0));
    }

    #[test]
    fn the_order_of_the_registry_asks_no_other_question() {
        let mut snapshot = with_rule();
        let first = questions(&snapshot);
        *bundles(&mut snapshot) = vec![sbom("1.42.0"), provenance("1.42.0"), signature("1.42.0")];
        assert_eq!(questions(&snapshot), first);
        snapshot.now = at("2026-11-24T10:00:59Z");
        assert_eq!(questions(&snapshot), first, "within the minute");
        snapshot.now = at("2026-11-24T10:01:00Z");
        assert_ne!(questions(&snapshot), first);
    }
}
