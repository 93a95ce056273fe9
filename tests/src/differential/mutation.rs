//! What is done to a signed image before both sides are asked about it.

mod bundle;
mod certificate;
mod envelope;
mod proofs;
mod referrer;
mod signature;
mod statement;

use serde_json::Value;

use super::question::{By, Question};
use super::table::Format;

/// One way to treat a signed image.
#[derive(Debug)]
pub(super) struct Mutation {
    pub(super) name: &'static str,
    /// Whether the signature still says what it said: then both should accept, otherwise neither.
    pub(super) harmless: bool,
    /// Whether the kind of key may make a difference, so that each kind has a row.
    pub(super) every_key: bool,
    pub(super) change: Change,
}

/// Where it takes hold.
#[derive(Debug)]
pub(super) enum Change {
    Nothing,
    /// Before signing: what is signed is another text, and signed well.
    Said(fn(&mut Said, &Around<'_>) -> anyhow::Result<()>),
    /// After signing: the bundle as JSON.
    Bundle(fn(&mut Value, &Around<'_>) -> anyhow::Result<()>),
    /// The bytes, and how they are attached.
    Attached(fn(&mut Attached, &Around<'_>) -> anyhow::Result<()>),
    /// Nothing is spoilt: something else is asked.
    Asked(fn(&mut Question, &Around<'_>)),
}

/// What is about to be signed in an envelope.
pub(super) struct Said {
    pub(super) payload_type: String,
    pub(super) text: String,
}

impl Said {
    /// Changes the statement as JSON.
    fn edit(
        &mut self,
        change: impl FnOnce(&mut Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut statement = serde_json::from_str(&self.text)?;
        change(&mut statement)?;
        self.text = statement.to_string();
        Ok(())
    }
}

/// A bundle as it is pushed, and what is pushed beside it.
pub(super) struct Attached {
    pub(super) bytes: Vec<u8>,
    pub(super) layer_type: String,
    pub(super) artifact_type: String,
    /// A second layer of the same referrer.
    pub(super) second_layer: Option<Vec<u8>>,
    /// More referrers, each with this bundle.
    pub(super) beside: Vec<Value>,
}

/// What a change may take from elsewhere.
pub(super) struct Around<'a> {
    /// The name of the row: choices are drawn by it.
    pub(super) row: &'a str,
    /// SHA-256 of the image and of another one, hexadecimal.
    pub(super) digest: &'a str,
    pub(super) other_digest: &'a str,
    /// What the same signer made about the other image, in the same format.
    pub(super) another: &'a Value,
    /// What somebody else made about this image, in the same format.
    pub(super) strangers: &'a Value,
    /// That somebody.
    pub(super) stranger: &'a By,
}

/// Both accept it, whatever else holds.
const fn harmless(name: &'static str, change: Change) -> Mutation {
    Mutation {
        name,
        harmless: true,
        every_key: false,
        change,
    }
}

/// Neither accepts it.
const fn harmful(name: &'static str, change: Change) -> Mutation {
    Mutation {
        name,
        harmless: false,
        every_key: false,
        change,
    }
}

/// The same for each kind of key.
const fn for_every_key(mutation: Mutation) -> Mutation {
    Mutation {
        every_key: true,
        ..mutation
    }
}

/// As it was signed.
const NONE: &[Mutation] = &[for_every_key(harmless("none", Change::Nothing))];

/// What is done to whatever there is.
const WHOLE: &[Mutation] = &[
    for_every_key(harmful(
        "somebody else is asked for",
        Change::Asked(|question, around| question.by = around.stranger.clone()),
    )),
    harmful(
        "all of it copied from another image",
        Change::Bundle(|bundle, around| {
            *bundle = around.another.clone();
            Ok(())
        }),
    ),
    harmful(
        "all of it made by somebody else",
        Change::Bundle(|bundle, around| {
            *bundle = around.strangers.clone();
            Ok(())
        }),
    ),
];

/// The mutations of a format.
pub(super) fn of(format: Format) -> Vec<&'static Mutation> {
    let tables: &[&'static [Mutation]] = match format {
        Format::Sign => &[
            NONE,
            WHOLE,
            signature::ALL,
            statement::ALL,
            envelope::ALL,
            bundle::ALL,
            referrer::BYTES,
            referrer::ALL,
        ],
        Format::Attestation => &[
            NONE,
            WHOLE,
            signature::ALL,
            statement::ALL,
            statement::PROVENANCE,
            envelope::ALL,
            bundle::ALL,
            referrer::BYTES,
            referrer::ALL,
        ],
        Format::Message => &[
            NONE,
            WHOLE,
            signature::ALL,
            signature::MESSAGE,
            bundle::ALL,
            referrer::BYTES,
        ],
        Format::CosignSign => &[NONE],
        Format::LoggedSign => &[
            NONE,
            WHOLE,
            signature::ALL,
            envelope::ALL,
            proofs::ALL,
            proofs::OF_A_KEY,
        ],
        Format::KeylessSign => &[
            NONE,
            WHOLE,
            signature::ALL,
            envelope::ALL,
            proofs::ALL,
            proofs::OF_A_CERTIFICATE,
            certificate::ALL,
            certificate::ASKED,
        ],
        Format::ExpiredSign => &[NONE, proofs::OF_A_CERTIFICATE],
        Format::KeylessAttestation => &[
            NONE,
            WHOLE,
            signature::ALL,
            proofs::ALL,
            proofs::OF_A_CERTIFICATE,
            certificate::ALL,
        ],
        Format::KeylessMessage => &[
            NONE,
            WHOLE,
            signature::ALL,
            signature::MESSAGE,
            proofs::ALL,
            proofs::OF_A_CERTIFICATE,
            certificate::ALL,
        ],
    };
    tables.iter().copied().flatten().collect()
}
