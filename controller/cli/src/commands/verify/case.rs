//! The smallest world in which the evidence gates can be asked: one image, one Environment, one
//! promotion. The gates are core's own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lockmaster_core::case::{Case, needs};
use lockmaster_core::decide::Input;
use lockmaster_core::environment::{Environment, Span, Tier};
use lockmaster_core::evidence::{Anchor, Evidence};
use lockmaster_core::facts::{Facts, Observed, TrustedRoots};
use lockmaster_core::gate::{GateReport, Look, evaluate};
use lockmaster_core::gates;
use lockmaster_core::policy::{Match, PolicyContent, PolicyFact};
use lockmaster_core::promotion::{Action, Memory, Promotion, Request};
use lockmaster_core::release::{Component, ImageReference, Release, Source, Version};

use crate::args::Verify;
use crate::failure::Failure;

/// The gates that judge evidence.
const GATES: [&str; 3] = ["signature", "provenance", "sbom"];

/// What is judged.
#[derive(Debug)]
pub(super) struct Subjects {
    namespace: String,
    release: Release,
}

impl Subjects {
    /// From the command line, and the Release file where one is given.
    pub(super) fn of(
        arguments: &Verify,
        policies: &[PolicyFact],
        release: Option<Release>,
    ) -> Result<Self, Failure> {
        let compares = arguments.repository.is_some() || release.is_some();
        let asks = readable(policies).any(|content| !content.policy.evidence.provenance.is_empty());
        if asks && !compares {
            return Err(Failure::usage(
                "the policy asks for provenance: say what it must name, with --release FILE or \
                 with --repository, --commit and --version",
            ));
        }
        let release = match release {
            Some(release) => of_file(release, &arguments.image)?,
            None => of_flags(arguments)?,
        };
        Ok(Self {
            namespace: namespace(arguments, policies)?,
            release,
        })
    }

    /// The namespace whose sources count.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The product whose sources count.
    pub(super) fn product(&self) -> &str {
        &self.release.product
    }

    /// What the policies want looked up, and under which keys and trusted roots.
    pub(super) fn needs(
        &self,
        policies: &[PolicyFact],
        roots: &TrustedRoots,
    ) -> BTreeMap<ImageReference, Vec<Anchor>> {
        let pairs: Vec<_> = policies
            .iter()
            .filter_map(|fact| Some((fact, fact.content.as_ref().ok()?)))
            .collect();
        needs(&self.environment(), &self.release, &pairs, roots)
    }

    /// What the evidence gates say, and what must be read before they can say more.
    pub(super) fn gates(
        &self,
        policies: Vec<PolicyFact>,
        trusted_roots: TrustedRoots,
        evidence: BTreeMap<ImageReference, Observed<Evidence>>,
        now: Timestamp,
    ) -> (Vec<GateReport>, BTreeSet<Look>) {
        let environment = self.environment();
        let promotion = self.promotion();
        let release = self.release.clone();
        let facts = Facts {
            cluster: String::new(),
            guard: Observed::Pending,
            namespaces: BTreeMap::from([(self.namespace.clone(), BTreeMap::new())]),
            releases: BTreeMap::from([(release.name.clone(), Observed::Known(release))]),
            policies: policies.into_iter().map(everywhere).collect(),
            windows: BTreeMap::new(),
            trusted_roots,
            revocations: vec![],
            workloads: Vec::new(),
            refused: None,
            records: Vec::new(),
            records_problem: None,
            upstream: BTreeMap::new(),
            upstream_problems: BTreeMap::new(),
            evidence,
        };
        let promotions = [promotion];
        let input = Input {
            promotions: &promotions,
            environment: &environment,
            facts: &facts,
            now,
        };
        let [promotion] = &promotions;
        let case = Case::new(promotion, &input);
        let reports = gates::ALL
            .iter()
            .filter(|gate| GATES.contains(&gate.name()))
            .map(|gate| evaluate(*gate, &case));
        (reports.collect(), gates::looks(&case))
    }

