//! SLSA provenance, version 1 (one predicate type for specification 1.0 to 1.2) and 0.2.
//!
//! Where source, reference and commit stand is defined by the build type, so each version has its
//! own table of build types; an unknown one, or an unknown external parameter of a known one, is
//! unreadable: SLSA asks verifiers to reject external parameters that they do not recognise. Those
//! that a build type defines for its users to fill in are kept by name, and a policy decides about
//! them (M05).

mod v0_2;
mod v1;

use std::collections::BTreeMap;

use lockmaster_core::evidence::{Provenance, SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1};
use lockmaster_core::release::clip;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::predicate::{bounded, optional, read, short};

/// Longest text that is kept of a provenance: a URL, a reference, an identifier.
const TEXT_LIMIT: usize = 1024;

/// Most parameters that a build may have been given.
const PARAMETER_LIMIT: usize = 64;

/// Longest text of all parameters of a build. GitHub takes inputs of 65,535 characters.
const PARAMETERS_LIMIT: usize = 64 << 10;

/// Dependencies of a build that are read: builders that list each module they fetch name thousands.
const DEPENDENCY_LIMIT: usize = 1 << 13;

/// What the external parameters say was asked to be built.
struct Asked {
    repository: String,
    reference: String,
    /// Path of the definition that the build followed, and where else than in the source it is:
    /// repository and reference.
    workflow: Option<String>,
    parameters: BTreeMap<String, String>,
}

/// What a provenance says, before its texts are measured.
struct Said {
    builder: String,
    build_type: String,
    asked: Asked,
    commit: String,
    trigger: Option<String>,
    invocation: Option<String>,
}

/// Reads a provenance of version 1; the error is the problem in words.
pub(crate) fn read_v1(predicate: &str) -> Result<Provenance, String> {
    keep(SLSA_PROVENANCE_V1, v1::read(predicate)?)
}

/// Reads a provenance of version 0.2; the error is the problem in words.
pub(crate) fn read_v0_2(predicate: &str) -> Result<Provenance, String> {
    keep(SLSA_PROVENANCE_V0_2, v0_2::read(predicate)?)
}

fn keep(predicate_type: &str, said: Said) -> Result<Provenance, String> {
    let Said {
        builder,
        build_type,
        asked,
        commit,
        trigger,
        invocation,
    } = said;
    let Asked {
        repository,
        reference,
        workflow,
        parameters,
    } = asked;
    let needed = |what: &str, text| bounded(&format!("the provenance's {what}"), text, TEXT_LIMIT);
    let optional =
        |what: &str, text| optional(&format!("the provenance's {what}"), text, TEXT_LIMIT);
    Ok(Provenance {
        predicate_type: predicate_type.to_owned(),
        builder: needed("builder", builder)?,
        build_type: needed("build type", build_type)?,
        repository: needed("repository", repository)?,
        reference: needed("reference", reference)?,
        commit,
        workflow: optional("workflow", workflow)?,
        parameters,
        trigger: optional("trigger", trigger)?,
        invocation: optional("invocation", invocation)?,
    })
}

fn unknown_build_type(build_type: &str) -> String {
    format!("the build type \"{}\" is not known here", clip(build_type))
}

/// A dependency that a provenance lists, with the commit that it names.
struct Dependency {
    uri: String,
    commit: Option<String>,
}

/// The commit of the one dependency that the external parameters name: never any other, so that a
/// decoy beside it decides nothing.
fn commit(asked: &Asked, dependencies: &[Dependency]) -> Result<String, String> {
    let name = format!("git+{}@{}", asked.repository, asked.reference);
    let mut named = dependencies.iter().filter(|one| one.uri == name);
    let (Some(dependency), None) = (named.next(), named.next()) else {
        let count = dependencies.iter().filter(|one| one.uri == name).count();
        return Err(format!(
            "{count} resolved dependencies are \"{}\", there must be exactly one",
            clip(&name)
        ));
    };
    let commit = dependency.commit.clone();
    commit
        .filter(|commit| lockmaster_core::evidence::is_git_commit(commit))
        .ok_or_else(|| {
            format!(
                "the resolved dependency \"{}\" has no commit of 40 or 64 lower-case hexadecimal \
                 characters",
                clip(&name)
            )
        })
}

/// The parameters of a build by name. They may hold anything, so that their length is asked first.
fn parameters(raw: &RawValue) -> Result<BTreeMap<String, Value>, String> {
    const WHAT: &str = "list of the build's parameters";
    read(WHAT, short(WHAT, raw.get(), PARAMETERS_LIMIT)?)
}

/// Takes what a build was given from outside into `parameters`, each by its path. What is empty was
/// not given.
fn flatten(
    path: &str,
    value: &Value,
    parameters: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let long = || {
        format!(
            "the build parameter {} is longer than {TEXT_LIMIT} bytes",
            clip(path)
        )
    };
    if path.len() > TEXT_LIMIT {
        return Err(long());
    }
    let text = match value {
        Value::Null => return Ok(()),
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&format!("{path}.{name}"), value, parameters)?;
            }
            return Ok(());
        }
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    if text.len() > TEXT_LIMIT {
        return Err(long());
    }
    if !text.is_empty() {
        parameters.insert(path.to_owned(), text);
    }
    if parameters.len() > PARAMETER_LIMIT {
        return Err(format!(
            "the build was given more than {PARAMETER_LIMIT} parameters"
        ));
    }
    Ok(())
}
