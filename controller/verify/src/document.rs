//! JSON from outside: size, depth and duplicate keys are checked before anything believes a word.
//!
//! Duplicate keys are refused everywhere, because two readers may each believe another of the two
//! (CVE-2021-41190 and its family); depth and size are refused before parsing (CVE-2024-32476 and
//! its family of amplifications).

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use lockmaster_core::release::clip;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Nesting deeper than this is refused. The deepest documents seen are CycloneDX files of nested
/// npm trees, at about 30; serde_json itself stops at 128.
pub const DEPTH_LIMIT: usize = 64;

/// Keys of the objects around one place, all together: they are held to find one that is given
/// twice. The largest objects seen are maps from file names to hashes.
pub const KEY_LIMIT: usize = 1 << 16;

/// Why a document is not read. The text is for people and never holds more than a clipped name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than the limit of its kind.
    #[error("it has {length} bytes, the limit is {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The limit of its kind.
        limit: usize,
    },
    /// No JSON, nested too deeply, a key given twice, or of another shape than expected.
    #[error("it is not readable JSON: {0}")]
    Malformed(String),
}

/// Reads `bytes` as a `T` after checking length, depth and duplicate keys of the whole document,
/// the parts that `T` ignores included.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8], limit: usize) -> Result<T, DocumentError> {
    check(bytes, limit)?;
    serde_json::from_slice(bytes).map_err(|error| DocumentError::malformed(&error))
}

/// The same for a document that others read without regard to case, as Go's `encoding/json` does:
/// there the last of `manifests` and `Manifests` counts, and `manifeſts` is a third spelling. Refused
/// are keys that only case tells apart, and any that is one of `names` but for case. Within objects
/// of the key `open` people may write what they like.
pub fn parse_named<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    limit: usize,
    names: &'static [&'static str],
    open: &'static str,
) -> Result<T, DocumentError> {
    walk(bytes, limit, Some(Names { names, open }))?;
    serde_json::from_slice(bytes).map_err(|error| DocumentError::malformed(&error))
}

/// Checks length, depth and duplicate keys without building the document.
pub fn check(bytes: &[u8], limit: usize) -> Result<(), DocumentError> {
    walk(bytes, limit, None)
}

