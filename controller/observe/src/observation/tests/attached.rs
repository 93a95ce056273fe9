//! From one look to the next until the gates know all they need: tags, and the images of an index.

use std::time::Duration;

use lockmaster_core::evidence::{COSIGN_SIGN, COSIGN_VULN, CYCLONEDX, Form};
use lockmaster_core::gate::{GateReport, evaluate};
use lockmaster_core::reason::Reason;
use lockmaster_core::release::ImageReference;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::evidence::tests::Signer;
use crate::registry::lying::{
    self, INDEX, LyingRegistry, MANIFEST, Reply, fallback_path, referrers_path, subject_path,
};

mod lists;

/// One Environment, one Promotion, one policy that asks for a signature; a registry that counts.
struct Bench {
    registry: LyingRegistry,
    signer: Signer,
    observer: Observer,
    woken: UnboundedReceiver<ImageReference>,
}

impl Bench {
    fn new(registry: LyingRegistry, image: &ImageReference, evidence: &Value) -> Self {
        Self::with_rules(registry, image, evidence, &json!([]))
    }

    fn with_rules(
        registry: LyingRegistry,
        image: &ImageReference,
        evidence: &Value,
        rules: &Value,
    ) -> Self {
        let signer = Signer::new();
        let (wake, woken) = unbounded_channel();
        let store = EvidenceStore::new(
            registry.client(),
            PullSecrets::new(silent()),
            wake,
            Box::new(|_, _| {}),
        );
        let release = json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": "checkout-1.0.0", "namespace": "shop"},
            "spec": {"product": "checkout", "version": "1.0.0", "components": [{"image": image}]},
        });
        let policy = json!({
            "apiVersion": "lockmaster.dev/v1alpha1", "kind": "ClusterPromotionPolicy",
            "metadata": {"name": "all", "uid": "all-uid", "generation": 1},
            "spec": {
                "match": {},
                "sources": [{
                    "namespaces": ["shop"], "imageRepositories": [image.repository()],
                }],
                "authorities": [{
                    "name": "ci", "keys": [{"pem": signer.key.pem}],
                    "predicateTypes": [COSIGN_SIGN, COSIGN_VULN, CYCLONEDX],
                }],
                "evidence": evidence,
                "rules": rules,
            },
        });
        let namespace = json!({"metadata": {"name": "shop"}});
        let stores = Stores {
            promotions: stored(vec![promotion("p")]),
            releases: stored(vec![release]),
            policies: stored(vec![policy]),
            namespaces: stored(vec![namespace]),
            ..empty()
        };
        let mut observer = over(stores, store);
        observer.policies = Arc::new(Policies::new(Sandbox::without_protection()));
        Self {
            registry,
            signer,
            observer,
            woken,
        }
    }

    /// Lets a signature of the image be listed there.
    fn sign(&self, image: &ImageReference) -> Value {
        self.registry.bundle(&self.signer.sign(image), COSIGN_SIGN)
    }

    /// Looks, as a pass does, whenever it is woken, until nothing more is awaited.
    async fn settle(&mut self, gate: &str) -> (Observation, GateReport) {
        let environment = held_by("p", "p-uid");
        for _ in 0..10 {
            let mut seen = observe(&self.observer, &environment, &|_| {});
            self.observer.ask_rules(&mut seen).await;
            let report = asked(&seen, gate);
            if report.reason != Reason::EvidencePending {
                return (seen, report);
            }
            let woken = tokio::time::timeout(Duration::from_secs(10), self.woken.recv()).await;
            woken.unwrap().unwrap();
        }
        panic!("it is looked up for ever");
    }
}

fn asked(seen: &Observation, gate: &str) -> GateReport {
    let case = lockmaster_core::case::Case::new(&seen.promotions[0], &seen.input());
    let gate = gates::ALL.iter().find(|one| one.name() == gate).unwrap();
    evaluate(*gate, &case)
}

fn signatures() -> Value {
    json!({"signatures": {"authorities": ["ci"], "threshold": 1}})
}

/// A manifest of its own, and an index of several such.
fn index(registry: &LyingRegistry, children: usize) -> (ImageReference, Vec<ImageReference>) {
    let digests = (0..children).map(|number| {
        let layers = json!([{"mediaType": "x", "digest": Digest::of(&[0]), "size": number}]);
        registry.manifest(&json!({"mediaType": MANIFEST, "config": {}, "layers": layers}))
    });
    let digests: Vec<_> = digests.collect();
    let entries = digests.iter().enumerate().map(|(number, digest)| {
        let platform = json!({"os": "linux", "architecture": format!("cpu{number}")});
        json!({"mediaType": MANIFEST, "digest": digest, "size": 1, "platform": platform})
    });
    let entries: Vec<_> = entries.collect();
    let list = registry.manifest(&json!({"mediaType": INDEX, "manifests": entries}));
    let image = registry.image().with_digest(list);
    let children = digests.into_iter().map(|digest| image.with_digest(digest));
    (image.clone(), children.collect())
}

#[tokio::test]
async fn a_signature_under_the_fallback_tag_is_found_beside_an_api_that_lists_nothing() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let mut bench = Bench::new(registry, &image, &signatures());
    bench.registry.referrers(&image, &[]);
    let list = lying::index(&[bench.sign(&image)]);
    let path = fallback_path(&image);
    bench.registry.set(&path, Reply::ok(INDEX, list));
    let (_, report) = bench.settle("signature").await;
    assert_eq!(report.reason, Reason::EvidenceValid, "{}", report.message);
    let asked = bench.registry.take_requests();
    assert_eq!(asked.len(), 2 + 4 + 2, "{asked:?}");
}

