//! Private parsers of what registries answer, for the fuzz targets of `controller/verify/fuzz` and
//! for nothing else: hidden, without a promise to stay.

use std::sync::Arc;

use lockmaster_core::evidence::Carrier;
use lockmaster_core::release::Digest;
use reqwest::Url;

use super::cache::Cached;
use super::carriers::Place;
use super::link::{next_link, same_host};
use super::{carriers, challenge, document, index, token};

/// How much was read of these lines of `WWW-Authenticate`: challenges, and characters of the
/// parameters that are looked at.
#[must_use]
pub fn challenges(headers: &str) -> (usize, usize) {
    let challenges = challenge::parse(headers.lines());
    let names = ["realm", "service", "scope", "error"];
    let asked = challenges.iter().flat_map(|challenge| {
        let is_known = challenge.is("Bearer") || challenge.is("Basic");
        let read = names.map(|name| challenge.parameter(name).unwrap_or_default());
        read.map(|text| text.len() * usize::from(is_known))
    });
    (challenges.len(), asked.sum())
}

/// The next page that the headers `Link` of an answer from `at` name, one a line, where it may be
/// asked.
#[must_use]
pub fn next_page(at: &str, headers: &str) -> Option<String> {
    let at = Url::parse(at).ok()?;
    let next = same_host(&at, next_link(headers.lines()).ok()??).ok()?;
    Some(next.into())
}

/// Whether these bytes are read as a manifest (`Some(false)`) or as an index (`Some(true)`) when they
/// came with this `Content-Type`; and what they would be as a subject and as each kind of carrier.
#[must_use]
pub fn is_index(bytes: &[u8], content_type: &str) -> Option<bool> {
    let cached = Cached {
        content_type: Some(content_type.to_owned()),
        bytes: Arc::new(bytes.to_vec()),
    };
    let _ = index::form_of(&cached);
    let manifest = Digest::of(bytes);
    for carrier in [
        Carrier::Bundle,
        Carrier::LegacySignature,
        Carrier::LegacyAttestation,
    ] {
        let manifest = manifest.clone();
        let place = Place { carrier, manifest };
        let layers = place.layers(&cached).unwrap_or_default();
        let _ = carriers::within_limits(layers.into_iter());
    }
    match document::read(bytes, Some(content_type)).ok()? {
        document::Document::Manifest { .. } => Some(false),
        document::Document::Index { manifests } => {
            drop(document::carriers(manifests));
            Some(true)
        }
    }
}

/// Whether the answer of a token service holds a token.
#[must_use]
pub fn is_token(body: &[u8]) -> bool {
    token::read_token(body).is_ok()
}
