//! Reads the world: cluster, workloads, registries; never writes.

mod asking;
pub mod backoff;
pub mod evidence;
pub mod memory;
pub mod observation;
pub mod policies;
pub mod pull_secrets;
mod ran;
pub mod records;
pub mod registry;
mod rules;
pub mod stores;
pub mod workload;
pub mod workloads;
