//! What is known of every host between requests: whether it works, and how much of it was used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::breaker::{Breaker, Open, Passage};
use super::bucket::Buckets;
use super::config::Limits;
use super::lock;
use super::problem::Problem;

/// Longest time that a request waits for its namespace's share; the whole look has a deadline.
const PATIENCE: Duration = Duration::from_secs(5);

/// What happens to requests before they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficEvent {
    /// A look at an image got its turn among those at this registry, after so long.
    Turn(Duration),
    /// A request got its part of the requests in a second, after so long.
    Rate(Duration),
    /// A request was not sent: the registry is left alone after failures in a row.
    LeftAlone,
    /// A request was not sent: its namespace has used up its share, and more than it may wait for.
    ShareUsedUp,
}

/// Called with the host, and port where it has one, and what happened there. Hosts are those that
/// policies give to namespaces, and their mirrors: nothing is asked of any other.
pub type TrafficObserver = Box<dyn Fn(&str, TrafficEvent) + Send + Sync>;

/// Hosts of one process.
pub(super) struct Traffic {
    breakers: Mutex<BTreeMap<String, Arc<Mutex<Breaker>>>>,
    buckets: Mutex<BTreeMap<String, Buckets>>,
    observer: TrafficObserver,
}

/// A request that may be sent; dropped without a word, it was given up.
pub(super) struct Permission {
    breaker: Arc<Mutex<Breaker>>,
    passage: Option<Passage>,
}

impl Traffic {
    pub(super) fn new(observer: TrafficObserver) -> Self {
        Self {
            breakers: Mutex::default(),
            buckets: Mutex::default(),
            observer,
        }
    }

    /// Notes what happened at a host.
    pub(super) fn note(&self, host: &str, event: TrafficEvent) {
        (self.observer)(host, event);
    }

    /// The hosts that are left alone now.
    pub(super) fn left_alone(&self) -> Vec<String> {
        let breakers = lock(&self.breakers);
        let open = breakers.iter().filter(|(_, one)| lock(one).is_open());
        open.map(|(host, _)| host.clone()).collect()
    }

