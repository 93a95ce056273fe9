//! How long to wait before an image is read again.

use std::time::Duration;

use lockmaster_core::release::Digest;

/// The delays of looks that are planned one after the other.
#[derive(Default)]
pub(super) struct Delay {
    last: Option<Duration>,
    before: Option<Duration>,
}

impl Delay {
    /// The next one: twice the last one, up to the longest, and up to an eighth more, so that images
    /// that became known together are not read together for ever.
    pub(super) fn next(&mut self, (first, most): (Duration, Duration), image: &Digest) -> Duration {
        self.before = self.last;
        let delay = self.last.map_or(first, |last| (last * 2).min(most));
        self.last = Some(delay);
        let spread = image
            .hexadecimal()
            .get(..2)
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        delay + delay / 8 * spread.unwrap_or(0) / 255
    }

    /// Takes the last one back, and gives it to who goes on by itself.
    pub(super) fn hand_over(&mut self) -> Self {
        let last = std::mem::replace(&mut self.last, self.before);
        Self {
            last,
            before: self.before,
        }
    }
}
