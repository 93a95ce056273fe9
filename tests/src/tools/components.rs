//! What the test bed is made of, and how each of it is built.

/// One Go module of `tests/testbed`.
pub(super) struct Component {
    /// Its folder, and its name in the cache.
    pub(super) name: &'static str,
    /// What a newcomer should read while it builds.
    pub(super) what: &'static str,
    /// How long a cold build took on two cores.
    pub(super) minutes: &'static str,
    /// The package to build.
    pub(super) package: &'static str,
    /// Values for `-X`, beside the flags that strip the binary.
    pub(super) stamps: &'static [&'static str],
    /// The programs it provides: links to the one binary.
    pub(super) programs: &'static [&'static str],
}

/// Everything the control plane, the registries and the signing need. Small ones come first, so
/// that a broken set-up shows within seconds.
pub(super) const COMPONENTS: [Component; 7] = [
    Component {
        name: "crane",
        what: "crane, makes images",
        minutes: "under a minute",
        package: "github.com/google/go-containerregistry/cmd/crane",
        stamps: &[],
        programs: &["crane"],
    },
    Component {
        name: "registry",
        what: "an OCI registry with the referrers API",
        minutes: "a few seconds",
        package: ".",
        stamps: &[],
        programs: &["registry"],
    },
    Component {
        name: "kubernetes",
        what: "etcd and the Kubernetes control plane",
        minutes: "about 4 minutes",
        package: ".",
        // Without them `kubectl version` fails on the unset version.
        stamps: &[
            "k8s.io/component-base/version.gitVersion=v1.36.3",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=36",
            "k8s.io/client-go/pkg/version.gitVersion=v1.36.3",
        ],
        programs: &[
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubectl",
        ],
    },
    Component {
        name: "kwok",
        what: "kwok, simulates nodes and pods",
        minutes: "about a minute",
        package: "sigs.k8s.io/kwok/cmd/kwok",
        stamps: &[],
        programs: &["kwok"],
    },
    Component {
        name: "cosign",
        what: "cosign, signs images",
        minutes: "about 2 minutes",
        package: "github.com/sigstore/cosign/v3/cmd/cosign",
        stamps: &[],
        programs: &["cosign"],
    },
    Component {
        name: "distribution",
        what: "the CNCF registry, without the referrers API",
        minutes: "about a minute",
        package: "github.com/distribution/distribution/v3/cmd/registry",
        stamps: &[],
        programs: &["distribution"],
    },
    Component {
        name: "helm",
        what: "helm, renders the chart",
        minutes: "about 2 minutes",
        package: "helm.sh/helm/v4/cmd/helm",
        stamps: &[],
        programs: &["helm"],
    },
];

/// A private Sigstore: built when a test first asks for it, after cosign, with which it shares
/// most of what it is made of. The times are what is left to build then.
pub(super) const SIGSTORE: [Component; 4] = [
    Component {
        name: "identity",
        what: "OpenID Connect issuers and a certificate-transparency log, for the private Sigstore",
        minutes: "a few seconds",
        package: ".",
        stamps: &[],
        programs: &["identity"],
    },
    Component {
        name: "fulcio",
        what: "Fulcio, the certificate authority of the private Sigstore",
        minutes: "about a minute",
        package: "github.com/sigstore/fulcio",
        stamps: &[],
        programs: &["fulcio"],
    },
    Component {
        name: "rekor",
        what: "Rekor v2, the transparency log of the private Sigstore",
        minutes: "about half a minute",
        package: "github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix",
        stamps: &[],
        programs: &["rekor"],
    },
    Component {
        name: "timestamp",
        what: "the timestamp authority of the private Sigstore",
        minutes: "about a minute",
        package: ".",
        stamps: &[],
        programs: &["timestamp-server"],
    },
];
