//! The table: formats, keys, mutations.

use std::fmt;

use super::draw;
use super::keys::Kind;
use super::mutation::{self, Mutation};

/// In which form, and by whom, an image is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A bundle with the statement by which cosign 3 signs an image.
    Sign,
    /// A bundle with a SLSA provenance.
    Attestation,
    /// A bundle with a signature over the manifest's bytes.
    Message,
    /// As [`Format::Sign`], made by cosign with keys that it imported.
    CosignSign,
    /// The same with a key of its own, a log entry and a timestamp.
    LoggedSign,
    /// The same by a person with a certificate.
    KeylessSign,
    /// A provenance by a build with a certificate.
    KeylessAttestation,
    /// A signature over the manifest's bytes by a person with a certificate.
    KeylessMessage,
    /// [`Format::KeylessSign`] of 2026-11-24, whose certificate has expired since.
    ExpiredSign,
}

impl Format {
    const ALL: [Self; 9] = [
        Self::Sign,
        Self::Attestation,
        Self::Message,
        Self::CosignSign,
        Self::LoggedSign,
        Self::KeylessSign,
        Self::KeylessAttestation,
        Self::KeylessMessage,
        Self::ExpiredSign,
    ];

    /// Whether it is made here; otherwise cosign made it.
    pub(super) fn is_handmade(self) -> bool {
        match self {
            Self::Sign | Self::Attestation | Self::Message => true,
            Self::CosignSign
            | Self::LoggedSign
            | Self::KeylessSign
            | Self::KeylessAttestation
            | Self::KeylessMessage
            | Self::ExpiredSign => false,
        }
    }

    /// Whether there are keys of several kinds; otherwise there is one of P-256, or a certificate.
    pub(super) fn has_many_keys(self) -> bool {
        self.is_handmade() || self == Self::CosignSign
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sign => "signature",
            Self::Attestation => "attestation",
            Self::Message => "message signature",
            Self::CosignSign => "cosign's signature",
            Self::LoggedSign => "logged signature",
            Self::KeylessSign => "keyless signature",
            Self::KeylessAttestation => "keyless attestation",
            Self::KeylessMessage => "keyless message signature",
            Self::ExpiredSign => "keyless signature of long ago",
        })
    }
}

/// One image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) format: Format,
    pub(super) key: Kind,
    pub(super) mutation: &'static Mutation,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            format,
            key,
            mutation,
        } = self;
        if format.has_many_keys() {
            write!(f, "{format} by {key}, {}", mutation.name)
        } else {
            write!(f, "{format}, {}", mutation.name)
        }
    }
}

/// All of them: each format with each of its mutations. Where the kind of key may make a difference
/// there is a row for each, elsewhere one is drawn.
pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for format in Format::ALL {
        for mutation in mutation::of(format) {
            for key in keys(format, mutation) {
                rows.push(Row {
                    format,
                    key,
                    mutation,
                });
            }
        }
    }
    rows
}

fn keys(format: Format, mutation: &Mutation) -> Vec<Kind> {
    if format == Format::CosignSign {
        return Kind::IMPORTED.to_vec();
    }
    if !format.has_many_keys() {
        return vec![Kind::P256];
    }
    let whatever_else = mutation.name == "none" || format == Format::Sign;
    if mutation.every_key && whatever_else {
        return Kind::ALL.to_vec();
    }
    let drawn = draw::below(Kind::USUAL.len(), &format!("{format}, {}", mutation.name));
    Kind::USUAL.get(drawn).copied().into_iter().collect()
}