    fn environment(&self) -> Environment {
        Environment {
            namespace: self.namespace.clone(),
            name: String::new(),
            uid: String::new(),
            generation: 1,
            product: self.release.product.clone(),
            stage: String::new(),
            tier: Tier::Development,
            after: Vec::new(),
            targets: Vec::new(),
            deadline: Span::seconds(1),
            automatic_rollback: false,
            pull_secrets: Vec::new(),
            active: None,
        }
    }

    fn promotion(&self) -> Promotion {
        Promotion {
            namespace: self.namespace.clone(),
            name: String::new(),
            uid: String::new(),
            generation: 1,
            created: Timestamp::UNIX_EPOCH,
            first_seen: Timestamp::UNIX_EPOCH,
            annotations: BTreeMap::new(),
            request: Request {
                release: self.release.name.clone(),
                environment: String::new(),
                action: Action::Promote,
                reason: None,
                incident: None,
                abort: false,
            },
            memory: Memory::default(),
        }
    }
}

fn readable(policies: &[PolicyFact]) -> impl Iterator<Item = &PolicyContent> {
    policies
        .iter()
        .filter_map(|fact| fact.content.as_ref().ok())
}

/// A policy on the command line is meant, whatever it would match in a cluster.
fn everywhere(mut fact: PolicyFact) -> PolicyFact {
    if let Ok(content) = &mut fact.content {
        content.policy.matches = Match::default();
    }
    fact
}

/// The Release with that one image of it.
fn of_file(release: Release, image: &ImageReference) -> Result<Release, Failure> {
    let components: Vec<Component> = release
        .components
        .iter()
        .filter(|component| component.image == *image)
        .cloned()
        .collect();
    if components.is_empty() {
        return Err(Failure::usage(format!(
            "Release {} has no component with this image",
            release.name
        )));
    }
    Ok(Release {
        components,
        ..release
    })
}

fn of_flags(arguments: &Verify) -> Result<Release, Failure> {
    let image = &arguments.image;
    let last = image.path().rsplit('/').next().unwrap_or_default();
    let source = arguments.repository.as_ref().map(|repository| Source {
        repository: repository.clone(),
        commit: arguments.commit.clone().unwrap_or_default(),
        tag: None,
    });
    // Only compared where provenance is, and then it is given.
    let version = match &arguments.version {
        Some(version) => version.clone(),
        None => Version::parse("0.0.0").map_err(|error| Failure::usage(error.to_string()))?,
    };
    let product = arguments.product.clone().unwrap_or_else(|| last.to_owned());
    Ok(Release {
        name: "the-command-line".to_owned(),
        product,
        version,
        components: vec![Component {
            name: None,
            image: image.clone(),
        }],
        source,
    })
}

