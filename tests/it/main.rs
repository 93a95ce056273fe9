//! Tests of what belongs to no single crate, without a cluster: one module for each subject.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod crds;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod examples;
#[cfg(test)]
#[expect(
    dead_code,
    reason = "shared with the unit tests of the core, which use all of it"
)]
#[path = "../../controller/core/src/fixtures.rs"]
mod fixtures;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod past_bugs;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod repository;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tenancy;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod values;
