//! Where the next page of a list is: the header `Link` (RFC 8288), on the same host only.
//!
//! A page that is missed hides what is listed there. So every header is read, and what cannot be
//! read is no last page but a problem.

use reqwest::Url;

use super::problem::Problem;

/// The target of the one link whose relation is `next`, in all headers `Link` of an answer (RFC
/// 8288, 3). None where each header was read and names others only.
pub(super) fn next_link<'a>(
    headers: impl IntoIterator<Item = &'a str>,
) -> Result<Option<&'a str>, Problem> {
    let mut next = None;
    for header in headers {
        for link in links(header).ok_or_else(unreadable)? {
            let is_other = next.is_some_and(|before| before != link.target);
            if link.is_next && is_other {
                let text = "the registry names two next pages".to_owned();
                return Err(Problem::Document(text));
            }
            next = next.or(link.is_next.then_some(link.target));
        }
    }
    Ok(next)
}

/// There is a header, and it says nothing that can be followed or left alone.
pub(super) fn unreadable() -> Problem {
    Problem::Document("the registry's header Link cannot be read".to_owned())
}

struct Link<'a> {
    target: &'a str,
    is_next: bool,
}

/// At least one link, or nothing where any part of the header is not one.
fn links(header: &str) -> Option<Vec<Link<'_>>> {
    let (mut found, mut rest) = (Vec::new(), header);
    loop {
        // Empty elements of a list are nothing (RFC 9110, 5.6.1.2).
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!found.is_empty()).then_some(found);
        }
        let (target, after) = rest.strip_prefix('<')?.split_once('>')?;
        let (is_next, after) = parameters(after)?;
        found.push(Link { target, is_next });
        rest = after;
    }
}

/// Whether the relations hold `next`, and what follows the parameters. Without a relation it is no
/// link (RFC 8288, 3.3).
fn parameters(mut rest: &str) -> Option<(bool, &str)> {
    let mut relations = None;
    loop {
        rest = skip(rest);
        if rest.is_empty() || rest.starts_with(',') {
            return Some((relations?, rest));
        }
        rest = skip(rest.strip_prefix(';')?);
        if rest.is_empty() || rest.starts_with([';', ',']) {
            continue;
        }
        let (name, after) = token(rest)?;
        let (value, after) = match skip(after).strip_prefix('=') {
            Some(value) => value_of(skip(value))?,
            None => (String::new(), after),
        };
        rest = after;
        // Those after the first are to be ignored.
        if name.eq_ignore_ascii_case("rel") && relations.is_none() {
            let mut words = value.split_ascii_whitespace().peekable();
            words.peek()?;
            relations = Some(words.any(|word| word.eq_ignore_ascii_case("next")));
        }
    }
}

/// A token or a quoted text, without its quotation marks and escapes.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let (mut value, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let rest = text.trim_start_matches(is_part);
    let token = text.strip_suffix(rest)?;
    (!token.is_empty()).then_some((token, rest))
}

fn skip(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// The next page, which is on the host of this one.
pub(super) fn same_host(at: &Url, link: &str) -> Result<Url, Problem> {
    let next = at.join(link).ok().filter(|next| {
        next.origin() == at.origin() && next.username().is_empty() && next.password().is_none()
    });
    next.ok_or_else(|| Problem::Redirect("the registry's next page is on another host".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_however_it_is_written() {
        for (headers, expected) in [
            (&["</v2/a?n=1>; rel=\"next\""][..], Some("/v2/a?n=1")),
            (&["<a>; rel=\"prev\", <b>;rel=next"], Some("b")),
            (&["</p?last=a,b;c>; rel=\"next\""], Some("/p?last=a,b;c")),
            (&["<a>; REL=Next"], Some("a")),
            (
                &["<a> ; title=\"x, \\\"y\\\";\" ; rel = \"next foo\""],
                Some("a"),
            ),
            (&["<a>; rel=\"foo\tNEXT\" ;"], Some("a")),
            (&["<a>; flag; rel=next"], Some("a")),
            (&["<a>; rel=prev; rel=next"], None),
            (&["<a>; rel=\"prev\"", "<b>; rel=\"next\""], Some("b")),
            (&["<a>; rel=next,, <a>; rel=next"], Some("a")),
            (&["<a>; title=\"rel=next\"; rel=last"], None),
            (&["<>; rel=next"], Some("")),
            (&[], None),
        ] {
            let found = next_link(headers.iter().copied());
            assert_eq!(found, Ok(expected), "{headers:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_last_page() {
        for headers in [
            &[""][..],
            &[" , "],
            &["nothing"],
            &["a>; rel=next"],
            &["<a; rel=next"],
            &["<a>"],
            &["<a>; title=x"],
            &["<a>; rel"],
            &["<a>; rel="],
            &["<a>; rel=\"\""],
            &["<a>; rel=\"next"],
            &["<a>; rel=\"next\\"],
            &["<a>; rel='next', b"],
            &["<a>; rel=next foo"],
            &["<a> rel=next"],
            &["<a>; =next"],
            &["<a>; r\u{e9}l=next"],
            &["<a>; rel=prev", "<b"],
            &["<a>; rel=next", "<b>; rel=next"],
        ] {
            let found = next_link(headers.iter().copied());
            assert!(
                matches!(found, Err(Problem::Document(_))),
                "{headers:?}: {found:?}"
            );
        }
    }

    #[test]
    fn the_next_page_stays_on_the_host() {
        let at = Url::parse("https://registry.example/v2/a/referrers/x").unwrap();
        assert_eq!(
            same_host(&at, "/v2/next").unwrap().as_str(),
            "https://registry.example/v2/next"
        );
        for foreign in [
            "https://evil.example/v2/next",
            "http://registry.example/v2/next",
            "//evil.example/v2",
            "https://registry.example:444/v2",
            "https://me:x@registry.example/v2",
        ] {
            assert!(same_host(&at, foreign).is_err(), "{foreign}");
        }
    }
}
