//! A private copy of the damaged file, which redb may repair as it likes.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::engine::redb::storage::draft::remove_abandoned;
use crate::engine::redb::storage::platform::private;
use crate::error::{Error, Result};

/// Removed when dropped.
pub(super) struct PrivateCopy {
    path: PathBuf,
}

impl PrivateCopy {
    /// Copies a file to a place beside `new`; `None` if it cannot be read to its end.
    pub(super) fn of(mut damaged: &File, new: &Path) -> Result<Option<Self>> {
        const CHUNK: usize = 1024 * 1024;
        let mut name = new.file_name().unwrap_or_default().to_owned();
        name.push(".copy");
        let path = new.with_file_name(name);
        remove_abandoned(new, &path)?;
        let failed = |error| Error::io("create", &path, error);
        let mut open = OpenOptions::new();
        open.write(true).create_new(true);
        let mut file = private(&mut open).open(&path).map_err(failed)?;
        let copy = Self { path: path.clone() };
        let mut chunk = vec![0; CHUNK];
        if damaged.rewind().is_err() {
            return Ok(None);
        }
        loop {
            match damaged.read(&mut chunk) {
                Ok(0) => return Ok(Some(copy)),
                Ok(len) => file.write_all(chunk.get(..len).unwrap_or_default()).map_err(failed)?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(None),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // It is in nobody's way; the next salvage to the same place removes it.
        let _ = fs::remove_file(&self.path);
    }
}
