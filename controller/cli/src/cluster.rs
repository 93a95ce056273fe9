//! The cluster: which one, as whom, and every request with a message that says what to mend.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::{ApiResource, DynamicObject, NamespaceResourceScope};
use kube::{Api, Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Connection;
use crate::failure::{Attempt, Exit, Failure, of_api, one_line};
use crate::read::{Listed, read};

/// How long connecting may take: somebody is waiting at a prompt.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take. The API server gives up itself after 60 s.
const ANSWER: Duration = Duration::from_mins(1);

/// Objects asked for at once.
const PAGE: u32 = 500;

/// A cluster, with the namespace that is meant.
pub(crate) struct Cluster {
    client: Client,
    namespace: String,
    server: String,
    impersonated: bool,
}

impl Cluster {
    /// Reads the kubeconfig; asks nobody yet.
    pub(crate) async fn connect(connection: &Connection) -> anyhow::Result<Self> {
        let listed = std::env::var_os("KUBECONFIG");
        let mut config = configuration(connection, listed.as_deref()).await?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        // A broken server is named at once, rather than after a minute of silence.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        let namespace = connection
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let user = &config.auth_info;
        let impersonated = user.impersonate.is_some()
            || user.impersonate_uid.is_some()
            || user.impersonate_groups.is_some()
            || user.impersonate_user_extra.is_some();
        let client = Client::try_from(config).map_err(|error| {
            Failure::usage(format!(
                "the kubeconfig's credentials for {server} cannot be used: {}",
                one_line(&error.to_string())
            ))
        })?;
        Ok(Self {
            client,
            namespace,
            server: server.trim_end_matches('/').to_owned(),
            impersonated,
        })
    }

    /// The namespace that is meant.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Refuses a kubeconfig that acts as somebody else: a decision is made by whoever logged in.
    pub(crate) fn refuse_impersonation(&self) -> anyhow::Result<()> {
        if self.impersonated {
            let text = "the user of this kubeconfig context impersonates somebody else; decide as \
                        yourself, with another --context";
            return Err(Failure::new(Exit::NotPermitted, text).into());
        }
        Ok(())
    }

    fn attempt<'a>(&'a self, words: &'a Words, verb: &'a str, name: &'a str) -> Attempt<'a> {
        let namespaced = words.namespaced;
        Attempt {
            verb,
            kind: &words.kind,
            resource: &words.resource,
            namespace: if namespaced { &self.namespace } else { "" },
            name,
            server: &self.server,
        }
    }

    /// Reads one object of the namespace.
    pub(crate) async fn get<K: Namespaced>(&self, name: &str) -> anyhow::Result<K> {
        let answer = self.untyped::<K>().get(name).await;
        let words = Words::of::<K>(true);
        let object = answer.map_err(|error| of_api(&error, &self.attempt(&words, "get", name)))?;
        Ok(read(&object, &words.kind).map_err(|problem| Failure::unreadable(&problem))?)
    }

    /// Reads one object without a namespace.
    pub(crate) async fn get_global<K: Global>(&self, name: &str) -> anyhow::Result<K> {
        let answer = Api::<K>::all(self.client.clone()).get(name).await;
        let words = Words::of::<K>(false);
        Ok(answer.map_err(|error| of_api(&error, &self.attempt(&words, "get", name)))?)
    }

    /// Reads all objects of a kind in the namespace, page by page.
    pub(crate) async fn list<K: Namespaced>(&self) -> anyhow::Result<Listed<K>> {
        let api = self.untyped::<K>();
        let words = Words::of::<K>(true);
        let mut parameters = ListParams::default().limit(PAGE);
        let mut items = Vec::new();
        loop {
            let page = api
                .list(&parameters)
                .await
                .map_err(|error| of_api(&error, &self.attempt(&words, "list", "")))?;
            items.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(Listed::of(items, &words.kind)),
            }
        }
    }

    /// Creates an object in the namespace; `None` where one of that name exists.
    pub(crate) async fn create<K: Namespaced + Serialize>(
        &self,
        object: &K,
        manager: &str,
    ) -> anyhow::Result<Option<K>> {
        let parameters = PostParams {
            field_manager: Some(manager.to_owned()),
            ..PostParams::default()
        };
        match self.namespaced::<K>().create(&parameters, object).await {
            Ok(created) => Ok(Some(created)),
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(None),
            Err(error) => {
                let words = Words::of::<K>(true);
                let name = object.meta().name.clone().unwrap_or_default();
                Err(of_api(&error, &self.attempt(&words, "create", &name)).into())
            }
        }
    }

    /// Merges `patch` into an object of the namespace.
    pub(crate) async fn merge<K: Namespaced>(
        &self,
        name: &str,
        patch: &serde_json::Value,
        manager: &str,
    ) -> anyhow::Result<K> {
        let parameters = PatchParams {
            field_manager: Some(manager.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        let answer = self
            .namespaced::<K>()
            .patch(name, &parameters, &patch)
            .await;
        let words = Words::of::<K>(true);
        Ok(answer.map_err(|error| of_api(&error, &self.attempt(&words, "patch", name)))?)
    }

    /// Asks the API server a question in the shape of an object without a namespace.
    pub(crate) async fn ask<K: Global + Serialize>(&self, question: &K) -> anyhow::Result<K> {
        let api = Api::<K>::all(self.client.clone());
        let answer = api.create(&PostParams::default(), question).await;
        let words = Words::of::<K>(false);
        Ok(answer.map_err(|error| of_api(&error, &self.attempt(&words, "create", "")))?)
    }

    /// For reading: the client would answer one unreadable object with nothing at all.
    fn untyped<K: Namespaced>(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<K>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    fn namespaced<K: Namespaced>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// A kind whose objects live in namespaces.
pub(crate) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
{
}

/// A kind whose objects do not.
pub(crate) trait Global:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug
{
}

impl<K> Global for K where K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug {}

/// How messages name a kind.
struct Words {
    kind: String,
    resource: String,
    namespaced: bool,
}

impl Words {
    fn of<K: Resource<DynamicType = ()>>(namespaced: bool) -> Self {
        Self {
            kind: K::kind(&()).into_owned(),
            resource: format!("{}.{}", K::plural(&()), K::group(&())),
            namespaced,
        }
    }
}

/// `listed` is the value of `$KUBECONFIG`.
async fn configuration(connection: &Connection, listed: Option<&OsStr>) -> anyhow::Result<Config> {
    let Connection {
        context,
        kubeconfig,
        namespace: _,
        timeout: _,
    } = connection;
    let merged = match (kubeconfig, listed) {
        (None, Some(value)) => merged(value)?,
        (Some(_), _) | (None, None) => None,
    };
    // A pod's own account is for where nobody named anything.
    let chosen = context.is_some() || kubeconfig.is_some() || merged.is_some();
    let read = match (kubeconfig, merged) {
        (Some(path), _) => Kubeconfig::read_from(path),
        (None, Some(merged)) => Ok(merged),
        (None, None) => standing(),
    };
    let options = KubeConfigOptions {
        context: context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match read {
        Ok(read) => Config::from_custom_kubeconfig(read, &options).await,
        Err(error) => Err(error),
    };
    match config {
        Ok(config) => Ok(config),
        // In a pod there is no kubeconfig; where one was asked for, its problem is the answer.
        Err(error) if !chosen && is_absent(&error) => {
            Ok(Config::incluster().map_err(|_| unreadable(&error, kubeconfig.as_deref()))?)
        }
        Err(error) => Err(unreadable(&error, kubeconfig.as_deref()).into()),
    }
}

/// What `$KUBECONFIG` lists, first come first served. As kubectl does, a file that does not exist is
/// passed over; that none of them exists is a mistake, and never a reason to be somebody else.
fn merged(listed: &OsStr) -> Result<Option<Kubeconfig>, Failure> {
    let paths: Vec<PathBuf> = std::env::split_paths(listed)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    if paths.is_empty() {
        return Ok(None);
    }
    let mut merged: Option<Kubeconfig> = None;
    for path in &paths {
        let problem = |error: KubeconfigError| unreadable(&error, Some(path));
        let read = match Kubeconfig::read_from(path) {
            Err(error) if is_absent(&error) => continue,
            read => read.map_err(problem)?,
        };
        merged = Some(match merged {
            Some(before) => before.merge(read).map_err(problem)?,
            None => read,
        });
    }
    if merged.is_none() {
        return Err(Failure::usage(format!(
            "$KUBECONFIG lists no file that exists: {}; mend it, or name one with --kubeconfig",
            listed.display()
        )));
    }
    Ok(merged)
}

/// The file in the home directory.
fn standing() -> Result<Kubeconfig, KubeconfigError> {
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty());
    let home = home.ok_or(KubeconfigError::FindPath)?;
    Kubeconfig::read_from(home.join(".kube").join("config"))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "kube's list of problems grows; a new one is not an absent file"
)]
fn is_absent(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(cause, _) => cause.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "kube's list of problems grows; each says itself what it is"
)]
fn unreadable(error: &KubeconfigError, given: Option<&Path>) -> Failure {
    let source = given.map_or_else(
        || "the kubeconfig ($KUBECONFIG, or ~/.kube/config)".to_owned(),
        |path| format!("the kubeconfig {}", path.display()),
    );
    Failure::usage(match error {
        KubeconfigError::ReadConfig(cause, path) => format!(
            "the kubeconfig {} cannot be read: {cause}; name another with --kubeconfig",
            path.display()
        ),
        KubeconfigError::LoadContext(name) => {
            format!("{source} has no context {name}; see: kubectl config get-contexts")
        }
        KubeconfigError::CurrentContextNotSet => {
            format!("{source} has no current context; name one with --context")
        }
        other => format!("{source} is malformed: {}", one_line(&other.to_string())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: &str, context: Option<&str>) -> String {
        let directory = std::env::temp_dir().join(format!("lockmaster-cli-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let name: String = text.bytes().map(|b| format!("{b:02x}")).take(20).collect();
        let path = directory.join(format!("{name}-{}", context.unwrap_or("none")));
        std::fs::write(&path, text).unwrap();
        let connection = Connection {
            kubeconfig: Some(path.clone()),
            context: context.map(str::to_owned),
            ..Connection::default()
        };
        let error = Cluster::connect(&connection).await.err().unwrap();
        std::fs::remove_file(path).unwrap();
        let failure = crate::failure::of(&error);
        assert_eq!(failure.exit, Exit::Failed);
        assert!(!failure.message.contains('\n'), "{failure}");
        failure.message
    }

    #[tokio::test]
    async fn a_malformed_kubeconfig_is_named() {
        let text = refused("apiVersion: [", None).await;
        assert!(text.contains("is malformed"), "{text}");
        let text = refused("apiVersion: v1\nkind: Config\n", None).await;
        assert!(text.contains("--context"), "{text}");
        let text = refused("apiVersion: v1\nkind: Config\n", Some("prod")).await;
        assert!(text.contains("has no context prod"), "{text}");
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let connection = Connection {
            kubeconfig: Some("/nonexistent/config".into()),
            ..Connection::default()
        };
        let error = Cluster::connect(&connection).await.err().unwrap();
        let text = crate::failure::of(&error).message;
        assert!(
            text.contains("/nonexistent/config cannot be read"),
            "{text}"
        );
    }

    /// A kubeconfig file with one context, in a directory of its own.
    fn file(directory: &Path, name: &str, server: &str, current: bool) -> PathBuf {
        let current = if current { name } else { "\"\"" };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {current}\n\
             clusters: [{{name: {name}, cluster: {{server: 'https://{server}'}}}}]\n\
             users: [{{name: {name}, user: {{}}}}]\n\
             contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}}}}}]\n"
        );
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[tokio::test]
    async fn a_listed_file_that_is_not_there_is_passed_over() {
        let directory =
            std::env::temp_dir().join(format!("lockmaster-list-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let first = file(&directory, "first", "first.example", true);
        let second = file(&directory, "second", "second.example", false);
        let missing = directory.join("missing");
        let asked = |context: Option<&str>| Connection {
            context: context.map(str::to_owned),
            ..Connection::default()
        };
        let list = |paths: &[&PathBuf]| std::env::join_paths(paths).unwrap();
        let some = list(&[&missing, &first, &second]);
        let config = configuration(&asked(None), Some(&some)).await.unwrap();
        assert_eq!(config.cluster_url.host(), Some("first.example"));
        let config = configuration(&asked(Some("second")), Some(&some))
            .await
            .unwrap();
        assert_eq!(config.cluster_url.host(), Some("second.example"));

        let none = list(&[&missing]);
        let error = configuration(&asked(None), Some(&none)).await.unwrap_err();
        let text = crate::failure::of(&error).message;
        assert!(
            text.starts_with("$KUBECONFIG lists no file that exists: "),
            "{text}"
        );
        // A directory exists and cannot be read.
        let unreadable = list(&[&directory, &first]);
        let error = configuration(&asked(None), Some(&unreadable))
            .await
            .unwrap_err();
        let text = crate::failure::of(&error).message;
        assert!(text.contains("cannot be read"), "{text}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
