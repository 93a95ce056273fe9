//! What a node may report for an image that was promoted: the digest itself, or what follows from it.

use super::after;
use crate::evidence::{Child, Evidence, Form};
use crate::facts::Observed;
use crate::fixtures::{bare, digest, image};
use crate::release::Digest;
use crate::world::World;

/// The release is rolled out and its pods are ready; each reports `reported`.
fn reporting(reported: &Digest, evidence: &[(Digest, Form)]) -> World {
    let mut world = after(bare(), &["claim", "intent", "apply"]);
    for (digest, form) in evidence {
        let mut known = Evidence::new(digest.clone(), vec![]);
        known.form = form.clone();
        let image = image("1.42.0").with_digest(digest.clone());
        let known = Observed::Known(known);
        world.now.facts.evidence.insert(image, known);
    }
    world.settle();
    for pod in &mut world.workload().pods {
        pod.running = [("app".to_owned(), reported.clone())].into();
    }
    world
}

#[track_caller]
fn lands(reported: &Digest, evidence: &[(Digest, Form)], expect: bool) {
    let step = reporting(reported, evidence).pass();
    assert_eq!(step == "record", expect, "{step}");
}

fn index(children: &[&Digest]) -> Form {
    let children = children.iter().map(|digest| Child {
        platform: digest.short().to_owned(),
        digest: (*digest).clone(),
    });
    Form::Index {
        children: children.collect(),
    }
}

#[test]
fn a_node_reports_the_index_an_image_of_it_or_a_configuration() {
    let [amd, arm, config, other] =
        ["amd", "arm", "config", "other"].map(|n| Digest::of(n.as_bytes()));
    let own = digest("1.42.0");
    let of_arm = Form::Image {
        config: Some(config.clone()),
    };
    let evidence = [
        (own.clone(), index(&[&amd, &arm])),
        (arm.clone(), of_arm.clone()),
        // Known as well, but no image of this index.
        (other.clone(), of_arm.clone()),
    ];
    for reported in [&own, &amd, &arm, &config] {
        lands(reported, &evidence, true);
    }
    lands(&other, &evidence, false);
    lands(&digest("1.41.3"), &evidence, false);
    let single = [(own.clone(), of_arm)];
    lands(&config, &single, true);
    lands(&amd, &single, false);
    lands(&config, &[], false);
    lands(&own, &[], true);
}
