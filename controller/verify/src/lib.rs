//! Bytes in, evidence out: signatures, statements, provenance and SBOMs. Synchronous, without
//! sockets, without a clock.
//!
//! Everything that arrives here came from a registry and is hostile until a signature over exactly
//! these bytes verifies. [`judge()`] says what a Sigstore bundle holds and under which of the given
//! keys and trusted roots ([`Trust`]) it verifies; whether that satisfies a policy is decided by the gates, from these facts.
//!
//! Read in this order: [`judge()`], `bundle` (the envelope), `legacy` (older formats), `statement` (in-toto) and, by predicate
//! type, `provenance`, `sbom`, `scan`, `vex`, `verdict` and `pipeline` (our own); [`key`] (which
//! public keys are accepted), [`document`] (limits before parsing).

mod bundle;
mod candidate;
pub mod document;
mod judge;
pub mod key;
mod legacy;
mod list;
mod pipeline;
mod predicate;
mod provenance;
mod sbom;
mod scan;
mod statement;
mod trust;
mod trusted_root;
mod verdict;
mod vex;

pub use bundle::{BUNDLE_LIMIT, SBOM_CEILING};
pub use candidate::{Annotations, Candidate, Reading, judged_annotations};
pub use judge::{Detached, Subject, judge, judge_detached};
pub use key::{KeyError, parse_key};
pub use trust::Trust;
pub use trusted_root::{
    PUBLIC_GOOD_ROOT, PUBLIC_STAGING_ROOT, RootError, TRUSTED_ROOT_LIMIT, TrustedRoot,
};
