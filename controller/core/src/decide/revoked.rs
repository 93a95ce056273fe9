//! What is not brought, or brought back, because it was revoked after all gates were open.

use super::Input;
use crate::gate::Verdict;
use crate::promotion::{Claim, IntentTarget};
use crate::record::{Outcome, Record};
use crate::release::{ComponentDigest, ImageReference};
use crate::revocation::{of_artifact, of_record, of_reference};

/// Why an attempt is not carried out any more: its artifact was revoked or, but for the way back,
/// something on which its gates rested.
pub(super) fn revoked(input: &Input<'_>, claim: &Claim) -> Option<String> {
    let all = &input.facts.revocations;
    let Claim { intent, account } = claim;
    let brought = intent.targets.iter().map(|target| target.to.digest());
    let forward = intent.undo.is_none();
    let release = account.release.iter().filter(|_| forward);
    let components = release.flat_map(|release| &release.components);
    let mut digests = brought.chain(components.map(|component| &component.digest));
    let artifact = digests.find_map(|digest| {
        let (part, revoked) = of_artifact(input.facts, digest)?;
        Some(format!("{} is revoked by {revoked}", part.short()))
    });
    artifact.or_else(|| {
        let gates = account.gates.iter().filter(|_| forward);
        let passed = gates.filter(|gate| gate.verdict == Verdict::Pass);
        let mut references = passed.flat_map(|gate| {
            gate.evidence
                .iter()
                .map(|reference| (&gate.name, reference))
        });
        references.find_map(|(gate, reference)| {
            let revoked = of_reference(all, reference, input.now)?;
            let signer = &reference.signer;
            Some(format!(
                "gate {gate} rested on what {signer} signed, which is revoked by {revoked}"
            ))
        })
    })
}

/// The image that a target ran before, where that is known to be good here; else why it is not, as
/// the end of a sentence.
pub(super) fn way_back(input: &Input<'_>, target: &IntentTarget) -> Result<ImageReference, String> {
    let unknown = || "has no record of success here".to_owned();
    let image = ImageReference::parse(&target.from).map_err(|_| unknown())?;
    let all = &input.facts.revocations;
    if let Some((_, revoked)) = of_artifact(input.facts, image.digest()) {
        return Err(format!(
            "is revoked by {revoked}, and nothing good is left to go back to"
        ));
    }
    let pair = ComponentDigest {
        component: target.component.clone(),
        digest: image.digest().clone(),
    };
    let mut revoked = None;
    for record in input
        .facts
        .records
        .iter()
        .filter(|record| ran(record, &pair))
    {
        let namespace = &input.environment.namespace;
        match of_record(all, namespace, &record.object_name()) {
            None => return Ok(image),
            Some(by) => revoked = Some(by),
        }
    }
    Err(revoked.map_or_else(unknown, |revoked| {
        format!(
            "has only a record of success here that is revoked by {revoked}, and nothing good is \
             left to go back to"
        )
    }))
}

fn ran(record: &Record, pair: &ComponentDigest) -> bool {
    let release = record.content.release.as_ref();
    record.content.outcome == Outcome::Succeeded
        && release.is_some_and(|release| release.components.contains(pair))
}
