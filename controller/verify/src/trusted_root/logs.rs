//! The transparency logs of a trusted root, and whether an entry is of the one that it names.
//!
//! `sigstore-verify` takes a checkpoint that any log of the root has signed, whichever the entry
//! names, and the key of a log that is retired for ever. A log that was retired because its key was
//! stolen would go on vouching. So, beside the library's checks: the log that an entry names signed
//! its checkpoint, and nothing was signed after that log had ended.

use jiff::Timestamp;
use lockmaster_core::release::clip;
use sigstore_types::{Sha256Hash, TransparencyLogEntry};
use sigstore_verify::crypto::Keyring;
use sigstore_verify::trust_root;

/// The logs of one trusted root.
pub(super) struct Logs(Keyring);

impl Logs {
    /// The logs that `root` names; the error says which of them cannot be used.
    pub(super) fn of(root: &trust_root::TrustedRoot) -> Result<Self, String> {
        let keys = root.rekor_keys();
        keys.map(Self).map_err(|error| clip(&error.to_string()))
    }

    /// Whether each of `entries` is of the log that it names, and that log was in use at all
    /// `times`, at which the signature is known to have existed. To be asked of entries that
    /// verified: proofs are not looked at again.
    pub(super) fn own(
        &self,
        entries: &[TransparencyLogEntry],
        times: &[Timestamp],
    ) -> Result<(), String> {
        entries.iter().try_for_each(|entry| self.owns(entry, times))
    }

    fn owns(&self, entry: &TransparencyLogEntry, times: &[Timestamp]) -> Result<(), String> {
        let name = Sha256Hash::try_from(entry.log_id.key_id.as_bytes());
        let named = name.ok().and_then(|id| Some((id, self.0.key(&id)?)));
        let (id, key) =
            named.ok_or("the log entry is of a log that the trusted root does not name")?;
        let checkpoint = entry
            .inclusion_proof
            .as_ref()
            .and_then(|proof| proof.checkpoint.checkpoint());
        let signed = checkpoint.is_none_or(|checkpoint| {
            checkpoint.signatures().iter().any(|signature| {
                key.verify(checkpoint.signed_data(), &signature.signature)
                    .is_ok()
            })
        });
        if !signed {
            return Err("the log that the entry names has not signed its checkpoint".to_owned());
        }
        // A shard opens a little before or after the first signature that it takes is stamped, so
        // only its end is compared.
        let ended = times.iter().any(|time| {
            self.0.key_at(&id, *time).is_none() && self.0.key_started_by(&id, *time).is_some()
        });
        if ended {
            return Err("it was signed after the log that the entry names had ended".to_owned());
        }
        Ok(())
    }
}
