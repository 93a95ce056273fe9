//! Bundles as cosign 3.1.3 wrote them, without a log, for an image that crane made (Docker schema 2).

use lockmaster_core::evidence::{Anchor, Content, SbomFormat, Verified};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Subject, Trust, judge, parse_key};

fn data(name: &str) -> Vec<u8> {
    let path = format!(
        "{}/test_data/cosign-3.1.3/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(path).unwrap()
}

#[test]
fn bundles_of_cosign_verify_and_are_understood() {
    let manifest = data("manifest.json");
    let digest = Digest::of(&manifest);
    let key = parse_key(std::str::from_utf8(&data("cosign.pub")).unwrap()).unwrap();
    for name in ["sign", "provenance", "spdx", "cyclonedx"] {
        let bytes = data(&format!("{name}.sigstore.json"));
        let subject = Subject::new(&digest, &manifest).unwrap();
        let trust = Trust::new(&[Anchor::of_key(key.clone())]);
        let judged = judge(&subject, &bytes, &trust);
        assert_eq!(
            judged.verified_by,
            [Verified::by_key(key.id.clone())].into(),
            "{name}"
        );
        assert_eq!(judged.key_hint, Some(key.id.clone()), "{name}");
        assert_eq!(judged.subjects, std::slice::from_ref(&digest), "{name}");
        match (name, judged.content) {
            ("sign", Content::Signature) => {}
            ("provenance", Content::Provenance(provenance)) => {
                assert_eq!(provenance.reference, "refs/tags/v1.42.0");
                assert_eq!(
                    provenance.commit,
                    "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
                );
            }
            ("spdx", Content::Sbom(sbom)) => {
                assert_eq!((sbom.format, sbom.components), (SbomFormat::Spdx, 1));
            }
            ("cyclonedx", Content::Sbom(sbom)) => {
                assert_eq!((sbom.format, sbom.components), (SbomFormat::CycloneDX, 1));
            }
            (_, content) => panic!("{name}: {content:?}"),
        }
    }
}
