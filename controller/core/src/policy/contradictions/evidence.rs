//! What cannot be meant in the rules about scans and further statements.

use super::super::{
    AttestationRule, Authority, EvidenceRules, Policy, SummaryRule, VexRule, VulnerabilityRule,
};
use super::{repeated, too_long};
use crate::evidence::{
    CHANGE, CHECKS, COSIGN_SIGN, COSIGN_VULN, NOT_APPLICABLE, OPENVEX, OPENVEX_V0_2_0,
    SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1, SLSA_VSA, SbomFormat, Severity, TAGGED_RELEASE,
    TEST_RESULT, names_its_time,
};

/// Our own predicate types: any other below our name is a mistake.
const OUR_NAME: &str = "https://lockmaster.dev/";
const OURS: [&str; 4] = [CHANGE, CHECKS, TAGGED_RELEASE, NOT_APPLICABLE];

/// Families of types of which one version is read: another one would only have to be there, which
/// nobody means.
const FAMILIES: [(&str, &str); 2] = [
    ("https://slsa.dev/verification_summary/", SLSA_VSA),
    ("https://in-toto.io/attestation/test-result/", TEST_RESULT),
];

/// Every severity, worst first.
const WORST_FIRST: [Severity; 6] = [
    Severity::Critical,
    Severity::High,
    Severity::Medium,
    Severity::Low,
    Severity::Negligible,
    Severity::Unknown,
];

impl Policy {
    /// The contradictions of the rules about scans and further statements.
    pub(super) fn statement_contradictions(&self) -> Vec<String> {
        let EvidenceRules {
            release,
            vulnerabilities,
            attestations,
            provenance,
            ..
        } = &self.evidence;
        let mut found = self.unknown_types();
        if let Some(rule) = release {
            const FIELD: &str = "spec.evidence.release";
            if provenance.is_empty() {
                found.push(format!(
                    "{FIELD}: it is asked for beside provenance only, and spec.evidence.provenance \
                     is empty"
                ));
            }
            found.extend(self.may_not_sign(FIELD, &rule.authorities, &[TAGGED_RELEASE]));
        }
        if let Some(rule) = vulnerabilities {
            found.extend(self.vulnerability_contradictions(rule));
        }
        let names = attestations.iter().map(|rule| rule.name.as_str());
        found.extend(
            repeated(names).into_iter().map(|name| {
                format!("spec.evidence.attestations: the name \"{name}\" stands twice")
            }),
        );
        for rule in attestations {
            let field = format!("spec.evidence.attestations[{}]", rule.name);
            found.extend(self.attestation_contradictions(&field, rule));
        }
        found
    }

    /// Predicate types below our name that do not exist: an authority that may sign nothing else
    /// would never be asked.
    fn unknown_types(&self) -> Vec<String> {
        let mut found = Vec::new();
        for authority in &self.authorities {
            for kind in &authority.predicate_types {
                if kind.starts_with(OUR_NAME) && !OURS.contains(&kind.as_str()) {
                    found.push(format!(
                        "spec.authorities[{}].predicateTypes: \"{kind}\" is no predicate type; ours \
                         are {}",
                        authority.name,
                        OURS.join(", ")
                    ));
                }
            }
        }
        found
    }

    /// Authorities that may sign none of these types, so that what is asked of them can never be met.
    fn may_not_sign(&self, field: &str, authorities: &[String], kinds: &[&str]) -> Vec<String> {
        let named = authorities.iter().filter_map(|name| self.authority(name));
        let without = named.filter(|authority| {
            let mut may = authority.predicate_types.iter();
            !may.any(|kind| kinds.contains(&kind.as_str()))
        });
        without
            .map(|authority| {
                format!(
                    "{field}: authority \"{}\" may not sign {}; list that in its predicateTypes",
                    authority.name,
                    kinds.join(" or ")
                )
            })
            .collect()
    }

