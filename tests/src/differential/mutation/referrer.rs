//! The bytes of a bundle, and the manifest by which they are attached to the image.

use super::{Change, Mutation, harmful, harmless};

/// Of the bytes, wherever they lie.
pub(super) const BYTES: &[Mutation] = &[
    harmful(
        "bytes: the first half alone",
        Change::Attached(|attached, _| {
            attached.bytes.truncate(attached.bytes.len() / 2);
            Ok(())
        }),
    ),
    harmful(
        "bytes: none",
        Change::Attached(|attached, _| {
            attached.bytes.clear();
            Ok(())
        }),
    ),
    harmless(
        "bytes: white space around",
        Change::Attached(|attached, _| {
            attached.bytes.splice(0..0, *b"\n ");
            attached.bytes.extend(*b"\r\n\t");
            Ok(())
        }),
    ),
    harmful(
        "bytes: something after the end",
        Change::Attached(|attached, _| {
            attached.bytes.extend(*b"{}");
            Ok(())
        }),
    ),
    harmful(
        "bytes: a byte order mark before",
        Change::Attached(|attached, _| {
            attached.bytes.splice(0..0, *b"\xef\xbb\xbf");
            Ok(())
        }),
    ),
    harmful(
        "bytes: a key given twice",
        Change::Attached(|attached, _| {
            let twice = br#"{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","#;
            attached.bytes.splice(0..1, *twice);
            Ok(())
        }),
    ),
    harmful(
        "bytes: no UTF-8",
        Change::Attached(|attached, _| {
            attached.bytes.splice(0..1, *b"{\"\xff\":1,");
            Ok(())
        }),
    ),
];

/// Of the referrer.
pub(super) const ALL: &[Mutation] = &[
    harmful(
        "referrer: a layer of another media type",
        Change::Attached(|attached, _| {
            "application/json".clone_into(&mut attached.layer_type);
            Ok(())
        }),
    ),
    harmless(
        "referrer: a layer that says version 0.2 of a bundle of 0.3",
        Change::Attached(|attached, _| {
            let older = "application/vnd.dev.sigstore.bundle+json;version=0.2";
            older.clone_into(&mut attached.layer_type);
            Ok(())
        }),
    ),
    harmless(
        "referrer: another artifact type",
        Change::Attached(|attached, _| {
            let other = "application/vnd.oci.empty.v1+json";
            other.clone_into(&mut attached.artifact_type);
            Ok(())
        }),
    ),
    harmless(
        "referrer: two layers",
        Change::Attached(|attached, around| {
            attached.second_layer = Some(around.another.to_string().into_bytes());
            Ok(())
        }),
    ),
    harmless(
        "referrer: a bundle of another image besides",
        Change::Attached(|attached, around| {
            attached.beside.push(around.another.clone());
            Ok(())
        }),
    ),
    harmless(
        "referrer: somebody else's bundle besides",
        Change::Attached(|attached, around| {
            attached.beside.push(around.strangers.clone());
            Ok(())
        }),
    ),
    harmless(
        "referrer: something that is no bundle besides",
        Change::Attached(|attached, _| {
            attached.beside.push("no bundle".into());
            Ok(())
        }),
    ),
];
