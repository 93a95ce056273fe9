//! What targets begin with: seeds, files, and large inputs made of both.

use std::path::{Path, PathBuf};
use std::{fs, iter};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::targets::Target;

/// Size of the large inputs: what takes the square of it is noticed, what is linear takes no time.
const LARGE: usize = 64 << 10;

/// Seeds that are made large, of those of one target.
const ENLARGED_SEEDS: usize = 4;

/// Parts of a document that are made large, of one seed.
const ENLARGED: usize = 12;

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
        collect(
            &repository().join("controller/verify/test_data"),
            &mut files,
        )?;
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

/// Seeds that were made large in one place, and what is large by itself.
pub(crate) fn large(seeds: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let repeated = [
        "[", "{\"a\":", "[{\"a\":", "a", "\"", ",", "*", "a*", "/", "\\", " ", "<a>;", "a=b,", "-",
    ];
    let mut inputs: Vec<_> = repeated.iter().map(|text| fill(text.as_bytes())).collect();
    let step = seeds.len().div_ceil(ENLARGED_SEEDS).max(1);
    for seed in seeds.iter().step_by(step) {
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
        let step = pointers.len().div_ceil(ENLARGED).max(1);
        for pointer in pointers.iter().step_by(step) {
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
    let count = LARGE / one.to_string().len().max(1);
    let many: Vec<_> = iter::repeat_n(one.clone(), count.min(8192)).collect();
    let keys = (0..LARGE / 16).map(|number| (format!("k{number}"), Value::Null));
    let values = [
        Value::from(many),
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
