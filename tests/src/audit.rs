//! The API server's audit log: the one account of the run that nobody under test has written.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// One finished (or, for watches, started) request.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// The verb: get, list, watch, create, update, patch, delete.
    pub verb: String,
    /// Who asked.
    pub user: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The API group, empty for the core group and for non-resource requests.
    pub group: String,
    /// The resource, such as `deployments`; empty for non-resource requests.
    pub resource: String,
    /// The subresource, such as `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The request path with its query.
    pub uri: String,
    /// The HTTP status of the reply.
    pub code: u16,
    /// `ResponseComplete`, or `ResponseStarted` for a watch.
    pub stage: String,
    /// When the request arrived (RFC 3339, microseconds).
    pub received: String,
    /// When this stage was reached (RFC 3339, microseconds).
    pub reached: String,
    /// The body of the request, where the audit policy keeps it.
    pub request_object: Option<serde_json::Value>,
    /// The body of the reply, where the audit policy keeps it.
    pub response_object: Option<serde_json::Value>,
}

impl AuditEvent {
    /// Whether the request asked for a change, and not only to try one or to ask about rights.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        let changes = ["create", "update", "patch", "delete", "deletecollection"];
        let questions = ["authorization.k8s.io", "authentication.k8s.io"];
        changes.contains(&self.verb.as_str())
            && !questions.contains(&self.group.as_str())
            && !self.uri.contains("dryRun=All")
    }
}

/// The log file of a cluster.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

impl AuditLog {
    /// The log at `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All events so far. The API server writes an event before it sends the reply, so a request
    /// whose reply was seen is in here.
    pub fn events(&self) -> anyhow::Result<Vec<AuditEvent>> {
        let text = std::fs::read_to_string(&self.path)
            .with_context(|| format!("failed to read {}", self.path.display()))?;
        // The last line may be half written.
        let complete = text
            .rfind('\n')
            .and_then(|end| text.get(..=end))
            .unwrap_or_default();
        complete
            .lines()
            .map(|line| {
                let raw: Raw = serde_json::from_str(line)
                    .with_context(|| format!("failed to read the audit line {line}"))?;
                Ok(raw.into())
            })
            .collect()
    }

    /// The events for which `wanted` holds.
    pub fn matching(
        &self,
        wanted: impl Fn(&AuditEvent) -> bool,
    ) -> anyhow::Result<Vec<AuditEvent>> {
        Ok(self.events()?.into_iter().filter(wanted).collect())
    }

    /// How many events match.
    pub fn count(&self, wanted: impl Fn(&AuditEvent) -> bool) -> anyhow::Result<usize> {
        Ok(self.matching(wanted)?.len())
    }
}

/// A line of the log as the API server writes it (audit.k8s.io/v1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    verb: String,
    stage: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectReference,
    #[serde(default)]
    response_status: Status,
    request_received_timestamp: String,
    stage_timestamp: String,
    request_object: Option<serde_json::Value>,
    response_object: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

impl From<Raw> for AuditEvent {
    fn from(raw: Raw) -> Self {
        Self {
            verb: raw.verb,
            user: raw.user.username,
            user_agent: raw.user_agent,
            group: raw.object_ref.api_group,
            resource: raw.object_ref.resource,
            subresource: raw.object_ref.subresource,
            namespace: raw.object_ref.namespace,
            name: raw.object_ref.name,
            uri: raw.uri,
            code: raw.response_status.code,
            stage: raw.stage,
            received: raw.request_received_timestamp,
            reached: raw.stage_timestamp,
            request_object: raw.request_object,
            response_object: raw.response_object,
        }
    }
}
