//! The store over a registry that lies: what is read at once, what wakes, and how often it asks.

mod private;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lockmaster_core::evidence::{
    Anchor, COSIGN_SIGN, Content, Evidence, Form, PublicKey, Verified,
};
use lockmaster_core::facts::{Cause, Look, Observed, Unavailable};
use lockmaster_core::release::ImageReference;
use lockmaster_verify::parse_key;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::entry::Entry;
use super::failures::Trouble;
use super::judging::Judged;
use super::reader::Key;
use super::running::{Ended, Purpose};
use super::seen::Seen;
use super::size;
use super::{Asker, EvidenceStore, FetchOutcome, LIMITS, Limits, Reader};
use crate::pull_secrets::PullSecrets;
use crate::pull_secrets::tests::api_server;
use crate::registry::lying::{LyingRegistry, MANIFEST, Reply, referrers_path};
use crate::registry::{Listing, Reach, RegistryClient};

mod accounts;
mod again;
mod bounds;
mod lists;
mod reach;

/// When everything is read.
const NOON: Timestamp = Timestamp::UNIX_EPOCH;

/// What a signature by the anchor's key shows.
fn by(anchor: &Anchor) -> Verified {
    Verified::by_key(anchor.id().key.unwrap())
}

/// A key, and what it signs.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    pub(crate) key: PublicKey,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let text = STANDARD.encode(spki.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        Self {
            pair,
            key: parse_key(&pem).unwrap(),
        }
    }

    /// A cosign sign statement about the image, in a bundle.
    pub(crate) fn sign(&self, image: &ImageReference) -> Vec<u8> {
        self.attest(image, COSIGN_SIGN)
    }

    /// A statement of a type about the image, in a bundle.
    fn attest(&self, image: &ImageReference, predicate_type: &str) -> Vec<u8> {
        self.attest_that(image, predicate_type, &json!({}))
    }

    /// The same, with this predicate.
    pub(crate) fn attest_that(
        &self,
        image: &ImageReference,
        predicate_type: &str,
        predicate: &Value,
    ) -> Vec<u8> {
        let payload = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": image.digest().hexadecimal()}}],
            "predicateType": predicate_type,
            "predicate": predicate,
        })
        .to_string();
        let kind = "application/vnd.in-toto+json";
        let message = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        let signature = self
            .pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        let bundle = json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": ""}},
            "dsseEnvelope": {
                "payloadType": kind,
                "payload": STANDARD.encode(&payload),
                "signatures": [{"sig": STANDARD.encode(signature.as_ref())}],
            },
        });
        bundle.to_string().into_bytes()
    }
}

struct Bench {
    registry: LyingRegistry,
    image: ImageReference,
    signer: Signer,
    signature: Value,
    store: EvidenceStore,
    woken: UnboundedReceiver<ImageReference>,
    outcomes: Arc<Mutex<Vec<FetchOutcome>>>,
}

impl Bench {
    /// A registry with one signed image.
    async fn new(cache_bytes: usize) -> Self {
        let delays = (Duration::from_millis(20), Duration::from_millis(80));
        Self::with_delays(cache_bytes, delays).await
    }

    async fn with_delays(cache_bytes: usize, delays: (Duration, Duration)) -> Self {
        let (first_delay, most_delay) = delays;
        let limits = Limits {
            first_delay,
            most_delay,
            judging: Duration::from_secs(5),
        };
        Self::with_limits(cache_bytes, limits).await
    }

    async fn with_limits(cache_bytes: usize, limits: Limits) -> Self {
        let client =
            |registry: &LyingRegistry| registry.client_with(Duration::from_secs(5), cache_bytes);
        Self::with_client(client, limits).await
    }

