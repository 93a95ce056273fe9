//! People and ServiceAccounts: real certificates, real tokens, a kubeconfig file for each.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::{Cluster, FIELD_MANAGER};
use crate::pki::{self, Authority, Identity};

/// How long a token of [`Cluster::service_account`] lives: longer than any run.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// Somebody with a kubeconfig file of their own.
#[derive(Clone)]
pub struct Person {
    /// The name that the API server sees.
    pub name: String,
    /// The kubeconfig file.
    pub kubeconfig: PathBuf,
    /// A client that acts as this person.
    pub client: Client,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.name, self.kubeconfig.display())
    }
}

impl std::fmt::Display for Person {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Cluster {
    /// A person with a real client certificate; at most two groups.
    pub async fn person(&self, name: &str, groups: &[&str]) -> anyhow::Result<Person> {
        let credential = self.authority.client(name, groups)?;
        let identity = Identity::Certificate(&credential);
        self.identity(name, self.server(), &identity).await
    }

    /// A ServiceAccount with a real token; namespace and account are made if they are missing.
    pub async fn service_account(&self, namespace: &str, name: &str) -> anyhow::Result<Person> {
        self.service_account_through(self.server(), namespace, name)
            .await
    }

    /// Like [`Cluster::service_account`], with a kubeconfig that points to another server address,
    /// such as a [`crate::proxy::Proxy`] in front of this cluster.
    pub async fn service_account_through(
        &self,
        server: &str,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<Person> {
        self.ensure_namespace(namespace).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let account = serde_json::json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name },
        });
        accounts
            .patch(
                name,
                &PatchParams::apply(FIELD_MANAGER),
                &Patch::Apply(&account),
            )
            .await
            .with_context(|| format!("failed to make the account {namespace}/{name}"))?;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                expiration_seconds: Some(TOKEN_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("failed to get a token for {namespace}/{name}"))?
            .status
            .context("the API server answered without a token")?
            .token;
        let user = format!("system:serviceaccount:{namespace}:{name}");
        self.identity(&user, server, &Identity::Token(&token)).await
    }

    async fn identity(
        &self,
        name: &str,
        server: &str,
        identity: &Identity<'_>,
    ) -> anyhow::Result<Person> {
        person(
            self.directory.path(),
            name,
            server,
            self.authority.certificate(),
            identity,
        )
        .await
    }
}

/// Somebody in `system:masters`, with a name of their own so that the audit log tells them apart.
pub(super) async fn masters(
    server: &str,
    authority: &Authority,
    directory: &Path,
    name: &str,
) -> anyhow::Result<Person> {
    let credential = authority.client(name, &["system:masters"])?;
    let identity = Identity::Certificate(&credential);
    person(directory, name, server, authority.certificate(), &identity).await
}

async fn person(
    directory: &Path,
    name: &str,
    server: &str,
    authority: &str,
    identity: &Identity<'_>,
) -> anyhow::Result<Person> {
    let kubeconfig = pki::write_kubeconfig(directory, name, server, authority, identity)?;
    let client = client(&kubeconfig).await?;
    Ok(Person {
        name: name.to_owned(),
        kubeconfig,
        client,
    })
}

/// A client for a kubeconfig file.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("failed to read {}", kubeconfig.display()))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("failed to understand {}", kubeconfig.display()))?;
    Client::try_from(config).context("failed to make a client")
}
