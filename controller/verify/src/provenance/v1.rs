//! Provenance version 1: <https://slsa.dev/spec/v1.2/build-provenance>.

use std::collections::BTreeMap;

use lockmaster_core::release::clip;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{
    Asked, DEPENDENCY_LIMIT, Dependency, Said, commit, flatten, parameters, unknown_build_type,
};
use crate::list::Capped;
use crate::predicate::{nullable, read as read_json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    #[serde(borrow)]
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: String,
    #[serde(borrow)]
    external_parameters: &'a RawValue,
    #[serde(default, deserialize_with = "nullable")]
    internal_parameters: InternalParameters,
    #[serde(default, deserialize_with = "nullable")]
    resolved_dependencies: Capped<WireDependency, DEPENDENCY_LIMIT>,
}

/// Builders may put anything here; the event is what GitHub puts.
#[derive(Default, Deserialize)]
struct InternalParameters {
    github: Option<GitHub>,
}

#[derive(Deserialize)]
struct GitHub {
    event_name: Option<String>,
}

#[derive(Deserialize)]
struct WireDependency {
    uri: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    digest: Commit,
}

/// `gitCommit` is SLSA's name for it, `sha1` that of older builders. Other digests are not asked for.
#[derive(Default, Deserialize)]
struct Commit {
    #[serde(rename = "gitCommit")]
    named: Option<String>,
    sha1: Option<String>,
}

#[derive(Deserialize)]
struct RunDetails {
    builder: Builder,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    invocation_id: Option<String>,
}

/// A build type that is understood, and how to read its external parameters.
struct BuildType {
    uri: &'static str,
    read: fn(Parameters) -> Result<Asked, String>,
}

const BUILD_TYPES: &[BuildType] = &[
    BuildType {
        uri: "https://actions.github.io/buildtypes/workflow/v1",
        read: github_workflow,
    },
    BuildType {
        uri: "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
        read: community_workflow,
    },
    BuildType {
        uri: "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
        read: cloud_build,
    },
];

/// Reads the predicate; the error is the problem in words.
pub(super) fn read(predicate: &str) -> Result<Said, String> {
    let Predicate {
        build_definition,
        run_details,
    } = read_json("provenance", predicate)?;
    let BuildDefinition {
        build_type,
        external_parameters,
        internal_parameters,
        resolved_dependencies,
    } = build_definition;
    let known = BUILD_TYPES.iter().find(|known| known.uri == build_type);
    let known = known.ok_or_else(|| unknown_build_type(&build_type))?;
    let given = Parameters(parameters(external_parameters)?);
    let asked = (known.read)(given).map_err(|problem| {
        format!("the external parameters are not those of the build type: {problem}")
    })?;
    let resolved_dependencies = resolved_dependencies.all("resolved dependencies")?;
    let dependencies: Vec<_> = resolved_dependencies.into_iter().map(dependency).collect();
    let RunDetails { builder, metadata } = run_details;
    Ok(Said {
        builder: builder.id,
        commit: commit(&asked, &dependencies)?,
        asked,
        build_type,
        trigger: internal_parameters
            .github
            .and_then(|github| github.event_name),
        invocation: metadata.and_then(|metadata| metadata.invocation_id),
    })
}

/// Where a commit is given by both names they must agree, or none counts.
fn dependency(wire: WireDependency) -> Dependency {
    let WireDependency { uri, digest } = wire;
    let commit = match (digest.named, digest.sha1) {
        (Some(commit), None) | (None, Some(commit)) => Some(commit),
        (Some(commit), Some(other)) => Some(commit).filter(|commit| *commit == other),
        (None, None) => None,
    };
    Dependency {
        uri: uri.unwrap_or_default(),
        commit,
    }
}

/// External parameters: each is taken out once, and nothing may be left.
struct Parameters(BTreeMap<String, Value>);

impl Parameters {
    fn take<T: serde::de::DeserializeOwned>(&mut self, name: &str) -> Result<T, String> {
        let value = self.0.remove(name);
        let value = value.ok_or_else(|| format!("missing field `{name}`"))?;
        // It repeats the value, which anybody may have written.
        serde_json::from_value(value)
            .map_err(|error| format!("{name}: {}", clip(&error.to_string())))
    }

    fn take_optional<T: serde::de::DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, String> {
        let given = self.0.get(name).is_some_and(|value| !value.is_null());
        if given {
            self.take(name).map(Some)
        } else {
            Ok(None)
        }
    }

    /// What users of the build type fill in, and nothing else.
    fn rest(mut self, names: &[&str]) -> Result<BTreeMap<String, String>, String> {
        let mut parameters = BTreeMap::new();
        for name in names {
            if let Some(value) = self.0.remove(*name) {
                flatten(name, &value, &mut parameters)?;
            }
        }
        match self.0.keys().next() {
            None => Ok(parameters),
            Some(unknown) => Err(format!("unknown field `{}`", clip(unknown))),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Workflow {
    #[serde(rename = "ref")]
    reference: String,
    repository: String,
    path: String,
}

/// <https://actions.github.io/buildtypes/workflow/v1>. The kind of runner is GitHub's own word.
fn github_workflow(mut parameters: Parameters) -> Result<Asked, String> {
    let workflow: Workflow = parameters.take("workflow")?;
    let _runner: Option<String> = parameters.take_optional("runner_environment")?;
    Ok(workflow_of(workflow, parameters.rest(&["inputs", "vars"])?))
}

/// <https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1>
fn community_workflow(mut parameters: Parameters) -> Result<Asked, String> {
    let workflow: Workflow = parameters.take("workflow")?;
    let given = parameters.rest(&["inputs", "release", "vars"])?;
    Ok(workflow_of(workflow, given))
}

fn workflow_of(workflow: Workflow, parameters: BTreeMap<String, String>) -> Asked {
    let Workflow {
        reference,
        repository,
        path,
    } = workflow;
    Asked {
        workflow: Some(format!("{repository}/{path}@{reference}")),
        repository,
        reference,
        parameters,
    }
}

/// <https://cloud.google.com/build/gcb-buildtypes/google-worker/v1>: repositories have the prefix
/// `git+`, and the configuration is in the source unless that is named beside it.
fn cloud_build(mut parameters: Parameters) -> Result<Asked, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Configuration {
        #[serde(rename = "ref")]
        reference: String,
        repository: String,
        path: Option<String>,
        #[serde(rename = "pathAutoDetect", alias = "pathAutodetect")]
        _path_detected: Option<bool>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Source {
        #[serde(rename = "ref")]
        reference: String,
        repository: String,
        dir: Option<String>,
    }
    let plain = |repository: &str| {
        let rest = repository.strip_prefix("git+");
        rest.map(str::to_owned)
            .ok_or_else(|| "a repository does not begin with git+".to_owned())
    };
    let configuration: Configuration = parameters.take("buildConfigSource")?;
    let source: Option<Source> = parameters.take_optional("sourceToBuild")?;
    let mut given = parameters.rest(&["substitutions"])?;
    let at = plain(&configuration.repository)?;
    let path = configuration.path.unwrap_or_default();
    let workflow = format!("{at}/{path}@{}", configuration.reference);
    let (repository, reference) = match source {
        None => (at, configuration.reference),
        Some(source) => {
            let directory = Value::from(source.dir.unwrap_or_default());
            flatten("sourceToBuild.dir", &directory, &mut given)?;
            (plain(&source.repository)?, source.reference)
        }
    };
    Ok(Asked {
        repository,
        reference,
        workflow: Some(workflow),
        parameters: given,
    })
}
