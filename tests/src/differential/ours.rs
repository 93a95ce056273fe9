//! What Lockmaster says: the operator's evidence store reads the registry, and the gates judge.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use lockmaster_core::decide::Input;
use lockmaster_core::evidence::{Evidence, RootText};
use lockmaster_core::facts::{Cause, Observed, TrustedRootFact};
use lockmaster_core::gate::{Verdict, Want};
use lockmaster_core::policy::Policy;
use lockmaster_core::release::ImageReference;
use lockmaster_core::snapshot::Snapshot;
use lockmaster_core::{case, gate, gates};
use lockmaster_observe::evidence::{Asker, EvidenceStore};
use lockmaster_observe::observation::policy_content;
use lockmaster_observe::registry::{Config, Registry, RegistryClient};
use lockmaster_rego::Sandbox;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::question::{By, Question, Wanted};
use super::{Answer, BUILDER, COMMIT, SOURCE};
use crate::benchmark::no_pull_secrets;
use crate::evidence::WORKFLOW_BUILD_TYPE;
use crate::image::Image;

/// A promotion that may begin, and all that its gates look at.
const READY: &str = include_str!("../../../examples/ready-to-go/snapshot.yaml");
const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// The operator's evidence store, with nothing known yet.
pub(super) struct Lockmaster {
    store: EvidenceStore,
    told: UnboundedReceiver<ImageReference>,
    ready: Snapshot,
}

/// An image and what is asked about it.
struct Asked {
    snapshot: Result<Snapshot, String>,
    gate: &'static str,
    image: ImageReference,
}

impl Lockmaster {
    pub(super) fn new(host: &str) -> anyhow::Result<Self> {
        let client = RegistryClient::new(&Config {
            registries: vec![Registry::plain_http(host)],
            user_agent: "lockmaster-differential".to_owned(),
        })?;
        let (wake, told) = unbounded_channel();
        Ok(Self {
            store: EvidenceStore::new(client, no_pull_secrets()?, wake, Box::new(|_, _| {})),
            told,
            ready: serde_saphyr::from_str(READY).context("failed to read the example")?,
        })
    }

    /// The answers, in the order of the questions. No two of them are about the same image in the
    /// same repository.
    pub(super) async fn ask(
        &mut self,
        questions: &[(Question, Image)],
    ) -> anyhow::Result<Vec<Answer>> {
        let asked = questions
            .iter()
            .map(|(question, image)| self.pose(question, image));
        let asked: Vec<Asked> = asked.collect::<Result<_, _>>()?;
        let mut seen: BTreeMap<&ImageReference, Observed<Evidence>> = BTreeMap::new();
        for one in &asked {
            seen.insert(&one.image, self.read(one)?);
        }
        while seen.values().any(|seen| matches!(seen, Observed::Pending)) {
            let told = self.told.recv().await;
            let told = told.context("nothing is told any more")?;
            if let Some(one) = asked.iter().find(|one| one.image == told) {
                seen.insert(&one.image, self.read(one)?);
            }
        }
        let answers = asked.iter().map(|one| {
            let seen = seen.remove(&one.image);
            answer(one, seen.context("it was not looked at")?)
        });
        answers.collect()
    }

    fn pose(&self, question: &Question, image: &Image) -> anyhow::Result<Asked> {
        let image = ImageReference::parse(&image.reference())?;
        Ok(Asked {
            snapshot: pose(self.ready.clone(), question, &image)?,
            gate: match question.of {
                Wanted::Signature | Wanted::Message => "signature",
                Wanted::Provenance => "provenance",
            },
            image,
        })
    }

    /// What is known by now, as the operator looks: the tags too, where that does not suffice. Nothing
    /// is looked at for a policy that is invalid.
    fn read(&self, asked: &Asked) -> anyhow::Result<Observed<Evidence>> {
        let Ok(snapshot) = &asked.snapshot else {
            let subject = asked.image.digest().clone();
            return Ok(Observed::Known(Evidence::new(subject, Vec::new())));
        };
        let input = snapshot.input();
        let promotion = input.promotions.first().context("nothing is promoted")?;
        let case = case::Case::new(promotion, &input);
        let release = case.release.context("there is no release")?;
        let roots = &snapshot.facts.trusted_roots;
        let needs = case::needs(case.environment, release, &case.policies, roots);
        let anchors = needs.get(&asked.image).context("nothing is needed")?;
        let seen = self
            .store
            .read(&asked.image, &asker(), anchors, jiff::Timestamp::now());
        if let Observed::Known(_) = &seen {
            let mut snapshot = snapshot.clone();
            let evidence = &mut snapshot.facts.evidence;
            evidence.insert(asked.image.clone(), seen.clone());
            let input = snapshot.input();
            let promotion = input.promotions.first().context("nothing is promoted")?;
            let wants = gates::wants(&case::Case::new(promotion, &input));
            match wants.into_iter().next() {
                Some(Want::Tags(image)) => {
                    self.store.read_tags(&image, &asker());
                    return Ok(Observed::Pending);
                }
                Some(Want::Children(index)) => bail!("{index} is an index"),
                Some(Want::Lists(image)) => bail!("{image} was listed just now"),
                None => {}
            }
        }
        Ok(seen)
    }
}

