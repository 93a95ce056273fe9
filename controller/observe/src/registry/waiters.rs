//! Who waits for one look: it stands in the line of each of them, and goes on the account of whoever
//! is through first. So nobody waits behind all that another one has asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Weak};

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::Notify;

use super::lock;

/// The namespaces that wait for one look. Clones share them.
#[derive(Clone)]
pub struct Waiters {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Only one line is stood in at a time, so this wakes one.
    joined: Notify,
}

struct State {
    namespaces: BTreeSet<Arc<str>>,
    /// Those on whose account it has failed.
    gone: BTreeSet<Arc<str>>,
    /// Whose account it is on.
    account: Arc<str>,
    has_turn: bool,
    /// Those of the looks that this one waits for, because they bring the same. Two may follow each other.
    followed: Vec<Weak<Inner>>,
}

impl Waiters {
    /// One namespace.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        let account: Arc<str> = namespace.into();
        let state = State {
            namespaces: BTreeSet::from([Arc::clone(&account)]),
            gone: BTreeSet::new(),
            account,
            has_turn: false,
            followed: Vec::new(),
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                joined: Notify::new(),
            }),
        }
    }

    /// Lets this namespace wait for it too. It may join at any time, but not after the look has failed
    /// on its account: that would keep the others.
    pub fn join(&self, namespace: &str) {
        let followed = {
            let mut state = lock(&self.inner.state);
            if state.gone.contains(namespace) || !state.namespaces.insert(namespace.into()) {
                return;
            }
            state.followed.clone()
        };
        self.inner.joined.notify_one();
        for inner in followed.iter().filter_map(Weak::upgrade) {
            Self { inner }.join(namespace);
        }
    }

    /// The same for all that wait for another look.
    pub(crate) fn join_all(&self, others: &Self) {
        for namespace in others.namespaces() {
            self.join(&namespace);
        }
    }

    /// Lets all that wait for this look, now and later, wait for another one, which brings the same.
    pub(super) fn follow(&self, other: &Self) {
        if !self.is_same_look(other) {
            let followed = Arc::downgrade(&other.inner);
            lock(&self.inner.state).followed.push(followed);
            other.join_all(self);
        }
    }

    /// Takes out the namespace on whose account the look failed, and says whether others still wait: it
    /// begins anew on the account of one of them.
    pub(crate) fn leave(&self, namespace: &str) -> bool {
        let mut state = lock(&self.inner.state);
        state.namespaces.remove(namespace);
        state.gone.insert(namespace.into());
        let Some(next) = state.namespaces.first().cloned() else {
            return false;
        };
        (state.account, state.has_turn) = (next, false);
        state.followed.clear();
        true
    }

    /// The namespace on whose account the look is: who asked first, until it has a turn.
    #[must_use]
    pub fn account(&self) -> Arc<str> {
        Arc::clone(&lock(&self.inner.state).account)
    }

    /// Whether these are the waiters of the same look.
    pub(crate) fn is_same_look(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &others.inner)
    }

    /// Whether the look goes on whatever this namespace does: it waits for it, or the look has its turn.
    pub(crate) fn serves(&self, namespace: &str) -> bool {
        let state = lock(&self.inner.state);
        state.has_turn || state.namespaces.contains(namespace)
    }

    /// Whether others wait than the one on whose account the look is.
    pub(super) fn are_several(&self) -> bool {
        lock(&self.inner.state).namespaces.len() > 1
    }

    /// Notes whose turn it has.
    pub(super) fn take_turn(&self, namespace: Arc<str>) {
        let mut state = lock(&self.inner.state);
        (state.account, state.has_turn) = (namespace, true);
    }

    /// All of them, the one on whose account the look is first.
    fn namespaces(&self) -> Vec<Arc<str>> {
        let state = lock(&self.inner.state);
        let others = state.namespaces.iter().filter(|one| **one != state.account);
        let own = state.namespaces.get(&state.account);
        own.into_iter().chain(others).cloned().collect()
    }

    /// Stands in the lines of all that wait, of those that join meanwhile too, until it is through
    /// with one: what is there, and whose line it was.
    pub(crate) async fn first<T, F: Future<Output = T>>(
        &self,
        line: impl Fn(Arc<str>) -> F,
    ) -> (T, Arc<str>) {
        let mut standing = BTreeSet::new();
        let mut lines = FuturesUnordered::new();
        loop {
            for namespace in self.namespaces() {
                if standing.insert(Arc::clone(&namespace)) {
                    let place = line(Arc::clone(&namespace));
                    lines.push(async move { (place.await, namespace) });
                }
            }
            tokio::select! {
                Some(through) = lines.next() => return through,
                () = self.inner.joined.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::super::PerNamespace;
    use super::*;

    #[tokio::test]
    async fn it_goes_on_as_soon_as_one_of_the_lines_is_through() {
        let lines = PerNamespace::new(1);
        let flood: Arc<Semaphore> = lines.of("flood");
        let _busy = flood.acquire().await;
        let waiters = Waiters::of("flood");
        let first = waiters.first(|namespace| lines.of(&namespace).acquire_owned());
        tokio::pin!(first);
        assert!(futures::poll!(&mut first).is_pending());
        waiters.join("quiet");
        let (place, namespace) = first.await;
        assert!(place.is_ok());
        assert_eq!(&*namespace, "quiet");
    }

    #[tokio::test]
    async fn who_asked_first_pays_where_all_lines_are_free() {
        let waiters = Waiters::of("shop");
        waiters.join("another");
        let (_, namespace) = waiters.first(std::future::ready).await;
        assert_eq!(&*namespace, "shop");
    }

    /// A line in which only this namespace comes to its turn.
    async fn only(waiters: &Waiters, served: &str) -> Arc<str> {
        let line = |namespace: Arc<str>| async move {
            if &*namespace != served {
                std::future::pending::<()>().await;
            }
        };
        waiters.first(line).await.1
    }

    #[tokio::test]
    async fn who_joined_before_is_not_forgotten() {
        let (old, new) = (Waiters::of("flood"), Waiters::of("shop"));
        old.join("quiet");
        new.join_all(&old);
        assert!(!new.is_same_look(&old) && new.is_same_look(&new.clone()));
        let namespace = only(&new, "quiet").await;
        assert_eq!((&*namespace, &*new.account()), ("quiet", "shop"));
        new.take_turn(namespace);
        assert!(new.serves("nobody") && &*new.account() == "quiet");
    }

    #[tokio::test]
    async fn who_joins_a_look_joins_the_one_that_it_follows() {
        let (flight, look) = (Waiters::of("flood"), Waiters::of("flood"));
        look.follow(&flight);
        look.follow(&look);
        assert!(!flight.are_several());
        look.join("quiet");
        assert_eq!(&*only(&flight, "quiet").await, "quiet");
    }

    #[test]
    fn others_go_on_without_the_one_that_failed() {
        let waiters = Waiters::of("flood");
        assert!(!waiters.clone().leave("flood"), "nobody is left");
        let waiters = Waiters::of("flood");
        waiters.join("quiet");
        waiters.take_turn("flood".into());
        assert!(waiters.leave("flood"));
        assert_eq!(&*waiters.account(), "quiet");
        waiters.join("flood");
        assert!(!waiters.serves("flood") && waiters.serves("quiet"));
    }
}
