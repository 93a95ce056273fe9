//! Who waits for one look: it stands in the line of each of them, and goes on the account of whoever
//! has its turn first. So nobody waits behind all that another one has asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

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
    /// Whose account it is on.
    account: Arc<str>,
    has_turn: bool,
}

impl Waiters {
    /// One namespace.
    #[must_use]
    pub fn of(namespace: &str) -> Self {
        let account: Arc<str> = namespace.into();
        let state = State {
            namespaces: BTreeSet::from([Arc::clone(&account)]),
            account,
            has_turn: false,
        };
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(state),
                joined: Notify::new(),
            }),
        }
    }

    /// Lets this namespace wait for it too. It may join at any time.
    pub fn join(&self, namespace: &str) {
        if lock(&self.inner.state).namespaces.insert(namespace.into()) {
            self.inner.joined.notify_one();
        }
    }

    /// The same for all that wait for another look.
    pub(crate) fn join_all(&self, others: &Self) {
        let namespaces = lock(&others.inner.state).namespaces.clone();
        for namespace in namespaces {
            self.join(&namespace);
        }
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

    /// Whether it has had its turn.
    pub(super) fn had_turn(&self) -> bool {
        lock(&self.inner.state).has_turn
    }

    /// Notes whose turn it has.
    pub(super) fn take_turn(&self, namespace: Arc<str>) {
        let mut state = lock(&self.inner.state);
        (state.account, state.has_turn) = (namespace, true);
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
            let namespaces = lock(&self.inner.state).namespaces.clone();
            for namespace in namespaces {
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
    async fn who_joined_before_is_not_forgotten() {
        let (old, new) = (Waiters::of("flood"), Waiters::of("shop"));
        old.join("quiet");
        new.join_all(&old);
        assert!(!new.is_same_look(&old) && new.is_same_look(&new.clone()));
        let ((), namespace) = new
            .first(|namespace| async move {
                if &*namespace != "quiet" {
                    std::future::pending::<()>().await;
                }
            })
            .await;
        assert_eq!((&*namespace, &*new.account()), ("quiet", "shop"));
        new.take_turn(namespace);
        assert!(new.had_turn() && &*new.account() == "quiet");
    }
}
