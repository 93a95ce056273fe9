//! A look fails on the account of the namespace that it is for: that is said to it, and to nobody else.

use std::sync::LazyLock;

use lockmaster_core::evidence::{Listed, Recency};

use super::super::size::PER_NAMESPACE;
use super::*;
use crate::registry::Waiters;
use crate::registry::lying::{client_of, sparing, subject_path, use_up};

const BURST: u32 = 20;
const OLD: Duration = Duration::from_mins(11);

fn of(namespace: &str) -> Asker {
    Asker {
        namespace: namespace.to_owned(),
        pull_secrets: vec![],
    }
}

impl Bench {
    /// A registry that gives little to each, of whose looks each may take so long.
    async fn sparing(deadline: Duration) -> Self {
        let client = |registry: &LyingRegistry| {
            let listed = sparing(&registry.address, BURST);
            client_of(vec![listed], deadline, CACHE, 32 << 20)
        };
        Self::with_client(client, LIMITS).await
    }

    /// Lets `flood` have asked this many times more than it may at once.
    fn flood(&self, beyond: u32) {
        let client = &self.store.inner.reader.client;
        use_up(client, &self.image, "flood", BURST + beyond);
    }

    fn read_for(&self, namespace: &str) -> Observed<Evidence> {
        self.store.read(&self.image, &of(namespace), &[], NOON)
    }

    fn listed(&self, namespace: &str) -> Listed {
        known(self.read_for(namespace)).listed
    }

    fn look_of(&self, namespace: &str) -> Look {
        self.store.peek(&self.image, &of(namespace), &[], NOON).1
    }

    /// Reads for `flood`, which may not, and then for `shop`, which may; what `flood` was told.
    async fn read_for_both(&mut self) -> Unavailable {
        assert_eq!(self.read_for("flood"), Observed::Pending);
        self.wait().await;
        let Observed::Unavailable(why) = self.read_for("flood") else {
            panic!("it was read")
        };
        assert_eq!(self.read_for("shop"), Observed::Pending, "another account");
        assert!(matches!(self.read_for("flood"), Observed::Unavailable(_)));
        self.wait().await;
        assert_eq!(known(self.read_for("shop")).bundles.len(), 1);
        assert_eq!(known(self.read_for("flood")).bundles.len(), 1, "for all");
        why
    }
}

#[tokio::test]
async fn a_share_that_is_used_up_is_the_trouble_of_its_namespace_alone() {
    let mut bench = Bench::sparing(Duration::from_secs(9)).await;
    bench.flood(9);
    let why = bench.read_for_both().await;
    assert_eq!(why.cause, Cause::Unreachable);
    let said = "used up its share of requests";
    assert!(why.message.contains(said), "{}", why.message);
    let outcomes = format!("{:?}", bench.outcomes.lock().unwrap());
    assert_eq!(outcomes, "[ShareUsedUp, Fetched]", "no registry was silent");
}

/// It was sent, and answered, but the time had gone by with waiting for the share.
#[tokio::test]
async fn a_deadline_that_passes_while_it_waits_for_its_share_is_no_slow_registry() {
    let mut bench = Bench::sparing(Duration::from_secs(1)).await;
    bench.flood(3);
    let why = bench.read_for_both().await;
    let said = "took longer than 1 seconds, 1 of which it waited for the namespace's share";
    assert!(why.message.contains(said), "{}", why.message);
}

#[tokio::test]
async fn a_namespace_without_room_for_facts_hides_them_from_no_other() {
    let mut bench = Bench::new(CACHE).await;
    let digest = lockmaster_core::release::Digest::of(b"another");
    let key = Key::new(&bench.image.with_digest(digest), &shop());
    let held = |bench: &Bench| {
        let mut entries = bench.store.inner.lock();
        let entry = entries.entry(key.clone()).or_default();
        entry.hold("flood", PER_NAMESPACE);
    };
    held(&bench);
    let why = bench.read_for_both().await;
    assert_eq!(why.cause, Cause::Truncated);
}

#[tokio::test]
async fn trouble_of_long_ago_is_nobodys() {
    let mut bench = Bench::sparing(Duration::from_secs(9)).await;
    bench.flood(9);
    assert_eq!(bench.read_for("flood"), Observed::Pending);
    bench.wait().await;
    assert!(matches!(bench.read_for("flood"), Observed::Unavailable(_)));
    bench.store.age(Duration::from_hours(1));
    assert_eq!(bench.read_for("flood"), Observed::Pending, "it is asked");
}