    fn vulnerability_contradictions(&self, rule: &VulnerabilityRule) -> Vec<String> {
        const FIELD: &str = "spec.evidence.vulnerabilities";
        let VulnerabilityRule {
            authorities,
            max_age: _,
            deny,
            database_time: _,
            vex,
        } = rule;
        let mut found = self.may_not_sign(FIELD, authorities, &[COSIGN_VULN]);
        let worst_left_out = WORST_FIRST.iter().find(|severity| !deny.contains(severity));
        if deny.is_empty() {
            found.push(format!(
                "{FIELD}.deny: it is empty, so no finding would close; list Critical at least"
            ));
        } else if let Some(left_out) = worst_left_out {
            // What nobody knows is no worse and no better than the rest.
            let known = deny.iter().filter(|listed| **listed != Severity::Unknown);
            let better = known.filter(|listed| *listed < left_out).max();
            found.extend(better.map(|listed| {
                format!("{FIELD}.deny: it lists {listed} and leaves out {left_out}, which is worse")
            }));
        }
        if let Some(vex) = vex {
            found.extend(self.vex_contradictions(rule, vex));
        }
        found
    }

    /// Who excuses findings must be somebody else than who builds and who scans.
    fn vex_contradictions(&self, rule: &VulnerabilityRule, vex: &VexRule) -> Vec<String> {
        const FIELD: &str = "spec.evidence.vulnerabilities.vex.authorities";
        let VexRule {
            authorities,
            max_age: _,
        } = vex;
        let kinds = [OPENVEX, OPENVEX_V0_2_0];
        let mut found = self.may_not_sign(FIELD, authorities, &kinds);
        let others = self.builders_and_scanners(rule);
        for own in authorities.iter().filter_map(|name| self.authority(name)) {
            let shared = others.iter().find(|other| own.shares_a_signer(other));
            if let Some(other) = shared {
                let (own, other) = (&own.name, &other.name);
                let how = if own == other {
                    format!("\"{own}\" signs images, provenance or scans too")
                } else {
                    format!("\"{own}\" and \"{other}\" have a key or subject in common")
                };
                found.push(format!(
                    "{FIELD}: {how}; who excuses findings must be somebody else"
                ));
            }
        }
        found
    }

    /// Authorities of signatures, provenance and scans.
    fn builders_and_scanners(&self, rule: &VulnerabilityRule) -> Vec<&Authority> {
        self.evidence
            .independent_of(rule)
            .filter_map(|name| self.authority(name))
            .collect()
    }

    fn attestation_contradictions(&self, field: &str, rule: &AttestationRule) -> Vec<String> {
        let AttestationRule {
            name: _,
            predicate_type: kind,
            authorities,
            max_age,
            checks,
            summary,
            change,
            not_applicable,
            rule: rego,
        } = rule;
        let mut found = Vec::new();
        found.extend(misplaced(kind).map(|text| format!("{field}.predicateType: {text}")));
        found.extend(self.may_not_sign(field, authorities, &[kind]));
        if max_age.is_some() && !names_its_time(kind) {
            found.push(format!(
                "{field}.maxAge: statements of {kind} do not say when they were made, and a timestamp \
                 of the signature can be made anew by anybody; leave it out, or ask for {CHECKS} or \
                 {SLSA_VSA} instead"
            ));
        }
        let options = [
            ("checks", checks.is_some(), CHECKS, true),
            ("summary", summary.is_some(), SLSA_VSA, true),
            ("change", change.is_some(), CHANGE, false),
        ];
        for (option, given, belongs, required) in options {
            if given && kind != belongs {
                found.push(format!("{field}.{option}: it belongs to {belongs} alone"));
            }
            if !given && required && kind == belongs {
                found.push(format!(
                    "{field}.{option}: {belongs} needs it, or nobody says what must be in there"
                ));
            }
        }
        if let Some(rule) = summary {
            found.extend(unbound(field, authorities, rule));
        }
        if let Some(rule) = not_applicable {
            let field = format!("{field}.notApplicable");
            found.extend(self.may_not_sign(&field, &rule.authorities, &[NOT_APPLICABLE]));
        }
        found.extend(too_long(&format!("{field}.rule"), rego.as_deref()));
        found
    }
}

impl EvidenceRules {
    /// Names of the authorities that whoever excuses findings must be independent of: those of
    /// images, provenance and scans.
    pub(crate) fn independent_of<'a>(
        &'a self,
        rule: &'a VulnerabilityRule,
    ) -> impl Iterator<Item = &'a String> {
        let signatures = self.signatures.iter().flat_map(|rule| &rule.authorities);
        let provenance = self.provenance.iter().map(|rule| &rule.authority);
        signatures.chain(provenance).chain(&rule.authorities)
    }
}

