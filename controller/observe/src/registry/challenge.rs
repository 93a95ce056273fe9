//! What a 401 asks for: the header `WWW-Authenticate` (RFC 9110 section 11.6.1).
//!
//! Several challenges may stand in one header or in several. Reading is linear in the length of the
//! header, and what cannot be read is left out.

/// One way to authenticate that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Whether its scheme is this one, in any case.
    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The first parameter of this name.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let named = |(found, _): &&(String, String)| found.eq_ignore_ascii_case(name);
        self.parameters
            .iter()
            .find(named)
            .map(|(_, value)| value.as_str())
    }
}

/// The challenges of all these headers, in their order.
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    headers.into_iter().flat_map(parse_one).collect()
}

fn parse_one(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = split_word(rest);
        if word.is_empty() {
            // Nothing that can begin a challenge or a parameter: what follows is not understood.
            return challenges;
        }
        let spaced = after.trim_start_matches([' ', '\t']);
        match (spaced.strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = split_value(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_owned(), value));
                rest = after;
            }
            (Some(_), None) => return challenges,
            (None, _) => {
                challenges.push(Challenge {
                    scheme: word.to_owned(),
                    parameters: Vec::new(),
                });
                rest = after;
            }
        }
    }
}

/// Splits off a token (RFC 9110 section 5.6.2).
fn split_word(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Splits off a value: in quotes, where a backslash quotes the next character, or up to a comma.
fn split_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(',').unwrap_or((text, ""));
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next() {
            None | Some('"') => return (value, characters.as_str()),
            Some('\\') => value.extend(characters.next()),
            Some(other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemes(header: &str) -> Vec<String> {
        let challenges = parse([header]);
        challenges.into_iter().map(|one| one.scheme).collect()
    }

    #[test]
    fn challenges_are_told_apart_in_one_header_and_in_several() {
        let header = r#"Basic realm="a, b", charset="UTF-8", bearer realm="https://a/t",service=s"#;
        let challenges = parse([header]);
        assert_eq!(challenges.len(), 2);
        assert!(challenges[0].is("basic"));
        assert_eq!(challenges[0].parameter("realm"), Some("a, b"));
        assert!(challenges[1].is("Bearer"));
        assert_eq!(challenges[1].parameter("REALM"), Some("https://a/t"));
        assert_eq!(challenges[1].parameter("service"), Some("s"));
        let several = parse(["Negotiate", "Bearer realm=x"]);
        assert_eq!(several.len(), 2);
        assert!(several[1].is("Bearer"));
    }

    #[test]
    fn quotes_are_read_as_they_are_meant() {
        let challenges = parse([r#"Bearer realm="a\"b\\c" , service = "" ,scope="x"#]);
        let challenge = &challenges[0];
        assert_eq!(challenge.parameter("realm"), Some("a\"b\\c"));
        assert_eq!(challenge.parameter("service"), Some(""));
        assert_eq!(challenge.parameter("scope"), Some("x"), "never closed");
        assert_eq!(challenge.parameter("error"), None);
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_ends() {
        for (header, expected) in [
            ("", vec![]),
            ("realm=\"x\"", vec![]),
            (",,, Basic", vec!["Basic"]),
            ("Bearer \u{e9}", vec!["Bearer"]),
            ("Bearer realm=\"x\" \"", vec!["Bearer"]),
            ("Basic dXNlcg==", vec!["Basic"]),
            ("Bearer =", vec![]),
        ] {
            let found = schemes(header);
            assert!(
                found.starts_with(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()),
                "{header}: {found:?}"
            );
        }
        let long = "Bearer a=\"\\".repeat(20_000);
        assert!(parse([long.as_str()]).len() <= 20_000);
    }
}
