//! A few hundred signed images, and whether Lockmaster's verdict of each is cosign's.
//!
//! The table is formats, keys and mutations, the same in every run. Both sides read the same registry;
//! each verdict must be the one that is foretold, so that every disagreement is explained, and none
//! that is explained has gone unnoticed.

mod cosign;
mod departures;
mod draw;
mod json;
mod keys;
mod mutation;
mod ours;
mod question;
mod signed;
mod store;
mod table;

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Context as _;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::image::Image;
use crate::progress;
use crate::registry::Registry;
use crate::tools::Tools;
use cosign::Cosign;
use departures::{Departure, Side};
use keys::Keys;
use mutation::{Around, Attached, Change};
use ours::Lockmaster;
use question::{Question, Wanted};
use signed::{Handmade, Signatures, Signed};
use store::{BUNDLE, Place, sha256};
use table::{Format, Row};

/// cosign processes at a time.
const PROCESSES: usize = 4;
/// Images pushed at a time.
const PUSHES: usize = 8;

/// The source, and its builder, as provenance and the Release name them.
const REPOSITORY: &str = "acme/checkout";
const SOURCE: &str = "https://github.com/acme/checkout";
const COMMIT: &str = "3c1e9f2a3c1e9f2a3c1e9f2a3c1e9f2a3c1e9f2a";
const VERSION: &str = "1.42.0";
const BUILDER: &str = "https://ci.example/runners/shop";

/// A verdict, and how it is put.
#[derive(Debug, Clone)]
struct Answer {
    accepted: bool,
    says: String,
}

/// What came out.
#[derive(Debug)]
pub struct Report {
    /// Images judged.
    pub images: usize,
    /// Those that both accept.
    pub accepted: usize,
    /// Those that neither accepts.
    pub refused: usize,
    /// Those that one of the two accepts, foretold.
    pub explained: usize,
    /// Explanations that were needed.
    pub explanations: usize,
    /// Verdicts that are not as foretold, and explanations that explain nothing; each with all
    /// that is known of it.
    pub problems: Vec<String>,
}

/// Makes the images and asks both sides.
pub async fn run(tools: &Tools) -> anyhow::Result<Report> {
    let registry = Registry::with_referrers(tools).await?;
    let host = registry.direct_address()?;
    let directory = tempfile::tempdir().context("failed to make a directory")?;
    let rows = table::rows();
    progress::line(&format!("signing and spoiling {} images", rows.len()));
    let keys = Keys::generate(directory.path())?;
    let signatures = Signatures::make(tools, &host, directory.path(), &keys).await?;
    let sources = Sources {
        keys: &keys,
        signatures: &signatures,
        host: &host,
    };
    let posed: Vec<Posed> = stream::iter(rows.iter().enumerate())
        .map(|(number, row)| sources.pose(number, row))
        .buffered(PUSHES)
        .try_collect()
        .await?;
    progress::line("asking Lockmaster");
    let questions: Vec<(Question, Image)> = posed
        .iter()
        .map(|posed| (posed.question.clone(), posed.image.clone()))
        .collect();
    let ours = Lockmaster::new(&host)?.ask(&questions).await?;
    progress::line("asking cosign");
    let cosign = Cosign::new(tools, directory.path());
    let theirs: Vec<Answer> = stream::iter(&posed)
        .map(|posed| {
            cosign.ask(
                &posed.question,
                &posed.image,
                &posed.manifest,
                &posed.bundle,
            )
        })
        .buffered(PROCESSES)
        .try_collect()
        .await?;
    Ok(compare(&rows, &ours, &theirs))
}

/// What rows are made of.
struct Sources<'a> {
    keys: &'a Keys,
    signatures: &'a Signatures,
    host: &'a str,
}

/// An image in the registry, and what is asked about it.
struct Posed {
    image: Image,
    manifest: Vec<u8>,
    bundle: Vec<u8>,
    question: Question,
}

