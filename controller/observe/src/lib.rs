//! Reads the world: cluster, workloads, registries; never writes.

pub mod backoff;
pub mod evidence;
pub mod observation;
pub mod registry;
pub mod stores;
pub mod workload;
pub mod workloads;
