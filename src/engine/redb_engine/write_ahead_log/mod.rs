//! The write-ahead log: a commit is on the disk once its changes are, in one write and one sync.
//!
//! redb writes a dozen pages all over the file for every durable commit. The log takes the changes
//! themselves, one entry a commit, one behind the other, at the end of the same file; redb keeps
//! the commit in memory, and writes it with many others once the log is full. What a crash finds in
//! the log is applied again when the file is opened.
//!
//! Invariant: the entries' numbers follow one another without a gap, the first one follows the
//! number of redb's last durable commit, and an entry is whole or it is the last. So applying the
//! entries in their order to that commit gives what was acknowledged, and they fit no other.

mod area;
mod disk;
mod entry;

use std::io;
use std::sync::Arc;

use redb::Database;

use self::area::Area;
pub(super) use self::disk::Disk;
pub(super) use self::entry::Change;
use self::entry::{Entry, Found};
use super::tables::{Outer, Tables};
use crate::engine::Record;

/// In `meta`: the number of the commit, which holds all entries of the log before it.
pub(super) const SEQUENCE: &str = "log_sequence";
const PAGE: usize = 4_096;
/// A record that is written changes its own page and, now and then, one above it.
const PAGES_PER_CHANGE: usize = 2;

/// An entry in the middle of the log cannot be read, though later ones can.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the write-ahead log is damaged: entry {number} cannot be read, and later ones can")]
pub(super) struct DamagedLog {
    number: u64,
}

/// The log of an open file.
#[derive(Debug)]
pub(super) struct WriteAheadLog {
    disk: Arc<Disk>,
    /// The number of the last entry, or of redb's last commit if there is none since.
    last: u64,
    /// The number of redb's last commit on the disk.
    folded: u64,
    /// How many records have been changed since then, and how many may be.
    changes: usize,
    max_changes: usize,
}

impl WriteAheadLog {
    /// Applies what the last process left in the log to the database. In memory: the log stays as
    /// it is until a durable commit holds it, so that a full disk does not stand in the way.
    ///
    /// redb keeps the pages of what is in the log only; `page_cache_bytes` is its room for them.
    pub(super) fn recover(
        disk: Arc<Disk>,
        database: &Database,
        page_cache_bytes: usize,
    ) -> Outer<Self> {
        let folded = stored_sequence(database)?;
        let (entries, used) = match disk.read_log()? {
            Some((bytes, salt)) => entries_after(folded, &bytes, &salt)?,
            None => (Vec::new(), 0),
        };
        disk.resume(used as u64);
        // A log that comes to be later goes on from the number of the one before.
        let last = folded + entries.len() as u64;
        let changes = entries.iter().map(Vec::len).sum();
        if last > folded {
            apply(database, entries)?;
        }
        // redb has half of its cache for pages that it did not write yet. Beyond it they go into
        // the file one by one, and every sync of the log has to wait for them.
        let max_changes = page_cache_bytes / 2 / PAGE / PAGES_PER_CHANGE;
        Ok(Self { disk, last, folded, changes, max_changes })
    }

    /// Whether the log holds what redb does not hold on the disk.
    pub(super) const fn is_in_use(&self) -> bool {
        self.last != self.folded
    }

    /// Writes an entry and syncs it; `false`, and nothing is written, if there is no room for it.
    /// After an error the log's end is not known, and the file must be opened anew.
    pub(super) fn append(
        &mut self,
        changes: impl ExactSizeIterator<Item = Change>,
    ) -> io::Result<bool> {
        let count = changes.len();
        if !self.has_room_for(count) {
            return Ok(false);
        }
        let Some(entry) = Entry::of(changes) else { return Ok(false) };
        let written = self.disk.append(entry, self.last + 1)?;
        if written {
            self.last += 1;
            self.changes += count;
        }
        Ok(written)
    }

    /// Whether redb may keep so many more changes in memory, though the log does not get them.
    pub(super) const fn pass_by(&mut self, changes: usize) -> bool {
        let has_room = self.has_room_for(changes);
        if has_room {
            self.changes += changes;
        }
        has_room
    }

    const fn has_room_for(&self, changes: usize) -> bool {
        self.changes + changes <= self.max_changes
    }

    /// Gives a number to a transaction that will be durable: the next one, so that no later entry
    /// follows what was there before it.
    pub(super) fn note_sequence(&self, tables: &mut Tables<'_>) -> Outer<()> {
        tables.store_meta(SEQUENCE, &(self.last + 1).to_le_bytes())
    }

    /// A durable commit with a number holds everything: the log begins again.
    pub(super) fn restart(&mut self) {
        self.last += 1;
        self.folded = self.last;
        self.changes = 0;
        self.disk.resume(0);
    }

    /// The database is about to be closed for good; if the log is not in use, the file gives back
    /// its room.
    pub(super) fn retire(&self) {
        if !self.is_in_use() {
            self.disk.retire();
        }
    }
}

