//! Provenance version 0.2: <https://slsa.dev/spec/v0.2/provenance>, as slsa-github-generator writes
//! it for container images and for anything else.

use std::collections::BTreeMap;

use lockmaster_core::release::clip;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Asked, DEPENDENCY_LIMIT, Dependency, Said, commit, flatten, unknown_build_type};
use crate::list::Capped;
use crate::predicate::{nullable, read as read_json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    builder: Builder,
    build_type: String,
    #[serde(borrow)]
    invocation: Invocation<'a>,
    metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "nullable")]
    materials: Capped<Material, DEPENDENCY_LIMIT>,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    config_source: ConfigSource,
    /// `null` is none.
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "nullable")]
    environment: Environment,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigSource {
    uri: String,
    #[serde(default, deserialize_with = "nullable")]
    digest: Commit,
    entry_point: Option<String>,
}

/// Set by the builder, not by whom it builds for.
#[derive(Default, Deserialize)]
struct Environment {
    github_event_name: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "buildInvocationID", alias = "buildInvocationId")]
    invocation: Option<String>,
}

#[derive(Deserialize)]
struct Material {
    uri: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    digest: Commit,
}

/// Other digests are not asked for.
#[derive(Default, Deserialize)]
struct Commit {
    sha1: Option<String>,
}

/// Build types that are understood. All of them are GitHub workflows: `configSource` is the source,
/// with the commit in `sha1`, and users fill in `parameters.event_inputs`.
const BUILD_TYPES: [&str; 3] = [
    "https://github.com/slsa-framework/slsa-github-generator/container@v1",
    "https://github.com/slsa-framework/slsa-github-generator/generic@v1",
    "https://github.com/slsa-framework/slsa-github-generator/go@v1",
];

/// What users of these build types fill in.
const INPUTS: &str = "event_inputs";

/// Reads the predicate; the error is the problem in words.
pub(super) fn read(predicate: &str) -> Result<Said, String> {
    let Predicate {
        builder,
        build_type,
        invocation,
        metadata,
        materials,
    } = read_json("provenance", predicate)?;
    if !BUILD_TYPES.contains(&build_type.as_str()) {
        return Err(unknown_build_type(&build_type));
    }
    let Invocation {
        config_source,
        parameters,
        environment,
    } = invocation;
    let given = parameters.map(super::parameters).transpose()?;
    let asked = asked(&config_source, &given.unwrap_or_default())?;
    let materials = materials.all("materials")?;
    let materials: Vec<_> = materials.into_iter().map(material).collect();
    let commit = commit(&asked, &materials)?;
    if config_source.digest.sha1.as_ref() != Some(&commit) {
        return Err("the configuration source and the material of that name differ".to_owned());
    }
    Ok(Said {
        builder: builder.id,
        build_type,
        asked,
        commit,
        trigger: environment.github_event_name,
        invocation: metadata.and_then(|metadata| metadata.invocation),
    })
}

fn material(wire: Material) -> Dependency {
    let Material { uri, digest } = wire;
    Dependency {
        uri: uri.unwrap_or_default(),
        commit: digest.sha1,
    }
}

fn asked(source: &ConfigSource, given: &BTreeMap<String, Value>) -> Result<Asked, String> {
    let (repository, reference) = split(&source.uri).ok_or_else(|| {
        format!(
            "the configuration source \"{}\" is not git+<repository>@refs/…",
            clip(&source.uri)
        )
    })?;
    let mut parameters = BTreeMap::new();
    for (name, value) in given {
        if name != INPUTS {
            let name = clip(name);
            return Err(format!("the build parameter `{name}` is not known here"));
        }
        flatten(name, value, &mut parameters)?;
    }
    let path = source.entry_point.as_ref();
    let workflow = path.map(|path| format!("{repository}/{path}@{reference}"));
    Ok(Asked {
        repository: repository.to_owned(),
        reference: reference.to_owned(),
        workflow,
        parameters,
    })
}

/// Repository and reference of `git+<repository>@refs/…`; a second `@refs/` would leave open which
/// one is meant.
fn split(uri: &str) -> Option<(&str, &str)> {
    const MARK: &str = "@refs/";
    let rest = uri.strip_prefix("git+")?;
    let at = rest.find(MARK)?;
    let (repository, reference) = rest.split_at_checked(at)?;
    let reference = reference.strip_prefix('@')?;
    (!reference.contains(MARK)).then_some((repository, reference))
}
