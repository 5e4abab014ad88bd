//! Giving back the space of a file that is mostly empty, while opening it.
//!
//! Invariant: a file that is compact is told by a look at a few hundred records. Only one that
//! looks mostly empty is measured page by page, and only one that is so is rewritten; redb does
//! that in transactions, so a crash leaves a complete file, shorter or not.

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use super::tables::{EXPIRY, KeyBytes, Outer, SESSIONS, USERS};

/// Below this, the space is not worth the writing.
const MIN_LEN: u64 = 16 * 1024 * 1024;
/// A file that is more than this many times as long as its live pages is mostly empty.
const FACTOR: u64 = 2;
/// Keys are digests, so the first ones are as good a sample of the records as any.
const SAMPLE: usize = 256;
/// What the pages of a tree take for each three bytes in it, filled as random insertions fill them.
const PAGES_PER_BYTES: (u64, u64) = (4, 3);
/// What redb keeps for each pair besides its bytes.
const PAIR_OVERHEAD: u64 = 8;

/// Compacts the database if it takes a file of `len` bytes and needs less than half of it.
/// Whether it did.
pub(super) fn compact_if_mostly_empty(database: &mut Database, len: u64) -> Outer<bool> {
    if len <= MIN_LEN || len / FACTOR <= estimate(database)? {
        return Ok(false);
    }
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    if len / FACTOR <= stats.allocated_pages().saturating_mul(stats.page_size() as u64) {
        return Ok(false);
    }
    Ok(database.compact()?)
}

/// About how many bytes the live pages take; rather too many than too few, since what follows
/// costs a look at all of them.
fn estimate(database: &Database) -> Outer<u64> {
    let transaction = database.begin_read()?;
    let sessions = transaction.open_table(SESSIONS)?;
    let users = transaction.open_table(USERS)?;
    let (mut sampled, mut bytes) = (0_u64, 0_u64);
    for entry in sessions.range::<KeyBytes>(..)?.take(SAMPLE) {
        sampled += 1;
        bytes += entry?.1.value().len() as u64;
    }
    let (mut user_entries, mut user_bytes) = (0_u64, 0_u64);
    for entry in users.range::<(&[u8], KeyBytes)>(..)?.take(SAMPLE) {
        user_entries += 1;
        user_bytes += entry?.0.value().0.len() as u64;
    }
    let mean = |bytes: u64, of: u64| bytes.checked_div(of).unwrap_or(0);
    let pairs = |len: u64, pair: u64| len.saturating_mul(pair + PAIR_OVERHEAD);
    let needed = pairs(sessions.len()?, 16 + mean(bytes, sampled))
        + pairs(transaction.open_table(EXPIRY)?.len()?, 24)
        + pairs(users.len()?, 16 + mean(user_bytes, user_entries));
    let (pages, per) = PAGES_PER_BYTES;
    Ok(needed / per * pages)
}
