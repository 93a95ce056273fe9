//! Reading policy and Release files strictly: a field that nobody reads would be a rule that nobody
//! enforces.

use std::path::Path;

use lockmaster_api::{ClusterPromotionPolicySpec, ReleaseSpec, TrustedRootSpec};
use lockmaster_core::facts::{TrustedRootFact, TrustedRoots};
use lockmaster_core::policy::{Policy, PolicyFact};
use lockmaster_core::release::Release;
use lockmaster_observe::observation::{policy_content, trusted_root_content};
use lockmaster_rego::Sandbox;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::failure::{Failure, one_line};

/// An object in a file; [`Head`] has been read before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest<S> {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Metadata,
    spec: S,
    #[serde(default, rename = "status")]
    _status: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

/// What an object says it is; read before the rest, so that another kind is told from a mistake.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// Reads a file with one or more ClusterPromotionPolicies.
pub(super) fn parse(
    text: &str,
    file: &Path,
    sandbox: &Sandbox,
) -> Result<Vec<PolicyFact>, Failure> {
    let manifests: Vec<Manifest<ClusterPromotionPolicySpec>> =
        documents(text, file, "ClusterPromotionPolicy")?;
    let facts: Result<Vec<_>, _> = manifests
        .into_iter()
        .map(|manifest| fact(manifest, file, sandbox))
        .collect();
    let facts = facts?;
    if facts.iter().any(|fact| {
        let content = fact.content.as_ref();
        content.is_ok_and(|content| {
            let policy = &content.policy;
            policy.evidence.asks() || !policy.rules.is_empty()
        })
    }) {
        return Ok(facts);
    }
    Err(Failure::usage(format!(
        "{}: spec.evidence asks for nothing and there are no spec.rules, so there is nothing to \
         verify",
        file.display()
    )))
}

/// Reads a file with a trusted root into `roots`: a TrustedRoot manifest under its own name, the
/// JSON itself under every name that the policies use.
pub(super) fn trusted_root(
    text: &str,
    file: &Path,
    policies: &[PolicyFact],
    roots: &mut TrustedRoots,
) -> Result<(), Failure> {
    let mut add = |name: String, json: &str| {
        let content = trusted_root_content(json).map_err(|problem| {
            Failure::usage(format!("{}: {}", file.display(), one_line(&problem)))
        })?;
        let fact = TrustedRootFact {
            uid: String::new(),
            generation: 0,
            content: Ok(content),
        };
        roots.insert(name, fact);
        Ok(())
    };
    if text.trim_start().starts_with('{') && !text.contains("\"lockmaster.dev/") {
        let readable = policies
            .iter()
            .filter_map(|fact| fact.content.as_ref().ok());
        let mut names = readable.flat_map(|content| content.policy.trusted_roots());
        return names.try_for_each(|name| add(name.to_owned(), text));
    }
    let manifests: Vec<Manifest<TrustedRootSpec>> = documents(text, file, "TrustedRoot")?;
    let mut manifests = manifests.into_iter();
    manifests.try_for_each(|manifest| add(manifest.metadata.name, &manifest.spec.json))
}

/// Reads a file with one Release.
pub(super) fn release(text: &str, file: &Path) -> Result<Release, Failure> {
    let manifests: Vec<Manifest<ReleaseSpec>> = documents(text, file, "Release")?;
    let shown = file.display();
    let mut manifests = manifests.into_iter();
    match (manifests.next(), manifests.next()) {
        (Some(Manifest { metadata, spec, .. }), None) => {
            let ReleaseSpec {
                product,
                version,
                components,
                source,
            } = spec;
            let name = metadata.name;
            Ok(Release {
                name,
                product,
                version,
                components,
                source,
            })
        }
        _ => Err(Failure::usage(format!("{shown}: expected one Release"))),
    }
}

fn documents<S: DeserializeOwned>(
    text: &str,
    file: &Path,
    wanted: &str,
) -> Result<Vec<Manifest<S>>, Failure> {
    let shown = file.display();
    let problem = |error: &serde_saphyr::Error| {
        let text = one_line(&error.without_snippet().to_string());
        Failure::usage(format!("{shown}: {text}"))
    };
    let heads: Vec<Head> = serde_saphyr::from_multiple(text).map_err(|error| problem(&error))?;
    let version = format!("{}/{}", lockmaster_api::GROUP, lockmaster_api::VERSION);
    for Head { api_version, kind } in &heads {
        if *api_version != version || kind != wanted {
            return Err(Failure::usage(format!(
                "{shown}: expected apiVersion {version} and kind {wanted}, found \
                 \"{api_version}\" and \"{kind}\""
            )));
        }
    }
    if heads.is_empty() {
        return Err(Failure::usage(format!(
            "{shown}: there is no {wanted} in it"
        )));
    }
    serde_saphyr::from_multiple(text).map_err(|error| problem(&error))
}

