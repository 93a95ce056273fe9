//! The smallest world in which the evidence gates can be asked: one image, one Environment, one
//! promotion. The gates are core's own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lockmaster_core::case::{Case, needs};
use lockmaster_core::decide::Input;
use lockmaster_core::environment::{Environment, Span, Tier};
use lockmaster_core::evidence::{Anchor, CHANGE, CHECKS, Evidence, TAGGED_RELEASE};
use lockmaster_core::facts::{Facts, Observed, TrustedRoots};
use lockmaster_core::gate::{GateReport, Want, evaluate};
use lockmaster_core::gates;
use lockmaster_core::policy::{EvidenceRules, Match, PolicyContent, PolicyFact};
use lockmaster_core::promotion::{Action, Memory, Promotion, Request};
use lockmaster_core::release::{Component, ImageReference, Release, Source, Version};
use lockmaster_rego::Sandbox;

use crate::args::Verify;
use crate::failure::Failure;

/// What is judged.
#[derive(Debug)]
pub(super) struct Subjects {
    namespace: String,
    tier: Tier,
    release: Release,
}

/// What was looked up for it.
pub(super) struct Seen {
    /// What authorities rest on.
    pub(super) trusted_roots: TrustedRoots,
    /// What is attached to the image, where it was asked for, and to its images.
    pub(super) evidence: BTreeMap<ImageReference, Observed<Evidence>>,
    /// When.
    pub(super) now: Timestamp,
}

