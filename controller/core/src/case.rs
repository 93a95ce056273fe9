//! One promotion and all that its gates may look at.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::decide::Input;
use crate::environment::{Environment, Target, Tier};
use crate::evidence::{Anchor, PublicKey};
use crate::facts::{Container, Facts, Observed, TrustedRoots, Workload, trusted_root};
use crate::plan::{Minted, Plan, PlanEnvironment, PlanRoot, PlanWindow};
use crate::policy::{PolicyContent, PolicyFact};
use crate::promotion::{IntentTarget, Promotion, ReleaseReference, WINDOW_ANNOTATION};
use crate::record::{Outcome, PolicyReference, Record};
use crate::release::{Component, ImageReference, Release};

/// What the gates see of one promotion.
#[derive(Debug)]
pub struct Case<'a> {
    /// The promotion.
    pub promotion: &'a Promotion,
    /// The Environment.
    pub environment: &'a Environment,
    /// Everything else that was looked at.
    pub facts: &'a Facts,
    /// The instant of the pass.
    pub now: Timestamp,
    /// The release, where it could be read.
    pub release: Option<&'a Release>,
    /// Effective tier of the Environment.
    pub tier: Tier,
    /// Policies that match, in the order of their names.
    pub policies: Vec<(&'a PolicyFact, &'a PolicyContent)>,
    /// The targets as they would be changed, where all of them could be seen.
    pub changes: Option<Vec<IntentTarget>>,
    /// The plan, where everything it contains is known.
    pub plan: Option<Minted>,
    /// Whether it is about to begin: then what rests on nothing else being attached needs a list of
    /// the last minutes. Before that any list will do, so that waiting costs no request.
    pub begins: bool,
}

impl<'a> Case<'a> {
    /// The case of `promotion`.
    #[must_use]
    pub fn new(promotion: &'a Promotion, input: &Input<'a>) -> Self {
        let Input {
            environment,
            facts,
            now,
            promotions: _,
        } = *input;
        let tier = environment.effective_tier(&facts.namespaces);
        let release = facts
            .releases
            .get(&promotion.request.release)
            .and_then(Observed::known);
        let policies = matching(environment, facts, tier);
        let mut case = Self {
            promotion,
            environment,
            facts,
            now,
            release,
            tier,
            policies,
            changes: None,
            plan: None,
            begins: false,
        };
        case.changes = case.planned_changes();
        case.plan = case.planned().and_then(|plan| plan.mint());
        case
    }

    /// The component of the release that a target runs.
    #[must_use]
    pub fn component_of(&self, target: &Target) -> Option<&'a Component> {
        let release = self.release?;
        match (&target.component, release.components.as_slice()) {
            (Some(name), _) => release.component(name),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }

    /// The image of each component of the release.
    pub fn images(&self) -> impl Iterator<Item = &'a ImageReference> {
        self.release
            .into_iter()
            .flat_map(|release| release.components.iter().map(|c| &c.image))
    }

    /// The release as a record names it.
    #[must_use]
    pub fn release_reference(&self) -> Option<ReleaseReference> {
        let release = self.release?;
        Some(ReleaseReference {
            name: release.name.clone(),
            product: release.product.clone(),
            version: release.version.clone(),
            artifact_set: release.artifact_set().ok()?,
            components: release.component_digests(),
        })
    }

    /// Version and short digest.
    #[must_use]
    pub fn artifact(&self) -> Option<String> {
        self.release_reference().map(|release| release.short())
    }

    /// The policies as a record names them.
    #[must_use]
    pub fn policy_references(&self) -> Vec<PolicyReference> {
        let mut references: Vec<_> = self
            .policies
            .iter()
            .map(|(fact, content)| PolicyReference {
                name: fact.name.clone(),
                uid: fact.uid.clone(),
                digest: content.digest.clone(),
            })
            .collect();
        references.sort();
        references
    }

    /// The newest record of the Environment that changed what runs, with success.
    #[must_use]
    pub fn running_record(&self) -> Option<&'a Record> {
        running_record(&self.facts.records)
    }

    fn planned_changes(&self) -> Option<Vec<IntentTarget>> {
        let release = self.release?;
        self.environment
            .targets
            .iter()
            .zip(&self.facts.workloads)
            .map(|(target, workload)| {
                let workload = workload.known()?;
                let container = container_of(workload, target)?;
                let component = self.component_of(target)?;
                Some(IntentTarget {
                    component: release.component_name(component).to_owned(),
                    workload: target.workload.clone(),
                    uid: workload.uid.clone(),
                    container: container.name.clone(),
                    owners: container.owners.clone(),
                    from: container.image.clone(),
                    to: component.image.clone(),
                })
            })
            .collect()
    }

    fn planned(&self) -> Option<Plan> {
        let Self {
            promotion,
            environment,
            facts,
            release,
            tier,
            ..
        } = self;
        let release = (*release)?;
        Some(Plan {
            cluster: facts.cluster.clone(),
            promotion: promotion.uid.clone(),
            action: promotion.request.action,
            requested_by: promotion.requester(),
            release: release.digest().ok()?,
            artifact_set: release.artifact_set().ok()?,
            environment: PlanEnvironment {
                uid: environment.uid.clone(),
                key: environment.key(),
                effective_tier: *tier,
                after: environment.after.clone(),
                deadline: environment.deadline,
                automatic_rollback: environment.automatic_rollback,
            },
            targets: self.changes.clone()?,
            window: promotion.annotations.get(WINDOW_ANNOTATION).cloned(),
            windows: self.windows_in_force(),
            policies: self.policy_references(),
            trusted_roots: self.roots_in_force(),
        })
    }

    fn roots_in_force(&self) -> Vec<PlanRoot> {
        let named = self
            .policies
            .iter()
            .flat_map(|(_, content)| content.policy.trusted_roots());
        let mut roots: Vec<_> = named
            .filter_map(|name| {
                let root = trusted_root(&self.facts.trusted_roots, name).ok()?;
                Some(PlanRoot {
                    name: name.to_owned(),
                    digest: root.digest.clone(),
                })
            })
            .collect();
        roots.sort();
        roots.dedup();
        roots
    }

    fn windows_in_force(&self) -> Vec<PlanWindow> {
        let named = self
            .policies
            .iter()
            .flat_map(|(_, content)| &content.policy.windows);
        let mut windows: Vec<_> = named
            .filter_map(|name| {
                let window = self.facts.windows.get(name)?;
                Some(PlanWindow {
                    name: name.clone(),
                    uid: window.uid.clone(),
                    generation: window.generation,
                })
            })
            .collect();
        windows.sort();
        windows.dedup();
        windows
    }
}

