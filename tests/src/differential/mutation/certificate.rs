//! The certificate of a signature without a key of its own, and whom it must name.

use serde_json::{Value, json};

use super::{Change, Mutation, harmful};
use crate::differential::json;
use crate::differential::question::{By, Question};

const MATERIAL: &str = "/verificationMaterial";
const RAW: &str = "/verificationMaterial/certificate/rawBytes";

fn other(bundle: &mut Value, from: &Value) -> anyhow::Result<()> {
    *json::at(bundle, RAW)? = json::read(from, RAW)?;
    Ok(())
}

/// Of the bundle.
pub(super) const ALL: &[Mutation] = &[
    harmful(
        "certificate: another of the same signer",
        Change::Bundle(|bundle, around| other(bundle, around.another)),
    ),
    harmful(
        "certificate: somebody else's",
        Change::Bundle(|bundle, around| other(bundle, around.strangers)),
    ),
    harmful(
        "certificate: its last bit turned over",
        Change::Bundle(|bundle, _| {
            json::change_bytes(bundle, RAW, |bytes| {
                bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
            })
        }),
    ),
    harmful(
        "certificate: a byte more",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, RAW, |bytes| bytes.push(0))),
    ),
    harmful(
        "certificate: empty",
        Change::Bundle(|bundle, _| json::change_bytes(bundle, RAW, Vec::clear)),
    ),
    harmful(
        "certificate: the name of a key instead",
        Change::Bundle(|bundle, _| {
            json::remove(bundle, MATERIAL, "certificate")?;
            json::set(bundle, MATERIAL, "publicKey", json!({"hint": "whose"}))
        }),
    ),
    harmful(
        "certificate: in a chain, as versions before 0.3 had it",
        Change::Bundle(|bundle, _| {
            let certificate = json::remove(bundle, MATERIAL, "certificate")?;
            let chain = json!({"certificates": [certificate]});
            json::set(bundle, MATERIAL, "x509CertificateChain", chain)
        }),
    ),
];

fn ask_for(question: &mut Question, change: impl FnOnce(&mut String, &mut String)) {
    if let By::Identity { subject, issuer } = &mut question.by {
        change(subject, issuer);
    }
}

/// Of the question: in one character another name.
pub(super) const ASKED: &[Mutation] = &[
    harmful(
        "asked for: a name with a letter more",
        Change::Asked(|question, _| ask_for(question, |subject, _| subject.push('x'))),
    ),
    harmful(
        "asked for: a name with a letter less",
        Change::Asked(|question, _| {
            ask_for(question, |subject, _| {
                subject.remove(0);
            });
        }),
    ),
    harmful(
        "asked for: a name in upper case",
        Change::Asked(|question, _| ask_for(question, |subject, _| subject.make_ascii_uppercase())),
    ),
    harmful(
        "asked for: an issuer with a slash more",
        Change::Asked(|question, _| ask_for(question, |_, issuer| issuer.push('/'))),
    ),
    harmful(
        "asked for: an issuer with a letter less",
        Change::Asked(|question, _| {
            ask_for(question, |_, issuer| {
                issuer.pop();
            });
        }),
    ),
];
