//! Shrinks a mostly empty file while it is opened.
//!
//! Invariant: only a mostly empty file is rewritten. redb rewrites it in transactions, so a crash
//! leaves a complete file, which may or may not be shorter. redb needs exclusive use for that, and
//! callers of an open store would wait. Only a verified file is compacted.

use redb::Database;

use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::file::StoreFile;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::storage::Storage;
use crate::error::Result;

/// Compacting a shorter file is not worth the writing.
const MIN_LEN: u64 = 16 * 1024 * 1024;
/// A file is mostly empty if it is more than this many times as long as its live pages. redb
/// doubles a full file, so a file that was not closed may be twice as long as its live pages.
const FACTOR: u64 = 3;

impl StoreFile {
    /// Compacts a closed store, however full it is. Returns its length before and after.
    pub(in crate::engine::redb) fn compact(storage: Box<dyn Storage>) -> Result<(u64, u64)> {
        let options = RedbOptions::new().compact_on_open(false);
        let (file, mut opened) = Self::open_existing(storage, &options)?;
        let before = file.len()?;
        let compacted = opened.database.compact();
        compacted.map_err(|error| error::from_redb("compact", file.path(), error.into()))?;
        // Dropping closes the file, and gives the log's room back.
        drop(opened);
        Ok((before, file.len()?))
    }
}

/// Compacts the database if its live pages take less than a third of a file of `len` bytes; true if
/// it did. If `live` is unknown, the pages are counted.
pub(in crate::engine::redb) fn compact_if_mostly_empty(
    database: &mut Database,
    len: u64,
    live: Option<u64>,
) -> RedbResult<bool> {
    if len <= MIN_LEN {
        return Ok(false);
    }
    let live = live.map_or_else(|| measured(database), Ok)?;
    if len / FACTOR <= live {
        return Ok(false);
    }
    Ok(database.compact()?)
}

fn measured(database: &Database) -> RedbResult<u64> {
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    Ok(stats.allocated_pages().saturating_mul(stats.page_size() as u64))
}
