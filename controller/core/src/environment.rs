//! A place a product runs: its tier, what comes before it, and the workload it may change.

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::promotion::Claim;
use crate::release::{ComponentDigest, Digest, Version};
use crate::standing::Concern;

/// Label by which the owners of a namespace's platform say how much it matters. It can only raise
/// the tier that an Environment gives itself, so that a tenant cannot opt out of a policy.
pub const TIER_LABEL: &str = "lockmaster.dev/tier";
/// Annotation on a workload: `<namespace>/<environment>` of the one Environment that may change it.
pub const CONSENT_ANNOTATION: &str = "lockmaster.dev/authorized-by";
/// Annotation on a workload, written together with the image: `<promotion uid>/<attempt>`.
pub const INTENT_ANNOTATION: &str = "lockmaster.dev/intent";
/// Annotation on a workload that makes an apply which is still under way conflict.
pub const FENCE_ANNOTATION: &str = "lockmaster.dev/fence";
/// Annotation on an Environment: an instant at which what runs is verified again, before its turn.
pub const RECONCILE_ANNOTATION: &str = "lockmaster.dev/reconcile-at";
/// Field manager of every apply to a workload.
pub const FIELD_MANAGER: &str = "lockmaster";

/// How much a place matters, least first. Policies match on it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Tier {
    /// Open without any policy.
    Development,
    /// Automatic and manual tests.
    Testing,
    /// The last stop before production.
    Staging,
    /// What customers use.
    Production,
}

impl Tier {
    /// The tier a label's value names. Anything that is no tier means Production: a typing error
    /// must not open a door.
    #[must_use]
    pub fn of_label(value: &str) -> Self {
        match value {
            "Development" => Self::Development,
            "Testing" => Self::Testing,
            "Staging" => Self::Staging,
            _ => Self::Production,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Development => "Development",
            Self::Testing => "Testing",
            Self::Staging => "Staging",
            Self::Production => "Production",
        })
    }
}

/// A duration as people write it: `30s`, `10m`, `1h30m`. Hours, minutes and seconds in this order,
/// from one second to seven days: what the schema admits, and no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(SignedDuration);

/// A text that is no duration between one second and seven days.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a duration from 1s to 168h: write for example 30s, 10m or 1h30m")]
pub struct SpanError(String);

impl Span {
    /// A duration of whole seconds; outside one second to seven days it is cut to that.
    #[must_use]
    pub fn seconds(seconds: i64) -> Self {
        Self(SignedDuration::from_secs(
            seconds.clamp(1, LONGEST_SPAN_SECONDS),
        ))
    }

    /// The duration.
    #[must_use]
    pub fn duration(self) -> SignedDuration {
        self.0
    }
}

/// Seven days: longer than any roll-out that still means anything.
const LONGEST_SPAN_SECONDS: i64 = 7 * 24 * 3600;

/// Longest text of a duration.
const SPAN_LIMIT: usize = 16;

/// The seconds that hours, minutes and seconds in this order make; each part may be left out.
fn seconds_of(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    for (unit, seconds) in [('h', 3600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(unit) else {
            continue;
        };
        // Digits alone: parsing would take a sign as well.
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number: i64 = number.parse().ok()?;
        total = total.checked_add(number.checked_mul(seconds)?)?;
        rest = after;
    }
    (rest.is_empty() && text.len() <= SPAN_LIMIT).then_some(total)
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Self, SpanError> {
        seconds_of(&text)
            .filter(|seconds| (1..=LONGEST_SPAN_SECONDS).contains(seconds))
            .map(Self::seconds)
            .ok_or_else(|| SpanError(crate::release::clip(&text)))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        for (number, unit) in [(hours, 'h'), (minutes, 'm'), (seconds, 's')] {
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": SPAN_LIMIT,
            "pattern": "^([0-9]+h([0-9]+m)?([0-9]+s)?|[0-9]+m([0-9]+s)?|[0-9]+s)$",
            // What no pattern can say. A number too large for a duration is an error, so refused.
            "x-kubernetes-validations": [{
                "rule": "duration(self) >= duration('1s') && duration(self) <= duration('168h')",
                "message": "expected a duration from 1s to 168h, such as 90s, 10m or 1h30m"
            }]
        })
    }
}

/// The kinds of workload whose image can be set.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum WorkloadKind {
    /// `apps/v1` Deployment.
    Deployment,
}

/// The API version that goes with the workload kinds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum WorkloadApiVersion {
    /// The only one there is.
    #[serde(rename = "apps/v1")]
    AppsV1,
}

/// Names one workload of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadReference {
    /// `apps/v1`.
    pub api_version: WorkloadApiVersion,
    /// `Deployment`.
    pub kind: WorkloadKind,
    /// Name of the workload.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the workload. It may differ from the Environment's: the workload's consent
    /// annotation and a Role in its namespace decide.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
}

impl fmt::Display for WorkloadReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deployment {}/{}", self.namespace, self.name)
    }
}