#[tokio::test]
async fn a_list_that_one_may_not_ask_for_fails_for_nobody_else() {
    let mut bench = Bench::sparing(Duration::from_secs(9)).await;
    assert_eq!(bench.read_for("shop"), Observed::Pending);
    bench.wait().await;
    bench.store.age(OLD);
    bench.flood(9);
    bench.store.list_again(&bench.image, &of("flood"));
    bench.wait().await;
    assert!(matches!(
        bench.listed("flood").recency(NOON),
        Recency::Failed(_)
    ));
    assert_eq!(
        bench.listed("shop").recency(NOON),
        Recency::Outdated,
        "it did not ask"
    );
    bench.store.list_again(&bench.image, &of("shop"));
    bench.wait().await;
    assert_eq!(bench.listed("shop").recency(NOON), Recency::Recent);
    assert_eq!(bench.listed("flood").recency(NOON), Recency::Recent);
}

#[tokio::test]
async fn what_one_could_not_verify_again_is_still_due_for_others() {
    let mut bench = Bench::sparing(Duration::from_secs(9)).await;
    assert_eq!(bench.read_for("shop"), Observed::Pending);
    bench.wait().await;
    bench.flood(9);
    bench.store.look_again(&bench.image, &of("flood"), NOON);
    bench.wait().await;
    let look = bench.look_of("flood");
    assert_eq!(look.at, Some(NOON));
    assert!(look.problem.is_some());
    assert_eq!(bench.look_of("shop"), Look::default());
    bench.store.look_again(&bench.image, &of("shop"), NOON);
    bench.wait().await;
    assert_eq!(bench.look_of("shop").at, Some(NOON));
    assert_eq!(bench.look_of("flood").problem, None);
}

#[tokio::test]
async fn who_is_in_trouble_looks_again_by_itself_and_keeps_nobody_waiting() {
    let delays = (Duration::from_hours(1), Duration::from_hours(1));
    let mut bench = Bench::with_delays(CACHE, delays).await;
    assert_eq!(bench.read_for("shop"), Observed::Pending);
    bench.wait().await;
    {
        let mut entries = bench.store.inner.lock();
        entries.values_mut().next().unwrap().finish(ended(), own());
    }
    bench.store.insufficient(&bench.image, &of("flood"));
    let running = |namespace: &str| {
        let mut entries = bench.store.inner.lock();
        entries.values_mut().next().unwrap().is_running(namespace)
    };
    assert!(running("flood") && !running("shop"));
    bench.store.insufficient(&bench.image, &of("shop"));
    assert!(running("shop"));
    let mut entries = bench.store.inner.lock();
    let entry = entries.values_mut().next().unwrap();
    entry.run(look_of_flood(), Purpose::Now);
    entry.finish(ended(), Ok(nothing()));
    assert!(!entry.is_running("flood"), "it knows what all know");
}

/// Who waited for a look of `flood` that has ended.
static FLOOD: LazyLock<Waiters> = LazyLock::new(|| Waiters::of("flood"));

/// That look.
fn ended() -> Ended<'static> {
    Ended {
        namespace: "flood",
        waiters: &FLOOD,
        retry_of: None,
        anchors: &[],
    }
}

fn unreachable(account: Option<&str>) -> Result<Seen, Trouble> {
    Err(Trouble {
        unavailable: Unavailable {
            cause: Cause::Unreachable,
            message: String::new(),
        },
        account: account.map(str::to_owned),
    })
}

/// It failed on the account of `flood`.
fn own() -> Result<Seen, Trouble> {
    unreachable(Some("flood"))
}

/// A task that may be told to end.
fn look_of_flood() -> (tokio::task::AbortHandle, Waiters) {
    (tokio::spawn(async {}).abort_handle(), FLOOD.clone())
}

const DELAYS: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));

fn next(entry: &mut super::Entry, namespace: &str) -> u64 {
    let digest = lockmaster_core::release::Digest::from_sha256(&[0; 32]);
    entry.next_delay(namespace, DELAYS, &digest).as_secs()
}

#[tokio::test]
async fn delays_double_up_to_the_longest_and_start_anew_after_a_change_or_an_outage() {
    let mut entry = super::Entry::default();
    let seconds: Vec<_> = (0..8).map(|_| next(&mut entry, "shop")).collect();
    assert_eq!(seconds, [10, 20, 40, 80, 160, 320, 600, 600]);
    let spread = lockmaster_core::release::Digest::from_sha256(&[255; 32]);
    assert_eq!(entry.next_delay("shop", DELAYS, &spread).as_secs(), 675);
    entry.finish(ended(), Ok(nothing()));
    assert_eq!(next(&mut entry, "shop"), 10, "something came");
    entry.finish(ended(), Ok(nothing()));
    assert_eq!(next(&mut entry, "shop"), 20, "nothing did");
    entry.finish(ended(), unreachable(None));
    assert_eq!(next(&mut entry, "shop"), 40);
    entry.finish(ended(), Ok(nothing()));
    assert_eq!(next(&mut entry, "shop"), 10, "it is back");
}

