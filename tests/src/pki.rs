//! The test bed's certificates: one authority, a serving certificate for loopback, people.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

/// The attribute type of an organisation (2.5.4.10), spelled out: `rcgen` keeps one value per
/// *named* attribute type, and a person may be in two groups.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// A certificate and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS#8).
    pub key: String,
}

/// A certificate authority that lives as long as the test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Makes a new authority.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("lockmaster-testbed", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate = params
            .self_signed(&key)
            .context("failed to sign the authority")?
            .pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
        })
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A serving certificate for `127.0.0.1` and `localhost`.
    pub fn serving(&self) -> anyhow::Result<Credential> {
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).context("failed to name the server")?;
        params.distinguished_name = name("127.0.0.1", &[])?;
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate: Kubernetes reads the user from CN and the groups from O.
    ///
    /// # Errors
    /// With more than two groups; that is all `rcgen` can express.
    pub fn client(&self, user: &str, groups: &[&str]) -> anyhow::Result<Credential> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(user, groups)?;
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Credential> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .context("failed to sign")?;
        Ok(Credential {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// A key pair for signing ServiceAccount tokens: (private, public), both PEM.
pub fn signing_key_pair() -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("failed to make a key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// Who a kubeconfig file acts as.
#[derive(Debug)]
pub enum Identity<'a> {
    /// A client certificate.
    Certificate(&'a Credential),
    /// A bearer token.
    Token(&'a str),
}

/// Writes a kubeconfig for `server` as `directory/NAME.kubeconfig`, readable by its owner only.
pub fn write_kubeconfig(
    directory: &Path,
    name: &str,
    server: &str,
    authority: &str,
    identity: &Identity<'_>,
) -> anyhow::Result<PathBuf> {
    let user = match identity {
        Identity::Certificate(credential) => serde_json::json!({
            "client-certificate-data": base64(&credential.certificate),
            "client-key-data": base64(&credential.key),
        }),
        Identity::Token(token) => serde_json::json!({ "token": token }),
    };
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "testbed", "cluster": {
            "server": server,
            "certificate-authority-data": base64(authority),
        }}],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": "testbed", "context": { "cluster": "testbed", "user": name } }],
        "current-context": "testbed",
    });
    let path = directory.join(format!("{}.kubeconfig", name.replace([':', '/'], "_")));
    write_private(&path, &config.to_string())?;
    Ok(path)
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))?;
    file.write_all(content.as_bytes())
        .with_context(|| format!("failed to write {}", path.display()))
}

fn name(common: &str, groups: &[&str]) -> anyhow::Result<DistinguishedName> {
    let mut name = DistinguishedName::new();
    let spellings = [
        DnType::OrganizationName,
        DnType::CustomDnType(ORGANIZATION.to_vec()),
    ]
    .into_iter();
    if groups.len() > spellings.len() {
        bail!("{common}: a test person can be in at most two groups");
    }
    for (spelling, group) in spellings.zip(groups) {
        name.push(spelling, *group);
    }
    name.push(DnType::CommonName, common);
    Ok(name)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