impl Authority {
    /// Whether one signature could be both authorities', as far as the policy tells: two patterns may
    /// overlap besides, which is found when there is a signature.
    fn shares_a_signer(&self, other: &Self) -> bool {
        let same_key = self.keys.iter().any(|key| {
            let mut keys = other.keys.iter();
            keys.any(|other| other.body() == key.body())
        });
        let identity = match (&self.keyless, &other.keyless) {
            (Some(one), Some(another)) => {
                let named = |one: &super::Keyless, another: &super::Keyless| {
                    let subject = one.subject.as_deref();
                    subject.is_some_and(|subject| another.names(&one.issuer, subject))
                };
                named(one, another) || named(another, one)
            }
            _ => false,
        };
        self.name == other.name || same_key || identity
    }
}

/// Types that must not stand in `attestations`.
fn misplaced(kind: &str) -> Option<String> {
    let elsewhere = match kind {
        COSIGN_SIGN => Some("spec.evidence.signatures"),
        SLSA_PROVENANCE_V1 | SLSA_PROVENANCE_V0_2 => Some("spec.evidence.provenance"),
        COSIGN_VULN => Some("spec.evidence.vulnerabilities"),
        OPENVEX | OPENVEX_V0_2_0 => Some("spec.evidence.vulnerabilities.vex"),
        NOT_APPLICABLE => Some("notApplicable of the entry that it answers"),
        _ => SbomFormat::of_predicate(kind).map(|_| "spec.evidence.sbom"),
    };
    if let Some(elsewhere) = elsewhere {
        return Some(format!("{kind} is asked for in {elsewhere}"));
    }
    if kind.starts_with(OUR_NAME) && !OURS.contains(&kind) {
        let ours = OURS.join(", ");
        return Some(format!("\"{kind}\" is no predicate type; ours are {ours}"));
    }
    let family = FAMILIES.iter().find(|(family, _)| kind.starts_with(family));
    let (_, read) = family.filter(|(_, read)| kind != *read)?;
    Some(format!(
        "\"{kind}\" is not read; the version that is: {read}"
    ))
}

