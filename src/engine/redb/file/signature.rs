//! The signature that makes a file a store, and its version.
//!
//! Invariant: the search for the signature only reads, because redb writes to every file that it
//! opens.

use std::path::Path;

use redb::{Database, ReadableDatabase, StorageBackend, TableError};

use crate::engine::redb::database::schema::META;
use crate::engine::redb::database::tables::Tables;
use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::error::{Error, Result};

/// redb's first bytes.
const REDB_MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
/// Our signature: the value of `format` in `meta`, followed by the version. It is searched for in
/// the raw bytes before redb writes to the file.
const STORE_MAGIC: &[u8; 16] = b"sessile store\x1A\r\n";
pub(in crate::engine::redb) const FORMAT: &str = "format";
/// The newest version of the file's layout that this code reads, and the version it writes.
pub(in crate::engine::redb) const FORMAT_VERSION: u64 = 1;

/// Searches for the signature, and only reads. The same bytes may occur elsewhere: in a session's
/// content, or in a torn page that nothing refers to. So any occurrence with a supported version is
/// enough; [`check_format`] then checks the actual signature.
pub(in crate::engine::redb) fn check_signature(
    path: &Path,
    file: &dyn StorageBackend,
) -> Result<()> {
    const CHUNK: u64 = 64 * 1024;
    const MARK_LEN: usize = STORE_MAGIC.len() + size_of::<u64>();
    let failed = |error| Error::io("read", path, error);
    let len = file.len().map_err(failed)?;
    let (mut window, mut read) = (Vec::new(), 0);
    let mut refusal = None;
    while read < len {
        let more = CHUNK.min(len - read);
        let mut chunk = vec![0; usize::try_from(more).unwrap_or_default()];
        file.read(read, &mut chunk).map_err(failed)?;
        window.append(&mut chunk);
        if read == 0 && !window.starts_with(REDB_MAGIC) {
            break;
        }
        read += more;
        for at in memchr::memmem::find_iter(&window, STORE_MAGIC) {
            match window.get(at..).and_then(version_of) {
                Some(version) if is_read(version) => return Ok(()),
                Some(version) => refusal = refusal.or(Some(version)),
                // The rest of the version is in the next chunk.
                None => {}
            }
        }
        // A signature may lie across two chunks.
        window.drain(..window.len().saturating_sub(MARK_LEN));
    }
    Err(match (refusal, read) {
        (Some(version), _) => refused(path, version),
        (None, 0) => not_a_store(path, "it does not begin as a redb database does"),
        (None, _) => not_a_store(path, "it is a redb database without sessions, or cut short"),
    })
}

/// Checks the actual signature, before anything else of the open database is read.
pub(in crate::engine::redb) fn check_format(path: &Path, database: &Database) -> Result<()> {
    let failed = |error| error::from_redb("open", path, error);
    match stored_version(database).map_err(failed)? {
        Some(version) if is_read(version) => Ok(()),
        Some(version) => Err(refused(path, version)),
        None => Err(not_a_store(path, "it has no format version")),
    }
}

fn stored_version(database: &Database) -> RedbResult<Option<u64>> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(meta.get(FORMAT)?.and_then(|mark| version_of(mark.value()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The version that follows the signature's bytes.
fn version_of(bytes: &[u8]) -> Option<u64> {
    let version = bytes.strip_prefix(STORE_MAGIC)?.first_chunk()?;
    Some(u64::from_le_bytes(*version))
}

const fn is_read(version: u64) -> bool {
    matches!(version, 1..=FORMAT_VERSION)
}

fn refused(path: &Path, version: u64) -> Error {
    match version {
        0 => not_a_store(path, "it has format version 0"),
        found => Error::UnsupportedFormat { path: path.into(), found, supported: FORMAT_VERSION },
    }
}

fn not_a_store(path: &Path, reason: &str) -> Error {
    Error::NotASessionStore { path: path.into(), reason: reason.into() }
}

/// Makes the first commit: all tables, and the signature.
pub(in crate::engine::redb) fn write_signature(database: &Database) -> RedbResult<()> {
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

/// Whether redb's header says that the file was closed. redb reports an unreadable header.
pub(in crate::engine::redb) fn was_closed(file: &dyn StorageBackend) -> bool {
    /// The offset of the flags, after the magic number. The second bit is set while the file is
    /// open.
    const FLAGS: usize = 9;
    const OPEN: u8 = 2;
    let mut header = [0; FLAGS + 1];
    file.read(0, &mut header).is_err() || header.last().is_some_and(|flags| flags & OPEN == 0)
}
