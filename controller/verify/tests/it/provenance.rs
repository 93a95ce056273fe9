//! Provenance by version and build type: where source, commit, workflow and parameters stand.

use lockmaster_core::evidence::{Content, Provenance, SLSA_PROVENANCE_V0_2, SLSA_PROVENANCE_V1};
use serde_json::{Value, json};

use crate::predicates::{judged, problem};

const REPOSITORY: &str = "https://github.com/shop/checkout";
const REFERENCE: &str = "refs/heads/main";
const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
const PATH: &str = ".github/workflows/build.yml";

fn source() -> String {
    format!("git+{REPOSITORY}@{REFERENCE}")
}

/// As slsa-github-generator writes it.
pub(crate) fn v0_2() -> Value {
    json!({
        "builder": {"id": "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0"},
        "buildType": "https://github.com/slsa-framework/slsa-github-generator/container@v1",
        "invocation": {
            "configSource": {"uri": source(), "digest": {"sha1": COMMIT}, "entryPoint": PATH},
            "parameters": {"event_inputs": null},
            "environment": {"github_event_name": "push", "github_ref": REFERENCE,
                            "github_event_payload": {"anything": [1, 2]}},
        },
        "buildConfig": null,
        "metadata": {"buildInvocationID": "4711-1", "completeness": {"parameters": true}},
        "materials": [
            {"uri": "git+https://github.com/shop/decoy@refs/heads/main", "digest": {"sha1": "0".repeat(40)}},
            {"uri": source(), "digest": {"sha1": COMMIT}},
        ],
    })
}

pub(crate) fn community() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1",
            "externalParameters": {
                "workflow": {"ref": REFERENCE, "repository": REPOSITORY, "path": PATH},
                "inputs": {"debug": true, "empty": "", "nested": {"a": [1]}},
                "vars": {"REGION": "eu"},
            },
            "internalParameters": {"github": {"event_name": "workflow_dispatch"}},
            "resolvedDependencies": [{"uri": source(), "digest": {"gitCommit": COMMIT}}],
        },
        "runDetails": {"builder": {"id": "https://ci.example/builder"}, "metadata": null},
    })
}

pub(crate) fn cloud_build() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1",
            "externalParameters": {
                "buildConfigSource": {"ref": REFERENCE, "repository": format!("git+{REPOSITORY}"), "path": "cloudbuild.yaml"},
                "substitutions": {"_REGION": "eu"},
            },
            "internalParameters": {"systemSubstitutions": {}},
            "resolvedDependencies": [{"uri": source(), "digest": {"gitCommit": COMMIT, "sha1": COMMIT}}],
        },
        "runDetails": {"builder": {"id": "https://cloudbuild.googleapis.com/GoogleHostedWorker"},
                       "metadata": {"invocationId": "https://cloudbuild.googleapis.com/v1/projects/1/builds/2"}},
    })
}

fn read(predicate_type: &str, predicate: &Value) -> Provenance {
    let content = judged(predicate_type, predicate);
    let Content::Provenance(provenance) = content else {
        panic!("{content:?}")
    };
    provenance
}

