//! OpenVEX documents of version 0.2.0: <https://github.com/openvex/spec>.
//!
//! Unknown fields of statements and products are refused: older versions put products and packages
//! elsewhere, and what is not read could narrow what is.

use lockmaster_core::evidence::{
    OPENVEX, OPENVEX_V0_2_0, Vex, VexProduct, VexStatement, VexStatus,
};
use lockmaster_core::release::clip;
use lockmaster_core::time::Instant;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::list::Capped;
use crate::predicate::{bounded, instant, nullable, read as read_json, short};

/// Statements of one document that are read: it is about one artifact.
const STATEMENT_LIMIT: usize = 512;

/// Names, products and parts of one statement.
const LIST_LIMIT: usize = 64;

/// Longest document: all statements with a kilobyte each, and as much again.
const DOCUMENT_LIMIT: usize = 1 << 20;

/// Names of products and parts in one document. Each is compared with each finding of a scan.
const COMPARED_LIMIT: usize = 4096;

/// Longest name of a vulnerability, a product or a part.
const NAME_LIMIT: usize = 1024;

/// Why something may be not affected, from the specification.
const JUSTIFICATIONS: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];

type List<T> = Capped<T, LIST_LIMIT>;

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@context")]
    context: String,
    author: String,
    timestamp: String,
    last_updated: Option<String>,
    statements: Capped<Statement, STATEMENT_LIMIT>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "@id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "version")]
    _version: Option<IgnoredAny>,
    vulnerability: Vulnerability,
    timestamp: Option<String>,
    last_updated: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    products: List<Product>,
    status: VexStatus,
    #[serde(rename = "supplier")]
    _supplier: Option<IgnoredAny>,
    #[serde(rename = "status_notes")]
    _status_notes: Option<IgnoredAny>,
    justification: Option<String>,
    #[serde(rename = "impact_statement")]
    _impact: Option<IgnoredAny>,
    #[serde(rename = "action_statement")]
    _action: Option<IgnoredAny>,
    #[serde(rename = "action_statement_timestamp")]
    _action_time: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Vulnerability {
    #[serde(rename = "@id")]
    id: Option<String>,
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    aliases: List<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    #[serde(rename = "@id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    identifiers: Identifiers,
    #[serde(default, deserialize_with = "nullable")]
    hashes: Hashes,
    #[serde(default, deserialize_with = "nullable")]
    subcomponents: List<Part>,
    #[serde(rename = "supplier")]
    _supplier: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(rename = "@id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    identifiers: Identifiers,
    #[serde(rename = "hashes")]
    _hashes: Option<IgnoredAny>,
    #[serde(rename = "supplier")]
    _supplier: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Identifiers {
    purl: Option<String>,
}

#[derive(Default, Deserialize)]
struct Hashes {
    #[serde(rename = "sha-256")]
    sha256: Option<String>,
}

/// Reads a document of `predicate_type`; the error is the problem in words.
pub(crate) fn read(predicate_type: &str, text: &str) -> Result<Vex, String> {
    let Document {
        context,
        author,
        timestamp,
        last_updated,
        statements,
    } = read_json(
        "OpenVEX document",
        short("OpenVEX document", text, DOCUMENT_LIMIT)?,
    )?;
    let known = [OPENVEX, OPENVEX_V0_2_0].contains(&context.as_str());
    let announced = predicate_type == OPENVEX || context == predicate_type;
    if !known || !announced {
        return Err(format!(
            "\"{}\" is not the context of OpenVEX 0.2.0",
            clip(&context)
        ));
    }
    if statements.count() == 0 {
        return Err("the OpenVEX document has no statement".to_owned());
    }
    let issued = instant("the document's timestamp", &timestamp)?;
    let time = time(last_updated.as_deref(), None, issued)?;
    let statements = in_one_place(statements.all("statements"))?.into_iter();
    let statements: Result<Vec<_>, String> = statements
        .map(|statement| read_statement(statement, time))
        .collect();
    let statements = statements?;
    few_to_compare(&statements)?;
    Ok(Vex {
        predicate_type: predicate_type.to_owned(),
        author: clip(&author),
        statements,
    })
}

fn few_to_compare(statements: &[VexStatement]) -> Result<(), String> {
    let products = statements.iter().flat_map(|statement| &statement.products);
    let compared: usize = products
        .map(|product| product.names.len() + product.parts.len())
        .sum();
    if compared > COMPARED_LIMIT {
        return Err(format!(
            "the OpenVEX document names {compared} products and parts, the limit is \
             {COMPARED_LIMIT}"
        ));
    }
    Ok(())
}

/// What was changed counts from then on; what names no time inherits it.
fn time(
    updated: Option<&str>,
    issued: Option<&str>,
    inherited: Instant,
) -> Result<Instant, String> {
    let stated = updated.or(issued);
    stated.map_or(Ok(inherited), |text| instant("a statement's time", text))
}

fn read_statement(statement: Statement, inherited: Instant) -> Result<VexStatement, String> {
    let Statement {
        vulnerability,
        timestamp,
        last_updated,
        products,
        status,
        justification,
        ..
    } = statement;
    let Vulnerability { id, name, aliases } = vulnerability;
    let justification = justification.filter(|text| !text.is_empty());
    if let Some(unknown) = justification
        .as_ref()
        .filter(|text| !JUSTIFICATIONS.contains(&text.as_str()))
    {
        return Err(format!(
            "\"{}\" is no justification of OpenVEX",
            clip(unknown)
        ));
    }
    let aliases = in_one_place(aliases.all("aliases"))?;
    let products = in_one_place(products.all("products"))?;
    Ok(VexStatement {
        vulnerabilities: names(std::iter::once(name).chain(aliases).chain(id))?,
        products: products
            .into_iter()
            .map(read_product)
            .collect::<Result<_, String>>()?,
        status,
        justification,
        time: time(last_updated.as_deref(), timestamp.as_deref(), inherited)?,
    })
}

fn read_product(product: Product) -> Result<VexProduct, String> {
    let Product {
        id,
        identifiers,
        hashes,
        subcomponents,
        _supplier,
    } = product;
    let hash = hashes.sha256.map(|hash| format!("sha256:{hash}"));
    let names = names(id.into_iter().chain(identifiers.purl).chain(hash))?;
    if names.is_empty() {
        return Err("a product has no name".to_owned());
    }
    let mut parts = Vec::new();
    for part in in_one_place(subcomponents.all("subcomponents"))? {
        if part.id.is_none() && part.identifiers.purl.is_none() {
            // Left out, it would be missed where it says that something is affected.
            return Err("a subcomponent has neither id nor package URL".to_owned());
        }
        parts.extend(part.id.into_iter().chain(part.identifiers.purl));
    }
    let parts = self::names(parts.into_iter())?;
    Ok(VexProduct { names, parts })
}

fn names(all: impl Iterator<Item = String>) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for name in all {
        let name = bounded("a name in the OpenVEX document", name, NAME_LIMIT)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn in_one_place<T>(list: Result<T, String>) -> Result<T, String> {
    list.map_err(|problem| format!("in one place of the OpenVEX document, {problem}"))
}
