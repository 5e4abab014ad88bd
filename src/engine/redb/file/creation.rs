//! Creates a store: in its place, or beside it if it must appear complete or not at all.
//!
//! Invariant: only a file that was created here and has the mark is deleted or replaced. A new
//! store is returned only after it and its name are on the disk.
//!
//! A new store is created in its place. A draft beside it would need a writable folder, a free and
//! short name, and a way to recognise abandoned drafts; and nothing can be renamed over an empty
//! file that is mounted into a container. A salvage and a backup do make a draft: an incomplete one
//! must not be taken for a store.

use std::sync::Arc;

use redb::{Database, StorageBackend};

use crate::engine::redb::error;
use crate::engine::redb::file::signature::write_signature;
use crate::engine::redb::file::{OpenFile, StoreFile};
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::pages::verify::{Verdict, verify};
use crate::engine::redb::storage::unfinished::{self, IN_PLACE, Making, Stage, stage_of};
use crate::engine::redb::storage::{Existing, Opened, Storage};
use crate::error::{Error, Result};

/// How often creation is retried while other processes create and remove the file.
const TRIES: usize = 10;

impl StoreFile {
    /// Opens the store on a storage. Creates it if there is no file, an empty file, or an
    /// unfinished creation.
    pub(in crate::engine::redb) fn open(
        storage: Box<dyn Storage>,
        options: &RedbOptions,
    ) -> Result<(Self, OpenFile)> {
        for _ in 0..TRIES {
            match storage.found()? {
                Existing::File => {
                    let Some(opened) = storage.open()? else { continue };
                    return match stage(&*storage, &opened)? {
                        Stage::Other => Self::open_compact(storage, opened, options),
                        Stage::Unfinished => {
                            opened.backend.make_private();
                            Self::create_in(storage, opened, options)
                        }
                    };
                }
                Existing::Nothing => {
                    if let Some(opened) = storage.create()? {
                        return Self::create_in(storage, opened, options);
                    }
                }
            }
        }
        Err(Error::AlreadyOpen { path: storage.path().into() })
    }

    /// Opens the store on a storage, and creates nothing.
    pub(in crate::engine::redb) fn open_existing(
        storage: Box<dyn Storage>,
        options: &RedbOptions,
    ) -> Result<(Self, OpenFile)> {
        let missing = || Error::missing_file(storage.path());
        // To open a pipe or a device may do something to it, and tells nothing of its kind.
        storage.found()?;
        let opened = storage.open()?.ok_or_else(missing)?;
        match stage(&*storage, &opened)? {
            Stage::Other => Self::open_compact(storage, opened, options),
            Stage::Unfinished => Err(Error::NotASessionStore {
                path: storage.path().into(),
                reason: "it is empty, or its making did not come to its end".into(),
            }),
        }
    }

    /// Creates the store in a file without content. After a failure the file is empty again, or
    /// removed if this call created it.
    fn create_in(
        storage: Box<dyn Storage>,
        opened: Opened,
        options: &RedbOptions,
    ) -> Result<(Self, OpenFile)> {
        let Opened { backend, identity, is_new } = opened;
        let store = Self::new(storage, identity);
        let begun = store.begin(&*backend, &IN_PLACE);
        let made = begun.and_then(|()| {
            let (opened, _) = store.connect(backend, options, Existing::Nothing)?;
            store.sign(&opened.database)?;
            store.finish(&opened)?;
            store.storage.sync_name()?;
            Ok(opened)
        });
        match made {
            Ok(opened) => Ok((store, opened)),
            Err(error) => {
                store.undo(is_new);
                Err(error)
            }
        }
    }

    /// Builds a store beside its place and has `fill` fill it. Moves it into place once it is on
    /// the disk and verified.
    pub(in crate::engine::redb) fn create_filled<T>(
        storage: Box<dyn Storage>,
        options: &RedbOptions,
        fill: impl FnOnce(&Database) -> Result<T>,
    ) -> Result<(Self, OpenFile, T)> {
        let draft = storage.draft()?;
        let Opened { backend, identity, .. } = draft.open()?;
        let store = Self::new(storage, identity);
        store.begin(&*backend, &draft.token())?;
        let (opened, _) = store.connect(backend, options, Existing::Nothing)?;
        store.sign(&opened.database)?;
        let filled = fill(&opened.database)?;
        let file = opened.log.file();
        file.sync_data().map_err(|error| store.failed(error))?;
        store.verify_filled(&opened)?;
        unfinished::mark(file, Making::Complete, &draft.token())
            .map_err(|error| store.failed(error))?;
        draft.move_in_place()?;
        // A complete store may keep the mark, which then only says that it was a draft.
        let _ = unfinished::clear(file);
        Ok((store, opened, filled))
    }

