//! As whom private registries are asked: the logins that `docker login` and its like keep in a file.
//! Only what stands in the file counts; no program is run for the rest. Each login goes to the
//! registry that it is for, and none is printed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use lockmaster_core::release::Digest;
use lockmaster_observe::registry::{Credentials, DockerConfig, PullSecret};

use crate::failure::Failure;

/// What to do where a login is not in the file.
const GIVE: &str = "give a file that has user name and password under auths with \
                    --registry-config FILE; kubectl create secret docker-registry makes one \
                    (docs/reference/cli.md, verify)";

/// The logins of whoever calls.
pub(super) struct Login {
    credentials: Credentials,
    file: Option<(PathBuf, DockerConfig)>,
}

impl Login {
    /// Nobody's.
    pub(super) fn nobody() -> Self {
        Self {
            credentials: Credentials::anonymous(""),
            file: None,
        }
    }

    /// Those of the file that was named, which must be there, or of the one that docker, podman and
    /// their like would use, if there is one.
    pub(super) fn read(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => match usual(|name| std::env::var_os(name).map(PathBuf::from)) {
                Some(path) => path,
                None => return Ok(Self::nobody()),
            },
        };
        Self::of_file(path)
    }

    fn of_file(path: PathBuf) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(&path)
            .with_context(|| format!("failed to read the logins in {shown}"))?;
        let logins = DockerConfig::parse_personal(&bytes)
            .map_err(|error| Failure::usage(format!("{shown}: {error}; or {GIVE}")))?;
        let secret = PullSecret {
            name: shown.to_string(),
            content: Digest::of(&bytes),
            logins: logins.clone(),
        };
        Ok(Self {
            credentials: Credentials::of_pull_secrets("", &[secret]),
            file: Some((path, logins)),
        })
    }

    /// As whom to ask.
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What to do where a registry refused to show a repository, with a login or without.
    pub(super) fn mend(&self, repository: &str, shown: bool) -> String {
        let Some((path, logins)) = &self.file else {
            return format!("it may not be read without a login: log in, or {GIVE}");
        };
        let path = path.display();
        if shown {
            return format!(
                "the login for it in {path} is refused, or may not read this repository: mend it \
                 or its rights"
            );
        }
        let why = logins
            .unread_for(repository)
            .unwrap_or("it has no login for it");
        format!("it may not be read without a login, and of {path}, {why}: {GIVE}")
    }
}

/// The file that others use: the one that the environment names, or the one at home.
fn usual(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let named = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
    let candidates = [
        named("DOCKER_CONFIG").map(|folder| folder.join("config.json")),
        named("REGISTRY_AUTH_FILE"),
        named("HOME").map(|home| home.join(".docker/config.json")),
    ];
    candidates.into_iter().flatten().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: &str = "registry.example/shop/checkout";

    fn login(text: &str) -> (tempfile::TempDir, anyhow::Result<Login>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).unwrap();
        let login = Login::read(Some(&path));
        (folder, login)
    }

    #[test]
    fn what_to_do_depends_on_what_stands_in_the_file() {
        let check = |text: &str, shown, expect: &str| {
            let (_folder, login) = login(text);
            let mend = login.unwrap().mend(REPOSITORY, shown);
            assert!(mend.contains(expect), "{mend}");
            assert!(!mend.contains("canary"), "{mend}");
        };
        let own = r#"{"auths":{"registry.example":{"username":"u","password":"canary"}}}"#;
        check(own, true, "mend it or its rights");
        check("{}", false, "has no login for it: give a file");
        check(
            r#"{"credsStore":"desktop"}"#,
            false,
            "none is run: give a file",
        );
        let helper = r#"{"credHelpers":{"registry.example":"ecr-login"}}"#;
        check(
            helper,
            false,
            "its credHelpers leave the login to a program",
        );
        let mend = Login::nobody().mend(REPOSITORY, false);
        assert!(mend.contains("log in, or give a file"), "{mend}");
    }

    #[test]
    fn a_file_that_is_named_must_be_readable_and_is_not_repeated() {
        let missing = Login::read(Some(Path::new("/nowhere/config.json")));
        let text = format!("{:#}", missing.err().unwrap());
        assert!(text.contains("failed to read the logins"), "{text}");
        let (_folder, broken) = login(r#"{"auths":{"registry.example":"canary"}}"#);
        let text = format!("{:#}", broken.err().unwrap());
        assert!(text.contains("no docker configuration"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn the_environment_comes_before_the_home() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "{}").unwrap();
            path
        };
        let (own, podman, home) = (
            at("own/config.json"),
            at("auth.json"),
            at("home/.docker/config.json"),
        );
        let with = |set: &[&str]| {
            usual(|name| {
                let path = match name {
                    "DOCKER_CONFIG" => folder.path().join("own"),
                    "REGISTRY_AUTH_FILE" => podman.clone(),
                    "HOME" => folder.path().join("home"),
                    other => panic!("{other}"),
                };
                set.contains(&name).then_some(path)
            })
        };
        let all = ["DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "HOME"];
        assert_eq!(with(&all), Some(own));
        assert_eq!(with(&all[1..]), Some(podman.clone()));
        assert_eq!(with(&all[2..]), Some(home.clone()));
        assert_eq!(with(&[]), None);
        std::fs::remove_file(&home).unwrap();
        assert_eq!(with(&all[2..]), None, "there need not be one");
    }
}
