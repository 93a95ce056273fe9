//! What to do about each reason that holds or closes something, and who does it.
//!
//! The messages of gates know more: names, digests, commands with both. This is what can be said of
//! the word alone, for `docs/reference/reasons.md`.

use super::Reason;

/// Who does something about a reason. `docs/reference/reasons.md` says who they are.
pub const WHO: [&str; 7] = [
    "Developer",
    "Requester",
    "Approver",
    "Workload owner",
    "Policy admin",
    "Cluster admin",
    "Nobody",
];

macro_rules! mends {
    ($($name:ident: $mend:tt,)+) => {
        impl Reason {
            /// Who does what about it, as `Who: what.`, perhaps of several; nothing for what neither
            /// holds nor closes anything.
            #[must_use]
            pub fn mend(self) -> Option<&'static str> {
                match self { $(Self::$name => mend!($mend),)+ }
            }
        }
    };
}

macro_rules! mend {
    (open) => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

mends! {
    NotRequired: open,
    ReleaseAccepted: open,
    ReleaseNotFound: "Requester: create the Release in the Promotion's namespace; what there is: \
        `kubectl get releases.lockmaster.dev -n NAMESPACE`.",
    ReleaseInvalid: "Requester: create a Release that is right in the field that the message names; \
        one never changes, so under another name, and ask for that.",
    ProductMismatch: "Requester: ask again, with a Release of this product or for an Environment of \
        the other.",
    PreReleaseInProduction: "Developer: release a version without `-…` behind its numbers.",
    VersionNotNewer: "Developer: release a higher version. Requester: to go back on purpose, `kubectl \
        promote create RELEASE --to STAGE -n NAMESPACE --rollback --reason \"...\" --incident ID`.",
    NoKnownGoodRecord: "Requester: name a Release that succeeded here; which did: `kubectl get \
        promotionrecords.lockmaster.dev -n NAMESPACE`.",
    SourceNotAllowed: "Developer: build from a source, and push to a repository, that the policy lists. \
        Policy admin: or create a policy that lists this one in `spec.sources` for the product and \
        namespace, and delete the old one.",
    NoPolicy: "Policy admin: create a ClusterPromotionPolicy whose `spec.match` fits the Environment; \
        `kubectl promote init` prints one to start from.",
    PolicyInvalid: "Policy admin: delete the policy that the message names, and create it anew with \
        what is mended.",
    NamespaceUnknown: "Cluster admin: see that the namespace is there: `kubectl get namespace NAME`. If \
        it is, it is seen by itself.",
    NotRevoked: open,
    Revoked: "Requester: promote, or go back to, another version. Policy admin: if the Revocation goes \
        too far, change it (docs/explanation/revocation.md).",
    RevocationInvalid: "Policy admin: mend the field that the message names: `kubectl edit \
        revocations.lockmaster.dev NAME`.",
    EvidenceValid: open,
    EvidencePending: "Nobody: it goes on by itself, within seconds.",
    SignatureMissing: "Developer: let those sign who are named and have not: `cosign sign --key KEY \
        IMAGE@DIGEST`. It is looked for again by itself.",
    OnlyAttestationsFound: "Developer: sign the image itself: `cosign sign --key KEY IMAGE@DIGEST`.",
    SignerNotTrusted: "Developer: sign with a key or identity of an authority that the message names, \
        under its conditions. Policy admin: or create a policy whose authorities have this signer, if \
        it is to be trusted.",
    SignatureInvalid: "Developer: sign or attest this very digest again, in the build that made it. If \
        nobody knows where the one that was found comes from, find out who may push there.",
    ProvenanceMissing: "Developer: let the build attest it: `cosign attest --key KEY --type \
        slsaprovenance1 --predicate FILE IMAGE@DIGEST`.",
    ProvenanceMismatch: "Developer: build from what the Release names, and as the policy accepts. \
        Requester: or, if the Release is wrong, create one with the repository, commit and tag that it \
        was built from.",
    BuilderNotTrusted: "Developer: build on a builder that the policy lists. Policy admin: or create a \
        policy that lists this one in `spec.evidence.provenance[].builders`.",
    SbomMissing: "Developer: attest one: `cosign attest --key KEY --type cyclonedx --predicate FILE \
        IMAGE@DIGEST` (or `--type spdxjson`).",
    SbomSignerNotTrusted: "Developer: let an authority of `spec.evidence.sbom.authorities` attest it.",
    SbomInvalid: "Developer: mend what the message names (format, number of components, licence), and \
        attest it again.",
    VulnerabilityBlocked: "Developer: update the package, build and scan again. If the finding has no \
        effect, those who may say so attest OpenVEX: `cosign attest --key KEY --type openvex --predicate \
        FILE IMAGE@DIGEST`.",
    AttestationMissing: "Developer: attest what the message names: `cosign attest --key KEY --type TYPE \
        --predicate FILE IMAGE@DIGEST`. It is looked for again by itself.",
    AttestationFailed: "Developer: mend what failed, and attest the new result.",
    AttestationInvalid: "Developer: attest it again, in the format and about the release that the message \
        names; remove a scan that cannot be read from the registry.",
    EvidenceStale: "Developer: scan or check again, and attest the result.",
    RulesAllow: open,
    RuleDenied: "Developer: mend what the rule says. Policy admin: a rule that gives no reason, no answer \
        or the wrong one is mended in a new policy.",
    RuleUnanswered: "Nobody: it is asked again by itself. Policy admin: if it stays, make the rule do \
        less (docs/reference/rego.md).",
    TrustedRootInvalid: "Policy admin: create or mend the TrustedRoot that the message names; how it \
        stands: `kubectl get trustedroots.lockmaster.dev`.",
    ArtifactMissing: "Developer: push the image. Requester: or create a Release with the digest that was \
        pushed.",
    IndexInvalid: "Developer: publish an index of plain images, at most 32, each platform once.",
    RegistryUnavailable: "Nobody: it is asked again by itself. If it stays, docs/reference/registries.md \
        says for each message what to do.",
    EvidenceTruncated: "Developer: remove from the registry what is attached to the image and does not \
        belong there.",
    EvidenceWithdrawn: "Developer: attach it again, or promote what has its evidence.",
    ConcernCleared: open,
    SameArtifactsVerified: open,
    NotInUpstream: "Requester: promote the same Release there first: `kubectl promote create RELEASE --to \
        STAGE -n NAMESPACE`.",
    InsideWindow: open,
    OutsideWindow: "Nobody: it proceeds by itself when it opens. Where the windows are never open at \
        once, the requester changes the annotation, or a policy admin the ChangeWindow.",
    WindowAnnotationInvalid: "Requester: write it as `days from-to zone`: `kubectl annotate --overwrite \
        promotions.lockmaster.dev NAME -n NAMESPACE 'lockmaster.dev/window=Tue,Thu 09:00-12:00 \
        Europe/Berlin'`.",
    NoWindowDefined: "Policy admin: create or mend the ChangeWindow that is named, or a policy that names \
        one, or `Always`, in `spec.windows`.",
    QuorumReached: open,
    AwaitingApproval: "Approver: `kubectl promote approve PROMOTION -n NAMESPACE --role ROLE --reason \
        \"...\"`; not who asked for it. Where there is no plan yet, the other gates come first.",
    Rejected: "Requester: settle it with who rejected it. The same artifacts may be asked for again by \
        somebody else, by the same person a day later; another version at once.",
    GuardNotReady: "Nobody: right after a start the guards are probed, which takes seconds. Cluster \
        admin: if it stays, install them as shipped: `helm upgrade lockmaster charts/lockmaster -n \
        lockmaster-system --reuse-values`; the message says which is wrong.",
    TargetReady: open,
    TargetNotFound: "Workload owner: create the Deployment. Requester: or name one that exists in \
        `spec.targets` of the Environment.",
    TargetNotReadable: "Nobody: it is read again by itself. Workload owner: where the message shows a \
        Role, apply it in the workload's namespace.",
    NotAuthorizedByTarget: "Workload owner: consent, if you want it: `kubectl annotate deployment NAME -n \
        NAMESPACE lockmaster.dev/authorized-by=NAMESPACE/ENVIRONMENT`.",
    TargetTaken: "Workload owner: let one Environment have it: `kubectl annotate --overwrite deployment \
        NAME -n NAMESPACE lockmaster.dev/authorized-by=NAMESPACE/ENVIRONMENT`. Requester: or name \
        another workload in `spec.targets` of the Environment.",
    ContainerNotFound: "Requester: name a container of the workload in `spec.targets` of the Environment.",
    ComponentNotFound: "Requester: name a component of the Release in `spec.targets` of the Environment, \
        or create a Release that has it.",
    FloatingImage: "Workload owner: name each image that the message lists by its digest in the workload.",
    ScaledToZero: "Workload owner: scale it up: `kubectl scale deployment NAME -n NAMESPACE \
        --replicas=1`.",
    Queued: "Nobody: it goes on when the other one is over; which that is: `kubectl promote status -n \
        NAMESPACE`.",
    GateFailed: "Requester: see which gate, and what it needs: `kubectl promote explain PROMOTION -n \
        NAMESPACE`; the gate's reason stands here too.",
    EvidenceUnavailable: "Nobody: it is asked for again by itself. If it stays: `kubectl promote explain \
        PROMOTION -n NAMESPACE`; the gate's reason stands here too.",
    RecordsUnreadable: "Cluster admin: docs/how-to/mend-records.md says what to do for each message.",
    EnvironmentNotFound: "Requester: create the Environment, or ask again for one that exists: `kubectl \
        get environments.lockmaster.dev -n NAMESPACE`.",
    EnvironmentInvalid: "Requester: mend the field that the message names: `kubectl edit \
        environments.lockmaster.dev NAME -n NAMESPACE`.",
    RollingOut: open,
    RollingBack: open,
    Succeeded: open,
    Failed: "Requester: read why in the record: `kubectl get promotionrecords.lockmaster.dev NAME -n \
        NAMESPACE -o yaml`; mend that, and ask again.",
    RolledBack: "Developer: find out why the pods were not healthy, and release a version in which that \
        is mended.",
    Aborted: "Requester: to try again, `kubectl promote create RELEASE --to STAGE -n NAMESPACE --name \
        NAME`.",
    Superseded: "Nobody: the newer Promotion goes on in its place.",
    Timeout: "Developer: see why the pods were not healthy: `kubectl get pods -n NAMESPACE`; mend that, \
        and release it. Workload owner: where the image could not be set, the message says what \
        refused it.",
    Raced: "Workload owner: find out who set the image (the message names the field manager), and let \
        only promotions set it. Requester: then ask again.",
    OwnershipConflict: "Workload owner: let the tool that put it back, which the message names, ignore the \
        image of this container, or promote there instead. Requester: then ask again.",
    NoKnownGood: "Developer: what runs stays as it is; see whether it is healthy, and release a version in \
        which the fault is mended.",
    RollbackFailed: "Workload owner: see what runs, and whether it is healthy; the record says how far it \
        came. Requester: then promote a mended version, or go back by `kubectl promote create RELEASE \
        --to STAGE -n NAMESPACE --rollback --reason \"...\" --incident ID`.",
    PromotionDeleted: "Requester: nothing was undone; see what runs (`kubectl promote status -n \
        NAMESPACE`), and ask again for what should. To end one, use `kubectl promote abort`.",
    Accepted: open,
    Invalid: "Policy admin: mend the field that the message names; a policy is deleted and created anew.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mend_says_who_does_it_in_few_words() {
        for (reason, mend) in Reason::ALL
            .iter()
            .filter_map(|reason| Some((reason, reason.mend()?)))
        {
            let names_who = WHO.iter().any(|who| {
                let rest = mend.strip_prefix(who);
                rest.is_some_and(|rest| rest.starts_with(": "))
            });
            assert!(names_who, "{reason}: {mend}");
            assert!(mend.ends_with('.'), "{reason}: {mend}");
            assert!(mend.len() <= 320, "{reason} has {} bytes", mend.len());
            assert_eq!(mend.matches('`').count() % 2, 0, "{reason}: {mend}");
        }
    }
}
