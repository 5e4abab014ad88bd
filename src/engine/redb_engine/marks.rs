//! The marks by which a file is known as a store, and as which version of it.
//!
//! Invariant: they are looked for by reading alone; redb writes to every file it opens.

use std::path::Path;

use redb::{Database, StorageBackend};

use super::tables::{META, Outer, Tables};
use crate::{Error, Result};

/// redb's first bytes.
const REDB_MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// Ours, stored as the value of `meta`'s entry `format`, with the version behind them. Their
/// presence is checked on the raw bytes, before redb writes to the file.
const STORE_MAGIC: &[u8; 16] = b"sessile store\x1A\r\n";
const FORMAT: &str = "format";
/// The newest version of the file's layout that this code reads, and the one it writes.
const FORMAT_VERSION: u64 = 1;

/// Reads the file, and nothing but reads it, until it has seen that it is a store of ours.
pub(super) fn check_marks(path: &Path, file: &dyn StorageBackend) -> Result<()> {
    const CHUNK: u64 = 64 * 1024;
    const MARK_LEN: usize = STORE_MAGIC.len() + size_of::<u64>();
    let not_a_store =
        |reason: &str| Error::NotASessionStore { path: path.into(), reason: reason.into() };
    let failed = |error| Error::io("read", path, error);
    let len = file.len().map_err(failed)?;
    let mut window = Vec::new();
    let mut read = 0;
    while read < len {
        let more = CHUNK.min(len - read);
        let mut chunk = vec![0; usize::try_from(more).unwrap_or_default()];
        file.read(read, &mut chunk).map_err(failed)?;
        window.append(&mut chunk);
        if read == 0 && !window.starts_with(REDB_MAGIC) {
            break;
        }
        read += more;
        if let Some(at) = memchr::memmem::find(&window, STORE_MAGIC) {
            let mark = window.get(at + STORE_MAGIC.len()..).unwrap_or_default();
            if let Some(version) = mark.first_chunk() {
                return check_version(path, u64::from_le_bytes(*version));
            }
        }
        // A mark may lie across two chunks.
        window.drain(..window.len().saturating_sub(MARK_LEN));
    }
    Err(not_a_store(match read {
        0 => "it does not begin as a redb database does",
        _ => "it is a redb database without sessions, or cut short",
    }))
}

fn check_version(path: &Path, found: u64) -> Result<()> {
    match found {
        0 => Err(Error::NotASessionStore {
            path: path.into(),
            reason: "it has format version 0".into(),
        }),
        1..=FORMAT_VERSION => Ok(()),
        _ => Err(Error::UnsupportedFormat { path: path.into(), found, supported: FORMAT_VERSION }),
    }
}

/// The first commit: all tables, and the marks by which the file is known.
pub(super) fn write_marks(database: &Database) -> Outer<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    Tables::open(&transaction)?;
    {
        let mut mark = STORE_MAGIC.to_vec();
        mark.extend(FORMAT_VERSION.to_le_bytes());
        let mut meta = transaction.open_table(META)?;
        meta.insert(FORMAT, mark.as_slice())?;
    }
    Ok(transaction.commit()?)
}
