//! Who asks a registry: whose logins may be shown to it, and whose share of requests it costs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lockmaster_core::release::{Digest, ImageReference};

use super::docker_config::{DockerConfig, Login, find_login};

/// Whose credentials a request carries. Part of the key of every cache, memory, token and flight, so
/// that nobody reads through a warm cache what is not theirs. Prints without what tells two of a
/// kind apart: a hash that a password went into can be guessed at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialIdentity {
    /// Nobody's.
    Anonymous,
    /// The operator's own, of its configuration: a hash of what is in them.
    Operator(Digest),
    /// A namespace's pull secrets: a hash of the namespace, their names and what is in them.
    PullSecrets(Digest),
}

impl fmt::Debug for CredentialIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Operator(_) => "Operator",
            Self::PullSecrets(_) => "PullSecrets",
        })
    }
}

/// Who asks. Prints no login.
#[derive(Debug, Clone)]
pub struct Credentials {
    identity: CredentialIdentity,
    namespace: Arc<str>,
    logins: Vec<DockerConfig>,
    /// Logins of mirrors, by host. The operator's own, so never among those of a namespace.
    mirrors: BTreeMap<String, DockerConfig>,
}

/// One pull secret as it was read.
#[derive(Debug, Clone)]
pub struct PullSecret {
    /// Its name.
    pub name: String,
    /// Hash of its bytes. Not for people, logs or statuses.
    pub content: Digest,
    /// Its logins.
    pub logins: DockerConfig,
}

impl Credentials {
    /// Nobody's, on behalf of a namespace; its name may be empty where there is none.
    #[must_use]
    pub fn anonymous(namespace: &str) -> Self {
        Self {
            identity: CredentialIdentity::Anonymous,
            namespace: namespace.into(),
            logins: Vec::new(),
            mirrors: BTreeMap::new(),
        }
    }

    /// Those of a namespace's pull secrets, in this order.
    #[must_use]
    pub fn of_pull_secrets(namespace: &str, secrets: &[PullSecret]) -> Self {
        let parts = secrets.iter().flat_map(|secret| {
            let PullSecret { name, content, .. } = secret;
            [name.as_bytes(), content.as_str().as_bytes()]
        });
        let identity = hash(std::iter::once(namespace.as_bytes()).chain(parts));
        Self {
            identity: CredentialIdentity::PullSecrets(identity),
            namespace: namespace.into(),
            logins: secrets.iter().map(|one| one.logins.clone()).collect(),
            mirrors: BTreeMap::new(),
        }
    }

    /// The operator's own for one registry and its mirrors, on behalf of a namespace. `parts` are
    /// the hosts and the hashes of what is in them.
    pub(super) fn of_operator<'a>(
        namespace: &str,
        origin: Option<DockerConfig>,
        mirrors: BTreeMap<String, DockerConfig>,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            identity: CredentialIdentity::Operator(hash(parts)),
            namespace: namespace.into(),
            logins: origin.into_iter().collect(),
            mirrors,
        }
    }

    /// Whose they are.
    #[must_use]
    pub fn identity(&self) -> &CredentialIdentity {
        &self.identity
    }

    /// The namespace whose share of requests they cost.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same on the account of another namespace. Whose they are stays what it is.
    pub(super) fn on_account_of(self, namespace: Arc<str>) -> Self {
        Self { namespace, ..self }
    }

    /// The files of logins that they are from.
    #[must_use]
    pub fn logins(&self) -> &[DockerConfig] {
        &self.logins
    }

    /// What may be shown to an image's own registry.
    pub(super) fn for_origin(&self, image: &ImageReference) -> Option<&Login> {
        find_login(&self.logins, image.repository())
    }

    /// What may be shown to a mirror of an image's registry.
    pub(super) fn for_mirror(&self, mirror: &str, image: &ImageReference) -> Option<&Login> {
        let repository = format!("{mirror}/{}", image.path());
        find_login(self.mirrors.get(mirror), &repository)
    }
}

/// One hash over parts that cannot run into each other.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(name: &str, password: &str) -> PullSecret {
        let text = format!(
            r#"{{"auths":{{"registry.example":{{"username":"u","password":"{password}"}}}}}}"#
        );
        PullSecret {
            name: name.to_owned(),
            content: Digest::of(text.as_bytes()),
            logins: DockerConfig::parse(text.as_bytes()).unwrap(),
        }
    }

    #[test]
    fn identities_differ_by_namespace_name_content_and_order() {
        let (a, b, other) = (secret("a", "p"), secret("b", "p"), secret("a", "q"));
        let identity = |namespace: &str, secrets: &[&PullSecret]| {
            let secrets: Vec<_> = secrets.iter().map(|&one| one.clone()).collect();
            Credentials::of_pull_secrets(namespace, &secrets)
                .identity()
                .clone()
        };
        let all = [
            identity("shop", &[&a]),
            identity("shop2", &[&a]),
            identity("shop", &[&b]),
            identity("shop", &[&other]),
            identity("shop", &[&a, &b]),
            identity("shop", &[&b, &a]),
            Credentials::anonymous("shop").identity().clone(),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(identity("shop", &[&a]), all[0]);
    }

    #[test]
    fn neither_logins_nor_hashes_of_them_are_printed() {
        let secret = secret("pull", "canary");
        let hash = secret.content.hexadecimal().to_owned();
        let credentials = Credentials::of_pull_secrets("shop", &[secret]);
        let CredentialIdentity::PullSecrets(identity) = credentials.identity() else {
            panic!("{credentials:?}")
        };
        let printed = format!("{credentials:?}");
        for never in ["canary", &hash, identity.hexadecimal()] {
            assert!(!printed.contains(never), "{printed}");
        }
        assert!(printed.contains("PullSecrets"), "{printed}");
    }

    #[test]
    fn the_logins_of_a_namespace_are_never_for_a_mirror() {
        let image = ImageReference::parse(&format!("registry.example/a@{}", Digest::of(b"a")));
        let image = image.unwrap();
        let credentials = Credentials::of_pull_secrets("shop", &[secret("a", "p")]);
        assert!(credentials.for_origin(&image).is_some());
        assert!(credentials.for_mirror("registry.example", &image).is_none());
    }
}
