//! Keys of every kind that the table has, made anew in each run.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// A kind of key, with how it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    P256,
    /// With SHA-384.
    P384,
    /// With SHA-512.
    P521,
    /// Without hashing before, as RFC 8032 calls plain Ed25519.
    Ed25519,
    /// PKCS #1 with SHA-256.
    Rsa2048,
    /// PKCS #1 with SHA-256.
    Rsa3072,
    /// PSS with SHA-256, 2048 bits.
    RsaPss,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::RsaPss,
    ];
    /// Those with which cosign signs here.
    pub(super) const IMPORTED: [Self; 4] = [Self::P384, Self::P521, Self::Ed25519, Self::Rsa2048];
    /// What both sides take; the others are in rows of their own.
    pub(super) const USUAL: [Self; 5] = [
        Self::P256,
        Self::P384,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Ed25519 => "Ed25519",
            Self::Rsa2048 => "RSA-2048",
            Self::Rsa3072 => "RSA-3072",
            Self::RsaPss => "RSA-PSS",
        })
    }
}

/// One key pair.
pub(super) struct Key {
    pair: Pair,
    pub(super) public: PublicKey,
    /// What a bundle says of it: base64 of the SHA-256 of its SubjectPublicKeyInfo.
    pub(super) hint: String,
}

/// A public key in the two ways in which it is asked for.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    /// For policies.
    pub(super) pem: String,
    /// For cosign.
    pub(super) path: PathBuf,
    /// The hash it signs with, where cosign wants to be told: it takes SHA-256 unless told, and
    /// itself signs with what fits the curve.
    pub(super) hash: Option<&'static str>,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Box<Ed25519KeyPair>),
    Rsa(rsa::KeyPair, &'static dyn RsaEncoding),
}

impl Key {
    /// A new one; its public key is written to `directory` as `name`.
    fn generate(kind: Kind, directory: &Path, name: &str) -> anyhow::Result<Self> {
        let pair = Pair::generate(kind).with_context(|| format!("failed to make a {kind} key"))?;
        let der = pair.public_key().context("failed to encode a public key")?;
        let pem = pem("PUBLIC KEY", der.as_ref());
        let path = directory.join(format!("{name}.pub"));
        std::fs::write(&path, &pem).context("failed to write a public key")?;
        let hint = STANDARD.encode(Sha256::digest(der.as_ref()));
        let hash = match kind {
            Kind::P384 => Some("sha384"),
            Kind::P521 => Some("sha512"),
            Kind::P256 | Kind::Ed25519 | Kind::Rsa2048 | Kind::Rsa3072 | Kind::RsaPss => None,
        };
        let public = PublicKey { pem, path, hash };
        Ok(Self { pair, public, hint })
    }

    /// The private key, as `cosign import-key-pair` takes it.
    pub(super) fn private_pem(&self) -> anyhow::Result<String> {
        let der = self.pair.private_key();
        let der = der.context("failed to encode a private key")?;
        Ok(pem("PRIVATE KEY", &der))
    }

    pub(super) fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let random = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Ecdsa(pair) => pair
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &random, message, &mut signature)
                    .map(|()| signature)
            }
        };
        signed.ok().context("failed to sign")
    }
}

impl Pair {
    fn generate(kind: Kind) -> Option<Self> {
        let ecdsa = |curve: &'static EcdsaSigningAlgorithm| {
            EcdsaKeyPair::generate(curve).ok().map(Self::Ecdsa)
        };
        let rsa = |size, encoding| {
            let pair = rsa::KeyPair::generate(size).ok()?;
            Some(Self::Rsa(pair, encoding))
        };
        match kind {
            Kind::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Kind::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Kind::P521 => ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING),
            Kind::Ed25519 => {
                let pair = Ed25519KeyPair::generate().ok()?;
                Some(Self::Ed25519(Box::new(pair)))
            }
            Kind::Rsa2048 => rsa(KeySize::Rsa2048, &RSA_PKCS1_SHA256),
            Kind::Rsa3072 => rsa(KeySize::Rsa3072, &RSA_PKCS1_SHA256),
            Kind::RsaPss => rsa(KeySize::Rsa2048, &RSA_PSS_SHA256),
        }
    }

    /// In PKCS #8.
    fn private_key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Ecdsa(pair) => Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
            Self::Ed25519(pair) => Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
            Self::Rsa(pair, _) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
                Some(der.as_ref().to_vec())
            }
        }
    }

    fn public_key(&self) -> Option<PublicKeyX509Der<'static>> {
        match self {
            Self::Ecdsa(pair) => pair.public_key().as_der().ok(),
            Self::Ed25519(pair) => pair.public_key().as_der().ok(),
            Self::Rsa(pair, _) => pair.public_key().as_der().ok(),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> = (0..body.len())
        .step_by(64)
        .filter_map(|at| body.get(at..body.len().min(at + 64)))
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

/// Of each kind the one that signs, and a stranger's.
pub(super) struct Keys(BTreeMap<Kind, (Key, Key)>);

impl Keys {
    pub(super) fn generate(directory: &Path) -> anyhow::Result<Self> {
        let mut keys = BTreeMap::new();
        for kind in Kind::ALL {
            let own = Key::generate(kind, directory, &format!("{kind}"))?;
            let stranger = Key::generate(kind, directory, &format!("{kind}-stranger"))?;
            keys.insert(kind, (own, stranger));
        }
        Ok(Self(keys))
    }

    pub(super) fn own(&self, kind: Kind) -> anyhow::Result<&Key> {
        let (own, _) = self.0.get(&kind).context("there is no such key")?;
        Ok(own)
    }

    pub(super) fn stranger(&self, kind: Kind) -> anyhow::Result<&Key> {
        let (_, stranger) = self.0.get(&kind).context("there is no such key")?;
        Ok(stranger)
    }
}
