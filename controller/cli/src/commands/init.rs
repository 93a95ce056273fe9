//! `init`: starter manifests of a product, on stdout. Nothing is applied.

mod policy;
mod rights;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anyhow::Context as _;
use kube::api::ObjectMeta;
use lockmaster_api::environment::{After, Health, Rollback};
use lockmaster_api::{Environment, EnvironmentSpec};
use lockmaster_core::environment::{
    CONSENT_ANNOTATION, Span, TIER_LABEL, Target, Tier, WorkloadApiVersion, WorkloadKind,
    WorkloadReference,
};
use serde::Serialize;

use super::read_file;
use crate::args::{Init, InitTarget};
use crate::failure::{Exit, Failure};
use crate::output;

/// The role whose approval the starter policy asks for.
const ROLE: &str = "release-manager";

/// As many as the schema of an Environment takes.
const PULL_SECRET_LIMIT: usize = 4;

/// Runs it.
pub(super) fn run(arguments: &Init) -> anyhow::Result<Exit> {
    let key = match &arguments.key {
        Some(path) => {
            let pem = read_file(path)?;
            lockmaster_verify::parse_key(&pem)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            Some(pem)
        }
        None => None,
    };
    output::result(&manifests(arguments, key.as_deref())?)?;
    if std::io::stdout().is_terminal() {
        output::note(
            "nothing was applied; pass it on: kubectl promote init … | kubectl apply -f -",
        );
    }
    Ok(Exit::Done)
}

/// YAML documents with comments between them.
struct Documents(String);

impl Documents {
    fn add<T: Serialize>(&mut self, comment: &str, object: &T) -> anyhow::Result<()> {
        let yaml = serde_saphyr::to_string(object).context("failed to write YAML")?;
        self.0.push_str("---\n");
        self.comment(comment);
        self.0.push_str(&yaml);
        if !yaml.ends_with('\n') {
            self.0.push('\n');
        }
        Ok(())
    }

    fn comment(&mut self, text: &str) {
        for line in text.lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(self.0, "{}", format!("# {line}").trim_end());
        }
    }
}

fn manifests(arguments: &Init, key: Option<&str>) -> anyhow::Result<String> {
    if arguments.pull_secret.len() > PULL_SECRET_LIMIT {
        let text = format!("--pull-secret: an Environment names {PULL_SECRET_LIMIT} at most");
        return Err(Failure::usage(text).into());
    }
    let environments = environments(arguments)?;
    let mut documents = Documents(String::new());
    documents.comment(&introduction(arguments, &environments));
    for environment in &environments {
        documents.add("", environment)?;
    }
    rights::add(arguments, &environments, &mut documents)?;
    if let Some(pem) = key {
        policy::add(arguments, pem, &mut documents)?;
    }
    Ok(documents.0)
}

/// What the manifests cannot do: the owners of the workloads consent themselves.
fn introduction(arguments: &Init, environments: &[Environment]) -> String {
    let mut text = format!(
        "Starter manifests for {} in namespace {}; the namespaces must exist.\n\
         Each workload consents by an annotation. Whoever owns it runs:\n",
        arguments.product, arguments.namespace
    );
    for (environment, target) in environments.iter().zip(&arguments.target) {
        let name = environment.metadata.name.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "  kubectl -n {} annotate deployment {} {CONSENT_ANNOTATION}={}/{name}",
            target.deployment.namespace, target.deployment.name, arguments.namespace
        );
    }
    text.push_str(&tier_labels(arguments, environments));
    if arguments.requester_group.is_none() {
        text.push_str("Nobody may ask for promotions by these manifests: add --requester-group.\n");
    }
    if arguments.key.is_some() && arguments.approver_group.is_none() {
        text.push_str("Nobody may approve by these manifests, and the policy asks for it: add --approver-group.\n");
    }
    if arguments.key.is_none() {
        text.push_str(
            "Without a ClusterPromotionPolicy only tier Development is open: add one with --key,\n\
             --image-repository and --source.\n",
        );
    }
    text
}

