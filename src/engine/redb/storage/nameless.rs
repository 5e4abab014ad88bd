//! A file for this process alone. It has no name, and disappears with its last handle, however the
//! process ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::descriptors::beside_standard_streams;
use crate::engine::redb::storage::draft::draw_name;
use crate::engine::redb::storage::folder::locked;
use crate::engine::redb::storage::identity::Identity;
use crate::engine::redb::storage::platform::{is_unnamed_by_system, len_of, private, unnamed};
use crate::engine::redb::storage::{Draft, Existing, Opened, Storage};
use crate::error::{Error, Result};

#[derive(Debug)]
pub(in crate::engine::redb) struct Nameless {
    file: File,
    identity: Identity,
    /// The file that errors name: the one that this was made for, or is a copy of.
    path: PathBuf,
}

impl Nameless {
    /// Creates an empty one in the folder of a file.
    pub(in crate::engine::redb) fn beside(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("create a copy beside", path, error);
        let (name, _) = draw_name(path)?;
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true);
        let file = unnamed(private(&mut open)).open(&name);
        let file = file.map(beside_standard_streams).map_err(failed)?;
        // The name is removed here if the system does not remove it.
        if !is_unnamed_by_system() {
            std::fs::remove_file(&name).map_err(failed)?;
        }
        let identity = Identity::of(&file).map_err(failed)?;
        Ok(Self { file, identity, path: path.into() })
    }

    /// The same file, which errors name by another path: that of the file it is a copy of.
    pub(in crate::engine::redb) fn named(self, path: &Path) -> Self {
        Self { path: path.into(), ..self }
    }

    pub(in crate::engine::redb) const fn file(&self) -> &File {
        &self.file
    }
}

impl Storage for Nameless {
    fn path(&self) -> &Path {
        &self.path
    }

    fn found(&self) -> Result<Existing> {
        Ok(Existing::File)
    }

    fn open(&self) -> Result<Option<Opened>> {
        let file = self.file.try_clone();
        let file = file.map_err(|error| Error::io("open a copy beside", &self.path, error))?;
        match locked(&self.path, file, false)? {
            Some(opened) => Ok(Some(opened)),
            None => Err(Error::AlreadyOpen { path: self.path.clone() }),
        }
    }

    fn create(&self) -> Result<Option<Opened>> {
        Ok(None)
    }

    fn remove(&self, _: Identity) {}

    fn sync_name(&self) -> Result<()> {
        Ok(())
    }

    fn draft(&self) -> Result<Box<dyn Draft>> {
        let cause = io::Error::from(io::ErrorKind::Unsupported);
        Err(Error::io("create a draft beside", &self.path, cause))
    }

    fn leads_to(&self, identity: Identity) -> Result<bool> {
        Ok(self.identity == identity)
    }

    fn len(&self) -> Result<u64> {
        let len = len_of(&self.file);
        len.map_err(|error| Error::io("look at a copy beside", &self.path, error))
    }
}