    async fn with_client(
        client: impl FnOnce(&LyingRegistry) -> RegistryClient,
        limits: Limits,
    ) -> Self {
        let registry = LyingRegistry::start().await;
        let (image, signer) = (registry.image(), Signer::new());
        let signature = registry.bundle(&signer.sign(&image), COSIGN_SIGN);
        registry.referrers(&image, std::slice::from_ref(&signature));
        let (wake, woken) = unbounded_channel();
        let outcomes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&outcomes);
        let store = EvidenceStore::with_limits(
            Reader {
                client: client(&registry),
                pull_secrets: PullSecrets::new(api_server().0),
            },
            wake,
            Box::new(move |_, outcome| seen.lock().unwrap().push(outcome)),
            limits,
        );
        Self {
            registry,
            image,
            signer,
            signature,
            store,
            woken,
            outcomes,
        }
    }

    async fn wait(&mut self) {
        let woken = tokio::time::timeout(Duration::from_secs(10), self.woken.recv()).await;
        assert_eq!(woken.unwrap().unwrap(), self.image);
    }

    /// Reads, waiting for the wake if need be.
    async fn read(&mut self, keys: &[Anchor]) -> Observed<Evidence> {
        match self.store.read(&self.image, &shop(), keys, NOON) {
            Observed::Pending => {
                self.wait().await;
                self.store.read(&self.image, &shop(), keys, NOON)
            }
            seen @ (Observed::Known(_) | Observed::Unavailable(_)) => seen,
        }
    }
}

/// Who asks with the operator's logins.
fn shop() -> Asker {
    Asker {
        namespace: "shop".to_owned(),
        pull_secrets: vec![],
    }
}

#[track_caller]
fn known(seen: Observed<Evidence>) -> Evidence {
    let Observed::Known(evidence) = seen else {
        panic!("{seen:?}")
    };
    evidence
}

const CACHE: usize = 1 << 20;

#[tokio::test]
async fn the_first_read_is_pending_and_wakes_and_the_next_ones_cost_nothing() {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    for _ in 0..10 {
        assert_eq!(
            bench.store.read(&bench.image, &shop(), &keys, NOON),
            Observed::Pending
        );
    }
    bench.wait().await;
    assert_eq!(
        bench.registry.take_requests().len(),
        4,
        "one fetch for ten reads"
    );
    for _ in 0..10 {
        let evidence = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
        assert_eq!(evidence.subject, *bench.image.digest());
        assert_eq!(evidence.bundles[0].content, Content::Signature);
        assert_eq!(evidence.bundles[0].verified_by, [by(&keys[0])].into());
    }
    assert!(bench.registry.take_requests().is_empty(), "warm");
    assert_eq!(*bench.outcomes.lock().unwrap(), [FetchOutcome::Fetched]);
}

#[tokio::test]
async fn new_keys_are_judged_from_memory_and_answers_name_only_keys_asked_about() {
    let mut bench = Bench::new(CACHE).await;
    let (ours, other) = (
        Anchor::of_key(bench.signer.key.clone()),
        Anchor::of_key(Signer::new().key),
    );
    let evidence = known(bench.read(std::slice::from_ref(&other)).await);
    assert!(evidence.bundles[0].verified_by.is_empty());
    bench.registry.take_requests();
    let evidence = known(bench.read(std::slice::from_ref(&ours)).await);
    assert_eq!(evidence.bundles[0].verified_by, [by(&ours)].into());
    assert!(
        bench.registry.take_requests().is_empty(),
        "from the cached bytes"
    );
    let evidence = known(bench.store.read(&bench.image, &shop(), &[other], NOON));
    assert!(
        evidence.bundles[0].verified_by.is_empty(),
        "no fact about keys not asked about"
    );
    assert_eq!(bench.outcomes.lock().unwrap().len(), 1);
}

/// What strangers attach takes no memory, and counts in full as soon as it is no stranger's.
#[tokio::test]
async fn details_are_kept_of_what_somebody_who_is_asked_about_signed() {
    const CUSTOM: &str = "https://example.com/custom/v1";
    let mut bench = Bench::new(CACHE).await;
    let statement = bench.signer.attest(&bench.image, CUSTOM);
    let carrier = bench.registry.bundle(&statement, CUSTOM);
    bench.registry.referrers(&bench.image, &[carrier]);
    let value = |evidence: Evidence| {
        let content = &evidence.bundles[0].content;
        assert_eq!(
            content.predicate_type(),
            Some(CUSTOM),
            "also a stranger's has a type"
        );
        if let Content::Custom { value, .. } = content {
            return value.clone();
        }
        Err(content.problem().unwrap_or_default().to_owned())
    };
    let (ours, other) = (
        Anchor::of_key(bench.signer.key.clone()),
        Anchor::of_key(Signer::new().key),
    );
    let strangers = value(known(bench.read(std::slice::from_ref(&other)).await));
    assert_eq!(strangers, Err("nobody who is trusted signed it".to_owned()));
    let all = [ours, other];
    let full = Ok("{}".to_owned());
    assert_eq!(value(known(bench.read(&all).await)), full);
    let third = Anchor::of_key(Signer::new().key);
    let beside = value(known(bench.read(&[third]).await));
    assert_eq!(beside, full, "a further key takes nothing away");
}

