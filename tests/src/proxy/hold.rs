//! Holding one request or reply until a test lets it go.

use tokio::sync::watch;

use super::Exchange;

/// Where an exchange is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the server sees the request.
    Request,
    /// After the server has replied, before the client sees it.
    Reply,
}

/// Which exchanges a hold is about.
pub(super) type Wanted = Box<dyn Fn(&Exchange) -> bool + Send>;

/// A request or reply that is, or will be, held back. Dropping it lets everything pass.
#[derive(Debug)]
pub struct Hold {
    reached: watch::Receiver<Option<Exchange>>,
    released: watch::Sender<bool>,
}

impl Hold {
    /// Waits until something is held, and tells what.
    ///
    /// # Errors
    /// When the proxy ends before that.
    pub async fn reached(&self) -> anyhow::Result<Exchange> {
        let mut reached = self.reached.clone();
        let held = reached.wait_for(Option::is_some).await;
        let held = held.map_err(|_| anyhow::anyhow!("the proxy ended before anything was held"))?;
        held.clone()
            .ok_or_else(|| anyhow::anyhow!("nothing is held"))
    }

    /// Whether something is held or was held.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.reached.borrow().is_some()
    }

    /// Lets it pass.
    pub fn release(&self) {
        self.released.send_replace(true);
    }
}

/// The other end of a [`Hold`], for the task that is held.
#[derive(Debug)]
pub(super) struct Held {
    reached: watch::Sender<Option<Exchange>>,
    released: watch::Receiver<bool>,
}

impl Held {
    /// Tells the test, then waits for the release (or for the [`Hold`] to be dropped).
    pub(super) async fn wait(mut self, exchange: Exchange) {
        self.reached.send_replace(Some(exchange));
        let _ = self.released.wait_for(|released| *released).await;
    }
}

/// The holds that wait for their exchange.
#[derive(Default)]
pub(super) struct Holds {
    rules: Vec<Rule>,
}

struct Rule {
    moment: Moment,
    /// How many matching exchanges are left, the held one included.
    remaining: usize,
    wanted: Wanted,
    held: Held,
}

impl Holds {
    /// Holds the `nth` matching exchange.
    pub(super) fn add(&mut self, moment: Moment, nth: usize, wanted: Wanted) -> Hold {
        let (reached, reached_receiver) = watch::channel(None);
        let (released, released_receiver) = watch::channel(false);
        let held = Held {
            reached,
            released: released_receiver,
        };
        self.rules.push(Rule {
            moment,
            remaining: nth.max(1),
            wanted,
            held,
        });
        Hold {
            reached: reached_receiver,
            released,
        }
    }

    /// The hold for this exchange, if it is the one that a rule waits for.
    pub(super) fn take(&mut self, moment: Moment, exchange: &Exchange) -> Option<Held> {
        // A released or dropped hold waits for nothing any more.
        self.rules.retain(|rule| {
            rule.held.released.has_changed().is_ok() && !*rule.held.released.borrow()
        });
        let mut due = None;
        for (index, rule) in self.rules.iter_mut().enumerate() {
            if rule.moment == moment && (rule.wanted)(exchange) {
                rule.remaining -= 1;
                if rule.remaining == 0 {
                    due = Some(index);
                    break;
                }
            }
        }
        due.map(|index| self.rules.remove(index).held)
    }
}
