//! Which licence of a bill of materials a deny-list forbids (M15): SPDX licence expressions, annex D
//! of the specification 2.3.

use crate::pattern;

/// Expressions nested deeper than this are taken as a list of words.
const DEPTH_LIMIT: u8 = 32;

/// The entry of `denied` that forbids what is under this licence. Of `A AND B` one is enough; of
/// `A OR B` both must be denied, since whoever uses it may choose. `A WITH B` is denied like `A`.
/// What is no expression is denied where any of its words is, or all of it.
#[must_use]
pub fn denied_by<'a>(license: &str, denied: &'a [String]) -> Option<&'a str> {
    if let Some(entry) = listed(license, denied) {
        return Some(entry);
    }
    let words = words(license);
    let mut rest = words.as_slice();
    match any_of(&mut rest, denied, 0) {
        Some(answer) if rest.is_empty() => answer,
        Some(_) | None => words.iter().find_map(|word| listed(word, denied)),
    }
}

/// Identifiers are compared without regard to case; `+` behind one means that version or a later
/// one.
fn listed<'a>(identifier: &str, denied: &'a [String]) -> Option<&'a str> {
    let lower = identifier.to_ascii_lowercase();
    let exactly = lower.strip_suffix('+').unwrap_or(&lower);
    let names = [lower.as_str(), exactly];
    let mut entries = denied.iter().map(String::as_str);
    entries.find(|entry| {
        let entry = entry.to_ascii_lowercase();
        // A name may hold a slash, and * stands for any character of it.
        let entry = entry.replace('*', "**");
        names.iter().any(|name| pattern::matches(&entry, name))
    })
}

fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for part in text.split_whitespace() {
        let mut rest = part;
        while let Some(at) = rest.find(['(', ')']) {
            let (before, bracket) = rest.split_at(at);
            let (bracket, after) = bracket.split_at(1);
            words.extend(
                [before, bracket]
                    .into_iter()
                    .filter(|word| !word.is_empty()),
            );
            rest = after;
        }
        words.extend(Some(rest).filter(|rest| !rest.is_empty()));
    }
    words
}

/// `None` where it is no expression; else what denies it.
type Answer<'a> = Option<Option<&'a str>>;

/// `a OR b OR c`: denied by the first one's entry where all are.
fn any_of<'a>(words: &mut &[&str], denied: &'a [String], depth: u8) -> Answer<'a> {
    let mut answer = all_of(words, denied, depth)?;
    while take(words, "OR") {
        let other = all_of(words, denied, depth)?;
        answer = answer.and_then(|entry| other.map(|_| entry));
    }
    Some(answer)
}

/// `a AND b AND c`: denied where one is.
fn all_of<'a>(words: &mut &[&str], denied: &'a [String], depth: u8) -> Answer<'a> {
    let mut answer = one(words, denied, depth)?;
    while take(words, "AND") {
        answer = answer.or(one(words, denied, depth)?);
    }
    Some(answer)
}

/// A licence, with or without an exception, or an expression in brackets.
fn one<'a>(words: &mut &[&str], denied: &'a [String], depth: u8) -> Answer<'a> {
    if take(words, "(") {
        if depth >= DEPTH_LIMIT {
            return None;
        }
        let answer = any_of(words, denied, depth + 1)?;
        return take(words, ")").then_some(answer);
    }
    let license = next(words)?;
    if take(words, "WITH") {
        next(words)?;
    }
    Some(listed(license, denied))
}

/// Takes the next word, where it is a name.
fn next<'a>(words: &mut &[&'a str]) -> Option<&'a str> {
    const NO_NAMES: [&str; 5] = ["(", ")", "AND", "OR", "WITH"];
    let (word, rest) = words.split_first()?;
    let named = !NO_NAMES.iter().any(|no| word.eq_ignore_ascii_case(no));
    named.then(|| {
        *words = rest;
        *word
    })
}

/// Takes the next word, where it is this one.
fn take(words: &mut &[&str], wanted: &str) -> bool {
    match words.split_first() {
        Some((word, rest)) if word.eq_ignore_ascii_case(wanted) => {
            *words = rest;
            true
        }
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_denied_by_this_table() {
        let denied: Vec<String> = ["GPL-3.0-only", "AGPL-*", "NOASSERTION", "Secret License"]
            .map(str::to_owned)
            .into();
        let table = [
            ("MIT", None),
            ("GPL-3.0-only", Some("GPL-3.0-only")),
            ("gpl-3.0-ONLY", Some("GPL-3.0-only")),
            ("GPL-3.0-only+", Some("GPL-3.0-only")),
            ("GPL-3.0", None),
            ("GPL-3.0-or-later", None),
            ("AGPL-3.0-or-later", Some("AGPL-*")),
            ("LAGPL-3.0", None),
            ("NOASSERTION", Some("NOASSERTION")),
            ("MIT OR GPL-3.0-only", None),
            ("AGPL-3.0 OR GPL-3.0-only", Some("AGPL-*")),
            ("MIT AND GPL-3.0-only", Some("GPL-3.0-only")),
            ("MIT OR Apache-2.0 AND GPL-3.0-only", None),
            ("(MIT OR Apache-2.0) AND GPL-3.0-only", Some("GPL-3.0-only")),
            ("(MIT OR GPL-3.0-only) AND BSD", None),
            ("((GPL-3.0-only))", Some("GPL-3.0-only")),
            (
                "GPL-3.0-only WITH Classpath-exception-2.0",
                Some("GPL-3.0-only"),
            ),
            ("MIT or GPL-3.0-only", None),
            ("Secret License", Some("Secret License")),
            ("The Secret License", None),
            // No expressions: any word is enough.
            ("MIT, GPL-3.0-only", Some("GPL-3.0-only")),
            ("MIT OR", None),
            ("GPL-3.0-only OR", Some("GPL-3.0-only")),
            ("MIT OR GPL-3.0-only)", Some("GPL-3.0-only")),
            ("(MIT OR GPL-3.0-only", Some("GPL-3.0-only")),
            ("", None),
        ];
        for (license, expected) in table {
            assert_eq!(denied_by(license, &denied), expected, "{license}");
        }
        assert_eq!(denied_by("anything at all", &["*".to_owned()]), Some("*"));
        let deep = format!("{}MIT{}", "(".repeat(500), ")".repeat(500));
        assert_eq!(denied_by(&deep, &denied), None);
        let deep = deep.replace("MIT", "AGPL-3.0");
        assert_eq!(denied_by(&deep, &denied), Some("AGPL-*"));
    }
}