    /// Waits for the namespace's share of a host.
    pub(super) async fn wait(
        &self,
        host: &str,
        namespace: &str,
        limits: Limits,
    ) -> Result<(), Problem> {
        let taken = {
            let now = Instant::now();
            let mut buckets = lock(&self.buckets);
            buckets.retain(|known, buckets| known == host || !buckets.is_idle(now));
            let new = || Buckets::new(limits.requests_per_second, limits.burst);
            buckets
                .entry(host.to_owned())
                .or_insert_with(new)
                .take(namespace, now, PATIENCE)
        };
        let event = taken.map_or(TrafficEvent::ShareUsedUp, TrafficEvent::Rate);
        self.note(host, event);
        let wait = taken.map_err(|wait| Problem::Share {
            namespace: namespace.to_owned(),
            seconds: wait.as_secs(),
        })?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    /// Whether a host may be asked now.
    pub(super) fn permission(&self, host: &str) -> Result<Permission, Problem> {
        let breaker = {
            let mut breakers = lock(&self.breakers);
            // Nobody else can hold a clone that is counted here only once.
            breakers.retain(|_, one| Arc::strong_count(one) > 1 || !lock(one).is_quiet());
            Arc::clone(breakers.entry(host.to_owned()).or_default())
        };
        let asked = lock(&breaker).ask(Instant::now());
        match asked {
            Ok(passage) => Ok(Permission {
                breaker,
                passage: Some(passage),
            }),
            Err(Open {
                failures,
                remaining,
            }) => {
                self.note(host, TrafficEvent::LeftAlone);
                Err(Problem::LeftAlone {
                    failures,
                    seconds: remaining.as_secs() + 1,
                })
            }
        }
    }
}

impl Permission {
    /// Says how it went.
    pub(super) fn close<T>(mut self, result: &Result<T, Problem>) {
        let Some(passage) = self.passage.take() else {
            return;
        };
        let mut breaker = lock(&self.breaker);
        match result {
            Err(problem) if problem.is_the_hosts_trouble() => {
                breaker.failed(passage, Instant::now());
            }
            // It was not asked at all, or not to the end.
            Err(
                Problem::Address(_)
                | Problem::Memory(_)
                | Problem::Deadline(_)
                | Problem::Share { .. }
                | Problem::Waited { .. },
            ) => breaker.abandoned(passage),
            Ok(_) | Err(_) => breaker.succeeded(),
        }
    }
}

impl Drop for Permission {
    fn drop(&mut self) {
        if let Some(passage) = self.passage.take() {
            lock(&self.breaker).abandoned(passage);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overloaded(status: u16) -> Result<(), Problem> {
        Err(Problem::Overloaded {
            status,
            retry_after: None,
        })
    }

    fn share() -> Result<(), Problem> {
        Err(Problem::Share {
            namespace: "flood".to_owned(),
            seconds: 6,
        })
    }

    #[test]
    fn refusals_and_what_is_given_up_here_close_nothing() {
        let traffic = Traffic::new(Box::new(|_, _| {}));
        let refused = || {
            Err(Problem::Forbidden {
                who: "registry",
                status: 401,
                login: true,
            })
        };
        for _ in 0..100 {
            for result in [
                refused(),
                overloaded(429),
                Err(Problem::Address("private".to_owned())),
                Err(Problem::Missing),
                share(),
                Ok(()),
            ] {
                traffic.permission("a").unwrap().close(&result);
            }
            drop(traffic.permission("a").unwrap());
        }
        assert!(traffic.permission("a").is_ok());
    }

    #[test]
    fn what_is_given_up_here_does_not_hide_failures_either() {
        let traffic = Traffic::new(Box::new(|_, _| {}));
        for _ in 0..5 {
            let failed = Err::<(), _>(Problem::Connection("reset".to_owned()));
            traffic.permission("a").unwrap().close(&failed);
            if let Ok(permission) = traffic.permission("a") {
                permission.close(&share());
            }
            drop(traffic.permission("a"));
        }
        let Err(problem) = traffic.permission("a") else {
            panic!("open")
        };
        let text = problem.to_string();
        assert!(text.contains("failed 5 times in a row"), "{text}");
        assert!(traffic.permission("b").is_ok(), "no other host");
    }

    #[test]
    fn hosts_without_trouble_are_not_remembered() {
        let traffic = Traffic::new(Box::new(|_, _| {}));
        for number in 0..10 {
            let host = format!("host-{number}");
            traffic.permission(&host).unwrap().close(&Ok(()));
        }
        traffic.permission("last").unwrap().close(&overloaded(503));
        traffic.permission("last").unwrap().close(&overloaded(503));
        assert_eq!(lock(&traffic.breakers).len(), 1);
    }

    #[tokio::test]
    async fn what_happens_is_told_with_its_host() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let traffic = Traffic::new(Box::new(move |host, event| {
            lock(&tell).push((host.to_owned(), event));
        }));
        let limits = Limits {
            requests_per_second: 1,
            burst: 1,
            ..Limits::default()
        };
        assert!(traffic.wait("a", "shop", limits).await.is_ok());
        tokio::time::timeout(Duration::from_millis(10), async {
            for _ in 0..20 {
                let _ = traffic.wait("a", "shop", limits).await;
            }
        })
        .await
        .unwrap_err();
        for _ in 0..10 {
            let mut waiting = Box::pin(traffic.wait("a", "shop", limits));
            let _ = futures::poll!(&mut waiting);
        }
        let events = std::mem::take(&mut *lock(&told));
        assert_eq!(
            events[0],
            ("a".to_owned(), TrafficEvent::Rate(Duration::ZERO))
        );
        let TrafficEvent::Rate(waited) = events[1].1 else {
            panic!("{events:?}")
        };
        assert!(waited > Duration::from_millis(900), "{waited:?}");
        assert_eq!(events.last().unwrap().1, TrafficEvent::ShareUsedUp);
        for _ in 0..5 {
            traffic.permission("b").unwrap().close(&overloaded(503));
        }
        assert_eq!(traffic.left_alone(), ["b"]);
        assert!(traffic.permission("b").is_err());
        assert_eq!(*lock(&told), [("b".to_owned(), TrafficEvent::LeftAlone)]);
    }
}
