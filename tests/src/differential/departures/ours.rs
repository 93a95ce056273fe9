//! Where Lockmaster departs.

use super::{ANY, Departure};
use crate::differential::keys::Kind;
use crate::differential::table::Format;

pub(super) const ALL: &[Departure] = &[
    Departure {
        keys: &[Kind::P521],
        because: "P-521 is not supported, and the policy that names such a key says so: no library \
                  in use verifies it",
        ..ANY
    },
    Departure {
        formats: &[Format::CosignSign],
        keys: &[Kind::Ed25519],
        because: "cosign signs with Ed25519ph where a key is Ed25519, which is not supported, and \
                  the gate says so; cosign 3.1.3 does not verify it either",
        ..ANY
    },
    Departure {
        mutations: &["subject: 300 others besides"],
        because: "a statement is about 256 artifacts at most: whoever may push could make it long",
        ..ANY
    },
    Departure {
        mutations: &["statement: 70 levels deep"],
        because: "JSON is read 64 levels deep at most (CVE-2024-32476 and its family)",
        ..ANY
    },
    Departure {
        mutations: &["bundle: fields under their names in the schema"],
        because: "the JSON form of protobuf lets a reader take the schema's spelling too; no tool \
                  writes it, and one spelling of each field is fewer ways to be read differently",
        ..ANY
    },
];
