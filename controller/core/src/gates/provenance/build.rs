//! Was it built for every environment alike, by a definition that nobody can change afterwards?

use super::{Refusal, refused};
use crate::environment::Environment;
use crate::evidence::{Provenance as Statement, is_git_commit};
use crate::gates::evidence::{Question, STRANGERS_TRIGGER};
use crate::policy::{ProvenanceRule, UnpinnedWorkflows};
use crate::reason::Reason;
use crate::release::clip;

/// Names of parameters that say for which environment something is built.
const ENVIRONMENT_NAMES: [&str; 10] = [
    "env",
    "environment",
    "environmentname",
    "deployenv",
    "deployenvironment",
    "deploymentenvironment",
    "stage",
    "targetenv",
    "targetenvironment",
    "tier",
];

/// What environments are called everywhere.
const ENVIRONMENT_WORDS: [&str; 11] = [
    "dev",
    "development",
    "test",
    "testing",
    "qa",
    "stage",
    "staging",
    "preprod",
    "prod",
    "production",
    "live",
];

/// Nothing is built for an environment: no parameter names one, and none was given that the policy
/// does not list (M05).
pub(super) fn is_for_any_environment(
    question: &Question<'_>,
    rule: &ProvenanceRule,
    statement: &Statement,
) -> Result<(), Refusal> {
    if let Some(trigger) = &statement.trigger
        && trigger.starts_with(STRANGERS_TRIGGER)
    {
        let text = format!(
            "the build was started by {}, which strangers can cause; build a branch or tag",
            clip(trigger)
        );
        return refused(9, Reason::ProvenanceMismatch, text);
    }
    for (name, value) in &statement.parameters {
        let shown = clip(name);
        if names_environment(name, value, question.case.environment) {
            let text = format!(
                "it was built with {shown} = {}, so for one environment; build once, for all of them",
                clip(value)
            );
            return refused(9, Reason::ProvenanceMismatch, text);
        }
        if !rule.parameters.contains(name) {
            let text = format!(
                "it was built with the parameter {shown}, which spec.evidence.provenance[].parameters \
                 of policy {} does not list",
                question.policy
            );
            return refused(9, Reason::ProvenanceMismatch, text);
        }
    }
    Ok(())
}

fn names_environment(name: &str, value: &str, environment: &Environment) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let letters: String = last.chars().filter(|c| c.is_alphanumeric()).collect();
    let called = ENVIRONMENT_NAMES.contains(&letters.to_lowercase().as_str());
    let own = [&environment.name, &environment.stage];
    let is = |word: &str| word.eq_ignore_ascii_case(value);
    called || own.into_iter().any(|word| is(word)) || ENVIRONMENT_WORDS.into_iter().any(is)
}

/// Builder and workflow are at a tag or commit, or in the source itself, whose commit is compared
/// (M128).
pub(super) fn is_pinned(rule: &ProvenanceRule, statement: &Statement) -> Result<(), Refusal> {
    if rule.unpinned_workflows == Some(UnpinnedWorkflows::Accept) {
        return Ok(());
    }
    let names = [Some(&statement.builder), statement.workflow.as_ref()];
    let mut names = names.into_iter().flatten();
    match names.find(|name| is_unpinned(name, statement)) {
        None => Ok(()),
        Some(name) => refused(
            10,
            Reason::ProvenanceMismatch,
            format!(
                "it was built by {}, and what a branch holds can change; use it at a tag or commit",
                clip(name)
            ),
        ),
    }
}

fn is_unpinned(name: &str, statement: &Statement) -> bool {
    // A path may hold an at sign, and a ref may as well: refs/ tells where it begins.
    let split = name
        .find("@refs/")
        .and_then(|at| name.split_at_checked(at))
        .map(|(path, reference)| (path, reference.trim_start_matches('@')));
    let Some((path, reference)) = split.or_else(|| name.rsplit_once('@')) else {
        return false;
    };
    let rest = path.strip_prefix(&statement.repository);
    let in_the_source = rest.is_some_and(|rest| rest.starts_with('/'));
    if in_the_source && reference == statement.reference {
        return false;
    }
    let version = |text: &str| {
        let number = text.strip_prefix('v').unwrap_or(text);
        number.starts_with(|c: char| c.is_ascii_digit())
    };
    // Without refs/, only what looks like a version is taken for a tag.
    let tag = reference.starts_with("refs/tags/")
        || (!reference.starts_with("refs/") && version(reference));
    !tag && !is_git_commit(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Tier;
    use crate::evidence::Content;
    use crate::fixtures::{environment, provenance};

    fn statement() -> Statement {
        match provenance("1.42.0").content {
            Content::Provenance(mut statement) => {
                statement.reference = "refs/heads/main".into();
                statement
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_at_a_branch_are_not_pinned_by_this_table() {
        let statement = statement();
        let commit = "3c1e9f2a".repeat(5);
        let table = [
            ("https://ci.example/builder", false),
            ("https://ci.example/.ci/build.yml@refs/tags/v1", false),
            (&format!("https://ci.example/.ci/build.yml@{commit}"), false),
            ("https://ci.example/.ci/build.yml@refs/heads/main", true),
            ("https://ci.example/.ci/build.yml@refs/heads/v1", true),
            ("https://ci.example/.ci/build.yml@main", true),
            ("https://ci.example/.ci/build.yml@", true),
            ("https://ci.example/hosted@v1", false),
            ("https://ci.example/hosted@1.2", false),
            ("https://ci.example/a@b.yml@refs/tags/v1", false),
            ("https://ci.example/a@refs/tags/v1@refs/heads/main", false),
            (
                "https://git.example/shop/checkout/.ci/build.yml@refs/heads/main",
                false,
            ),
            (
                "https://git.example/shop/checkout/.ci/build.yml@refs/heads/other",
                true,
            ),
            (
                "https://git.example/shop/checkout2/.ci/build.yml@refs/heads/main",
                true,
            ),
        ];
        for (name, expected) in table {
            assert_eq!(is_unpinned(name, &statement), expected, "{name}");
        }
    }

    #[test]
    fn parameters_name_an_environment_by_this_table() {
        let here = environment(Tier::Production);
        let table = [
            ("inputs.debug", "true", false),
            ("inputs.environment", "x", true),
            ("inputs.TARGET_ENV", "x", true),
            ("vars.deploy-environment", "x", true),
            ("inputs.environments", "x", false),
            ("inputs.where", "prod", true),
            ("inputs.where", "PROD", true),
            ("inputs.where", "checkout-prod", true),
            ("inputs.where", "product", false),
            ("inputs.where", "eu", false),
        ];
        for (name, value, expected) in table {
            assert_eq!(
                names_environment(name, value, &here),
                expected,
                "{name}={value}"
            );
        }
    }
}
