//! A new store under construction, beside its place. It is removed if its creation fails.
//!
//! Invariant: a file is removed here only if this process or an ended one made it. The number in
//! its name cannot be guessed, the file's mark holds the same number, and nobody has the file
//! locked. A draft replaces nothing.

use std::ffi::OsString;
use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::descriptors::beside_standard_streams;
use crate::engine::redb::digest::digest_of;
use crate::engine::redb::storage::folder::{locked, opened};
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::{
    Owner, ensure_no_link, give_to, move_to_nothing, no_follow, patiently, private, sync_folder_of,
    try_lock,
};
use crate::engine::redb::storage::unfinished::{Token, is_draft};
use crate::engine::redb::storage::{Draft, Opened};
use crate::error::{Error, Result};
use crate::random::{SystemRandom, draw};

/// The start of every draft's name. The digest of the final name and the draft's number follow.
const PREFIX: &str = ".sessile-";
const TRIES: usize = 10;

/// A new file beside the path, removed unless it is moved there.
pub(in crate::engine::redb) struct Beside {
    path: PathBuf,
    name: PathBuf,
    token: Token,
    file: File,
    /// Whether the name leads to this file, so that it may be removed.
    is_ours: bool,
}

impl Beside {
    pub(in crate::engine::redb) fn create(path: &Path) -> Result<Self> {
        for _ in 0..TRIES {
            let (name, token) = draw_name(path)?;
            let mut open = OpenOptions::new();
            open.read(true).write(true).create_new(true);
            let file = private(&mut open).open(&name);
            let file = file
                .map(beside_standard_streams)
                .map_err(|error| Error::io("create", path, error))?;
            let created = Self { path: path.into(), name, token, file, is_ours: true };
            // Another process may hold the lock while it checks whether the draft was abandoned.
            if try_lock(path, &created.file)? {
                return Ok(created);
            }
        }
        Err(Error::AlreadyOpen { path: path.into() })
    }
}

impl Draft for Beside {
    fn token(&self) -> Token {
        self.token
    }

    /// The opened file shares the lock.
    fn open(&self) -> Result<Opened> {
        let file = self.file.try_clone();
        opened(&self.path, file.map_err(|error| Error::io("open", &self.path, error))?, true)
    }

    fn give_to(&self, owner: Owner) -> Result<()> {
        give_to(&self.file, owner)
            .map_err(|error| Error::io("keep the owner of", &self.path, error))
    }

    fn move_in_place(mut self: Box<Self>) -> Result<()> {
        let failed = |error| Error::io("create", &self.path, error);
        move_to_nothing(&self.name, &self.path).map_err(failed)?;
        self.is_ours = false;
        let unsynced = |error| Error::io("sync the folder of the new file", &self.path, error);
        sync_folder_of(&self.path).map_err(unsynced)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.is_ours {
            // An earlier error is the one to report.
            let _ = remove_if(&self.name, &self.file);
        }
    }
}

/// Draws a number for a draft of this file; returns the draft's path and the number.
pub(in crate::engine::redb) fn draw_name(path: &Path) -> Result<(PathBuf, Token)> {
    let token = draw(&SystemRandom)?;
    let name = format!("{}{:032x}", prefix_of(path), u128::from_be_bytes(token));
    Ok((path.with_file_name(name), token))
}

/// The start of the names of all drafts of this file. Its length is the same for every name.
fn prefix_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    let digest = digest_of(name.as_encoded_bytes());
    let number = u128::from_be_bytes(digest) >> 64;
    format!("{PREFIX}{number:016x}-")
}

/// Removes the drafts of this file that ended processes left. A draft that cannot be read stays.
pub(in crate::engine::redb) fn remove_abandoned(path: &Path) {
    let prefix = prefix_of(path);
    let folder = path.parent().unwrap_or(path);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for name in entries.flatten().map(|entry| entry.file_name()) {
        if let Some(token) = token_in(&name, &prefix) {
            let _ = remove_if_abandoned(&folder.join(&name), &token);
        }
    }
}

fn token_in(name: &OsString, prefix: &str) -> Option<Token> {
    let digits = name.to_str()?.strip_prefix(prefix)?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    (format!("{number:032x}") == digits).then_some(number.to_be_bytes())
}

