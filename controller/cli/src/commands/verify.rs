//! `verify`: an image judged by a policy file. No cluster; a registry or a directory is asked, and
//! the gates are those of the operator.

mod case;
mod found;
mod login;
mod policy;

use jiff::Timestamp;
use lockmaster_core::facts::{Observed, TrustedRoots};
use lockmaster_core::gate::{GateReport, Verdict, Want};
use lockmaster_core::reason::Reason;
use lockmaster_core::release::ImageReference;
use lockmaster_observe::registry::Reach;
use lockmaster_rego::Sandbox;
use serde::Serialize;

use self::case::{Seen, Subjects};
use self::found::Found;
use super::read_file;
use crate::args::Verify;
use crate::failure::Exit;
use crate::output::{self, API_VERSION, Style};

/// Runs it.
pub(super) async fn run(arguments: Verify) -> anyhow::Result<Exit> {
    let sandbox = Sandbox::of_this_program();
    let policies = policy::parse(&read_file(&arguments.policy)?, &arguments.policy, &sandbox)?;
    let release = match &arguments.release {
        Some(path) => Some(policy::release(&read_file(path)?, path)?),
        None => None,
    };
    let mut roots = TrustedRoots::new();
    for file in &arguments.trusted_root {
        policy::trusted_root(&read_file(file)?, file, &policies, &mut roots)?;
    }
    let subjects = Subjects::of(&arguments, &policies, release)?;
    let needs = subjects.needs(&policies, &roots);
    let anchors = needs.get(&arguments.image);
    let mut found = Found::new(&arguments, anchors.map_or(&[][..], Vec::as_slice)).await?;
    if anchors.is_some() {
        found.read(&arguments.image, Reach::Referrers).await?;
    }
    let now = Timestamp::now();
    let gates = loop {
        let seen = Seen {
            trusted_roots: roots.clone(),
            evidence: found.evidence.clone(),
            now,
        };
        let (gates, wants) = subjects.gates(policies.clone(), seen, &sandbox);
        if wants.is_empty() {
            break gates;
        }
        for want in wants {
            match want {
                Want::Tags(image) | Want::Lists(image) => found.read(&image, Reach::Tags).await?,
                Want::Children(index) => found.read_children(&index).await?,
            }
        }
    };
    let known = found.evidence.values().filter_map(Observed::known);
    let bundles = known.map(|evidence| evidence.bundles.len()).sum();
    let exit = exit_of(&gates);
    let names = policies.iter().map(|fact| fact.name.clone());
    let view = View {
        api_version: API_VERSION,
        kind: "Verification",
        image: arguments.image.clone(),
        namespace: subjects.namespace().to_owned(),
        product: subjects.product().to_owned(),
        policies: names.collect(),
        bundles,
        gates,
        exit_code: exit.code(),
    };
    if let Some(format) = arguments.output {
        output::value(format, &view)?;
    } else {
        let style = Style::of(&arguments.display);
        style.print(&view.render(style))?;
    }
    if let Some(hint) = view.hint(arguments.release.is_some()) {
        output::note(&hint);
    }
    Ok(exit)
}

/// What is shown, as JSON and YAML have it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    api_version: &'static str,
    kind: &'static str,
    image: ImageReference,
    namespace: String,
    product: String,
    policies: Vec<String>,
    /// How many bundles are attached to the image.
    bundles: usize,
    gates: Vec<GateReport>,
    exit_code: u8,
}

impl View {
    /// Where the policy does not know the place, perhaps another one was meant.
    fn hint(&self, from_file: bool) -> Option<String> {
        let Self {
            namespace, product, ..
        } = self;
        let mut gates = self.gates.iter();
        let unknown = gates.any(|gate| gate.reason == Reason::SourceNotAllowed);
        let flags = if from_file {
            "-n, or another product in the file of --release"
        } else {
            "--product and -n"
        };
        unknown.then(|| {
            format!(
                "the sources of the policy were compared with product {product} in namespace \
                 {namespace}; if others are meant, name them with {flags}"
            )
        })
    }

    fn render(&self, style: Style) -> String {
        let policies = self.policies.join(", ");
        let noun = if self.policies.len() == 1 {
            "policy"
        } else {
            "policies"
        };
        let mut text = format!(
            "{}@{}\n{noun} {policies}, for product {} in namespace {}; attached: {}\n\n",
            self.image.repository(),
            self.image.digest(),
            self.product,
            self.namespace,
            self.bundles
        );
        let rows: Vec<_> = self
            .gates
            .iter()
            .map(|gate| {
                let mark = style.verdict(gate.verdict);
                vec![
                    format!("{mark} {}", gate.name),
                    gate.reason.to_string(),
                    gate.message.clone(),
                ]
            })
            .collect();
        for line in output::table(&rows) {
            text.push_str("  ");
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Wrong evidence is 7, as for `explain`, and missing evidence 2; where the registry could not be
/// asked nothing is known, which is 1.
fn exit_of(gates: &[GateReport]) -> Exit {
    let exits = gates.iter().map(|gate| match gate.verdict {
        Verdict::Pass | Verdict::NotRequired => Exit::Done,
        Verdict::Unknown => Exit::Failed,
        Verdict::Hold => Exit::GateFailed,
        Verdict::Deny => Exit::EvidenceInvalid,
    });
    exits.max().unwrap_or(Exit::Failed)
}

#[cfg(test)]
mod tests {
    use lockmaster_core::release::Digest;

    use super::*;

    #[test]
    fn where_the_policy_knows_nothing_the_place_is_named() {
        let view = |reason| View {
            api_version: API_VERSION,
            kind: "Verification",
            image: ImageReference::parse(&format!("registry.example/a@{}", Digest::of(b"a")))
                .unwrap(),
            namespace: "shop".into(),
            product: "a".into(),
            policies: vec!["p".into()],
            bundles: 0,
            gates: vec![GateReport {
                name: "signature".into(),
                verdict: Verdict::Deny,
                reason,
                message: String::new(),
                next_change: None,
                evidence: vec![],
            }],
            exit_code: 7,
        };
        let hint = view(Reason::SourceNotAllowed).hint(false).unwrap();
        for words in ["product a in namespace shop", "--product and -n"] {
            assert!(hint.contains(words), "{hint}");
        }
        assert_eq!(view(Reason::SignatureInvalid).hint(false), None);
    }

    #[test]
    fn wrong_is_told_from_missing_and_from_unknown() {
        let gate = |verdict, reason| GateReport {
            name: "signature".into(),
            verdict,
            reason,
            message: String::new(),
            next_change: None,
            evidence: vec![],
        };
        let pass = || gate(Verdict::Pass, Reason::EvidenceValid);
        let check = |other, expect| assert_eq!(exit_of(&[pass(), other]), expect);
        check(pass(), Exit::Done);
        check(gate(Verdict::NotRequired, Reason::NotRequired), Exit::Done);
        check(gate(Verdict::Hold, Reason::SbomMissing), Exit::GateFailed);
        check(
            gate(Verdict::Deny, Reason::SignatureInvalid),
            Exit::EvidenceInvalid,
        );
        check(
            gate(Verdict::Unknown, Reason::RegistryUnavailable),
            Exit::Failed,
        );
        assert_eq!(exit_of(&[]), Exit::Failed);
    }
}
