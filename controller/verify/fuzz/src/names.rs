//! Names that scans, bills of materials and VEX documents hold: licences, packages, images.

use lockmaster_core::evidence::{denied_by, is_name_of, is_same_package};
use lockmaster_core::release::ImageReference;

use super::text;

/// What is kept of a licence, and what a policy may list: a pattern takes the product of both.
const LICENSE: usize = 512;
const ENTRY: usize = 128;
const ENTRIES: usize = 64;

const IMAGE: &str = "registry.example/shop/checkout@sha256:9f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a119f2c41d07a11abcd";

/// The first line is the deny-list, with commas; the rest a licence.
pub fn license(bytes: &[u8]) {
    let text = text(bytes);
    let (denied, license) = text.split_once('\n').unwrap_or(("", &text));
    if license.len() > LICENSE {
        return;
    }
    let denied = denied.split(',').filter(|entry| entry.len() <= ENTRY);
    let denied: Vec<_> = denied.map(str::to_owned).take(ENTRIES).collect();
    assert_eq!(denied_by(license, &[]), None);
    assert_eq!(denied_by(license, &["*".to_owned()]), Some("*"));
    if let Some(entry) = denied_by(license, &denied) {
        assert!(denied.iter().any(|one| one == entry));
    }
    // A licence by itself is denied by its own name.
    if !license.contains('*') {
        let own = [license.to_owned()];
        assert_eq!(denied_by(license, &own), Some(license));
    }
}

/// Two names, one a line.
pub fn package(bytes: &[u8]) {
    let text = text(bytes);
    let (stated, found) = text.split_once('\n').unwrap_or((&text, ""));
    if is_same_package(stated, found) {
        assert!(!stated.is_empty() && !found.is_empty());
        let parted = |name: &str| name.contains('?');
        // Only what is left out of the first may be anything.
        if !parted(stated) && !parted(found) {
            assert!(is_same_package(found, stated), "{stated} {found}");
        }
    }
    if let Ok(image) = ImageReference::parse(IMAGE) {
        for name in [stated, found] {
            assert!(
                !is_name_of(name, &image)
                    || name.contains("checkout")
                    || name.contains('%')
                    || name == image.digest().as_str()
            );
        }
    }
}
