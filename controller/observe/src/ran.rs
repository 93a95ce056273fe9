//! What ran with success and what would be gone back to, as it can be judged again. From the caches
//! and from memory: no registry is asked here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lockmaster_core::case::{matching, needs};
use lockmaster_core::decide::Input;
use lockmaster_core::environment::Environment;
use lockmaster_core::evidence::Anchor;
use lockmaster_core::facts::{Facts, Observed, Ran};
use lockmaster_core::gate::Want;
use lockmaster_core::record::Record;
use lockmaster_core::release::{Component, ImageReference, Release};
use lockmaster_core::standing::{self, artifacts};

use crate::evidence::Asker;
use crate::observation::Observer;
use crate::observation::attached::{Anchors, ROUNDS, children};

impl Observer {
    /// Adds what is known of these artifacts to facts that have the rules and the records. The images
    /// of an index have their turns like any other, where the gates need them.
    pub(crate) fn add_ran(&self, facts: &mut Facts, environment: &Environment, now: Timestamp) {
        let anchors = self.add_records(facts, environment, now);
        let asker = Asker::of(environment);
        for _ in 0..ROUNDS {
            let wants = standing::wants(&Input {
                promotions: &[],
                environment,
                facts,
                now,
            });
            for want in wants {
                match want {
                    Want::Tags(image) => self.evidence.read_tags(&image, &asker),
                    // What runs has its turns.
                    Want::Lists(_) => {}
                    Want::Children(index) => {
                        let anchors = anchors.get(&index).map_or(&[][..], Vec::as_slice);
                        self.peek_children(facts, &index, (&asker, now), anchors);
                    }
                }
            }
        }
    }

    fn peek_children(
        &self,
        facts: &mut Facts,
        index: &ImageReference,
        (asker, now): (&Asker, Timestamp),
        anchors: &[Anchor],
    ) {
        for image in children(facts, index) {
            let (seen, look) = self.evidence.peek(&image, asker, anchors, now);
            facts.evidence.entry(image.clone()).or_insert(seen);
            let ran = facts.ran.values_mut();
            for ran in ran.filter(|ran| ran.looks.contains_key(index)) {
                ran.looks.insert(image.clone(), look.clone());
            }
        }
    }

    /// Returns what each image is judged under.
    fn add_records(&self, facts: &mut Facts, environment: &Environment, now: Timestamp) -> Anchors {
        let mut judged_under = Anchors::new();
        let input = Input {
            promotions: &[],
            environment,
            facts,
            now,
        };
        let records: Vec<Record> = artifacts(&input)
            .map(|(_, record)| record.clone())
            .collect();
        let tier = environment.effective_tier(&facts.namespaces);
        let asker = Asker::of(environment);
        for record in records {
            let Some(release) = self.release_of(environment, &record) else {
                continue;
            };
            let policies = matching(environment, facts, tier);
            let needs = needs(environment, &release, &policies, &facts.trusted_roots);
            let mut looks = BTreeMap::new();
            for (image, anchors) in needs {
                let (seen, look) = self.evidence.peek(&image, &asker, &anchors, now);
                // Where a promotion asks for the same image, that was looked at already.
                facts.evidence.entry(image.clone()).or_insert(seen);
                looks.insert(image.clone(), look);
                judged_under.entry(image).or_default().extend(anchors);
            }
            let ran = Ran { release, looks };
            facts.ran.insert(record.object_name(), ran);
        }
        judged_under
    }

    /// The Release that a record is about or, where that is gone, as much of it as the record tells.
    fn release_of(&self, environment: &Environment, record: &Record) -> Option<Release> {
        let named = record.content.release.as_ref()?;
        let of_these = |release: &Release| {
            let set = release.artifact_set();
            set.is_ok_and(|set| set == named.artifact_set)
        };
        match self.release(&environment.namespace, &named.name) {
            Observed::Known(release) if of_these(&release) => return Some(release),
            Observed::Known(_) | Observed::Pending | Observed::Unavailable(_) => {}
        }
        let components = record.content.targets.iter().map(|target| Component {
            name: Some(target.component.clone()),
            image: target.to.clone(),
        });
        Some(Release {
            name: named.name.clone(),
            product: named.product.clone(),
            version: named.version.clone(),
            components: components.collect(),
            source: None,
        })
    }
}