/// The example with this question in its policy, or why that policy is invalid.
fn pose(
    mut snapshot: Snapshot,
    question: &Question,
    image: &ImageReference,
) -> anyhow::Result<Result<Snapshot, String>> {
    let policy = policy(question, image);
    let policy: Policy = serde_json::from_value(policy).context("failed to make a policy")?;
    let content = match policy_content(policy, &Sandbox::without_protection()) {
        Ok(content) => content,
        Err(problems) => return Ok(Err(problems.join("; "))),
    };
    for fact in &mut snapshot.facts.policies {
        fact.content = Ok(content.clone());
    }
    if let Some(root) = &question.root {
        let fact = TrustedRootFact {
            uid: "root-uid".to_owned(),
            generation: 1,
            content: Ok(RootText::new(&root.json)),
        };
        snapshot.facts.trusted_roots.insert("root".to_owned(), fact);
    }
    for release in snapshot.facts.releases.values_mut() {
        if let Observed::Known(release) = release {
            for component in &mut release.components {
                component.image = image.clone();
            }
            if let Some(source) = &mut release.source {
                SOURCE.clone_into(&mut source.repository);
                COMMIT.clone_into(&mut source.commit);
            }
        }
    }
    Ok(Ok(snapshot))
}

fn policy(question: &Question, image: &ImageReference) -> Value {
    let mut authority = json!({"name": "signer", "predicateTypes": [SIGN, PROVENANCE]});
    let more = match &question.by {
        By::Key(key) => json!({
            "keys": [{"pem": key.pem}], "requireTransparencyLog": question.root.is_some(),
        }),
        By::Identity { subject, issuer } => json!({
            "keyless": {"subject": subject, "issuer": issuer},
        }),
    };
    let root = question
        .root
        .as_ref()
        .map(|_| json!({"trustedRoot": "root"}));
    for fields in [Some(more), root].into_iter().flatten() {
        if let (Some(authority), Value::Object(fields)) = (authority.as_object_mut(), fields) {
            authority.extend(fields);
        }
    }
    let evidence = match question.of {
        Wanted::Signature | Wanted::Message => json!({
            "signatures": {"authorities": ["signer"], "threshold": 1},
        }),
        Wanted::Provenance => json!({
            "provenance": [{"authority": "signer", "builders": [BUILDER],
                            "buildTypes": [WORKFLOW_BUILD_TYPE]}],
        }),
    };
    json!({
        "match": {"tiers": ["Production"]},
        "sources": [{"namespaces": ["shop"], "product": "checkout", "repositories": [SOURCE],
                     "imageRepositories": [image.repository()]}],
        "authorities": [authority],
        "evidence": evidence,
    })
}

fn answer(asked: &Asked, seen: Observed<Evidence>) -> anyhow::Result<Answer> {
    if let Observed::Unavailable(why) = &seen {
        // A registry that cannot be asked has given no verdict.
        match why.cause {
            Cause::Untrustworthy | Cause::Truncated => {}
            Cause::Unreachable | Cause::Forbidden | Cause::Missing => {
                bail!("{}: {}", asked.image, why.message)
            }
        }
    }
    let mut snapshot = match &asked.snapshot {
        Ok(snapshot) => snapshot.clone(),
        Err(problem) => {
            return Ok(Answer {
                accepted: false,
                says: format!("the policy is invalid: {problem}"),
            });
        }
    };
    snapshot.facts.evidence.insert(asked.image.clone(), seen);
    let input: Input<'_> = snapshot.input();
    let promotion = input.promotions.first().context("nothing is promoted")?;
    let case = case::Case::new(promotion, &input);
    let mut gates = gates::ALL.iter();
    let found = gates.find(|found| found.name() == asked.gate);
    let found = found.ok_or_else(|| anyhow!("there is no gate {}", asked.gate))?;
    let report = gate::evaluate(*found, &case);
    Ok(Answer {
        accepted: report.verdict == Verdict::Pass,
        says: format!("{:?}: {}", report.reason, report.message),
    })
}

/// Somebody without Secrets of his own.
fn asker() -> Asker {
    Asker {
        namespace: "shop".to_owned(),
        pull_secrets: Vec::new(),
    }
}