/// The namespace given, or the only one that the policies name.
fn namespace(arguments: &Verify, policies: &[PolicyFact]) -> Result<String, Failure> {
    if let Some(namespace) = &arguments.namespace {
        return Ok(namespace.clone());
    }
    let listed: BTreeSet<&String> = readable(policies)
        .flat_map(|content| &content.policy.sources)
        .flat_map(|rule| &rule.namespaces)
        .collect();
    let listed: Vec<_> = listed.into_iter().collect();
    match listed.as_slice() {
        [only] => Ok((*only).clone()),
        several => {
            let names: Vec<_> = several.iter().map(|name| name.as_str()).collect();
            Err(Failure::usage(format!(
                "the policy's sources name several namespaces; say which one counts, with -n: {}",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;
    use lockmaster_core::facts::{Cause, Unavailable};
    use lockmaster_core::reason::Reason;

    use super::super::policy::{self, tests::POLICY};
    use super::*;
    use crate::args::{Arguments, Command};

    fn arguments(repository: &str, words: &[&str]) -> Verify {
        let image = format!("{repository}@sha256:{}", "0".repeat(64));
        let start = [
            "kubectl-promote",
            "verify",
            &image,
            "--policy",
            "policy.yaml",
        ];
        let words = start.iter().chain(words);
        let command = Arguments::try_parse_from(words).unwrap().command;
        let Command::Verify(verify) = command else {
            panic!("{command:?}");
        };
        verify
    }

    fn policies(text: &str) -> Vec<PolicyFact> {
        policy::parse(text, Path::new("policy.yaml")).unwrap()
    }

    fn subjects(arguments: &Verify, text: &str) -> Result<Subjects, String> {
        Subjects::of(arguments, &policies(text), None).map_err(|failure| failure.message)
    }

    #[track_caller]
    fn check(evidence: Option<Observed<Evidence>>, expect: Reason) {
        let arguments = arguments("registry.example/shop/checkout", &[]);
        let subjects = subjects(&arguments, POLICY).unwrap();
        let evidence = evidence.map(|evidence| (arguments.image.clone(), evidence));
        let (gates, _) = subjects.gates(
            policies(POLICY),
            TrustedRoots::new(),
            evidence.into_iter().collect(),
            Timestamp::UNIX_EPOCH,
        );
        let names: Vec<_> = gates.iter().map(|gate| gate.name.as_str()).collect();
        assert_eq!(names, GATES);
        assert_eq!(gates[0].reason, expect);
        assert_eq!(gates[1].reason, Reason::NotRequired);
    }

    #[test]
    fn the_gates_are_those_of_the_operator() {
        let image = arguments("registry.example/shop/checkout", &[]).image;
        let empty = Evidence::new(image.digest().clone(), vec![]);
        check(Some(Observed::Known(empty)), Reason::SignatureMissing);
        check(None, Reason::SourceNotAllowed);
        let down = Unavailable {
            cause: Cause::Unreachable,
            message: "down".into(),
        };
        check(
            Some(Observed::Unavailable(down)),
            Reason::RegistryUnavailable,
        );
    }

    #[test]
    fn nothing_is_asked_of_a_registry_that_the_policy_does_not_list() {
        let listed = arguments("registry.example/shop/checkout", &[]);
        assert_eq!(
            subjects(&listed, POLICY)
                .unwrap()
                .needs(&policies(POLICY), &TrustedRoots::new())
                .len(),
            1
        );
        let other = arguments("registry.evil.test/shop/checkout", &[]);
        assert!(
            subjects(&other, POLICY)
                .unwrap()
                .needs(&policies(POLICY), &TrustedRoots::new())
                .is_empty()
        );
        let elsewhere = arguments("registry.example/shop/checkout", &["-n", "search"]);
        assert!(
            subjects(&elsewhere, POLICY)
                .unwrap()
                .needs(&policies(POLICY), &TrustedRoots::new())
                .is_empty()
        );
    }

    #[test]
    fn what_is_not_clear_is_asked_for() {
        let plain = arguments("registry.example/shop/checkout", &[]);
        let two = POLICY.replace("[shop]", "[shop, search]");
        let text = subjects(&plain, &two).unwrap_err();
        assert!(text.contains("-n: search, shop"), "{text}");
        let provenance = format!(
            "{POLICY}    provenance: [{{authority: ci, builders: [b], buildTypes: [t]}}]\n"
        );
        let text = subjects(&plain, &provenance).unwrap_err();
        assert!(text.contains("--release FILE"), "{text}");
        let words = ["--repository=r", "--commit=c", "--version=1.42.0"];
        assert!(
            subjects(
                &arguments("registry.example/shop/checkout", &words),
                &provenance
            )
            .is_ok()
        );
    }

    #[test]
    fn a_release_file_must_hold_the_image() {
        let plain = arguments("registry.example/shop/checkout", &[]);
        let mut release = of_flags(&plain).unwrap();
        assert!(of_file(release.clone(), &plain.image).is_ok());
        release.components.clear();
        let text = of_file(release, &plain.image).unwrap_err().message;
        assert!(text.contains("no component with this image"), "{text}");
    }
}
