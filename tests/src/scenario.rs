//! What the demo plays and the end-to-end tests assert: the same code, so that neither can drift.
//!
//! Each scenario opens its own shop, does what people would do, and fails with a sentence when
//! anything ends differently than it must.

use std::pin::Pin;
use std::time::Duration;

use crate::bed::Bed;
use crate::cluster::Person;
use crate::progress;
use crate::shop::Shop;

/// A scenario: what it shows, and how it is played.
pub struct Scenario {
    /// Name of the test, and of the shop's namespace: lower case and hyphens.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// Whether the demo plays it; all of them are tests.
    pub in_demo: bool,
    /// Plays it.
    pub play: for<'a> fn(&'a Bed, &'a Show) -> Playing<'a>,
}

/// A scenario being played.
pub type Playing<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send + 'a>>;

/// Tells a watcher what happens; silent in tests.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    /// Whether anybody watches.
    pub aloud: bool,
}

impl Show {
    /// Says what is done next.
    pub fn step(&self, text: &str) {
        if self.aloud {
            progress::line(&format!("  {text}"));
        }
    }

    /// Shows what a person would see: the command as typed and what it prints.
    pub async fn command(&self, shop: &Shop<'_>, person: &Person, arguments: &[&str]) -> anyhow::Result<()> {
        if !self.aloud {
            return Ok(());
        }
        let plugin = arguments.first() == Some(&"promote");
        let output = if plugin {
            shop.plugin_as(person, arguments.get(1..).unwrap_or_default()).await?
        } else {
            shop.kubectl_as(person, arguments).await?
        };
        progress::line(&format!("  $ kubectl {} -n {}", arguments.join(" "), shop.name));
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            progress::line(&format!("    {line}"));
        }
        Ok(())
    }

    /// A pause in which a watcher can read; none in tests.
    pub async fn pause(&self, length: Duration) {
        if self.aloud {
            tokio::time::sleep(length).await;
        }
    }
}

/// Every scenario that runs on a shared bed, in the order of the demo.
#[must_use]
pub fn all() -> Vec<Scenario> {
    Vec::new()
}