fn walk(bytes: &[u8], limit: usize, names: Option<Names>) -> Result<(), DocumentError> {
    if bytes.len() > limit {
        return Err(DocumentError::TooLong {
            length: bytes.len(),
            limit,
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let keys = Cell::new(0);
    Checked {
        depth: 0,
        names,
        keys: &keys,
    }
    .deserialize(&mut deserializer)
    .and_then(|()| deserializer.end())
    .map_err(|error| DocumentError::malformed(&error))
}

impl DocumentError {
    /// Of another shape than expected.
    pub(crate) fn malformed(error: &serde_json::Error) -> Self {
        Self::Malformed(clip(&error.to_string()))
    }
}

/// Keys that must be written exactly so.
#[derive(Clone, Copy)]
struct Names {
    names: &'static [&'static str],
    open: &'static str,
}

impl Names {
    fn allow(self, key: &str, folded: &str) -> bool {
        self.names.contains(&key) || !self.names.iter().any(|name| fold(name) == folded)
    }
}

/// What is equal for readers without regard to case. Over upper case, so that the long s and the
/// Kelvin sign are letters like others.
fn fold(key: &str) -> String {
    key.to_uppercase().to_lowercase()
}

/// Walks a document; holds only the keys of the objects it is inside of.
#[derive(Clone, Copy)]
struct Checked<'a> {
    depth: usize,
    names: Option<Names>,
    keys: &'a Cell<usize>,
}

impl Checked<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_LIMIT {
            return Err(E::custom(format_args!(
                "it is nested deeper than {DEPTH_LIMIT} levels"
            )));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}

/// A key as it stands in the document; copied only where it is written with escapes. A bill of
/// materials has tens of thousands of them.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Checked<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        while items.next_element_seed(deeper)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let deeper = self.deeper()?;
        let mut keys = HashSet::new();
        while let Some(Key(key)) = entries.next_key::<Key<'de>>()? {
            let below = match self.names {
                Some(names) if names.open == key => Self {
                    names: None,
                    ..deeper
                },
                _ => deeper,
            };
            let refuse = |what| {
                let key = clip(&key);
                Err(A::Error::custom(format_args!("the key \"{key}\" {what}")))
            };
            let folded = self.names.map(|names| (names, fold(&key)));
            if let Some((names, folded)) = &folded
                && !names.allow(&key, folded)
            {
                return refuse("is spelled otherwise than its readers know it");
            }
            let told_apart = folded.map_or_else(|| key.clone(), |(_, folded)| folded.into());
            if !keys.insert(told_apart) {
                return refuse("is given twice");
            }
            let held = self.keys.get() + 1;
            if held > KEY_LIMIT {
                return Err(A::Error::custom(format_args!(
                    "an object and those around it have more than {KEY_LIMIT} keys"
                )));
            }
            self.keys.set(held);
            entries.next_value_seed(below)?;
        }
        self.keys.set(self.keys.get().saturating_sub(keys.len()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        check(text.as_bytes(), 1000).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_documents_pass() {
        for text in [
            "null",
            "[1,-2,3.5,\"a\",true]",
            r#"{"a":{"a":[{"a":1},{"a":2}]}}"#,
        ] {
            assert_eq!(check(text.as_bytes(), 1000), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_key_given_twice_is_refused_at_any_depth_and_however_it_is_spelled() {
        assert!(problem(r#"{"a":1,"a":1}"#).contains("the key \"a\" is given twice"));
        assert!(problem(r#"[{"x":{"a":1,"\u0061":2}}]"#).contains("the key \"a\" is given twice"));
    }

    #[test]
    fn what_only_case_tells_apart_is_refused_where_readers_do_not_see_it() {
        let named = |text: &str| {
            let names = &["os", "manifests"];
            parse_named::<serde_json::Value>(text.as_bytes(), 1000, names, "annotations")
                .map_err(|error| error.to_string())
        };
        for spelled in [
            r#"{"manifests":[],"Manifests":[]}"#,
            r#"{"Manifests":[]}"#,
            r#"{"manife\u017fts":[]}"#,
            r#"{"manifests":[{"platform":{"OS":"linux"}}]}"#,
        ] {
            let problem = named(spelled).unwrap_err();
            assert!(problem.contains("spelled otherwise"), "{problem}");
        }
        let twice = named(r#"{"history":1,"History":2}"#).unwrap_err();
        assert!(twice.contains("given twice"), "{twice}");
        let kelvin = named("{\"kind\":1,\"\u{212a}ind\":2}").unwrap_err();
        assert!(kelvin.contains("given twice"), "{kelvin}");
        assert!(named(r#"{"annotations":{"OS":"a","os":"b"},"x":{"y":1}}"#).is_ok());
        let open = r#"{"annotations":{"a":"a","a":"b"}}"#;
        assert!(named(open).unwrap_err().contains("given twice"));
    }

    #[test]
    fn depth_is_limited() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(nested(DEPTH_LIMIT).as_bytes(), 1000), Ok(()));
        assert!(problem(&nested(DEPTH_LIMIT + 1)).contains("nested deeper than 64 levels"));
        assert!(problem(&"[".repeat(999)).contains("nested deeper than 64 levels"));
        assert!(problem(&r#"{"a":"#.repeat(190)).contains("nested deeper than 64 levels"));
    }

    #[test]
    fn keys_that_are_held_at_a_time_are_limited() {
        let object = |count: usize| {
            let keys: Vec<_> = (0..count).map(|number| format!("\"{number}\":0")).collect();
            format!("{{{}}}", keys.join(","))
        };
        let read = |text: &str| check(text.as_bytes(), 10 << 20);
        assert_eq!(read(&object(KEY_LIMIT)), Ok(()));
        let problem = read(&object(KEY_LIMIT + 1)).unwrap_err().to_string();
        assert!(problem.contains("more than 65536 keys"), "{problem}");
        // One after the other, each may have as many; inside of each other, they add up.
        let half = object(KEY_LIMIT / 2 + 1);
        assert_eq!(read(&format!("[{half},{half}]")), Ok(()));
        let around = half.replace("\"32768\":0", &format!("\"32768\":{half}"));
        assert!(read(&around).is_err());
    }

    #[test]
    fn length_is_limited_and_nothing_may_follow() {
        let long = check(b"[1,2,3]", 3).unwrap_err();
        assert_eq!(
            long,
            DocumentError::TooLong {
                length: 7,
                limit: 3
            }
        );
        assert!(problem("{} {}").contains("trailing characters"));
        assert!(problem("").contains("EOF"));
    }
}
