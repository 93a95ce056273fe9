//! Whether two names mean the same package, or the same image. The tables in the tests are the
//! definition; what is in doubt is not the same.

use std::collections::BTreeMap;

use crate::release::ImageReference;

/// A package URL, taken apart (<https://github.com/package-url/purl-spec>).
#[derive(Debug, PartialEq, Eq)]
struct PackageUrl {
    kind: String,
    path: String,
    version: Option<String>,
    qualifiers: BTreeMap<String, String>,
    subpath: Option<String>,
}

/// Whether `stated` names the package that a scanner `found`: the same package URL, of the same
/// version, where qualifiers that `stated` leaves out may be anything.
#[must_use]
pub fn is_same_package(stated: &str, found: &str) -> bool {
    let (Some(stated), Some(found)) = (PackageUrl::parse(stated), PackageUrl::parse(found)) else {
        return stated == found && !stated.is_empty();
    };
    let qualified = |(key, value)| found.qualifiers.get(key) == Some(value);
    stated.kind == found.kind
        && stated.path == found.path
        && stated.version.is_some()
        && stated.version == found.version
        && stated.subpath == found.subpath
        && stated.qualifiers.iter().all(qualified)
}

/// Whether `name` names this image: its digest; its repository, with or without the digest and
/// behind `oci://` or `docker://`; or a `pkg:oci` URL with its last part as name, which must have the
/// digest as version or the repository as `repository_url`, and nothing else in either.
#[must_use]
pub fn is_name_of(name: &str, image: &ImageReference) -> bool {
    let digest = image.digest().as_str();
    let plain = ["oci://", "docker://"]
        .into_iter()
        .find_map(|scheme| name.strip_prefix(scheme))
        .unwrap_or(name);
    if plain == digest || plain == image.repository() || plain == image.to_string() {
        return true;
    }
    let Some(url) = PackageUrl::parse(name) else {
        return false;
    };
    let last = image.path().rsplit('/').next().unwrap_or_default();
    let version = url.version.as_deref();
    let repository = url.qualifiers.get("repository_url").map(String::as_str);
    url.kind == "oci"
        && url.path == last
        && url.subpath.is_none()
        && version.is_none_or(|version| version == digest)
        && repository.is_none_or(|repository| repository == image.repository())
        && (version.is_some() || repository.is_some())
}

impl PackageUrl {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("pkg:")?;
        let (rest, subpath) = cut(rest, '#');
        let (rest, qualifiers) = cut(rest, '?');
        // In an npm scope that is written plainly, the at sign is part of the path.
        let (rest, version) = match rest.rsplit_once('@') {
            Some((before, version)) if !version.contains('/') => (before, Some(version)),
            Some(_) | None => (rest, None),
        };
        let (kind, path) = rest.trim_matches('/').split_once('/')?;
        let mut known = BTreeMap::new();
        for pair in qualifiers.into_iter().flat_map(|text| text.split('&')) {
            let (key, value) = pair.split_once('=')?;
            let twice = known.insert(key.to_ascii_lowercase(), decode(value)?);
            if twice.is_some() {
                return None;
            }
        }
        let optional = |text: Option<&str>| match text {
            Some(text) => decode(text).map(Some),
            None => Some(None),
        };
        let (version, subpath) = (optional(version)?, optional(subpath)?);
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            path: decode(path.trim_matches('/'))?,
            version,
            qualifiers: known,
            subpath,
        })
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Percent-decoding; what is not encoded well has no meaning.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd";

    #[test]
    fn packages_are_the_same_by_this_table() {
        let openssl = "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=debian-12";
        let table = [
            (openssl, openssl, true),
            ("pkg:deb/debian/openssl@3.0.11-1~deb12u2", openssl, true),
            ("pkg:deb/debian/openssl@3.0.11-1%7Edeb12u2", openssl, true),
            (
                "pkg:DEB/debian/openssl@3.0.11-1~deb12u2?Arch=amd64",
                openssl,
                true,
            ),
            (
                "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=arm64",
                openssl,
                false,
            ),
            (
                "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&arch=amd64",
                openssl,
                false,
            ),
            ("pkg:deb/debian/openssl@3.0.12", openssl, false),
            ("pkg:deb/debian/openssl", openssl, false),
            ("pkg:deb/debian/openssl", "pkg:deb/debian/openssl", false),
            ("pkg:deb/ubuntu/openssl@3.0.11-1~deb12u2", openssl, false),
            (
                "pkg:deb/debian/openssl-dev@3.0.11-1~deb12u2",
                openssl,
                false,
            ),
            ("pkg:deb/debian/openssl@3.0.11-1~deb12u2#x", openssl, false),
            ("openssl", openssl, false),
            ("", openssl, false),
            ("pkg:", "pkg:", true),
            (
                "pkg:npm/%40angular/core@1.0.0",
                "pkg:npm/@angular/core@1.0.0",
                true,
            ),
            (
                "pkg:npm/@angular/core",
                "pkg:npm/@angular/core@1.0.0",
                false,
            ),
            ("pkg:npm/core@1.0.0", "pkg:npm/%40angular/core@1.0.0", false),
            ("pkg:npm/a@%zz", "pkg:npm/a@%zz", true),
            ("a:b", "a:b", true),
            ("a:b", "a:c", false),
        ];
        for (stated, found, expected) in table {
            assert_eq!(is_same_package(stated, found), expected, "{stated} {found}");
        }
        assert!(!is_same_package("", ""), "no name is no package");
    }

    #[test]
    fn images_are_named_by_this_table() {
        let image = format!("registry.example/shop/checkout@sha256:{HEX}");
        let image = ImageReference::parse(&image).unwrap();
        let purl = format!("pkg:oci/checkout@sha256%3A{HEX}");
        let table = [
            (format!("sha256:{HEX}"), true),
            (HEX.to_owned(), false),
            (image.to_string(), true),
            (format!("oci://{image}"), true),
            (format!("docker://{image}"), true),
            (format!("https://{image}"), false),
            ("registry.example/shop/checkout".into(), true),
            ("registry.example/shop/checkout:1.42.0".into(), false),
            ("registry.example/shop/checkout2".into(), false),
            ("registry.example/shop".into(), false),
            (
                format!("registry.evil.test/shop/checkout@sha256:{HEX}"),
                false,
            ),
            (
                format!("registry.example/shop/checkout@sha256:{}", "0".repeat(64)),
                false,
            ),
            (purl.clone(), true),
            (format!("{purl}?arch=amd64"), true),
            (
                format!("{purl}?repository_url=registry.example/shop/checkout"),
                true,
            ),
            (
                format!("{purl}?repository_url=registry.example%2Fshop%2Fcheckout"),
                true,
            ),
            (
                format!("{purl}?repository_url=registry.evil.test/shop/checkout"),
                false,
            ),
            (format!("pkg:oci/checkout@sha256:{HEX}"), true),
            (format!("pkg:oci/checkout@sha256:{}", "0".repeat(64)), false),
            ("pkg:oci/checkout@1.42.0".into(), false),
            ("pkg:oci/checkout".into(), false),
            (
                "pkg:oci/checkout?repository_url=registry.example/shop/checkout".into(),
                true,
            ),
            (
                "pkg:oci/other?repository_url=registry.example/shop/checkout".into(),
                false,
            ),
            (
                "pkg:docker/checkout?repository_url=registry.example/shop/checkout".into(),
                false,
            ),
            (String::new(), false),
        ];
        for (name, expected) in table {
            assert_eq!(is_name_of(&name, &image), expected, "{name}");
        }
    }
}
