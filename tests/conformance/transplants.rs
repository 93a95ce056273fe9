//! Parts of the suite's own good bundles in each other, in versions 0.1, 0.2 and 0.3, keyless: each
//! part is good where it came from.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use lockmaster_core::evidence::{Anchor, RootText};
use lockmaster_verify::{Detached, PUBLIC_GOOD_ROOT, Trust, judge_detached};
use serde_json::Value;

/// Good bundles over the same file, under the public root.
const GOOD: [&str; 4] = [
    "happy-path-v0.1",
    "happy-path-v0.2",
    "happy-path-v0.3",
    "happy-path-v0.3-new-mediaType",
];

/// Where certificate, log entries and timestamps are.
const MATERIAL: &str = "/verificationMaterial";

/// GHSA-ccxc-vr6p-4858, and CVE-2026-22703 after it: a log entry of another signature over the same
/// file, by the same identity.
pub(crate) fn cve_2022_23649_an_entry_of_another_bundle_is_no_proof(
    folder: &Path,
) -> anyhow::Result<()> {
    transplanted(folder, &["tlogEntries"])
}

/// GHSA-8gw7-4j42-w388: a certificate that did not sign, of the same identity; alone and with its own
/// log entry.
pub(crate) fn cve_2022_36056_a_certificate_of_another_bundle_is_no_proof(
    folder: &Path,
) -> anyhow::Result<()> {
    let certificate = ["certificate", "x509CertificateChain"];
    transplanted(folder, &certificate)?;
    transplanted(folder, &[&certificate[..], &["tlogEntries"]].concat())
}

fn transplanted(folder: &Path, parts: &[&str]) -> anyhow::Result<()> {
    let file = fs::read(folder.join("a.txt"))?;
    let root = Some(RootText::new(PUBLIC_GOOD_ROOT));
    let trust = Trust::new(&[Anchor { key: None, root }]);
    let judged = |bundle: &Value| {
        judge_detached(
            bundle.to_string().as_bytes(),
            Detached::Bytes(&file),
            &trust,
        )
    };
    let mut tried = 0;
    for into in GOOD {
        let good = bundle(folder, into)?;
        judged(&good).map_err(anyhow::Error::msg).context(into)?;
        for from in GOOD {
            let other = bundle(folder, from)?;
            if signature(&other) == signature(&good) {
                continue;
            }
            let mut changed = good.clone();
            let material = changed.pointer_mut(MATERIAL).and_then(Value::as_object_mut);
            let material = material.context("no verification material")?;
            for part in parts {
                material.remove(*part);
                if let Some(of_other) = other.pointer(&format!("{MATERIAL}/{part}")) {
                    material.insert((*part).to_owned(), of_other.clone());
                }
            }
            tried += 1;
            if judged(&changed).is_ok() {
                bail!("{into} verifies with {parts:?} of {from}");
            }
        }
    }
    ensure!(tried >= 6, "only {tried} were tried");
    Ok(())
}

fn signature(bundle: &Value) -> Option<&Value> {
    bundle.pointer("/messageSignature/signature")
}

fn bundle(folder: &Path, case: &str) -> anyhow::Result<Value> {
    let path = folder.join(case).join("bundle.sigstore.json");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}
