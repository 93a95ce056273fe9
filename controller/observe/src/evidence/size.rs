//! How much memory the facts about images take, and how much they may.
//!
//! What one look may read is bounded elsewhere, and ends with it. Facts stay for as long as an image
//! is named, and anybody who may push decides how many they are.

use std::collections::BTreeMap;
use std::io::{self, Write};

use lockmaster_core::facts::{Cause, Unavailable};

use super::entry::Entry;
use super::failures::Trouble;
use super::reader::Key;
use super::running::Ended;
use super::seen::Seen;

/// Bytes of facts about all images. An image with a signature, a provenance, an SBOM and a scan takes
/// 20 to 60 kB, most of it licences and findings: at least a thousand of them.
pub(crate) const IN_ALL: usize = 64 << 20;

/// Bytes of facts that one namespace may have: three eighths, and four hundred images or more.
pub(crate) const PER_NAMESPACE: usize = 24 << 20;

/// What a bundle takes besides its texts.
const PER_BUNDLE: usize = 512;

/// An anchor that was tried, a place, an image of an index: two digests and what is around them.
const PER_NAME: usize = 256;

/// What a text takes besides its characters, halved: JSON has two quotation marks around each.
const PER_QUOTE: usize = 24;

/// Bytes that these facts take, rather too many than too few.
pub(super) fn of(seen: &Seen) -> usize {
    let names = seen.places.len() + seen.form.children().len();
    let bundles = seen.judged.iter().map(|one| {
        let mut counted = Counted(0);
        // It can be written, and what counts takes it all.
        let written = serde_json::to_writer(&mut counted, &one.bundle);
        let texts = written.map_or(usize::MAX, |()| counted.0);
        texts.saturating_add(PER_BUNDLE + one.tried.len() * PER_NAME)
    });
    bundles.fold(names * PER_NAME, usize::saturating_add)
}

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let weigh = |byte: &u8| 1 + PER_QUOTE * usize::from(*byte == b'"');
        self.0 += bytes.iter().map(weigh).sum::<usize>();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes in what a look brought, where there is room for it. Says whether the look is over: where it
/// failed on the account of one namespace, it goes on for the others that wait.
pub(super) fn keep(
    entries: &mut BTreeMap<Key, Entry>,
    key: &Key,
    ended: Ended<'_>,
    mut seen: Result<Seen, Trouble>,
) -> bool {
    let namespace = ended.namespace;
    let mut bytes = None;
    if let (Ok(found), Some(entry)) = (&mut seen, entries.get(key)) {
        entry.complete(found, ended.anchors);
        // What is held already is refused to nobody, and stays on the account that it is on.
        if !entry.holds(found) {
            let needed = of(found);
            match make_room(entries, key, (namespace, needed)) {
                Ok(()) => bytes = Some(needed),
                Err(full) => seen = Err(full.trouble(key, namespace)),
            }
        }
    }
    let Some(entry) = entries.get_mut(key) else {
        return true;
    };
    if let Some(bytes) = bytes {
        entry.hold(namespace, bytes);
    }
    match seen {
        // Whoever follows a namespace that looks by itself has a look of its own.
        Err(Trouble {
            unavailable,
            account: Some(account),
        }) if ended.retry_of.is_none() && ended.waiters.leave(&account) => {
            entry.fail_alone(account, ended, unavailable);
            false
        }
        seen @ (Ok(_) | Err(_)) => {
            entry.finish(ended, seen);
            true
        }
    }
}

/// Lets go of what nobody has asked about for long, the longest first, until there is room for so many
/// bytes of facts about an image, on behalf of a namespace.
fn make_room(
    entries: &mut BTreeMap<Key, Entry>,
    key: &Key,
    (namespace, bytes): (&str, usize),
) -> Result<(), Full> {
    while let Some(full) = full(entries, key, (namespace, bytes)) {
        let counts = |holder: &str| match full {
            Full::Namespace => holder == namespace,
            Full::All => true,
        };
        let unused = entries.iter().filter_map(|(other, entry)| {
            let (holder, _) = entry.held().filter(|_| other != key)?;
            let since = entry.unused_since()?;
            counts(holder).then_some((since, other))
        });
        let Some((_, oldest)) = unused.min_by_key(|(since, _)| *since) else {
            return Err(full);
        };
        let oldest = oldest.clone();
        entries.remove(&oldest);
    }
    Ok(())
}

/// What has no room.
#[derive(Clone, Copy)]
enum Full {
    /// The part of one namespace.
    Namespace,
    /// All there is.
    All,
}

impl Full {
    /// What has no room for a namespace is said to that one, and another may have room for it.
    fn trouble(self, key: &Key, namespace: &str) -> Trouble {
        let (whose, limit, account) = match self {
            Self::Namespace => {
                let whose = "the images of the namespace that asked";
                (whose, PER_NAMESPACE, Some(namespace.to_owned()))
            }
            Self::All => ("all images", IN_ALL, None),
        };
        let message = format!(
            "failed to keep what is attached to {}: what is known of {whose} would take more than {} \
             MiB; end Promotions that are not needed, and attach less",
            key.image,
            limit >> 20
        );
        tracing::warn!(image = %key.image, limit, "no room for what is attached");
        Trouble {
            unavailable: Unavailable {
                cause: Cause::Truncated,
                message,
            },
            account,
        }
    }
}

/// What is full with so many bytes more. What is known of the image now gives way to them.
fn full(
    entries: &BTreeMap<Key, Entry>,
    key: &Key,
    (namespace, bytes): (&str, usize),
) -> Option<Full> {
    let others = entries.iter().filter(|(other, _)| *other != key);
    let held = others.filter_map(|(_, entry)| entry.held());
    let (mut all, mut own) = (bytes, bytes);
    for (holder, held) in held {
        all = all.saturating_add(held);
        if holder == namespace {
            own = own.saturating_add(held);
        }
    }
    if own > PER_NAMESPACE {
        Some(Full::Namespace)
    } else if all > IN_ALL {
        Some(Full::All)
    } else {
        None
    }
}