/// How the platform's owners say that production is production: without their label, the tier is
/// only what the Environment says of itself.
fn tier_labels(arguments: &Init, environments: &[Environment]) -> String {
    let places = || environments.iter().zip(&arguments.target);
    let namespaces = |production: bool| -> BTreeSet<&str> {
        places()
            .filter(|(environment, _)| (environment.spec.tier == Tier::Production) == production)
            .map(|(_, target)| target.deployment.namespace.as_str())
            .collect()
    };
    let (production, others) = (namespaces(true), namespaces(false));
    let mut text = String::new();
    if !production.is_empty() {
        text.push_str(
            "Without its label, a namespace is of the tier that an Environment gives itself. Whoever \
             runs\nthe platform runs:\n",
        );
    }
    for namespace in production {
        // Writing to a String cannot fail.
        let _ = if others.contains(namespace) {
            writeln!(
                text,
                "  (nothing for {namespace}: another stage runs there too, and would become \
                 production with it)"
            )
        } else {
            writeln!(
                text,
                "  kubectl label namespace {namespace} {TIER_LABEL}={}",
                Tier::Production
            )
        };
    }
    text
}

fn environments(arguments: &Init) -> Result<Vec<Environment>, Failure> {
    let mut environments: Vec<Environment> = Vec::new();
    let mut highest = Tier::Development;
    for target in &arguments.target {
        let tier = tier_of(&target.stage)?;
        if tier < highest {
            let text = format!(
                "--target {}: stages come in the order of promotion, and this one is of a lower \
                 tier than the one before",
                target.stage
            );
            return Err(Failure::usage(text));
        }
        highest = tier;
        let before = environments.last().and_then(|e| e.metadata.name.clone());
        let environment = environment(arguments, target, tier, before)?;
        if environments
            .iter()
            .any(|e| e.metadata.name == environment.metadata.name)
        {
            return Err(Failure::usage(format!(
                "--target {} stands twice",
                target.stage
            )));
        }
        environments.push(environment);
    }
    Ok(environments)
}

fn tier_of(stage: &str) -> Result<Tier, Failure> {
    match stage {
        "dev" | "development" => Ok(Tier::Development),
        "test" | "testing" | "qa" => Ok(Tier::Testing),
        "staging" | "stage" => Ok(Tier::Staging),
        "prod" | "production" => Ok(Tier::Production),
        other => Err(Failure::usage(format!(
            "--target {other}: expected dev, test, staging or prod; give other stages their tier \
             in the manifests afterwards"
        ))),
    }
}

/// Longest name of an Environment: records and labels are made from it.
const NAME_LIMIT: usize = 56;

fn environment(
    arguments: &Init,
    target: &InitTarget,
    tier: Tier,
    before: Option<String>,
) -> Result<Environment, Failure> {
    let name = format!("{}-{}", arguments.product, target.stage);
    if name.len() > NAME_LIMIT || name.contains('.') {
        let text = format!("{name} is no name for an Environment: at most 56 characters, no dots");
        return Err(Failure::usage(text));
    }
    Ok(Environment {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(arguments.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: EnvironmentSpec {
            product: arguments.product.clone(),
            stage: Some(target.stage.clone()),
            tier,
            after: before
                .into_iter()
                .map(|environment| After { environment })
                .collect(),
            targets: vec![Target {
                component: None,
                workload: WorkloadReference {
                    api_version: WorkloadApiVersion::AppsV1,
                    kind: WorkloadKind::Deployment,
                    name: target.deployment.name.clone(),
                    namespace: target.deployment.namespace.clone(),
                },
                container: arguments.image_container.clone(),
            }],
            health: Health {
                deadline: Span::seconds(600),
            },
            rollback: Rollback { automatic: true },
            pull_secrets: arguments.pull_secret.clone(),
        },
        status: None,
    })
}

#[cfg(test)]
mod tests;
