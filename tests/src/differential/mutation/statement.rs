//! What a statement says: all of it is signed well.

use serde_json::{Value, json};

use super::{Around, Change, Mutation, Said, harmful, harmless};
use crate::differential::json;

/// Replaces the subjects of the statement.
fn subjects(said: &mut Said, subjects: &Value) -> anyhow::Result<()> {
    said.edit(|statement| json::set(statement, "", "subject", subjects.clone()))
}

/// A subject with this SHA-256.
fn subject(digest: &str) -> Value {
    json!({"name": "image", "digest": {"sha256": digest}})
}

/// Puts something after the predicate type.
fn append_to_type(said: &mut Said, more: &str) -> anyhow::Result<()> {
    said.edit(|statement| {
        let named = json::text(statement, "/predicateType")?;
        json::set(statement, "", "predicateType", format!("{named}{more}"))
    })
}

fn many(around: &Around<'_>, count: usize) -> Value {
    let mut all = vec![subject(around.other_digest); count];
    all.push(subject(around.digest));
    all.into()
}

pub(super) const ALL: &[Mutation] = &[
    harmful(
        "subject: digest in upper case",
        Change::Said(|said, around| {
            subjects(said, &json!([subject(&around.digest.to_ascii_uppercase())]))
        }),
    ),
    harmful(
        "subject: digest with a character less",
        Change::Said(|said, around| {
            let cut: String = around.digest.chars().take(63).collect();
            subjects(said, &json!([subject(&cut)]))
        }),
    ),
    harmful(
        "subject: digest with a space before it",
        Change::Said(|said, around| {
            subjects(said, &json!([subject(&format!(" {}", around.digest))]))
        }),
    ),
    harmful(
        "subject: digest with its algorithm before it",
        Change::Said(|said, around| {
            subjects(
                said,
                &json!([subject(&format!("sha256:{}", around.digest))]),
            )
        }),
    ),
    harmful(
        "subject: missing",
        Change::Said(|said, _| said.edit(|all| json::remove(all, "", "subject").map(drop))),
    ),
    harmful(
        "subject: an empty list",
        Change::Said(|said, _| subjects(said, &json!([]))),
    ),
    harmful(
        "subject: its SHA-256 under the name of SHA-512",
        Change::Said(|said, around| {
            subjects(said, &json!([{"digest": {"sha512": around.digest}}]))
        }),
    ),
    harmful(
        "subject: another image",
        Change::Said(|said, around| subjects(said, &json!([subject(around.other_digest)]))),
    ),
    harmless(
        "subject: another image besides",
        Change::Said(|said, around| subjects(said, &many(around, 1))),
    ),
    harmless(
        "subject: 200 others besides",
        Change::Said(|said, around| subjects(said, &many(around, 200))),
    ),
    harmless(
        "subject: 300 others besides",
        Change::Said(|said, around| subjects(said, &many(around, 300))),
    ),
    harmful(
        "statement: of another predicate type",
        Change::Said(|said, _| {
            let other = "https://spdx.dev/Document";
            said.edit(|all| json::set(all, "", "predicateType", other))
        }),
    ),
    harmful(
        "statement: predicate type with a slash more",
        Change::Said(|said, _| append_to_type(said, "/")),
    ),
    harmful(
        "statement: predicate type with a space more",
        Change::Said(|said, _| append_to_type(said, " ")),
    ),
    harmful(
        "statement: without a predicate type",
        Change::Said(|said, _| said.edit(|all| json::remove(all, "", "predicateType").map(drop))),
    ),
    harmless(
        "statement: in-toto 0.1",
        Change::Said(|said, _| {
            let older = "https://in-toto.io/Statement/v0.1";
            said.edit(|all| json::set(all, "", "_type", older))
        }),
    ),
    harmful(
        "statement: of no known in-toto version",
        Change::Said(|said, _| {
            let unknown = "https://in-toto.io/Statement/v9";
            said.edit(|all| json::set(all, "", "_type", unknown))
        }),
    ),
    harmless(
        "statement: a field that nobody knows",
        Change::Said(|said, _| said.edit(|all| json::set(all, "", "unheardOf", true))),
    ),
    harmful(
        "statement: a key given twice",
        Change::Said(|said, _| {
            said.text = said
                .text
                .replacen('{', r#"{"predicateType":"https://other.example","#, 1);
            Ok(())
        }),
    ),
    harmful(
        "statement: a key given twice in the predicate",
        Change::Said(|said, _| {
            said.edit(|all| json::set(all, "/predicate", "twice", json!({"key": 1})))?;
            let twice = r#"{"key":1,"key":2}"#;
            said.text = said.text.replacen(r#"{"key":1}"#, twice, 1);
            Ok(())
        }),
    ),
    harmless(
        "statement: with white space",
        Change::Said(|said, _| {
            said.text = format!("\n{}\n", said.text.replacen(':', " :\t", 1));
            Ok(())
        }),
    ),
    harmful(
        "statement: something after it",
        Change::Said(|said, _| {
            said.text.push_str("{}");
            Ok(())
        }),
    ),
    harmful(
        "statement: no JSON",
        Change::Said(|said, _| {
            "It is fine.".clone_into(&mut said.text);
            Ok(())
        }),
    ),
    harmless(
        "statement: 70 levels deep",
        Change::Said(|said, _| {
            let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
            let deep: Value = serde_json::from_str(&deep)?;
            said.edit(|all| json::set(all, "/predicate", "annotations", deep))
        }),
    ),
    harmful(
        "payload type: signed, and not in-toto's",
        Change::Said(|said, _| {
            "application/json".clone_into(&mut said.payload_type);
            Ok(())
        }),
    ),
];

/// Of a provenance.
pub(super) const PROVENANCE: &[Mutation] = &[
    harmful(
        "provenance: no predicate",
        Change::Said(|said, _| said.edit(|all| json::remove(all, "", "predicate").map(drop))),
    ),
    harmful(
        "provenance: an empty predicate",
        Change::Said(|said, _| said.edit(|all| json::set(all, "", "predicate", json!({})))),
    ),
    harmful(
        "provenance: a list for a predicate",
        Change::Said(|said, _| said.edit(|all| json::set(all, "", "predicate", json!([])))),
    ),
    harmful(
        "provenance: of another commit",
        Change::Said(|said, _| {
            let place = "/predicate/buildDefinition/resolvedDependencies/0/digest";
            said.edit(|all| json::set(all, place, "gitCommit", "1".repeat(40)))
        }),
    ),
    harmful(
        "provenance: by another builder",
        Change::Said(|said, _| {
            let place = "/predicate/runDetails/builder";
            said.edit(|all| json::set(all, place, "id", "https://elsewhere.example"))
        }),
    ),
];
