//! The real components of the test bed, built from the pinned Go modules in `tests/testbed`.
//!
//! Each is built at most once per machine and version of its module: the result lies in the user's
//! cache directory under a hash of what it is built from, and a file lock keeps two processes from
//! building the same thing at the same time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use crate::progress;

mod components;

use components::{COMPONENTS, Component, SIGSTORE};

/// The oldest Go release that the pinned modules accept.
const GO_MINIMUM: (u32, u32) = (1, 26);

/// The built components.
#[derive(Debug, Clone)]
pub struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Builds what is not built yet; returns within milliseconds when all is there.
    ///
    /// # Errors
    /// When Go is missing or too old, or a build fails; the message says what to do.
    pub fn ensure() -> anyhow::Result<Self> {
        Self::of(&COMPONENTS)
    }

    /// The programs of a private Sigstore: identity, fulcio, rekor and timestamp-server. Only who
    /// needs them waits for them.
    ///
    /// # Errors
    /// As [`Tools::ensure`].
    pub fn ensure_sigstore() -> anyhow::Result<Self> {
        Self::of(&SIGSTORE)
    }

    fn of(components: &[Component]) -> anyhow::Result<Self> {
        let cache = cache_directory()?;
        std::fs::create_dir_all(&cache)
            .with_context(|| format!("failed to create {}", cache.display()))?;
        let mut links = Vec::new();
        let mut all = Sha256::new();
        for component in components {
            let binary = component.ensure(&cache)?;
            all.update(binary.as_os_str().as_encoded_bytes());
            links.extend(
                component
                    .programs
                    .iter()
                    .map(|program| (*program, binary.clone())),
            );
        }
        let directory = cache.join(format!("bin-{}", short(all)));
        link_programs(&cache, &directory, &links)?;
        Ok(Self { directory })
    }

    /// A directory for `PATH` with the programs in it; [`Tools::ensure`] gives etcd,
    /// kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok, cosign, registry,
    /// distribution, crane and helm.
    #[must_use]
    pub fn path_dir(&self) -> &Path {
        &self.directory
    }

    /// The path of one program.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Component {
    /// The path of the binary, built if need be.
    fn ensure(&self, cache: &Path) -> anyhow::Result<PathBuf> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testbed")
            .join(self.name);
        let binary = cache.join(format!("{}-{}", self.name, self.hash(&source)?));
        if binary.exists() {
            return Ok(binary);
        }
        let lock = File::create(cache.join(format!("{}.lock", self.name)))
            .context("failed to create a lock file in the cache")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress::line(&format!("waiting: another process builds {}", self.what));
                lock.lock().context("failed to wait for the build lock")?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context("failed to lock the build cache");
            }
        }
        if !binary.exists() {
            self.build(&source, &binary)?;
        }
        Ok(binary)
    }

    /// What the binary depends on: the module's files and the flags.
    fn hash(&self, source: &Path) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        for name in ["go.mod", "go.sum", "main.go"] {
            let path = source.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    hash.update(format!("{name} {}\n", bytes.len()));
                    hash.update(bytes);
                }
                Err(_) if name == "main.go" => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("failed to read {}", path.display()));
                }
            }
        }
        hash.update(self.package);
        hash.update(self.stamps.join(" "));
        Ok(short(hash))
    }

    /// Runs the Go build into a temporary file and moves it into place.
    fn build(&self, source: &Path, binary: &Path) -> anyhow::Result<()> {
        require_go(source)?;
        progress::line(&format!(
            "building {} ({}; once per version, kept in the cache)",
            self.what, self.minutes
        ));
        let started = Instant::now();
        let unfinished = binary.with_extension(format!("{}.part", std::process::id()));
        let stamps: Vec<String> = self.stamps.iter().map(|s| format!(" -X {s}")).collect();
        let output = Command::new("go")
            .args(["build", "-trimpath", "-buildvcs=false", "-ldflags"])
            .arg(format!("-s -w{}", stamps.concat()))
            .arg("-o")
            .arg(&unfinished)
            .arg(self.package)
            .current_dir(source)
            .env("GOWORK", "off")
            .output()
            .context("failed to run go")?;
        if !output.status.success() {
            let _ = std::fs::remove_file(&unfinished);
            bail!(
                "failed to build {} in {}:\n{}",
                self.name,
                source.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::fs::rename(&unfinished, binary).context("failed to move the binary into place")?;
        progress::line(&format!(
            "built {} in {} s",
            self.name,
            started.elapsed().as_secs()
        ));
        Ok(())
    }
}

/// Says in one line what to install when Go is missing or too old.
fn require_go(source: &Path) -> anyhow::Result<()> {
    let (major, minor) = GO_MINIMUM;
    let install = format!(
        "install Go {major}.{minor} or newer (https://go.dev/dl): the test bed builds its control \
         plane, registries and signing tools with it"
    );
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(source)
        .output();
    let Ok(output) = output else {
        bail!("Go is not installed: {install}")
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || !is_recent_enough(&version) {
        bail!("the installed Go {version} is too old: {install}");
    }
    Ok(())
}

/// Whether `go1.26.8` and the like is at least [`GO_MINIMUM`]; development versions count as new.
fn is_recent_enough(version: &str) -> bool {
    let Some(numbers) = version.strip_prefix("go") else {
        return version.starts_with("devel");
    };
    let mut numbers = numbers
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= GO_MINIMUM,
        _ => false,
    }
}

/// Where built components are kept, outside of the repository: `cargo clean` must not cost minutes.
fn cache_directory() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("set HOME or XDG_CACHE_HOME: built components are kept there")?;
    Ok(base.join("lockmaster").join("testbed"))
}

/// Makes the directory of links in one step, so that nobody sees half of it.
fn link_programs(cache: &Path, to: &Path, links: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    if to.exists() {
        return Ok(());
    }
    let unfinished = tempfile::tempdir_in(cache).context("failed to write to the cache")?;
    for (program, binary) in links {
        std::os::unix::fs::symlink(binary, unfinished.path().join(program))
            .with_context(|| format!("failed to link {program}"))?;
    }
    let unfinished = unfinished.keep();
    if let Err(error) = std::fs::rename(&unfinished, to) {
        let _ = std::fs::remove_dir_all(&unfinished);
        // Another process was faster: the same links, so nothing is lost.
        if !to.exists() {
            return Err(error).context("failed to move the links into place");
        }
    }
    Ok(())
}

/// The first 16 hex digits: enough to tell versions apart, short enough to read.
fn short(hash: Sha256) -> String {
    hex::encode(hash.finalize()).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::is_recent_enough;

    #[test]
    fn old_go_is_refused() {
        for (version, expected) in [
            ("go1.26.8", true),
            ("go1.27rc1", true),
            ("go2.0", true),
            ("go1.25.9", false),
            ("devel go1.28-abc", true),
            ("", false),
            ("gccgo", false),
        ] {
            assert_eq!(is_recent_enough(version), expected, "{version}");
        }
    }
}
