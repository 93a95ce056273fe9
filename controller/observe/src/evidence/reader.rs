//! Who asks for evidence, and with what it is read for him.

use std::sync::Arc;

use lockmaster_core::environment::Environment;
use lockmaster_core::facts::Unavailable;
use lockmaster_core::release::{Digest, ImageReference};

use super::failures::Trouble;
use crate::pull_secrets::PullSecrets;
use crate::registry::{
    Artifact, Credentials, DockerConfig, FetchError, Looked, Problem, Reach, RegistryClient,
    Waiters,
};

/// Who asks for evidence: a namespace, and the pull secrets that its Environment names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asker {
    /// The namespace whose share of requests it costs.
    pub namespace: String,
    /// Its Secrets; with none, the operator's own logins are used.
    pub pull_secrets: Vec<String>,
}

impl Asker {
    /// For an Environment.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        Self {
            namespace: environment.namespace.clone(),
            pull_secrets: environment.pull_secrets.clone(),
        }
    }
}

/// What is known is kept by image, and apart for each who reads with Secrets of his own. All others
/// share it, because it is read for all of them with the same logins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) image: ImageReference,
    own: Option<Asker>,
}

impl Key {
    /// Whether it is kept for one who reads with Secrets of his own.
    pub(super) fn is_of_one(&self) -> bool {
        self.own.is_some()
    }

    pub(super) fn new(image: &ImageReference, asker: &Asker) -> Self {
        Self {
            image: image.clone(),
            own: (!asker.pull_secrets.is_empty()).then(|| asker.clone()),
        }
    }
}

/// Reads registries with the credentials that are meant.
pub(super) struct Reader {
    pub(super) client: RegistryClient,
    pub(super) pull_secrets: PullSecrets,
}

impl Reader {
    /// The credentials for this, on behalf of a namespace. `refused` says that the registry did not
    /// take those from before.
    pub(super) async fn credentials(
        &self,
        key: &Key,
        namespace: &str,
        refused: bool,
    ) -> Result<Credentials, Unavailable> {
        let Some(own) = &key.own else {
            let own = self.client.own_credentials(&key.image, namespace, refused);
            return Ok(own.await);
        };
        let Asker {
            namespace,
            pull_secrets,
        } = own;
        let secrets = self
            .pull_secrets
            .read(namespace, pull_secrets, refused)
            .await?;
        Ok(Credentials::of_pull_secrets(namespace, &secrets))
    }

    /// Reads what is attached, or only the lists where they still name what is `known`; once more where
    /// the credentials are refused and have changed.
    pub(super) async fn fetch(
        &self,
        key: &Key,
        waiters: &Waiters,
        credentials: Credentials,
        reach: Reach,
        known: Option<&Digest>,
    ) -> Result<Looked<Arc<Artifact>>, Trouble> {
        let mut fetched = self.ask(key, waiters, &credentials, reach, known).await;
        let mut used = credentials;
        if fetched.as_ref().err().is_some_and(is_refusal) {
            let namespace = used.namespace().to_owned();
            let fresh = self.credentials(key, &namespace, true).await?;
            if fresh.identity() != used.identity() {
                fetched = self.ask(key, waiters, &fresh, reach, known).await;
                used = fresh;
            }
        }
        fetched.map_err(|error| explain(key, &used, error))
    }

    async fn ask(
        &self,
        key: &Key,
        waiters: &Waiters,
        credentials: &Credentials,
        reach: Reach,
        known: Option<&Digest>,
    ) -> Result<Looked<Arc<Artifact>>, FetchError> {
        let (client, image) = (&self.client, &key.image);
        if let Some(known) = known {
            let again = client.look_again(waiters, image, credentials, reach, known);
            return again.await;
        }
        let found = client
            .look_on_behalf_of(waiters, image, credentials, reach)
            .await;
        found.map(Looked::Found)
    }
}

fn is_refusal(error: &FetchError) -> bool {
    matches!(error.problem, Problem::Forbidden { .. })
}

/// Says with which Secrets it was refused, and what in them is not used.
fn explain(key: &Key, used: &Credentials, error: FetchError) -> Trouble {
    let (Problem::Forbidden { login, .. }, Some(own)) = (&error.problem, &key.own) else {
        return error.into();
    };
    let names = own.pull_secrets.join(", ");
    let mut message = if *login {
        format!("{error}; it was asked with spec.pullSecrets {names}")
    } else {
        let registry = key.image.registry();
        format!("{error}; spec.pullSecrets {names} have no login for {registry}")
    };
    for ignored in used.logins().iter().flat_map(DockerConfig::ignored) {
        message.push_str("; ");
        message.push_str(ignored);
    }
    Unavailable {
        cause: error.cause(),
        message,
    }
    .into()
}
