//! What the bundles of one image cost by themselves: read and verified in this process, nothing
//! fetched and nothing decided.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lockmaster_core::evidence::Anchor;
use lockmaster_core::release::Digest;
use lockmaster_verify::{Subject, Trust, judge, parse_key};

use crate::handmade::Key;

/// Judged often enough that the median is not that of the first.
const TIMES: usize = 201;

/// Median time to judge all of `bundles`, on one thread.
pub(super) fn time(key: &Key, bundles: &[Vec<u8>]) -> anyhow::Result<Duration> {
    let trust = Trust::new(&[Anchor::of_key(parse_key(&key.pem)?)]);
    // Attestations name their subjects themselves: whose manifest it is costs nothing.
    let manifest = b"{}";
    let digest = Digest::of(manifest);
    let subject = Subject::new(&digest, manifest).context("it hashes to its digest")?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let start = Instant::now();
        for bundle in bundles {
            let judged = judge(&subject, bundle, &trust);
            ensure!(!judged.verified_by.is_empty(), "{judged:?}");
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let middle = times.get(TIMES / 2).copied();
    middle.context("nothing was measured")
}
