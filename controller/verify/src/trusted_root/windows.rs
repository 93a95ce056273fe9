//! When the authorities of a trusted root count: never outside the validity of their certificates.
//!
//! `sigstore-verify` takes every certificate of an authority as an anchor, and of an anchor it knows
//! the name and the key, not the dates: an expired intermediate would go on signing (CVE-2026-24122).
//! It does compare each verified time with the authority's window, so the windows are narrowed.

use jiff::Timestamp;
use lockmaster_core::release::clip;
use sigstore_types::TimeRange;
use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::trust_root::trusted_root::CertChain;

/// Narrows the window of each certificate and timestamp authority to the time at which all
/// certificates of its chain are valid.
pub(super) fn narrow(root: &mut TrustedRoot) -> Result<(), String> {
    for authority in &mut root.certificate_authorities {
        authority.valid_for = common(authority.valid_for, &authority.cert_chain)?;
    }
    for authority in &mut root.timestamp_authorities {
        authority.valid_for = common(authority.valid_for, &authority.cert_chain)?;
    }
    Ok(())
}

fn common(window: Option<TimeRange>, chain: &CertChain) -> Result<Option<TimeRange>, String> {
    let mut narrowed = window;
    for certificate in &chain.certificates {
        let read = parse_certificate_info(&certificate.raw_bytes);
        let read = read.map_err(|error| clip(&error.to_string()))?;
        let (start, end) = (read.not_before, read.not_after);
        narrowed = Some(narrowed.map_or(TimeRange::new(start, Some(end)), |window| {
            let earlier = window.end.map_or(end, |own: Timestamp| own.min(end));
            TimeRange::new(window.start.max(start), Some(earlier))
        }));
    }
    match narrowed {
        Some(TimeRange {
            start,
            end: Some(end),
        }) if end < start => Err(
            "the certificates of an authority are never valid at the same time, within its window"
                .to_owned(),
        ),
        narrowed => Ok(narrowed),
    }
}
