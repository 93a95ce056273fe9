//! What a CI job says of itself: the claims of a GitHub Actions token.

use serde_json::{Value, json};

/// Where the private Sigstore's CI lives: the host of repositories in its certificates.
pub(super) const HOST: &str = "https://github.com";

/// One run of a workflow. [`WorkflowRun::new`] fills in an honest release; change a field to lie.
#[derive(Debug, Clone)]
pub struct WorkflowRun {
    /// The repository without its host, `acme/shop`.
    pub repository: String,
    /// The ref it runs for, `refs/tags/v1.4.0`.
    pub git_ref: String,
    /// The commit, 40 hex digits.
    pub commit: String,
    /// The workflow file, `.github/workflows/release.yaml`.
    pub workflow: String,
    /// The repository that the workflow file is in: another one for a reusable workflow.
    pub workflow_repository: String,
    /// The event that started it, `push`.
    pub event: String,
    /// The number of the run.
    pub run: u64,
    /// The kind of machine, `github-hosted`.
    pub runner: String,
    /// The environment that it deploys to; the certificate has the extension only if there is one.
    pub environment: Option<String>,
}

impl WorkflowRun {
    /// A release of version `version` (without `v`) of `repository` (without host) at `commit`.
    #[must_use]
    pub fn new(repository: &str, version: &str, commit: &str) -> Self {
        Self {
            repository: repository.to_owned(),
            git_ref: format!("refs/tags/v{version}"),
            commit: commit.to_owned(),
            workflow: ".github/workflows/release.yaml".to_owned(),
            workflow_repository: repository.to_owned(),
            event: "push".to_owned(),
            run: 42,
            runner: "github-hosted".to_owned(),
            environment: Some("release".to_owned()),
        }
    }

    /// The identity in the certificate: the workflow that runs, as a URI.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{HOST}/{}", self.job_workflow())
    }

    /// The repository in the certificate, as a URI.
    #[must_use]
    pub fn source_repository(&self) -> String {
        format!("{HOST}/{}", self.repository)
    }

    fn job_workflow(&self) -> String {
        let Self {
            workflow_repository,
            workflow,
            git_ref,
            ..
        } = self;
        format!("{workflow_repository}/{workflow}@{git_ref}")
    }

    pub(super) fn claims(&self) -> Value {
        let Self {
            repository,
            git_ref,
            commit,
            workflow,
            event,
            ..
        } = self;
        let owner = repository.split('/').next().unwrap_or_default();
        let environment = self.environment.as_deref();
        let context = environment.map_or_else(
            || format!("ref:{git_ref}"),
            |name| format!("environment:{name}"),
        );
        let mut claims = json!({
            "sub": format!("repo:{repository}:{context}"),
            "repository": repository,
            "repository_id": "1001",
            "repository_owner": owner,
            "repository_owner_id": "1000",
            "repository_visibility": "private",
            "ref": git_ref,
            "sha": commit,
            "workflow": "release",
            "workflow_ref": format!("{repository}/{workflow}@{git_ref}"),
            "workflow_sha": commit,
            "job_workflow_ref": self.job_workflow(),
            "job_workflow_sha": commit,
            "event_name": event,
            "run_id": self.run.to_string(),
            "run_attempt": "1",
            "runner_environment": self.runner,
        });
        if let (Some(claims), Some(name)) = (claims.as_object_mut(), environment) {
            claims.insert("environment".to_owned(), json!(name));
        }
        claims
    }
}

/// How Fulcio makes extensions out of the claims: left the field of its configuration, right a
/// claim or a template of claims.
pub(super) fn extensions() -> Value {
    json!({
        "GithubWorkflowTrigger": "event_name",
        "GithubWorkflowSHA": "sha",
        "GithubWorkflowName": "workflow",
        "GithubWorkflowRepository": "repository",
        "GithubWorkflowRef": "ref",
        "BuildSignerURI": "{{ .url }}/{{ .job_workflow_ref }}",
        "BuildSignerDigest": "job_workflow_sha",
        "RunnerEnvironment": "runner_environment",
        "SourceRepositoryURI": "{{ .url }}/{{ .repository }}",
        "SourceRepositoryDigest": "sha",
        "SourceRepositoryRef": "ref",
        "SourceRepositoryIdentifier": "repository_id",
        "SourceRepositoryOwnerURI": "{{ .url }}/{{ .repository_owner }}",
        "SourceRepositoryOwnerIdentifier": "repository_owner_id",
        "BuildConfigURI": "{{ .url }}/{{ .workflow_ref }}",
        "BuildConfigDigest": "workflow_sha",
        "BuildTrigger": "event_name",
        "RunInvocationURI":
            "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
        "SourceRepositoryVisibilityAtSigning": "repository_visibility",
        "DeploymentEnvironment": "environment",
    })
}
