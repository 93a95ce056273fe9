//! Predicates as a build would make them: SLSA provenance and software bills of materials.

use serde_json::{Value, json};

/// The build type of a GitHub Actions workflow.
pub const WORKFLOW_BUILD_TYPE: &str = "https://actions.github.io/buildtypes/workflow/v1";

/// What a provenance says. [`Provenance::new`] fills in an honest build; change a field to lie.
#[derive(Debug, Clone)]
pub struct Provenance {
    /// The source repository, `https://github.com/acme/shop`.
    pub repository: String,
    /// The ref the workflow ran for, `refs/tags/v1.2.0`.
    pub git_ref: String,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The workflow file.
    pub workflow: String,
    /// The builder's identity.
    pub builder: String,
    /// The build type.
    pub build_type: String,
}

impl Provenance {
    /// A build of version `version` (without `v`) of `repository` at `commit`, by `builder`.
    #[must_use]
    pub fn new(repository: &str, version: &str, commit: &str, builder: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            git_ref: format!("refs/tags/v{version}"),
            commit: commit.to_owned(),
            workflow: ".github/workflows/release.yaml".to_owned(),
            builder: builder.to_owned(),
            build_type: WORKFLOW_BUILD_TYPE.to_owned(),
        }
    }

    /// The SLSA v1 predicate, for cosign's type `slsaprovenance1`.
    #[must_use]
    pub fn predicate(&self) -> Value {
        let Self {
            repository,
            git_ref,
            commit,
            workflow,
            builder,
            build_type,
        } = self;
        json!({
            "buildDefinition": {
                "buildType": build_type,
                "externalParameters": {
                    "workflow": { "ref": git_ref, "repository": repository, "path": workflow },
                },
                "internalParameters": { "github": { "event_name": "push" } },
                "resolvedDependencies": [{
                    "uri": format!("git+{repository}@{git_ref}"),
                    "digest": { "gitCommit": commit },
                }],
            },
            "runDetails": {
                "builder": { "id": builder },
                "metadata": {
                    "invocationId": format!("{repository}/actions/runs/1/attempts/1"),
                },
            },
        })
    }
}

/// An SPDX 2.3 bill of materials with `components` packages, for cosign's type `spdxjson`.
#[must_use]
pub fn spdx(name: &str, components: usize) -> Value {
    let packages: Vec<Value> = (1..=components)
        .map(|number| {
            json!({
                "SPDXID": format!("SPDXRef-Package-{number}"),
                "name": format!("library-{number}"),
                "versionInfo": format!("1.0.{number}"),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
            })
        })
        .collect();
    let described = packages.iter().map(|package| {
        json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": package["SPDXID"],
        })
    });
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("https://example.com/spdx/{name}"),
        "creationInfo": { "created": "2026-01-01T00:00:00Z", "creators": ["Tool: testbed"] },
        "relationships": described.collect::<Vec<_>>(),
        "packages": packages,
    })
}

/// A CycloneDX 1.6 bill of materials with `components` components, for cosign's type `cyclonedx`.
#[must_use]
pub fn cyclonedx(name: &str, components: usize) -> Value {
    let components: Vec<Value> = (1..=components)
        .map(|number| {
            json!({
                "type": "library",
                "bom-ref": format!("library-{number}"),
                "name": format!("library-{number}"),
                "version": format!("1.0.{number}"),
            })
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "version": 1,
        "metadata": { "component": { "type": "container", "name": name } },
        "components": components,
    })
}
