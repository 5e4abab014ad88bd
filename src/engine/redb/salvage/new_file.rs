//! A complete new store file, made of a caller's records: for backups and restores.
//!
//! Invariant: the file is complete, verified and on the disk before it gets its name. Before that,
//! it is a draft that a failure, or the next creation, removes. It replaces nothing, or, in one
//! step, a store that no program has open, and keeps that store's owner.

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
use crate::engine::redb::storage::draft::draw_name;
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::{
    Owner, is_held_by_another, patiently, sync_folder_of,
};
use crate::engine::redb::storage::{Draft, Existing, Opened, Storage};
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
}

impl NewFile {
    /// A new file at a path where nothing exists.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        match path.symlink_metadata() {
            Ok(_) => Err(Error::occupied(path)),
            Err(_) => Ok(Self { storage: storage(path)? }),
        }
    }

    /// A new file on another storage.
    #[cfg(feature = "testing")]
    pub(crate) const fn on(storage: Box<dyn Storage>) -> Self {
        Self { storage }
    }

    /// A new file that replaces the store at a path once it is complete. A store that is not there
    /// yet may come meanwhile, and is replaced as well.
    pub(crate) fn in_place_of(path: &Path) -> Result<Self> {
        let place = storage(path)?;
        match place.found()? {
            Existing::Nothing => Ok(Self { storage: Box::new(Replacing { place, owner: None }) }),
            Existing::File => {
                let missing = || Error::missing_file(path);
                let old = locked_store(&*place)?.ok_or_else(missing)?;
                let owner = owner_of(path, &old);
                release(&old);
                Ok(Self { storage: Box::new(Replacing { place, owner: owner? }) })
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
        Ok(Written { sessions, bytes: file.len()? })
    }
}

/// A private copy of a store's file, as an engine. The file itself is only read.
pub(crate) struct PrivateStore {
    engine: RedbEngine,
}

impl PrivateStore {
    /// Copies the file at `path`. The copy has no name, and is in the folder of `near`. Errors
    /// about it name `path`. `tell` is called for each megabyte, and before the copy is verified.
    pub(crate) fn of(
        path: &Path,
        near: &Path,
        tell: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let source = Source::open(path)?;
        if source.is_empty() {
            let reason = "it is empty".into();
            return Err(Error::NotASessionStore { path: path.into(), reason });
        }
        let unread = |error| Error::io("read", path, error);
        let copy = copy_of(source.file(), near, &mut |_| tell())?.map_err(unread)?.named(path);
        let options = RedbOptions::new().compact_on_open(false);
        Ok(Self { engine: RedbEngine::open_existing(Box::new(copy), &options)? })
    }

    pub(crate) const fn engine(&self) -> &RedbEngine {
        &self.engine
    }
}

/// The place of a store, whose draft takes the store's place.
#[derive(Debug)]
struct Replacing {
    place: Box<dyn Storage>,
    owner: Option<Owner>,
}

impl Storage for Replacing {
    fn path(&self) -> &Path {
        self.place.path()
    }

    fn found(&self) -> Result<Existing> {
        self.place.found()
    }

    fn open(&self) -> Result<Option<Opened>> {
        self.place.open()
    }

    fn create(&self) -> Result<Option<Opened>> {
        self.place.create()
    }

    fn remove(&self, identity: Identity) {
        self.place.remove(identity);
    }

    fn sync_name(&self) -> Result<()> {
        self.place.sync_name()
    }

    fn draft(&self) -> Result<Box<dyn Draft>> {
        let draft = self.place.draft()?;
        // One that cannot be given to the owner is refused before the work.
        self.owner.map_or(Ok(()), |owner| draft.give_to(owner))?;
        let place = storage(self.path())?;
        Ok(Box::new(Successor { draft, place }))
    }

    fn leads_to(&self, identity: Identity) -> Result<bool> {
        self.place.leads_to(identity)
    }

    fn len(&self) -> Result<u64> {
        self.place.len()
    }
}

/// A draft that replaces the store in its place.
struct Successor {
    draft: Box<dyn Draft>,
    place: Box<dyn Storage>,
}

impl Draft for Successor {
    fn token(&self) -> [u8; 16] {
        self.draft.token()
    }

    fn open(&self) -> Result<Opened> {
        self.draft.open()
    }

    /// After a failure the draft is removed as any other.
    fn move_in_place(self: Box<Self>) -> Result<()> {
        // A program may have opened the store meanwhile, or something else may be there.
        match locked_store(&*self.place)? {
            Some(old) => {
                let place = self.place.path();
                // The program that is to open the store may be another user's.
                owner_of(place, &old)?.map_or(Ok(()), |owner| self.draft.give_to(owner))?;
                take_place(&name_of(place, self.draft.token())?, place, old)
            }
            None => self.draft.move_in_place(),
        }
    }
}

/// The path of the draft of this file that has this number.
fn name_of(path: &Path, token: [u8; 16]) -> Result<PathBuf> {
    // The names of two drafts differ in their numbers alone.
    let (other, number) = draw_name(path)?;
    let name = other.file_name().unwrap_or_default().to_string_lossy();
    let digits = |number| format!("{:032x}", u128::from_be_bytes(number));
    Ok(path.with_file_name(name.replace(&digits(number), &digits(token))))
}

/// Locks the store in a place; `None` if nothing is there. An error if it is no store, or if a
/// program has it open.
fn locked_store(place: &dyn Storage) -> Result<Option<Opened>> {
    let Some(opened) = place.open()? else { return Ok(None) };
    match check_signature(place.path(), &*opened.backend) {
        Ok(()) => Ok(Some(opened)),
        Err(error) => {
            release(&opened);
            Err(error)
        }
    }
}

fn owner_of(path: &Path, opened: &Opened) -> Result<Option<Owner>> {
    opened.backend.owner().map_err(|error| Error::io("look at", path, error))
}

fn release(opened: &Opened) {
    let _ = opened.backend.close();
}

/// Moves a complete store to another's place. The old store is locked meanwhile. If the system
/// cannot replace an open file, as Windows before version 10, or another program holds one of the
/// files for a moment, the lock is released just before the move.
fn take_place(new: &Path, old: &Path, locked: Opened) -> Result<()> {
    let mut replaced = fs::rename(new, old);
    let is_refused = |error: &io::Error| {
        error.kind() == io::ErrorKind::PermissionDenied || is_held_by_another(error)
    };
    if cfg!(windows) && replaced.as_ref().is_err_and(is_refused) {
        release(&locked);
        drop(locked);
        replaced = patiently(|| fs::rename(new, old));
    } else {
        release(&locked);
    }
    replaced.map_err(|error| Error::io("replace", old, error))?;
    sync_folder_of(old)
        .map_err(|error| Error::io("sync the folder of the replaced file", old, error))
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
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // On a busy machine Wine may fail to start a process, with its ERROR_INTERNAL_ERROR.
        let mut spawned = command.spawn();
        for _ in 0..50 {
            if spawned.as_ref().is_err_and(|error| error.raw_os_error() == Some(1359)) {
                std::thread::sleep(Duration::from_millis(100));
                spawned = command.spawn();
            }
        }
        let mut child = spawned.unwrap();
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
            while_held(held, || {
                let locked = storage(&old).unwrap().open().unwrap().unwrap();
                take_place(&new, &old, locked).unwrap();
            });
            assert_eq!((bytes(&old), new.exists()), (vec![number], false));
        }
        while_held(&old, || drop(storage(&old).unwrap().open().unwrap().unwrap()));
        while_held(&old, || drop(Source::open(&old).unwrap()));
        while_held(&old, || patiently(|| fs::remove_file(&old)).unwrap());
        assert!(!old.exists());
    }
}
