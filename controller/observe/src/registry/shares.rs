//! What looks at images share, and how much of it one look, and one registry, may have: turns, and
//! memory.
//!
//! A namespace's share is asked for first, then the registry's own, then the common one, so that who
//! waits for a slow registry holds nothing that others need, and no registry or namespace alone can
//! hold all there is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::Waiters;
use super::lock;
use super::problem::Problem;

/// Images looked at side by side.
const TURNS: usize = 8;

/// Turns and memory of one process.
pub(super) struct Shares {
    turns: Semaphore,
    memory: Arc<Semaphore>,
    /// Bytes that one registry, and so one image, may hold where nothing else is said.
    per_registry: usize,
    lanes: Mutex<BTreeMap<String, Arc<Lane>>>,
}

/// The share of one registry.
pub(super) struct Lane {
    turns: Semaphore,
    memory: Arc<Semaphore>,
    /// Bytes that it may hold, and so one image.
    bytes: usize,
    turns_of: PerNamespace,
    memory_of: PerNamespace,
}

/// As many permits for each namespace that has or waits for any. However much one namespace asks for,
/// no more of it waits in a common line.
pub(crate) struct PerNamespace {
    permits: usize,
    known: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl PerNamespace {
    /// So many for each.
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits,
            known: Mutex::default(),
        }
    }

    /// Those of this namespace. Kept as long as anyone uses one of them.
    pub(crate) fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut known = lock(&self.known);
        known.retain(|_, permits| Arc::strong_count(permits) > 1);
        let new = || Arc::new(Semaphore::new(self.permits));
        Arc::clone(known.entry(namespace.to_owned()).or_insert_with(new))
    }
}

/// A turn, until it is dropped.
pub(super) struct Turn<'a> {
    _namespace: Result<OwnedSemaphorePermit, AcquireError>,
    _own: Result<SemaphorePermit<'a>, AcquireError>,
    _common: Result<SemaphorePermit<'a>, AcquireError>,
}

impl Shares {
    /// `memory` bytes in all, of which one registry may have three quarters.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            turns: Semaphore::new(TURNS),
            memory: Arc::new(Semaphore::new(memory)),
            per_registry: memory / 4 * 3,
            lanes: Mutex::default(),
        }
    }

    /// The share of a registry, `HOST:PORT`, where so many images are looked at side by side. Kept as
    /// long as anyone uses a part of it. It may hold three quarters of the memory, or as many `bytes`
    /// where that is more or less.
    pub(super) fn lane(&self, registry: &str, turns: u8, bytes: Option<usize>) -> Arc<Lane> {
        let bytes = bytes.unwrap_or(self.per_registry);
        let mut lanes = lock(&self.lanes);
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1 || Arc::strong_count(&lane.memory) > 1);
        let new = || {
            Arc::new(Lane {
                turns: Semaphore::new(turns.into()),
                memory: Arc::new(Semaphore::new(bytes)),
                bytes,
                turns_of: PerNamespace::new(turns.into()),
                memory_of: PerNamespace::new(bytes / 2),
            })
        };
        Arc::clone(lanes.entry(registry.to_owned()).or_insert_with(new))
    }

    /// Waits for a turn. No more of one namespace wait in the registry's own line than may have a
    /// turn, so that however many images one namespace asks for, others are between them. It stands in
    /// the lines of all namespaces that wait for the look, and once in those that are common.
    pub(super) async fn turn<'a>(&'a self, lane: &'a Lane, waiters: &Waiters) -> Turn<'a> {
        let line = |namespace: Arc<str>| lane.turns_of.of(&namespace).acquire_owned();
        let (place, namespace) = waiters.first(line).await;
        // None is ever closed, so all are permits.
        let turn = Turn {
            _namespace: place,
            _own: lane.turns.acquire().await,
            _common: self.turns.acquire().await,
        };
        waiters.take_turn(namespace);
        turn
    }

    /// An account for one look on behalf of a namespace, with nothing in it yet.
    pub(super) fn budget(&self, lane: &Lane, namespace: &str) -> Budget {
        Budget {
            limit: lane.bytes,
            namespace: lane.memory_of.of(namespace),
            own: Arc::clone(&lane.memory),
            common: Arc::clone(&self.memory),
            waiting: AtomicUsize::new(0),
            waits: Mutex::default(),
            account: Mutex::default(),
        }
    }
}

/// Memory that is held, until the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Held {
    _permits: Arc<Option<Permits>>,
}

/// The bytes that one look has read and may still read.
pub(super) struct Budget {
    limit: usize,
    namespace: Arc<Semaphore>,
    own: Arc<Semaphore>,
    common: Arc<Semaphore>,
    waiting: AtomicUsize,
    waits: Mutex<Waits>,
    account: Mutex<Account>,
}

/// How long a look has waited for what its own namespace may have, with any of its requests.
#[derive(Default)]
struct Waits {
    before: Duration,
    /// How many of them wait now, and since when there are any.
    now: usize,
    since: Option<Instant>,
}

