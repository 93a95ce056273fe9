//! `create`: asks for a promotion.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use kube::api::ObjectMeta;
use lockmaster_api::{Environment, Promotion, PromotionSpec, Release};
use lockmaster_core::promotion::{Action, REQUESTED_BY_ANNOTATION, WINDOW_ANNOTATION};
use lockmaster_core::status::State;

use super::{FIELD_MANAGER, wait};
use crate::args::{Create, DryRun, Format, ObjectFormat};
use crate::cluster::Cluster;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::read::Listed;
use crate::{identity, stage};

/// Runs it.
pub(super) async fn run(arguments: Create) -> anyhow::Result<Exit> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let release: Release = cluster.get(&arguments.release).await?;
    let environments: Listed<Environment> = cluster.list().await?;
    let environment = needed(&environments, &release.spec.product, &arguments.to)?;
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
        if let Some(state) = ended(&existing) {
            going_on_from(&existing, state)?;
        }
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

/// The Environment that is meant. One that cannot be read is in the way only if it may be that one.
fn needed<'a>(
    environments: &'a Listed<Environment>,
    product: &str,
    wanted: &str,
) -> Result<&'a Environment, Failure> {
    let mut unreadable = environments.unreadable.iter();
    if let Some(problem) = unreadable.find(|problem| problem.may_be(product, wanted)) {
        return Err(Failure::unreadable(problem));
    }
    stage::resolve(&environments.readable, product, wanted).map_err(Failure::usage)
}

/// How a Promotion ended, or is about to: nothing more will come of it.
fn ended(existing: &Promotion) -> Option<State> {
    let status = existing.status.clone().unwrap_or_default();
    if let Some(record) = status.record {
        return Some(State::of_outcome(record.outcome).0);
    }
    // Going back is told by its own code; all other ways to an abort end as one.
    let going_back = status.state == State::RollingBack;
    let aborted = existing.spec.abort == Some(true);
    aborted.then_some(if going_back {
        status.state
    } else {
        State::Aborted
    })
}

/// Asking again for what is over changes nothing. Where it succeeded, that is what was asked for.
fn going_on_from(existing: &Promotion, state: State) -> Result<(), Failure> {
    let meaning = state.meaning();
    let summary = existing
        .status
        .as_ref()
        .map(|status| status.summary.as_str());
    let why = summary.filter(|text| !text.is_empty());
    let why = why.map_or_else(String::new, |text| format!(" ({text})"));
    let again = if state == State::Rejected {
        "that holds for 24 hours, unless another person asks; after that, create another one \
         with --name"
    } else {
        "to try again, create another one with --name"
    };
    let text = format!(
        "Promotion {} is over: {}{why}; {again}",
        existing.name_any(),
        meaning.word
    );
    if state == State::Succeeded {
        output::note(&text);
        return Ok(());
    }
    Err(Failure::new(Exit::State(meaning.exit_code), text))
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
        assert_eq!(same_request(&existing, &wanted), Ok(()));
        assert_eq!(ended(&existing), None);
        let other = asked(&["--reason", "another"]);
        let failure = same_request(&existing, &other).unwrap_err();
        assert!(failure.message.contains("--name"), "{failure}");
    }

    #[test]
    fn asking_for_what_is_over_says_how_it_ended() {
        let over = |abort: bool, status: serde_json::Value| {
            let mut existing = asked(&[]);
            existing.spec.abort = abort.then_some(true);
            existing.status = serde_json::from_value(status).unwrap();
            let state = ended(&existing)?;
            let failure = going_on_from(&existing, state).err();
            failure.map(|failure| (failure.exit.code(), failure.message))
        };
        let recorded = |outcome: &str| {
            let hash = format!("sha256:{}", "0".repeat(64));
            serde_json::json!({
                "state": outcome, "summary": "because",
                "record": {"name": "checkout-prod-000001", "hash": hash, "outcome": outcome},
            })
        };
        assert_eq!(
            over(false, serde_json::json!({"state": "AwaitingWindow"})),
            None
        );
        assert_eq!(over(false, recorded("Succeeded")), None);
        for (outcome, code) in [
            ("Rejected", 4),
            ("Superseded", 4),
            ("Failed", 5),
            ("RolledBack", 5),
        ] {
            let again = if outcome == "Rejected" {
                "that holds for 24 hours, unless another person asks; after that, create \
                 another one with --name"
            } else {
                "to try again, create another one with --name"
            };
            let text =
                format!("Promotion checkout-1.42.0-prod is over: {outcome} (because); {again}");
            assert_eq!(over(false, recorded(outcome)), Some((code, text)));
        }
        let code = |status| over(true, status).map(|(code, _)| code);
        assert_eq!(code(serde_json::Value::Null), Some(4));
        assert_eq!(code(serde_json::json!({"state": "RollingOut"})), Some(4));
        assert_eq!(code(serde_json::json!({"state": "RollingBack"})), Some(5));
        assert_eq!(code(recorded("Succeeded")), None);
    }

    #[test]
    fn an_unreadable_environment_is_in_the_way_of_itself_alone() {
        let environments = Listed {
            readable: vec![stage::tests::environment(
                "checkout-dev",
                "checkout",
                Some("dev"),
            )],
            unreadable: vec![crate::read::tests::unreadable()],
        };
        let dev = needed(&environments, "checkout", "dev").unwrap();
        assert_eq!(dev.name_any(), "checkout-dev");
        let failure = needed(&environments, "checkout", "prod").unwrap_err();
        assert!(
            failure
                .message
                .contains("checkout-prod cannot be read: spec.health"),
            "{failure}"
        );
    }
}
