//! A complete new store file, made of a caller's records: for backups and restores.
//!
//! Invariant: the file is complete, verified and on the disk before it gets its name. It replaces
//! nothing, or, in one step, a store that no program has open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::engine::contract::Engine;
use crate::engine::redb::engine::RedbEngine;
use crate::engine::redb::file::StoreFile;
use crate::engine::redb::file::signature::check_signature;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::salvage::copy::copy_of;
use crate::engine::redb::salvage::sink::Sink;
use crate::engine::redb::salvage::source::Source;
use crate::engine::redb::salvage::{META, storage};
use crate::engine::redb::storage::platform::{is_held_by_another, patiently, sync_folder_of};
use crate::engine::redb::storage::{Existing, Storage};
use crate::error::{Error, Result};
use crate::key::SessionKey;
use crate::record::Record;

/// Puts one record into the new file.
pub(crate) type Put<'a> = dyn FnMut(SessionKey, Record) -> Result<()> + 'a;

/// The size of a written file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) sessions: u64,
    pub(crate) bytes: u64,
}

/// The place of a new file.
pub(crate) struct NewFile {
    storage: Box<dyn Storage>,
    /// The store that the new file replaces once it is complete.
    in_place_of: Option<PathBuf>,
}

impl NewFile {
    /// A new file at a path where nothing exists.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        match path.symlink_metadata() {
            Ok(_) => Err(Error::io("create", path, io::ErrorKind::AlreadyExists.into())),
            Err(_) => Ok(Self { storage: storage(path)?, in_place_of: None }),
        }
    }

    /// A new file on another storage.
    #[cfg(feature = "testing")]
    pub(crate) const fn on(storage: Box<dyn Storage>) -> Self {
        Self { storage, in_place_of: None }
    }

    /// A new file beside a store, which it then replaces. If there is no store, this is
    /// [`at`](Self::at).
    pub(crate) fn in_place_of(path: &Path) -> Result<Self> {
        let path = &std::path::absolute(path).map_err(|error| Error::io("find", path, error))?;
        match storage(path)?.found()? {
            Existing::Nothing if path.symlink_metadata().is_err() => Self::at(path),
            _ => {
                ensure_is_store(path)?;
                let mut name = path.file_name().unwrap_or_default().to_owned();
                name.push(".restored");
                let new = Self::at(&path.with_file_name(name))?;
                Ok(Self { in_place_of: Some(path.into()), ..new })
            }
        }
    }

    /// Creates the file from the records that `fill` puts in, and the source's metadata.
    pub(crate) fn fill(
        self,
        source: &dyn Engine,
        fill: &mut dyn FnMut(&mut Put<'_>) -> Result<()>,
    ) -> Result<Written> {
        let mut meta = Vec::new();
        for name in META {
            meta.extend(source.load_meta(name)?.map(|value| (name.to_owned(), value)));
        }
        let path = self.storage.path().to_owned();
        let options = RedbOptions::new().compact_on_open(false);
        let (file, opened, sessions) =
            StoreFile::create_filled(self.storage, &options, |database| {
                let mut sink = Sink::new(database, &path);
                fill(&mut |key, record| sink.put(key, record))?;
                sink.finish(&meta)
            })?;
        // Dropping the opening closes the file.
        drop(opened);
        let bytes = file.len()?;
        if let Some(old) = self.in_place_of {
            take_place(&path, &old)?;
        }
        Ok(Written { sessions, bytes })
    }
}

/// A private copy of a store's file, as an engine. The file itself is only read.
pub(crate) struct PrivateStore {
    engine: RedbEngine,
}

impl PrivateStore {
    /// Copies the file at `path`. The copy has no name, and is in the folder of `near`. Errors about
    /// it name `path`.
    pub(crate) fn of(path: &Path, near: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        if source.is_empty() {
            let reason = "it is empty".into();
            return Err(Error::NotASessionStore { path: path.into(), reason });
        }
        let cut = || Error::io("read", path, io::ErrorKind::UnexpectedEof.into());
        let copy = copy_of(source.file(), near, &mut |_| Ok(()))?.ok_or_else(cut)?.named(path);
        let options = RedbOptions::new().compact_on_open(false);
        Ok(Self { engine: RedbEngine::open_existing(Box::new(copy), &options)? })
    }

    pub(crate) const fn engine(&self) -> &RedbEngine {
        &self.engine
    }
}

/// Returns an error if there is no store at the path, or a program has it open.
fn ensure_is_store(path: &Path) -> Result<()> {
    let missing = || Error::io("open", path, io::ErrorKind::NotFound.into());
    let opened = storage(path)?.open()?.ok_or_else(missing)?;
    let checked = check_signature(path, &*opened.backend);
    let _ = opened.backend.close();
    checked
}

/// Moves a complete store to another's place. The old store is locked meanwhile. If the system
/// cannot replace an open file, as Windows before version 10, or another program holds one of the
/// files for a moment, the lock is released just before the move.
fn take_place(new: &Path, old: &Path) -> Result<()> {
    let locked = storage(old)?.open()?;
    let unlock = || {
        if let Some(locked) = &locked {
            let _ = locked.backend.close();
        }
    };
    let mut replaced = fs::rename(new, old);
    let is_refused = |error: &io::Error| {
        error.kind() == io::ErrorKind::PermissionDenied || is_held_by_another(error)
    };
    if cfg!(windows) && replaced.as_ref().is_err_and(is_refused) {
        unlock();
        drop(locked);
        replaced = patiently(|| fs::rename(new, old));
    } else {
        unlock();
    }
    replaced.and_then(|()| sync_folder_of(old)).map_err(|error| Error::io("replace", old, error))
}

#[cfg(all(test, windows))]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::windows::fs::OpenOptionsExt;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    /// Set in child processes only: the file that the child holds.
    const HELD: &str = "SESSILE_TEST_HELD";
    const THIS_TEST: &str = "engine::redb::salvage::new_file::tests::\
        what_another_process_holds_for_a_moment_is_opened_moved_and_removed";

    fn hold(path: &Path) {
        let held = fs::File::options().read(true).share_mode(0).open(path).unwrap();
        println!("\nheld");
        io::stdin().read_line(&mut String::new()).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        drop(held);
    }

    /// Does something while another process still holds the file for a moment.
    fn while_held(path: &Path, act: impl FnOnce()) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", THIS_TEST, "--nocapture"]).env(HELD, path);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap() == "held"));
        let refused = fs::File::open(path).unwrap_err();
        assert!(is_held_by_another(&refused), "{refused:?}");
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"\n").unwrap();
        act();
        let rest: Vec<_> = said.map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success(), "{rest:?}");
    }

    #[test]
    fn what_another_process_holds_for_a_moment_is_opened_moved_and_removed() {
        if let Some(path) = std::env::var_os(HELD) {
            return hold(Path::new(&path));
        }
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let bytes = |path: &Path| fs::read(path).unwrap();
        for number in [1, 2] {
            fs::write(&old, [0]).unwrap();
            fs::write(&new, [number]).unwrap();
            // Either of the two files is held.
            let held = if number == 1 { &new } else { &old };
            while_held(held, || take_place(&new, &old).unwrap());
            assert_eq!((bytes(&old), new.exists()), (vec![number], false));
        }
        while_held(&old, || drop(storage(&old).unwrap().open().unwrap().unwrap()));
        while_held(&old, || patiently(|| fs::remove_file(&old)).unwrap());
        assert!(!old.exists());
    }
}
