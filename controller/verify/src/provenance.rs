//! SLSA provenance v1 (one predicate type for specification 1.0 to 1.2).
//!
//! Where source, reference and commit stand is defined by the build type, so there is a table of
//! build types; an unknown one, or an unknown external parameter of a known one, is unreadable:
//! SLSA asks verifiers to reject external parameters that they do not recognise.

use lockmaster_core::evidence::Provenance;
use lockmaster_core::release::clip;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Longest text that is kept of a provenance: a URL, a reference, an identifier.
const TEXT_LIMIT: usize = 1024;

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
    #[serde(default)]
    resolved_dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    uri: Option<String>,
    digest: Option<DependencyDigest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DependencyDigest {
    git_commit: Option<String>,
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

/// What the external parameters say was asked to be built.
struct Source {
    repository: String,
    reference: String,
}

/// A build type that is understood, and how to read its external parameters.
struct BuildType {
    uri: &'static str,
    source: fn(&RawValue) -> Result<Source, serde_json::Error>,
}

const BUILD_TYPES: &[BuildType] = &[BuildType {
    // https://actions.github.io/buildtypes/workflow/v1
    uri: "https://actions.github.io/buildtypes/workflow/v1",
    source: github_workflow,
}];

fn github_workflow(parameters: &RawValue) -> Result<Source, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parameters {
        workflow: Workflow,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Workflow {
        #[serde(rename = "ref")]
        reference: String,
        repository: String,
        #[serde(rename = "path")]
        _path: String,
    }
    let Parameters { workflow } = serde_json::from_str(parameters.get())?;
    Ok(Source {
        repository: workflow.repository,
        reference: workflow.reference,
    })
}

/// Reads a provenance predicate; the error is the problem in words.
pub(crate) fn read(predicate: &[u8]) -> Result<Provenance, String> {
    let Predicate {
        build_definition,
        run_details,
    } = serde_json::from_slice(predicate).map_err(|error| {
        format!(
            "the provenance cannot be read: {}",
            clip(&error.to_string())
        )
    })?;
    let build_type = build_definition.build_type;
    let known = BUILD_TYPES
        .iter()
        .find(|known| known.uri == build_type)
        .ok_or_else(|| format!("the build type \"{}\" is not known here", clip(&build_type)))?;
    let source = (known.source)(build_definition.external_parameters).map_err(|error| {
        format!(
            "the external parameters are not those of the build type: {}",
            clip_error(&error)
        )
    })?;
    let commit = commit(&source, &build_definition.resolved_dependencies)?;
    let invocation = run_details
        .metadata
        .and_then(|metadata| metadata.invocation_id);
    let texts = [
        &run_details.builder.id,
        &build_type,
        &source.repository,
        &source.reference,
    ];
    if texts.into_iter().any(String::is_empty) {
        return Err("builder, repository or reference of the provenance is empty".to_owned());
    }
    if texts
        .into_iter()
        .chain(&invocation)
        .any(|text| text.len() > TEXT_LIMIT)
    {
        return Err(format!(
            "a text of the provenance is longer than {TEXT_LIMIT} bytes"
        ));
    }
    Ok(Provenance {
        builder: run_details.builder.id,
        build_type,
        repository: source.repository,
        reference: source.reference,
        commit,
        invocation,
    })
}

fn clip_error(error: &serde_json::Error) -> String {
    clip(&error.to_string())
}

/// The commit of the one dependency that the external parameters name: never any other, so that a
/// decoy beside it decides nothing.
fn commit(source: &Source, dependencies: &[Dependency]) -> Result<String, String> {
    let name = format!("git+{}@{}", source.repository, source.reference);
    let mut named = dependencies
        .iter()
        .filter(|dependency| dependency.uri.as_ref() == Some(&name));
    let (Some(dependency), None) = (named.next(), named.next()) else {
        let count = dependencies
            .iter()
            .filter(|d| d.uri.as_ref() == Some(&name))
            .count();
        return Err(format!(
            "{count} resolved dependencies are \"{}\", there must be exactly one",
            clip(&name)
        ));
    };
    dependency
        .digest
        .as_ref()
        .and_then(|digest| digest.git_commit.clone())
        .filter(|commit| is_commit(commit))
        .ok_or_else(|| {
            format!(
                "the resolved dependency \"{}\" has no gitCommit of 40 or 64 lower-case \
                 hexadecimal characters",
                clip(&name)
            )
        })
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
