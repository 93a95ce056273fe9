//! What is attached to the images that promotions would bring, as far as the gates need it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lockmaster_core::case::{Case, matching, needs};
use lockmaster_core::decide::Input;
use lockmaster_core::evidence::Anchor;
use lockmaster_core::facts::{Facts, Observed};
use lockmaster_core::gate::Want;
use lockmaster_core::release::ImageReference;
use lockmaster_core::{environment, gates, promotion};

use super::Observer;
use crate::evidence::Asker;

/// What is known of an index lets the gates ask for its images, and that lets them ask for tags
/// beside those: nothing is further away.
pub(crate) const ROUNDS: usize = 2;

/// What each image is judged under.
pub(crate) type Anchors = BTreeMap<ImageReference, Vec<Anchor>>;

impl Observer {
    /// Reads what is known, and lets be looked up what the gates would otherwise take for absent:
    /// the images of an index, and what lies under tags.
    pub(super) fn add_evidence(
        &self,
        facts: &mut Facts,
        environment: &environment::Environment,
        promotions: &[promotion::Promotion],
        now: Timestamp,
    ) {
        // What is needed is what the policies' sources give to this namespace, and no more.
        let (asker, anchors) = (Asker::of(environment), anchors(environment, facts));
        facts.evidence = self.evidence.read_all(&asker, anchors.clone(), now);
        for _ in 0..ROUNDS {
            let input = Input {
                promotions,
                environment,
                facts,
                now,
            };
            let cases = promotions.iter().map(|one| Case::new(one, &input));
            let wants: BTreeSet<Want> = cases.flat_map(|case| gates::wants(&case)).collect();
            if wants.is_empty() {
                break;
            }
            for want in wants {
                match want {
                    Want::Tags(image) => self.evidence.read_tags(&image, &asker),
                    // Said by the decision, of what would begin.
                    Want::Lists(_) => {}
                    Want::Children(index) => {
                        let anchors = anchors.get(&index).map_or(&[][..], Vec::as_slice);
                        self.add_children(facts, &index, (&asker, now), anchors);
                    }
                }
            }
        }
    }

    fn add_children(
        &self,
        facts: &mut Facts,
        index: &ImageReference,
        (asker, now): (&Asker, Timestamp),
        anchors: &[Anchor],
    ) {
        for image in children(facts, index) {
            let seen = facts.evidence.entry(image.clone());
            seen.or_insert_with(|| self.evidence.read(&image, asker, anchors, now));
        }
    }
}

/// The images of an index that was read.
pub(crate) fn children(facts: &Facts, index: &ImageReference) -> Vec<ImageReference> {
    let known = facts.evidence.get(index).and_then(Observed::known);
    known.map_or_else(Vec::new, |known| known.form.images(index))
}

/// The images that are looked up, and what each is judged under: two releases may name one image and
/// need it judged under different keys.
fn anchors(environment: &environment::Environment, facts: &Facts) -> Anchors {
    let tier = environment.effective_tier(&facts.namespaces);
    let policies = matching(environment, facts, tier);
    let mut anchors = Anchors::new();
    for release in facts.releases.values().filter_map(Observed::known) {
        let needs = needs(environment, release, &policies, &facts.trusted_roots);
        for (image, trusted) in needs {
            anchors.entry(image).or_default().extend(trusted);
        }
    }
    anchors
}
