//! A private copy of the damaged file, which redb may repair.

use std::fs::File;
use std::io;
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::engine::redb::storage::nameless::Nameless;
use crate::error::{Error, Result};

/// Copies a file to a nameless one in the folder of `new`, and reports the number of copied bytes.
/// The inner error is of a file that cannot be read to its end.
pub(super) fn copy_of(
    mut damaged: &File,
    new: &Path,
    tell: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<io::Result<Nameless>> {
    const CHUNK: usize = 1024 * 1024;
    let mut copied = 0;
    let copy = Nameless::beside(new)?;
    let mut file = copy.file();
    let mut chunk = vec![0; CHUNK];
    if let Err(error) = damaged.rewind() {
        return Ok(Err(error));
    }
    loop {
        match damaged.read(&mut chunk) {
            Ok(0) => return Ok(Ok(copy)),
            Ok(len) => {
                let written = file.write_all(chunk.get(..len).unwrap_or_default());
                written.map_err(|error| Error::io("write a copy beside", new, error))?;
                copied += len as u64;
                tell(copied)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}
