//! What is asked of the registry right before a promotion begins, as exact numbers of requests.

use std::collections::BTreeSet;

use lockmaster_core::case::Case;
use lockmaster_core::gate::Want;

use super::*;
use crate::evidence::Asker;

const OLD: Duration = Duration::from_mins(11);

/// The referrers, and three tags.
const LISTS: usize = 4;

fn vulnerabilities() -> Value {
    json!({"vulnerabilities": {"authorities": ["ci"], "maxAge": "24h", "deny": ["Critical"]}})
}

impl Bench {
    /// Lets a scan with these findings be listed there.
    fn scan(&self, image: &ImageReference, matches: &Value) -> Value {
        let report = json!({
            "matches": matches,
            "descriptor": {"name": "grype", "db": {"built": "1969-12-31T20:00:00Z"}},
        });
        let predicate = json!({
            "scanner": {"uri": "grype", "result": report},
            "metadata": {"scanFinishedOn": "1969-12-31T22:00:00Z"},
        });
        let statement = self.signer.attest_that(image, COSIGN_VULN, &predicate);
        self.registry.bundle(&statement, COSIGN_VULN)
    }

    /// What must be listed anew for a promotion that begins now.
    fn outdated(&self) -> BTreeSet<Want> {
        let seen = observe(&self.observer, &held_by("p", "p-uid"), &|_| {});
        let mut case = Case::new(&seen.promotions[0], &seen.input());
        assert!(gates::wants(&case).is_empty(), "who waits asks nobody");
        case.begins = true;
        gates::wants(&case)
    }

    /// Lists that anew, as the operator does, and says what was asked.
    async fn list_again(&mut self, image: &ImageReference) -> Vec<String> {
        let seen = observe(&self.observer, &held_by("p", "p-uid"), &|_| {});
        let asker = Asker::of(&seen.environment);
        self.observer.evidence.list_again(image, &asker);
        let woken = tokio::time::timeout(Duration::from_secs(10), self.woken.recv()).await;
        assert_eq!(woken.unwrap().unwrap(), *image);
        self.registry.take_requests()
    }
}

/// A scanned image, eleven minutes later.
async fn scanned() -> (Bench, ImageReference, Value) {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let mut bench = Bench::new(registry, &image, &vulnerabilities());
    let clean = bench.scan(&image, &json!([]));
    bench
        .registry
        .referrers(&image, std::slice::from_ref(&clean));
    let (_, report) = bench.settle("vulnerabilities").await;
    assert_eq!(report.reason, Reason::EvidenceValid, "{}", report.message);
    assert!(bench.outdated().is_empty(), "listed just now");
    bench.registry.take_requests();
    bench.observer.evidence.age(OLD);
    (bench, image, clean)
}

#[tokio::test]
async fn a_scanned_image_costs_its_lists_after_ten_minutes_and_nothing_before() {
    let (mut bench, image, _) = scanned().await;
    let (_, report) = bench.settle("vulnerabilities").await;
    assert_eq!(report.reason, Reason::EvidenceValid, "{}", report.message);
    assert!(bench.registry.take_requests().is_empty());
    assert_eq!(bench.outdated(), [Want::Lists(image.clone())].into());
    let asked = bench.list_again(&image).await;
    assert_eq!(asked.len(), LISTS, "{asked:?}");
    assert!(bench.outdated().is_empty());
}

#[tokio::test]
async fn a_finding_that_was_attached_since_is_seen_before_it_begins() {
    let (mut bench, image, clean) = scanned().await;
    let finding = json!([{
        "vulnerability": {"id": "CVE-2026-9", "severity": "Critical"},
        "artifact": {"name": "openssl"},
    }]);
    let critical = bench.scan(&image, &finding);
    bench.registry.referrers(&image, &[clean, critical]);
    let (_, report) = bench.settle("vulnerabilities").await;
    assert_eq!(report.reason, Reason::EvidenceValid, "nobody told it");
    let asked = bench.list_again(&image).await;
    assert_eq!(asked.len(), LISTS + 2, "its manifest and bundle: {asked:?}");
    let (_, report) = bench.settle("vulnerabilities").await;
    assert_eq!(
        report.reason,
        Reason::VulnerabilityBlocked,
        "{}",
        report.message
    );
}

#[tokio::test]
async fn a_signed_image_costs_nothing_however_long_ago_it_was_listed() {
    let registry = LyingRegistry::start().await;
    let image = registry.image();
    let mut bench = Bench::new(registry, &image, &signatures());
    let signature = bench.sign(&image);
    bench.registry.referrers(&image, &[signature]);
    bench.settle("signature").await;
    bench.registry.take_requests();
    bench.observer.evidence.age(OLD);
    assert!(bench.outdated().is_empty());
    assert!(bench.registry.take_requests().is_empty());
}
