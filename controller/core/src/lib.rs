//! Decides: from what was seen to at most one change, without clock, network or Kubernetes client.
//!
//! Reading order: [`release`], [`environment`] and [`promotion`] (the nouns), [`facts`] (what was
//! seen), [`gate`] and [`gates`] (the questions), [`decide`](mod@decide) and [`decision`] (the
//! answer), [`status`], [`report`] and [`record`] (what is said and kept of it).

#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        clippy::too_many_lines,
        clippy::semicolon_if_nothing_returned,
        clippy::needless_pass_by_value,
        clippy::collapsible_if,
        dead_code,
        reason = "tables of cases are long, and a wrong variant should panic with its value"
    )
)]

pub mod approval;
pub mod canonical;
pub mod case;
pub mod decide;
pub mod decision;
pub mod environment;
pub mod evidence;
pub mod facts;
pub mod gate;
pub mod gates;
pub mod pattern;
pub mod plan;
pub mod policy;
pub mod promotion;
pub mod reason;
pub mod record;
pub mod release;
pub mod report;
pub mod revocation;
pub mod rules;
pub mod snapshot;
pub mod standing;
pub mod status;
pub mod time;
pub mod window;

// The fixtures are shared with the tests of the workspace, which see this crate from outside.
#[cfg(test)]
extern crate self as lockmaster_core;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod one_character;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod world;
