//! Changed seeds: bytes that are set, taken out, repeated and taken from each other, and documents
//! that are still documents.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::inputs::pointers;

/// What is put in.
const WORDS: [&str; 24] = [
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "0",
    "-1",
    "1e999",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\"",
    ",",
    ":",
    "{",
    "}",
    "[",
    "]",
    "\n",
    "%2f",
    "..",
    "@",
    "\u{202e}",
    "sha256:",
];

/// One change.
#[derive(Debug, Clone, Copy)]
enum Change {
    Set(Index, u8),
    Insert(Index, Index),
    Remove(Index, u8),
    Repeat(Index, u8, u8),
    Take(Index, Index, Index, u8),
    Cut(Index),
    /// Replaces one value of a document.
    Replace(Index, Index),
    /// Removes one member of a document.
    Lose(Index),
}

/// Inputs that come from these by a few changes.
pub(crate) fn of(seeds: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let seeds = seeds.to_vec();
    let changes = prop::collection::vec(change(), 1..6);
    (any::<Index>(), changes).prop_map(move |(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in changes {
            apply(&mut bytes, &seeds, change);
        }
        bytes
    })
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        1 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (place(), place()).prop_map(|(at, word)| Change::Insert(at, word)),
        1 => (place(), any::<u8>()).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (place(), any::<u8>(), any::<u8>())
            .prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        1 => (place(), place(), place(), any::<u8>())
            .prop_map(|(at, seed, from, length)| Change::Take(at, seed, from, length)),
        1 => place().prop_map(Change::Cut),
        4 => (place(), place()).prop_map(|(at, value)| Change::Replace(at, value)),
        2 => place().prop_map(Change::Lose),
    ]
}

/// Places are of a text that may be empty.
fn within(place: Index, bytes: &[u8]) -> usize {
    place.index(bytes.len() + 1)
}

fn apply(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], change: Change) {
    match change {
        Change::Set(at, byte) => {
            let at = within(at, bytes);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        Change::Insert(at, word) => {
            let at = within(at, bytes);
            bytes.splice(at..at, word.get(&WORDS).bytes());
        }
        Change::Remove(at, length) => {
            let at = within(at, bytes);
            let end = (at + usize::from(length)).min(bytes.len());
            bytes.drain(at..end);
        }
        Change::Repeat(at, length, times) => {
            let at = within(at, bytes);
            let end = (at + usize::from(length)).min(bytes.len());
            let part = bytes
                .get(at..end)
                .unwrap_or_default()
                .repeat(usize::from(times % 32));
            bytes.splice(at..at, part);
        }
        Change::Take(at, seed, from, length) => {
            let at = within(at, bytes);
            let other = seed.get(seeds);
            let from = within(from, other);
            let end = (from + usize::from(length)).min(other.len());
            bytes.splice(
                at..at,
                other.get(from..end).unwrap_or_default().iter().copied(),
            );
        }
        Change::Cut(at) => bytes.truncate(within(at, bytes)),
        Change::Replace(at, value) => in_document(bytes, at, |place| {
            *place = value.get(&values()).clone();
        }),
        Change::Lose(at) => in_document(bytes, at, lose),
    }
}

/// Changes one place of a document; what is none stays as it is.
fn in_document(bytes: &mut Vec<u8>, at: Index, change: impl FnOnce(&mut Value)) {
    let Ok(mut document) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let pointers = pointers(&document);
    let pointer: &String = at.get(&pointers);
    if let Some(place) = document.pointer_mut(pointer) {
        change(place);
    }
    *bytes = document.to_string().into_bytes();
}

/// Takes out the first part.
fn lose(place: &mut Value) {
    if let Some(items) = place.as_array_mut() {
        items.truncate(items.len().saturating_sub(1));
    } else if let Some(members) = place.as_object_mut() {
        let first = members.keys().next().cloned();
        members.retain(|name, _| Some(name) != first.as_ref());
    } else {
        *place = Value::Null;
    }
}

fn values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(1e308),
        json!(""),
        json!("\0"),
        json!("a".repeat(2000)),
        json!("\u{202e}\u{200b}"),
        json!("https://a.example/b"),
        json!("2026-11-24T19:52:30Z"),
        json!("99999999-99-99T99:99:99Z"),
        json!([]),
        json!([[[[[[[[[]]]]]]]]]),
        json!({}),
        json!({"": {"": {"": null}}}),
    ]
}