/// One that waits for what its namespace may have, until it is dropped.
pub(super) struct Wait<'a>(&'a Mutex<Waits>);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = lock(self.0);
        waits.now = waits.now.saturating_sub(1);
        if waits.now == 0 {
            let waited = waits.since.take().map(|since| since.elapsed());
            waits.before += waited.unwrap_or_default();
        }
    }
}

#[derive(Default)]
struct Account {
    /// What was read.
    taken: usize,
    /// What there are permits for, or someone waits for permits for; never less than `taken`.
    reserved: usize,
    permits: Option<Permits>,
}

#[derive(Debug)]
struct Permits {
    namespace: OwnedSemaphorePermit,
    own: OwnedSemaphorePermit,
    common: OwnedSemaphorePermit,
}

impl Budget {
    /// Waits until there is memory for `bytes` to come, all at once: two looks that each hold a
    /// part and wait for the rest would wait for each other.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<(), Problem> {
        let missing = lock(&self.account).grow(0, bytes, self.limit)?;
        self.acquire(missing).await
    }

    /// Accounts for `bytes` that are about to be read, and waits until there is memory for them.
    pub(super) async fn take(&self, bytes: usize) -> Result<(), Problem> {
        let missing = lock(&self.account).grow(bytes, 0, self.limit)?;
        self.acquire(missing).await
    }

    /// Accounts for `bytes` if there is memory for them now.
    pub(super) fn try_take(&self, bytes: usize) -> bool {
        let mut account = lock(&self.account);
        let before = (account.taken, account.reserved);
        let Ok(missing) = account.grow(bytes, 0, self.limit) else {
            return false;
        };
        let acquire = |from: &Arc<Semaphore>, bytes| {
            let found = Arc::clone(from).try_acquire_many_owned(permits(bytes));
            found.ok()
        };
        let acquired = acquire(&self.namespace, missing.of_namespace)
            .zip(acquire(&self.own, missing.in_all))
            .zip(acquire(&self.common, missing.in_all));
        let Some(((namespace, own), common)) = acquired else {
            (account.taken, account.reserved) = before;
            return false;
        };
        account.add(Permits {
            namespace,
            own,
            common,
        });
        true
    }

    /// Takes bytes out of the account that were read and are not kept. Their permits stay for what
    /// is read instead.
    pub(super) fn give_back(&self, bytes: usize) {
        let mut account = lock(&self.account);
        account.taken = account.taken.saturating_sub(bytes);
    }

    /// Whether someone waits, or waited when it was given up, for memory.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Notes that it waits for what its namespace may have.
    pub(super) fn wait_for_own(&self) -> Wait<'_> {
        let mut waits = lock(&self.waits);
        waits.now += 1;
        waits.since.get_or_insert_with(Instant::now);
        Wait(&self.waits)
    }

    /// How long it has waited for that.
    pub(super) fn waited_for_own(&self) -> Duration {
        let waits = lock(&self.waits);
        waits.before + waits.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// What was acquired, to be held as long as what was read is.
    pub(super) fn into_held(self) -> Held {
        Held {
            _permits: Arc::new(lock(&self.account).permits.take()),
        }
    }

    async fn acquire(&self, missing: Missing) -> Result<(), Problem> {
        if missing.in_all == 0 {
            return Ok(());
        }
        // A look that is given up here leaves its mark, which then says why.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let closed = |_| Problem::Connection("the controller is ending".to_owned());
        let acquire = |from: &Arc<Semaphore>, bytes| {
            let from = Arc::clone(from);
            from.acquire_many_owned(permits(bytes))
        };
        let namespace = {
            let _own = self.wait_for_own();
            acquire(&self.namespace, missing.of_namespace).await
        };
        let own = acquire(&self.own, missing.in_all).await;
        let common = acquire(&self.common, missing.in_all).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        lock(&self.account).add(Permits {
            namespace: namespace.map_err(closed)?,
            own: own.map_err(closed)?,
            common: common.map_err(closed)?,
        });
        Ok(())
    }
}

/// Bytes that there is no permit for yet.
struct Missing {
    in_all: usize,
    /// One look uses up no more than half of its namespace's share, however large it is: what it holds
    /// beyond that, nobody of the same namespace needs to wait for.
    of_namespace: usize,
}

impl Account {
    /// Counts what is read now and what will be; how much of it there is no permit for yet.
    fn grow(&mut self, taken: usize, ahead: usize, limit: usize) -> Result<Missing, Problem> {
        let taken = self.taken.saturating_add(taken);
        let needed = taken.saturating_add(ahead);
        if needed > limit {
            return Err(Problem::Limit {
                what: "bytes in all",
                limit,
            });
        }
        self.taken = taken;
        let before = self.reserved;
        self.reserved = before.max(needed);
        let most = limit / 4;
        Ok(Missing {
            in_all: self.reserved - before,
            of_namespace: self.reserved.min(most) - before.min(most),
        })
    }

