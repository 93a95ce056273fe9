//! Public keys: which are accepted, and which signatures they verify.
//!
//! Accepted are P-256, P-384, Ed25519 and RSA of 2048 to 4096 bits, as SubjectPublicKeyInfo
//! (RFC 5280 section 4.1.2.7) in PEM. P-521 is refused: no library used here verifies it.

use lockmaster_core::evidence::{KeyId, PublicKey};
use lockmaster_core::release::clip;
use sigstore_crypto::{KeyAlgorithm, SigningScheme, VerificationKey, validate_raw_public_key};
use sigstore_types::{DerPublicKey, SignatureBytes};
use spki::der::asn1::{ObjectIdentifier, UintRef};
use spki::der::{Decode as _, Reader as _, SliceReader};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

/// A PEM longer than this is no key: RSA of 4096 bits takes 800 characters.
const PEM_LIMIT: usize = 4096;

/// Sizes of RSA keys that are accepted. Below is too weak (NIST SP 800-131A); above makes every
/// verification slow and no cosign key is larger.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// secp521r1 (RFC 5480).
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Why a text is not a public key that can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not exactly one PEM block of a public key.
    #[error(
        "failed to read the public key: expected one PEM block that begins with \
         -----BEGIN PUBLIC KEY-----, {0}"
    )]
    NotOnePublicKey(&'static str),
    /// The block does not hold a SubjectPublicKeyInfo.
    #[error("failed to read the public key: {0}")]
    Malformed(String),
    /// A P-521 key.
    #[error(
        "failed to accept the public key: P-521 is not supported; sign with a P-256 or P-384 key \
         (cosign generate-key-pair makes P-256) and name that key here"
    )]
    P521,
    /// An RSA key of another size.
    #[error(
        "failed to accept the public key: RSA keys have 2048 to 4096 bits here, this one has {0}; \
         sign with another key and name it here"
    )]
    RsaSize(usize),
    /// Another kind of key.
    #[error(
        "failed to accept the public key: algorithm {0} is not supported; use P-256, P-384, \
         Ed25519 or RSA of 2048 to 4096 bits"
    )]
    Unsupported(String),
}

/// Reads one public key in PEM and names it by SHA-256 of its SubjectPublicKeyInfo.
pub fn parse_key(pem: &str) -> Result<PublicKey, KeyError> {
    let der = read_pem(pem)?;
    accepted_algorithm(&der)?;
    Ok(PublicKey {
        id: KeyId::of_spki(der.as_bytes()),
        pem: pem.to_owned(),
    })
}

fn read_pem(pem: &str) -> Result<DerPublicKey, KeyError> {
    let refuse = |found| Err(KeyError::NotOnePublicKey(found));
    if pem.len() > PEM_LIMIT {
        return refuse("found a longer text than any key");
    }
    let mut begins = pem.matches("-----BEGIN ");
    if begins.next().is_none() {
        return refuse("found none");
    }
    if begins.next().is_some() {
        return refuse("found several blocks: name each key by itself");
    }
    if pem.contains("PRIVATE KEY-----") {
        return refuse("found a private key: remove it from here and treat it as disclosed");
    }
    if pem.contains("-----BEGIN CERTIFICATE-----") {
        return refuse("found a certificate: openssl x509 -pubkey -noout prints its key");
    }
    if pem.contains("-----BEGIN RSA PUBLIC KEY-----") {
        return refuse("found a PKCS #1 key: openssl rsa -RSAPublicKey_in -pubout converts it");
    }
    DerPublicKey::from_pem(pem).map_err(|error| KeyError::Malformed(clip(&error.to_string())))
}

fn accepted_algorithm(der: &DerPublicKey) -> Result<KeyAlgorithm, KeyError> {
    // Of what cannot be read the error may repeat any part.
    let malformed = |error: String| KeyError::Malformed(clip(&error));
    let info = SubjectPublicKeyInfoRef::try_from(der.as_bytes())
        .map_err(|error| malformed(error.to_string()))?;
    if info
        .algorithm
        .parameters_oid()
        .is_ok_and(|curve| curve == P521)
    {
        return Err(KeyError::P521);
    }
    let algorithm = KeyAlgorithm::from_spki(der)
        .map_err(|_| KeyError::Unsupported(algorithm_name(&info.algorithm)))?;
    match algorithm {
        KeyAlgorithm::Rsa => {
            let bits = rsa_bits(info.subject_public_key.raw_bytes())
                .map_err(|error| malformed(error.to_string()))?;
            if !RSA_BITS.contains(&bits) {
                return Err(KeyError::RsaSize(bits));
            }
        }
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::Ed25519 => {}
        // The enumeration is open: what is not listed above is not accepted.
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 | _ => {
            return Err(KeyError::Unsupported(algorithm_name(&info.algorithm)));
        }
    }
    validate_raw_public_key(
        algorithm.default_signing_scheme(),
        info.subject_public_key.raw_bytes(),
    )
    .map_err(|error| malformed(error.to_string()))?;
    Ok(algorithm)
}