impl Sources<'_> {
    /// Signs, spoils and pushes the image of a row.
    async fn pose(&self, number: usize, row: &Row) -> anyhow::Result<Posed> {
        let made = self.make(row).with_context(|| row.to_string())?;
        let (manifest, attached, question) = made;
        let bundle = attached.bytes.clone();
        let path = format!("row/{number}");
        let place = Place::push(self.host, &path, &manifest).await?;
        place.attach(attached).await?;
        Ok(Posed {
            image: place.image,
            manifest,
            bundle,
            question,
        })
    }

    fn make(&self, row: &Row) -> anyhow::Result<(Vec<u8>, Attached, Question)> {
        let name = row.to_string();
        let (signed, root) = if row.format.is_handmade() {
            let signed = Handmade::new(row, self.keys)?.sign(|said, signed| {
                let digest = digest(&signed.manifest);
                match row.mutation.change {
                    Change::Said(change) => change(said, &around(&name, &digest, signed)),
                    Change::Nothing
                    | Change::Bundle(_)
                    | Change::Attached(_)
                    | Change::Asked(_) => Ok(()),
                }
            })?;
            (signed, None)
        } else {
            let (signed, root) = self.signatures.of(row)?;
            (signed.clone(), root.cloned())
        };
        let digest = digest(&signed.manifest);
        let around = around(&name, &digest, &signed);
        let mut bundle = signed.bundle.clone();
        if let Change::Bundle(change) = row.mutation.change {
            change(&mut bundle, &around)?;
        }
        let mut attached = Attached {
            bytes: bundle.to_string().into_bytes(),
            layer_type: BUNDLE.to_owned(),
            artifact_type: BUNDLE.to_owned(),
            second_layer: None,
            beside: Vec::new(),
        };
        if let Change::Attached(change) = row.mutation.change {
            change(&mut attached, &around)?;
        }
        let mut question = Question {
            of: wanted(row.format),
            by: signed.signer.clone(),
            root,
        };
        if let Change::Asked(change) = row.mutation.change {
            change(&mut question, &around);
        }
        Ok((signed.manifest.clone(), attached, question))
    }
}

fn around<'a>(row: &'a str, digest: &'a str, signed: &'a Signed) -> Around<'a> {
    Around {
        row,
        digest,
        other_digest: &signed.other_digest,
        another: &signed.another,
        strangers: &signed.strangers,
        stranger: &signed.stranger,
    }
}

fn digest(manifest: &[u8]) -> String {
    sha256(manifest).trim_start_matches("sha256:").to_owned()
}

fn wanted(format: Format) -> Wanted {
    match format {
        Format::Sign
        | Format::CosignSign
        | Format::LoggedSign
        | Format::KeylessSign
        | Format::ExpiredSign => Wanted::Signature,
        Format::Attestation | Format::KeylessAttestation => Wanted::Provenance,
        Format::Message | Format::KeylessMessage => Wanted::Message,
    }
}

fn compare(rows: &[Row], ours: &[Answer], theirs: &[Answer]) -> Report {
    let mut report = Report {
        images: rows.len(),
        accepted: 0,
        refused: 0,
        explained: 0,
        explanations: 0,
        problems: Vec::new(),
    };
    let mut needed: BTreeSet<&'static str> = BTreeSet::new();
    for ((row, ours), theirs) in rows.iter().zip(ours).zip(theirs) {
        let sides = [(Side::Lockmaster, ours), (Side::Cosign, theirs)];
        let foretold = sides.map(|(side, answer)| {
            let (accepts, departure) = departures::foretell(side, row);
            let because = departure.map(|departure: &Departure| departure.because);
            needed.extend(because);
            (side, answer.accepted == accepts, because)
        });
        let wrong: Vec<_> = foretold.iter().filter(|(_, right, _)| !right).collect();
        for (side, _, because) in &wrong {
            let expected = because.map_or_else(String::new, |text| format!(" ({text})"));
            report.problems.push(format!(
                "{row}: {side:?} is not as foretold{expected}\n    Lockmaster {}\n    cosign {}",
                show(ours),
                show(theirs)
            ));
        }
        match (wrong.is_empty(), ours.accepted, theirs.accepted) {
            (false, _, _) => {}
            (true, true, true) => report.accepted += 1,
            (true, false, false) => report.refused += 1,
            (true, true, false) | (true, false, true) => report.explained += 1,
        }
    }
    report.explanations = needed.len();
    for side in [Side::Lockmaster, Side::Cosign] {
        let idle = departures::of(side).iter();
        let idle = idle.filter(|one| !needed.contains(one.because));
        let idle = idle.map(|one| format!("explains nothing any more: {side:?}, {}", one.because));
        report.problems.extend(idle);
    }
    report
}

fn show(answer: &Answer) -> String {
    let verdict = if answer.accepted {
        "accepts"
    } else {
        "refuses"
    };
    format!("{verdict}: {}", answer.says)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            images,
            accepted,
            refused,
            explained,
            explanations,
            problems,
        } = self;
        write!(
            f,
            "{images} images: {} agreements ({accepted} accepted, {refused} refused by both), \
             {explained} disagreements explained by {explanations} reasons, {} problems",
            accepted + refused,
            problems.len()
        )
    }
}
