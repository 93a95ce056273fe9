//! What was seen, and what could not be seen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, Form, RootText};
use crate::policy::PolicyFact;
use crate::record::Record;
use crate::release::{Digest, ImageReference, Release};
use crate::revocation::RevocationFact;
use crate::rules::RuleOutcome;
use crate::standing::Concern;
use crate::window::Calendar;

/// A single observation. Failing to look is a fact, not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Observed<T> {
    /// It was looked up, and this is what it is.
    Known(T),
    /// It is being looked up for the first time; the answer wakes the pass.
    Pending,
    /// It could not be looked up.
    Unavailable(Unavailable),
}

impl<T> Observed<T> {
    /// The observation, where there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Pending | Self::Unavailable(_) => None,
        }
    }
}

/// Why something could not be seen, for people and for the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unavailable {
    /// The class of trouble.
    pub cause: Cause,
    /// What was tried and what answered: one line, without credentials.
    pub message: String,
}

/// Classes of trouble that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// No answer, a time-out, a 429 or a 5xx: nothing is known about the thing itself.
    Unreachable,
    /// We may not read it (401 or 403).
    Forbidden,
    /// The other side says that it does not exist.
    Missing,
    /// A size or count limit was passed before everything was seen.
    Truncated,
    /// What came back is not what was asked for: another hash, another type, not parseable.
    Untrustworthy,
}

/// A workload as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Its uid.
    pub uid: String,
    /// Value of the consent annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// Value of the intent annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// Value of the fence annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<String>,
    /// Its containers, in order.
    pub containers: Vec<Container>,
    /// The images of its init containers, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub init_images: BTreeMap<String, String>,
    /// Whether its controller has seen its newest generation.
    pub observed: bool,
    /// Replicas asked for.
    pub replicas: i32,
    /// Replicas of the newest template.
    pub updated: i32,
    /// Replicas that are available.
    pub available: i32,
    /// Replicas of any template.
    pub total: i32,
    /// Pods that its selector selects, but for those that are over or being deleted.
    pub pods: Vec<Pod>,
}

/// A container of a workload's template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image, as the template says.
    pub image: String,
    /// Sorted `manager/operation` of every owner of the image field.
    pub owners: Vec<String>,
    /// Whether `lockmaster` owns both the image and the intent annotation by an apply: with the
    /// annotation's value this proves whose apply landed. The annotation alone proves nothing,
    /// because ReplicaSets copy it and `kubectl rollout undo` brings it back.
    pub applied_by_us: bool,
}

/// A pod of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Per container: the digest that the node says it runs, where it says one.
    pub running: BTreeMap<String, Digest>,
    /// What a waiting or terminated container says is wrong, such as `CrashLoopBackOff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Whether the API server's guards are proven alive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// Fingerprint of every guard policy and binding in force.
    pub epoch: Digest,
    /// Why they are not proven alive; absent when they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A write to a workload that the API server refused, for good as far as anybody knows: it is tried
/// again all the same, with growing pauses, since rights and webhooks change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// The attempt whose write it was, `<uid of the Promotion>/<attempt>`.
    pub attempt: String,
    /// Whether not even a fence can be written there: RBAC refused a write, or the fence itself was
    /// refused by anything. Waiting for one would hold the Environment for ever.
    pub forbidden: bool,
    /// What it answered: one line.
    pub message: String,
    /// When it was refused first, in a row.
    pub since: Timestamp,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// A ChangeWindow as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WindowFact {
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What it says, or why it cannot be read.
    pub content: Result<Calendar, String>,
}

/// A TrustedRoot as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedRootFact {
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What it trusts, or why it cannot be read.
    pub content: Result<RootText, String>,
}

/// The last look at an image that runs, or would be gone back to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// When the registry was asked last to verify it again; not in this process where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Why the last look, for whatever purpose, failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Unavailable>,
}

/// What ran with success, as it can be judged again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ran {
    /// The Release; where the object is gone, as much of it as the record tells.
    pub release: Release,
    /// Its images for which a matching policy asks for evidence.
    pub looks: BTreeMap<ImageReference, Look>,
}

/// TrustedRoots by name.
pub type TrustedRoots = BTreeMap<String, TrustedRootFact>;

/// The content of the TrustedRoot called `name`, or what stands in the way of it.
pub fn trusted_root<'a>(roots: &'a TrustedRoots, name: &str) -> Result<&'a RootText, String> {
    match roots.get(name).map(|fact| &fact.content) {
        Some(Ok(root)) => Ok(root),
        Some(Err(problem)) => Err(format!("TrustedRoot {name} cannot be read: {problem}")),
        None => Err(format!("TrustedRoot {name} does not exist; create it")),
    }
}

