//! Rules in Rego: checked when a policy is read, and asked where they can do no harm.
//!
//! An interpreter cannot be trusted with its own limits: a function that calls itself ends the
//! process it runs in, one call of a builtin can take all its memory, and comparing two values that
//! share their parts takes longer than the universe is old, without a chance to stop it. So nothing
//! here reads Rego in the operator's own process. [`Sandbox`] starts this very program once more,
//! under limits that the kernel keeps, and [`serve`] is what it does then. [`compile`] and
//! [`Rule::evaluate`] are the work itself; `docs/decisions/0003-rules-run-in-a-process-of-their-own.md`
//! says what else was considered.

#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        reason = "a wrong variant should panic with its value"
    )
)]

mod calls;
mod child;
mod job;
mod problem;
mod rule;
mod sandbox;

pub use child::{MEMORY, is_child, serve};
pub use problem::RuleError;
pub use rule::{Rule, compile};
pub use sandbox::Sandbox;
