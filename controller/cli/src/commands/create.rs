//! `create`: asks for a promotion.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use lockmaster_api::{Environment, Promotion, PromotionSpec, Release};
use lockmaster_core::promotion::{Action, REQUESTED_BY_ANNOTATION, WINDOW_ANNOTATION};

use super::{FIELD_MANAGER, wait};
use crate::args::{Create, DryRun, Format, ObjectFormat};
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::{identity, stage};

/// Runs it.
pub(super) async fn run(arguments: Create) -> anyhow::Result<Exit> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let release: Release = cluster.get(&arguments.release).await?;
    let environments: Vec<Environment> = cluster.list().await?;
    let environment = stage::resolve(&environments, &release.spec.product, &arguments.to)
        .map_err(Failure::usage)?;
    let mut promotion = promotion(&arguments, environment, cluster.namespace());
    let name = promotion.name_any();
    if arguments.dry_run == DryRun::Client {
        // Without the requester: whoever applies it is the one who asks, and the guard compares.
        let format = arguments.output.unwrap_or(ObjectFormat::Yaml);
        print(format, &promotion)?;
        return Ok(Exit::Done);
    }
    let me = identity::whoami(&cluster).await?;
    promotion
        .annotations_mut()
        .insert(REQUESTED_BY_ANNOTATION.to_owned(), me);
    if let Some(created) = cluster.create(&promotion, FIELD_MANAGER).await? {
        print_or_say(arguments.output, &created, "created")?;
    } else {
        let existing: Promotion = cluster.get(&name).await?;
        same_request(&existing, &promotion)?;
        print_or_say(arguments.output, &existing, "unchanged")?;
    }
    if arguments.wait {
        return wait::until_over(&cluster, &name).await;
    }
    let namespace = cluster.namespace();
    output::note(&format!(
        "see how it stands: kubectl promote explain {name} -n {namespace}"
    ));
    Ok(Exit::Done)
}

/// The object that is asked for.
fn promotion(arguments: &Create, environment: &Environment, namespace: &str) -> Promotion {
    let Create {
        release,
        to: _,
        name,
        rollback,
        reason,
        incident,
        window,
        dry_run: _,
        output: _,
        wait: _,
        connection: _,
    } = arguments;
    let name = name.clone().unwrap_or_else(|| {
        let place = stage::stage_of(environment);
        let incident = incident.as_deref().filter(|_| *rollback);
        default_name(release, &place, incident)
    });
    let annotations = window
        .iter()
        .map(|window| (WINDOW_ANNOTATION.to_owned(), window.clone()));
    let annotations: BTreeMap<_, _> = annotations.collect();
    let action = if *rollback {
        Action::Rollback
    } else {
        Action::Promote
    };
    Promotion {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        },
        spec: PromotionSpec {
            release: release.clone(),
            environment: environment.name_any(),
            action,
            reason: reason.clone(),
            incident: incident.clone(),
            abort: None,
        },
        status: None,
    }
}

/// The same for the same request, so that asking twice asks once. Going back has a name of its own
/// per incident: the way forward took the plain one.
fn default_name(release: &str, stage: &str, incident: Option<&str>) -> String {
    let plain = format!("{release}-{stage}");
    let Some(incident) = incident else {
        return plain;
    };
    let part: String = incident
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let part = part.trim_matches('-');
    format!("{plain}-rollback-{part}")
        .trim_end_matches('-')
        .to_owned()
}

/// Whether what exists under this name asks for the same thing.
fn same_request(existing: &Promotion, wanted: &Promotion) -> Result<(), Failure> {
    let of = |promotion: &Promotion| {
        let PromotionSpec {
            release,
            environment,
            action,
            reason,
            incident,
            abort: _,
        } = promotion.spec.clone();
        let window = promotion.annotations().get(WINDOW_ANNOTATION).cloned();
        (release, environment, action, reason, incident, window)
    };
    if of(existing) == of(wanted) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "Promotion {} exists already and asks for something else; a Promotion never changes: \
         create another one with --name",
        wanted.name_any()
    )))
}

fn print_or_say(
    format: Option<ObjectFormat>,
    object: &Promotion,
    what: &str,
) -> anyhow::Result<()> {
    match format {
        Some(format) => print(format, object),
        None => output::result(&format!("{} {what}\n", resource_name(object))),
    }
}

fn print(format: ObjectFormat, object: &Promotion) -> anyhow::Result<()> {
    match format {
        ObjectFormat::Json => output::value(Format::Json, object),
        ObjectFormat::Yaml => output::value(Format::Yaml, object),
        ObjectFormat::Name => output::result(&format!("{}\n", resource_name(object))),
    }
}

fn resource_name(object: &Promotion) -> String {
    format!("promotion.lockmaster.dev/{}", object.name_any())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Arguments, Command};

    fn asked(words: &[&str]) -> Promotion {
        let words = [
            "kubectl-promote",
            "create",
            "checkout-1.42.0",
            "--to",
            "prod",
        ]
        .iter()
        .chain(words);
        let arguments = Arguments::try_parse_from(words).unwrap();
        let environment = stage::tests::environment("checkout-prod", "checkout", Some("prod"));
        let Command::Create(create) = arguments.command else {
            panic!("{arguments:?}");
        };
        promotion(&create, &environment, "shop")
    }

    #[test]
    fn a_plain_request_is_small() {
        let yaml = output::yaml(&asked(&[])).unwrap();
        assert_eq!(
            yaml,
            "apiVersion: lockmaster.dev/v1alpha1\n\
             kind: Promotion\n\
             metadata:\n  name: checkout-1.42.0-prod\n  namespace: shop\n\
             spec:\n  release: checkout-1.42.0\n  environment: checkout-prod\n  action: Promote\n"
        );
    }

    #[test]
    fn going_back_has_a_name_of_its_own() {
        let promotion = asked(&["--rollback", "--reason", "slow", "--incident", "INC-7781"]);
        assert_eq!(
            promotion.name_any(),
            "checkout-1.42.0-prod-rollback-inc-7781"
        );
        assert_eq!(promotion.spec.action, Action::Rollback);
        assert_eq!(
            default_name("a-1.0.0", "prod", Some("#7 / x!")),
            "a-1.0.0-prod-rollback-7---x"
        );
        assert_eq!(
            default_name("a-1.0.0", "prod", Some("!")),
            "a-1.0.0-prod-rollback"
        );
    }

    #[test]
    fn a_window_is_an_annotation() {
        let promotion = asked(&["--window", "Tue-Thu 10:00-12:00 Europe/Berlin"]);
        let window = promotion.annotations().get(WINDOW_ANNOTATION);
        assert_eq!(
            window.map(String::as_str),
            Some("Tue-Thu 10:00-12:00 Europe/Berlin")
        );
    }

    #[test]
    fn asking_twice_for_the_same_is_fine() {
        let wanted = asked(&[]);
        let mut existing = asked(&[]);
        existing
            .annotations_mut()
            .insert(REQUESTED_BY_ANNOTATION.into(), "bob".into());
        existing.spec.abort = Some(true);
        assert_eq!(same_request(&existing, &wanted), Ok(()));
        let other = asked(&["--reason", "another"]);
        let failure = same_request(&existing, &other).unwrap_err();
        assert!(failure.message.contains("--name"), "{failure}");
    }
}
