//! Log entries and timestamps: when a signature was made, and that it is known to all.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Change, Mutation, harmful, harmless};
use crate::differential::{draw, json};

const MATERIAL: &str = "/verificationMaterial";
const ENTRIES: &str = "/verificationMaterial/tlogEntries";
const ENTRY: &str = "/verificationMaterial/tlogEntries/0";
const BODY: &str = "/verificationMaterial/tlogEntries/0/canonicalizedBody";
const PROOF: &str = "/verificationMaterial/tlogEntries/0/inclusionProof";
const STAMPS: &str = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps";
const TOKEN: &str =
    "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";

/// Turns over a bit of the signature in the last line of a checkpoint: `— NAME BASE64`, where the
/// first four bytes name the key.
fn spoil_checkpoint(checkpoint: &str) -> anyhow::Result<String> {
    let line = checkpoint.trim_end();
    let (before, signature) = line.rsplit_once(' ').context("no signature line")?;
    let mut bytes = STANDARD.decode(signature)?;
    let last = bytes.last_mut().context("an empty signature")?;
    *last ^= 1;
    Ok(format!("{before} {}\n", STANDARD.encode(bytes)))
}

/// The number of another image's entry; JSON of protobuf leaves out a zero.
fn number_of_another(bundle: &mut Value, another: &Value, object: &str) -> anyhow::Result<()> {
    let number = another.pointer(&format!("{object}/logIndex")).cloned();
    json::set(
        bundle,
        object,
        "logIndex",
        number.unwrap_or_else(|| "0".into()),
    )
}

/// The same of another image's bundle.
fn from_another(bundle: &mut Value, another: &Value, pointer: &str) -> anyhow::Result<()> {
    *json::at(bundle, pointer)? = json::read(another, pointer)?;
    Ok(())
}

/// Whoever signed.
pub(super) const ALL: &[Mutation] = &[
    harmful(
        "log: no entry",
        Change::Bundle(|bundle, _| json::set(bundle, MATERIAL, "tlogEntries", json!([]))),
    ),
    harmful(
        "log: the entry of another image",
        Change::Bundle(|bundle, around| from_another(bundle, around.another, ENTRY)),
    ),
    harmful(
        "log: the entry of another image besides",
        Change::Bundle(|bundle, around| {
            json::push(bundle, ENTRIES, json::read(around.another, ENTRY)?)
        }),
    ),
    harmless(
        "log: the same entry twice",
        Change::Bundle(|bundle, _| json::push(bundle, ENTRIES, json::read(bundle, ENTRY)?)),
    ),
    harmful(
        "log: the body of another image's entry",
        Change::Bundle(|bundle, around| from_another(bundle, around.another, BODY)),
    ),
    harmful(
        "log: a space after the body",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, BODY, |bytes| bytes.push(b' '))),
    ),
    harmful(
        "log: an empty body",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, BODY, Vec::clear)),
    ),
    harmful(
        "log: no proof of inclusion",
        Change::Bundle(|bundle, _| json::remove(bundle, ENTRY, "inclusionProof").map(drop)),
    ),
    harmful(
        "log: the proof of another image's entry",
        Change::Bundle(|bundle, around| from_another(bundle, around.another, PROOF)),
    ),
    harmful(
        "log: a proof without a checkpoint",
        Change::Bundle(|bundle, _| json::remove(bundle, PROOF, "checkpoint").map(drop)),
    ),
    harmful(
        "log: a bit of the checkpoint's signature turned over",
        Change::Bundle(|bundle, _| {
            let place = "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope";
            let spoilt = spoil_checkpoint(&json::text(bundle, place)?)?;
            *json::at(bundle, place)? = spoilt.into();
            Ok(())
        }),
    ),
    harmful(
        "log: a hash more in the proof",
        Change::Bundle(|bundle, _| {
            let place = format!("{PROOF}/hashes");
            let mut hashes = bundle.pointer(&place).cloned().unwrap_or_else(|| json!([]));
            json::push(&mut hashes, "", STANDARD.encode([7; 32]).into())?;
            json::set(bundle, PROOF, "hashes", hashes)
        }),
    ),
    // The next three are said again outside of the signed checkpoint; nobody reads them there.
    harmless(
        "log: a bit of the root hash turned over",
        Change::Bundle(|bundle, around| {
            let place = format!("{PROOF}/rootHash");
            json::change_bytes(bundle, &place, |bytes| draw::flip(bytes, around.row))
        }),
    ),
    harmless(
        "log: a larger tree",
        Change::Bundle(|bundle, _| json::set(bundle, PROOF, "treeSize", "1000000")),
    ),
    harmless(
        "log: proven at another entry's place",
        Change::Bundle(|bundle, around| number_of_another(bundle, around.another, PROOF)),
    ),
    harmful(
        "log: under another entry's number",
        Change::Bundle(|bundle, around| number_of_another(bundle, around.another, ENTRY)),
    ),
    harmful(
        "log: of an unknown log",
        Change::Bundle(|bundle, _| {
            let unknown = STANDARD.encode([7; 32]);
            json::set(bundle, &format!("{ENTRY}/logId"), "keyId", unknown)
        }),
    ),
    harmful(
        "log: an entry that says it is of another kind",
        Change::Bundle(|bundle, _| {
            let kind = json!({"kind": "dsse", "version": "0.0.1"});
            json::set(bundle, ENTRY, "kindVersion", kind)
        }),
    ),
    harmful(
        "log: a promise that nobody signed",
        Change::Bundle(|bundle, _| {
            let promise = json!({"signedEntryTimestamp": STANDARD.encode([7; 70])});
            json::set(bundle, ENTRY, "inclusionPromise", promise)?;
            json::set(bundle, ENTRY, "integratedTime", "1790000000")
        }),
    ),
    harmful(
        "timestamp: that of another image",
        Change::Bundle(|bundle, around| from_another(bundle, around.another, STAMPS)),
    ),
    harmful(
        "timestamp: its last bit turned over",
        Change::Bundle(|bundle, _| {
            json::change_bytes(bundle, TOKEN, |bytes| {
                bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            })
        }),
    ),
    harmful(
        "timestamp: empty",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, TOKEN, Vec::clear)),
    ),
    harmful(
        "timestamp: that of another image besides",
        Change::Bundle(|bundle, around| {
            let other = json::read(around.another, &format!("{STAMPS}/0"))?;
            json::push(bundle, STAMPS, other)
        }),
    ),
    harmless(
        "timestamp: the same twice",
        Change::Bundle(|bundle, _| {
            let same = json::read(bundle, &format!("{STAMPS}/0"))?;
            json::push(bundle, STAMPS, same)
        }),
    ),
];

fn without_timestamp(bundle: &mut Value) -> anyhow::Result<()> {
    json::remove(bundle, MATERIAL, "timestampVerificationData").map(drop)
}

/// Where a key signed, which is trusted at any time.
pub(super) const OF_A_KEY: &[Mutation] = &[harmless(
    "timestamp: none",
    Change::Bundle(|bundle, _| without_timestamp(bundle)),
)];

/// Where a certificate was valid for ten minutes.
pub(super) const OF_A_CERTIFICATE: &[Mutation] = &[
    harmful(
        "timestamp: none",
        Change::Bundle(|bundle, _| without_timestamp(bundle)),
    ),
    harmful(
        "timestamp: none, but the log says a time",
        Change::Bundle(|bundle, _| {
            without_timestamp(bundle)?;
            json::set(bundle, ENTRY, "integratedTime", "1790000000")
        }),
    ),
];
