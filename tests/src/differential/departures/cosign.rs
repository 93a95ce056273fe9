//! Where cosign 3.1.3 departs.

use super::{ANY, Departure};
use crate::differential::keys::Kind;
use crate::differential::table::Format;

/// What is logged, with its timestamps.
const KEYLESS: &[Format] = &[
    Format::KeylessSign,
    Format::KeylessAttestation,
    Format::KeylessMessage,
];

pub(super) const ALL: &[Departure] = &[
    Departure {
        keys: &[Kind::RsaPss],
        because: "it verifies RSA as PKCS #1 alone; PSS by the same key is as good a signature, and \
                  other signers make it",
        ..ANY
    },
    Departure {
        formats: &[Format::CosignSign],
        keys: &[Kind::Ed25519],
        because: "it signs with Ed25519ph and verifies plain Ed25519: it refuses what it made",
        ..ANY
    },
    Departure {
        formats: &[Format::Sign],
        mutations: &[
            "statement: of another predicate type",
            "statement: predicate type with a slash more",
            "statement: predicate type with a space more",
            "statement: without a predicate type",
        ],
        accepts: true,
        because: "`cosign verify` takes any statement in a bundle for a signature; here an SBOM, or \
                  whatever else somebody attested, is no signature of the image",
        ..ANY
    },
    Departure {
        mutations: &["statement: of no known in-toto version"],
        accepts: true,
        because: "it does not look at `_type`; what a later version means by its fields is not known",
        ..ANY
    },
    Departure {
        mutations: &["statement: a field that nobody knows"],
        because: "it reads statements strictly, where in-toto's specification has consumers ignore \
                  fields that they do not know",
        ..ANY
    },
    Departure {
        mutations: &["bundle: a field that nobody knows"],
        because: "it reads bundles strictly; nothing in a bundle is signed but the signature's own \
                  content, so a field that is not read decides nothing",
        ..ANY
    },
    Departure {
        mutations: &["signatures: one with the name of a key"],
        because: "it compares `keyid` with its own name of the key; by the DSSE specification that \
                  is a hint, unsigned, and must decide nothing",
        ..ANY
    },
    Departure {
        mutations: &[
            "provenance: no predicate",
            "provenance: an empty predicate",
            "provenance: of another commit",
            "provenance: by another builder",
        ],
        accepts: true,
        because: "it only compares the predicate's type; what a provenance says is for the policy, \
                  which here asks for builder, source and commit",
        ..ANY
    },
    Departure {
        mutations: &["referrer: two layers"],
        because: "it leaves out referrers with more than one layer; each bundle is judged by itself \
                  here, wherever it is listed",
        ..ANY
    },
    Departure {
        mutations: &["message: names no digest"],
        because: "it wants the digest that a message signature may name; the signature is over the \
                  manifest's bytes, and the schema has clients not rely on that digest",
        ..ANY
    },
    Departure {
        formats: &[Format::Message],
        mutations: &["media type: version 0.1", "media type: version 0.2"],
        accepts: true,
        because: "`cosign verify-blob` takes older bundles from a file that somebody names; from a \
                  registry only version 0.3 counts, since the media type is not signed",
        ..ANY
    },
    Departure {
        mutations: &["log: the same entry twice"],
        because: "it counts entries against a threshold, so that one may not count twice; here none \
                  is counted, and each must verify",
        ..ANY
    },
    Departure {
        mutations: &[
            "log: the body of another image's entry",
            "log: a space after the body",
        ],
        accepts: true,
        because: "it makes the body of a Rekor v2 entry anew from the bundle and never reads the one \
                  that came with it; here the one that came must be the one in the log",
        ..ANY
    },
    Departure {
        mutations: &["log: an entry that says it is of another kind"],
        accepts: true,
        because: "it tells the kind from the body and not from what stands beside it; here the two \
                  must agree",
        ..ANY
    },
    Departure {
        formats: &[Format::LoggedSign],
        mutations: &[
            "timestamp: that of another image",
            "timestamp: its last bit turned over",
            "timestamp: empty",
            "timestamp: that of another image besides",
        ],
        accepts: true,
        because: "it looks at no timestamp where it was given a key; here a key has a validity that \
                  is judged at the time of signing, and every timestamp must verify (CVE-2026-54787)",
        ..ANY
    },
    Departure {
        formats: KEYLESS,
        mutations: &["timestamp: that of another image besides"],
        accepts: true,
        because: "one good timestamp is enough for it; here each must be of this signature",
        ..ANY
    },
];