#[tokio::test]
async fn new_keys_after_the_bytes_were_dropped_fetch_again() {
    let mut bench = Bench::new(0).await;
    known(bench.read(&[]).await);
    bench.registry.take_requests();
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let evidence = known(bench.read(&keys).await);
    assert_eq!(evidence.bundles[0].verified_by.len(), 1);
    assert_eq!(bench.registry.take_requests().len(), 4);
}

#[tokio::test]
async fn insufficient_evidence_is_read_again_until_it_arrives() {
    let mut bench = Bench::new(CACHE).await;
    bench.registry.referrers(&bench.image, &[]);
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    assert!(known(bench.read(&keys).await).bundles.is_empty());
    bench.registry.take_requests();
    for _ in 0..5 {
        bench.store.insufficient(&bench.image, &shop());
    }
    bench.wait().await;
    assert_eq!(
        bench.registry.take_requests(),
        [referrers_path(&bench.image)],
        "one, and a list only"
    );
    bench
        .registry
        .referrers(&bench.image, std::slice::from_ref(&bench.signature));
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    assert_eq!(
        known(bench.store.read(&bench.image, &shop(), &keys, NOON)).bundles[0]
            .verified_by
            .len(),
        1
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        bench.registry.take_requests().len(),
        3,
        "nothing runs on when it suffices"
    );
}

#[tokio::test]
async fn new_keys_do_not_wait_for_a_look_planned_for_later() {
    let delays = (Duration::from_hours(1), Duration::from_hours(1));
    let mut bench = Bench::with_delays(CACHE, delays).await;
    known(bench.read(&[]).await);
    bench.store.insufficient(&bench.image, &shop());
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    assert_eq!(
        known(bench.read(&keys).await).bundles[0].verified_by.len(),
        1
    );
}

#[tokio::test]
async fn trouble_is_unavailable_and_passes() {
    let mut bench = Bench::new(CACHE).await;
    bench
        .registry
        .set_once(&referrers_path(&bench.image), Reply::status(500));
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let Observed::Unavailable(unavailable) = bench.read(&keys).await else {
        panic!()
    };
    assert_eq!(unavailable.cause, Cause::Unreachable);
    assert!(
        unavailable.message.contains("answered 500"),
        "{}",
        unavailable.message
    );
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    let outcomes = bench.outcomes.lock().unwrap().clone();
    assert_eq!(
        outcomes,
        [
            FetchOutcome::Failed(Cause::Unreachable),
            FetchOutcome::Fetched
        ]
    );
}

#[tokio::test]
async fn a_failure_takes_no_fact_away() {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let before = known(bench.read(&keys).await);
    bench
        .registry
        .set(&referrers_path(&bench.image), Reply::status(503));
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    let after = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    assert_eq!(after.bundles, before.bundles);
    assert_eq!(after.listed.failed.unwrap().why.cause, Cause::Unreachable);
}

#[tokio::test]
async fn new_keys_while_the_registry_fails_are_unavailable_and_asked_for_with_pauses_only() {
    let delays = (Duration::from_secs(2), Duration::from_secs(2));
    let mut bench = Bench::with_delays(0, delays).await;
    known(bench.read(&[]).await);
    let path = referrers_path(&bench.image);
    bench.registry.set(&path, Reply::status(503));
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let Observed::Unavailable(unavailable) = bench.read(&keys).await else {
        panic!("the failure is not told")
    };
    assert_eq!(unavailable.cause, Cause::Unreachable);
    bench.registry.take_requests();
    for _ in 0..10 {
        let seen = bench.store.read(&bench.image, &shop(), &keys, NOON);
        assert!(matches!(seen, Observed::Unavailable(_)), "{seen:?}");
        bench.store.insufficient(&bench.image, &shop());
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bench.registry.take_requests().is_empty(), "without a pause");
    known(bench.store.read(&bench.image, &shop(), &[], NOON));
    let signature = std::slice::from_ref(&bench.signature);
    bench.registry.referrers(&bench.image, signature);
    bench.wait().await;
    let evidence = known(bench.store.read(&bench.image, &shop(), &keys, NOON));
    assert_eq!(evidence.bundles[0].verified_by.len(), 1);
}