/// Verifiers that no authority of the entry speaks for, and authorities that speak for none.
fn unbound(field: &str, authorities: &[String], rule: &SummaryRule) -> Vec<String> {
    let mut found = Vec::new();
    for verifier in &rule.verifiers {
        if !authorities.contains(&verifier.authority) {
            found.push(format!(
                "{field}.summary.verifiers: \"{}\" is none of the entry's authorities",
                verifier.authority
            ));
        }
    }
    for authority in authorities {
        let mut verifiers = rule.verifiers.iter();
        if !verifiers.any(|verifier| verifier.authority == *authority) {
            found.push(format!(
                "{field}.authorities: \"{authority}\" speaks for no verifier; list one in \
                 summary.verifiers"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::{
        Age, ChangeRule, CheckRule, KeyText, Keyless, NotApplicableRule, ProvenanceRule,
        ReleaseRule, VerifierRule,
    };
    use super::*;
    use crate::rules::REGO_LIMIT;

    fn authority(name: &str, kinds: &[&str]) -> Authority {
        Authority {
            name: name.into(),
            keys: vec![KeyText::of(format!("key of {name}"))],
            keyless: None,
            trusted_root: None,
            require_transparency_log: false,
            legacy: None,
            predicate_types: kinds.iter().map(|kind| (*kind).into()).collect(),
        }
    }

    fn vulnerabilities() -> VulnerabilityRule {
        VulnerabilityRule {
            authorities: vec!["scanner".into()],
            max_age: Age::hours(24),
            deny: vec![Severity::Critical],
            database_time: None,
            vex: Some(VexRule {
                authorities: vec!["security".into()],
                max_age: Age::days(90),
            }),
        }
    }

    fn attestation(kind: &str) -> AttestationRule {
        AttestationRule {
            name: "one".into(),
            predicate_type: kind.into(),
            authorities: vec!["ci".into()],
            max_age: None,
            checks: None,
            summary: None,
            change: None,
            not_applicable: None,
            rule: None,
        }
    }

    fn policy() -> Policy {
        let ci = [
            COSIGN_SIGN,
            SLSA_PROVENANCE_V1,
            CHECKS,
            CHANGE,
            SLSA_VSA,
            TAGGED_RELEASE,
            TEST_RESULT,
            "https://example/custom",
        ];
        Policy {
            authorities: vec![
                authority("ci", &ci),
                authority("scanner", &[COSIGN_VULN]),
                authority("security", &[OPENVEX, NOT_APPLICABLE]),
            ],
            ..Policy::default()
        }
    }

    /// The contradictions of a policy that has none before it is changed.
    fn found(change: impl FnOnce(&mut Policy)) -> Vec<String> {
        let mut policy = policy();
        assert_eq!(policy.statement_contradictions(), [""; 0]);
        change(&mut policy);
        policy.statement_contradictions()
    }

    #[track_caller]
    fn says(text: &str, change: impl FnOnce(&mut Policy)) {
        let found = found(change);
        assert!(
            found.len() == 1 && found.iter().all(|found| found.contains(text)),
            "{text}: {found:?}"
        );
    }

    #[test]
    fn who_excuses_findings_is_neither_builder_nor_scanner() {
        let vex = |policy: &mut Policy| policy.evidence.vulnerabilities = Some(vulnerabilities());
        assert_eq!(found(vex), [""; 0]);
        says("\"security\" and \"scanner\" have a key", |policy| {
            vex(policy);
            policy.authorities[2].keys = policy.authorities[1].keys.clone();
        });
        says("\"security\" and \"ci\" have a key or subject", |policy| {
            vex(policy);
            policy.evidence.provenance = vec![ProvenanceRule {
                authority: "ci".into(),
                builders: vec![],
                build_types: vec![],
                parameters: vec![],
                branches: vec![],
                unpinned_workflows: None,
            }];
            let keyless = |subject: Option<&str>, pattern: Option<&str>| Keyless {
                issuer: "https://issuer".into(),
                subject: subject.map(str::to_owned),
                subject_pattern: pattern.map(str::to_owned),
                claims: None,
            };
            policy.authorities[0].keyless = Some(keyless(None, Some("*@corp")));
            policy.authorities[2].keyless = Some(keyless(Some("eve@corp"), None));
        });
        says(
            "\"scanner\" signs images, provenance or scans too",
            |policy| {
                vex(policy);
                policy.authorities[1].predicate_types.push(OPENVEX.into());
                let rule = policy.evidence.vulnerabilities.as_mut().unwrap();
                rule.vex.as_mut().unwrap().authorities = vec!["scanner".into()];
            },
        );
        says("authority \"security\" may not sign", |policy| {
            vex(policy);
            policy.authorities[2].predicate_types = vec![CHECKS.into()];
        });
    }

    #[test]
    fn severities_leave_no_worse_one_out() {
        let deny = |severities: &[Severity]| {
            let severities = severities.to_vec();
            found(move |policy| {
                let mut rule = vulnerabilities();
                rule.deny = severities;
                policy.evidence.vulnerabilities = Some(rule);
            })
            .join("\n")
        };
        assert_eq!(deny(&[Severity::High, Severity::Critical]), "");
        assert_eq!(deny(&[Severity::Critical, Severity::Unknown]), "");
        assert!(deny(&[]).contains("no finding would close"));
        let without = deny(&[Severity::Medium, Severity::Critical]);
        assert!(
            without.contains("lists Medium and leaves out High"),
            "{without}"
        );
        let unknown = deny(&[Severity::Unknown, Severity::Low]);
        assert!(
            unknown.contains("lists Low and leaves out Critical"),
            "{unknown}"
        );
    }

    #[test]
    fn what_has_a_rule_of_its_own_is_asked_for_there() {
        let kinds = [
            (COSIGN_SIGN, "spec.evidence.signatures"),
            (SLSA_PROVENANCE_V0_2, "spec.evidence.provenance"),
            ("https://spdx.dev/Document/v2.3", "spec.evidence.sbom"),
            (COSIGN_VULN, "spec.evidence.vulnerabilities"),
            (OPENVEX_V0_2_0, "vulnerabilities.vex"),
            (NOT_APPLICABLE, "notApplicable"),
            (
                "https://lockmaster.dev/checks/v2",
                "is no predicate type; ours",
            ),
            (
                "https://slsa.dev/verification_summary/v0.2",
                "verification_summary/v1",
            ),
            (
                "https://in-toto.io/attestation/test-result/v1",
                "test-result/v0.1",
            ),
        ];
        for (kind, text) in kinds {
            let found = found(|policy| {
                policy.evidence.attestations = vec![attestation(kind)];
            });
            let field = "spec.evidence.attestations[one].predicateType";
            let said = found
                .iter()
                .any(|found| found.starts_with(field) && found.contains(text));
            assert!(said, "{kind}: {found:?}");
        }
        let custom = found(|policy| {
            let custom = attestation("https://example/custom");
            policy.evidence.attestations = vec![custom];
        });
        assert_eq!(custom, [""; 0]);
        says(
            "\"https://lockmaster.dev/check/v1\" is no predicate",
            |policy| {
                let kinds = &mut policy.authorities[0].predicate_types;
                kinds.push("https://lockmaster.dev/check/v1".into());
            },
        );
    }

    #[test]
    fn options_stand_with_their_type_and_nowhere_else() {
        let checks = CheckRule {
            required: vec!["unit".into()],
            security: vec![],
        };
        says(
            "attestations[one].checks: https://lockmaster.dev/checks/v1 needs it",
            |policy| {
                policy.evidence.attestations = vec![attestation(CHECKS)];
            },
        );
        says("attestations[one].checks: it belongs to", |policy| {
            let checks = Some(checks.clone());
            let rule = AttestationRule {
                checks,
                ..attestation(TEST_RESULT)
            };
            policy.evidence.attestations = vec![rule];
        });
        says("attestations[one].change: it belongs to", |policy| {
            let change = Some(ChangeRule {
                branches: vec!["main".into()],
            });
            let rule = AttestationRule {
                change,
                ..attestation(TEST_RESULT)
            };
            policy.evidence.attestations = vec![rule];
        });
        says(
            "attestations[one].notApplicable: authority \"ci\" may not sign",
            |policy| {
                let authorities = vec!["ci".into()];
                let not_applicable = Some(NotApplicableRule { authorities });
                let rule = AttestationRule {
                    not_applicable,
                    ..attestation(TEST_RESULT)
                };
                policy.evidence.attestations = vec![rule];
            },
        );
        says("the name \"one\" stands twice", |policy| {
            policy.evidence.attestations = vec![attestation(CHANGE), attestation(TEST_RESULT)];
        });
        says("attestations[one].rule: 32769 characters", |policy| {
            let rule = AttestationRule {
                rule: Some("x".repeat(REGO_LIMIT + 1)),
                ..attestation(TEST_RESULT)
            };
            policy.evidence.attestations = vec![rule];
        });
        says(
            "spec.evidence.release: it is asked for beside provenance",
            |policy| {
                let authorities = vec!["ci".into()];
                policy.evidence.release = Some(ReleaseRule { authorities });
            },
        );
    }

    #[test]
    fn verifiers_and_authorities_are_bound_to_each_other() {
        let summary = |authority: &str| SummaryRule {
            verifiers: vec![VerifierRule {
                authority: authority.into(),
                id: "https://verifier".into(),
            }],
            resources: vec![],
            levels: vec![],
            policy_digest: None,
        };
        says(
            "attestations[one].summary: https://slsa.dev/verification_summary/v1 needs",
            |policy| {
                policy.evidence.attestations = vec![attestation(SLSA_VSA)];
            },
        );
        let other = found(|policy| {
            let summary = Some(summary("security"));
            let rule = AttestationRule {
                summary,
                ..attestation(SLSA_VSA)
            };
            policy.evidence.attestations = vec![rule];
        });
        let other = other.join("\n");
        assert!(
            other.contains("\"security\" is none of the entry's"),
            "{other}"
        );
        assert!(other.contains("\"ci\" speaks for no verifier"), "{other}");
    }
}