fn parameters(provenance: &Provenance) -> Vec<(&str, &str)> {
    let pairs = provenance.parameters.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[track_caller]
fn is_of_the_source(provenance: &Provenance, workflow: &str) {
    assert_eq!(provenance.repository, REPOSITORY);
    assert_eq!(provenance.reference, REFERENCE);
    assert_eq!(provenance.commit, COMMIT);
    let expected = format!("{REPOSITORY}/{workflow}@{REFERENCE}");
    assert_eq!(provenance.workflow, Some(expected));
}

#[test]
fn version_0_2_of_the_github_generators_is_read() {
    for kind in ["container@v1", "generic@v1", "go@v1"] {
        let mut predicate = v0_2();
        predicate["buildType"] =
            format!("https://github.com/slsa-framework/slsa-github-generator/{kind}").into();
        let found = read(SLSA_PROVENANCE_V0_2, &predicate);
        is_of_the_source(&found, PATH);
        assert_eq!(found.predicate_type, SLSA_PROVENANCE_V0_2);
        assert_eq!(found.trigger.as_deref(), Some("push"));
        assert_eq!(found.invocation.as_deref(), Some("4711-1"));
        assert!(found.parameters.is_empty());
    }
    let mut given = v0_2();
    given["invocation"]["parameters"] = json!({"event_inputs": {"target": "prod"}});
    let found = read(SLSA_PROVENANCE_V0_2, &given);
    assert_eq!(parameters(&found), [("event_inputs.target", "prod")]);
}

#[test]
fn version_0_2_is_refused_where_it_is_not_recognised() {
    let changed = |pointer: &str, value: Value| {
        let mut predicate = v0_2();
        *predicate.pointer_mut(pointer).unwrap() = value;
        problem(SLSA_PROVENANCE_V0_2, &predicate)
    };
    let cases = [
        (
            "/buildType",
            json!("https://github.com/slsa-framework/slsa-github-generator/container@v2"),
            "is not known here",
        ),
        (
            "/invocation/parameters",
            json!({"script": "x"}),
            "parameter `script` is not known",
        ),
        (
            "/invocation/configSource/uri",
            json!("https://github.com/shop/checkout"),
            "is not git+",
        ),
        (
            "/invocation/configSource/uri",
            json!("git+a@refs/heads/x@refs/tags/v1"),
            "is not git+",
        ),
        (
            "/invocation/configSource/digest/sha1",
            json!("0".repeat(40)),
            "differ",
        ),
        (
            "/materials/1/digest/sha1",
            json!("main"),
            "no commit of 40 or 64",
        ),
        (
            "/materials/1/uri",
            json!("git+https://github.com/shop/other@refs/heads/main"),
            "0 resolved",
        ),
        ("/materials/0", v0_2()["materials"][1].clone(), "2 resolved"),
        ("/builder/id", json!(""), "builder is empty"),
    ];
    for (pointer, value, expected) in cases {
        let found = changed(pointer, value);
        assert!(found.contains(expected), "{pointer}: {found}");
    }
    let v1 = problem(SLSA_PROVENANCE_V1, &v0_2());
    assert!(v1.contains("missing field `buildDefinition`"), "{v1}");
    assert!(problem(SLSA_PROVENANCE_V0_2, &community()).contains("missing field `builder`"));
}

#[test]
fn what_users_of_a_build_type_fill_in_is_kept_by_name() {
    let found = read(SLSA_PROVENANCE_V1, &community());
    is_of_the_source(&found, PATH);
    assert_eq!(found.trigger.as_deref(), Some("workflow_dispatch"));
    let expected = [
        ("inputs.debug", "true"),
        ("inputs.nested.a", "[1]"),
        ("vars.REGION", "eu"),
    ];
    assert_eq!(parameters(&found), expected);
    let found = read(SLSA_PROVENANCE_V1, &cloud_build());
    is_of_the_source(&found, "cloudbuild.yaml");
    assert_eq!(parameters(&found), [("substitutions._REGION", "eu")]);
    let mut many = community();
    let inputs = (0..65).map(|n| (format!("i{n}"), json!("x")));
    many["buildDefinition"]["externalParameters"]["inputs"] =
        inputs.collect::<serde_json::Map<_, _>>().into();
    assert!(problem(SLSA_PROVENANCE_V1, &many).contains("more than 64 parameters"));
    many["buildDefinition"]["externalParameters"]["inputs"] = json!({"a": "x".repeat(2000)});
    assert!(problem(SLSA_PROVENANCE_V1, &many).contains("inputs.a is longer than 1024"));
}

#[test]
fn a_configuration_elsewhere_is_not_the_source() {
    let mut elsewhere = cloud_build();
    let definition = &mut elsewhere["buildDefinition"];
    definition["externalParameters"]["sourceToBuild"] =
        json!({"ref": REFERENCE, "repository": format!("git+{REPOSITORY}"), "dir": "services/a"});
    definition["externalParameters"]["buildConfigSource"]["repository"] =
        "git+https://github.com/shop/templates".into();
    let found = read(SLSA_PROVENANCE_V1, &elsewhere);
    assert_eq!(found.repository, REPOSITORY);
    assert_eq!(
        found.workflow.as_deref(),
        Some("https://github.com/shop/templates/cloudbuild.yaml@refs/heads/main")
    );
    assert_eq!(parameters(&found)[0], ("sourceToBuild.dir", "services/a"));
}

#[test]
fn two_digests_of_one_dependency_must_agree() {
    let mut predicate = cloud_build();
    predicate["buildDefinition"]["resolvedDependencies"][0]["digest"]["sha1"] =
        "0".repeat(40).into();
    assert!(problem(SLSA_PROVENANCE_V1, &predicate).contains("has no commit"));
    predicate["buildDefinition"]["externalParameters"]["buildConfig"] = json!({"steps": []});
    assert!(problem(SLSA_PROVENANCE_V1, &predicate).contains("unknown field `buildConfig`"));
}
