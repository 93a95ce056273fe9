//! What makes a policy invalid as a whole: names that nobody defines, and rules that cannot mean what
//! they say.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use super::{EvidenceRules, KeyText, Keyless, Policy, RegoRule, SignatureRule};
use crate::rules::{REGO_LIMIT, RULES_LIMIT};

impl Policy {
    /// The names that the policy uses but does not define, or defines twice, and rules that
    /// contradict themselves: a policy with any is invalid as a whole.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let names = self.authorities.iter().map(|a| a.name.as_str());
        let mut found: Vec<String> = repeated(names)
            .into_iter()
            .map(|name| format!("spec.authorities: the name \"{name}\" stands twice"))
            .collect();
        for authority in &self.authorities {
            let name = &authority.name;
            let own = authority.contradictions().into_iter();
            found.extend(own.map(|text| format!("spec.authorities[{name}]: {text}")));
        }
        for (field, name) in self.authorities_used() {
            if self.authority(name).is_none() {
                found.push(format!("{field}: no authority is called \"{name}\""));
            }
        }
        if let Some(rule) = &self.evidence.signatures {
            found.extend(self.counted_twice(rule));
            if rule.threshold as usize > rule.authorities.len() {
                found.push(format!(
                    "spec.evidence.signatures.threshold: {} of {} authorities can never be met",
                    rule.threshold,
                    rule.authorities.len()
                ));
            }
        }
        found.extend(self.statement_contradictions());
        found.extend(self.rules_of_the_wrong_size());
        if self.asks() && self.sources.is_empty() {
            found.push(
                "spec.sources: evidence is asked for, so say which namespaces may use which image \
                 repositories"
                    .into(),
            );
        }
        found
    }

    /// Rules that cannot be told apart, and rules beyond the limits; whether one can be read is for
    /// whoever reads Rego.
    fn rules_of_the_wrong_size(&self) -> Vec<String> {
        let mut found: Vec<String> = repeated(self.rules.iter().map(|rule| rule.name.as_str()))
            .into_iter()
            .map(|name| format!("spec.rules: the name \"{name}\" stands twice"))
            .collect();
        if self.rules.len() > RULES_LIMIT {
            let count = self.rules.len();
            found.push(format!(
                "spec.rules: {count} rules, and at most {RULES_LIMIT} are asked"
            ));
        }
        for RegoRule { name, rego } in &self.rules {
            found.extend(too_long(&format!("spec.rules[{name}].rego"), Some(rego)));
        }
        found
    }

    /// What would let one signature count for two authorities, and so meet a threshold alone.
    fn counted_twice(&self, rule: &SignatureRule) -> Vec<String> {
        const FIELD: &str = "spec.evidence.signatures.authorities";
        let mut found: Vec<String> = repeated(rule.authorities.iter().map(String::as_str))
            .into_iter()
            .map(|name| format!("{FIELD}: \"{name}\" stands twice, and would count twice"))
            .collect();
        let signers: BTreeSet<&str> = rule.authorities.iter().map(String::as_str).collect();
        let mut owners: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for name in signers {
            let Some(authority) = self.authority(name) else {
                continue;
            };
            for key in &authority.keys {
                owners.entry(key.body()).or_default().insert(name);
            }
            if let Some(Keyless {
                issuer,
                subject: Some(subject),
                ..
            }) = &authority.keyless
            {
                let identity = format!("{issuer} {subject}");
                owners.entry(identity).or_default().insert(name);
            }
        }
        for names in owners.into_values().filter(|names| names.len() > 1) {
            let names: Vec<_> = names.into_iter().collect();
            found.push(format!(
                "{FIELD}: {} have a key or subject in common, so one signature would count for \
                 each of them",
                names.join(" and ")
            ));
        }
        found
    }

    fn authorities_used(&self) -> Vec<(&'static str, &str)> {
        let EvidenceRules {
            signatures,
            provenance,
            sbom,
            release,
            vulnerabilities,
            attestations,
            index_evidence: _,
        } = &self.evidence;
        let vulnerabilities = vulnerabilities.iter().flat_map(|rule| {
            let vex = rule.vex.iter().flat_map(|vex| &vex.authorities);
            rule.authorities.iter().chain(vex)
        });
        let attestations = attestations.iter().flat_map(|rule| {
            let excuses = rule.not_applicable.iter();
            let excuses = excuses.flat_map(|rule| &rule.authorities);
            rule.authorities.iter().chain(excuses)
        });
        let signatures = signatures.iter().flat_map(|rule| &rule.authorities);
        let sbom = sbom.iter().flat_map(|rule| &rule.authorities);
        let release = release.iter().flat_map(|rule| &rule.authorities);
        let provenance = provenance.iter().map(|rule| &rule.authority);
        named("spec.evidence.signatures.authorities", signatures)
            .chain(named("spec.evidence.provenance", provenance))
            .chain(named("spec.evidence.sbom.authorities", sbom))
            .chain(named("spec.evidence.release.authorities", release))
            .chain(named("spec.evidence.vulnerabilities", vulnerabilities))
            .chain(named("spec.evidence.attestations", attestations))
            .collect()
    }
}