fn fact(
    manifest: Manifest<ClusterPromotionPolicySpec>,
    file: &Path,
    sandbox: &Sandbox,
) -> Result<PolicyFact, Failure> {
    let Manifest {
        metadata: Metadata { name },
        spec,
        ..
    } = manifest;
    let content = policy_content(Policy::from(spec), sandbox).map_err(|problems| {
        let text = problems.join("; ");
        Failure::usage(format!("{}: policy {name}: {text}", file.display()))
    })?;
    Ok(PolicyFact {
        uid: String::new(),
        generation: 1,
        content: Ok(content),
        name,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const POLICY: &str = "\
apiVersion: lockmaster.dev/v1alpha1
kind: ClusterPromotionPolicy
metadata:
  name: baseline
spec:
  match:
    tiers: [Production]
  sources:
  - namespaces: [shop]
    repositories: [https://git.example/shop/checkout]
    imageRepositories: [registry.example/shop/*]
  authorities:
  - name: ci
    keys:
    - pem: |
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqGEVVwpRKsqYGqLWQzLJHwR4TP+R
        cW9cKL+JSPOuLnQeMNHU5x4vvmRdIOnuL0K9P4RYw2tB2N6mIqVyY+BEgw==
        -----END PUBLIC KEY-----
    predicateTypes: [https://sigstore.dev/cosign/sign/v1]
  evidence:
    signatures:
      authorities: [ci]
      threshold: 1
";

    /// Reads a file, its rules without a sandbox.
    pub(in super::super) fn read(text: &str) -> Result<Vec<PolicyFact>, Failure> {
        parse(
            text,
            Path::new("policy.yaml"),
            &Sandbox::without_protection(),
        )
    }

    #[track_caller]
    fn refused(text: &str, expect: &[&str]) {
        let failure = read(text).unwrap_err();
        assert!(failure.message.starts_with("policy.yaml: "), "{failure}");
        assert!(!failure.message.contains('\n'), "{failure}");
        for word in expect {
            assert!(failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn a_policy_is_read_with_its_keys() {
        let facts = read(POLICY).unwrap();
        let content = facts[0].content.as_ref().unwrap();
        assert_eq!(facts[0].name, "baseline");
        assert_eq!(content.keys_of("ci").len(), 1);
        let two = format!("{POLICY}---\n{}", POLICY.replace("baseline", "second"));
        assert_eq!(read(&two).unwrap().len(), 2);
    }

    #[test]
    fn an_unknown_field_is_named_with_its_line() {
        refused(
            &POLICY.replace("threshold: 1", "threshold: 1\n      treshold: 2"),
            &["treshold", "line 25"],
        );
        refused(&POLICY.replace("spec:", "spce:"), &["spce"]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        refused(
            &POLICY.replace("authorities: [ci]", "authorities: [qa]"),
            &["\"qa\""],
        );
        refused(
            &POLICY.replace("threshold: 1", "threshold: 2"),
            &["never be met"],
        );
        refused(
            &POLICY.replace("PUBLIC KEY", "PRIVATE KEY"),
            &["keys[0].pem", "private key"],
        );
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_named_with_its_place() {
        let rules = |rego: &str| {
            format!(
                "{POLICY}  rules:\n  - name: any\n    rego: |\n      package lockmaster\n      {rego}\n"
            )
        };
        assert!(read(&rules("allow := true")).is_ok());
        refused(
            &rules("allow = = true"),
            &["policy baseline: spec.rules[any].rego: line 2, column 9"],
        );
        let entry = format!(
            "{POLICY}    attestations:\n    - name: load-test\n      predicateType: \
             https://example.com/load-test/v1\n      authorities: [ci]\n      rule: \"package \
             lockmaster\\nallow = = true\"\n"
        );
        let entry = entry.replace(
            "predicateTypes: [",
            "predicateTypes: [https://example.com/load-test/v1, ",
        );
        refused(
            &entry,
            &["spec.evidence.attestations[load-test].rule: line 2, column 9"],
        );
        refused(&rules("allow if http.send({})"), &["http.send is refused"]);
        let alone = "apiVersion: lockmaster.dev/v1alpha1\nkind: ClusterPromotionPolicy\n\
                     metadata: {name: p}\nspec: {rules: [{name: a, rego: \"package lockmaster\\n\
                     allow := true\"}]}\n";
        assert!(read(alone).is_ok(), "rules alone are something to verify");
    }

    #[test]
    fn another_kind_is_told_from_a_mistake() {
        refused("apiVersion: v1\nkind: Pod\nmetadata: {}\n", &["\"Pod\""]);
        refused("", &["ClusterPromotionPolicy"]);
        let nothing = "apiVersion: lockmaster.dev/v1alpha1\nkind: ClusterPromotionPolicy\n\
                       metadata: {name: p}\nspec: {}\n";
        refused(nothing, &["nothing to verify"]);
    }

    #[test]
    fn a_release_is_read_the_same_way() {
        let text = format!(
            "apiVersion: lockmaster.dev/v1alpha1\nkind: Release\nmetadata: {{name: r}}\nspec:\n  \
             product: checkout\n  version: 1.42.0\n  components:\n  - image: \
             registry.example/shop/checkout@sha256:{}\n",
            "0".repeat(64)
        );
        let file = Path::new("release.yaml");
        assert_eq!(release(&text, file).unwrap().product, "checkout");
        let two = format!("{text}---\n{text}");
        assert!(
            release(&two, file)
                .unwrap_err()
                .message
                .contains("expected one")
        );
    }
}