    fn add(&mut self, more: Permits) {
        match &mut self.permits {
            None => self.permits = Some(more),
            Some(permits) => {
                permits.namespace.merge(more.namespace);
                permits.own.merge(more.own);
                permits.common.merge(more.common);
            }
        }
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether it ends within a moment.
    async fn ends(future: impl Future<Output = Result<(), Problem>>) -> bool {
        tokio::time::timeout(Duration::from_millis(50), future)
            .await
            .is_ok_and(|ended| ended.is_ok())
    }

    #[tokio::test]
    async fn memory_is_held_until_what_was_read_is_dropped() {
        let shares = Shares::new(400);
        let (a, b) = (shares.lane("a", 2, None), shares.lane("b", 2, None));
        let first = shares.budget(&a, "x");
        assert!(ends(first.reserve(250)).await);
        assert!(ends(first.take(200)).await && ends(first.take(50)).await);
        let held = first.into_held();
        let second = shares.budget(&b, "x");
        assert!(ends(second.take(150)).await, "another registry's share");
        let third = shares.budget(&a, "x");
        assert!(!third.try_take(51) && !ends(third.take(51)).await);
        assert!(third.is_waiting(), "and says so");
        drop(held);
        let fourth = shares.budget(&a, "x");
        assert!(ends(fourth.take(250)).await);
        assert!(!shares.budget(&b, "x").try_take(1), "all of it is in use");
        drop((second, fourth));
        assert!(shares.budget(&b, "x").try_take(300));
    }

    #[tokio::test]
    async fn one_image_may_not_pass_the_share_of_its_registry() {
        let shares = Shares::new(400);
        let budget = shares.budget(&shares.lane("a", 2, None), "x");
        let problem = budget.reserve(301).await.unwrap_err();
        assert_eq!(problem.to_string(), "there are more than 300 bytes in all");
        assert!(budget.take(300).await.is_ok(), "nothing was taken");
        assert!(budget.take(1).await.is_err() && !budget.try_take(1));
    }

    #[tokio::test]
    async fn bytes_that_are_given_back_are_not_counted_twice() {
        let shares = Shares::new(400);
        let budget = shares.budget(&shares.lane("a", 2, None), "x");
        for _ in 0..10 {
            assert!(ends(budget.take(200)).await);
            budget.give_back(200);
        }
        assert!(ends(budget.take(300)).await && budget.take(1).await.is_err());
    }

    #[tokio::test]
    async fn one_namespace_does_not_stand_in_line_before_all_others() {
        let shares = Arc::new(Shares::new(400));
        let lane = shares.lane("a", 2, None);
        let order = Arc::new(Mutex::new(Vec::new()));
        let look = |namespace: &'static str| {
            let (shares, lane, order) =
                (Arc::clone(&shares), Arc::clone(&lane), Arc::clone(&order));
            tokio::spawn(async move {
                let _turn = shares.turn(&lane, &Waiters::of(namespace)).await;
                lock(&order).push(namespace);
                tokio::time::sleep(Duration::from_millis(20)).await;
            })
        };
        let mut looks: Vec<_> = (0..20).map(|_| look("flood")).collect();
        tokio::time::sleep(Duration::from_millis(10)).await;
        looks.push(look("quiet"));
        futures::future::join_all(looks).await;
        let order = lock(&order);
        let place = order.iter().position(|one| *one == "quiet").unwrap();
        assert!(place <= 4, "{order:?}");
        assert!(lane.turns_of.of("other").available_permits() == 2);
        let known = lock(&lane.turns_of.known).len();
        assert_eq!(known, 1, "nobody else is remembered");
    }

    /// Two that are large, or many that are small: the others' part is left.
    #[tokio::test]
    async fn one_namespace_does_not_hold_all_the_memory_of_a_registry() {
        let shares = Shares::new(4000);
        let lane = shares.lane("a", 8, None);
        let small: Vec<_> = (0..16).map(|_| shares.budget(&lane, "flood")).collect();
        let taken = small.iter().filter(|budget| budget.try_take(100)).count();
        assert_eq!(taken, 15, "half of three quarters");
        let quiet = shares.budget(&lane, "quiet");
        assert!(quiet.try_take(1500));
        drop((small, quiet));
        let large = shares.budget(&lane, "flood");
        assert!(large.try_take(3000), "alone it may have all");
    }

    #[test]
    fn lanes_are_kept_while_they_are_used() {
        let shares = Shares::new(400);
        let lane = shares.lane("a", 2, None);
        let budget = shares.budget(&lane, "x");
        assert!(budget.try_take(300));
        drop(lane);
        let held = budget.into_held();
        assert!(!shares.budget(&shares.lane("a", 2, None), "x").try_take(1));
        drop(held);
        shares.lane("b", 2, None);
        assert_eq!(lock(&shares.lanes).len(), 1);
    }
}
