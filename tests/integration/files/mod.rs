//! The file: its creation, who may open it, and files that are not stores.

mod creation;
mod opened;
mod others;
mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use sessile::{Attributes, Error, SessionStore};

type Store = SessionStore<Attributes>;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn refusal(path: &Path) -> Error {
    match Store::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => {
            let text = error.to_string();
            // Windows shows the path with its own separators.
            let path = path.to_string_lossy().replace('/', std::path::MAIN_SEPARATOR_STR);
            let path = path.replace('\0', "\\u{0}");
            let text = text.replace('/', std::path::MAIN_SEPARATOR_STR);
            assert!(text.contains(&path), "no path in: {text}");
            error
        }
    }
}