fn remove_if_abandoned(name: &Path, token: &Token) -> Result<()> {
    let failed = |error| Error::io("remove", name, error);
    let mut open = OpenOptions::new();
    open.read(true).write(true);
    let file = no_follow(&mut open).open(name).map_err(failed)?;
    ensure_no_link(name, &file)?;
    let Some(bytes) = locked(name, file.try_clone().map_err(failed)?, false)? else {
        return Ok(());
    };
    let removed = match is_draft(&*bytes.backend, token) {
        Ok(true) => remove_if(name, &file),
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    let _ = bytes.backend.close();
    removed.map_err(failed)
}

/// Removes a name if it leads to this file.
fn remove_if(name: &Path, file: &File) -> io::Result<()> {
    match Identity::at(name)? == Identity::of(file)? {
        true => patiently(|| fs::remove_file(name)),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::redb::storage::unfinished::{Making, clear, mark};

    /// A draft as a killed process leaves it: its name and its bytes, locked by nobody.
    fn abandoned(path: &Path, making: Option<Making>) -> PathBuf {
        let draft = Beside::create(path).unwrap();
        let backend = draft.open().unwrap().backend;
        if let Some(making) = making {
            mark(&*backend, making, &draft.token()).unwrap();
        } else {
            backend.set_len(8_192).unwrap();
            clear(&*backend).unwrap();
        }
        let (name, bytes) = (draft.name.clone(), fs::read(&draft.name).unwrap());
        drop((backend, draft));
        assert!(!name.exists(), "one that is given up is removed");
        fs::write(&name, bytes).unwrap();
        name
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_draft_that_a_killed_process_left_is_removed_and_nothing_that_only_looks_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        let mut kept = vec![
            abandoned(&path, None),
            abandoned(&folder.path().join("other.redb"), Some(Making::Begun)),
        ];
        let under_way = Beside::create(&path).unwrap();
        let opened = under_way.open().unwrap();
        mark(&*opened.backend, Making::Begun, &under_way.token()).unwrap();
        kept.push(under_way.name.clone());
        // A copy under another number, and files that are no stores.
        let copied = abandoned(&path, Some(Making::Complete));
        for content in [fs::read(&copied).unwrap(), b"a thesis".to_vec(), Vec::new()] {
            let (name, _) = draw_name(&path).unwrap();
            fs::write(&name, content).unwrap();
            kept.push(name);
        }
        for name in ["sessions.redb.new", "sessions.redb.copy", ".sessile-", ".sessile-x-y"] {
            fs::write(folder.path().join(name), b"somebody's").unwrap();
            kept.push(folder.path().join(name));
        }
        let (in_the_way, _) = draw_name(&path).unwrap();
        fs::create_dir(&in_the_way).unwrap();
        kept.push(in_the_way);
        kept.sort();

        let also = abandoned(&path, Some(Making::Begun));
        assert_eq!(names(folder.path()).len(), kept.len() + 2);
        remove_abandoned(&path);
        assert!(!copied.exists() && !also.exists());
        assert_eq!(names(folder.path()), kept);
    }

    #[test]
    fn a_draft_takes_the_place_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.redb");
        for content in [b"somebody's".as_slice(), b""] {
            let draft = Box::new(Beside::create(&path).unwrap());
            fs::write(&path, content).unwrap();
            let moved = draft.move_in_place();
            assert!(
                matches!(&moved, Err(Error::Io { source, .. })
                    if source.to_string().contains("exists")),
                "{moved:?}"
            );
            assert_eq!(fs::read(&path).unwrap(), content);
            assert_eq!(names(folder.path()), std::slice::from_ref(&path), "the draft is gone");
            fs::remove_file(&path).unwrap();
        }
        let draft = Box::new(Beside::create(&path).unwrap());
        draft.open().unwrap().backend.write(0, b"new").unwrap();
        draft.move_in_place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn the_name_of_a_draft_is_short_and_another_one_each_time() {
        let path = Path::new("/folder").join("x".repeat(255));
        let (first, second) = (draw_name(&path).unwrap(), draw_name(&path).unwrap());
        assert_ne!(first, second);
        assert_eq!(first.0.parent(), path.parent());
        let name = first.0.file_name().unwrap();
        assert_eq!(name.len(), ".sessile-".len() + 16 + 1 + 32);
        assert_eq!(token_in(&name.to_owned(), &prefix_of(&path)), Some(first.1));
    }
}
