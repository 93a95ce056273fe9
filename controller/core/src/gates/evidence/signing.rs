//! How those who must sign do it, for the end of a message: with a key, or as whom.

use std::collections::BTreeSet;

use super::Question;
use crate::policy::{Authority, Keyless};
use crate::release::clip;

/// How cosign is called by one of several authorities.
pub(in crate::gates) struct Signing {
    /// Behind what is to be done, such as "sign it": nothing for keys.
    pub(in crate::gates) who: String,
    /// Behind cosign's own command, with a space before it: nothing for identities.
    pub(in crate::gates) key: &'static str,
}

impl Question<'_> {
    /// How one of these authorities signs.
    pub(in crate::gates) fn signing<'r>(
        &self,
        authorities: impl IntoIterator<Item = &'r String>,
    ) -> Signing {
        let policy = &self.content.policy;
        let authorities = authorities.into_iter();
        let known: Vec<&Authority> = authorities
            .filter_map(|name| policy.authority(name))
            .collect();
        let identities = known.iter().filter_map(|one| one.keyless.as_ref());
        let identities: BTreeSet<_> = identities.map(identity).collect();
        let who = Vec::from_iter(identities).join(" or ");
        let has_key = known.iter().any(|one| one.keyless.is_none()) || known.is_empty();
        match (who.is_empty(), has_key) {
            (true, _) => Signing {
                who,
                key: " --key KEY",
            },
            (false, true) => Signing {
                who: format!(" (or, without a key, as {who})"),
                key: " --key KEY",
            },
            (false, false) => Signing {
                who: format!(", without a key, as {who}"),
                key: "",
            },
        }
    }
}

/// Whom a certificate must name, and in brackets the issuer.
fn identity(keyless: &Keyless) -> String {
    let Keyless {
        issuer,
        subject,
        subject_pattern,
        claims: _,
    } = keyless;
    let subject = subject.as_ref().or(subject_pattern.as_ref());
    let subject = subject.map_or_else(String::new, |text| clip(text));
    format!("{subject} ({})", clip(issuer))
}

#[cfg(test)]
mod tests {
    use crate::case::Case;
    use crate::fixtures::keyless::keyless;
    use crate::fixtures::{authority, bundles, image, ready, with_policy};
    use crate::gate::evaluate;
    use crate::gates;
    use crate::snapshot::Snapshot;

    /// What the gate says of an image to which nothing is attached.
    fn said(snapshot: &Snapshot, gate: &str) -> String {
        let input = snapshot.input();
        let case = Case::new(&snapshot.promotions[0], &input);
        let mut asked = gates::evidence().filter(|one| one.name() == gate);
        evaluate(asked.next().unwrap(), &case).message
    }

    #[test]
    fn what_is_missing_is_signed_with_a_key_or_as_whom_the_policy_names() {
        let image = image("1.42.0");
        let mut snapshot = ready();
        bundles(&mut snapshot).clear();
        let by_key = said(&snapshot, "signature");
        let text = format!("sign it: cosign sign --key KEY {image}");
        assert!(by_key.ends_with(&text), "{by_key}");
        keyless(&mut snapshot);
        let who = "https://git.example/shop/*/.workflows/release.yml@refs/tags/v* \
                   (https://token.example)";
        for (gate, command) in [
            (
                "signature",
                format!("sign it, without a key, as {who}: cosign sign {image}"),
            ),
            (
                "provenance",
                format!(
                    "attach it, without a key, as {who}: cosign attest --type slsaprovenance1 \
                     --predicate FILE {image}"
                ),
            ),
            (
                "sbom",
                format!(
                    "attach it, without a key, as {who}: cosign attest --type cyclonedx \
                     --predicate FILE {image} (or --type spdxjson)"
                ),
            ),
            (
                "attestations",
                format!(
                    "attach it, without a key, as {who}: cosign attest --type \
                     https://lockmaster.dev/checks/v1 --predicate FILE {image}"
                ),
            ),
        ] {
            let said = said(&snapshot, gate);
            assert!(said.ends_with(&command), "{said}");
        }
        // Scans are somebody else's, who has a key.
        let scan = said(&snapshot, "vulnerabilities");
        assert!(
            scan.contains("attach one: cosign attest --key KEY"),
            "{scan}"
        );
        // Where some sign with a key and others without, both are told.
        with_policy(&mut snapshot, |policy| {
            policy.authorities.push(authority("second"));
            let rule = policy.evidence.signatures.as_mut().unwrap();
            rule.authorities.push("second".into());
        });
        let both = said(&snapshot, "signature");
        let text = format!("sign it (or, without a key, as {who}): cosign sign --key KEY {image}");
        assert!(both.ends_with(&text), "{both}");
    }
}