/// What an Environment changes: one container's image in one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Component of the Release that runs here; the only one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub component: Option<String>,
    /// The workload.
    pub workload: WorkloadReference,
    /// Container whose image is set; the only one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub container: Option<String>,
}

/// What has run in an Environment and is known to work, or runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Name of the Release.
    pub release: String,
    /// Its version.
    pub version: Version,
    /// Hash over its components' digests.
    pub artifact_set: Digest,
    /// Digest of each component.
    pub components: Vec<ComponentDigest>,
    /// When the promotion that brought it was concluded.
    #[schemars(with = "crate::time::Schema")]
    pub since: Timestamp,
    /// Name of the PromotionRecord that says so.
    pub record: String,
}

/// An Environment, parsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Environment {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// Product that runs here.
    pub product: String,
    /// What people call it; the object's name when left out.
    pub stage: String,
    /// The tier it gives itself; see [`Environment::effective_tier`].
    pub tier: Tier,
    /// Environments of this namespace where the same artifacts must have succeeded before.
    pub after: Vec<String>,
    /// What it changes.
    pub targets: Vec<Target>,
    /// How long a roll-out may take from its intent until it is healthy.
    pub deadline: Span,
    /// Whether a roll-out that is not healthy in time is undone by the same Promotion.
    pub automatic_rollback: bool,
    /// Secrets of its namespace with which evidence is read; without any, the operator's logins are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_secrets: Vec<String>,
    /// The promotion that holds the Environment now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Claim>,
    /// What was held last against what runs, what would be gone back to, and what ran before these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// When a person wants these verified again: the value of [`RECONCILE_ANNOTATION`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverify_at: Option<Timestamp>,
}

impl Environment {
    /// `namespace/name`, the value of the consent annotation.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The highest of its own tier and those that the labels of its namespace and its targets' give.
    /// `labels` holds the labels of these; a namespace that is not there counts as Production.
    #[must_use]
    pub fn effective_tier(&self, labels: &BTreeMap<String, BTreeMap<String, String>>) -> Tier {
        self.namespaces()
            .map(|namespace| match labels.get(namespace) {
                None => Tier::Production,
                Some(labels) => labels
                    .get(TIER_LABEL)
                    .map_or(Tier::Development, |value| Tier::of_label(value)),
            })
            .fold(self.tier, Tier::max)
    }

    /// The Environment's namespace and those of its targets, possibly repeated.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.namespace.as_str()).chain(
            self.targets
                .iter()
                .map(|target| target.workload.namespace.as_str()),
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn environment() -> Environment {
        Environment {
            namespace: "shop".into(),
            name: "checkout-prod".into(),
            uid: "env-uid".into(),
            generation: 1,
            product: "checkout".into(),
            stage: "prod".into(),
            tier: Tier::Development,
            after: vec![],
            targets: vec![Target {
                component: None,
                workload: WorkloadReference {
                    api_version: WorkloadApiVersion::AppsV1,
                    kind: WorkloadKind::Deployment,
                    name: "checkout".into(),
                    namespace: "shop-prod".into(),
                },
                container: None,
            }],
            deadline: Span::seconds(600),
            automatic_rollback: true,
            pull_secrets: vec![],
            active: None,
            concerns: vec![],
            reverify_at: None,
        }
    }

    fn labels(value: Option<&str>) -> BTreeMap<String, BTreeMap<String, String>> {
        let tier = value.map(|value| (TIER_LABEL.to_owned(), value.to_owned()));
        BTreeMap::from([
            ("shop".to_owned(), BTreeMap::new()),
            ("shop-prod".to_owned(), tier.into_iter().collect()),
        ])
    }

    #[test]
    fn a_namespace_label_raises_the_tier_and_never_lowers_it() {
        let mut environment = environment();
        assert_eq!(environment.effective_tier(&labels(None)), Tier::Development);
        assert_eq!(
            environment.effective_tier(&labels(Some("Production"))),
            Tier::Production
        );
        environment.tier = Tier::Staging;
        assert_eq!(
            environment.effective_tier(&labels(Some("Development"))),
            Tier::Staging
        );
    }

    #[test]
    fn an_unreadable_label_or_an_unseen_namespace_is_production() {
        let environment = environment();
        assert_eq!(
            environment.effective_tier(&labels(Some("development"))),
            Tier::Production
        );
        assert_eq!(
            environment.effective_tier(&BTreeMap::new()),
            Tier::Production
        );
    }

    #[test]
    fn spans_read_as_people_write_them() {
        let span = |text: &str| Span::try_from(text.to_owned());
        assert_eq!(span("1h30m").unwrap().to_string(), "1h30m");
        assert_eq!(span("90s").unwrap().to_string(), "1m30s");
        assert_eq!(span("604800s").unwrap().to_string(), "168h");
        let wrong = [
            "", "0s", "-5m", "+5m", "10", "8d", "169h", "1000ms", "30m1h", "PT10M", "1h 30m", "h",
        ];
        for wrong in wrong {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
