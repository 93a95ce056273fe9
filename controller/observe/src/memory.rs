//! All that may take memory at once, in one place.
//!
//! The chart gives the operator what this comes to: what registries send, what people create and what
//! rules do must not end it. A test compares the sum with the chart's limit.

use lockmaster_core::rules::LOOK_LIMIT;

use crate::asking::ASKING;
use crate::evidence::{self, size};
use crate::registry::{BUNDLE_BYTES, CACHE_BYTES, Limits, READING_BYTES};

/// What takes memory, and how many bytes at most. The operator and the child that asks rules have one
/// limit between them.
pub const PARTS: [(&str, usize); 8] = [
    // `e2e::memory` measures it after 200 promotions.
    ("the operator itself, with its watch caches", 40 << 20),
    ("manifests and bundles that are kept", CACHE_BYTES),
    ("what is being read and judged", READING_BYTES),
    // What it holds, decoded, and once more as its signature is over it.
    (
        "two copies of each bundle that is being judged",
        2 * evidence::JUDGED_AT_A_TIME * BUNDLE_BYTES,
    ),
    ("facts about images", size::IN_ALL),
    // Passes with the same policies share them.
    ("the same facts as passes see them", size::IN_ALL),
    // They are shared texts; for the child they are copied, and copied again as JSON in JSON.
    ("questions for rules", (ASKING + 3) * LOOK_LIMIT),
    ("the child that asks rules", lockmaster_rego::MEMORY),
];

/// The sum, in bytes, for registries with the usual limits.
#[must_use]
pub fn needed() -> usize {
    PARTS.iter().map(|(_, bytes)| bytes).sum()
}

/// What is needed besides where the registry that allows the longest bills of materials has these
/// limits, in bytes: more is read at a time, and two copies are longer.
#[must_use]
pub fn needed_besides(limits: &Limits) -> usize {
    let longer = limits.sbom_bytes().saturating_sub(BUNDLE_BYTES);
    let more = limits.reading_bytes().saturating_sub(READING_BYTES);
    more + 2 * evidence::JUDGED_AT_A_TIME * longer
}
