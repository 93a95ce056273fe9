//! What targets begin with: seeds, files, and large inputs made of both.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::targets::Target;

/// Size of the large inputs: what takes much more memory than it has text is noticed.
const LARGE: usize = 64 << 10;

/// Size of the longest inputs: what takes the square of it in time is noticed, what is linear takes
/// little.
const LONG: usize = 128 << 10;

/// Lists that are made long, of all that the seeds of one target have.
const LENGTHENED: usize = 6;

/// Seeds that are made large, of those of one target, where there is little time.
const ENLARGED_SEEDS: usize = 3;

/// Parts of a document that are made large, of one seed, where there is little time.
const ENLARGED: usize = 4;

/// What every target is given.
pub(crate) const ALWAYS: [&[u8]; 10] = [
    b"",
    b"\0",
    b"\n",
    b"{}",
    b"[]",
    b"null",
    b"\"\"",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"{\"a\":1,\"a\":2}",
];

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The target's own seeds, and the files that it names.
pub(crate) fn seeds(target: &Target) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut seeds: Vec<_> = target
        .seeds
        .iter()
        .map(|seed| seed.as_bytes().to_vec())
        .collect();
    if !target.files.is_empty() {
        let mut files = Vec::new();
        for folder in [
            "controller/verify/test_data",
            "controller/verify/fuzz/seeds",
        ] {
            collect(&repository().join(folder), &mut files)?;
        }
        files.sort();
        for file in files {
            let path = file.to_string_lossy();
            if target.files.iter().any(|part| path.contains(part)) {
                seeds.push(fs::read(&file)?);
            }
        }
    }
    Ok(seeds)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Seeds that were made large in one place, and what is large by itself. With `all`, each in each
/// place.
pub(crate) fn large(seeds: &[Vec<u8>], all: bool) -> Vec<Vec<u8>> {
    let step = |count: usize, most: usize| if all { 1 } else { count.div_ceil(most).max(1) };
    let repeated = [
        "[", "{\"a\":", "[{\"a\":", "a", "\"", ",", "*", "a*", "/", "\\", " ", "<a>;", "a=b,", "-",
    ];
    let mut inputs: Vec<_> = repeated.iter().map(|text| fill(text.as_bytes())).collect();
    for seed in seeds.iter().step_by(step(seeds.len(), ENLARGED_SEEDS)) {
        inputs.push(fill(seed));
        let middle = seed.len() / 2;
        for place in [0, middle, seed.len()] {
            let (before, after) = seed.split_at(place);
            for inserted in ["a", " ", "\""] {
                inputs.push([before, &fill(inserted.as_bytes()), after].concat());
            }
        }
        let Ok(document) = serde_json::from_slice::<Value>(seed) else {
            continue;
        };
        let pointers = pointers(&document);
        // Spread over the document rather than all at its beginning.
        for pointer in pointers.iter().step_by(step(pointers.len(), ENLARGED)) {
            inputs.extend(enlarged(&document, pointer));
        }
    }
    inputs
}

fn fill(text: &[u8]) -> Vec<u8> {
    let times = LARGE / text.len().max(1);
    text.repeat(times.max(1))
}

/// The document with something large in this place.
fn enlarged(document: &Value, pointer: &str) -> Vec<Vec<u8>> {
    let place = document.pointer(pointer).unwrap_or(document);
    let one = place
        .as_array()
        .and_then(|items| items.first())
        .unwrap_or(place);
    let count = LARGE / (one.to_string().len() + 1);
    let many: Vec<_> = iter::repeat_n(one.clone(), count.min(8192)).collect();
    let empty = |item: Value| Value::from(vec![item; LARGE / 3]);
    let keys = (0..LARGE / 16).map(|number| (format!("k{number}"), Value::Null));
    let values = [
        Value::from(many),
        distinct(one, LARGE),
        empty(json!({})),
        empty(json!("")),
        Value::from("a".repeat(LARGE)),
        Value::Object(keys.collect()),
        json!(1e308),
    ];
    let put = |value: Value| {
        let mut document = document.clone();
        if let Some(place) = document.pointer_mut(pointer) {
            *place = value;
        }
        document.to_string().into_bytes()
    };
    values.into_iter().map(put).collect()
}

/// As many of this as fit, of which no two are alike: each has its number behind its texts.
fn distinct(one: &Value, size: usize) -> Value {
    let count = size / (one.to_string().len() + 6);
    let items = (0..count).map(|number| {
        let mut item = one.clone();
        let places = pointers(&item);
        let texts = places.iter().filter_map(|place| {
            let text = item.pointer(place)?.as_str()?;
            // A word that is one of a list stays: behind it lies what would not be reached.
            let is_free = text
                .chars()
                .any(|c| c.is_ascii_digit() || "/:.@".contains(c));
            (is_free || item.is_string()).then(|| (place.clone(), format!("{text}{number}")))
        });
        for (place, text) in texts.collect::<Vec<_>>() {
            if let Some(place) = item.pointer_mut(&place) {
                *place = text.into();
            }
        }
        item
    });
    Value::from(items.collect::<Vec<_>>())
}

/// Seeds of which one list is long, with nothing twice. With `all`, each of their lists.
pub(crate) fn long(seeds: &[Vec<u8>], all: bool) -> Vec<Vec<u8>> {
    let documents = seeds
        .iter()
        .filter_map(|seed| serde_json::from_slice::<Value>(seed).ok());
    let documents: Vec<_> = documents.collect();
    let lists: Vec<_> = documents
        .iter()
        .flat_map(|document| pointers(document).into_iter().map(move |at| (document, at)))
        .filter_map(|(document, at)| {
            let first = document.pointer(&at)?.as_array()?.first()?.clone();
            Some((document, at, first))
        })
        .collect();
    let step = if all {
        1
    } else {
        lists.len().div_ceil(LENGTHENED).max(1)
    };
    let chosen = lists.into_iter().step_by(step);
    let long = chosen.map(|(document, at, first)| {
        let mut document = document.clone();
        if let Some(place) = document.pointer_mut(&at) {
            *place = distinct(&first, LONG);
        }
        document.to_string().into_bytes()
    });
    long.collect()
}

/// The documents among the seeds with one list each that is full of nothing: what is short as text and
/// may be long in memory.
pub(crate) fn hollow(seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    const SIZE: usize = 512 << 10;
    let mut inputs = Vec::new();
    for seed in seeds {
        let Ok(document) = serde_json::from_slice::<Value>(seed) else {
            continue;
        };
        for at in pointers(&document) {
            let mut document = document.clone();
            if let Some(place) = document.pointer_mut(&at).filter(|place| place.is_array()) {
                *place = Value::from(vec![json!({}); SIZE / 3]);
                inputs.push(document.to_string().into_bytes());
            }
        }
    }
    inputs
}

/// Every place in a document.
pub(crate) fn pointers(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(document, String::new(), &mut found);
    found
}

fn walk(value: &Value, pointer: String, found: &mut Vec<String>) {
    if let Some(items) = value.as_array() {
        for (place, item) in items.iter().enumerate() {
            walk(item, format!("{pointer}/{place}"), found);
        }
    }
    if let Some(members) = value.as_object() {
        for (name, member) in members {
            let name = name.replace('~', "~0").replace('/', "~1");
            walk(member, format!("{pointer}/{name}"), found);
        }
    }
    found.push(pointer);
}