impl Subjects {
    /// From the command line, and the Release file where one is given.
    pub(super) fn of(
        arguments: &Verify,
        policies: &[PolicyFact],
        release: Option<Release>,
    ) -> Result<Self, Failure> {
        let compares = arguments.repository.is_some() || release.is_some();
        let asks = readable(policies).any(|content| {
            let policy = &content.policy;
            compares_source(&policy.evidence) || !policy.rules.is_empty()
        });
        if asks && !compares {
            return Err(Failure::usage(
                "the policy asks for provenance or statements about a commit, or has rules: say \
                 which release is meant, with --release FILE or with --repository, --commit and \
                 --version",
            ));
        }
        let release = match release {
            Some(release) => of_file(release, &arguments.image)?,
            None => of_flags(arguments)?,
        };
        Ok(Self {
            namespace: namespace(arguments, policies)?,
            tier: tier(policies),
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

    /// What these gates say, and what must be read before they can say more. Rules in Rego are asked
    /// first.
    pub(super) fn gates(
        &self,
        policies: Vec<PolicyFact>,
        seen: Seen,
        sandbox: &Sandbox,
    ) -> (Vec<GateReport>, BTreeSet<Want>) {
        let Seen {
            trusted_roots,
            evidence,
            now,
        } = seen;
        let environment = self.environment();
        let promotion = self.promotion();
        let release = self.release.clone();
        let mut facts = Facts {
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
            upstream_concerns: BTreeMap::new(),
            ran: BTreeMap::new(),
            evidence,
            rules: BTreeMap::new(),
        };
        let promotions = [promotion];
        let asked = Input {
            promotions: &promotions,
            environment: &environment,
            facts: &facts,
            now,
        };
        let questions = gates::rule_questions(&asked, &|_| None).open;
        if !questions.is_empty() {
            facts.rules = sandbox.ask(questions);
        }
        let input = Input {
            promotions: &promotions,
            environment: &environment,
            facts: &facts,
            now,
        };
        let [promotion] = &promotions;
        let case = Case::new(promotion, &input);
        let reports = gates::looking().map(|gate| evaluate(gate, &case));
        (reports.collect(), gates::wants(&case))
    }

    fn environment(&self) -> Environment {
        Environment {
            namespace: self.namespace.clone(),
            name: String::new(),
            uid: String::new(),
            generation: 1,
            product: self.release.product.clone(),
            stage: String::new(),
            tier: self.tier,
            after: Vec::new(),
            targets: Vec::new(),
            deadline: Span::seconds(1),
            automatic_rollback: false,
            pull_secrets: Vec::new(),
            active: None,
            concerns: vec![],
            reverify_at: None,
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

/// Whether anything is asked for that is compared with the source of a Release.
fn compares_source(evidence: &EvidenceRules) -> bool {
    const COMPARED: [&str; 3] = [CHANGE, CHECKS, TAGGED_RELEASE];
    let mut entries = evidence.attestations.iter();
    // A rule of an entry is told of the release.
    let compares = entries
        .any(|entry| entry.rule.is_some() || COMPARED.contains(&entry.predicate_type.as_str()));
    !evidence.provenance.is_empty() || compares
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

/// The highest tier that the policies are for: what a rule is told, since there is no Environment.
fn tier(policies: &[PolicyFact]) -> Tier {
    let tiers = readable(policies).flat_map(|content| &content.policy.matches.tiers);
    tiers.max().copied().unwrap_or(Tier::Production)
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
        [] => Err(Failure::usage(
            "the policy's sources name no namespace; say which one counts, with -n",
        )),
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
    use clap::Parser as _;
    use lockmaster_core::evidence::{Bundle, Carrier, Content, Verified};
    use lockmaster_core::facts::{Cause, Unavailable};
    use lockmaster_core::gate::{Gate, Verdict};
    use lockmaster_core::reason::Reason;
    use lockmaster_core::release::Digest;

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
        policy::tests::read(text).unwrap()
    }

    fn subjects(arguments: &Verify, text: &str) -> Result<Subjects, String> {
        Subjects::of(arguments, &policies(text), None).map_err(|failure| failure.message)
    }

    fn gates(
        subjects: &Subjects,
        text: &str,
        evidence: Option<(ImageReference, Observed<Evidence>)>,
    ) -> Vec<GateReport> {
        let sandbox = Sandbox::without_protection();
        let seen = Seen {
            trusted_roots: TrustedRoots::new(),
            evidence: evidence.into_iter().collect(),
            now: Timestamp::UNIX_EPOCH,
        };
        subjects.gates(policies(text), seen, &sandbox).0
    }

    #[track_caller]
    fn check(evidence: Option<Observed<Evidence>>, expect: Reason) {
        let arguments = arguments("registry.example/shop/checkout", &[]);
        let subjects = subjects(&arguments, POLICY).unwrap();
        let evidence = evidence.map(|evidence| (arguments.image.clone(), evidence));
        let gates = gates(&subjects, POLICY, evidence);
        let names: Vec<_> = gates.iter().map(|gate| gate.name.as_str()).collect();
        let looking: Vec<_> = gates::looking().map(Gate::name).collect();
        assert_eq!(names, looking);
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

    /// An entry with a rule about statements of some other type.
    const LOAD_TEST: &str = r#"    attestations:
    - name: load-test
      predicateType: https://example.com/load-test/v1
      authorities: [ci]
      rule: |
        package lockmaster
        allow if input.statement.predicate.p99 < 300
        deny contains sprintf("%v ms are too slow", [input.statement.predicate.p99]) if {
          input.statement.predicate.p99 >= 300
        }
"#;

    /// A statement about the image, by the one authority of the policies.
    fn load_test(policies: &[PolicyFact], image: &ImageReference, predicate: &str) -> Bundle {
        let content = policies[0].content.as_ref().unwrap();
        let key = content.keys["ci"][0].clone();
        Bundle {
            digest: Digest::of(predicate.as_bytes()),
            payload: None,
            carrier: Carrier::Bundle,
            key_hint: None,
            verified_by: [Verified::by_key(key)].into(),
            failures: BTreeMap::new(),
            key_problem: None,
            subjects: vec![image.digest().clone()],
            content: Content::Custom {
                predicate: "https://example.com/load-test/v1".to_owned(),
                value: Ok(predicate.to_owned()),
            },
        }
    }

    #[test]
    fn rules_of_entries_are_asked_about_each_statement() {
        let text = format!("{POLICY}{LOAD_TEST}").replace(
            "predicateTypes: [",
            "predicateTypes: [https://example.com/load-test/v1, ",
        );
        let plain = arguments("registry.example/shop/checkout", &[]);
        let problem = subjects(&plain, &text).unwrap_err();
        assert!(problem.contains("--release FILE"), "{problem}");
        let words = ["--repository=r", "--commit=c", "--version=1.42.0"];
        let arguments = arguments("registry.example/shop/checkout", &words);
        let subjects = subjects(&arguments, &text).unwrap();
        let check = |predicate: &str, verdict, expect: &str| {
            let image = &arguments.image;
            let statement = load_test(&policies(&text), image, predicate);
            let evidence = Evidence::new(image.digest().clone(), vec![statement]);
            let evidence = (image.clone(), Observed::Known(evidence));
            let gates = gates(&subjects, &text, Some(evidence));
            let mut gates = gates.iter();
            let gate = gates.find(|gate| gate.name == "attestations").unwrap();
            assert_eq!(gate.verdict, verdict, "{}", gate.message);
            assert!(gate.message.contains(expect), "{}", gate.message);
        };
        check(r#"{"p99":120}"#, Verdict::Pass, "load-test: by ci");
        let slow = "load-test, by ci: 480 ms are too slow";
        check(r#"{"p99":480}"#, Verdict::Deny, slow);
        check(r#"{"p50":1}"#, Verdict::Deny, "gives allow no value");
    }

    #[test]
    fn rules_are_asked_about_the_release_that_is_meant() {
        let rule = "  rules:\n  - name: minor\n    rego: |\n      package lockmaster\n      \
                    default allow := false\n      allow if startswith(input.release.version, \
                    \"1.\")\n      deny contains \"no candidate for production\" if {\n        \
                    input.environment.tier == \"Production\"\n        \
                    contains(input.release.version, \"-\")\n      }\n";
        let text = format!("{POLICY}{rule}");
        let plain = arguments("registry.example/shop/checkout", &[]);
        let problem = subjects(&plain, &text).unwrap_err();
        assert!(problem.contains("--release FILE"), "{problem}");
        let check = |version: &str, verdict, expect: &str| {
            let version = format!("--version={version}");
            let words = ["--repository=r", "--commit=c", &version];
            let arguments = arguments("registry.example/shop/checkout", &words);
            let evidence = Evidence::new(arguments.image.digest().clone(), vec![]);
            let evidence = (arguments.image.clone(), Observed::Known(evidence));
            let subjects = subjects(&arguments, &text).unwrap();
            let gates = gates(&subjects, &text, Some(evidence));
            let rules = gates.last().unwrap();
            assert_eq!(rules.verdict, verdict, "{}", rules.message);
            assert!(rules.message.contains(expect), "{}", rules.message);
        };
        check("1.42.0", Verdict::Pass, "allowed by minor");
        check(
            "2.0.0",
            Verdict::Deny,
            "denies checkout: the rule does not allow it",
        );
        check("1.0.0-rc.1", Verdict::Deny, "no candidate for production");
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
        let checks = POLICY.replace(
            "predicateTypes: [",
            "predicateTypes: [https://lockmaster.dev/checks/v1, ",
        );
        let checks = format!(
            "{checks}    attestations: [{{name: checks, predicateType: \
             https://lockmaster.dev/checks/v1, authorities: [ci], checks: {{required: [unit]}}}}]\n"
        );
        let text = subjects(&plain, &checks).unwrap_err();
        assert!(text.contains("statements about a commit"), "{text}");
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