/// Everything that was looked at for one pass over an Environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// uid of the namespace kube-system.
    pub cluster: String,
    /// The guards.
    pub guard: Observed<Guard>,
    /// Labels of the namespaces of the Environment and its targets.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Releases by name, of this namespace, that unfinished promotions name.
    pub releases: BTreeMap<String, Observed<Release>>,
    /// Every ClusterPromotionPolicy, sorted by name.
    pub policies: Vec<PolicyFact>,
    /// Every ChangeWindow that a policy names, by name; one that does not exist is absent.
    pub windows: BTreeMap<String, WindowFact>,
    /// Every TrustedRoot that a policy names, by name; one that does not exist is absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trusted_roots: TrustedRoots,
    /// Every Revocation, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocations: Vec<RevocationFact>,
    /// The workloads, in the order of the Environment's targets.
    pub workloads: Vec<Observed<Workload>>,
    /// What the API server said when it refused the open attempt's last write to a workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// The Environment's records, oldest first.
    pub records: Vec<Record>,
    /// Why these records cannot be relied on: one of them cannot be read, is not intact, or breaks
    /// the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_problem: Option<String>,
    /// The records of each Environment that comes before, oldest first; one that does not exist is
    /// absent.
    pub upstream: BTreeMap<String, Vec<Record>>,
    /// Why the records of an Environment that comes before cannot be relied on, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstream_problems: BTreeMap<String, String>,
    /// What is held against the artifacts of each Environment that comes before, as its status says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub upstream_concerns: BTreeMap<String, Vec<Concern>>,
    /// What runs and what would be gone back to, by the name of its record of success.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ran: BTreeMap<String, Ran>,
    /// What is attached to the images of the releases, where a matching policy asks.
    pub evidence: BTreeMap<ImageReference, Observed<Evidence>>,
    /// What the rules of the matching policies answered, by the key of the question.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<Digest, RuleOutcome>,
}

impl Facts {
    /// What evidence was looked up for on behalf of an image: itself and, where it is an index whose
    /// images were looked at, those.
    pub fn looked_up(&self, image: &ImageReference) -> Vec<ImageReference> {
        let index = self.evidence.get(image).and_then(Observed::known);
        let children = index.map_or_else(Vec::new, |index| index.form.images(image));
        let children = children.into_iter();
        let looked_at = children.filter(|child| self.evidence.contains_key(child));
        std::iter::once(image.clone()).chain(looked_at).collect()
    }

    /// Whether it is known what a digest is of: one image, or an index with its images.
    pub fn is_form_known(&self, digest: &Digest) -> bool {
        let mut known = self.evidence.values().filter_map(Observed::known);
        known.any(|evidence| {
            evidence.subject == *digest && !matches!(evidence.form, Form::Unfit { .. })
        })
    }

    /// A digest and, where it is known to be that of an index, the digests of its images.
    pub fn parts<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a Digest> {
        let known = self.evidence.values().filter_map(Observed::known);
        let index = known.filter(move |evidence| evidence.subject == *digest);
        let children = index.flat_map(|index| index.form.children());
        std::iter::once(digest).chain(children.map(|child| &child.digest))
    }

    /// The digests under which a node may say that it runs an image: its own; where it is an index,
    /// that of any of its images that may run, since the node's platform may not be readable; and
    /// that of the configuration of either, by which some runtimes name it. Each follows from bytes
    /// that hash to the digest promoted, or to one that those list.
    #[must_use]
    pub fn runs_as<'a>(&'a self, image: &'a ImageReference) -> BTreeSet<&'a Digest> {
        let form = |digest: &Digest| {
            let evidence = self.evidence.get(&image.with_digest(digest.clone()))?;
            Some(&evidence.known()?.form)
        };
        let own = form(image.digest());
        let children = own.map_or(&[][..], Form::children);
        let manifests = children.iter().map(|child| &child.digest);
        let manifests: BTreeSet<_> = manifests.chain([image.digest()]).collect();
        let configs = manifests.iter().filter_map(|digest| match form(digest)? {
            Form::Image { config } => config.as_ref(),
            Form::Index { .. } | Form::Unfit { .. } => None,
        });
        configs
            .collect::<BTreeSet<_>>()
            .union(&manifests)
            .copied()
            .collect()
    }

    /// The newest record of the Environment.
    #[must_use]
    pub fn newest_record(&self) -> Option<&Record> {
        self.records.last()
    }

    /// The record of the promotion with this uid.
    #[must_use]
    pub fn record_of(&self, uid: &str) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.content.promotion.uid == uid)
    }
}
