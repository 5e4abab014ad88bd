//! The path of the store on the disk, and the name of a file under creation.

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
    fn opened(&self, file: u64, is_new: bool) -> Opened {
        let backend = Box::new(OpenFile::new(self, file));
        Opened { backend, identity: Identity::simulated(file), is_new }
    }

    fn new_file(&self) -> u64 {
        let mut state = self.state.lock();
        state.files += 1;
        state.files
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
        Ok(match self.state.lock().seen.store {
            None => Existing::Nothing,
            Some(_) => Existing::File,
        })
    }

    fn open(&self) -> Result<Option<Opened>> {
        let store = self.state.lock().seen.store;
        Ok(store.map(|store| self.opened(store, false)))
    }

    fn create(&self) -> Result<Option<Opened>> {
        if self.found()? == Existing::File {
            return Ok(None);
        }
        let file = self.new_file();
        self.step("create", Event::CreateStore { file }, NEW_NAME)?;
        Ok(Some(self.opened(file, true)))
    }

    fn remove(&self, identity: Identity) {
        let store = self.state.lock().seen.store.map(Identity::simulated);
        if store == Some(identity) {
            let _ = self.step("remove", Event::RemoveStore, OLD_NAME);
        }
    }

    fn sync_name(&self) -> Result<()> {
        self.step("create", Event::SyncFolder, &[DiskFault::Sync])
    }

    fn draft(&self) -> Result<Box<dyn Draft>> {
        let abandoned = self.state.lock().seen.draft.is_some();
        let file = self.new_file();
        if abandoned {
            self.step("replace", Event::RemoveDraft, OLD_NAME)?;
        }
        self.step("create", Event::CreateDraft { file }, NEW_NAME)?;
        Ok(Box::new(New { disk: self.clone(), file, moved: false }))
    }

    fn leads_to(&self, identity: Identity) -> Result<bool> {
        Ok(self.state.lock().seen.store.map(Identity::simulated) == Some(identity))
    }

    fn len(&self) -> Result<u64> {
        let state = self.state.lock();
        let image = state.seen.store.and_then(|store| state.seen.files.get(&store));
        Ok(image.map_or(0, |image| image.len()))
    }
}

/// A file under creation; it is removed unless it is moved to its place.
struct New {
    disk: SimulatedDisk,
    file: u64,
    moved: bool,
}

impl Draft for New {
    fn token(&self) -> [u8; 16] {
        u128::from(self.file).to_be_bytes()
    }

    fn open(&self) -> Result<Opened> {
        Ok(self.disk.opened(self.file, true))
    }

    fn move_in_place(mut self: Box<Self>) -> Result<()> {
        if self.disk.found()? == Existing::File {
            return Err(Error::occupied(NAME));
        }
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