#[tokio::test]
async fn the_trouble_of_one_namespace_lengthens_the_delay_of_no_other() {
    let mut entry = super::Entry::default();
    entry.finish(ended(), Ok(nothing()));
    assert_eq!(next(&mut entry, "shop"), 10);
    assert_eq!(next(&mut entry, "flood"), 20);
    entry.run(look_of_flood(), Purpose::Later);
    entry.finish(ended(), own());
    let seconds: Vec<_> = (0..3).map(|_| next(&mut entry, "flood")).collect();
    assert_eq!(seconds, [40, 80, 160]);
    assert_eq!(next(&mut entry, "shop"), 20, "as if it had not asked");
    entry.finish(ended(), Ok(nothing()));
    assert_eq!(next(&mut entry, "flood"), 40, "as all");
}

/// Looks on two accounts run side by side, and the slower one may have listed first.
#[tokio::test]
async fn what_was_listed_first_and_ends_last_takes_nothing_back() {
    let mut bench = Bench::new(CACHE).await;
    let older = nothing();
    known(bench.read(&[]).await);
    let mut entries = bench.store.inner.lock();
    let key = entries.keys().next().unwrap().clone();
    size::keep(&mut entries, &key, ended(), Ok(older));
    let entry = entries.values_mut().next().unwrap();
    let seen = entry.read(bench.image.digest(), ("shop", &[]), NOON);
    assert_eq!(known(seen).bundles.len(), 1, "the newer list names it");
}

/// A look that was replaced just when it ended tells what it found, and the other one goes on.
#[tokio::test]
async fn a_look_that_was_replaced_ends_no_other() {
    let mut entry = super::Entry::default();
    let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
    entry.run((task, Waiters::of("shop")), Purpose::Now);
    entry.finish(ended(), Ok(nothing()));
    assert!(entry.is_completing(), "it is under way");
    entry.run(look_of_flood(), Purpose::Now);
    entry.finish(ended(), Ok(nothing()));
    assert!(!entry.is_completing());
}

impl Bench {
    /// So many other images, each of which the registry takes a while to name.
    fn slow_images(&self, count: usize) -> Vec<ImageReference> {
        let image = |number: usize| {
            let manifest = json!({"mediaType": MANIFEST, "config": {}, "layers": [],
                "annotations": {"number": number.to_string()}});
            let image = self.image.with_digest(self.registry.manifest(&manifest));
            self.registry.referrers(&image, &[]);
            let mut subject = self.registry.reply(&subject_path(&image));
            subject.delay = Duration::from_millis(300);
            self.registry.set(&subject_path(&image), subject);
            image
        };
        (0..count).map(image).collect()
    }

    /// How many images became known before this one of `count`.
    async fn known_before(&mut self, image: &ImageReference, count: usize) -> usize {
        for place in 0..count {
            let woken = tokio::time::timeout(Duration::from_secs(10), self.woken.recv()).await;
            if woken.unwrap().unwrap() == *image {
                return place;
            }
        }
        panic!("it never became known")
    }
}

/// However many images of another namespace were asked for before, this one among them.
#[tokio::test]
async fn nobody_waits_in_the_line_of_another_namespace() {
    let mut bench = Bench::new(CACHE).await;
    let images = bench.slow_images(16);
    let shared = images.last().unwrap();
    for image in &images {
        let seen = bench.store.read(image, &of("flood"), &[], NOON);
        assert_eq!(seen, Observed::Pending);
    }
    let seen = bench.store.read(shared, &of("shop"), &[], NOON);
    assert_eq!(seen, Observed::Pending);
    let asked = images.iter().map(subject_path).collect::<BTreeSet<_>>();
    let place = bench.known_before(shared, images.len()).await;
    // Those that had a turn already, and those that stood in the registry's line before.
    assert!(place <= 9, "{place} of 15 were before it");
    for _ in place + 1..images.len() {
        bench.woken.recv().await;
    }
    let mut requests = bench.registry.take_requests();
    requests.retain(|path| asked.contains(path));
    assert_eq!(requests.len(), images.len(), "one look for both");
}

