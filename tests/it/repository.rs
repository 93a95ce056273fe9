//! The files of this repository, as the other modules look at them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A text file, with its path from the repository's root.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The file's name without its extension.
    pub(crate) fn stem(&self) -> &str {
        let stem = Path::new(&self.path).file_stem();
        stem.and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// What ships: everything before the unit tests at the bottom.
    pub(crate) fn production(&self) -> &str {
        let tests = self.text.find("#[cfg(test)]\nmod tests {");
        self.text
            .get(..tests.unwrap_or(self.text.len()))
            .unwrap_or_default()
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Every text file, sorted by path; build output and the version history are left out.
pub(crate) fn all() -> &'static [Source] {
    static FILES: OnceLock<Vec<Source>> = OnceLock::new();
    FILES.get_or_init(|| {
        let mut files = Vec::new();
        collect(&root(), &root(), &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    })
}

/// The text files below a folder of the repository.
pub(crate) fn below(folder: &'static str) -> impl Iterator<Item = &'static Source> {
    all()
        .iter()
        .filter(move |file| file.path.starts_with(folder))
}

/// The text of one file. Where there is none, nothing can be said about it.
pub(crate) fn read(path: &str) -> &'static str {
    let file = all().iter().find(|file| file.path == path);
    file.map_or_else(|| panic!("there is no {path}"), |file| &file.text)
}

fn collect(folder: &Path, root: &Path, files: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink() || ["target", ".git"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(&path, root, files);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap();
            let path = path.to_string_lossy().into_owned();
            files.push(Source { path, text });
        }
    }
}

/// Compares a generated file with what it should hold; `UPDATE=1` writes it.
pub(crate) fn is_generated(path: &str, expected: &str) {
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        let path = root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, expected).unwrap();
        return;
    }
    let written = all().iter().any(|file| file.path == path);
    assert!(
        written,
        "there is no {path}; write it with: UPDATE=1 cargo test -p lockmaster-tests --test it"
    );
    let first = read(path)
        .lines()
        .map(Some)
        .chain(std::iter::repeat(None))
        .zip(expected.lines().map(Some).chain([None]))
        .find(|(found, expected)| found != expected);
    assert!(
        read(path) == expected,
        "{path} is not what the code says; write it with: UPDATE=1 cargo test -p lockmaster-tests \
         --test it\nfirst difference (file, code): {first:#?}"
    );
}

#[test]
#[should_panic(expected = "there is no docs/nowhere.md")]
fn a_file_that_is_not_there_is_named() {
    let _ = read("docs/nowhere.md");
}

/// Fails with all problems at once.
#[track_caller]
pub(crate) fn none(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n  {}", problems.join("\n  "));
}
