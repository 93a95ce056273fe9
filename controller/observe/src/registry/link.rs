//! Where the next page of a list is: the header `Link` (RFC 8288), on the same host only.

use reqwest::Url;

use super::problem::Problem;

/// The target of `rel="next"` (RFC 8288).
pub(super) fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
        next.then_some(target)
    })
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
    fn the_next_link_is_found_and_stays_on_the_host() {
        assert_eq!(next_link("</v2/a?n=1>; rel=\"next\""), Some("/v2/a?n=1"));
        assert_eq!(next_link("<a>; rel=\"prev\", <b>;rel=next"), Some("b"));
        assert_eq!(next_link("nothing"), None);
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