/// A rule in Rego that has more characters than are read.
fn too_long(field: &str, rego: Option<&str>) -> Option<String> {
    let size = rego?.chars().count();
    (size > REGO_LIMIT)
        .then(|| format!("{field}: {size} characters, and at most {REGO_LIMIT} are read"))
}

/// Names, each with the field that it stands in.
fn named<'a>(
    field: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> impl Iterator<Item = (&'static str, &'a str)> {
    names.map(move |name| (field, name.as_str()))
}

impl KeyText {
    /// What is encoded, without the lines around it and however it is broken into lines: equal for
    /// two texts of one key.
    fn body(&self) -> String {
        let lines = self.pem.lines().map(str::trim);
        lines.filter(|line| !line.starts_with("-----")).collect()
    }
}

/// The names that stand more than once, each once.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| !seen.insert(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Authority;
    use super::*;

    #[test]
    fn a_policy_that_contradicts_itself_says_where() {
        let mut policy = Policy::default();
        assert!(policy.contradictions().is_empty());
        policy.evidence.signatures = Some(SignatureRule {
            authorities: vec!["ci".into()],
            threshold: 2,
        });
        let found = policy.contradictions().join("\n");
        assert!(found.contains("no authority is called \"ci\""), "{found}");
        assert!(found.contains("can never be met"), "{found}");
        assert!(found.contains("spec.sources"), "{found}");
    }

    #[test]
    fn rules_have_names_of_their_own_and_a_size() {
        let rule = |name: &str, length| RegoRule {
            name: name.into(),
            rego: "x".repeat(length),
        };
        let found = |rules: Vec<RegoRule>| {
            let policy = Policy {
                rules,
                ..Policy::default()
            };
            policy.contradictions().join("\n")
        };
        assert_eq!(found(vec![rule("a", REGO_LIMIT), rule("b", 1)]), "");
        let twice = found(vec![rule("a", 1), rule("a", 2)]);
        assert!(twice.contains("\"a\" stands twice"), "{twice}");
        let long = found(vec![rule("a", REGO_LIMIT + 1)]);
        assert!(
            long.contains("spec.rules[a].rego: 32769 characters"),
            "{long}"
        );
        let many = found((0..17).map(|n| rule(&n.to_string(), 1)).collect());
        assert!(many.contains("17 rules"), "{many}");
    }

    #[test]
    fn one_signature_never_counts_twice() {
        let authority = |name: &str, pem: &str| Authority {
            name: name.into(),
            keys: vec![KeyText::of(pem)],
            keyless: None,
            trusted_root: None,
            require_transparency_log: false,
            legacy: None,
            predicate_types: vec!["https://sigstore.dev/cosign/sign/v1".into()],
        };
        let found = |authorities: &[&str], other: &str| {
            let mut policy = Policy {
                authorities: vec![
                    authority(
                        "ci",
                        "-----BEGIN PUBLIC KEY-----\nab\ncd\n-----END PUBLIC KEY-----\n",
                    ),
                    authority("qa", other),
                ],
                ..Policy::default()
            };
            policy.evidence.signatures = Some(SignatureRule {
                authorities: authorities.iter().map(|name| (*name).into()).collect(),
                threshold: 2,
            });
            policy.contradictions().join("\n")
        };
        let two = found(&["ci", "qa"], "ef");
        assert!(!two.contains("count"), "{two}");
        let twice = found(&["ci", "ci"], "ef");
        assert!(twice.contains("\"ci\" stands twice"), "{twice}");
        let shared = found(
            &["ci", "qa"],
            "-----BEGIN PUBLIC KEY-----\r\nabcd\r\n-----END PUBLIC KEY-----",
        );
        assert!(
            shared.contains("ci and qa have a key or subject in common"),
            "{shared}"
        );
        // Who signs other things with that key takes no part in the count.
        let elsewhere = found(&["ci"], "abcd");
        assert!(!elsewhere.contains("in common"), "{elsewhere}");
    }
}
