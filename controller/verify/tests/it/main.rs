//! Judges real bytes: every key, signature and bundle here is made in the test, or by cosign.

#[cfg(test)]
mod bundles;
#[cfg(test)]
mod changing;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keyless;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod legacy;
#[cfg(test)]
mod legacy_bugs;
#[cfg(test)]
mod log;
#[cfg(test)]
mod mutations;
#[cfg(test)]
mod past_bugs;
#[cfg(test)]
mod predicates;
#[cfg(test)]
mod provenance;
#[cfg(test)]
mod real;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod scans;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod sigstore;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod vex;