#[tokio::test]
async fn what_is_nowhere_is_missing_once_all_was_read() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let mut bench = Bench::new(registry, &image, &signatures());
    let (_, report) = bench.settle("signature").await;
    assert_eq!(
        report.reason,
        Reason::SignatureMissing,
        "{}",
        report.message
    );
    let asked = bench.registry.take_requests();
    assert!(asked.contains(&fallback_path(&image)), "{asked:?}");
}

#[tokio::test]
async fn a_signed_index_needs_nothing_of_its_images() {
    let registry = LyingRegistry::start().await;
    let (image, children) = index(&registry, 2);
    let mut bench = Bench::new(registry, &image, &signatures());
    let signature = bench.sign(&image);
    bench.registry.referrers(&image, &[signature]);
    let (seen, report) = bench.settle("signature").await;
    assert_eq!(report.reason, Reason::EvidenceValid, "{}", report.message);
    assert_eq!(bench.registry.take_requests().len(), 4);
    assert_eq!(seen.facts.evidence.len(), 1);
    let known = seen.facts.evidence[&image].known().unwrap();
    let Form::Index { children: listed } = &known.form else {
        panic!("{:?}", known.form)
    };
    assert_eq!(listed[1].digest, *children[1].digest());
}

#[tokio::test]
async fn images_of_an_index_that_is_not_signed_are_looked_at_and_wake_it() {
    let registry = LyingRegistry::start().await;
    let (image, children) = index(&registry, 2);
    registry.referrers(&image, &[]);
    let mut bench = Bench::new(registry, &image, &signatures());
    for child in &children {
        let signature = bench.sign(child);
        bench.registry.referrers(child, &[signature]);
    }
    let (seen, report) = bench.settle("signature").await;
    assert_eq!(report.reason, Reason::EvidenceValid, "{}", report.message);
    assert!(
        report.message.contains("linux/cpu0, linux/cpu1"),
        "{}",
        report.message
    );
    assert_eq!(seen.facts.evidence.len(), 3);
    let asked = bench.registry.take_requests();
    let once = |path: &String| asked.iter().filter(|one| *one == path).count() == 1;
    assert!(
        children.iter().all(|child| once(&subject_path(child))),
        "{asked:?}"
    );
    assert!(
        !asked.contains(&fallback_path(&children[0])),
        "no tag of those"
    );
    // The index's own tags are read as well, whichever look ends first. Then it is warm, and kept
    // while the Release names the index.
    let own = fallback_path(&image);
    let mut later = asked;
    while !later.contains(&own) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        later.extend(bench.registry.take_requests());
    }
    bench.observer.evidence.forget(&[image].into());
    let (_, report) = bench.settle("signature").await;
    assert_eq!(report.reason, Reason::EvidenceValid);
    assert!(bench.registry.take_requests().is_empty());
}

#[tokio::test]
async fn an_image_of_an_index_that_is_not_there_is_named() {
    let registry = LyingRegistry::start().await;
    let (image, children) = index(&registry, 2);
    registry.referrers(&image, &[]);
    let mut bench = Bench::new(registry, &image, &signatures());
    let signature = bench.sign(&children[0]);
    bench.registry.referrers(&children[0], &[signature]);
    bench
        .registry
        .set(&subject_path(&children[1]), Reply::status(404));
    bench
        .registry
        .set(&referrers_path(&children[1]), Reply::status(404));
    let (_, report) = bench.settle("signature").await;
    assert_eq!(report.reason, Reason::ArtifactMissing, "{}", report.message);
    assert!(
        report.message.starts_with("linux/cpu1: "),
        "{}",
        report.message
    );
}

#[tokio::test]
async fn a_bill_of_materials_is_asked_of_each_image() {
    let bills = json!({"sbom": {"authorities": ["ci"]}});
    let registry = LyingRegistry::start().await;
    let (image, children) = index(&registry, 2);
    registry.referrers(&image, &[]);
    for child in &children {
        registry.referrers(child, &[]);
    }
    let mut bench = Bench::new(registry, &image, &bills);
    let (_, report) = bench.settle("sbom").await;
    assert_eq!(report.reason, Reason::SbomMissing, "{}", report.message);
    assert!(
        report.message.starts_with("linux/cpu0, linux/cpu1: "),
        "{}",
        report.message
    );
    let asked = bench.registry.take_requests();
    assert!(
        children
            .iter()
            .all(|child| asked.contains(&fallback_path(child)))
    );
    assert!(
        !asked.contains(&fallback_path(&image)),
        "it would not count"
    );
}

#[tokio::test]
async fn a_rule_that_denies_is_told_of_what_lies_under_tags_first() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let rego = "package lockmaster\ndefault allow := false\nallow if count(input.evidence) == 1\n";
    let rules = json!([{"name": "one", "rego": rego}]);
    let mut bench = Bench::with_rules(registry, &image, &json!({}), &rules);
    let list = lying::index(&[bench.sign(&image)]);
    let path = fallback_path(&image);
    bench.registry.set(&path, Reply::ok(INDEX, list));
    let (_, report) = bench.settle("rules").await;
    assert_eq!(report.reason, Reason::RulesAllow, "{}", report.message);
    // Where there is nothing, the denial is told.
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    registry.referrers(&image, &[]);
    let mut bench = Bench::with_rules(registry, &image, &json!({}), &rules);
    let (_, report) = bench.settle("rules").await;
    assert_eq!(report.reason, Reason::RuleDenied, "{}", report.message);
}
