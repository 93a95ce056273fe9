//! How much is kept of what anybody may attach, and for whom.

use lockmaster_core::evidence::{Bundle, Carrier, Content, Provenance, SLSA_PROVENANCE_V1};

use super::super::size::{self, IN_ALL, PER_NAMESPACE};
use super::*;

/// A provenance with texts as long as they may be, which this key signed, or nobody.
fn provenance(signer: Option<&Anchor>) -> Bundle {
    let long = || "x".repeat(1024);
    let statement = Provenance {
        predicate_type: SLSA_PROVENANCE_V1.into(),
        builder: long(),
        build_type: long(),
        repository: long(),
        reference: long(),
        commit: long(),
        workflow: Some(long()),
        parameters: [("x".to_owned(), long())].into(),
        trigger: None,
        invocation: Some(long()),
    };
    Bundle {
        digest: lockmaster_core::release::Digest::of(b"bundle"),
        payload: None,
        carrier: Carrier::Bundle,
        key_hint: None,
        verified_by: signer.map(by).into_iter().collect(),
        failures: [(lockmaster_core::release::Digest::of(b"root"), long())].into(),
        key_problem: None,
        subjects: vec![lockmaster_core::release::Digest::of(b"image"); 4],
        content: Content::Provenance(statement),
    }
}

fn size_of(mut bundle: Bundle) -> usize {
    bundle.forget_unproven();
    let judged = Judged {
        id: bundle.digest.clone(),
        bundle,
        tried: BTreeSet::new(),
        withdrawn: false,
    };
    size::of(&Seen {
        judged: vec![judged],
        ..nothing()
    })
}

#[test]
fn of_what_nobody_signed_little_is_kept() {
    let anchor = Anchor::of_key(Signer::new().key);
    let (signed, unsigned) = (
        size_of(provenance(Some(&anchor))),
        size_of(provenance(None)),
    );
    assert!(signed > 6000, "{signed}");
    assert!(unsigned < 2000, "{unsigned}");
    let mut bundle = provenance(None);
    bundle.forget_unproven();
    assert_eq!(bundle.content.predicate_type(), Some(SLSA_PROVENANCE_V1));
}

/// Lets a namespace have so many bytes of facts about another image.
fn fill(bench: &Bench, namespace: &str, bytes: usize) {
    let digest = lockmaster_core::release::Digest::of(namespace.as_bytes());
    let key = Key::new(&bench.image.with_digest(digest), &shop());
    let mut entries = bench.store.inner.lock();
    entries.entry(key).or_default().hold(namespace, bytes);
}

#[tokio::test]
async fn one_namespace_does_not_fill_the_memory_with_facts() {
    let mut bench = Bench::new(CACHE).await;
    fill(&bench, "shop", PER_NAMESPACE);
    let Observed::Unavailable(full) = bench.read(&[]).await else {
        panic!("it was kept")
    };
    assert_eq!(full.cause, Cause::Truncated);
    let limit = PER_NAMESPACE >> 20;
    let said = format!("the images of the namespace that asked would take more than {limit} MiB");
    assert!(full.message.contains(&said), "{}", full.message);
    // The namespace of somebody else has its own share.
    let mut bench = Bench::new(CACHE).await;
    fill(&bench, "other", PER_NAMESPACE);
    known(bench.read(&[]).await);
}

#[tokio::test]
async fn all_namespaces_together_do_not_either_and_what_goes_makes_room() {
    let mut bench = Bench::new(CACHE).await;
    for number in 0..4 {
        fill(&bench, &number.to_string(), IN_ALL / 4);
    }
    let Observed::Unavailable(full) = bench.read(&[]).await else {
        panic!("it was kept")
    };
    let said = format!("of all images would take more than {} MiB", IN_ALL >> 20);
    assert!(full.message.contains(&said), "{}", full.message);
    bench.store.forget(&BTreeSet::from([bench.image.clone()]));
    bench.store.insufficient(&bench.image, &shop());
    bench.wait().await;
    known(bench.store.read(&bench.image, &shop(), &[], NOON));
}

