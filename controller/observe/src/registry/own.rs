//! The operator's own login for a registry: a file that may change while the operator runs, as a
//! mounted Secret does.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lockmaster_core::release::Digest;

use super::docker_config::DockerConfig;
use super::lock;

/// How long it is used before it is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// A file of logins, as it was read last.
pub(super) struct OwnFile {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Clone)]
struct Known {
    read: Instant,
    content: Digest,
    logins: DockerConfig,
}

impl OwnFile {
    /// Reads it for the first time; the words say why that failed.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let bytes = std::fs::read(path)
            .map_err(|error| format!("its credentials file {shown} cannot be read: {error}"))?;
        let known = Known::of(&bytes).map_err(|error| format!("{shown}: {error}"))?;
        Ok(Self {
            path: path.to_owned(),
            known: Mutex::new(known),
        })
    }

    /// Hash and logins; read again when they are old or, with `fresh`, in any case. While that
    /// fails, what was read before is used.
    pub(super) async fn read(&self, fresh: bool) -> (Digest, DockerConfig) {
        let known = lock(&self.known).clone();
        if !fresh && known.read.elapsed() < READ_AGAIN_AFTER {
            return (known.content, known.logins);
        }
        let problem = match tokio::fs::read(&self.path).await {
            Ok(bytes) => match Known::of(&bytes) {
                Ok(newer) => {
                    *lock(&self.known) = newer.clone();
                    return (newer.content, newer.logins);
                }
                Err(error) => error,
            },
            Err(error) => error.to_string(),
        };
        let file = self.path.display();
        tracing::warn!(%file, problem, "credentials not read again; those from before are used");
        lock(&self.known).read = Instant::now();
        (known.content, known.logins)
    }
}

impl Known {
    fn of(bytes: &[u8]) -> Result<Self, String> {
        let logins = DockerConfig::parse(bytes).map_err(|error| error.to_string())?;
        for ignored in logins.ignored() {
            tracing::warn!(ignored, "a part of a credentials file is not used");
        }
        Ok(Self {
            read: Instant::now(),
            content: Digest::of(bytes),
            logins,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_changes_is_read_again_and_one_that_breaks_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let missing = OwnFile::open(&path).err().unwrap();
        assert!(missing.contains("cannot be read"), "{missing}");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("canary");
        let malformed = OwnFile::open(&path).err().unwrap();
        assert!(malformed.contains("no docker configuration") && !malformed.contains("canary"));
        write(r#"{"auths":{}}"#);
        let file = OwnFile::open(&path).unwrap();
        let (first, _) = file.read(false).await;
        write(r#"{"auths":{} }"#);
        assert_eq!(file.read(false).await.0, first, "not yet");
        let (second, _) = file.read(true).await;
        assert_ne!(second, first);
        write("broken");
        assert_eq!(file.read(true).await.0, second);
    }
}