fn algorithm_name(algorithm: &AlgorithmIdentifierRef<'_>) -> String {
    match algorithm.parameters_oid() {
        Ok(parameters) => format!("{} with {parameters}", algorithm.oid),
        Err(_) => algorithm.oid.to_string(),
    }
}

/// Bits of the modulus of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn rsa_bits(public_key: &[u8]) -> Result<usize, spki::der::Error> {
    let mut reader = SliceReader::new(public_key)?;
    reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        UintRef::decode(inner)?;
        let bytes = modulus.as_bytes();
        let leading = bytes
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize);
        Ok((bytes.len() * 8).saturating_sub(leading))
    })
}

/// The ways in which a key of this kind may have signed. P-384 signs with either hash; RSA with
/// either padding; cosign's other choices are the defaults.
fn schemes(algorithm: KeyAlgorithm) -> &'static [SigningScheme] {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => &[SigningScheme::EcdsaP256Sha256],
        KeyAlgorithm::EcdsaP384 => &[
            SigningScheme::EcdsaP384Sha384,
            SigningScheme::EcdsaP384Sha256,
        ],
        KeyAlgorithm::Ed25519 => &[SigningScheme::Ed25519],
        KeyAlgorithm::Rsa => &[
            SigningScheme::RsaPkcs1Sha256,
            SigningScheme::RsaPssSha256,
            SigningScheme::RsaPkcs1Sha384,
            SigningScheme::RsaPssSha384,
            SigningScheme::RsaPkcs1Sha512,
            SigningScheme::RsaPssSha512,
        ],
        // The enumeration is open: what is not listed above verifies nothing.
        KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87 | _ => &[],
    }
}

/// A trusted key in the shapes in which it can verify.
pub(crate) struct Verifier {
    id: KeyId,
    spki: DerPublicKey,
    is_ed25519: bool,
    keys: Vec<VerificationKey>,
}

impl Verifier {
    /// `None` for a key that [`parse_key`] refuses, or that is not the one it is named after.
    pub(crate) fn new(key: &PublicKey) -> Option<Self> {
        let der = read_pem(&key.pem).ok()?;
        let algorithm = accepted_algorithm(&der).ok()?;
        let id = KeyId::of_spki(der.as_bytes());
        if id != key.id {
            return None;
        }
        let keys = schemes(algorithm)
            .iter()
            .filter_map(|scheme| VerificationKey::from_spki_with_scheme(&der, *scheme).ok())
            .collect();
        Some(Self {
            id,
            spki: der,
            is_ed25519: algorithm == KeyAlgorithm::Ed25519,
            keys,
        })
    }

    pub(crate) fn id(&self) -> &KeyId {
        &self.id
    }

    /// Why a signature that says it is by this key may not verify, where its kind tells.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        self.is_ed25519.then_some(
            "cosign signs with Ed25519ph where a key is Ed25519, and that is not supported; sign \
             with a P-256 key (cosign generate-key-pair makes one) and name it in the policy",
        )
    }

    /// Its SubjectPublicKeyInfo.
    pub(crate) fn spki(&self) -> &DerPublicKey {
        &self.spki
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &SignatureBytes) -> bool {
        self.keys
            .iter()
            .any(|key| key.verify(message, signature).is_ok())
    }

    /// Whether `signature` is this key's over some message with this SHA-256. Kinds of keys that
    /// hash otherwise answer no.
    pub(crate) fn verifies_sha256(&self, digest: &[u8; 32], signature: &SignatureBytes) -> bool {
        self.keys
            .iter()
            .any(|key| key.verify_prehashed(digest, signature).is_ok())
    }
}