/// Who was in trouble of its own once stands in its own line too, and is not told of a look for
/// others before that has its turn.
#[tokio::test]
async fn trouble_of_its_own_lets_nobody_wait_in_the_line_of_another() {
    let mut bench = Bench::new(CACHE).await;
    let images = bench.slow_images(16);
    let shared = images.last().unwrap();
    let entry = |bench: &Bench, change: &dyn Fn(&mut super::Entry)| {
        let mut entries = bench.store.inner.lock();
        change(entries.get_mut(&Key::new(shared, &shop())).unwrap());
    };
    for image in &images {
        let seen = bench.store.read(image, &of("flood"), &[], NOON);
        assert_eq!(seen, Observed::Pending);
    }
    entry(&bench, &|entry| {
        let why = Unavailable {
            cause: Cause::Unreachable,
            message: String::new(),
        };
        entry.fail_alone("shop".to_owned(), ended(), why);
        assert!(!entry.is_running("shop"), "it may look by itself");
    });
    bench.store.list_again(shared, &of("shop"));
    entry(&bench, &|entry| assert!(entry.is_running("shop")));
    let place = bench.known_before(shared, images.len()).await;
    assert!(place <= 9, "{place} of 15 were before it");
}

/// It has its answer from the same look, which goes on without the other one.
#[tokio::test]
async fn a_look_that_fails_on_one_account_goes_on_for_the_others() {
    let mut bench = Bench::sparing(Duration::from_secs(9)).await;
    bench.flood(9);
    for namespace in ["flood", "shop"] {
        assert_eq!(bench.read_for(namespace), Observed::Pending);
    }
    bench.wait().await;
    assert!(matches!(bench.read_for("flood"), Observed::Unavailable(_)));
    bench.wait().await;
    assert_eq!(known(bench.read_for("shop")).bundles.len(), 1);
    let outcomes = format!("{:?}", bench.outcomes.lock().unwrap());
    assert_eq!(outcomes, "[ShareUsedUp, Fetched]");
}

/// What stands in the line of others verifies nothing for this one yet.
#[tokio::test]
async fn a_look_in_the_line_of_others_is_no_verification() {
    let mut entry = super::Entry::default();
    let (task, waiters) = (look_of_flood().0, Waiters::of("flood"));
    entry.run((task, waiters.clone()), Purpose::Verify(NOON));
    let at = |entry: &super::Entry| ["flood", "shop"].map(|one| entry.last_look(one).at);
    assert_eq!(at(&entry), [Some(NOON), None], "it is still due");
    waiters.join("shop");
    assert_eq!(at(&entry), [Some(NOON); 2]);
}

/// A namespace that looks by itself does that for nobody else, whoever joined it; whoever follows has a
/// look of its own.
#[tokio::test]
async fn who_looks_by_itself_goes_on_for_nobody_else() {
    let bench = Bench::new(CACHE).await;
    let waiters = Waiters::of("flood");
    waiters.join("shop");
    let ended = Ended {
        namespace: "shop",
        waiters: &waiters,
        retry_of: Some("flood"),
        anchors: &[],
    };
    let key = Key::new(&bench.image, &shop());
    let mut entries = bench.store.inner.lock();
    let entry = entries.entry(key.clone()).or_default();
    entry.finish(self::ended(), own());
    entry.retry("flood", look_of_flood().0);
    assert!(entry.is_running("flood"));
    assert!(size::keep(
        &mut entries,
        &key,
        ended,
        unreachable(Some("shop"))
    ));
    let entry = &entries[&key];
    assert!(!entry.is_running("flood"), "it may look again");
    assert!(entry.is_in_trouble("shop") && entry.is_in_trouble("flood"));
}

/// Environments of as many namespaces ask at once, and again when it is known.
#[tokio::test]
async fn one_image_in_five_hundred_namespaces_is_looked_at_once() {
    let mut bench = Bench::new(CACHE).await;
    let namespaces: Vec<_> = (0..500).map(|number| format!("shop-{number}")).collect();
    for namespace in &namespaces {
        assert_eq!(bench.read_for(namespace), Observed::Pending);
    }
    bench.wait().await;
    assert_eq!(bench.registry.take_requests().len(), 4, "of one look");
    for namespace in &namespaces {
        assert_eq!(known(bench.read_for(namespace)).bundles.len(), 1);
    }
    assert!(bench.registry.take_requests().is_empty());
    assert_eq!(*bench.outcomes.lock().unwrap(), [FetchOutcome::Fetched]);
}
