//! Choices that look random and are the same in every run.

use sha2::{Digest as _, Sha256};

const SEED: &str = "differential 1";

/// A number below `limit`, the same for the same `what`; 0 when there is no such number.
pub(super) fn below(limit: usize, what: &str) -> usize {
    let hash = Sha256::digest(format!("{SEED}: {what}"));
    let number = hash
        .iter()
        .take(4)
        .fold(0_usize, |number, byte| (number << 8) | usize::from(*byte));
    number.checked_rem(limit).unwrap_or_default()
}

/// The same bytes with one bit turned over.
pub(super) fn flip(bytes: &mut [u8], what: &str) {
    let (at, bit) = (below(bytes.len(), what), below(8, &format!("{what}, bit")));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}
