//! `verify`: an image judged by a policy file. No cluster; the registry is asked, and the gates are
//! those of the operator.

mod case;
mod policy;

use jiff::Timestamp;
use lockmaster_core::evidence::{Anchor, Evidence};
use lockmaster_core::facts::{Cause, Observed, TrustedRoots, Unavailable};
use lockmaster_core::gate::{GateReport, Verdict};
use lockmaster_core::reason::Reason;
use lockmaster_core::release::{ImageReference, parse_registry_address};
use lockmaster_observe::registry::{
    Config, Credentials, FetchError, Problem, Registry, RegistryClient,
};
use lockmaster_rego::Sandbox;
use lockmaster_verify::{Subject, Trust, judge};
use serde::Serialize;

use self::case::{Seen, Subjects};
use super::read_file;
use crate::args::Verify;
use crate::failure::{Exit, Failure};
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
    let evidence = match anchors {
        None => None,
        Some(anchors) => Some(fetch(&arguments, anchors).await?),
    };
    let bundles = evidence.as_ref().and_then(Observed::known);
    let bundles = bundles.map_or(0, |evidence| evidence.bundles.len());
    let seen = Seen {
        trusted_roots: roots,
        evidence,
        now: Timestamp::now(),
    };
    let gates = subjects.gates(policies.clone(), seen, &sandbox);
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

/// Reads what is attached to the image and judges each piece under every anchor.
async fn fetch(arguments: &Verify, anchors: &[Anchor]) -> anyhow::Result<Observed<Evidence>> {
    let plain = arguments.plain_http_registry.iter();
    let client = RegistryClient::new(&Config {
        registries: plain.map(|host| Registry::plain_http(host)).collect(),
        user_agent: concat!("kubectl-promote/", env!("CARGO_PKG_VERSION")).to_owned(),
    })?;
    let image = &arguments.image;
    let nobody = Credentials::anonymous("");
    let artifact = match client.fetch(image, &nobody).await {
        Ok(artifact) => artifact,
        Err(error) if error.cause() == Cause::Missing => {
            return Ok(Observed::Unavailable(Unavailable::from(error)));
        }
        // Nothing is known then, so there is nothing to judge.
        Err(error) => return Err(unreadable(&error, image).into()),
    };
    let digest = image.digest();
    let Some(subject) = Subject::new(digest, &artifact.manifest) else {
        // The client compares it as well; said here once more, because all below rests on it.
        let text = format!("the registry's manifest is not that of {digest}");
        return Err(Failure::new(Exit::EvidenceInvalid, text).into());
    };
    let trust = Trust::new(anchors);
    let bundles = artifact.bundles.iter();
    Ok(Observed::Known(Evidence {
        subject: digest.clone(),
        bundles: bundles.map(|b| judge(&subject, &b.bytes, &trust)).collect(),
        withdrawn: [].into(),
    }))
}

fn unreadable(error: &FetchError, image: &ImageReference) -> Failure {
    let private = matches!(error.problem, Problem::Address(_));
    let listed = parse_registry_address(image.registry());
    let mend = match (private, listed) {
        (false, _) => String::new(),
        (true, Ok(registry)) => format!("; if it is yours: --plain-http-registry {registry}"),
        (true, Err(_)) => "; if it is yours, name it with its port, and list that with \
                           --plain-http-registry HOST:PORT"
            .to_owned(),
    };
    Failure::usage(format!("{error}{mend}"))
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
    /// How many bundles the registry has attached to the image.
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
