//! The place of the store on the disk: its name, and the name of one that is being made.

use std::io;
use std::path::Path;

use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::{Draft, Existing, Opened, Storage};
use crate::error::{Error, Result};
use crate::testing::disk::file::OpenFile;
use crate::testing::disk::history::Event;
use crate::testing::disk::{DiskFault, SimulatedDisk};

const NAME: &str = "simulated.redb";

const NEW_NAME: &[DiskFault] = &[DiskFault::Full, DiskFault::Write];
const OLD_NAME: &[DiskFault] = &[DiskFault::Write];

impl SimulatedDisk {
    fn opened(&self, file: u64) -> Opened {
        let backend = Box::new(OpenFile::new(self, file));
        Opened { backend, identity: Identity::simulated(file) }
    }

    fn step(&self, action: &'static str, event: Event, kinds: &[DiskFault]) -> Result<()> {
        let result = self.state.lock().change(event, kinds);
        result.map_err(|error| Error::io(action, NAME, error))
    }
}

impl Storage for SimulatedDisk {
    fn path(&self) -> &Path {
        Path::new(NAME)
    }

    fn found(&self) -> Result<Existing> {
        Ok(match self.len()? {
            0 => Existing::Nothing,
            _ => Existing::File,
        })
    }

    fn open(&self) -> Result<Opened> {
        let store = self.state.lock().seen.store;
        let missing = || Error::io("open", NAME, io::ErrorKind::NotFound.into());
        Ok(self.opened(store.ok_or_else(missing)?))
    }

    fn create(&self) -> Result<Box<dyn Draft>> {
        let (abandoned, file) = {
            let mut state = self.state.lock();
            state.files += 1;
            (state.seen.draft.is_some(), state.files)
        };
        if abandoned {
            self.step("replace", Event::RemoveDraft, OLD_NAME)?;
        }
        self.step("create", Event::CreateDraft { file }, NEW_NAME)?;
        Ok(Box::new(New { disk: self.clone(), file, moved: false }))
    }

    fn identity(&self) -> Result<Option<Identity>> {
        Ok(self.state.lock().seen.store.map(Identity::simulated))
    }

    fn len(&self) -> Result<u64> {
        let state = self.state.lock();
        let image = state.seen.store.and_then(|store| state.seen.files.get(&store));
        Ok(image.map_or(0, |image| image.len()))
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.state.lock().forget_cached();
        Ok(())
    }
}

/// A store that is being made; it goes away unless it is moved in place.
struct New {
    disk: SimulatedDisk,
    file: u64,
    moved: bool,
}

impl Draft for New {
    fn open(&self) -> Result<Opened> {
        Ok(self.disk.opened(self.file))
    }

    fn move_in_place(mut self: Box<Self>) -> Result<()> {
        let opened = self.disk.opened(self.file);
        let synced = opened.backend.sync_data();
        synced.map_err(|error| Error::io("create", NAME, error))?;
        self.disk.step("create", Event::MoveInPlace, OLD_NAME)?;
        self.moved = true;
        self.disk.step("create", Event::SyncFolder, &[DiskFault::Sync])
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.moved {
            let _ = self.disk.step("remove", Event::RemoveDraft, OLD_NAME);
        }
    }
}