/// The record of success that new versions are compared with: that of what the newest record left
/// running or, where that is nothing that succeeded, of what ran before it.
#[must_use]
pub fn running_record(records: &[Record]) -> Option<&Record> {
    let left = records.iter().rev().map(|record| &record.content.left);
    left.filter(|left| !left.is_empty()).find_map(|left| {
        records.iter().rev().find(|record| {
            let runs = |release: &ReleaseReference| {
                left.iter().all(|pair| release.components.contains(pair))
            };
            record.content.outcome == Outcome::Succeeded
                && record.content.release.as_ref().is_some_and(runs)
        })
    })
}

/// The container a target names, or the only one there is.
#[must_use]
pub fn container_of<'a>(workload: &'a Workload, target: &Target) -> Option<&'a Container> {
    match (&target.container, workload.containers.as_slice()) {
        (Some(name), containers) => containers.iter().find(|container| container.name == *name),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// Policies that match an Environment. One that cannot be read matches nothing here: the release
/// gate closes everything because of it.
#[must_use]
pub fn matching<'a>(
    environment: &Environment,
    facts: &'a Facts,
    tier: Tier,
) -> Vec<(&'a PolicyFact, &'a PolicyContent)> {
    let readable = facts
        .policies
        .iter()
        .filter_map(|fact| match &fact.content {
            Ok(content) => Some((fact, content)),
            Err(_) => None,
        });
    readable
        .filter(|(_, content)| {
            let rule = &content.policy.matches;
            let tier_matches = rule.tiers.is_empty() || rule.tiers.contains(&tier);
            tier_matches
                && environment.namespaces().any(|namespace| {
                    let labels = facts.namespaces.get(namespace);
                    labels.is_some_and(|labels| rule.namespace_selector.selects(labels))
                })
        })
        .collect()
}

/// What must be looked up in registries for a release: its images, with everything that a matching
/// policy trusts. Nothing is asked on behalf of a policy that asks for no evidence, and nothing of a
/// repository that its sources do not give to this namespace.
#[must_use]
pub fn needs(
    environment: &Environment,
    release: &Release,
    policies: &[(&PolicyFact, &PolicyContent)],
    roots: &TrustedRoots,
) -> BTreeMap<ImageReference, Vec<Anchor>> {
    let mut needs: BTreeMap<ImageReference, Vec<Anchor>> = BTreeMap::new();
    for (_, content) in policies.iter().filter(|(_, content)| content.policy.asks()) {
        let anchors = anchors(content, roots);
        for component in &release.components {
            let allowed = content.policy.sources.iter().any(|rule| {
                rule.covers(&environment.namespace, &release.product)
                    && rule.allows_image(&component.image)
            });
            if allowed {
                needs
                    .entry(component.image.clone())
                    .or_default()
                    .extend(anchors.iter().cloned());
            }
        }
    }
    for anchors in needs.values_mut() {
        anchors.sort();
        anchors.dedup();
    }
    needs
}

/// Everything that a policy trusts. An authority whose TrustedRoot cannot be used is left out: its
/// gates are closed for that reason.
fn anchors(content: &PolicyContent, roots: &TrustedRoots) -> Vec<Anchor> {
    let mut anchors = Vec::new();
    for authority in &content.policy.authorities {
        let root = match &authority.trusted_root {
            None => None,
            Some(name) => match trusted_root(roots, name) {
                Ok(root) => Some(root.clone()),
                Err(_) => continue,
            },
        };
        if authority.keyless.is_some() {
            let (key, root) = (None, root.clone());
            anchors.push(Anchor { key, root });
        }
        let ids = content.keys_of(&authority.name).iter();
        anchors.extend(ids.zip(&authority.keys).map(|(id, key)| Anchor {
            key: Some(PublicKey {
                id: id.clone(),
                pem: key.pem.clone(),
            }),
            root: root.clone(),
        }));
    }
    anchors
}