/// What can be read of the log of a file that cannot be opened: the changes of every whole entry
/// after `folded`. Where that is not known, only what was removed, because an entry of an earlier
/// round may say of a session what has been over for long.
pub(super) fn readable_changes(
    read: &mut dyn FnMut(u64, &mut [u8]) -> bool,
    folded: Option<u64>,
) -> Vec<Change> {
    let mut sectors = [[0; area::SECTOR]; 2];
    for (sector, offset) in sectors.iter_mut().zip(area::OFFSETS) {
        read(offset, sector);
    }
    let [first, second] = &sectors;
    let Ok(Some(area)) = Area::from_sectors(first, second) else { return Vec::new() };
    let numbers = folded.map_or(0, |folded| folded + 1)..=u64::MAX;
    let mut changes = Vec::new();
    let mut rest = vec![0; usize::try_from(area.capacity).unwrap_or(0)];
    // A log that is cut is read as far as it goes.
    for (number, sector) in rest.chunks_mut(area::SECTOR).enumerate() {
        read(area.start + (number * area::SECTOR) as u64, sector);
    }
    let mut rest = rest.as_slice();
    while !rest.is_empty() {
        let found = Found::at_start_of(rest, &area.salt, numbers.clone());
        let len = found.as_ref().map_or(area::SECTOR, |found| found.len);
        changes.extend(found.and_then(|found| found.changes()).unwrap_or_default());
        rest = rest.get(len..).unwrap_or_default();
    }
    changes.retain(|(_, record)| folded.is_some() || record.is_none());
    changes
}

/// Puts changes into tables, in their order. A record that cannot be read is an error.
pub(super) fn put_changes(tables: &mut Tables<'_>, changes: Vec<Change>) -> Outer<()> {
    for (key, record) in changes {
        match record.map(|bytes| Record::decode(&key, &bytes)).transpose() {
            Ok(Some(record)) => tables.put(&key, &record)?,
            Ok(None) => {
                tables.remove(&key)?;
            }
            Err(error) => return Err(damaged(error).into()),
        }
    }
    Ok(())
}

fn apply(database: &Database, entries: Vec<Vec<Change>>) -> Outer<()> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(redb::Durability::None)?;
    let mut tables = Tables::open(&transaction)?;
    put_changes(&mut tables, entries.into_iter().flatten().collect())?;
    drop(tables);
    Ok(transaction.commit()?)
}

fn stored_sequence(database: &Database) -> Outer<u64> {
    use redb::{ReadableDatabase, TableError};
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(super::tables::META) {
        Ok(meta) => meta,
        // A file that is only being created.
        Err(TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let value = meta.get(SEQUENCE)?;
    Ok(value.map_or(0, |value| value.value().first_chunk().map_or(0, |n| u64::from_le_bytes(*n))))
}

/// The changes of the entries after `folded`, in their order, up to the first one that is not
/// whole, and how many bytes they take.
fn entries_after(
    folded: u64,
    log: &[u8],
    salt: &[u8; 16],
) -> io::Result<(Vec<Vec<Change>>, usize)> {
    let mut entries = Vec::new();
    let mut rest = log;
    loop {
        let number = folded + 1 + entries.len() as u64;
        let Some(found) = Found::at_start_of(rest, salt, number..=number) else {
            // One that was being written when the power went is the last. Later ones behind it
            // mean that it was acknowledged, and is damaged.
            return match is_behind(number, rest, salt) {
                true => Err(damaged(DamagedLog { number })),
                false => Ok((entries, log.len() - rest.len())),
            };
        };
        entries.push(found.changes().ok_or_else(|| damaged(DamagedLog { number }))?);
        rest = rest.get(found.len..).unwrap_or_default();
    }
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Whether an entry after this number stands anywhere in the bytes.
fn is_behind(number: u64, bytes: &[u8], salt: &[u8; 16]) -> bool {
    let sectors = bytes.len() / area::SECTOR;
    // One sector an entry is the least, and a durable commit has a number too.
    let later = number + 1..=number + 1 + sectors as u64;
    (0..sectors).any(|sector| {
        let rest = bytes.get(sector * area::SECTOR..).unwrap_or_default();
        Found::at_start_of(rest, salt, later.clone()).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionKey;

    const SALT: [u8; 16] = [9; 16];

    fn entry(number: u64) -> Vec<u8> {
        let change = (SessionKey::from_bytes([number as u8; 16]), Some(vec![1; 600]));
        Entry::of([change].into_iter()).unwrap().numbered(number, &SALT)
    }

    #[test]
    fn entries_are_read_up_to_the_first_that_is_not_the_next() {
        let log = [entry(5), entry(6), entry(3), vec![0; 512]].concat();
        let (entries, used) = entries_after(4, &log, &SALT).unwrap();
        assert_eq!((entries.len(), used), (2, 2 * entry(5).len()));
        assert!(entries_after(7, &log, &SALT).unwrap().0.is_empty(), "all of an earlier round");
    }

    #[test]
    fn a_torn_last_entry_was_never_acknowledged() {
        let mut log = [entry(5), entry(6)].concat();
        let len = log.len();
        log[len - 600..].fill(0);
        assert_eq!(entries_after(4, &log, &SALT).unwrap().0.len(), 1);
    }

    #[test]
    fn damage_with_later_entries_behind_it_is_an_error_and_not_the_end() {
        let mut log = [entry(5), entry(6), entry(7)].concat();
        log[entry(5).len() + 40] ^= 1;
        let error = entries_after(4, &log, &SALT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
