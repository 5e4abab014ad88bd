//! Giving back the space of a file that is mostly empty, while opening it.
//!
//! Invariant: only a file that is mostly empty is rewritten; redb does that in transactions, so a
//! crash leaves a complete file, shorter or not.

use redb::Database;

use crate::engine::redb::error;
use crate::engine::redb::error::RedbResult;
use crate::engine::redb::file::StoreFile;
use crate::engine::redb::options::RedbOptions;
use crate::engine::redb::storage::Storage;
use crate::error::Result;

/// Below this, the space is not worth the writing.
const MIN_LEN: u64 = 16 * 1024 * 1024;
/// A file that is more than this many times as long as its live pages is mostly empty. redb makes a
/// full file twice as long, so one that was not closed may well be twice as long as they are.
const FACTOR: u64 = 3;

impl StoreFile {
    /// Compacts a store that is closed, however full it is. How long the file was, and is.
    pub(in crate::engine::redb) fn compact(storage: Box<dyn Storage>) -> Result<(u64, u64)> {
        let options = RedbOptions::new().compact_on_open(false);
        let (file, mut opened) = Self::open_existing(storage, &options)?;
        let before = file.len()?;
        let compacted = opened.database.compact();
        compacted.map_err(|error| error::from_redb("compact", file.path(), error.into()))?;
        // Which closes it, and gives back what the log takes.
        drop(opened);
        Ok((before, file.len()?))
    }
}

/// Compacts the database if it takes a file of `len` bytes and needs less than a third of it. Whether
/// it did. How many bytes its pages take is measured, page by page, unless it is known.
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
