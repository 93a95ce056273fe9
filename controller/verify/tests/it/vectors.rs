//! Bundles of a private Sigstore (`test_data/private-sigstore`), and what each of them proves.

use std::collections::BTreeSet;

use lockmaster_core::evidence::{
    Anchor, BuildClaims, Bundle, Identity, PublicKey, RootText, Signer, Verified,
};
use lockmaster_core::release::Digest;
use lockmaster_verify::{Detached, Subject, Trust, judge, judge_detached, parse_key};
use serde_json::Value;

macro_rules! data {
    ($name:expr) => {
        include_str!(concat!("../../test_data/private-sigstore/", $name))
    };
}

macro_rules! vector {
    ($who:ident, $name:literal, $time:literal, $logged:literal) => {
        Vector {
            name: $name,
            who: Who::$who,
            time: $time,
            logged: $logged,
            text: data!(concat!($name, ".sigstore.json")),
        }
    };
}

pub(crate) const ROOT: &str = data!("trusted_root.json");
pub(crate) const SIGNED: &str = data!("manifest.json");
const KEY: &str = data!("cosign.pub");

pub(crate) const PEOPLE: &str = "http://127.0.0.1:39101/people";
pub(crate) const CI: &str = "http://127.0.0.1:39101/ci";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Person,
    Ci,
    Key,
}

/// One bundle, unchanged.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) who: Who,
    /// What the timestamp authority said.
    pub(crate) time: &'static str,
    pub(crate) logged: bool,
    pub(crate) text: &'static str,
}

pub(crate) const ALL: [Vector; 11] = [
    vector!(Person, "person-sign", "2026-11-24T19:52:30Z", true),
    vector!(
        Person,
        "person-slsa-provenance",
        "2026-11-24T19:52:34Z",
        true
    ),
    vector!(Person, "person-message", "2026-11-24T19:52:40Z", true),
    vector!(
        Person,
        "person-message-timestamp-only",
        "2026-11-24T19:53:33Z",
        false
    ),
    vector!(Ci, "ci-sign", "2026-11-24T19:52:32Z", true),
    vector!(Ci, "ci-slsa-provenance", "2026-11-24T19:52:33Z", true),
    vector!(Ci, "ci-message", "2026-11-24T19:52:41Z", true),
    vector!(Key, "key-sign", "2026-11-24T19:52:36Z", true),
    vector!(Key, "key-slsa-provenance", "2026-11-24T19:52:38Z", true),
    vector!(Key, "key-message", "2026-11-24T19:52:43Z", true),
    vector!(
        Key,
        "key-message-timestamp-only",
        "2026-11-24T19:53:33Z",
        false
    ),
];

/// Those with a certificate and a log entry.
pub(crate) fn keyless() -> impl Iterator<Item = &'static Vector> {
    ALL.iter()
        .filter(|vector| vector.who != Who::Key && vector.logged)
}

/// Those with a log entry.
pub(crate) fn logged() -> impl Iterator<Item = &'static Vector> {
    ALL.iter().filter(|vector| vector.logged)
}

/// Those by the managed key.
pub(crate) fn keyed() -> impl Iterator<Item = &'static Vector> {
    ALL.iter().filter(|vector| vector.who == Who::Key)
}

/// The one with this name.
pub(crate) fn named(name: &str) -> &'static Vector {
    ALL.iter().find(|vector| vector.name == name).unwrap()
}

impl Vector {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(self.text).unwrap()
    }

    /// What it proves under the root. For a certificate without a log entry: nothing.
    pub(crate) fn proves(&self) -> Option<Verified> {
        let signer = match self.who {
            Who::Person => Signer::Identity(person()),
            Who::Ci => Signer::Identity(ci()),
            Who::Key => Signer::Key(key().id),
        };
        (self.who == Who::Key || self.logged).then(|| Verified {
            signer,
            root: Some(root().digest),
            times: vec![self.time.parse().unwrap()],
            logged: self.logged,
        })
    }
}

pub(crate) fn root() -> RootText {
    RootText::new(ROOT)
}

pub(crate) fn key() -> PublicKey {
    parse_key(KEY).unwrap()
}

fn person() -> Identity {
    Identity {
        issuer: PEOPLE.into(),
        subject: "alice@acme.example".into(),
        claims: BuildClaims::default(),
    }
}

fn ci() -> Identity {
    let workflow = "https://github.com/acme/shop/.github/workflows/release.yaml@refs/tags/v1.4.0";
    Identity {
        issuer: CI.into(),
        subject: workflow.into(),
        claims: BuildClaims {
            build_signer: Some(workflow.into()),
            source_repository: Some("https://github.com/acme/shop".into()),
            source_commit: Some("1".repeat(40)),
            source_reference: Some("refs/tags/v1.4.0".into()),
            trigger: Some("push".into()),
            invocation: Some("https://github.com/acme/shop/actions/runs/42/attempts/1".into()),
        },
    }
}

/// Certificates and the managed key, both under this root.
pub(crate) fn under(root: &str) -> Trust {
    let root = Some(RootText::new(root));
    let key = Some(key());
    Trust::new(&[
        Anchor {
            key: None,
            root: root.clone(),
        },
        Anchor { key, root },
    ])
}

/// The managed key alone.
pub(crate) fn key_alone() -> Trust {
    Trust::new(&[Anchor::of_key(key())])
}

pub(crate) fn judged(bundle: &Value, trust: &Trust) -> Bundle {
    let digest = Digest::of(SIGNED.as_bytes());
    let subject = Subject::new(&digest, SIGNED.as_bytes()).unwrap();
    judge(&subject, bundle.to_string().as_bytes(), trust)
}

/// What a bundle of any version proves about the manifest as a file.
pub(crate) fn detached(bundle: &Value, trust: &Trust) -> BTreeSet<Verified> {
    let file = Detached::Bytes(SIGNED.as_bytes());
    judge_detached(bundle.to_string().as_bytes(), file, trust).unwrap_or_default()
}