/// Releases are never deleted by themselves, so that what they name grows for ever.
#[tokio::test]
async fn what_nobody_asks_about_makes_room() {
    let mut bench = Bench::new(CACHE).await;
    fill(&bench, "shop", PER_NAMESPACE);
    for entry in bench.store.inner.lock().values_mut() {
        entry.ask(&[]);
        entry.forget_asking(Duration::from_hours(2));
    }
    known(bench.read(&[]).await);
    assert_eq!(bench.store.inner.lock().len(), 1, "the other one went");
}

/// A namespace without room takes nothing from those that know the image already.
#[tokio::test]
async fn what_is_known_already_needs_no_room() {
    let mut bench = Bench::new(CACHE).await;
    known(bench.read(&[]).await);
    fill(&bench, "shop", PER_NAMESPACE);
    bench.store.look_again(&bench.image, &shop(), NOON);
    bench.wait().await;
    let (_, look) = bench.store.peek(&bench.image, &shop(), &[], NOON);
    assert_eq!(look.problem, None);
}

#[tokio::test]
async fn passes_share_what_is_known() {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let first = known(bench.read(&keys).await);
    let second = known(bench.read(&keys).await);
    assert!(std::ptr::eq(
        &raw const first.bundles[0],
        &raw const second.bundles[0]
    ));
    let third = known(bench.read(&[]).await);
    assert!(third.bundles[0].verified_by.is_empty(), "another question");
}

/// Else whoever may push could let what is kept of an image that runs grow for ever.
#[tokio::test]
async fn what_nobody_signed_and_is_gone_is_let_go() {
    let mut bench = Bench::new(CACHE).await;
    let keys = [Anchor::of_key(bench.signer.key.clone())];
    let junk = bench.registry.bundle(b"{}", COSIGN_SIGN);
    bench
        .registry
        .referrers(&bench.image, &[bench.signature.clone(), junk]);
    assert_eq!(known(bench.read(&keys).await).bundles.len(), 2);
    let _ = bench.store.peek(&bench.image, &shop(), &keys, NOON);
    bench.registry.referrers(&bench.image, &[]);
    bench
        .store
        .look_again(&bench.image, &shop(), Timestamp::UNIX_EPOCH);
    bench.wait().await;
    let evidence = known(bench.read(&keys).await);
    assert_eq!((evidence.bundles.len(), evidence.withdrawn.len()), (1, 1));
}

/// However many images of one namespace wait to be judged.
#[tokio::test]
async fn the_next_namespace_is_judged_next() {
    let mut bench = Bench::new(CACHE).await;
    let other = Arc::clone(&bench.store.inner.judging)
        .try_acquire_owned()
        .unwrap();
    let asker = |namespace: &str| Asker {
        namespace: namespace.to_owned(),
        pull_secrets: vec![],
    };
    let image = |number: usize| {
        let manifest = json!({"mediaType": MANIFEST, "config": {}, "layers": [],
            "annotations": {"number": number.to_string()}});
        let image = bench.image.with_digest(bench.registry.manifest(&manifest));
        bench.registry.referrers(&image, &[]);
        image
    };
    let images: Vec<_> = (0..8).map(image).collect();
    let (quiet, flood) = images.split_last().unwrap();
    for image in flood {
        assert_eq!(
            bench.store.read(image, &asker("flood"), &[], NOON),
            Observed::Pending
        );
    }
    // Until the lists of these were read, and each had time to stand in line.
    let listed = |images: &[ImageReference]| {
        let registry = bench.registry.clone();
        let mut missing: BTreeSet<_> = images.iter().map(referrers_path).collect();
        async move {
            while !missing.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
                for asked in registry.take_requests() {
                    missing.retain(|path| !asked.contains(path));
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    listed(flood).await;
    // The last one of those is asked for by two.
    let shared = flood.last().unwrap();
    for image in [quiet, shared] {
        assert_eq!(
            bench.store.read(image, &asker("quiet"), &[], NOON),
            Observed::Pending
        );
    }
    listed(std::slice::from_ref(quiet)).await;
    drop(other);
    let mut order = Vec::new();
    for _ in 0..images.len() {
        let woken = tokio::time::timeout(Duration::from_secs(10), bench.woken.recv()).await;
        order.push(woken.unwrap().unwrap());
    }
    // Behind the one that stood in line, and each may be told of after the one that came next.
    for image in [quiet, shared] {
        let place = order.iter().position(|one| one == image).unwrap();
        assert!(place <= 4, "it came as number {place} of 7");
    }
}
