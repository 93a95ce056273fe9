//! The one pattern language of policies, anchored and linear.
//!
//! `*` stands for any characters but `/`, also for none; `**` for any characters at all; everything
//! else for itself, byte for byte. A pattern is of the whole text. There is no negation, no escape
//! and no class, because in those the matchers of this field differ from each other
//! (CVE-2021-41087, GHSA-pmwq-pjrm-6p5r); the table in the tests is the definition.

/// Whether `pattern` is one of the whole of `text`. Takes at most the product of their lengths.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let text = text.as_bytes();
    // reached[i]: what was read of the pattern so far can end before byte i of the text.
    let mut reached = vec![false; text.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    let mut rest = pattern.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'*' {
            let stars = rest.iter().take_while(|byte| **byte == b'*').count();
            rest = rest.get(stars..).unwrap_or_default();
            spread(&mut reached, text, stars > 1);
        } else {
            rest = after;
            step(&mut reached, text, byte);
        }
    }
    reached.last() == Some(&true)
}

/// A star: what is reached is reached from there on, up to the next slash unless it may be passed.
fn spread(reached: &mut [bool], text: &[u8], slashes: bool) {
    let mut carried = false;
    for (position, flag) in reached.iter_mut().enumerate() {
        let before = position.checked_sub(1).and_then(|before| text.get(before));
        carried = *flag || (carried && (slashes || before != Some(&b'/')));
        *flag = carried;
    }
}

/// A byte that stands for itself.
fn step(reached: &mut [bool], text: &[u8], byte: u8) {
    let mut before = false;
    for (position, flag) in reached.iter_mut().enumerate() {
        let here = *flag;
        let last = position.checked_sub(1).and_then(|last| text.get(last));
        *flag = before && last == Some(&byte);
        before = here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conformance table.
    const TABLE: &[(&str, &str, bool)] = &[
        ("", "", true),
        ("", "a", false),
        ("a", "a", true),
        ("a", "A", false),
        ("a", "aa", false),
        ("*", "", true),
        ("*", "abc", true),
        ("*", "a/b", false),
        ("**", "a/b", true),
        ("***", "a/b", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ba", false),
        ("*a", "ba", true),
        ("*a", "ab", false),
        ("a*c", "abbc", true),
        ("a*c", "ab/c", false),
        ("a**c", "ab/c", true),
        ("a/*/c", "a/b/c", true),
        ("a/*/c", "a//c", true),
        ("a/*/c", "a/b/b/c", false),
        ("a/**/c", "a/c", false),
        ("*b*", "abc", true),
        ("*b*", "a/b", false),
        ("a?c", "abc", false),
        ("a?c", "a?c", true),
        ("[ab]", "a", false),
        ("!a", "b", false),
        ("a\\*", "a*", false),
        ("v*", "v1.2.3", true),
        ("v*", "v1.2.3\n", true),
        ("refs/tags/v*", "refs/tags/v1/x", false),
        ("\u{e9}*", "\u{e9}t\u{e9}", true),
        ("a.c", "abc", false),
    ];

    /// GHSA-pmwq-pjrm-6p5r too: matchers that were meant to be one differed in separators and in
    /// negation. This one has no negation, and what it does have is the table.
    #[test]
    fn cve_2021_41087_the_table_holds() {
        for (pattern, text, expected) in TABLE {
            assert_eq!(matches(pattern, text), *expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "a*".repeat(250);
        let text = format!("{}/", "a".repeat(2000));
        assert!(!matches(&pattern, &text));
    }
}
