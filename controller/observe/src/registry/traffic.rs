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

/// Hosts of one process.
#[derive(Default)]
pub(super) struct Traffic {
    breakers: Mutex<BTreeMap<String, Arc<Mutex<Breaker>>>>,
    buckets: Mutex<BTreeMap<String, Buckets>>,
}

/// A request that may be sent; dropped without a word, it was given up.
pub(super) struct Permission {
    breaker: Arc<Mutex<Breaker>>,
    passage: Option<Passage>,
}

impl Traffic {
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
            }) => Err(Problem::LeftAlone {
                failures,
                seconds: remaining.as_secs() + 1,
            }),
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
            Err(Problem::Address(_) | Problem::Memory(_) | Problem::Deadline(_)) => {
                breaker.abandoned(passage);
            }
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

    #[test]
    fn refusals_and_what_is_given_up_here_close_nothing() {
        let traffic = Traffic::default();
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
        let traffic = Traffic::default();
        for _ in 0..5 {
            let failed = Err::<(), _>(Problem::Connection("reset".to_owned()));
            traffic.permission("a").unwrap().close(&failed);
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
        let traffic = Traffic::default();
        for number in 0..10 {
            let host = format!("host-{number}");
            traffic.permission(&host).unwrap().close(&Ok(()));
        }
        traffic.permission("last").unwrap().close(&overloaded(503));
        traffic.permission("last").unwrap().close(&overloaded(503));
        assert_eq!(lock(&traffic.breakers).len(), 1);
    }
}