#[tokio::test]
async fn new_keys_after_a_failure_are_judged_from_memory() {
    let mut bench = Bench::new(CACHE).await;
    known(bench.read(&[]).await);
    let path = referrers_path(&bench.image);
    bench.registry.set(&path, Reply::status(503));
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let evidence = known(bench.read(&keys).await);
    assert_eq!(evidence.bundles[0].verified_by.len(), 1);
}

#[tokio::test]
async fn known_absence_does_not_outlive_a_failure() {
    let mut bench = Bench::new(CACHE).await;
    bench.registry.referrers(&bench.image, &[]);
    known(bench.read(&[]).await);
    let path = referrers_path(&bench.image);
    bench.registry.set(&path, Reply::status(503));
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    let seen = bench.store.read(&bench.image, &shop(), &[], NOON);
    assert!(matches!(seen, Observed::Unavailable(_)), "{seen:?}");
}

#[tokio::test]
async fn keys_asked_about_twice_for_one_image_are_all_answered() {
    let mut bench = Bench::new(CACHE).await;
    let (ours, other) = (
        Anchor::of_key(bench.signer.key.clone()),
        Anchor::of_key(Signer::new().key),
    );
    for keys in [[ours.clone(), other.clone()], [other, ours.clone()]] {
        let needs = || keys.clone().map(|key| (bench.image.clone(), vec![key]));
        let mut seen = bench.store.read_all(&shop(), needs(), NOON);
        if seen[&bench.image] == Observed::Pending {
            let woken = tokio::time::timeout(Duration::from_secs(10), bench.woken.recv()).await;
            assert_eq!(woken.unwrap().unwrap(), bench.image);
            seen = bench.store.read_all(&shop(), needs(), NOON);
        }
        assert_eq!(seen.len(), 1);
        let evidence = known(seen.remove(&bench.image).unwrap());
        assert_eq!(evidence.bundles[0].verified_by, [by(&ours)].into());
    }
}

#[tokio::test]
async fn judging_that_takes_too_long_is_unavailable() {
    let judging = Duration::ZERO;
    let mut bench = Bench::with_limits(CACHE, Limits { judging, ..LIMITS }).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let Observed::Unavailable(unavailable) = bench.read(&keys).await else {
        panic!("judged in no time")
    };
    assert_eq!(unavailable.cause, Cause::Unreachable);
    assert!(
        unavailable.message.contains("failed to judge")
            && unavailable.message.contains("longer than 0 seconds"),
        "{}",
        unavailable.message
    );
}

#[tokio::test]
async fn one_image_is_judged_at_a_time() {
    let mut bench = Bench::new(CACHE).await;
    let other = Arc::clone(&bench.store.inner.judging)
        .try_acquire_owned()
        .unwrap();
    assert_eq!(
        bench.store.read(&bench.image, &shop(), &[], NOON),
        Observed::Pending
    );
    let mut asked = 0;
    while asked < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        asked += bench.registry.take_requests().len();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(bench.woken.try_recv().is_err(), "it waits its turn");
    drop(other);
    bench.wait().await;
    known(bench.store.read(&bench.image, &shop(), &[], NOON));
}

#[tokio::test]
async fn forgotten_images_are_not_read_again() {
    let mut bench = Bench::new(CACHE).await;
    known(bench.read(&[]).await);
    bench.registry.take_requests();
    bench.store.insufficient(&bench.image, &shop());
    bench.store.forget(&BTreeSet::from([bench.image.clone()]));
    bench.wait().await;
    bench.store.insufficient(&bench.image, &shop());
    bench.store.forget(&BTreeSet::new());
    bench.store.insufficient(&bench.image, &shop());
    bench.registry.take_requests();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(bench.registry.take_requests().is_empty());
    assert!(bench.woken.try_recv().is_err());
}

/// A look that found nothing.
fn nothing() -> Seen {
    Seen {
        form: Form::default(),
        judged: Vec::new(),
        places: Vec::new(),
        reach: Reach::Referrers,
        listing: Listing {
            at: Instant::now(),
            names: None,
        },
    }
}
