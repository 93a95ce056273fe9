//! Judges real bytes: every key, signature and bundle here is made in the test, or by cosign.

#[cfg(test)]
mod bundles;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod legacy;
#[cfg(test)]
mod legacy_bugs;
#[cfg(test)]
mod predicates;
#[cfg(test)]
mod real;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod sigstore;