    /// Reads back every page of the last commit, and compares the checksums.
    fn verify_filled(&self, opened: &OpenFile) -> Result<()> {
        let len = opened.log.database_len().map_err(|error| self.failed(error))?;
        match verify(opened.log.file(), len, &|_| true) {
            Verdict::Sound { .. } => Ok(()),
            Verdict::Open | Verdict::CalledOff => {
                let source = std::io::Error::other("what was written does not read back");
                Err(Error::DamagedFile { path: self.path().into(), source: Arc::new(source) })
            }
        }
    }

    /// Removes the content of an earlier creation, and marks the file as unfinished.
    fn begin(&self, file: &dyn StorageBackend, token: &unfinished::Token) -> Result<()> {
        let emptied = match file.len() {
            Ok(0) => Ok(()),
            Ok(_) => file.set_len(0),
            Err(error) => Err(error),
        };
        let begun = emptied.and_then(|()| unfinished::mark(file, Making::Begun, token));
        begun.map_err(|error| self.failed(error))
    }

    fn sign(&self, database: &Database) -> Result<()> {
        write_signature(database).map_err(|error| error::from_redb("create", self.path(), error))
    }

    /// Clears the mark once everything is on the disk.
    fn finish(&self, opened: &OpenFile) -> Result<()> {
        let file = opened.log.file();
        let finished = file.sync_data().and_then(|()| unfinished::clear(file));
        finished.map_err(|error| self.failed(error))
    }

    /// Undoes a failed creation. If another process has the file by now, it has locked the file, or
    /// made a store of it.
    fn undo(&self, is_new: bool) {
        let Ok(Some(opened)) = self.storage.open() else { return };
        let ours = opened.identity == self.identity;
        if ours && matches!(stage_of(&*opened.backend), Ok(Stage::Unfinished)) {
            if is_new {
                self.storage.remove(self.identity);
            } else {
                let _ = opened.backend.set_len(0);
            }
        }
        let _ = opened.backend.close();
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io("create", self.path(), error)
    }
}

fn stage(storage: &dyn Storage, opened: &Opened) -> Result<Stage> {
    stage_of(&*opened.backend).map_err(|error| Error::io("read", storage.path(), error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::engine::redb::storage::folder::InFolder;
    use crate::testing::{DiskFault, SimulatedDisk};

    const TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("table");

    /// Changes a byte in the draft in this folder, unnoticed by its writer.
    fn alter_draft(folder: &Path, content: &[u8]) {
        let draft = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let mut bytes = fs::read(&draft).unwrap();
        let at = bytes.windows(content.len()).position(|part| part == content).unwrap();
        bytes[at] ^= 1;
        fs::write(&draft, bytes).unwrap();
    }

    #[test]
    fn what_was_written_and_does_not_read_back_gets_no_name() {
        let content = [7; 2_000].as_slice();
        for altered in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sessions.redb");
            let storage = Box::new(InFolder::at(&path).unwrap());
            let made = StoreFile::create_filled(storage, &RedbOptions::new(), |database| {
                let mut transaction = database.begin_write().unwrap();
                transaction.set_quick_repair(true);
                transaction.open_table(TABLE).unwrap().insert(1, content).unwrap();
                transaction.commit().unwrap();
                if altered {
                    alter_draft(folder.path(), content);
                }
                Ok(())
            });
            match made {
                Ok(_) => assert!(!altered && path.exists()),
                Err(error) => {
                    assert!(matches!(error, Error::DamagedFile { .. }), "{error:?}");
                    assert!(altered);
                    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
                }
            }
        }
    }

    #[test]
    fn a_creation_that_fails_leaves_nothing_or_what_was_there() {
        for fault in [DiskFault::Write, DiskFault::Full, DiskFault::Sync] {
            for empty_file in [false, true] {
                let disk = || match empty_file {
                    true => SimulatedDisk::with_store(&[]),
                    false => SimulatedDisk::new(),
                };
                let create = |disk: &SimulatedDisk| {
                    StoreFile::open(Box::new(disk.clone()), &RedbOptions::new()).map(drop)
                };
                let whole = disk();
                create(&whole).unwrap();
                let mut failures = 0;
                for operation in 0..whole.operations() {
                    let disk = disk();
                    disk.fail_once(fault, operation);
                    if create(&disk).is_ok() {
                        continue;
                    }
                    failures += 1;
                    match disk.open().unwrap() {
                        None => assert!(!empty_file, "{fault:?} at {operation}"),
                        Some(left) => match stage_of(&*left.backend).unwrap() {
                            // Only the file's name was not on the disk yet.
                            Stage::Other => create(&disk).unwrap(),
                            Stage::Unfinished => assert!(
                                empty_file && disk.store_bytes().is_empty(),
                                "{fault:?} at {operation}"
                            ),
                        },
                    }
                }
                assert!(failures > 2, "{fault:?}");
            }
        }
    }
}
