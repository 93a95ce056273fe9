//! What the demo plays and the end-to-end tests assert: the same code, so that neither can drift.
//!
//! Each scenario opens its own shop, does what people would do, and fails with a sentence when
//! anything ends differently than it must.

use std::pin::Pin;

mod checks;
mod crashing;
mod forged;
mod held_apply;
mod killed;
mod outside_window;
mod refused;
mod registry_down;
mod three_environments;

use crate::bed::Bed;
use crate::cluster::{Output, Person};
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
    /// Whether nothing else may run on the bed meanwhile: it stops the operator, or takes away
    /// what all shops rely on.
    pub exclusive: bool,
    /// Plays it.
    pub play: for<'a> fn(&'a Bed, &'a Show) -> Playing<'a>,
}

/// A scenario being played.
pub type Playing<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

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
            progress::say(&format!("  {text}"));
        }
    }

    /// Shows what a person would see: the command as typed and what it prints. Not run at all
    /// where nobody watches.
    pub async fn command(
        &self,
        shop: &Shop<'_>,
        person: &Person,
        arguments: &[&str],
    ) -> anyhow::Result<()> {
        if self.aloud {
            self.run(shop, person, arguments).await?;
        }
        Ok(())
    }

    /// Does what a person would do with kubectl in the shop's namespace, and shows it. A first
    /// argument of `promote` is the plugin. How it ended is the caller's to judge.
    pub async fn run(
        &self,
        shop: &Shop<'_>,
        person: &Person,
        arguments: &[&str],
    ) -> anyhow::Result<Output> {
        let output = match arguments {
            ["promote", rest @ ..] => shop.plugin_as(person, rest).await?,
            all => shop.kubectl_as(person, all).await?,
        };
        if self.aloud {
            let words: Vec<String> = arguments.iter().map(|word| typed(word)).collect();
            let line = format!("kubectl {} -n {}", words.join(" "), shop.name);
            progress::say(&format!("\n  {}$ {line}", person.name));
            for line in output.stderr.lines().chain(output.stdout.lines()) {
                progress::say(&format!("    {line}"));
            }
            progress::say("");
        }
        Ok(output)
    }

    /// Shows how a command was refused whose words would not fit a line.
    pub fn refusal(&self, output: &Output) {
        for line in output.stderr.lines() {
            self.step(&format!("  {line}"));
        }
    }
}

/// A word as one would type it in a shell.
fn typed(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Every scenario, in the order of the demo. Exclusive ones come last.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![
        three_environments::SCENARIO,
        outside_window::SCENARIO,
        refused::SCENARIO,
        crashing::SCENARIO,
        registry_down::SCENARIO,
        forged::SCENARIO,
        held_apply::SCENARIO,
        killed::FORWARD,
        killed::BACK,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_one_would_type_them() {
        assert_eq!(typed("--role"), "--role");
        assert_eq!(typed("checkout-1.0.0@prod"), "checkout-1.0.0@prod");
        assert_eq!(typed("approve;by=alice"), "'approve;by=alice'");
        assert_eq!(typed("it's"), r"'it'\''s'");
        assert_eq!(typed(""), "''");
    }
}
